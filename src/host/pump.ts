import type { Device } from "../device.ts";
import type { Stack } from "../stack.ts";
import { Alarm, clock, defer, LONGEST_TIMER_MS } from "./runtime.ts";

/** An earlier deadline than this is waited for by turns of the event loop: timers are not that fine. */
const SHORTEST_TIMER_MS = 1;

/**
 * Polls a stack when there is a reason to: a device called back, the program did something, the last poll left work, or
 * a deadline has come. Between reasons it costs nothing but one timer.
 */
export class Pump {
  /** Polls so far. */
  polls = 0;
  private readonly stack: Stack;
  private readonly alarm: Alarm;
  private readonly run: () => void;
  private scheduled = false;
  private stopped = false;

  constructor(stack: Stack) {
    this.stack = stack;
    this.run = () => this.poll();
    this.alarm = new Alarm(() => this.wake());
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
    defer(this.run);
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
      more = this.stack.poll(clock());
    } finally {
      if (more) this.wake();
      else this.sleep();
    }
  }

  /** Nothing to do before the next deadline. */
  private sleep(): void {
    const now = clock();
    const deadline = this.stack.nextDeadline(now);
    if (deadline - now < SHORTEST_TIMER_MS) {
      this.wake();
    } else if (deadline < this.alarm.at) {
      this.alarm.set(deadline, now);
    }
    // An alarm that comes too early costs one poll; moving it at each poll would cost more.
    this.keepRunning();
  }

  /** A timer that is far away: while it is set, the runtime does not end the process. */
  private keepRunning(): void {
    if (this.alarm.at === Number.POSITIVE_INFINITY) {
      const now = clock();
      this.alarm.set(now + LONGEST_TIMER_MS, now);
    }
  }
}
