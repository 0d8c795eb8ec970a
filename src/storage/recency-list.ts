const OUTSIDE = -2;
const END = -1;

/** Numbers in the order in which they were used last, in fixed memory; a number is in it at most once. */
export class RecencyList {
  size = 0;
  private readonly newer: Int32Array;
  private readonly older: Int32Array;
  private newest = END;
  private last = END;

  /** @param capacity numbers 0 .. capacity - 1 may be in it */
  constructor(capacity: number) {
    this.newer = new Int32Array(capacity).fill(OUTSIDE);
    this.older = new Int32Array(capacity).fill(OUTSIDE);
  }

  /** The number that has not been used for longest, or -1. */
  get oldest(): number {
    return this.last;
  }

  /** Puts `index` in front as the one used last; it may be in the list already. */
  use(index: number): void {
    if (this.newest === index) return;
    this.remove(index);
    this.older[index] = this.newest;
    this.newer[index] = END;
    if (this.newest === END) this.last = index;
    else this.newer[this.newest] = index;
    this.newest = index;
    this.size++;
  }

  /** Takes `index` out; does nothing when it is not there. */
  remove(index: number): void {
    const newer = this.newer[index];
    const older = this.older[index];
    if (newer === OUTSIDE) return;
    if (newer === END) this.newest = older;
    else this.older[newer] = older;
    if (older === END) this.last = newer;
    else this.newer[older] = newer;
    this.newer[index] = OUTSIDE;
    this.older[index] = OUTSIDE;
    this.size--;
  }
}
