import type { Runtime, Timer } from "../host/runtime.ts";
import { NEVER } from "../storage/deadline-heap.ts";
import { Occurrence, type Timeline } from "./timeline.ts";

/** Clock and timers of a host in virtual time. */
export class VirtualRuntime implements Runtime {
  readonly timerResolutionMs = 0;
  readonly endsWithoutTimer = false;
  /** The program may have something to do before the time moves on. */
  isProgramDue = false;
  private readonly timeline: Timeline;

  constructor(timeline: Timeline) {
    this.timeline = timeline;
  }

  now(): number {
    return this.timeline.now;
  }

  defer(task: () => void): void {
    this.timeline.defer(task);
  }

  setTimer(task: () => void, delayMs: number): Timer {
    const timer = new Occurrence(task);
    this.timeline.set(timer, this.timeline.now + delayMs);
    return timer as unknown as Timer;
  }

  clearTimer(timer: Timer | null): void {
    if (timer !== null) this.timeline.set(timer as unknown as Occurrence, NEVER);
  }

  /** A simulation ends with its program, whatever is set. */
  setRef(): void {}

  programIsDue(): void {
    this.isProgramDue = true;
  }
}
