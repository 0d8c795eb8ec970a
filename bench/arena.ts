/** Where a server meets the kernel: a network namespace with a TUN, TAP or veth interface, and what is measured there. */

import { dlopen, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";
import { Namespace, until } from "../test/support/system.ts";
import type { DeviceType } from "./floor-link.ts";

export const ADDRESS = "10.77.0.1";
export const KERNEL = "10.77.0.100";
const START_TIMEOUT_MS = 15_000;
const TICKS_PER_SECOND = 100;
/** With two cores pinned: the kernel's sockets on the first, the server on the second. */
const CLIENT_CORE = ["taskset", "-c", "0"];
const SERVER_CORE = ["taskset", "-c", "1"];

export interface Server {
  readonly name: string;
  readonly device: DeviceType;
  readonly offload: boolean;
  /** The command that serves on an interface of this name. */
  command(device: string): string[];
}

/** The kernel's TCP against the server: what was moved, and by how much of the server's processor time. */
export interface Transfer {
  readonly gbits: number;
  /** Gbit for each second of processor time of the server. */
  readonly gbitsPerCpuSecond: number;
}

/** A server that runs in its namespace. */
export class Arena {
  readonly server: Server;
  private readonly ns: Namespace;
  private readonly pid: number;
  private readonly client: readonly string[];

  private constructor(server: Server, ns: Namespace, pid: number, client: readonly string[]) {
    this.server = server;
    this.ns = ns;
    this.pid = pid;
    this.client = client;
  }

  /** @param client the program that `kernel-client.c` has become */
  static async open(server: Server, client: string, pinned: boolean, number: number): Promise<Arena> {
    const device = `b${process.pid}-${number}`;
    const ns = await Namespace.open();
    try {
      await makeInterface(ns, server, device);
      const command = server.command(device);
      const running = ns.start(pinned ? [...SERVER_CORE, ...command] : command);
      const ping = ["ping", "-q", "-c", "1", "-W", "0.2", ADDRESS];
      try {
        await until("a ping's answer", async () => (await ns.run(ping)).exitCode === 0, START_TIMEOUT_MS);
      } catch {
        throw new Error(`no answer to a ping; ${complaint(running.stderr)}`);
      }
      // The newest process that has the interface's name among its arguments; nsenter has it, too.
      const pid = Number(Bun.spawnSync(["pgrep", "-nf", device]).stdout.toString());
      return new Arena(server, ns, pid, pinned ? [...CLIENT_CORE, client] : [client]);
    } catch (error) {
      await ns.close();
      throw error;
    }
  }

  /** The kernel sends to the server (`tx`) or receives from it (`rx`), over one connection. */
  async transfer(direction: "tx" | "rx", seconds: number): Promise<Transfer> {
    const command = [...this.client, ADDRESS, direction === "tx" ? "9" : "19", direction, `${seconds}`];
    const before = this.ticks();
    const { stdout, stderr } = await this.ns.run(command, { timeoutMs: seconds * 1000 + 20_000 });
    const cpuSeconds = (this.ticks() - before) / TICKS_PER_SECOND;
    const match = /([0-9.]+) Gbit\/s ([0-9]+) bytes/.exec(stdout);
    if (match === null) throw new Error(`${this.server.name}, ${direction}: ${lastLine(stderr)}`);
    return { gbits: Number(match[1]), gbitsPerCpuSecond: (Number(match[2]) * 8) / 1e9 / cpuSeconds };
  }

  /** Round-trip times of 500 pings, 2 ms apart, in microseconds. */
  async ping(): Promise<number[]> {
    const { stdout } = await this.ns.run(["ping", "-c", "500", "-i", "0.002", ADDRESS], {
      timeoutMs: 20_000,
    });
    return Array.from(stdout.matchAll(/ time=([0-9.]+) ms/g), ([, ms]) => Number(ms) * 1000);
  }

  /** Percent of a core that the server uses while nothing comes. */
  async idle(seconds: number): Promise<number> {
    const before = this.ticks();
    await Bun.sleep(seconds * 1000);
    return (100 * (this.ticks() - before)) / TICKS_PER_SECOND / seconds;
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

export const lastLine = (text: string) => text.trim().split("\n").at(-1) ?? "";

/** What a program that failed has to say: Bun prints the error in the middle. */
function complaint(text: string): string {
  return text.split("\n").find((line) => /^[a-z]*error:/i.test(line)) ?? lastLine(text);
}

/** The same interface for every server: what a device would change, is so already. */
async function makeInterface(ns: Namespace, server: Server, device: string): Promise<void> {
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
