/**
 * The kernel's TCP against tapwire, lwIP and gVisor on TUN interfaces with an MTU of 1,500, side by side; each server
 * in a network namespace of its own. Root, Linux. A peer that can't be built is left out.
 *
 *   bun bench/tun.ts [--rounds 5] [--seconds 2]
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Namespace, requirement, until } from "../test/support/system.ts";
import { describeMachine, flag, interleaved, printTable, Samples, spread } from "./support.ts";

const here = import.meta.dir;
const ADDRESS = "10.77.0.1";
const KERNEL = "10.77.0.100";
const BUILD_TIMEOUT_MS = 300_000;
const START_TIMEOUT_MS = 10_000;
const TICKS_PER_SECOND = 100;

interface Server {
  readonly name: string;
  /** Brings up its own interface; else one is made for it. */
  readonly ownInterface: boolean;
  /** The command, for an interface of this name. */
  command(device: string): string[];
}

const tapwire = (device: string) => [
  "--name",
  device,
  "--address",
  `${ADDRESS}/24`,
  "--host-address",
  `${KERNEL}/24`,
];

function tapwireServers(): Server[] {
  const one = { ownInterface: true };
  const bun = process.execPath;
  const loop = join(here, "server-loop.ts");
  const example = join(here, "../examples/server.ts");
  return [
    { ...one, name: "tapwire, loop with `wait`", command: (device) => [bun, loop, ...tapwire(device)] },
    {
      ...one,
      name: "tapwire, loop with SIGIO",
      command: (device) => [bun, loop, ...tapwire(device), "--sigio"],
    },
    {
      ...one,
      name: "tapwire, examples/server.ts",
      command: (device) => [bun, example, "--device", "tun", ...tapwire(device)],
    },
  ];
}

/** Builds the peers that can be built here. */
function peers(into: string): Server[] {
  const found: Server[] = [];
  const lwip = join(into, "lwip-peer");
  if (built("lwIP", ["sh", join(here, "peers/lwip/build.sh"), lwip, "tuned"])) {
    found.push({
      name: "lwIP, tuned",
      ownInterface: false,
      command: (device) => [lwip, "--tun", device, "--addr", ADDRESS, "--mask", "255.255.255.0"],
    });
  }
  const gvisor = join(into, "gvisor-peer");
  if (built("gVisor", ["sh", join(here, "peers/gvisor/build.sh"), gvisor])) {
    found.push({
      name: "gVisor, without GSO",
      ownInterface: false,
      command: (device) => [gvisor, "-tun", device, "-addr", `${ADDRESS}/24`],
    });
  }
  return found;
}

function built(name: string, command: string[]): boolean {
  process.stderr.write(`building ${name}\n`);
  const { exitCode, stderr } = Bun.spawnSync(command, { timeout: BUILD_TIMEOUT_MS });
  if (exitCode !== 0)
    console.log(`${name} is left out, it could not be built: ${lastLine(stderr.toString())}\n`);
  return exitCode === 0;
}

const lastLine = (text: string) => text.trim().split("\n").at(-1) ?? "";

/** A server that runs in its namespace. */
class Running {
  readonly server: Server;
  private readonly ns: Namespace;
  private readonly client: string;
  private readonly pid: number;

  private constructor(server: Server, ns: Namespace, client: string, pid: number) {
    this.server = server;
    this.ns = ns;
    this.client = client;
    this.pid = pid;
  }

  static async start(server: Server, client: string, number: number): Promise<Running> {
    const device = `b${process.pid}-${number}`;
    const ns = await Namespace.open();
    try {
      if (!server.ownInterface) {
        await ns.ok(["ip", "tuntap", "add", "dev", device, "mode", "tun"]);
        await ns.ok(["ip", "address", "add", `${KERNEL}/24`, "dev", device]);
        await ns.ok(["ip", "link", "set", device, "up"]);
      }
      ns.start(server.command(device));
      const ping = ["ping", "-q", "-c", "1", "-W", "0.1", ADDRESS];
      await until("an answer to a ping", async () => (await ns.run(ping)).exitCode === 0, START_TIMEOUT_MS);
      // The newest process that has the interface's name among its arguments; nsenter has it, too.
      const found = Bun.spawnSync(["pgrep", "-nf", device]).stdout.toString();
      return new Running(server, ns, client, Number(found));
    } catch (error) {
      await ns.close();
      throw error;
    }
  }

  /** The kernel sends to (`tx`) or receives from (`rx`) the server: Gbit/s, and Gbit a second of the server's CPU. */
  async transfer(direction: "tx" | "rx", seconds: number, samples: Samples): Promise<void> {
    const { name } = this.server;
    const command = [this.client, ADDRESS, direction === "tx" ? "9" : "19", direction, `${seconds}`];
    const before = this.ticks();
    const { stdout, stderr } = await this.ns.run(command, { timeoutMs: seconds * 1000 + 20_000 });
    const cpuSeconds = (this.ticks() - before) / TICKS_PER_SECOND;
    const match = /([0-9.]+) Gbit\/s ([0-9]+) bytes/.exec(stdout);
    if (match === null) {
      console.log(`${name}, ${direction}: ${lastLine(stderr)}\n`);
      return;
    }
    samples.add(`${name} ${direction}`, Number(match[1]));
    samples.add(`${name} ${direction} cpu`, (Number(match[2]) * 8) / 1e9 / cpuSeconds);
  }

  /** Mean round-trip time of pings in microseconds. */
  async ping(samples: Samples): Promise<void> {
    const command = ["ping", "-q", "-c", "500", "-i", "0.002", ADDRESS];
    const { stdout } = await this.ns.run(command, { timeoutMs: 20_000 });
    const match = / = [0-9.]+\/([0-9.]+)\//.exec(stdout);
    if (match !== null) samples.add(`${this.server.name} ping`, Number(match[1]) * 1000);
  }

  /** Percent of a core that the server uses while nothing comes. */
  async idle(seconds: number, samples: Samples): Promise<void> {
    const before = this.ticks();
    await Bun.sleep(seconds * 1000);
    const percent = (100 * (this.ticks() - before)) / TICKS_PER_SECOND / seconds;
    samples.add(`${this.server.name} idle`, percent);
  }

  /** Processor time used so far: fields 14 and 15 of proc_pid_stat(5), counted behind the name in parentheses. */
  private ticks(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, "utf8").split(") ")[1].split(" ");
    return Number(fields[11]) + Number(fields[12]);
  }

  close(): Promise<void> {
    return this.ns.close();
  }
}

const reason = requirement(["tun", "cc", "ping", "pgrep"]);
if (reason !== null) {
  console.log(`bench/tun.ts ${reason}`);
  process.exit(1);
}
const rounds = flag("rounds", 5);
const seconds = flag("seconds", 2);
const into = mkdtempSync(join(tmpdir(), "tapwire-bench-"));
const running: Running[] = [];
try {
  const client = join(into, "kernel-client");
  if (!built("the client", ["cc", "-O2", "-pthread", "-o", client, join(here, "kernel-client.c")]))
    process.exit(1);
  for (const [number, server] of [...tapwireServers(), ...peers(into)].entries()) {
    try {
      running.push(await Running.start(server, client, number));
    } catch (error) {
      console.log(`${server.name} is left out, it did not start: ${error}\n`);
    }
  }
  const samples = new Samples();
  await interleaved(
    rounds,
    running.flatMap((each) => [
      () => each.transfer("tx", seconds, samples),
      () => each.transfer("rx", seconds, samples),
      () => each.ping(samples),
      () => each.idle(1, samples),
    ]),
  );
  console.log(
    `${describeMachine()}; median (lowest .. highest) of ${rounds} interleaved runs of ${seconds} s\n`,
  );
  const column = (what: string, digits: number) => (each: Running) =>
    spread(samples.of(`${each.server.name} ${what}`), digits);
  const table = (head: string[], columns: ((each: Running) => string)[]) =>
    printTable(
      ["TUN, MTU 1500", ...head],
      running.map((each) => [each.server.name, ...columns.map((cell) => cell(each))]),
    );
  table(
    ["receives, Gbit/s", "a CPU second", "sends, Gbit/s", "a CPU second"],
    [column("tx", 2), column("tx cpu", 2), column("rx", 2), column("rx cpu", 2)],
  );
  table(["ping, us", "idle, % of a core"], [column("ping", 0), column("idle", 1)]);
} finally {
  await Promise.all(running.map((each) => each.close()));
  rmSync(into, { recursive: true });
}
