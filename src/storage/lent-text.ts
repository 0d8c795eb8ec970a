import { copyBytes } from "./copy.ts";
import type { StreamBuffer } from "./stream-buffer.ts";

/** Most pieces at a time: as many as frames are taken from a device at once. */
const MOST_PIECES = 64;

const NOTHING = new Uint8Array(0);

/**
 * Text that a buffer counts as stored while it still lies in the frames that brought it. Where the program reads it before
 * the frames are given back, it is copied once instead of twice; else it is stored then. The buffer has taken pages for it,
 * so that this cannot fail.
 *
 * There is one for all buffers of a pool, and one buffer at a time makes use of it. What is lent begins at the buffer's
 * first byte, and is all that the buffer holds.
 */
export class LentText {
  /** Do the frames that arrive now stay as they are until `settle` is called? */
  isOpen = false;
  /** Whose text it is, or `null` where nothing is lent. */
  borrower: StreamBuffer | null = null;
  /** The array that the frames lie in. */
  bytes: Uint8Array = NOTHING;
  /** All that is lent, in bytes. */
  length = 0;
  private first = 0;
  private count = 0;
  private readonly offsets = new Int32Array(MOST_PIECES);
  private readonly lengths = new Int32Array(MOST_PIECES);

  /** May a piece follow that lies in `bytes`? */
  hasRoomFor(bytes: Uint8Array): boolean {
    return this.isOpen && this.count < MOST_PIECES && (this.length === 0 || bytes === this.bytes);
  }

  /** Adds a piece behind the others. */
  add(borrower: StreamBuffer, bytes: Uint8Array, offset: number, length: number): void {
    this.borrower = borrower;
    this.bytes = bytes;
    this.offsets[this.count] = offset;
    this.lengths[this.count] = length;
    this.count++;
    this.length += length;
  }

  /** Where the first piece lies in `bytes`, and how long it is. */
  get firstAt(): number {
    return this.offsets[this.first];
  }

  get firstLength(): number {
    return this.lengths[this.first];
  }

  /** Copies the first `count` bytes, at most `length`. */
  copyTo(target: Uint8Array, offset: number, count: number): void {
    const { bytes, offsets, lengths } = this;
    let done = 0;
    for (let piece = this.first; done < count; piece++) {
      const part = Math.min(lengths[piece], count - done);
      copyBytes(bytes, offsets[piece], target, offset + done, part);
      done += part;
    }
  }

  /** Forgets the first `count` bytes, at most `length`. */
  drop(count: number): void {
    if (count === this.length) {
      this.clear();
      return;
    }
    this.length -= count;
    while (count > 0 && this.lengths[this.first] <= count) count -= this.lengths[this.first++];
    this.offsets[this.first] += count;
    this.lengths[this.first] -= count;
  }

  /** Stores what is still lent where it belongs: the frames may change now. */
  settle(): void {
    const { borrower, bytes, offsets, lengths, first, count } = this;
    if (borrower === null) return;
    this.clear();
    let position = 0;
    for (let piece = first; piece < count; piece++) {
      position += borrower.store(position, bytes, offsets[piece], lengths[piece]);
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.borrower = null;
    this.length = 0;
    this.first = 0;
    this.count = 0;
  }
}
