/**
 * Goodput against the kernel's TCP on the same emulated path in the same run. The path is a program of ours between a TUN
 * interface in each of two network namespaces: rate, delay, loss by seed and a drop-tail queue. Root, Linux.
 *
 *   bun bench/path.ts [--quick] [--cc cubic,bbr] [--only sends,receives,both]
 *                     [--rates 10,100] [--rtts 10,50,200] [--losses 0,0.1,1,3,10] [--loss-both] [--queue BYTES]
 *                     [--seconds 10] [--seeds 5] [--first-seed 1] [--buffer BYTES] [--jobs 6] [--load 120] [--json FILE]
 *                     [--detail]
 *   bun bench/path.ts --merge FILE,FILE   the table of what several runs with --json have measured
 *   bun bench/path.ts --fairness [--cc cubic] [--seconds 60] [--seeds 1]
 *   bun bench/path.ts --transfer 1GiB [--losses 1] [--rates 1000] [--rtts 1] [--cc cubic] [--only sends,receives]
 *   bun bench/path.ts --verify
 *
 * What the table says, and how to read it, is in README.md.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { requirement } from "../test/support/system.ts";
import { type Cell, contest, contestants, type Measurement } from "./path/contest.ts";
import { fairness, printShares } from "./path/fairness.ts";
import type { Flow } from "./path/flows.ts";
import { printContest } from "./path/table.ts";
import { transfer } from "./path/transfer.ts";
import { verify } from "./path/verify.ts";
import { describeMachine } from "./support.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    cc: { type: "string", default: "cubic" },
    only: { type: "string", default: "sends,receives" },
    rates: { type: "string" },
    rtts: { type: "string" },
    losses: { type: "string" },
    "loss-both": { type: "boolean", default: false },
    queue: { type: "string" },
    seconds: { type: "string" },
    seeds: { type: "string" },
    "first-seed": { type: "string", default: "1" },
    buffer: { type: "string", default: "0" },
    jobs: { type: "string", default: "6" },
    load: { type: "string", default: "120" },
    json: { type: "string" },
    merge: { type: "string" },
    detail: { type: "boolean", default: false },
    fairness: { type: "boolean", default: false },
    transfer: { type: "string" },
    verify: { type: "boolean", default: false },
  },
});

const words = (text: string) => text.split(",").filter((word) => word !== "");

/** The numbers of an option. */
function numbers(name: "rates" | "rtts" | "losses", otherwise: string): number[] {
  const found = words(values[name] ?? otherwise).map(Number);
  if (found.some((each) => !(each >= 0)))
    throw new Error(`--${name} wants numbers, with commas between them`);
  return found;
}

/** One number, above 0 unless `least` says otherwise. */
function number(text: string | undefined, otherwise: number, name: string, least = Number.MIN_VALUE): number {
  const found = text === undefined ? otherwise : Number(text);
  if (!(found >= least)) throw new Error(`--${name} wants a number`);
  return found;
}

function bytesOf(text: string): number {
  const match = /^([0-9.]+)(GiB|MiB|KiB)?$/.exec(text);
  if (match === null) throw new Error("--transfer wants bytes, such as 1GiB");
  return Math.round(Number(match[1]) * 1024 ** ["", "KiB", "MiB", "GiB"].indexOf(match[2] ?? ""));
}

const seedsFrom = (count: number) =>
  Array.from({ length: count }, (_, i) => number(values["first-seed"], 1, "first-seed") + i);

const congestionControls = words(values.cc);
const buffer = number(values.buffer, 0, "buffer", 0);

function writeJson(what: object): void {
  if (values.json === undefined) return;
  const about = {
    machine: describeMachine(),
    date: new Date().toISOString(),
    arguments: process.argv.slice(2),
  };
  writeFileSync(values.json, `${JSON.stringify({ ...about, ...what }, null, 1)}\n`);
}

async function runContest(): Promise<void> {
  const cells: Cell[] = [];
  for (const rate of numbers("rates", "10,100"))
    for (const rtt of numbers("rtts", "10,50,200"))
      for (const loss of numbers("losses", "0,0.1,1,3,10")) cells.push({ rate, rtt, loss });
  const seconds = number(values.seconds, values.quick ? 5 : 10, "seconds");
  const seeds = seedsFrom(number(values.seeds, values.quick ? 1 : 5, "seeds"));
  const everybody = contestants(congestionControls, words(values.only));
  const started = performance.now();
  const elapsed = () => ((performance.now() - started) / 1000).toFixed(0);
  const total = cells.length * everybody.length * seeds.length;
  const measured: Measurement[] = [];
  await contest(
    {
      cells,
      contestants: everybody,
      seeds,
      seconds,
      buffer,
      lossBoth: values["loss-both"],
      queue: values.queue === undefined ? undefined : number(values.queue, 0, "queue"),
      jobs: number(values.jobs, 0, "jobs"),
      load: number(values.load, 0, "load"),
    },
    (measurement) => {
      measured.push(measurement);
      if (values.detail) console.log(detail(measurement));
      if (measured.length % Math.ceil(total / 10) !== 0) return;
      process.stderr.write(`${measured.length} of ${total}, ${elapsed()} s\n`);
      // What is measured is kept, whatever comes.
      writeJson({ seconds, seeds, measured });
    },
  );
  writeJson({ seconds, seeds, measured });
  console.log(
    `${describeMachine()}; medians of ${seeds.length} seeds, transfers of ${seconds} s; it took ${elapsed()} s\n`,
  );
  printContest(measured);
  printPrecision(measured);
}

function merge(files: readonly string[]): void {
  const measured = files.flatMap((file) => JSON.parse(readFileSync(file, "utf8")).measured as Measurement[]);
  printContest(measured);
  printPrecision(measured);
}

/** A transfer in a line. */
function detail({ cell, contestant, seed, all, steady, flow, path }: Measurement): string {
  const { rate, rtt, loss } = cell;
  const { forth, back } = path;
  return [
    `${rate} Mbit/s, ${rtt} ms, ${loss} %, seed ${seed}: ${contestant.name} ${all.toFixed(2)}, steady ${steady.toFixed(2)};`,
    `${forth.received} packets, ${forth.dropped} lost, ${forth.queueDropped} by the queue, ${back.received} back;`,
    JSON.stringify(flow.sent.info),
  ].join(" ");
}

/** Whether the line kept its time, so that the machine is not what was measured. */
function printPrecision(measured: readonly Measurement[]): void {
  const late = measured.map(({ path }) => path.late.p99).sort((a, b) => a - b);
  const strays = measured.filter(({ path }) => path.strays > 0).length;
  if (late.length === 0) return;
  console.log(
    `The line was late by less than ${late[late.length >> 1].toFixed(2)} ms for 99 of 100 packets (median of the ` +
      `transfers; ${late.at(-1)!.toFixed(2)} in the worst). Transfers with packets lost elsewhere: ${strays}.`,
  );
}

async function runFairness(): Promise<void> {
  const [rate] = numbers("rates", "50");
  const [rtt] = numbers("rtts", "40");
  const seconds = number(values.seconds, 60, "seconds");
  const seeds = seedsFrom(number(values.seeds, 1, "seeds"));
  const shares = await fairness({ rate, rtt, cc: congestionControls[0], seconds, seeds, buffer });
  console.log(`${describeMachine()}; ${rate} Mbit/s, ${rtt} ms, a queue of one BDP, ${seconds} s\n`);
  printShares(shares);
  writeJson({ shares });
}

async function runTransfer(size: string): Promise<void> {
  const [rate] = numbers("rates", "1000");
  const [rtt] = numbers("rtts", "1");
  const [loss] = numbers("losses", "1");
  const [cc] = congestionControls;
  const [seed] = seedsFrom(1);
  const roles: Record<string, Flow> = {
    sends: { sender: "tapwire", receiver: "kernel", cc },
    receives: { sender: "kernel", receiver: "tapwire", cc },
    both: { sender: "tapwire", receiver: "tapwire", cc },
  };
  const flows = words(values.only).map((role) => roles[role]);
  console.log(`${describeMachine()}; ${rate} Mbit/s, ${rtt} ms, ${loss} % loss, seed ${seed}\n`);
  const right = await transfer({ bytes: bytesOf(size), rate, rtt, loss, cc, seed, buffer, flows });
  if (!right) process.exitCode = 1;
}

const reason = requirement(["tun", "ping", "sysctl", "chrt"]);
if (reason !== null) {
  console.log(`bench/path.ts ${reason}`);
  process.exit(1);
}
if (values.merge !== undefined) merge(words(values.merge));
else if (values.verify)
  await verify(numbers("rates", "10,100"), numbers("rtts", "10,50,200"), numbers("losses", "0,0.1,1,3,10"));
else if (values.fairness) await runFairness();
else if (values.transfer !== undefined) await runTransfer(values.transfer);
else await runContest();
