/**
 * Attacks on live connections, from seeds: see README.md for who attacks, and what must not come of it. A run that is stopped goes
 * on where it was.
 *
 *   bun run fuzz [--frames 10000000 | --seconds N] [--seed 1] [--state fuzz.json] [--restart] [--out DIR]
 *   bun run fuzz --seed N --frames 20000 --restart     one round, from a seed that was told
 *   bun run fuzz --replay FILE                         what was found, again
 *
 * What is found is made small, and written into DIR twice: as a journal, which --replay plays, and as a script in packetdrill's
 * language. The exit code is then 1.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { catchPrey, play, ROUND_FRAMES, runSeed } from "./hunt.ts";
import { parseJournal } from "./journal.ts";
import type { RoundOptions } from "./round.ts";
import { startWatchdog, type Watchdog } from "./watchdog.ts";

interface State {
  readonly from: number;
  next: number;
  frames: number;
  lucky: number;
  answersToPeer: number;
  answers: number;
  bytes: number;
  virtualMs: number;
  wallMs: number;
  cpuMs: number;
  byGenerator: Record<string, number>;
  /** Seeds of rounds that have found something. */
  failed: number[];
}

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    frames: { type: "string", default: "10000000" },
    seconds: { type: "string" },
    state: { type: "string", default: "fuzz.json" },
    restart: { type: "boolean", default: false },
    out: { type: "string", default: "." },
    replay: { type: "string" },
  },
});
const SAVE_EVERY_MS = 2_000;
let watchdog: Watchdog | null = null;

function whole(name: "seed" | "frames" | "seconds"): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 40) return value;
  console.error(`fuzz: --${name} wants a whole number, not ${values[name]}`);
  process.exit(2);
}

if (values.replay !== undefined) {
  const { finding, virtualMs } = play(parseJournal(readFileSync(values.replay, "utf8")));
  console.log(finding?.message ?? `nothing was found in ${virtualMs} ms of virtual time`);
  process.exit(finding === null ? 0 : 1);
}
const state = fuzz(load());
report(state);
process.exit(state.failed.length > 0 ? 1 : 0);

function load(): State {
  const from = whole("seed");
  if (!values.restart && existsSync(values.state)) {
    const kept: State = JSON.parse(readFileSync(values.state, "utf8"));
    if (kept.from === from) return kept;
  }
  const counts = {
    frames: 0,
    lucky: 0,
    answersToPeer: 0,
    answers: 0,
    bytes: 0,
    virtualMs: 0,
    wallMs: 0,
    cpuMs: 0,
  };
  return { from, next: from, ...counts, byGenerator: {}, failed: [] };
}

function fuzz(state: State): State {
  const seconds = values.seconds === undefined ? Number.POSITIVE_INFINITY : whole("seconds");
  const frames = values.seconds === undefined ? whole("frames") : Number.POSITIVE_INFINITY;
  const ends = performance.now() + seconds * 1_000;
  watchdog = startWatchdog();
  let savedAt = performance.now();
  while (state.frames < frames && performance.now() < ends) {
    round(state, Math.min(ROUND_FRAMES, frames - state.frames));
    const now = performance.now();
    if (now - savedAt < SAVE_EVERY_MS) continue;
    savedAt = now;
    save(state);
    process.stderr.write(`\r${many(state.frames)} frames, seed ${state.next}, ${state.failed.length} found`);
  }
  process.stderr.write("\r\x1b[K");
  watchdog.stop();
  save(state);
  return state;
}

function round(state: State, frames: number): void {
  const seed = state.next++;
  const started = performance.now();
  const { user, system } = process.cpuUsage();
  const report = runSeed(seed, frames, watched(seed));
  const cpu = process.cpuUsage();
  state.wallMs += performance.now() - started;
  state.cpuMs += (cpu.user + cpu.system - user - system) / 1_000;
  for (const name of ["frames", "lucky", "answersToPeer", "answers", "bytes", "virtualMs"] as const) {
    state[name] += report[name];
  }
  for (const [name, count] of Object.entries(report.byGenerator)) {
    state.byGenerator[name] = (state.byGenerator[name] ?? 0) + count;
  }
  if (report.finding === null) return;
  state.failed.push(seed);
  console.error(`\rseed ${seed}: ${report.finding.message}\nmaking it small ...`);
  tell(seed, frames);
}

/** Tells the watchdog of each round. */
function watched(seed: number): RoundOptions {
  return { onWorld: () => watchdog?.note(seed) };
}

/** Writes down what the seed has found. */
function tell(seed: number, frames: number): void {
  const { message, text, script } = catchPrey(seed, frames, watched(seed));
  mkdirSync(values.out, { recursive: true });
  const name = join(values.out, `fuzz-${seed}`);
  writeFileSync(`${name}.journal`, text);
  writeFileSync(`${name}.pkt`, script);
  console.error(`${message}\n${script}\nbun run fuzz --replay ${name}.journal\n`);
}

function save(state: State): void {
  writeFileSync(values.state, `${JSON.stringify(state)}\n`);
}

function many(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

function report(state: State): void {
  const { from, next, frames, lucky, answersToPeer, answers, bytes, virtualMs, wallMs, cpuMs, failed } =
    state;
  console.log(`${many(frames)} frames in ${many(next - from)} rounds, from seed ${from} on`);
  console.log(
    `${many(wallMs / 1_000)} s, ${many(cpuMs / 1_000)} s of computing, ${many(frames / (cpuMs / 1_000))} frames a second`,
  );
  const kinds = Object.entries(state.byGenerator).map(([name, count]) => `${name} ${many(count)}`);
  console.log(kinds.join(", "));
  console.log(`${many(lucky)} that would have hit by chance were left out`);
  console.log(`${many(answers)} answers, of which ${many(answersToPeer)} on the connection`);
  console.log(
    `${many(virtualMs / 3_600_000)} hours of virtual time, ${many(bytes)} bytes delivered meanwhile`,
  );
  console.log(`seeds that found something: ${failed.join(", ") || "none"}`);
}
