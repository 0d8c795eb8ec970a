const OUTSIDE = -2;
const END = -1;

/** A first-in-first-out queue of socket numbers in fixed memory; a number is in it at most once. */
export class ReadyQueue {
  size = 0;
  private readonly next: Int32Array;
  private head = END;
  private tail = END;

  /** @param capacity numbers 0 .. capacity - 1 may be queued */
  constructor(capacity: number) {
    this.next = new Int32Array(capacity).fill(OUTSIDE);
  }

  /** Queues `index` behind the others, unless it waits already. */
  push(index: number): void {
    if (this.next[index] !== OUTSIDE) return;
    this.next[index] = END;
    if (this.tail === END) this.head = index;
    else this.next[this.tail] = index;
    this.tail = index;
    this.size++;
  }

  /** Does another one than `index` wait? */
  hasOther(index: number): boolean {
    return this.size > 1 || (this.size === 1 && this.head !== index);
  }

  /** Takes the first number out, or returns -1. */
  shift(): number {
    const index = this.head;
    if (index === END) return -1;
    this.head = this.next[index];
    if (this.head === END) this.tail = END;
    this.next[index] = OUTSIDE;
    this.size--;
    return index;
  }
}
