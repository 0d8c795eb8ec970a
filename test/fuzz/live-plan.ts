import { Attacker } from "./attacker.ts";
import { Dice } from "./dice.ts";
import type { Staging } from "./flavours.ts";
import type { Action, Plan } from "./round.ts";
import type { World } from "./world.ts";

/** Frames that come at once: one is answered for itself, few may be; and more than a poll takes, one time in so many. */
const MOST_AT_ONCE = 64;
const FLOOD = 700;
const FLOOD_ONE_IN = 256;
/** Keeps what decides about the attack apart from what decides about the scenario. */
const ATTACK_SALT = 0x5bd1e995;

/** An attack made up as it goes, from a seed: bursts of frames, and pauses of up to minutes. */
export class LivePlan implements Plan {
  attacker: Attacker | null = null;
  private readonly dice: Dice;
  private framesLeft: number;
  private burstsLeft = 0;
  private waitedMs = 0;
  private longestMs = 0;
  private totalMs = 0;

  constructor(seed: number, frames: number) {
    this.dice = new Dice(seed ^ ATTACK_SALT);
    this.framesLeft = frames;
  }

  begin(world: World, { longestMs, totalMs }: Staging): void {
    this.attacker = new Attacker(this.dice, world.target);
    this.longestMs = longestMs;
    this.totalMs = totalMs;
  }

  next(): Action | null {
    const { dice, attacker } = this;
    if (attacker === null) throw new Error("the plan has not begun");
    if (this.framesLeft <= 0) return null;
    if (this.burstsLeft === 0) {
      this.burstsLeft = dice.logarithmic(1, 100);
      const ms = dice.logarithmic(1, this.longestMs) * (dice.chance(1, 8) ? 1 : 0.05);
      if (this.waitedMs + ms <= this.totalMs) {
        this.waitedMs += ms;
        return { kind: "wait", ms };
      }
    }
    this.burstsLeft--;
    const atOnce = dice.chance(1, FLOOD_ONE_IN) ? FLOOD : dice.logarithmic(1, MOST_AT_ONCE);
    const size = Math.min(atOnce, this.framesLeft);
    this.framesLeft -= size;
    attacker.left = size;
    return { kind: "burst", attack: attacker };
  }
}
