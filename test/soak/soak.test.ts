import { expect, test } from "bun:test";
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
