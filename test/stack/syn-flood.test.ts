import { expect, test } from "bun:test";
import { join } from "node:path";
import { collectionsOf } from "../support/collections.ts";

const WARM_UP = 100_000;
const MEASURED = 1_000_000;

/** Collections of the engine while forged SYNs are answered by cookies. */
function collections(asks: boolean): Promise<number> {
  const child = join(import.meta.dir, "syn-flood-child.ts");
  return collectionsOf(child, `${WARM_UP}`, `${MEASURED}`, asks ? "1" : "0");
}

test("RFC 4987 3.6: a million SYNs are answered by cookies without one collection", async () => {
  expect(await collections(false)).toBe(0);
}, 30_000);

test("the measurement would see a listener that asks its program", async () => {
  expect(await collections(true)).toBeGreaterThan(0);
}, 30_000);
