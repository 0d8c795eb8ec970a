/**
 * HalfSipHash-1-3 over 32-bit words: a keyed hash for tables that the network can fill. Who does not know the key
 * cannot choose flows that collide. Too short for anything else: initial sequence numbers use SipHash-2-4.
 *
 * It runs for each segment, so its state lives in one object that is made once and reused.
 */
export class HalfSipHash {
  private readonly k0: number;
  private readonly k1: number;
  private v0 = 0;
  private v1 = 0;
  private v2 = 0;
  private v3 = 0;

  constructor(k0: number, k1: number) {
    this.k0 = k0 | 0;
    this.k1 = k1 | 0;
  }

  start(): void {
    this.v0 = this.k0;
    this.v1 = this.k1;
    this.v2 = 0x6c796765 ^ this.k0;
    this.v3 = 0x74656462 ^ this.k1;
  }

  /** Adds one word. */
  add(word: number): void {
    this.v3 ^= word;
    this.round();
    this.v0 ^= word;
  }

  /** Ends a message of `length` bytes (a multiple of four) and returns its hash as a signed integer. */
  finish(length: number): number {
    this.add((length << 24) | 0);
    this.v2 ^= 0xff;
    this.round();
    this.round();
    this.round();
    return this.v1 ^ this.v3;
  }

  private round(): void {
    let { v0, v1, v2, v3 } = this;
    v0 = (v0 + v1) | 0;
    v1 = (v1 << 5) | (v1 >>> 27);
    v1 ^= v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = (v3 << 8) | (v3 >>> 24);
    v3 ^= v2;
    v0 = (v0 + v3) | 0;
    v3 = (v3 << 7) | (v3 >>> 25);
    v3 ^= v0;
    v2 = (v2 + v1) | 0;
    v1 = (v1 << 13) | (v1 >>> 19);
    v1 ^= v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    this.v0 = v0;
    this.v1 = v1;
    this.v2 = v2;
    this.v3 = v3;
  }
}
