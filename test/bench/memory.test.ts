import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atLeast, atMost, isMet, type Report, type Row, ratios } from "../../bench/goals.ts";

const PROGRAM = join(import.meta.dir, "../../bench/memory.ts");
const SMALL = "--rounds 1 --mib 4 --connections 200 --idle 5000 --paced 3 --segments 10000".split(" ");
const TIMEOUT_MS = 60_000;

describe("what runs in memory", () => {
  const directory = mkdtempSync(join(tmpdir(), "tapwire-bench-test-"));
  let printed = "";
  let report: Report;

  beforeAll(async () => {
    const json = join(directory, "memory.json");
    const child = Bun.spawn([process.execPath, PROGRAM, ...SMALL, "--json", json], { stderr: "pipe" });
    printed = await new Response(child.stdout).text();
    if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
    report = await Bun.file(json).json();
  }, TIMEOUT_MS);

  afterAll(() => rmSync(directory, { recursive: true }));

  const row = (name: string) => report.rows.find((each) => each.name === name)!;
  const between = (name: string, low: number, high: number) => {
    for (const value of row(name).values) {
      expect(value).toBeGreaterThanOrEqual(low);
      expect(value).toBeLessThanOrEqual(high);
    }
  };

  test("has all rows, a number for each round, and what is asked for", () => {
    expect(report.rounds).toBe(1);
    expect(report.rows.map(({ name, target }) => [name, target?.bound, target?.value])).toEqual([
      ["flow", "at least", 0.4],
      ["flow-checksums", "at least", 0.17],
      ["flow-super-segments", "at least", 2],
      ["connections", "at least", 60_000],
      ["idle-memory", "at most", 1_024],
      ["idle-exchange", "at most", 1.3],
      ["collections-client-to-server", "at most", 0],
      ["collections-server-to-client", "at most", 0],
      ["collections-request-and-response", "at most", 0],
    ]);
    for (const { values } of report.rows) expect(values).toHaveLength(1);
    for (const { measure } of report.rows) expect(printed).toContain(`| ${measure}`);
  });

  test("measures something that can be", () => {
    between("flow", 0.001, 1);
    between("flow-checksums", 0.001, 1);
    between("flow-super-segments", 0.1, 100);
    between("connections", 10, 1_000_000);
    between("idle-memory", 50, 100_000);
    between("idle-exchange", 0.01, 100);
    between("collections-client-to-server", 0, 1_000);
  });
});

describe("what measurements are held against", () => {
  const row = (values: number[], target: Row["target"]): Row => ({
    name: "",
    measure: "",
    unit: "ratio",
    values,
    target,
  });

  test("the median decides", () => {
    expect(isMet(row([1, 9, 2], atLeast(2)))).toBe(true);
    expect(isMet(row([1, 9, 2], atLeast(2.1)))).toBe(false);
    expect(isMet(row([1, 9, 2], atMost(2)))).toBe(true);
    expect(isMet(row([1, 9, 2], atMost(1.9)))).toBe(false);
  });

  test("what was not measured is neither met nor missed", () => {
    expect(isMet(row([], atLeast(2)))).toBe(null);
    expect(isMet(row([1], null))).toBe(null);
  });

  test("ratios are taken within a round, and a measurement that failed has none", () => {
    expect(ratios([2, 9, 1], [1, 3, Number.NaN])).toEqual([2, 3]);
  });
});
