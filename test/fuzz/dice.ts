import type { Random } from "../../src/random.ts";

/** Rounds until the seed shows in every bit. */
const WARM_UP = 12;

/** Random choices from a seed: Chris Doty-Humphrey's sfc32, in integers only, as some dozens are drawn for each frame. */
export class Dice implements Random {
  private a = 0;
  private b: number;
  private c = 0x9e3779b9 | 0;
  private counter = 1;

  constructor(seed: number) {
    this.b = seed | 0;
    for (let i = 0; i < WARM_UP; i++) this.word();
  }

  /** 32 bits, signed as sequence numbers are. */
  word(): number {
    const { a, b, c } = this;
    const result = (a + b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = b ^ (b >>> 9);
    this.b = (c + (c << 3)) | 0;
    this.c = (((c << 21) | (c >>> 11)) + result) | 0;
    return result;
  }

  /** 32 bits, not signed. */
  next(): number {
    return this.word() >>> 0;
  }

  /** 0 .. `bound` - 1, for bounds up to 65,536. */
  below(bound: number): number {
    return ((this.word() >>> 16) * bound) >>> 16;
  }

  /** One of `count` in so many. */
  chance(count: number, of: number): boolean {
    return ((this.word() >>> 16) * of) >>> 16 < count;
  }

  pick<T>(values: readonly T[]): T {
    return values[((this.word() >>> 16) * values.length) >>> 16];
  }

  /** From `low` to `high`, small values as often as large ones: each doubling as likely as any other. */
  logarithmic(low: number, high: number): number {
    return Math.floor(low * (high / low) ** ((this.word() >>> 0) / 0x1_0000_0000));
  }

  /** A distance that is as likely to be tiny as to be large, in either direction; `most` is a power of 2. */
  around(most: number): number {
    const word = this.word();
    const bits = 32 - Math.clz32(most);
    // So many of the low bits, from none to all of them.
    const distance = word & (2 ** this.below(bits) - 1);
    return word < 0 ? -distance : distance;
  }
}
