import { StackError } from "../errors.ts";
import type { Runtime, Timer } from "./runtime.ts";

/** How long to wait for something. */
export interface WaitOptions {
  /** Ends the wait: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Ends the wait after this many ms: the promise rejects with ETIMEDOUT. For ever unless told. */
  readonly timeout?: number | undefined;
}

/** One call that waits, with what it is to do when its turn comes. */
export class Pending<Job, Result> {
  readonly job: Job;
  readonly promise: Promise<Result>;
  private readonly resolvers: PromiseWithResolvers<Result>;
  private readonly runtime: Runtime;
  private timer: Timer | null = null;
  private signal: AbortSignal | undefined;
  private onAbort: (() => void) | undefined;

  constructor(job: Job, runtime: Runtime) {
    this.job = job;
    this.runtime = runtime;
    this.resolvers = Promise.withResolvers<Result>();
    this.promise = this.resolvers.promise;
  }

  /** Starts the clock and listens to the signal; `giveUp` is called with the reason of whichever comes first. */
  limit(options: WaitOptions, what: string, giveUp: (reason: unknown) => void): void {
    const { signal, timeout } = options;
    if (timeout !== undefined && timeout !== Number.POSITIVE_INFINITY) {
      this.timer = this.runtime.setTimer(
        () => giveUp(new StackError("ETIMEDOUT", `${what} timed out after ${timeout} ms`)),
        timeout,
      );
    }
    if (signal !== undefined) {
      this.signal = signal;
      this.onAbort = () => giveUp(signal.reason);
      signal.addEventListener("abort", this.onAbort);
    }
  }

  resolve(result: Result): void {
    this.unlimit();
    this.runtime.programIsDue();
    this.resolvers.resolve(result);
  }

  reject(reason: unknown): void {
    this.unlimit();
    this.runtime.programIsDue();
    this.resolvers.reject(reason);
  }

  private unlimit(): void {
    this.runtime.clearTimer(this.timer);
    this.timer = null;
    if (this.onAbort !== undefined) this.signal?.removeEventListener("abort", this.onAbort);
    this.signal = undefined;
    this.onAbort = undefined;
  }
}

/** Calls that wait for the same thing, first come, first served. */
export class PendingQueue<Job, Result> {
  private readonly waiting = new Set<Pending<Job, Result>>();
  private readonly what: string;
  private readonly runtime: Runtime;

  /** @param what the call's name in error messages */
  constructor(what: string, runtime: Runtime) {
    this.what = what;
    this.runtime = runtime;
  }

  get isEmpty(): boolean {
    return this.waiting.size === 0;
  }

  /** The call that waits longest, or `null`. */
  get first(): Pending<Job, Result> | null {
    for (const pending of this.waiting) return pending;
    return null;
  }

  /** Queues a call. `onGiveUp` runs when its time is over or its signal aborts. */
  wait(job: Job, options: WaitOptions | undefined, onGiveUp?: () => void): Promise<Result> {
    const pending = new Pending<Job, Result>(job, this.runtime);
    this.waiting.add(pending);
    if (options !== undefined) {
      pending.limit(options, this.what, (reason) => {
        this.waiting.delete(pending);
        pending.reject(reason);
        onGiveUp?.();
      });
    }
    return pending.promise;
  }

  /** Ends the first call well. */
  resolveFirst(result: Result): void {
    const { first } = this;
    if (first === null) return;
    this.waiting.delete(first);
    first.resolve(result);
  }

  /** Ends the first call with `reason`. */
  rejectFirst(reason: unknown): void {
    const { first } = this;
    if (first === null) return;
    this.waiting.delete(first);
    first.reject(reason);
  }

  /** Ends all calls with `reason`. */
  rejectAll(reason: unknown): void {
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const pending of waiting) pending.reject(reason);
  }
}

/**
 * Throws at once what is wrong with the options, or the reason of a signal that has been aborted already.
 *
 * @throws StackError EINVAL
 */
export function checkWait(options: WaitOptions | undefined): void {
  if (options === undefined) return;
  const { signal, timeout } = options;
  if (timeout !== undefined && !(timeout >= 0)) {
    throw new StackError("EINVAL", `timeout is a time in ms, 0 or more, and not ${timeout}`);
  }
  signal?.throwIfAborted();
}

/** What `next` gives, until it rejects with ECANCELED, as it does once its owner is closed. Leaving the loop early closes. */
export async function* untilClosed<T>(
  next: () => Promise<T>,
  close: () => void,
): AsyncGenerator<T, void, void> {
  try {
    while (true) yield await next();
  } catch (error) {
    if (!(error instanceof StackError && error.code === "ECANCELED")) throw error;
  } finally {
    close();
  }
}

/** A promise whose rejection is not reported when nobody looks at it, because the error shows elsewhere, too. */
export function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(ignore);
  return promise;
}

/** Calls `abort` when the signal does, now if it has; returns what takes the call back. */
export function onAbort(signal: AbortSignal | undefined, abort: () => void): () => void {
  if (signal === undefined) return ignore;
  if (signal.aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  return () => signal.removeEventListener("abort", abort);
}

function ignore(): void {}
