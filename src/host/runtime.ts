/**
 * What the host needs of the JavaScript engine: a clock, timers and turns of the event loop. Only what Bun, Node, Deno
 * and browsers have in common is used, with a way out where one of them differs.
 */

/** The longest time that a timer can be set to, in ms; a longer one would fire at once. */
export const LONGEST_TIMER_MS = 0x7fff_ffff;

/** The time in ms, with fractions; it never goes back. */
export function clock(): number {
  return performance.now();
}

/**
 * Runs `task` in a later turn of the event loop, behind input and output that is waiting: never as a microtask, which
 * would let two fast peers keep the loop from turning.
 */
export const defer: (task: () => void) => void = chooseDefer();

function chooseDefer(): (task: () => void) => void {
  if (typeof globalThis.setImmediate === "function") {
    const { setImmediate } = globalThis;
    return (task) => void setImmediate(task);
  }
  if (typeof MessageChannel !== "function") return (task) => void setTimeout(task, 0);
  // Browsers: a message to oneself is not slowed down to 4 ms as a chain of timers is.
  const { port1, port2 } = new MessageChannel();
  const tasks: (() => void)[] = [];
  port1.onmessage = () => tasks.shift()?.();
  return (task) => {
    tasks.push(task);
    port2.postMessage(null);
  };
}

/** Waits for a later turn of the event loop. */
export function laterTurn(): Promise<void> {
  return new Promise(defer);
}

type Timer = ReturnType<typeof setTimeout>;

interface DenoTimers {
  refTimer(id: unknown): void;
  unrefTimer(id: unknown): void;
}

/** Lets a timer keep the process running, or not; browsers have no such thing. */
export function setRef(timer: Timer, ref: boolean): void {
  if (typeof timer === "object" && "unref" in timer) {
    if (ref) timer.ref();
    else timer.unref();
    return;
  }
  const { Deno } = globalThis as { Deno?: DenoTimers };
  if (ref) Deno?.refTimer(timer);
  else Deno?.unrefTimer(timer);
}

/** One timer that can be set again and again. */
export class Alarm {
  /** When it goes off, in the time of `clock`; `Infinity` when it is not set. */
  at = Number.POSITIVE_INFINITY;
  private readonly task: () => void;
  private timer: Timer | null = null;
  private referenced = true;

  constructor(task: () => void) {
    this.task = () => {
      this.timer = null;
      this.at = Number.POSITIVE_INFINITY;
      task();
    };
  }

  /** Sets it to `at`, rounded up to whole ms; one that was set before is forgotten. */
  set(at: number, now: number): void {
    this.clear();
    const delay = Math.min(Math.max(Math.ceil(at - now), 0), LONGEST_TIMER_MS);
    this.at = now + delay;
    this.timer = setTimeout(this.task, delay);
    if (!this.referenced) setRef(this.timer, false);
  }

  clear(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.at = Number.POSITIVE_INFINITY;
  }

  /** Whether it keeps the process running while it is set. */
  setRef(ref: boolean): void {
    this.referenced = ref;
    if (this.timer !== null) setRef(this.timer, ref);
  }
}
