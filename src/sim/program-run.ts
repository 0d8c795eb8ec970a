import { StackError } from "../errors.ts";
import { realRuntime } from "../host/runtime.ts";
import type { Timeline } from "./timeline.ts";
import type { VirtualRuntime } from "./virtual-runtime.ts";

/** So many things happen before the engine's own loop turns, whatever they are: a test's time limit has to be heard. */
const STEPS_PER_TURN = 20_000;

/**
 * A program that runs in virtual time. Things happen until one of them lets the program go on; then the engine's loop turns
 * once, which runs the program until it waits again, and its promises with it; then the next thing happens.
 */
export class ProgramRun {
  private readonly step: (limit: number) => boolean;
  private readonly runtime: VirtualRuntime;
  private readonly timeline: Timeline;
  private readonly limit: number;
  private readonly seed: number;
  private readonly turn: () => void;
  private reject: (reason: unknown) => void = ignore;
  private over = false;
  /** Promises from elsewhere that the time is held for, and whether the loop has stopped for them. */
  private held = 0;
  private parked = false;

  /**
   * @param step has the next thing happen until a time; `false` where there is none
   * @param limit when the program must have ended, in ms
   */
  constructor(
    step: (limit: number) => boolean,
    runtime: VirtualRuntime,
    timeline: Timeline,
    limit: number,
    seed: number,
  ) {
    this.step = step;
    this.runtime = runtime;
    this.timeline = timeline;
    this.limit = limit;
    this.seed = seed;
    this.turn = () => this.proceed();
  }

  start<T>(program: () => Promise<T> | T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.reject = reject;
    const running = (async () => program())();
    running.then(
      (result) => {
        this.over = true;
        resolve(result);
      },
      (error) => this.fail(error),
    );
    realRuntime.defer(this.turn);
    return promise;
  }

  /** Ends the run: the program has failed, or the network. */
  fail(error: unknown): void {
    if (this.over) return;
    this.over = true;
    this.reject(withSeed(error, this.seed, this.timeline.now));
  }

  async hold<T>(promise: Promise<T>): Promise<T> {
    this.held++;
    try {
      return await promise;
    } finally {
      this.held--;
      if (this.parked) {
        this.parked = false;
        realRuntime.defer(this.turn);
      }
    }
  }

  private proceed(): void {
    if (this.over) return;
    if (this.held > 0) {
      this.parked = true;
      return;
    }
    try {
      this.advance();
    } catch (error) {
      this.fail(error);
      return;
    }
    if (!this.over) realRuntime.defer(this.turn);
  }

  private advance(): void {
    const { runtime } = this;
    runtime.isProgramDue = false;
    for (let steps = 0; steps < STEPS_PER_TURN && !runtime.isProgramDue; steps++) {
      if (this.step(this.limit)) continue;
      throw this.timeline.isEmpty ? nothingLeft() : tookTooLong(this.limit);
    }
  }
}

function nothingLeft(): StackError {
  return new StackError(
    "ETIMEDOUT",
    "the program waits, and nothing is left to happen that could wake it: look for a read of what nobody sends, an accept that nobody connects to, a wait without a timeout across a partition, or a promise from outside the network, which goes through outside()",
  );
}

function tookTooLong(limit: number): StackError {
  return new StackError(
    "ETIMEDOUT",
    `the program has not ended at ${limit} ms of virtual time: look for a loop that never ends, or give run() a longer timeout`,
  );
}

const told = new WeakSet<object>();

/** The same error, with what is needed to see it again in its message. */
export function withSeed(error: unknown, seed: number, now: number): unknown {
  const hint = `[simulated network: seed ${seed}, at ${Math.round(now * 1e6) / 1e6} ms; new Network({ seed: ${seed} }) does the same again]`;
  if (!(error instanceof Error)) return new Error(`${String(error)}\n${hint}`, { cause: error });
  if (told.has(error)) return error;
  told.add(error);
  try {
    error.message += `\n${hint}`;
    return error;
  } catch {
    return new Error(`${error.message}\n${hint}`, { cause: error });
  }
}

function ignore(): void {}
