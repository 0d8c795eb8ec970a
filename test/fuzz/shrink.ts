import type { Item, Journal } from "./journal.ts";
import { leaveOut } from "./leave-out.ts";
import { simplerFrames } from "./simplify.ts";
import { simplerScenarios } from "./simplify-scenario.ts";

/** Whether a journal still shows what another one has shown. */
export type Shows = (journal: Journal) => boolean;

/** Trials for one finding: each is a round. */
const MOST_TRIALS = 2_000;

/**
 * The smallest journal that can be found from `journal` by leaving out and simplifying, such that `shows` holds: fewer items, then
 * frames that come one at a time, a plainer scenario, frames with fewer fields that matter.
 */
export function shrink(journal: Journal, shows: Shows, most = MOST_TRIALS): Journal {
  let trials = 0;
  let best = journal;
  const tries = (candidate: Journal): boolean => {
    if (trials >= most) return false;
    trials++;
    if (!shows(candidate)) return false;
    best = candidate;
    return true;
  };
  for (let size = -1; size !== sizeOf(best) && trials < most; ) {
    size = sizeOf(best);
    fewerItems(tries, () => best);
    tries({ ...best, items: oneByOne(best.items) });
    fewerItems(tries, () => best);
    for (const simpler of simplerScenarios(best)) tries(simpler);
    shorterWaits(tries, () => best);
    simplerItems(tries, () => best);
  }
  return best;
}

/** What is to become smaller: frames first, then bytes that are not 0. */
function sizeOf({ scenario, items }: Journal): number {
  let size = JSON.stringify(scenario).length;
  for (const item of items) {
    size += 10_000;
    if (item.kind === "wait") continue;
    for (const frame of item.frames)
      size += 10_000 + frame.length + frame.filter((byte) => byte !== 0).length;
  }
  return size;
}

function fewerItems(tries: (candidate: Journal) => boolean, best: () => Journal): void {
  leaveOut(best().items, (items) => tries({ ...best(), items }));
  for (let i = 0; i < best().items.length; i++) {
    const item = best().items[i];
    if (item.kind === "wait" || item.frames.length < 2) continue;
    leaveOut(item.frames, (frames) => tries(withItem(best(), i, { kind: "burst", frames })));
  }
}

function oneByOne(items: readonly Item[]): readonly Item[] {
  return items.flatMap((item): readonly Item[] =>
    item.kind === "wait" ? [item] : item.frames.map((frame) => ({ kind: "burst", frames: [frame] })),
  );
}

function shorterWaits(tries: (candidate: Journal) => boolean, best: () => Journal): void {
  for (let i = 0; i < best().items.length; i++) {
    for (const ms of [0, 1, 10, 100, 1_000, 10_000]) {
      const item = best().items[i];
      if (item.kind === "burst" || ms >= item.ms) break;
      if (tries(withItem(best(), i, { kind: "wait", ms }))) break;
    }
  }
}

function simplerItems(tries: (candidate: Journal) => boolean, best: () => Journal): void {
  const { medium } = best().scenario;
  for (let i = 0; i < best().items.length; i++) {
    const item = best().items[i];
    if (item.kind === "wait") continue;
    for (let k = 0; k < item.frames.length; k++) {
      const current = () => (best().items[i] as typeof item).frames;
      simplerFrames(current()[k], medium, (frame) => {
        const frames = current().map((each, j) => (j === k ? frame : each));
        return tries(withItem(best(), i, { kind: "burst", frames }));
      });
    }
  }
}

function withItem(journal: Journal, i: number, item: Item): Journal {
  return { ...journal, items: journal.items.map((each, k) => (k === i ? item : each)) };
}
