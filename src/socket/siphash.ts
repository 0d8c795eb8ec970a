import type { IpAddress } from "../wire/ip-address.ts";

/**
 * SipHash-2-4 with a 128-bit key over 32-bit words: the keyed function of RFC 6528 (initial sequence numbers) and
 * RFC 6056 (ephemeral ports), and of SYN cookies. It runs once or twice a connection. Each 64-bit variable is a pair of 32-bit integers.
 */
export class SipHash {
  /** The high 32 bits, as a signed integer, of what was hashed last. */
  high = 0;
  private readonly key: Int32Array;

  /** @param key four random words */
  constructor(key: Int32Array) {
    this.key = key;
  }

  /** The low 32 bits, as a signed integer, of the hash of the first `count` of `words`. */
  hash(words: Int32Array, count: number): number {
    const { key } = this;
    const k0 = key[0];
    const k1 = key[1];
    const k2 = key[2];
    const k3 = key[3];
    let low0 = k0 ^ 0x70736575;
    let high0 = k1 ^ 0x736f6d65;
    let low1 = k2 ^ 0x6e646f6d;
    let high1 = k3 ^ 0x646f7261;
    let low2 = k0 ^ 0x6e657261;
    let high2 = k1 ^ 0x6c796765;
    let low3 = k2 ^ 0x79746573;
    let high3 = k3 ^ 0x74656462;
    const pairs = count & ~1;
    // Two rounds for each block, and four for the end, which is one behind the last.
    for (let at = 0; at <= pairs + 2; at += 2) {
      const isEnd = at > pairs;
      let low = 0;
      let high = 0;
      if (at < pairs) {
        low = words[at];
        high = words[at + 1];
      } else if (isEnd) {
        low2 ^= 0xff;
      } else {
        // The last block holds what is left over, and the length in bytes in its top byte.
        if (count & 1) low = words[at];
        high = (count * 4) << 24;
      }
      low3 ^= low;
      high3 ^= high;
      for (let round = isEnd ? 4 : 2; round > 0; round--) {
        // v0 += v1; v1 = (v1 <<< 13) ^ v0; v0 <<<= 32
        let lowSum = (low0 + low1) | 0;
        let highSum = (high0 + high1 + carry(low0, low1, lowSum)) | 0;
        let turned = ((low1 << 13) | (high1 >>> 19)) ^ lowSum;
        high1 = ((high1 << 13) | (low1 >>> 19)) ^ highSum;
        low1 = turned;
        low0 = highSum;
        high0 = lowSum;
        // v2 += v3; v3 = (v3 <<< 16) ^ v2
        lowSum = (low2 + low3) | 0;
        high2 = (high2 + high3 + carry(low2, low3, lowSum)) | 0;
        low2 = lowSum;
        turned = ((low3 << 16) | (high3 >>> 16)) ^ low2;
        high3 = ((high3 << 16) | (low3 >>> 16)) ^ high2;
        low3 = turned;
        // v0 += v3; v3 = (v3 <<< 21) ^ v0
        lowSum = (low0 + low3) | 0;
        high0 = (high0 + high3 + carry(low0, low3, lowSum)) | 0;
        low0 = lowSum;
        turned = ((low3 << 21) | (high3 >>> 11)) ^ low0;
        high3 = ((high3 << 21) | (low3 >>> 11)) ^ high0;
        low3 = turned;
        // v2 += v1; v1 = (v1 <<< 17) ^ v2; v2 <<<= 32
        lowSum = (low2 + low1) | 0;
        highSum = (high2 + high1 + carry(low2, low1, lowSum)) | 0;
        turned = ((low1 << 17) | (high1 >>> 15)) ^ lowSum;
        high1 = ((high1 << 17) | (low1 >>> 15)) ^ highSum;
        low1 = turned;
        low2 = highSum;
        high2 = lowSum;
      }
      low0 ^= low;
      high0 ^= high;
    }
    this.high = high0 ^ high1 ^ high2 ^ high3;
    return low0 ^ low1 ^ low2 ^ low3;
  }
}

/** What `a + b`, whose low 32 bits are `sum`, carries over: 0 or 1. */
function carry(a: number, b: number, sum: number): number {
  return ((a & b) | ((a | b) & ~sum)) >>> 31;
}

/** A hash with a key of its own. */
export function keyedSipHash(random: { next(): number }): SipHash {
  return new SipHash(Int32Array.of(random.next(), random.next(), random.next(), random.next()));
}

/**
 * Puts both addresses from `at` on into the words that are to be hashed, and returns one past the last. What else there is of
 * an IPv4 address is the same for all.
 */
export function putAddresses(words: Int32Array, at: number, one: IpAddress, other: IpAddress): number {
  words[at] = one.w3;
  words[at + 1] = other.w3;
  if (one.family === 4) return at + 2;
  words[at + 2] = one.w0;
  words[at + 3] = one.w1;
  words[at + 4] = one.w2;
  words[at + 5] = other.w0;
  words[at + 6] = other.w1;
  words[at + 7] = other.w2;
  return at + 8;
}
