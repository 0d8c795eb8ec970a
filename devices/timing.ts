/** Time for middleware that keeps frames back. */

/** The longest delay that a timer takes, ms. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * What the devices that keep frames back have in common. With a clock of its own, such a device sets no timers: whoever
 * moves the time looks at `nextAt`, and calls `advance` when the time has come.
 */
export interface Timed {
  /** When there will be something to do, in ms of the device's clock: to be received, or to be sent on. */
  readonly nextAt: number;
  /** Does what has become due. */
  advance(): void;
}

/**
 * The clock of a device, and one timer. With a clock that the program gave, the timer is never set: that time is
 * simulated.
 */
export class Alarm {
  readonly simulated: boolean;
  readonly now: () => number;
  private readonly ring: () => void;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private setFor = Number.POSITIVE_INFINITY;
  private referenced = true;

  /** `ring` is called at the time that `set` was given, or a little later; before it where that is 24 days away. */
  constructor(clock: (() => number) | undefined, ring: () => void) {
    this.simulated = clock !== undefined;
    this.now = clock ?? (() => performance.now());
    this.ring = () => {
      this.timer = null;
      this.setFor = Number.POSITIVE_INFINITY;
      ring();
    };
  }

  /** Rings at `at` in place of the time that was set before; never for `Infinity`. */
  set(at: number): void {
    if (this.simulated || (at === this.setFor && this.timer !== null)) return;
    this.clear();
    if (at === Number.POSITIVE_INFINITY) return;
    this.setFor = at;
    const delay = Math.min(Math.max(0, Math.ceil(at - this.now())), LONGEST_TIMER);
    this.timer = setTimeout(this.ring, delay);
    if (!this.referenced) this.timer.unref();
  }

  /** Whether the timer keeps the process running, as it does unless told otherwise. */
  setRef(ref: boolean): void {
    this.referenced = ref;
    if (ref) this.timer?.ref();
    else this.timer?.unref();
  }

  clear(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}

let sleeper: Int32Array<SharedArrayBuffer> | null = null;

/** Blocks the thread. */
export function sleep(ms: number): void {
  sleeper ??= new Int32Array(new SharedArrayBuffer(4));
  if (ms > 0) Atomics.wait(sleeper, 0, 0, ms);
}
