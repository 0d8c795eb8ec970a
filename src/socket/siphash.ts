/**
 * SipHash-2-4 with a 128-bit key over 32-bit words: the keyed function of RFC 6528 (initial sequence numbers) and
 * RFC 6056 (ephemeral ports), and of SYN cookies. It runs once or twice a connection. Each 64-bit variable is a pair of 32-bit integers.
 */
export class SipHash {
  private readonly key: Int32Array;
  private readonly v = new State();

  /** @param key four random words */
  constructor(key: Int32Array) {
    this.key = key;
  }

  /** The low 32 bits, as a signed integer, of the hash of the first `count` of `words`. */
  hash(words: Int32Array, count: number): number {
    const { key, v } = this;
    const k0 = key[0];
    const k1 = key[1];
    const k2 = key[2];
    const k3 = key[3];
    v.low0 = k0 ^ 0x70736575;
    v.high0 = k1 ^ 0x736f6d65;
    v.low1 = k2 ^ 0x6e646f6d;
    v.high1 = k3 ^ 0x646f7261;
    v.low2 = k0 ^ 0x6e657261;
    v.high2 = k1 ^ 0x6c796765;
    v.low3 = k2 ^ 0x79746573;
    v.high3 = k3 ^ 0x74656462;
    const pairs = count & ~1;
    for (let i = 0; i < pairs; i += 2) compress(v, words[i], words[i + 1]);
    // The last block holds what is left over, and the length in bytes in its top byte.
    compress(v, count & 1 ? words[pairs] : 0, (count * 4) << 24);
    v.low2 ^= 0xff;
    rounds(v, 4);
    return v.low0 ^ v.low1 ^ v.low2 ^ v.low3;
  }
}

/** v0 to v3: fields of one object that is reused, which the engine reads faster than the elements of an array. */
class State {
  low0 = 0;
  high0 = 0;
  low1 = 0;
  high1 = 0;
  low2 = 0;
  high2 = 0;
  low3 = 0;
  high3 = 0;
}

function compress(v: State, low: number, high: number): void {
  v.low3 ^= low;
  v.high3 ^= high;
  rounds(v, 2);
  v.low0 ^= low;
  v.high0 ^= high;
}

function rounds(v: State, count: number): void {
  let { low0, high0, low1, high1, low2, high2, low3, high3 } = v;
  for (let i = 0; i < count; i++) {
    // v0 += v1; v1 = (v1 <<< 13) ^ v0; v0 <<<= 32
    let low = (low0 + low1) | 0;
    let high = (high0 + high1 + carry(low0, low1, low)) | 0;
    let turned = ((low1 << 13) | (high1 >>> 19)) ^ low;
    high1 = ((high1 << 13) | (low1 >>> 19)) ^ high;
    low1 = turned;
    low0 = high;
    high0 = low;
    // v2 += v3; v3 = (v3 <<< 16) ^ v2
    low = (low2 + low3) | 0;
    high2 = (high2 + high3 + carry(low2, low3, low)) | 0;
    low2 = low;
    turned = ((low3 << 16) | (high3 >>> 16)) ^ low2;
    high3 = ((high3 << 16) | (low3 >>> 16)) ^ high2;
    low3 = turned;
    // v0 += v3; v3 = (v3 <<< 21) ^ v0
    low = (low0 + low3) | 0;
    high0 = (high0 + high3 + carry(low0, low3, low)) | 0;
    low0 = low;
    turned = ((low3 << 21) | (high3 >>> 11)) ^ low0;
    high3 = ((high3 << 21) | (low3 >>> 11)) ^ high0;
    low3 = turned;
    // v2 += v1; v1 = (v1 <<< 17) ^ v2; v2 <<<= 32
    low = (low2 + low1) | 0;
    high = (high2 + high1 + carry(low2, low1, low)) | 0;
    turned = ((low1 << 17) | (high1 >>> 15)) ^ low;
    high1 = ((high1 << 17) | (low1 >>> 15)) ^ high;
    low1 = turned;
    low2 = high;
    high2 = low;
  }
  v.low0 = low0;
  v.high0 = high0;
  v.low1 = low1;
  v.high1 = high1;
  v.low2 = low2;
  v.high2 = high2;
  v.low3 = low3;
  v.high3 = high3;
}

/** What `a + b`, whose low 32 bits are `sum`, carries over: 0 or 1. */
function carry(a: number, b: number, sum: number): number {
  return ((a & b) | ((a | b) & ~sum)) >>> 31;
}

/** A hash with a key of its own. */
export function keyedSipHash(random: { next(): number }): SipHash {
  return new SipHash(Int32Array.of(random.next(), random.next(), random.next(), random.next()));
}
