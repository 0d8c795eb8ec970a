import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../src/random.ts";
import { keyedSipHash, SipHash } from "../../src/socket/siphash.ts";

/** SipHash-2-4, against the vectors that its authors publish: key 00 01 .. 0f, message 00 01 02 .. */

const key = Int32Array.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c);
const message = Int32Array.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c);

describe("SipHash", () => {
  test("gives the low 32 bits of the published values", () => {
    const hash = new SipHash(key);
    expect(hash.hash(message, 0) >>> 0).toBe(0xdd0e0e31);
    expect(hash.hash(message, 1) >>> 0).toBe(0x277187b7);
    expect(hash.hash(message, 2) >>> 0).toBe(0x9a932462);
    expect(hash.hash(message, 3) >>> 0).toBe(0x860ee5fb);
  });

  test("looks at as many words as it is told, and has no memory", () => {
    const hash = new SipHash(key);
    const first = hash.hash(message, 2);
    hash.hash(message, 3);
    expect(hash.hash(Int32Array.of(0x03020100, 0x07060504, 99), 2)).toBe(first);
  });

  test("agrees with 64-bit arithmetic on random keys and messages", () => {
    const random = seededRandom(5);
    for (let i = 0; i < 200; i++) {
      const k = Int32Array.from({ length: 4 }, () => random.next());
      const m = Int32Array.from({ length: i % 10 }, () => random.next());
      const hash = new SipHash(k);
      const [low, high] = reference(k, m);
      expect(hash.hash(m, m.length)).toBe(low);
      expect(hash.high).toBe(high);
    }
  });

  test("gets its key from the source of randomness", () => {
    expect(keyedSipHash(seededRandom(1)).hash(message, 3)).not.toBe(
      keyedSipHash(seededRandom(2)).hash(message, 3),
    );
    expect(keyedSipHash(seededRandom(1)).hash(message, 3)).toBe(
      keyedSipHash(seededRandom(1)).hash(message, 3),
    );
  });
});

/** The algorithm as its paper has it: both halves of the hash. */
function reference(key: Int32Array, message: Int32Array): [low: number, high: number] {
  const word = (low: number, high: number) => BigInt(low >>> 0) | (BigInt(high >>> 0) << 32n);
  const rotate = (x: bigint, by: bigint) => BigInt.asUintN(64, (x << by) | (x >> (64n - by)));
  const k0 = word(key[0], key[1]);
  const k1 = word(key[2], key[3]);
  let v0 = k0 ^ 0x736f6d6570736575n;
  let v1 = k1 ^ 0x646f72616e646f6dn;
  let v2 = k0 ^ 0x6c7967656e657261n;
  let v3 = k1 ^ 0x7465646279746573n;
  const round = () => {
    v0 = BigInt.asUintN(64, v0 + v1);
    v1 = rotate(v1, 13n) ^ v0;
    v0 = rotate(v0, 32n);
    v2 = BigInt.asUintN(64, v2 + v3);
    v3 = rotate(v3, 16n) ^ v2;
    v0 = BigInt.asUintN(64, v0 + v3);
    v3 = rotate(v3, 21n) ^ v0;
    v2 = BigInt.asUintN(64, v2 + v1);
    v1 = rotate(v1, 17n) ^ v2;
    v2 = rotate(v2, 32n);
  };
  const blocks: bigint[] = [];
  for (let i = 0; i + 1 < message.length; i += 2) blocks.push(word(message[i], message[i + 1]));
  const rest = message.length % 2 === 1 ? message[message.length - 1] : 0;
  blocks.push(word(rest, 0) | (BigInt((message.length * 4) & 0xff) << 56n));
  for (const block of blocks) {
    v3 ^= block;
    round();
    round();
    v0 ^= block;
  }
  v2 ^= 0xffn;
  for (let i = 0; i < 4; i++) round();
  const sum = v0 ^ v1 ^ v2 ^ v3;
  return [Number(BigInt.asIntN(32, sum)), Number(BigInt.asIntN(32, sum >> 32n))];
}
