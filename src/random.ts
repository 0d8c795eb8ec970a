/** A source of random 32-bit words. The stack gets one handed in: a test can replay a run, a program cannot guess it. */
export interface Random {
  /** A uniformly distributed integer in 0 .. 2^32 - 1. */
  next(): number;
}

/** Words from the operating system's generator, fetched 64 at a time. */
export function systemRandom(): Random {
  const words = new Uint32Array(64);
  let used = words.length;
  return {
    next(): number {
      if (used === words.length) {
        crypto.getRandomValues(words);
        used = 0;
      }
      return words[used++];
    },
  };
}

/**
 * The same words for the same seed, for simulations and tests (xoshiro128**). Not for anything an attacker may guess.
 *
 * @example
 * ```ts
 * seededRandom(1).next() === seededRandom(1).next(); // true
 * ```
 */
export function seededRandom(seed: number): Random {
  // splitmix32 spreads the seed over the state, which must not be all zero.
  let mix = seed | 0;
  const spread = (): number => {
    mix = (mix + 0x9e3779b9) | 0;
    let z = mix ^ (mix >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z ^= z >>> 15;
    z = Math.imul(z, 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let a = spread();
  let b = spread();
  let c = spread();
  let d = spread() | 1;
  return {
    next(): number {
      const scrambled = Math.imul(b, 5);
      const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9);
      const shifted = b << 9;
      c ^= a;
      d ^= b;
      b ^= c;
      a ^= d;
      c ^= shifted;
      d = (d << 11) | (d >>> 21);
      return result >>> 0;
    },
  };
}

/** An integer in 0 .. `bound` - 1; the bias of the multiplication is below 2^-16 for bounds up to 65,536. */
export function randomBelow(random: Random, bound: number): number {
  return Math.floor((random.next() / 0x100000000) * bound);
}
