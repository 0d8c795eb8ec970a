/** The table of a contest. */

import { seededRandom } from "../../src/random.ts";
import { median, printTable } from "../support.ts";
import type { Cell, Contestant, Measurement } from "./contest.ts";

const RESAMPLES = 1000;

const sameCell = (a: Cell, b: Cell) => a.rate === b.rate && a.rtt === b.rtt && a.loss === b.loss;

type Kind = "all" | "steady";

function values(measured: readonly Measurement[], cell: Cell, name: string, kind: Kind): number[] {
  return measured
    .filter((one) => one.contestant.name === name && sameCell(one.cell, cell))
    .map((one) => one[kind]);
}

/** The paths that were taken, in order. */
function cellsOf(measured: readonly Measurement[]): Cell[] {
  const found = new Map(measured.map(({ cell }) => [`${cell.rate} ${cell.rtt} ${cell.loss}`, cell]));
  return [...found.values()].sort((a, b) => a.rate - b.rate || a.rtt - b.rtt || a.loss - b.loss);
}

function contestantsOf(measured: readonly Measurement[]): Contestant[] {
  const found = new Map(measured.map(({ contestant }) => [contestant.name, contestant]));
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The ratio of the medians; `null` where one is missing. */
function ratio(mine: readonly number[], theirs: readonly number[]): number | null {
  return mine.length === 0 || theirs.length === 0 ? null : median(mine) / median(theirs);
}

/** Between which values nine of ten such ratios lie, by drawing anew from what was measured (a bootstrap). */
export function interval(mine: readonly number[], theirs: readonly number[]): readonly [number, number] {
  const random = seededRandom(1);
  const draw = (from: readonly number[]) =>
    from.map(() => from[Math.floor((random.next() / 2 ** 32) * from.length)]);
  const ratios: number[] = [];
  for (let i = 0; i < RESAMPLES; i++) ratios.push(median(draw(mine)) / median(draw(theirs)));
  ratios.sort((a, b) => a - b);
  return [ratios[Math.floor(RESAMPLES * 0.05)], ratios[Math.floor(RESAMPLES * 0.95)]];
}

function showRatio(mine: readonly number[], theirs: readonly number[]): string {
  const middle = ratio(mine, theirs);
  if (middle === null) return "-";
  if (mine.length < 3) return middle.toFixed(2);
  const [low, high] = interval(mine, theirs);
  return `${middle.toFixed(2)} (${low.toFixed(2)} .. ${high.toFixed(2)})`;
}

function geometricMean(ratios: readonly number[]): number {
  return Math.exp(ratios.reduce((sum, each) => sum + Math.log(each), 0) / ratios.length);
}

/** The ratios of all cells together, those of each, and the medians that they are of. */
export function printContest(measured: readonly Measurement[]): void {
  const cells = cellsOf(measured);
  const contestants = contestantsOf(measured);
  const compared = contestants.filter(({ name, reference }) => name !== reference);
  if (compared.length > 0) {
    const summary = compared.map(({ name, reference }) => [
      name,
      reference,
      ...means(measured, cells, name, reference),
    ]);
    printTable(["", "as a multiple of", "geometric mean", "lowest", "steady: mean", "lowest"], summary);
  }
  const head = ["Mbit/s", "ms", "loss, %"];
  const rows = cells.map((cell) => {
    const row = [`${cell.rate}`, `${cell.rtt}`, `${cell.loss}`];
    for (const { name, reference } of compared) {
      for (const kind of ["all", "steady"] as const)
        row.push(showRatio(values(measured, cell, name, kind), values(measured, cell, reference, kind)));
    }
    return row;
  });
  if (compared.length > 0) printTable([...head, ...compared.flatMap(({ name }) => [name, "steady"])], rows);
  printTable(
    [...head, ...contestants.map(({ name }) => name)],
    cells.map((cell) => [
      ...[`${cell.rate}`, `${cell.rtt}`, `${cell.loss}`],
      ...contestants.map(({ name }) => {
        const all = values(measured, cell, name, "all");
        return all.length === 0 ? "-" : median(all).toFixed(2);
      }),
    ]),
  );
}

function means(
  measured: readonly Measurement[],
  cells: readonly Cell[],
  name: string,
  reference: string,
): string[] {
  return (["all", "steady"] as const).flatMap((kind) => {
    const ratios = cells
      .map((cell) => ratio(values(measured, cell, name, kind), values(measured, cell, reference, kind)))
      .filter((each) => each !== null && Number.isFinite(each)) as number[];
    return ratios.length === 0
      ? ["-", "-"]
      : [geometricMean(ratios).toFixed(2), Math.min(...ratios).toFixed(2)];
  });
}
