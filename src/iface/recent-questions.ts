import type { Random } from "../random.ts";

/** RFC 1122 2.3.2.1: at most one question a second to an address. */
export const QUESTION_INTERVAL_MS = 1_000;

/** Questions that are remembered, in 48 KiB: a power of two. */
const PLACES = 4_096;
const MASK = PLACES - 1;
/** Places next to each other in which an address may be. */
const WINDOW = 8;

/**
 * Which addresses have been asked for within the last second. This is kept apart from the neighbours: those are forgotten
 * for others, and who makes us forget them may not make us ask again.
 *
 * A question that is a second old leaves its place by itself. Where none is left in an address's window, which takes
 * thousands of questions in a second, nothing is asked: the limit holds in any case.
 */
export class RecentQuestions {
  /** Addresses as words, and when each was asked for, in ms. */
  private readonly address = new Int32Array(PLACES);
  private readonly askedAt = new Float64Array(PLACES).fill(-Infinity);
  private readonly seed: number;
  private readonly factor: number;

  constructor(random: Random) {
    this.seed = random.next() | 0;
    this.factor = random.next() | 1;
  }

  /** From when on the address may be asked for again, in ms: `-Infinity` where it has not been asked for lately. */
  mayAskFrom(address: number, now: number): number {
    const first = this.hash(address);
    for (let i = 0; i < WINDOW; i++) {
      const place = (first + i) & MASK;
      const until = this.askedAt[place] + QUESTION_INTERVAL_MS;
      if (now < until && this.address[place] === (address | 0)) return until;
    }
    return -Infinity;
  }

  /** The address, which may be asked for, is asked for now. Returns whether there was a place to note that. */
  note(address: number, now: number): boolean {
    const first = this.hash(address);
    for (let i = 0; i < WINDOW; i++) {
      const place = (first + i) & MASK;
      if (now < this.askedAt[place] + QUESTION_INTERVAL_MS) continue;
      this.address[place] = address;
      this.askedAt[place] = now;
      return true;
    }
    return false;
  }

  private hash(address: number): number {
    let h = Math.imul(address ^ this.seed, this.factor);
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    return h ^ (h >>> 13);
  }
}
