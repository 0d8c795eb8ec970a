import { expect, test } from "bun:test";
import { join } from "node:path";
import { collectionsOf } from "../support/collections.ts";

const WARM_UP = 200_000;

/** Collections of the engine while `segments` warmed segments pass through two stacks. */
function collections(segments: number, garbage = 0): Promise<number> {
  const child = join(import.meta.dir, "allocation-child.ts");
  return collectionsOf(child, `${WARM_UP}`, `${segments}`, `${garbage}`);
}

test("a million segments pass through two stacks without one collection", async () => {
  expect(await collections(1_000_000)).toBe(0);
}, 30_000);

test("the measurement would see a program that allocates", async () => {
  expect(await collections(1_000_000, 100)).toBeGreaterThan(0);
}, 30_000);
