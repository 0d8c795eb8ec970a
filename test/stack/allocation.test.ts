import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { collectionsOf } from "../support/collections.ts";

const WARM_UP = 200_000;
const TIMEOUT_MS = 120_000;

/** Collections of the engine while `segments` warmed segments pass through two stacks. */
function collections(way: string, segments: number, garbage = 0): Promise<number> {
  const child = join(import.meta.dir, "allocation-child.ts");
  return collectionsOf(child, way, `${WARM_UP}`, `${segments}`, `${garbage}`);
}

describe("a million segments pass through two stacks without one collection", () => {
  for (const way of ["client to server", "server to client", "request and response"]) {
    test(
      way,
      async () => {
        expect(await collections(way, 1_000_000)).toBe(0);
      },
      TIMEOUT_MS,
    );
  }
});

test(
  "the measurement would see a program that allocates",
  async () => {
    expect(await collections("client to server", 1_000_000, 100)).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);
