/**
 * Disjoint half-open ranges `[from, to)` of small integers in ascending order, in fixed memory: what of a byte stream
 * has arrived ahead of a gap.
 */
export class IntervalSet {
  count = 0;
  private readonly from: Int32Array;
  private readonly to: Int32Array;

  /** @param capacity most ranges kept; a range that would be one more is refused */
  constructor(capacity: number) {
    this.from = new Int32Array(capacity);
    this.to = new Int32Array(capacity);
  }

  start(index: number): number {
    return this.from[index];
  }

  end(index: number): number {
    return this.to[index];
  }

  /**
   * Adds `[from, to)`, merging what it overlaps or touches. Returns the index of the range that now holds it, or -1
   * when the set is full and the range touches none.
   */
  add(from: number, to: number): number {
    let first = 0;
    while (first < this.count && this.to[first] < from) first++;
    let last = first;
    while (last < this.count && this.from[last] <= to) last++;
    if (first === last) return this.insert(first, from, to);
    if (this.from[first] < from) from = this.from[first];
    if (this.to[last - 1] > to) to = this.to[last - 1];
    this.from[first] = from;
    this.to[first] = to;
    this.remove(first + 1, last);
    return first;
  }

  /** The index of the range that holds `at`, or -1. */
  find(at: number): number {
    for (let i = 0; i < this.count && this.from[i] <= at; i++) {
      if (at < this.to[i]) return i;
    }
    return -1;
  }

  get isFull(): boolean {
    return this.count === this.from.length;
  }

  /** Takes away every range that starts at or before `at`, or is reached from there; returns where the last one ends. */
  takeFrom(at: number): number {
    let taken = 0;
    let end = at;
    while (taken < this.count && this.from[taken] <= end) {
      if (this.to[taken] > end) end = this.to[taken];
      taken++;
    }
    if (taken > 0) this.remove(0, taken);
    return end;
  }

  /** Moves every range down by `distance`, as the stream's origin moves up. */
  shift(distance: number): void {
    for (let i = 0; i < this.count; i++) {
      this.from[i] -= distance;
      this.to[i] -= distance;
    }
  }

  clear(): void {
    this.count = 0;
  }

  private insert(index: number, from: number, to: number): number {
    if (this.isFull) return -1;
    this.from.copyWithin(index + 1, index, this.count);
    this.to.copyWithin(index + 1, index, this.count);
    this.from[index] = from;
    this.to[index] = to;
    this.count++;
    return index;
  }

  private remove(first: number, last: number): void {
    this.from.copyWithin(first, last, this.count);
    this.to.copyWithin(first, last, this.count);
    this.count -= last - first;
  }
}
