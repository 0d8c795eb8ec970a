import type { Frame } from "../src/device.ts";

/** Frames are kept at the same place within four bytes as they had, so that IP headers stay on a multiple of four. */
const ALIGNMENT = 4;
/** Bytes of the budget for which there is a place for one more frame: smaller frames run out of places first. */
const BYTES_PER_PLACE = 128;

/**
 * Copies of frames in the order they were put in, in a fixed piece of memory: a ring of bytes, and a ring of notes.
 *
 * A frame that was taken out stays readable until `release`.
 */
export class FrameQueue {
  /** Frames that are in it. */
  size = 0;
  private readonly bytes: Uint8Array;
  private readonly starts: Int32Array;
  private readonly lengths: Int32Array;
  private readonly offloaded: Uint8Array;
  private readonly segmentSizes: Int32Array;
  private readonly dues: Float64Array;
  private readonly needs: Float64Array;
  private readonly places: number;
  private first = 0;
  /** The bytes in use are `[head, tail)`, or all but `[tail, head)` once the ring has wrapped. */
  private head = 0;
  private tail = 0;
  private wrapped = false;
  private lent = false;

  constructor(budget: number) {
    this.bytes = new Uint8Array(new ArrayBuffer(budget));
    this.places = Math.max(8, Math.floor(budget / BYTES_PER_PLACE));
    this.starts = new Int32Array(this.places);
    this.lengths = new Int32Array(this.places);
    this.offloaded = new Uint8Array(this.places);
    this.segmentSizes = new Int32Array(this.places);
    this.dues = new Float64Array(this.places);
    this.needs = new Float64Array(this.places);
  }

  /** Puts a copy in, with two numbers that are its owner's business; `false` where there is no room. */
  push(frame: Frame, due: number, need: number): boolean {
    const { length } = frame;
    if (this.size === this.places) return false;
    // An empty frame takes a byte, too: where it begins has to tell on which side of the wrap it is.
    const at = this.reserve(Math.max(1, length), frame.offset & (ALIGNMENT - 1));
    if (at < 0) return false;
    this.bytes.set(frame.bytes.subarray(frame.offset, frame.offset + length), at);
    const place = (this.first + this.size) % this.places;
    this.starts[place] = at;
    this.lengths[place] = length;
    this.offloaded[place] = frame.checksumOffloaded ? 1 : 0;
    this.segmentSizes[place] = frame.segmentSize;
    this.dues[place] = due;
    this.needs[place] = need;
    this.size++;
    return true;
  }

  /** What was noted about the first frame; there must be one. */
  get due(): number {
    return this.dues[this.first];
  }
  get need(): number {
    return this.needs[this.first];
  }
  get length(): number {
    return this.lengths[this.first];
  }

  /** Points `frame` at the first frame and takes it out; there must be one. */
  take(frame: Frame): void {
    const { first } = this;
    frame.bytes = this.bytes;
    frame.offset = this.starts[first];
    frame.length = this.lengths[first];
    frame.checksumOffloaded = this.offloaded[first] === 1;
    frame.segmentSize = this.segmentSizes[first];
    this.first = (first + 1) % this.places;
    this.size--;
    this.lent = true;
  }

  /** The frame taken last is not needed any more. */
  release(): void {
    if (!this.lent) return;
    this.lent = false;
    if (this.size === 0) {
      this.head = 0;
      this.tail = 0;
      this.wrapped = false;
      return;
    }
    const next = this.starts[this.first];
    if (next < this.head) this.wrapped = false;
    this.head = next;
  }

  clear(): void {
    this.size = 0;
    this.lent = true;
    this.release();
  }

  /** Finds `length` bytes in a row at a place that is `skew` behind a multiple of four; -1 where there are none. */
  private reserve(length: number, skew: number): number {
    let at = this.tail + ((ALIGNMENT - (this.tail & (ALIGNMENT - 1))) & (ALIGNMENT - 1)) + skew;
    let limit = this.wrapped ? this.head : this.bytes.length;
    if (at + length > limit && !this.wrapped) {
      at = skew;
      limit = this.head;
      if (at + length > limit) return -1;
      this.wrapped = true;
    }
    if (at + length > limit) return -1;
    this.tail = at + length;
    return at;
  }
}
