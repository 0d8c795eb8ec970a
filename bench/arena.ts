/** Where a server meets the kernel: a network namespace with a TUN, TAP or veth interface, and what is measured there. */

import { dlopen, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";
import { Namespace, until } from "../test/support/system.ts";
import type { DeviceType } from "./floor-link.ts";
import { undisturbed } from "./undisturbed.ts";

export const ADDRESS = "10.77.0.1";
export const KERNEL = "10.77.0.100";
const START_TIMEOUT_MS = 15_000;
const TICKS_PER_SECOND = 100;
/** With two cores pinned: the kernel's sockets on the first, the server on the second. */
const CLIENT_CORE = ["taskset", "-c", "0"];
const SERVER_CORE = ["taskset", "-c", "1"];

/**
 * How the kernel reaches a server: by a device of the server's, or, where the server's TCP is the kernel's, too, by a cable
 * from one namespace to another (`"cable"`) or within one (`"lo"`).
 */
export type Way = DeviceType | "cable" | "lo";

export interface Server {
  readonly name: string;
  readonly device: Way;
  readonly offload: boolean;
  /** The command that serves on an interface of this name. */
  command(device: string): string[];
}

/** Seconds of the processor's time, in steps of 10 ms. */
export interface ProcessorTime {
  readonly user: number;
  readonly system: number;
}

/** The kernel's TCP against the server: what was moved, and by how much of the server's processor time. */
export interface Transfer {
  readonly gbits: number;
  readonly bytes: number;
  readonly processor: ProcessorTime;
  /** Gbit for each second of processor time of the server. */
  readonly gbitsPerCpuSecond: number;
}

/** A server that runs in its namespace. */
export class Arena {
  readonly server: Server;
  /** Where the clients are. */
  private readonly ns: Namespace;
  /** Where the server is: the same one, but with a cable. */
  private readonly home: Namespace;
  private readonly pid: number;
  private readonly client: readonly string[];

  private constructor(
    server: Server,
    ns: Namespace,
    home: Namespace,
    pid: number,
    client: readonly string[],
  ) {
    this.server = server;
    this.ns = ns;
    this.home = home;
    this.pid = pid;
    this.client = client;
  }

  /** @param client the program that `kernel-client.c` has become, or another that `run` is to start */
  static async open(server: Server, client: string, pinned: boolean, number: number): Promise<Arena> {
    const device = `b${process.pid}-${number}`;
    const ns = await Namespace.open();
    const home = server.device === "cable" ? await Namespace.open() : ns;
    try {
      await makeInterface(ns, home, server, device);
      const command = server.command(device);
      const running = home.start(pinned ? [...SERVER_CORE, ...command] : command);
      const ping = ["ping", "-q", "-c", "1", "-W", "0.2", ADDRESS];
      try {
        // The kernel answers pings before a server of its own is there.
        if (hasKernelsTcp(server)) await running.waitFor("serves", START_TIMEOUT_MS);
        await until("a ping's answer", async () => (await ns.run(ping)).exitCode === 0, START_TIMEOUT_MS);
      } catch {
        throw new Error(`no answer to a ping; ${complaint(running.stderr)}`);
      }
      // The newest process that has the interface's name among its arguments; nsenter has it, too.
      const pid = Number(Bun.spawnSync(["pgrep", "-nf", device]).stdout.toString());
      return new Arena(server, ns, home, pid, pinned ? [...CLIENT_CORE, client] : [client]);
    } catch (error) {
      await Promise.all([ns.close(), home.close()]);
      throw error;
    }
  }

  /** Sets variables of the kernel where the clients are: `"net.ipv4.tcp_tw_reuse=1"`. */
  async sysctl(...settings: readonly string[]): Promise<void> {
    await this.ns.ok(["sysctl", "-qw", ...settings]);
  }

  /** Runs the client with these arguments to its end, and returns what it printed. */
  run(words: readonly string[], timeoutMs: number): Promise<string> {
    return this.ns.ok([...this.client, ...words], { timeoutMs });
  }

  /** The kernel sends to the server (`tx`) or receives from it (`rx`), over one connection. */
  transfer(direction: "tx" | "rx", seconds: number): Promise<Transfer> {
    return undisturbed(() => this.transferOnce(direction, seconds));
  }

  /** The same for nothing, however disturbed. */
  async warmUp(direction: "tx" | "rx", seconds: number): Promise<void> {
    await this.transferOnce(direction, seconds);
  }

  private async transferOnce(direction: "tx" | "rx", seconds: number): Promise<Transfer> {
    const command = [...this.client, ADDRESS, direction === "tx" ? "9" : "19", direction, `${seconds}`];
    const before = this.processorTime();
    const { stdout, stderr } = await this.ns.run(command, { timeoutMs: seconds * 1000 + 20_000 });
    const processor = since(before, this.processorTime());
    const match = /([0-9.]+) Gbit\/s ([0-9]+) bytes/.exec(stdout);
    if (match === null) throw new Error(`${this.server.name}, ${direction}: ${lastLine(stderr)}`);
    const [gbits, bytes] = [Number(match[1]), Number(match[2])];
    const gbitsPerCpuSecond = (bytes * 8) / 1e9 / (processor.user + processor.system);
    return { gbits, bytes, processor, gbitsPerCpuSecond };
  }

  /** Round-trip times of 500 pings, 2 ms apart, in microseconds. */
  ping(): Promise<number[]> {
    return undisturbed(() => this.pingOnce());
  }

  private async pingOnce(): Promise<number[]> {
    const { stdout } = await this.ns.run(["ping", "-c", "500", "-i", "0.002", ADDRESS], {
      timeoutMs: 20_000,
    });
    return Array.from(stdout.matchAll(/ time=([0-9.]+) ms/g), ([, ms]) => Number(ms) * 1000);
  }

  /** Percent of a core that the server uses while nothing comes. */
  async idle(seconds: number): Promise<number> {
    const before = this.processorTime();
    await Bun.sleep(seconds * 1000);
    const { user, system } = since(before, this.processorTime());
    return (100 * (user + system)) / seconds;
  }

  /**
   * What the server has used so far, all its threads together: fields 14 and 15 of proc_pid_stat(5), counted behind the name
   * in parentheses.
   */
  processorTime(): ProcessorTime {
    const fields = readFileSync(`/proc/${this.pid}/stat`, "utf8").split(") ")[1].split(" ");
    return { user: Number(fields[11]) / TICKS_PER_SECOND, system: Number(fields[12]) / TICKS_PER_SECOND };
  }

  async close(): Promise<void> {
    await Promise.all([this.ns.close(), this.home.close()]);
  }
}

export function since(before: ProcessorTime, after: ProcessorTime): ProcessorTime {
  return { user: after.user - before.user, system: after.system - before.system };
}

export const lastLine = (text: string) => text.trim().split("\n").at(-1) ?? "";

/** What a program that failed has to say: Bun prints the error in the middle. */
function complaint(text: string): string {
  return text.split("\n").find((line) => /^[a-z]*error:/i.test(line)) ?? lastLine(text);
}

const hasKernelsTcp = (server: Server) => server.device === "cable" || server.device === "lo";

/** The same interface for every server: what a device would change, is so already. */
async function makeInterface(ns: Namespace, home: Namespace, server: Server, device: string): Promise<void> {
  if (server.device === "lo") {
    await ns.ok(["ip", "address", "add", `${ADDRESS}/32`, "dev", "lo"]);
    return;
  }
  if (server.device === "cable") {
    await ns.veth("kernel", device, home);
    await ns.ok(["ip", "address", "add", `${KERNEL}/24`, "dev", "kernel"]);
    await home.ok(["ip", "address", "add", `${ADDRESS}/24`, "dev", device]);
    return;
  }
  const kernels = server.device === "raw" ? "kernel" : device;
  if (server.device === "raw") {
    await ns.ok(["ip", "link", "add", kernels, "type", "veth", "peer", "name", device]);
    if (!server.offload) ns.inside(() => turnOffloadOff(kernels));
    await ns.ok(["ip", "link", "set", device, "up"]);
  } else {
    await ns.ok(["ip", "tuntap", "add", "dev", device, "mode", server.device]);
  }
  await ns.ok(["ip", "address", "add", `${KERNEL}/24`, "dev", kernels]);
  await ns.ok(["ip", "link", "set", kernels, "up"]);
}

const SIOCETHTOOL = 0x8946;
/** ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM. */
const OFFLOADS = [0x1f, 0x24, 0x2c, 0x17];
const AF_INET_DATAGRAM = [2, 2] as const;

/**
 * The kernel sends packets of 1,500 bytes with complete checksums, as over a wire: `ethtool -K NAME tso off gso off gro
 * off tx off`.
 */
function turnOffloadOff(name: string): void {
  const { symbols: c } = dlopen("libc.so.6", {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
    close: { args: ["i32"], returns: "i32" },
  });
  const socket = c.socket(...AF_INET_DATAGRAM, 0);
  // Large enough that the engine does not move them: a pointer to one stands in the other.
  const value = new ArrayBuffer(4096);
  const request = new Uint8Array(new ArrayBuffer(4096));
  new TextEncoder().encodeInto(name, request);
  new DataView(request.buffer).setBigUint64(16, BigInt(ptr(value)), true);
  for (const command of OFFLOADS) {
    new DataView(value).setUint32(0, command, true);
    if (c.ioctl(socket, SIOCETHTOOL, request) !== 0)
      throw new Error(`${name}: the kernel refuses ethtool's command ${command}`);
  }
  c.close(socket);
}
