import { type BufferPool, NO_PAGE, PAGE_SHIFT, PAGE_SIZE } from "./buffer-pool.ts";
import { copyBytes } from "./copy.ts";

/** Below this many bytes a copy costs less than what has to be remembered to do without. */
const WORTH_LENDING = 512;

/** What a buffer has in which nothing is stored: most connections are idle. */
const NO_SLOTS = new Int32Array(0);

/**
 * A window of a byte stream, held in pages of the pool. Positions count from the first byte not yet dropped.
 *
 * It is a ring of page slots. A slot gets a page when a byte is stored in it and gives the page back when the last of
 * its bytes is dropped, so an empty buffer holds no memory. Bytes may be stored ahead of a gap: a receive buffer puts
 * segments that arrive out of order where they belong, and needs no copy when the gap closes.
 */
export class StreamBuffer {
  /** Most bytes that may be buffered; see `grow`. */
  limit: number;
  /** Bytes in order from position 0. */
  length = 0;
  /** One past the highest position ever stored and not dropped; larger than `length` while there is a gap. */
  private extent = 0;
  /** Ring index of position 0, in 0 .. slots * PAGE_SIZE - 1. */
  private head = 0;
  private readonly pool: BufferPool;
  /** Pages that this buffer leaves to others. */
  private readonly reserve: number;
  /** Made, or taken from the pool, when the first byte is stored. */
  private slots = NO_SLOTS;
  private size: number;

  /**
   * @param limit most bytes buffered
   * @param reserve pages that are left in the pool for other buffers
   */
  constructor(pool: BufferPool, limit: number, reserve = 0) {
    this.pool = pool;
    this.reserve = reserve;
    this.limit = limit;
    this.size = slotsFor(limit) * PAGE_SIZE;
  }

  /** Raises the limit. The table of slots is made anew, so it is to happen rarely; pages stay where they are. */
  grow(limit: number): void {
    if (limit <= this.limit) return;
    const count = slotsFor(limit);
    this.limit = limit;
    this.size = count * PAGE_SIZE;
    const before = this.slots;
    if (before === NO_SLOTS) return;
    const slots = new Int32Array(count).fill(NO_PAGE);
    const first = this.head >> PAGE_SHIFT;
    for (let i = 0; i < before.length; i++) slots[i] = before[(first + i) % before.length];
    this.head &= PAGE_SIZE - 1;
    this.slots = slots;
  }

  /** Makes the limit larger or smaller; what is beyond a smaller one stays until it is dropped. */
  resize(limit: number): void {
    this.grow(limit);
    this.limit = limit;
  }

  /**
   * Stores bytes at `position` (the caller keeps `position + count <= limit`) and returns how many were stored:
   * fewer than `count` when the pool ran out of pages. `length` does not change; see `advance`.
   */
  store(position: number, source: Uint8Array, offset: number, count: number): number {
    if (this.pool.lent.borrower === this) this.pool.lent.settle();
    const room = this.takePages(position, count);
    let done = 0;
    let index = this.head + position;
    if (index >= this.size) index -= this.size;
    while (done < room) {
      const part = this.runAt(index, room - done);
      copyBytes(source, offset + done, this.pool.bytes, this.placeAt(index), part);
      done += part;
      index += part;
      if (index === this.size) index = 0;
    }
    if (room > 0 && position + room > this.extent) this.extent = position + room;
    return room;
  }

  /** Does what `store` does, but text that comes next is left where it is for now, if it may be: see `LentText`. */
  lend(position: number, source: Uint8Array, offset: number, count: number): number {
    const { lent } = this.pool;
    const { borrower } = lent;
    const mayBorrow = borrower === this || (borrower === null && this.extent === 0 && count >= WORTH_LENDING);
    if (
      !mayBorrow ||
      position !== lent.length ||
      !lent.hasRoomFor(source) ||
      this.takePages(position, count) < count
    ) {
      return this.store(position, source, offset, count);
    }
    lent.add(this, source, offset, count);
    this.extent = position + count;
    return count;
  }

  /** Sees to it that there are pages for `count` bytes at `position`, as far as the pool has any: returns for how many. */
  private takePages(position: number, count: number): number {
    if (count === 0) return 0;
    if (this.slots === NO_SLOTS) this.slots = this.pool.takeTable(this.size >> PAGE_SHIFT);
    const index = this.head + position;
    const first = index >> PAGE_SHIFT;
    const last = (index + count - 1) >> PAGE_SHIFT;
    for (let i = first; i <= last; i++) {
      const slot = i < this.slots.length ? i : i - this.slots.length;
      if (this.slots[slot] !== NO_PAGE) continue;
      const page = this.mayGrow ? this.pool.take() : NO_PAGE;
      if (page === NO_PAGE) return Math.max((i << PAGE_SHIFT) - index, 0);
      this.slots[slot] = page;
    }
    return count;
  }

  /** Bytes from the ring's `index` on, at most `count`, that lie one behind the other in the pool: pages often do. */
  private runAt(index: number, count: number): number {
    const { slots } = this;
    let length = PAGE_SIZE - (index & (PAGE_SIZE - 1));
    for (let slot = index >> PAGE_SHIFT; length < count; slot++) {
      if (slot + 1 === slots.length || slots[slot + 1] !== slots[slot] + 1) return length;
      length += PAGE_SIZE;
    }
    return count;
  }

  /** Where in the pool the byte at the ring's `index` is. */
  private placeAt(index: number): number {
    return (this.slots[index >> PAGE_SHIFT] << PAGE_SHIFT) + (index & (PAGE_SIZE - 1));
  }

  /** Declares the first `count` bytes behind `length` to be in order: they were stored, and no gap is before them. */
  advance(count: number): void {
    this.length += count;
  }

  /** Stores bytes behind the last one; returns how many fitted into the limit and the pool. */
  append(source: Uint8Array, offset: number, count: number): number {
    // A limit that was made smaller may lie before the end.
    const room = Math.max(this.limit - this.length, 0);
    const stored = this.store(this.length, source, offset, Math.min(count, room));
    this.length += stored;
    return stored;
  }

  /** Copies `count` bytes from `position` on; the caller keeps `position + count <= length`. */
  copyTo(position: number, target: Uint8Array, offset: number, count: number): void {
    const { lent } = this.pool;
    if (lent.borrower === this) {
      if (position === 0 && count <= lent.length) {
        lent.copyTo(target, offset, count);
        return;
      }
      lent.settle();
    }
    let done = 0;
    let index = this.head + position;
    if (index >= this.size) index -= this.size;
    while (done < count) {
      const part = this.runAt(index, count - done);
      copyBytes(this.pool.bytes, this.placeAt(index), target, offset + done, part);
      done += part;
      index += part;
      if (index === this.size) index = 0;
    }
  }

  /** Is nothing stored, not even ahead of a gap? */
  get isEmpty(): boolean {
    return this.extent === 0;
  }

  /** The array in which byte 0 lies, and where. */
  get memory(): Uint8Array {
    const { pool } = this;
    return pool.lent.borrower === this ? pool.lent.bytes : pool.bytes;
  }

  get firstAt(): number {
    const { lent } = this.pool;
    if (lent.borrower === this) return lent.firstAt;
    return this.placeAt(this.head);
  }

  /** Bytes from position 0 on that lie there one behind the other: up to the end of a page, or of a piece that is lent. */
  get firstLength(): number {
    const { lent } = this.pool;
    const together = lent.borrower === this ? lent.firstLength : PAGE_SIZE - (this.head & (PAGE_SIZE - 1));
    return Math.min(this.length, together);
  }

  /** Forgets the first `count` bytes (at most `length`) and gives back the pages that they alone filled. */
  drop(count: number): void {
    if (count === 0) return;
    if (count === this.extent) {
      this.clear();
      return;
    }
    if (this.pool.lent.borrower === this) this.pool.lent.drop(count);
    this.length -= count;
    this.extent -= count;
    const before = this.head >> PAGE_SHIFT;
    let index = this.head + count;
    const passed = (index >> PAGE_SHIFT) - before;
    if (index >= this.size) index -= this.size;
    this.head = index;
    this.releaseSlots(before, passed);
  }

  /** Pages that this buffer may still take. */
  get pagesLeft(): number {
    return Math.max(this.pool.freePages - this.reserve, 0);
  }

  /** Is there a page that this buffer may take? */
  get mayGrow(): boolean {
    return this.pool.freePages > this.reserve;
  }

  /** Forgets what is stored ahead of a gap, and gives back the pages that it alone fills. */
  discardAhead(): void {
    if (this.pool.lent.borrower === this) this.pool.lent.settle();
    if (this.length === 0) {
      this.clear();
      return;
    }
    // The pages from the first byte to the last one in order are kept.
    this.releaseFrom(((this.head + this.length - 1) >> PAGE_SHIFT) - (this.head >> PAGE_SHIFT) + 1);
    this.extent = this.length;
  }

  /** Forgets everything and gives back every page. */
  clear(): void {
    if (this.pool.lent.borrower === this) this.pool.lent.clear();
    this.releaseFrom(0);
    this.length = 0;
    this.extent = 0;
    this.head = 0;
    if (this.slots !== NO_SLOTS && this.pool.giveTable(this.slots)) this.slots = NO_SLOTS;
  }

  /** Gives back the pages from the `kept`-th one on, around the ring; behind `extent` there are none. */
  private releaseFrom(kept: number): void {
    const first = this.head >> PAGE_SHIFT;
    const used = ((this.head + this.extent - 1) >> PAGE_SHIFT) - first + 1;
    if (kept < used) this.releaseSlots((first + kept) % this.slots.length, used - kept);
  }

  /** The last one first: they are taken again in the order in which they lie in the pool, if they lay in it. */
  private releaseSlots(first: number, count: number): void {
    let slot = first + count - 1;
    if (slot >= this.slots.length) slot -= this.slots.length;
    for (let i = 0; i < count; i++) {
      this.release(slot);
      slot = (slot === 0 ? this.slots.length : slot) - 1;
    }
  }

  private release(slot: number): void {
    const page = this.slots[slot];
    if (page === NO_PAGE) return;
    this.pool.give(page);
    this.slots[slot] = NO_PAGE;
  }
}

/** One slot more than `limit` fills: the last byte never shares a slot with the first, wherever the head stands. */
function slotsFor(limit: number): number {
  return Math.ceil(limit / PAGE_SIZE) + 1;
}
