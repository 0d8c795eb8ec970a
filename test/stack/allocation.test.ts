import { expect, test } from "bun:test";
import { join } from "node:path";

const WARM_UP = 200_000;

/** Collections of the engine while `segments` warmed segments pass through two stacks. */
async function collections(segments: number, garbage = 0): Promise<number> {
  const child = Bun.spawn({
    cmd: [
      process.execPath,
      join(import.meta.dir, "allocation-child.ts"),
      `${WARM_UP}`,
      `${segments}`,
      `${garbage}`,
    ],
    env: { ...process.env, BUN_JSC_logGC: "1" },
    stdout: "ignore",
    stderr: "pipe",
  });
  const log = await new Response(child.stderr).text();
  expect(await child.exited).toBe(0);
  const [, measured] = log.split(/\nMEASURE\n|\nDONE\n/);
  return measured.split("START M").length - 1;
}

test("a million segments pass through two stacks without one collection", async () => {
  expect(await collections(1_000_000)).toBe(0);
}, 30_000);

test("the measurement would see a program that allocates", async () => {
  expect(await collections(1_000_000, 100)).toBeGreaterThan(0);
}, 30_000);
