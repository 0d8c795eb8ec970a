/**
 * Wakes the event loop when a file descriptor becomes readable, without a thread and without looking again and again.
 *
 * Bun has no way to add a descriptor of ours to the ones that its loop waits for, but it does hand signals to
 * JavaScript, and Linux sends SIGIO for a descriptor with O_ASYNC. A signal a frame would cost more than the frame,
 * so O_ASYNC is set only while the reader has found nothing and waits: under load there are no signals at all.
 */

import { StackError } from "../../src/errors.ts";
import { EINTR } from "./errno.ts";
import { type Libc, libc } from "./libc.ts";

const F_GETFL = 3;
const F_SETFL = 4;
const F_SETOWN = 8;
const O_ASYNC = 0x2000;
const POLLIN = 0x1;
/** The longest interval that a timer can have. */
const LONGEST_TIMER = 0x7fff_ffff;

const armed = new Set<Readiness>();
let installed = false;

/**
 * The default action of SIGIO ends the process, and a signal may still be on its way when the last descriptor is
 * closed. So the handler comes before the first O_ASYNC, and stays. It does not keep the process running.
 */
function installHandler(): void {
  if (installed) return;
  if (!Bun.isMainThread) {
    // Without the handler the first signal would end the whole process.
    throw new StackError(
      "ENOTSUP",
      "Signals reach the main thread only, and with them the news that a device is readable: use the device there, or call its wait() in a loop.",
    );
  }
  installed = true;
  process.on("SIGIO", () => {
    // The signal does not say whose it is. With one reader that is no question; of several each is asked.
    const several = armed.size > 1;
    // A copy: a callback that reads until there is nothing arms its reader again, and it would never be the last.
    for (const reader of [...armed]) {
      if (!several || reader.poll(0)) reader.fireIfArmed();
    }
  });
}

/** The readiness of one non-blocking descriptor. */
export class Readiness {
  private readonly c: Libc = libc();
  private readonly fd: number;
  private readonly flags: number;
  /** `struct pollfd`: the descriptor, then two 16-bit sets of events. */
  private readonly request = new Int32Array(2);
  private callback: (() => void) | null = null;
  private keepAlive: ReturnType<typeof setInterval> | null = null;

  constructor(fd: number) {
    this.fd = fd;
    this.flags = this.c.fcntl(fd, F_GETFL, 0);
  }

  /**
   * Registers the callback, from the main thread only. From now until `close` the process keeps running, as it does for a listening socket.
   */
  watch(callback: () => void): void {
    installHandler();
    this.c.fcntl(this.fd, F_SETOWN, process.pid);
    this.callback = callback;
    // A timer that never fires is the cheapest thing that keeps the loop: it sleeps in epoll_wait until a signal.
    this.keepAlive ??= setInterval(() => {}, LONGEST_TIMER);
  }

  get watched(): boolean {
    return this.callback !== null;
  }

  /**
   * From now on the next frame is signalled. What came before is not: read once more after this, and `disarm` if
   * that brings something.
   */
  arm(): void {
    if (armed.has(this)) return;
    armed.add(this);
    this.c.fcntl(this.fd, F_SETFL, this.flags | O_ASYNC);
  }

  disarm(): void {
    if (!armed.delete(this)) return;
    this.c.fcntl(this.fd, F_SETFL, this.flags);
  }

  fireIfArmed(): void {
    if (!armed.has(this)) return;
    this.disarm();
    if (this.callback !== null) this.callback();
  }

  /** Blocks until there is something to read or `timeoutMs` have passed; rounds up, so that no loop runs hot. */
  poll(timeoutMs: number): boolean {
    const until = timeoutMs > 0 ? performance.now() + timeoutMs : 0;
    let left = timeoutMs;
    for (;;) {
      this.request[0] = this.fd;
      this.request[1] = POLLIN;
      const found = this.c.poll(this.request, 1, Math.min(Math.max(Math.ceil(left), 0), LONGEST_TIMER));
      if (found > 0 && ((this.request[1] >>> 16) & POLLIN) !== 0) return true;
      if (found === 0 && left <= LONGEST_TIMER) return false;
      if (timeoutMs <= 0) return false;
      left = until - performance.now();
      if (left <= 0) return false;
      // POLLERR at once: the interface is gone. Sleeping is what is left to do.
      if (found > 0 || this.c.errno() !== EINTR) {
        this.c.poll(this.request, 0, Math.min(Math.ceil(left), 1000));
        return false;
      }
    }
  }

  /** Before the descriptor is closed: no callback comes any more, and the process may end. */
  close(): void {
    this.disarm();
    this.callback = null;
    if (this.keepAlive !== null) clearInterval(this.keepAlive);
    this.keepAlive = null;
  }
}
