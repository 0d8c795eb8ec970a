/** Two namespaces with the line between them, and the ends of connections in them. */

import { join } from "node:path";
import type { Subprocess } from "bun";
import { Namespace, type Running } from "../../test/support/system.ts";
import { ENDS, LINE, type LineReport } from "./line.ts";

export type Side = "a" | "b";

export interface PathOptions {
  /** Mbit/s of the line each way; unlimited unless told. */
  readonly rate?: number;
  /** ms there and back. */
  readonly rtt: number;
  /** Percent of the packets from A to B that are lost, whatever the queue does. */
  readonly loss: number;
  /** Bytes that may wait for their turn on the line, each way; `bdp` of rate and RTT unless told, 64 KiB at least. */
  readonly queue?: number;
  readonly seed: number;
  /** Packets from B to A are lost, too. */
  readonly lossBoth?: boolean;
}

const here = import.meta.dir;
const bun = process.execPath;
const SMALLEST_QUEUE = 64 * 1024;
const START_TIMEOUT_MS = 15_000;

/**
 * All threads, since one that collects garbage may be waited for. The ends come before what does not belong here, so that
 * the rest of the machine is not what is measured; and before them the network, which is no process elsewhere.
 */
const END = ["chrt", "--rr", "5"];
const NETWORK = ["chrt", "--rr", "10"];

/** Buffers grow as far as any of the paths needs, and no connection learns from the one before it. */
const SETTINGS = [
  "net.ipv4.ip_forward=1",
  "net.ipv4.conf.all.rp_filter=0",
  "net.ipv4.conf.default.rp_filter=0",
  "net.ipv4.conf.all.send_redirects=0",
  "net.ipv4.conf.default.send_redirects=0",
  "net.ipv4.tcp_rmem=4096 131072 67108864",
  "net.ipv4.tcp_wmem=4096 16384 67108864",
  "net.ipv4.tcp_no_metrics_save=1",
  // Nothing is said on the line but what is measured: each packet has its fate by its number.
  "net.ipv6.conf.all.disable_ipv6=1",
  "net.ipv6.conf.default.disable_ipv6=1",
];

/** Bytes that fit on the line: rate times RTT. */
export function bdp(rate: number, rtt: number): number {
  return (rate * 1e6 * rtt) / 8000;
}

export function queueOf({ rate, rtt, queue }: PathOptions): number {
  if (queue !== undefined) return queue;
  return rate === undefined ? 4 * SMALLEST_QUEUE : Math.max(Math.round(bdp(rate, rtt)), SMALLEST_QUEUE);
}

/** One end of a connection that is being measured. */
export interface End {
  readonly running: Running;
  /** Where the other end reaches it. */
  readonly address: string;
}

/** What a path has to say when it is closed. */
export interface PathReport extends LineReport {
  /** Packets that were lost where none may be: in the kernel's queues or the line's memory. */
  readonly strays: number;
}

export class EmulatedPath {
  readonly a: Namespace;
  readonly b: Namespace;
  private readonly line: Subprocess<"pipe", "pipe", "inherit">;
  private readonly lines: AsyncIterator<string>;
  private wires = 0;
  private report: Promise<PathReport> | null = null;

  private constructor(a: Namespace, b: Namespace, line: EmulatedPath["line"], lines: AsyncIterator<string>) {
    this.a = a;
    this.b = b;
    this.line = line;
    this.lines = lines;
  }

  static async open(options: PathOptions): Promise<EmulatedPath> {
    const [a, b] = await Promise.all([Namespace.open(), Namespace.open()]);
    await Promise.all([a, b].map((ns) => ns.ok(["sysctl", "-qw", ...SETTINGS])));
    const flags = [
      ...["--a", a.network, "--b", b.network, "--seed", `${options.seed}`],
      ...["--rtt", `${options.rtt}`, "--loss", `${options.loss / 100}`, "--queue", `${queueOf(options)}`],
      ...(options.rate === undefined ? [] : ["--rate", `${options.rate * 1e6}`]),
      ...(options.lossBoth ? ["--loss-both"] : []),
    ];
    const line = Bun.spawn([...NETWORK, bun, join(here, "line.ts"), ...flags], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    const path = new EmulatedPath(a, b, line, linesOf(line.stdout));
    const { value } = await path.lines.next();
    if (value !== "ready") {
      await path.close();
      throw new Error("The line could not be laid.");
    }
    // Whatever is at the other end: the line leads there.
    await Promise.all([a, b].map((ns) => ns.ok(["ip", "route", "add", "default", "dev", LINE])));
    return path;
  }

  namespace(side: Side): Namespace {
    return side === "a" ? this.a : this.b;
  }

  /** Starts an end that uses the kernel's sockets. */
  kernelEnd(side: Side, ...flags: string[]): End {
    const command = [...END, bun, join(here, "kernel-end.ts"), ...flags];
    return { running: this.namespace(side).start(command), address: ENDS[side] };
  }

  /**
   * Starts an end that uses tapwire. It has a TUN interface, as any program would, and the kernel of the namespace
   * forwards packets between that and the line: the other end of both is the kernel's.
   */
  tapwireEnd(side: Side, ...flags: string[]): End {
    const number = ++this.wires;
    const address = `10.98.${number}.1`;
    const where = ["--wire", `wire${number}`, "--address", address, "--gateway", `10.98.${number}.254`];
    const command = [...END, bun, join(here, "tapwire-end.ts"), ...flags, ...where];
    return { running: this.namespace(side).start(command), address };
  }

  /** Ends everything, and tells how it was. */
  close(): Promise<PathReport> {
    this.report ??= this.end();
    return this.report;
  }

  private async end(): Promise<PathReport> {
    try {
      const dropped = await Promise.all([droppedIn(this.a), droppedIn(this.b)]);
      this.line.stdin.end();
      const { value } = await this.lines.next();
      await this.line.exited;
      if (value === undefined) throw new Error("The line ended early.");
      const report = JSON.parse(value) as LineReport;
      const strays = dropped[0] + dropped[1] + report.forth.overflowed + report.back.overflowed;
      return { ...report, strays };
    } finally {
      await Promise.all([this.a.close(), this.b.close()]);
    }
  }
}

/** Waits until an end has said a word. */
export function untilSaid(end: End, word: string): Promise<unknown> {
  return end.running.waitFor(word, START_TIMEOUT_MS);
}

/** The report of an end, which is a line of JSON; it may go on. */
export async function reportOf<T>(end: End, timeoutMs: number): Promise<T> {
  const [, line] = await end.running.waitFor(/^(\{.*\})$/m, timeoutMs);
  return JSON.parse(line) as T;
}

interface LinkStatistics {
  readonly ifname: string;
  readonly stats64: Record<"rx" | "tx", { dropped: number; errors: number }>;
}

/** Packets that interfaces of a namespace have dropped. */
async function droppedIn(ns: Namespace): Promise<number> {
  const links = JSON.parse(await ns.ok(["ip", "-s", "-j", "link", "show"])) as LinkStatistics[];
  let count = 0;
  for (const { ifname, stats64 } of links) {
    if (ifname !== "lo") count += stats64.rx.dropped + stats64.tx.dropped + stats64.tx.errors;
  }
  return count;
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
