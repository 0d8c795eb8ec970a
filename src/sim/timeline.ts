import { StackError } from "../errors.ts";
import { NEVER } from "../storage/deadline-heap.ts";

/** The time that may pass before the sum of fractions of a ms gets coarser than a nanosecond: 100 days. */
const LATEST_MS = 100 * 86_400_000;
/** So much may happen at one time before it is taken for a circle. */
const MOST_AT_ONCE = 1_000_000;

/** Something that happens at a time: made once, set as often as need be. */
export class Occurrence {
  /** In ms; `NEVER` where it is not set. */
  at = NEVER;
  /** Of those at the same time, what was set first happens first. */
  order = 0;
  /** Its place in the heap. */
  place = -1;
  readonly happen: () => void;

  constructor(happen: () => void) {
    this.happen = happen;
  }
}

/**
 * Virtual time: it stands still while something happens, and jumps from one occurrence to the next. What happens at the
 * same time happens in the order it was set; and when nothing is left of that, what was put off to "now, but later" does,
 * first come, first served. So the same calls give the same order, always.
 */
export class Timeline {
  /** In ms, from 0. */
  now = 0;
  private readonly heap: Occurrence[] = [];
  private orders = 0;
  /** A ring of what happens at `now` after everything else, of a power of two. */
  private deferred: (() => void)[] = new Array(64).fill(ignore);
  private first = 0;
  private waiting = 0;
  private atOnce = 0;

  /** Whether nothing is set. */
  get isEmpty(): boolean {
    return this.heap.length === 0 && this.waiting === 0;
  }

  /** When something happens next, in ms, or `NEVER`. */
  get nextAt(): number {
    if (this.waiting > 0) return this.now;
    return this.heap.length === 0 ? NEVER : this.heap[0].at;
  }

  /** Sets `what` to `at`, in place of what it was set to before; the past is now, and `NEVER` takes it back. */
  set(what: Occurrence, at: number): void {
    const { heap } = this;
    if (!(at < NEVER)) {
      if (what.place >= 0) this.remove(what);
      return;
    }
    what.at = Math.max(at, this.now);
    what.order = this.orders++;
    if (what.place < 0) {
      what.place = heap.length;
      heap.push(what);
      this.rise(what);
    } else {
      this.rise(what);
      this.sink(what);
    }
  }

  /** Has `task` happen at this time, after everything else. */
  defer(task: () => void): void {
    if (this.waiting === this.deferred.length) this.widen();
    this.deferred[(this.first + this.waiting++) & (this.deferred.length - 1)] = task;
  }

  /**
   * Has the next thing happen; `false` where there is none until `limit`, in ms.
   *
   * @throws StackError EBUSY: time stands still. And whatever what happens throws
   */
  step(limit: number): boolean {
    const at = this.heap.length === 0 ? NEVER : this.heap[0].at;
    if (at > this.now) {
      if (this.waiting > 0) {
        this.count();
        this.takeDeferred()();
        return true;
      }
      if (at > limit || at === NEVER) return false;
      if (at > LATEST_MS) {
        throw new StackError("EINVAL", "a simulated network lives for 100 days at most: make another one");
      }
      this.now = at;
      this.atOnce = 0;
    }
    this.count();
    const next = this.heap[0];
    this.remove(next);
    next.happen();
    return true;
  }

  /** Lets time pass in which nothing happens. */
  moveTo(time: number): void {
    if (time > this.now) this.now = time;
  }

  private takeDeferred(): () => void {
    const task = this.deferred[this.first];
    this.deferred[this.first] = ignore;
    this.first = (this.first + 1) & (this.deferred.length - 1);
    this.waiting--;
    return task;
  }

  private count(): void {
    if (++this.atOnce < MOST_AT_ONCE) return;
    throw new StackError(
      "EBUSY",
      `${MOST_AT_ONCE} things have happened at ${this.now} ms, and there is no end: give the links a delay or a rate, so that a circle takes time`,
    );
  }

  private remove(what: Occurrence): void {
    const { heap } = this;
    const last = heap.pop() as Occurrence;
    const { place } = what;
    what.place = -1;
    what.at = NEVER;
    if (last === what) return;
    last.place = place;
    heap[place] = last;
    this.rise(last);
    this.sink(last);
  }

  private rise(what: Occurrence): void {
    const { heap } = this;
    let { place } = what;
    while (place > 0) {
      const up = (place - 1) >> 1;
      const parent = heap[up];
      if (!isBefore(what, parent)) break;
      heap[place] = parent;
      parent.place = place;
      place = up;
    }
    heap[place] = what;
    what.place = place;
  }

  private sink(what: Occurrence): void {
    const { heap } = this;
    const { length } = heap;
    let { place } = what;
    for (;;) {
      let down = 2 * place + 1;
      if (down >= length) break;
      if (down + 1 < length && isBefore(heap[down + 1], heap[down])) down++;
      const child = heap[down];
      if (!isBefore(child, what)) break;
      heap[place] = child;
      child.place = place;
      place = down;
    }
    heap[place] = what;
    what.place = place;
  }

  private widen(): void {
    const { deferred, first } = this;
    const wider: (() => void)[] = new Array(deferred.length * 2).fill(ignore);
    for (let i = 0; i < deferred.length; i++) wider[i] = deferred[(first + i) & (deferred.length - 1)];
    this.deferred = wider;
    this.first = 0;
  }
}

function isBefore(a: Occurrence, b: Occurrence): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function ignore(): void {}
