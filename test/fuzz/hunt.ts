import { formatJournal, type Journal } from "./journal.ts";
import { LivePlan } from "./live-plan.ts";
import { packetdrillScript } from "./packetdrill.ts";
import { Recorder } from "./recorder.ts";
import { type Outcome, type RoundOptions, runRound } from "./round.ts";
import { scenarioOf } from "./scenario.ts";
import { ScriptPlan } from "./script-plan.ts";
import { shrink } from "./shrink.ts";

/** Frames of a round: enough to fill tables and use up limits, few enough to be shrunk in seconds. */
export const ROUND_FRAMES = 20_000;

/** A round as it went. */
export interface RoundReport extends Outcome {
  readonly seed: number;
  readonly frames: number;
  /** Frames that would have hit by chance, and were left out. */
  readonly lucky: number;
  readonly byGenerator: Readonly<Record<string, number>>;
}

/** Something that was found, and what is left of the round that shows it. */
export interface Prey {
  readonly seed: number;
  readonly message: string;
  readonly journal: Journal;
  /** The journal as text, and in packetdrill's language. */
  readonly text: string;
  readonly script: string;
}

/** Runs the round of a seed. */
export function runSeed(seed: number, frames = ROUND_FRAMES, options: RoundOptions = {}): RoundReport {
  const plan = new LivePlan(seed, frames);
  const outcome = runRound(scenarioOf(seed), plan, options);
  const { attacker } = plan;
  return {
    ...outcome,
    seed,
    frames: attacker?.made ?? 0,
    lucky: attacker?.lucky ?? 0,
    byGenerator: attacker?.byGenerator ?? {},
  };
}

/** Runs a round that has found something again, and makes it as small as it can. */
export function catchPrey(
  seed: number,
  frames = ROUND_FRAMES,
  options: RoundOptions = {},
  trials?: number,
): Prey {
  const recorder = new Recorder(new LivePlan(seed, frames));
  const scenario = scenarioOf(seed);
  const { finding } = runRound(scenario, recorder, options);
  if (finding === null) throw new Error(`seed ${seed} found something, and does not when it runs again`);
  const whole: Journal = { scenario, items: recorder.items };
  const shows = (journal: Journal) => play(journal, options).finding?.rule === finding.rule;
  const journal = shows(whole) ? shrink(whole, shows, trials) : whole;
  const message = play(journal, options).finding?.message ?? finding.message;
  const title = `${message}\nseed ${seed}; bun run fuzz --seed ${seed} --frames ${frames}`;
  return {
    seed,
    message,
    journal,
    text: formatJournal(journal, title),
    script: packetdrillScript(journal, title, options),
  };
}

/** Plays a journal. */
export function play(journal: Journal, options: RoundOptions = {}): Outcome {
  return runRound(journal.scenario, new ScriptPlan(journal.items), options);
}
