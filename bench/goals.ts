/** What measurements are held against: the table that comes first, and the rows that a program leaves in a file. */

import { writeFileSync } from "node:fs";
import { describeMachine, median, printTable, spread } from "./support.ts";

/** What the median of a row is to be. */
export interface Target {
  readonly bound: "at least" | "at most";
  readonly value: number;
}

/** One measure: how it is now, and what is asked for. */
export interface Row {
  /** What it is called where a program reads it. */
  readonly name: string;
  readonly measure: string;
  /** `ratio` where it has none. */
  readonly unit: string;
  /** A number for each round. */
  readonly values: readonly number[];
  readonly target: Target | null;
}

/** What a program writes with `--json FILE`. */
export interface Report {
  readonly machine: string;
  readonly date: string;
  readonly rounds: number;
  readonly rows: readonly Row[];
  /** Every single measurement. */
  readonly measured: unknown;
}

export const atLeast = (value: number): Target => ({ bound: "at least", value });
export const atMost = (value: number): Target => ({ bound: "at most", value });

/** Is it what it is to be? `null` where nothing was measured, or nothing is asked. */
export function isMet({ values, target }: Row): boolean | null {
  if (target === null || values.length === 0) return null;
  return target.bound === "at least" ? median(values) >= target.value : median(values) <= target.value;
}

/** What `one` is of `other`, in each round: a machine that was slow then was slow for both. */
export function ratios(one: readonly number[], other: readonly number[]): number[] {
  return one.map((value, round) => value / other[round]).filter((ratio) => Number.isFinite(ratio));
}

/** Prints the rows that something is asked of, but where `--details` says that whoever runs the program does so. */
export function printGoals(rows: readonly Row[]): void {
  if (process.argv.includes("--details")) return;
  const asked = rows.flatMap((row) => (row.target === null ? [] : [{ ...row, target: row.target }]));
  printTable(
    ["measure", "at least", "now", ""],
    asked.map((row) => [row.measure, wanted(row), found(row), VERDICTS[`${isMet(row)}`]]),
  );
}

const VERDICTS: Record<string, string> = { true: "met", false: "**missed**", null: "" };

function wanted({ unit, target: { bound, value } }: Row & { target: Target }): string {
  const words = withUnit(value.toLocaleString("en-US"), unit);
  return bound === "at least" ? words : `at most ${words}`;
}

function found({ unit, values }: Row): string {
  if (values.length === 0) return "not measured";
  return withUnit(spread(values, digits(median(values))), unit);
}

const withUnit = (text: string, unit: string) => (unit === "ratio" ? text : `${text} ${unit}`);

/** Behind the point: three figures are as many as mean something. */
function digits(value: number): number {
  if (Number.isInteger(value) || value >= 100) return 0;
  return value >= 10 ? 1 : 2;
}

/** Writes a report to the file of `--json`, if there is one. */
export function writeReport(
  file: string | undefined,
  rounds: number,
  rows: readonly Row[],
  measured: unknown,
): void {
  if (file === undefined) return;
  const report = {
    machine: describeMachine(),
    date: new Date().toISOString(),
    rounds,
    rows: rows.map((row) => ({
      ...row,
      median: row.values.length === 0 ? null : median(row.values),
      met: isMet(row),
    })),
    measured,
  };
  writeFileSync(file, `${JSON.stringify(report, null, 1)}\n`);
}
