/**
 * What the host needs of the world: a clock, timers and turns of the event loop. It is handed in, so that the same host
 * runs in real time and in a simulated one; the real one is the JavaScript engine's. Only what Bun, Node, Deno and browsers
 * have in common is used of that, with a way out where one of them differs.
 */

/** The longest time that a timer can be set to, in ms; a longer one would fire at once. */
export const LONGEST_TIMER_MS = 0x7fff_ffff;

declare const timerBrand: unique symbol;

/** A timer that was set; what it is inside is its runtime's business. */
export interface Timer {
  readonly [timerBrand]: never;
}

/** A clock, timers and turns of an event loop. */
export interface Runtime {
  /**
   * Timers are no finer than this, in ms: a deadline that is nearer is waited for by turns of the loop. 0 where they are
   * exact.
   */
  readonly timerResolutionMs: number;
  /** A process that waits for frames alone would end: a timer that is far away keeps it running. */
  readonly endsWithoutTimer: boolean;

  /** The time in ms, with fractions; it never goes back. */
  now(): number;

  /**
   * Runs `task` in a later turn of the loop, behind input and output that is waiting: never as a microtask, which would
   * let two fast peers keep the loop from turning.
   */
  defer(task: () => void): void;

  /** Runs `task` once, in `delayMs` ms or a little later; the engine, which counts 24 days at most, after these. */
  setTimer(task: () => void, delayMs: number): Timer;

  /** Takes a timer back; one that has fired, or `null`, is fine. */
  clearTimer(timer: Timer | null): void;

  /** Lets a timer keep the process running, as it does from the start, or not. */
  setRef(timer: Timer, ref: boolean): void;

  /**
   * Is called where a promise of the program's settles, or a function of it is called: it may run before the time moves
   * on. Where time moves by itself, nothing is to be done.
   */
  programIsDue(): void;
}

type EngineTimer = ReturnType<typeof setTimeout>;

interface DenoTimers {
  refTimer(id: unknown): void;
  unrefTimer(id: unknown): void;
}

/** The engine's own clock and timers. */
export const realRuntime: Runtime = {
  timerResolutionMs: 1,
  endsWithoutTimer: true,

  now(): number {
    return performance.now();
  },

  defer: chooseDefer(),

  setTimer(task: () => void, delayMs: number): Timer {
    // Rounded up: a timer that fires before its time only costs another one.
    const delay = Math.min(Math.max(Math.ceil(delayMs), 0), LONGEST_TIMER_MS);
    return setTimeout(task, delay) as unknown as Timer;
  },

  clearTimer(timer: Timer | null): void {
    if (timer !== null) clearTimeout(timer as unknown as EngineTimer);
  },

  setRef(timer: Timer, ref: boolean): void {
    const engineTimer = timer as unknown as EngineTimer;
    if (typeof engineTimer === "object" && "unref" in engineTimer) {
      if (ref) engineTimer.ref();
      else engineTimer.unref();
      return;
    }
    // Browsers have no such thing.
    const { Deno } = globalThis as { Deno?: DenoTimers };
    if (ref) Deno?.refTimer(engineTimer);
    else Deno?.unrefTimer(engineTimer);
  },

  programIsDue(): void {},
};

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

/** Calls a function of the program in a later turn of the loop. */
export function callLater(runtime: Runtime, call: () => void): void {
  runtime.defer(() => {
    runtime.programIsDue();
    call();
  });
}

/** Waits for a later turn of the loop. */
export function laterTurn(runtime: Runtime): Promise<void> {
  return new Promise((resolve) => callLater(runtime, resolve));
}

/** One timer that can be set again and again. */
export class Alarm {
  /** When it goes off, in the time of the runtime; `Infinity` when it is not set. */
  at = Number.POSITIVE_INFINITY;
  private readonly runtime: Runtime;
  private readonly task: () => void;
  private timer: Timer | null = null;
  private referenced = true;

  constructor(runtime: Runtime, task: () => void) {
    this.runtime = runtime;
    this.task = () => {
      this.timer = null;
      this.at = Number.POSITIVE_INFINITY;
      task();
    };
  }

  /** Sets it to `at`, or as near to that as a timer can be set; one that was set before is forgotten. */
  set(at: number, now: number): void {
    this.clear();
    const delay = Math.min(Math.max(at - now, 0), LONGEST_TIMER_MS);
    this.at = now + delay;
    this.timer = this.runtime.setTimer(this.task, delay);
    if (!this.referenced) this.runtime.setRef(this.timer, false);
  }

  clear(): void {
    this.runtime.clearTimer(this.timer);
    this.timer = null;
    this.at = Number.POSITIVE_INFINITY;
  }

  /** Whether it keeps the process running while it is set. */
  setRef(ref: boolean): void {
    this.referenced = ref;
    if (this.timer !== null) this.runtime.setRef(this.timer, ref);
  }
}
