/**
 * Wakes the event loop when a file descriptor becomes readable, without a thread and without looking again and again.
 *
 * Bun has no way to add a descriptor of ours to the ones that its loop waits for, but it does hand signals to
 * JavaScript, and Linux sends SIGIO for a descriptor with O_ASYNC. A signal a frame would cost more than the frame,
 * so O_ASYNC is set only while the reader has found nothing and waits: under load there are no signals at all. Signals
 * reach the main thread only; in a worker the kernel is asked to poll in their place (aio-poll.ts).
 *
 * Either takes some tens of microseconds to arrive. Where the next frame is likely to come sooner than that, the
 * loop stays awake: it turns, and looks each time, for a bounded while. Whether that pays is learned from how long the
 * last waits were.
 */

import { PolledNews } from "./aio-poll.ts";
import { LONGEST_WAIT_MS, POLLIN, PollSet } from "./poll.ts";
import { type News, SignalNews, type Sleeper } from "./sigio.ts";

/** How long the loop stays awake for the next frame, in ms. */
const AWAKE_MS = 0.05;
/** Of the last waits, so many more than not must have ended within `AWAKE_MS`. */
const WORTH_IT = 2;
const SURE = 4;

/** The readiness of one non-blocking descriptor, for the event loop of the thread that it is watched in. */
export class Readiness implements Sleeper {
  readonly descriptor: number;
  private readonly poll = new PollSet();
  private readable: (() => void) | null = null;
  private keepAlive: ReturnType<typeof setInterval> | null = null;
  private keepsRunning = true;
  private news: News | null = null;
  /** News may wake it. */
  private asleep = false;
  /** From `rest` to the callback. */
  private resting = false;
  private restedAt = 0;
  /** How much staying awake has paid lately: 0 .. SURE. */
  private gain = 0;
  private readonly look = (): void => this.lookAround();
  private readonly fallAsleep = (): void => {
    if (this.resting) this.sleep();
  };
  private readonly recheck = (): void => this.wakeIfReady();

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  /**
   * Registers the callback for "there may be something to read". It is called once soon, and then once after each
   * `rest`. Until `close` the process keeps running, as it does for a listening socket, unless `isBackground` or `setRef`
   * says otherwise.
   *
   * @throws StackError `ENOTSUP` in a worker on a system that has no asynchronous poll, or allows none
   */
  watch(readable: () => void, isBackground = false): void {
    this.news ??= Bun.isMainThread ? new SignalNews(this) : new PolledNews(this);
    this.readable = readable;
    // A timer that never fires is the cheapest thing that keeps the loop: it sleeps in epoll_wait until a signal.
    if (!isBackground) this.keepAlive ??= setInterval(() => {}, LONGEST_WAIT_MS);
    this.setRef(this.keepsRunning);
    this.resume();
  }

  /** Whether `watch` keeps the process running. */
  setRef(ref: boolean): void {
    this.keepsRunning = ref;
    if (ref) this.keepAlive?.ref();
    else this.keepAlive?.unref();
  }

  /** A read found nothing. The callback is called when there may be something again, and not before this returns. */
  rest(): void {
    if (this.resting || this.readable === null) return;
    this.resting = true;
    this.restedAt = performance.now();
    // Not at once: whoever has read may go on to write, and each answer that comes meanwhile would send a signal.
    if (this.gain >= WORTH_IT) setImmediate(this.look);
    else queueMicrotask(this.fallAsleep);
  }

  /** Sleeps no more, and calls back no more, until `resume`: there is nothing to be had from the descriptor. */
  pause(): void {
    this.resting = false;
    this.getUp();
  }

  /** Calls back once soon, as after `watch`. */
  resume(): void {
    if (this.resting || this.readable === null) return;
    this.resting = true;
    this.restedAt = performance.now();
    this.arm();
    // What lies there already sends no signal; and a program that waits before it has asked is to be called, too.
    setImmediate(() => {
      if (this.resting) this.wake();
    });
  }

  /** One turn of the loop while it stays awake. */
  private lookAround(): void {
    if (!this.resting) return;
    if (this.isReady()) {
      this.wake();
    } else if (performance.now() - this.restedAt < AWAKE_MS) {
      setImmediate(this.look);
    } else {
      this.sleep();
    }
  }

  private sleep(): void {
    this.arm();
    // What came before the descriptor was armed sends no signal.
    if (this.isReady()) setImmediate(this.recheck);
  }

  private wakeIfReady(): void {
    if (this.asleep && this.isReady()) this.wake();
  }

  /** Whether there is something to read, or an error. */
  private isReady(): boolean {
    this.poll.clear();
    this.poll.add(this.descriptor, POLLIN);
    return this.poll.wait(0) !== 0;
  }

  private arm(): void {
    if (this.asleep) return;
    this.asleep = true;
    this.news?.arm();
  }

  private getUp(): void {
    if (!this.asleep) return;
    this.asleep = false;
    this.news?.disarm();
  }

  /** Something was found, or an error. */
  wake(): void {
    this.getUp();
    if (!this.resting) return;
    this.resting = false;
    this.learn(performance.now() - this.restedAt);
    this.readable?.();
  }

  private learn(waitedMs: number): void {
    if (waitedMs < AWAKE_MS) this.gain = Math.min(this.gain + 1, SURE);
    else this.gain = Math.max(this.gain - 1, 0);
  }

  /** Before the descriptor is closed: no callback comes any more, and the process may end. */
  close(): void {
    this.readable = null;
    this.pause();
    if (this.keepAlive !== null) clearInterval(this.keepAlive);
    this.keepAlive = null;
    this.news?.close();
    this.news = null;
  }
}
