/** What the benchmarks share: medians of interleaved runs, and tables. */

import { cpus, release } from "node:os";

/** So often before it counts: the engine compiles bit by bit what runs often, and on two busy cores it is seconds behind. */
export const WARM_UPS = 3;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Numbers measured so far, by name. */
export class Samples {
  private readonly byName = new Map<string, number[]>();

  add(name: string, value: number): void {
    const values = this.byName.get(name);
    if (values === undefined) this.byName.set(name, [value]);
    else values.push(value);
  }

  of(name: string): readonly number[] {
    return this.byName.get(name) ?? [];
  }

  /** All of them. */
  all(): Record<string, readonly number[]> {
    return Object.fromEntries(this.byName);
  }
}

/**
 * Runs all measurements in turn, `rounds` times over. A machine that is slow for a while is then slow for each of them,
 * and what they are relative to each other stays true.
 */
export async function interleaved(
  rounds: number,
  measurements: readonly (() => void | Promise<void>)[],
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    for (const measure of measurements) await measure();
  }
}

/** `median (lowest .. highest)`; one number as it is; without any, a dash. */
export function spread(values: readonly number[], digits: number): string {
  if (values.length === 0) return "-";
  if (values.length === 1) return values[0].toFixed(digits);
  const [middle, low, high] = [median(values), Math.min(...values), Math.max(...values)];
  return `${middle.toFixed(digits)} (${low.toFixed(digits)} .. ${high.toFixed(digits)})`;
}

/** Prints a table as markdown has it. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i].length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  console.log([line(head), rule, ...rows.map(line), ""].join("\n"));
}

/** ns of one call, of `count`, after a tenth as many to warm up. */
export function nsEach(count: number, body: () => void): number {
  for (let i = 0; i < count / 10; i++) body();
  const start = performance.now();
  for (let i = 0; i < count; i++) body();
  return ((performance.now() - start) * 1e6) / count;
}

/** The machine, in a line. */
export function describeMachine(): string {
  const cores = cpus();
  return `${cores.length} cores (${cores[0]?.model.trim()}), ${process.platform} ${release()}, Bun ${Bun.version}`;
}

/** The number behind `--name` on the command line. */
export function flag(name: string, otherwise: number): number {
  const at = process.argv.indexOf(`--${name}`);
  if (at === -1) return otherwise;
  const value = Number(process.argv[at + 1]);
  if (!(value > 0)) throw new Error(`--${name} wants a number above 0`);
  return value;
}

/** The word behind `--name` on the command line. */
export function word(name: string): string | undefined {
  const at = process.argv.indexOf(`--${name}`);
  return at === -1 ? undefined : process.argv[at + 1];
}
