/** No deadline. */
export const NEVER = Infinity;

/**
 * The earliest of many deadlines, one a socket number, in fixed memory: a binary heap with the positions kept, so that
 * a deadline is moved in place.
 */
export class DeadlineHeap {
  size = 0;
  private readonly at: Float64Array;
  private readonly heap: Int32Array;
  private readonly position: Int32Array;

  /** @param capacity numbers 0 .. capacity - 1 may have a deadline */
  constructor(capacity: number) {
    this.at = new Float64Array(capacity).fill(NEVER);
    this.heap = new Int32Array(capacity);
    this.position = new Int32Array(capacity).fill(-1);
  }

  /** The earliest deadline in ms, or `NEVER`. */
  get earliest(): number {
    return this.size === 0 ? NEVER : this.at[this.heap[0]];
  }

  /** The number with the earliest deadline, or -1. */
  get first(): number {
    return this.size === 0 ? -1 : this.heap[0];
  }

  /** The deadline of `index` in ms, or `NEVER`. */
  deadlineOf(index: number): number {
    return this.at[index];
  }

  /** Sets the deadline of `index` to `at` ms; `NEVER` takes it out. */
  set(index: number, at: number): void {
    const position = this.position[index];
    if (position === -1) {
      if (at === NEVER) return;
      this.at[index] = at;
      this.up(this.size++, index);
    } else if (at === NEVER) {
      this.remove(position, index);
    } else {
      const before = this.at[index];
      if (at === before) return;
      this.at[index] = at;
      if (at < before) this.up(position, index);
      else this.down(position, index);
    }
  }

  private remove(position: number, index: number): void {
    this.position[index] = -1;
    this.at[index] = NEVER;
    const last = this.heap[--this.size];
    if (last === index) return;
    if (position > 0 && this.at[last] < this.at[this.heap[(position - 1) >> 1]]) this.up(position, last);
    else this.down(position, last);
  }

  private up(position: number, index: number): void {
    const at = this.at[index];
    while (position > 0) {
      const parent = (position - 1) >> 1;
      const other = this.heap[parent];
      if (this.at[other] <= at) break;
      this.place(position, other);
      position = parent;
    }
    this.place(position, index);
  }

  private down(position: number, index: number): void {
    const at = this.at[index];
    for (;;) {
      let child = 2 * position + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && this.at[this.heap[child + 1]] < this.at[this.heap[child]]) child++;
      const other = this.heap[child];
      if (this.at[other] >= at) break;
      this.place(position, other);
      position = child;
    }
    this.place(position, index);
  }

  private place(position: number, index: number): void {
    this.heap[position] = index;
    this.position[index] = position;
  }
}
