import type { Device } from "../device.ts";
import type { Stack } from "../stack.ts";
import { Alarm, LONGEST_TIMER_MS, type Runtime } from "./runtime.ts";

/**
 * Polls a stack when there is a reason to: a device called back, the program did something, the last poll left work, or
 * a deadline has come. Between reasons it costs nothing but one timer.
 */
export class Pump {
  /** Polls so far. */
  polls = 0;
  readonly runtime: Runtime;
  private readonly stack: Stack;
  private readonly alarm: Alarm;
  private readonly run: () => void;
  private scheduled = false;
  private stopped = false;

  constructor(stack: Stack, runtime: Runtime) {
    this.stack = stack;
    this.runtime = runtime;
    this.run = () => this.poll();
    this.alarm = new Alarm(runtime, () => this.wake());
    this.keepRunning();
  }

  /** Polls whenever the device has something, or takes something again. */
  watch(device: Device): void {
    const wake = () => this.wake();
    device.onReadable(wake);
    device.onWritable(wake);
    this.wake();
  }

  /** Polls in the next turn of the event loop. Any number of calls make one poll. */
  wake(): void {
    if (this.scheduled || this.stopped) return;
    this.scheduled = true;
    this.runtime.defer(this.run);
  }

  /** Whether the pump keeps the process running. */
  setRef(ref: boolean): void {
    this.alarm.setRef(ref);
  }

  /** Polls no more. */
  stop(): void {
    this.stopped = true;
    this.alarm.clear();
  }

  private poll(): void {
    this.scheduled = false;
    if (this.stopped) return;
    let more = true;
    // Whatever a handler throws goes to the runtime as an uncaught exception; the stack goes on.
    try {
      this.polls++;
      more = this.stack.poll(this.runtime.now());
    } finally {
      if (more) this.wake();
      else this.sleep();
    }
  }

  /** Nothing to do before the next deadline. */
  private sleep(): void {
    const { runtime } = this;
    const now = runtime.now();
    const deadline = this.stack.nextDeadline(now);
    if (deadline <= now || deadline - now < runtime.timerResolutionMs) {
      this.wake();
    } else if (deadline < this.alarm.at) {
      this.alarm.set(deadline, now);
    }
    // An alarm that comes too early costs one poll; moving it at each poll would cost more.
    this.keepRunning();
  }

  /** A timer that is far away: while it is set, the runtime does not end the process. */
  private keepRunning(): void {
    if (this.runtime.endsWithoutTimer && this.alarm.at === Number.POSITIVE_INFINITY) {
      const now = this.runtime.now();
      this.alarm.set(now + LONGEST_TIMER_MS, now);
    }
  }
}
