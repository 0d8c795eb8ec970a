import { expect, test } from "bun:test";
import { HalfSipHash } from "../../src/storage/half-siphash.ts";

// Computed with an independent implementation of HalfSipHash-1-3 (key 00..07, message 00 01 02 ...).
const VECTORS: [number[], number][] = [
  [[], 0x5814c896],
  [[0x03020100], 0x7e059ea6],
  [[0x03020100, 0x07060504, 0x0b0a0908], 0x6b28096c],
];

test("HalfSipHash-1-3 agrees with an independent implementation", () => {
  const hash = new HalfSipHash(0x03020100, 0x07060504);
  for (const [words, expected] of VECTORS) {
    hash.start();
    for (const word of words) hash.add(word);
    expect(hash.finish(words.length * 4) >>> 0).toBe(expected);
  }
});
