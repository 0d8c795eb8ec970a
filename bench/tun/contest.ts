/** What the parts of tun.ts are made of: numbers that are measured in rounds, and rows that compare two of them. */

import { join } from "node:path";
import { ADDRESS, Arena, type Server } from "../arena.ts";
import { EVENTS, LOOP, ours } from "../servers.ts";
import { median } from "../support.ts";
import { undisturbed } from "../undisturbed.ts";

/** One thing that is measured: a number for each round; NaN where a measurement failed. */
export class Series {
  readonly name: string;
  readonly unit: string;
  /** Digits behind the point in tables. */
  readonly digits: number;
  readonly values: number[] = [];

  constructor(name: string, unit: string, digits: number) {
    this.name = name;
    this.unit = unit;
    this.digits = digits;
  }
}

/** What a row is to reach. */
export interface Target {
  readonly bound: "at least" | "at most";
  readonly value: number;
}

export const atLeast = (value: number): Target => ({ bound: "at least", value });
export const atMost = (value: number): Target => ({ bound: "at most", value });

/** A line of the result: a series as a multiple of another one, or as it is. */
export interface Row {
  /** What it is called in JSON. */
  readonly name: string;
  readonly measure: string;
  readonly subject: Series;
  readonly reference: Series | null;
  readonly target: Target | null;
}

/** Things that are measured beside each other. */
export interface Contest {
  readonly rows: readonly Row[];
  readonly series: readonly Series[];
  /** Each is run once in every round. */
  readonly measurements: readonly (() => Promise<void>)[];
  close(): Promise<void>;
}

/** What a contest needs to know. */
export interface Setting {
  /** How long a measurement is, in seconds, and how long it runs before. */
  readonly seconds: number;
  readonly warmSeconds: number;
  /** The program that `kernel-load.c` has become, and the one that `kernel-client.c` has. */
  readonly load: string;
  readonly client: string;
  /** lwIP's program, or `null` where there is none. */
  readonly lwip: string | null;
  /** For files that servers need. */
  readonly directory: string;
}

/** The row's number of each round: ratios are taken within a round, so that a machine that was slow then was slow for both. */
export function valuesOf({ subject, reference }: Row): number[] {
  const values = subject.values.map((value, round) =>
    reference === null ? value : value / reference.values[round],
  );
  return values.filter((value) => Number.isFinite(value));
}

/** Whether a row's median is what it is to be; `null` where there is no target, or nothing was measured. */
export function isMet(row: Row): boolean | null {
  const values = valuesOf(row);
  if (row.target === null || values.length === 0) return null;
  const { bound, value } = row.target;
  return bound === "at least" ? median(values) >= value : median(values) <= value;
}

const PATIENCE_MS = 20_000;
let arenas = 0;

/** An arena whose clients are `kernel-load`. */
export async function openArena(server: Server, program: string): Promise<Arena> {
  const arena = await Arena.open(server, program, false, arenas++);
  // Neither a connection before nor one that is just over is to change what the next one does.
  await arena.sysctl("net.ipv4.tcp_no_metrics_save=1", "net.ipv4.ip_local_port_range=1024 65535");
  return arena;
}

/** Tapwire's server of this name. */
export function tapwire(name: string, device: "tun" | "tap", offload: boolean, directory: string): Server {
  return ours(device, offload, directory).find((server) => server.name === name)!;
}

export const tapwireLoop = (device: "tun" | "tap", offload: boolean, directory: string): Server =>
  tapwire(LOOP, device, offload, directory);

/** The same services by Bun's own sockets, behind a cable or in the client's own namespace. */
function bunOnKernel(device: "cable" | "lo"): Server {
  const program = join(import.meta.dir, "bun-server.ts");
  const name = device === "cable" ? "Bun.listen, by a cable" : "Bun.listen, by lo";
  return { name, device, offload: true, command: (word) => [process.execPath, program, word] };
}

/** Tapwire on TUN with offload, in a loop and in the event loop, and Bun.listen by a cable and by lo. */
export function tapwireAndBun(directory: string): Server[] {
  return [
    tapwire(LOOP, "tun", true, directory),
    tapwire(EVENTS, "tun", true, directory),
    bunOnKernel("cable"),
    bunOnKernel("lo"),
  ];
}

/** Runs `kernel-load` in an arena for the time of a measurement: what it has counted, a second. */
export async function countPerSecond(
  arena: Arena,
  { warmSeconds, seconds }: Setting,
  mode: "bulk" | "open" | "ask",
  port: number,
  ...rest: readonly (string | number)[]
): Promise<number> {
  const words = [mode, ADDRESS, port, warmSeconds, seconds, ...rest].map(String);
  const timeoutMs = (warmSeconds + seconds) * 1000 + PATIENCE_MS;
  return perSecond(await undisturbed(() => arena.run(words, timeoutMs)));
}

/** `COUNT UNIT SECONDS s` */
export function perSecond(printed: string): number {
  const match = /^([0-9.]+) [a-z]+ ([0-9.]+) s$/m.exec(printed);
  if (match === null) throw new Error(`kernel-load printed ${JSON.stringify(printed)}`);
  return Number(match[1]) / Number(match[2]);
}

/** A measurement that fails leaves a gap, and says so. */
export async function orNaN(name: string, measure: () => Promise<number>): Promise<number> {
  try {
    return await measure();
  } catch (error) {
    console.log(`${name}: ${error}\n`);
    return Number.NaN;
  }
}
