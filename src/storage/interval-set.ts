/** What a set that holds nothing has: most streams never have a gap. */
const NO_RANGES = new Int32Array(0);
const FIRST_CAPACITY = 8;

/**
 * Disjoint half-open ranges `[from, to)` of small integers in ascending order: what of a byte stream has arrived ahead of
 * a gap. Memory is taken when the first range comes, doubles as ranges do, up to a limit, and goes when the set is empty.
 */
export class IntervalSet {
  count = 0;
  private readonly limit: number;
  /** Ends are kept as distances from a point that moves with `shift`; both wrap at 2^32. */
  private origin = 0;
  private from = NO_RANGES;
  private to = NO_RANGES;

  /** @param limit most ranges kept; a range that would be one more is refused */
  constructor(limit: number) {
    this.limit = limit;
  }

  start(index: number): number {
    return (this.from[index] - this.origin) | 0;
  }

  end(index: number): number {
    return (this.to[index] - this.origin) | 0;
  }

  /**
   * Adds `[from, to)`, merging what it overlaps or touches. Returns the index of the range that now holds it, or -1
   * when the set is full and the range touches none.
   */
  add(from: number, to: number): number {
    const first = this.firstReaching(from);
    let last = first;
    while (last < this.count && this.start(last) <= to) last++;
    if (first === last) return this.insert(first, from, to);
    if (this.start(first) > from) this.from[first] = (from + this.origin) | 0;
    this.to[first] = (Math.max(to, this.end(last - 1)) + this.origin) | 0;
    this.remove(first + 1, last);
    return first;
  }

  /** Can `[from, to)` be added? */
  hasRoomFor(from: number, to: number): boolean {
    if (this.count < this.limit) return true;
    const first = this.firstReaching(from);
    return first < this.count && this.start(first) <= to;
  }

  /** The index of the first range that holds something from `at` on; `count` where there is none. */
  firstBeyond(at: number): number {
    return this.firstReaching(at + 1);
  }

  /** The index of the range that holds `at`, or -1. */
  find(at: number): number {
    const index = this.firstBeyond(at);
    return index < this.count && this.start(index) <= at ? index : -1;
  }

  /** Takes away every range that starts at or before `at`, or is reached from there; returns where the last one ends. */
  takeFrom(at: number): number {
    let taken = 0;
    let end = at;
    while (taken < this.count && this.start(taken) <= end) {
      end = Math.max(end, this.end(taken));
      taken++;
    }
    if (taken > 0) this.remove(0, taken);
    return end;
  }

  /** Moves every range down by `distance`, as the stream's origin moves up. */
  shift(distance: number): void {
    this.origin = (this.origin + distance) | 0;
  }

  clear(): void {
    this.count = 0;
    this.from = NO_RANGES;
    this.to = NO_RANGES;
  }

  /** The first range that ends at or behind `at`: most text arrives behind all that is there. */
  private firstReaching(at: number): number {
    let low = 0;
    let high = this.count;
    if (high > 0 && this.end(high - 1) < at) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.end(middle) < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private insert(index: number, from: number, to: number): number {
    if (this.count === this.limit) return -1;
    if (this.count === this.from.length) this.grow();
    this.from.copyWithin(index + 1, index, this.count);
    this.to.copyWithin(index + 1, index, this.count);
    this.from[index] = (from + this.origin) | 0;
    this.to[index] = (to + this.origin) | 0;
    this.count++;
    return index;
  }

  private grow(): void {
    const capacity = Math.min(Math.max(2 * this.count, FIRST_CAPACITY), this.limit);
    const { from, to } = this;
    this.from = new Int32Array(capacity);
    this.to = new Int32Array(capacity);
    this.from.set(from);
    this.to.set(to);
  }

  private remove(first: number, last: number): void {
    if (first === last) return;
    this.from.copyWithin(first, last, this.count);
    this.to.copyWithin(first, last, this.count);
    this.count -= last - first;
    // A few are kept for the next gap.
    if (this.count === 0 && this.from.length > FIRST_CAPACITY) this.clear();
  }
}

/** The empty set of those that have none of their own yet: it takes no range. */
export const NO_INTERVALS = new IntervalSet(0);
