import { EINTR } from "./errno.ts";
import { type Libc, libc } from "./libc.ts";

export const POLLIN = 0x1;
/** The longest time that poll(2) and a timer can be given, in ms. */
export const LONGEST_WAIT_MS = 0x7fff_ffff;

/** `struct pollfd`: the descriptor, then two 16-bit sets of events. */
const WORDS = 2;

/** Descriptors with the events that each is waited for, as poll(2) wants them. */
export class PollSet {
  size = 0;
  private readonly c: Libc = libc();
  private requests = new Int32Array(16);

  clear(): void {
    this.size = 0;
  }

  /** `events` is `POLLIN`; errors and hang-ups are reported in any case. */
  add(descriptor: number, events: number): void {
    const at = this.size++ * WORDS;
    if (at === this.requests.length) {
      const larger = new Int32Array(2 * at);
      larger.set(this.requests);
      this.requests = larger;
    }
    this.requests[at] = descriptor;
    this.requests[at + 1] = events;
  }

  /** What the last `wait` found of the descriptor that was added as number `i`; 0 for nothing. */
  found(i: number): number {
    return this.requests[i * WORDS + 1] >>> 16;
  }

  /**
   * Blocks until one of them has something, or until `timeoutMs` have passed; rounds up, so that no loop runs hot.
   * Returns how many have something.
   */
  wait(timeoutMs: number): number {
    const until = timeoutMs > 0 ? performance.now() + timeoutMs : 0;
    let left = timeoutMs;
    for (;;) {
      const limit = Math.min(Math.max(Math.ceil(left), 0), LONGEST_WAIT_MS);
      const count = this.c.poll(this.requests, this.size, limit);
      if (count > 0) return count;
      if (count < 0 && this.c.errno() !== EINTR) return this.forget();
      if (timeoutMs <= 0) return this.forget();
      left = until - performance.now();
      if (left <= 0) return this.forget();
    }
  }

  /** Where poll(2) found nothing or failed, it may have left the events as they were. */
  private forget(): number {
    for (let i = 0; i < this.size; i++) this.requests[i * WORDS + 1] &= 0xffff;
    return 0;
  }
}
