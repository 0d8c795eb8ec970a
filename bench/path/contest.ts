/** Who is measured on which path, and in what order. */

import { type EmulatedPath, EmulatedPath as Path, type PathReport } from "./emulated-path.ts";
import { type Flow, type FlowResult, goodput, runFlows } from "./flows.ts";

/** A path that everybody takes. */
export interface Cell {
  /** Mbit/s, ms, percent. */
  readonly rate: number;
  readonly rtt: number;
  readonly loss: number;
}

export interface Contestant extends Flow {
  readonly name: string;
  /** Of the kernel's flow that this one is held against; its own for that. */
  readonly reference: string;
}

/** One transfer of one contestant. */
export interface Measurement {
  readonly cell: Cell;
  readonly contestant: Contestant;
  readonly seed: number;
  /** Mbit/s of all, and after the first quarter. */
  readonly all: number;
  readonly steady: number;
  readonly flow: FlowResult;
  readonly path: PathReport;
}

export interface ContestOptions {
  readonly cells: readonly Cell[];
  readonly contestants: readonly Contestant[];
  readonly seeds: readonly number[];
  readonly seconds: number;
  readonly buffer: number;
  readonly lossBoth: boolean;
  /** Bytes of the queue; by default one bandwidth-delay product. */
  readonly queue?: number | undefined;
  /** What may run at the same time: so many transfers, of so many Mbit/s together. */
  readonly jobs: number;
  readonly load: number;
}

/** The kernel's flow for each congestion control, and tapwire's as far as they are asked for. */
export function contestants(
  congestionControls: readonly string[],
  roles: readonly string[],
): readonly Contestant[] {
  return congestionControls.flatMap((cc) => {
    const reference = `kernel ${cc}`;
    const all: Contestant[] = [
      { name: reference, reference, sender: "kernel", receiver: "kernel", cc },
      { name: `tapwire sends ${cc}`, reference, sender: "tapwire", receiver: "kernel", cc },
      { name: `tapwire receives ${cc}`, reference, sender: "kernel", receiver: "tapwire", cc },
      { name: `tapwire both ${cc}`, reference, sender: "tapwire", receiver: "tapwire", cc },
    ];
    return all.filter(({ name }) => name === reference || roles.includes(name.split(" ")[1]));
  });
}

const SEGMENT_BITS = 1448 * 8;
/** Time that ends get to start and, where SYNs are lost, to connect, ms. */
const START_MS = 40_000;
/** How often a transfer is made that fails, or during which the line did not keep its time. */
const ATTEMPTS = 3;
/** So late one packet of a hundred may be, ms. */
const LATE_MS = 1;

/** What a transfer will about take of the machine, Mbit/s: Mathis et al. for what stops at losses. */
function expected({ rate, rtt, loss }: Cell, cc: string): number {
  if (loss === 0 || cc === "bbr") return rate;
  return Math.min(rate, (2 * SEGMENT_BITS) / (rtt * 1000 * Math.sqrt(loss / 100)));
}

/**
 * Measures everybody on each path before the next one, a seed after the other, so that whatever the machine does befalls
 * all of them. What needs little of the machine runs beside each other.
 */
export async function contest(
  options: ContestOptions,
  onMeasured: (measurement: Measurement) => void,
): Promise<void> {
  const { cells, seeds, jobs, load } = options;
  const tasks = seeds.flatMap((seed) =>
    cells.flatMap((cell) => options.contestants.map((contestant) => ({ seed, cell, contestant }))),
  );
  const running = new Set<Promise<void>>();
  let busy = 0;
  for (const { seed, cell, contestant } of tasks) {
    const share = expected(cell, contestant.cc);
    while (running.size >= jobs || (running.size > 0 && busy + share > load)) await Promise.race(running);
    busy += share;
    const task: Promise<void> = measure(options, cell, contestant, seed).then((measurement) => {
      running.delete(task);
      busy -= share;
      if (measurement !== null) onMeasured(measurement);
    });
    running.add(task);
  }
  await Promise.all(running);
}

async function measure(
  options: ContestOptions,
  cell: Cell,
  contestant: Contestant,
  seed: number,
): Promise<Measurement | null> {
  const { seconds, buffer, lossBoth, queue } = options;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    let path: EmulatedPath | null = null;
    try {
      path = await Path.open({ ...cell, seed, lossBoth, ...(queue === undefined ? {} : { queue }) });
      const timeoutMs = seconds * 1000 + START_MS;
      const [flow] = await runFlows(path, [contestant], { seconds, bytes: 0, buffer, timeoutMs });
      const report = await path.close();
      if (report.late.p99 > LATE_MS && attempt < ATTEMPTS) continue;
      const [all, steady] = [goodput(flow.received), goodput(flow.received, seconds / 4)];
      return { cell, contestant, seed, all, steady, flow, path: report };
    } catch (error) {
      console.error(`${contestant.name}, ${JSON.stringify(cell)}, seed ${seed}: ${error}`);
      await path?.close().catch(() => {});
    }
  }
  return null;
}
