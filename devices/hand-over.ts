/**
 * Frames from one worker to another: those that the kernel gave to the wrong one, or that all are to see.
 *
 * Two workers share a ring of bytes for each direction, which one writes and the other reads; and each has an eventfd, its
 * bell, that the others count up. So no lock is needed, nothing is allocated, and what floods one worker can't fill the
 * memory of another: what finds no room is lost, as on any network.
 */

import type { Frame } from "../src/device.ts";
import { frameMemory } from "../src/wire/frame-memory.ts";

/** Bytes of each ring; two of the largest frames fit. */
const RING = 128 * 1024;
/** In front of the bytes: how many were read and written in all, modulo 2^32; each on a cache line of its own. */
const READ = 0;
const WRITTEN = 16;
const BYTES_AT = 128;
const STRIDE = BYTES_AT + RING;
/** In front of each frame: its length, and the notes about it. -1 as a length: go on at the beginning. */
const NOTES = 8;
const WRAP = -1;
/** Frames keep their place within four bytes, so that IP headers stay aligned. */
const SKEW_SHIFT = 17;
const OFFLOADED = 1 << 16;
/** An Ethernet header with tag, and the longest IP packet. */
const LARGEST_FRAME = 18 + 65_535;

/** How many frames went from worker to worker. */
export interface HandOverCounts {
  /** Frames that were given to others, and those that were taken from them. */
  readonly given: number;
  readonly taken: number;
  /** Frames that another one had no room for. */
  readonly lost: number;
}

/** The memory that `count` workers share for one device. */
export function handOverMemory(count: number): SharedArrayBuffer {
  return new SharedArrayBuffer(count * count * STRIDE);
}

/** One worker's end of it. */
export class HandOver implements HandOverCounts {
  given = 0;
  taken = 0;
  lost = 0;
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly index: number;
  private readonly count: number;
  /** Where a frame is copied to: views of shared memory are not welcome everywhere. */
  private readonly incoming = frameMemory(LARGEST_FRAME + 4);
  private from = 0;

  constructor(memory: SharedArrayBuffer, index: number, count: number) {
    this.words = new Int32Array(memory);
    this.bytes = new Uint8Array(memory);
    this.index = index;
    this.count = count;
  }

  /** Gives a copy of the frame to another worker, whose bell is to be rung; `false` where that has no room. */
  give(to: number, frame: Frame): boolean {
    const { words, bytes } = this;
    const { length, offset } = frame;
    const ring = (this.index * this.count + to) * STRIDE;
    const written = words[(ring >> 2) + WRITTEN];
    const free = RING - ((written - Atomics.load(words, (ring >> 2) + READ)) | 0);
    const skew = offset & 3;
    const size = NOTES + ((skew + length + 7) & ~7);
    let at = written & (RING - 1);
    const left = RING - at;
    const needed = size <= left ? size : left + size;
    if (length > LARGEST_FRAME || needed > free) {
      this.lost++;
      return false;
    }
    if (size > left) {
      words[(ring + BYTES_AT + at) >> 2] = WRAP;
      at = 0;
    }
    const start = ring + BYTES_AT + at;
    words[start >> 2] = length;
    words[(start >> 2) + 1] =
      (frame.segmentSize & 0xffff) | (frame.checksumOffloaded ? OFFLOADED : 0) | (skew << SKEW_SHIFT);
    bytes.set(frame.bytes.subarray(offset, offset + length), start + NOTES + skew);
    Atomics.store(words, (ring >> 2) + WRITTEN, (written + needed) | 0);
    this.given++;
    return true;
  }

  /** Points `frame` at the next one that others have given, taking turns; `false` where there is none. */
  take(frame: Frame): boolean {
    for (let tries = 0; tries < this.count; tries++) {
      this.from = this.from + 1 === this.count ? 0 : this.from + 1;
      if (this.from !== this.index && this.takeFrom(this.from, frame)) return true;
    }
    return false;
  }

  private takeFrom(from: number, frame: Frame): boolean {
    const { words, bytes, incoming } = this;
    const ring = (from * this.count + this.index) * STRIDE;
    let read = words[(ring >> 2) + READ];
    if (Atomics.load(words, (ring >> 2) + WRITTEN) === read) return false;
    let at = read & (RING - 1);
    if (words[(ring + BYTES_AT + at) >> 2] === WRAP) {
      read = (read + RING - at) | 0;
      at = 0;
    }
    const start = ring + BYTES_AT + at;
    const length = words[start >> 2];
    const notes = words[(start >> 2) + 1];
    const skew = (notes >> SKEW_SHIFT) & 3;
    incoming.set(bytes.subarray(start + NOTES + skew, start + NOTES + skew + length), skew);
    Atomics.store(words, (ring >> 2) + READ, (read + NOTES + ((skew + length + 7) & ~7)) | 0);
    frame.bytes = incoming;
    frame.offset = skew;
    frame.length = length;
    frame.checksumOffloaded = (notes & OFFLOADED) !== 0;
    frame.segmentSize = notes & 0xffff;
    this.taken++;
    return true;
  }

  /** Is there a frame from anybody? */
  get isWaiting(): boolean {
    const { words, index, count } = this;
    for (let from = 0; from < count; from++) {
      const ring = ((from * count + index) * STRIDE) >> 2;
      if (from !== index && Atomics.load(words, ring + WRITTEN) !== words[ring + READ]) return true;
    }
    return false;
  }
}
