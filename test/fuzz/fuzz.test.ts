import { expect, test } from "bun:test";
import { GENERATORS } from "./attacker.ts";
import { catchPrey, type RoundReport, runSeed } from "./hunt.ts";
import { FLAVOURS } from "./scenario.ts";

/** What one round of the suite sends; `bun run fuzz` has longer ones. */
const FRAMES = 4_000;
/** Real time for rounds whose seeds nobody has tried before. */
const NEW_SEEDS_MS = process.env.CI === "true" ? 15_000 : 3_000;

/** Runs a round that must find nothing; what it finds is shown small. */
function attack(seed: number): RoundReport {
  const report = runSeed(seed, FRAMES);
  if (report.finding === null) return report;
  const { message, script } = catchPrey(seed, FRAMES);
  throw new Error(`seed ${seed}, ${FRAMES} frames: ${message}\n${script}`);
}

test("a connection in every state is attacked in every way, and nothing comes of it", () => {
  const made: Record<string, number> = {};
  let answers = 0;
  let bytes = 0;
  // Twice: fifteen seeds in a row have all flavours, and on two media.
  for (let seed = 0; seed < 2 * FLAVOURS.length; seed++) {
    const report = attack(seed);
    for (const [name, count] of Object.entries(report.byGenerator)) made[name] = (made[name] ?? 0) + count;
    answers += report.answersToPeer;
    bytes += report.bytes;
  }
  for (const name of GENERATORS) expect(made[name]).toBeGreaterThan(100);
  // Some of it got as far as to be answered, and the connections went on beside it.
  expect(answers).toBeGreaterThan(1_000);
  expect(bytes).toBeGreaterThan(100_000);
}, 60_000);

test("nor from seeds that are new each time", () => {
  const until = performance.now() + NEW_SEEDS_MS;
  for (let seed = Date.now() % 0x1000_0000; performance.now() < until; seed++) attack(seed);
}, 120_000);

test("the same seed gives the same round", () => {
  expect(runSeed(7, 2_000)).toEqual(runSeed(7, 2_000));
});
