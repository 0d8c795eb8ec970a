/** What is sent over a path, and what is measured where it arrives. */

/** Width of a bucket, ms. */
export const BUCKET_MS = 100;

/** What a receiver has to say. */
export interface Received {
  readonly bytes: number;
  /** From the connection's acceptance to the end of the measurement. */
  readonly seconds: number;
  /** Bytes that arrived in each tenth of a second. */
  readonly buckets: readonly number[];
  /** SHA-256 of all, where the stream was read to its end. */
  readonly sha256?: string;
  /** Of tapwire its counters. */
  readonly stats?: Record<string, number>;
}

/** Counts bytes for a time; without one, to the end of the stream, and hashes them. */
export class Meter {
  readonly start = performance.now();
  readonly end: number;
  private bytes = 0;
  private readonly buckets: number[] = [];
  private readonly hash: Bun.CryptoHasher | null;

  /** `seconds` 0 for the whole stream. */
  constructor(seconds: number) {
    this.end = seconds === 0 ? Number.POSITIVE_INFINITY : this.start + seconds * 1000;
    this.hash = seconds === 0 ? new Bun.CryptoHasher("sha256") : null;
    for (let at = 0; at < seconds * 1000; at += BUCKET_MS) this.buckets.push(0);
  }

  /** Returns whether the measurement goes on. */
  add(bytes: Uint8Array, length: number): boolean {
    const now = performance.now();
    if (now >= this.end) return false;
    this.bytes += length;
    this.hash?.update(bytes.subarray(0, length));
    const bucket = Math.floor((now - this.start) / BUCKET_MS);
    this.buckets[bucket] = (this.buckets[bucket] ?? 0) + length;
    return true;
  }

  report(): Received {
    const until = Math.min(performance.now(), this.end);
    return {
      bytes: this.bytes,
      seconds: (until - this.start) / 1000,
      // A stream without a planned end leaves holes where nothing came.
      buckets: Array.from(this.buckets, (bytes) => bytes ?? 0),
      ...(this.hash === null ? {} : { sha256: this.hash.digest("hex") }),
    };
  }
}

/** Not a power of two, so that bytes from the wrong place in the stream are other bytes. */
const CHUNK = 65_521;

/** What a sender sends: as many bytes as there is time for, or so many, which are hashed. */
export class Source {
  private readonly chunk = new Uint8Array(CHUNK);
  private readonly counter = new DataView(this.chunk.buffer);
  private readonly hash: Bun.CryptoHasher | null;
  private left: number;
  private count = 0;

  /** `bytes` 0 for no end. */
  constructor(bytes: number) {
    for (let i = 0; i < CHUNK; i++) this.chunk[i] = (i * 7919) >>> 5;
    this.left = bytes === 0 ? Number.POSITIVE_INFINITY : bytes;
    this.hash = bytes === 0 ? null : new Bun.CryptoHasher("sha256");
  }

  /** The next chunk, valid until the next call; `null` at the end. No two of a stream are the same. */
  next(): Uint8Array | null {
    if (this.left === 0) return null;
    this.counter.setUint32(0, this.count++);
    const chunk = this.left >= CHUNK ? this.chunk : this.chunk.subarray(0, this.left);
    this.left -= chunk.length;
    this.hash?.update(chunk);
    return chunk;
  }

  get sha256(): string | undefined {
    return this.hash?.digest("hex");
  }
}
