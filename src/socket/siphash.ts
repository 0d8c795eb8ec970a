/**
 * SipHash-2-4 with a 128-bit key over 32-bit words: the keyed function of RFC 6528 (initial sequence numbers) and
 * RFC 6056 (ephemeral ports), and of SYN cookies. It runs once or twice a connection. Each 64-bit variable is a pair of 32-bit integers.
 */
export class SipHash {
  private readonly key: Int32Array;
  /** v0, v1, v2, v3 as low word, high word. */
  private readonly v = new Int32Array(8);

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
    v[0] = k0 ^ 0x70736575;
    v[1] = k1 ^ 0x736f6d65;
    v[2] = k2 ^ 0x6e646f6d;
    v[3] = k3 ^ 0x646f7261;
    v[4] = k0 ^ 0x6e657261;
    v[5] = k1 ^ 0x6c796765;
    v[6] = k2 ^ 0x79746573;
    v[7] = k3 ^ 0x74656462;
    const pairs = count & ~1;
    for (let i = 0; i < pairs; i += 2) this.compress(words[i], words[i + 1]);
    // The last block holds what is left over, and the length in bytes in its top byte.
    this.compress(count & 1 ? words[pairs] : 0, (count * 4) << 24);
    v[4] ^= 0xff;
    for (let i = 0; i < 4; i++) this.round();
    return v[0] ^ v[2] ^ v[4] ^ v[6];
  }

  private compress(low: number, high: number): void {
    const v = this.v;
    v[6] ^= low;
    v[7] ^= high;
    this.round();
    this.round();
    v[0] ^= low;
    v[1] ^= high;
  }

  private round(): void {
    this.mix(0, 2, 13);
    this.swap(0);
    this.mix(4, 6, 16);
    this.mix(0, 6, 21);
    this.mix(4, 2, 17);
    this.swap(4);
  }

  /** a += b; b = (b <<< by) ^ a */
  private mix(a: number, b: number, by: number): void {
    const v = this.v;
    const low = (v[a] >>> 0) + (v[b] >>> 0);
    v[a + 1] = v[a + 1] + v[b + 1] + (low > 0xffffffff ? 1 : 0);
    v[a] = low;
    const bLow = v[b];
    const bHigh = v[b + 1];
    v[b] = ((bLow << by) | (bHigh >>> (32 - by))) ^ v[a];
    v[b + 1] = ((bHigh << by) | (bLow >>> (32 - by))) ^ v[a + 1];
  }

  /** a = a <<< 32 */
  private swap(a: number): void {
    const v = this.v;
    const low = v[a];
    v[a] = v[a + 1];
    v[a + 1] = low;
  }
}

/** A hash with a key of its own. */
export function keyedSipHash(random: { next(): number }): SipHash {
  return new SipHash(Int32Array.of(random.next(), random.next(), random.next(), random.next()));
}
