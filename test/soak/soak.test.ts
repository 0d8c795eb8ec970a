import { describe, expect, test } from "bun:test";
import { runCrowd } from "./closings.ts";
import { runSeed } from "./run.ts";

const SEEDS = 200;

test(`${SEEDS} transfers over bad networks: every byte once and in order, or an error`, () => {
  let bytes = 0;
  let ended = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = runSeed(seed);
    bytes += outcome.bytes;
    if (outcome.failure === null) ended++;
  }
  // That errors are reported is no excuse for having nothing else.
  expect(ended).toBeGreaterThan(SEEDS * 0.9);
  expect(bytes).toBeGreaterThan(1_000_000);
}, 120_000);

test("the same seed gives the same run", () => {
  expect(runSeed(7)).toEqual(runSeed(7));
});

describe("connections that send and close at once, over loss in both directions", () => {
  const crowd = { connections: 100, bytes: 100 * 1_024, loss: 0.02, delayMs: 50 };

  test("the sender closes: every byte arrives, or its sender is told; nothing is reset", async () => {
    const outcome = await runCrowd({ ...crowd, seed: 1 });
    expect(outcome.delivered + outcome.errors.length).toBe(100);
    expect(outcome.errors).toEqual([]);
    expect([outcome.resets, outcome.lost > 100]).toEqual([0, true]);
  }, 60_000);

  test("both ends do", async () => {
    const outcome = await runCrowd({ ...crowd, both: true, seed: 2 });
    expect([outcome.delivered, outcome.errors, outcome.resets]).toEqual([200, [], 0]);
  }, 60_000);

  test("the way is gone before all are through: the others are told, and nobody of what did not take place", async () => {
    const outcome = await runCrowd({ ...crowd, bytes: 300 * 1_024, cutAt: 1_300, seed: 3 });
    expect(outcome.delivered + outcome.errors.length).toBe(100);
    expect(outcome.delivered).toBeGreaterThan(10);
    expect(outcome.errors.length).toBeGreaterThan(10);
    expect(new Set(outcome.errors)).toEqual(new Set(["ETIMEDOUT"]));
  }, 60_000);
});
