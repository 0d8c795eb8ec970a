/**
 * The one handler of SIGIO, which the kernel sends for a descriptor that has O_ASYNC set, and the list of those that
 * sleep until one comes.
 *
 * The default action of SIGIO ends the process. So the handler comes before the first O_ASYNC, and goes only when no
 * signal can be on its way any more.
 */

import { StackError } from "../../src/errors.ts";
import { type Libc, libc } from "./libc.ts";
import { POLLIN, PollSet } from "./poll.ts";

const F_GETFL = 3;
const F_SETFL = 4;
const F_SETOWN = 8;
const O_ASYNC = 0x2000;

/** How the news that a descriptor has become readable reaches the thread that sleeps until then. */
export interface News {
  /** From now on `wake` of the sleeper is called, once there is something that was not there before, or that was. */
  arm(): void;
  /** It is awake: `wake` may still be called, and need not be. */
  disarm(): void;
  /** Before the descriptor is closed. */
  close(): void;
}

/** Something that sleeps until its descriptor becomes readable. */
export interface Sleeper {
  readonly descriptor: number;
  /** It has, or there is an error. Called from the event loop. */
  wake(): void;
}

const SIGIO = 29;
/** `struct sigaction` is smaller than this everywhere, and the handler is its first field. */
const SIGACTION_SIZE = 256;

const sleeping: Sleeper[] = [];
/** Descriptors for which signals may come. */
let users = 0;
/** What SIGIO did before the handler came, or `null` where that was to call another handler in JavaScript. */
let before: Uint8Array | null = null;
/** Filled by each signal anew. */
let candidates: Sleeper[] = [];
let poll: PollSet | null = null;

function onSignal(): void {
  // The signal does not say whose it is. With one sleeper that is no question; of several each is asked.
  if (sleeping.length === 1) {
    wake(sleeping[0]);
    return;
  }
  poll ??= new PollSet();
  poll.clear();
  candidates.length = 0;
  for (const sleeper of sleeping) {
    candidates.push(sleeper);
    poll.add(sleeper.descriptor, POLLIN);
  }
  if (poll.wait(0) === 0) return;
  // What wakes up may go to sleep again at once, or close another one.
  const woken = candidates;
  candidates = [];
  for (let i = 0; i < woken.length; i++) {
    if (poll.found(i) !== 0 && sleeping.includes(woken[i])) wake(woken[i]);
  }
  candidates = woken;
}

/** What a callback throws is not to keep the others asleep. */
export function wake(sleeper: Sleeper): void {
  try {
    sleeper.wake();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/**
 * Before O_ASYNC is set on a descriptor.
 *
 * @throws StackError `ENOTSUP` in a worker
 */
export function acquireSignal(): void {
  if (!Bun.isMainThread) {
    // Without the handler the first signal would end the whole process.
    throw new StackError(
      "ENOTSUP",
      "Signals reach the main thread only, and with them the news that a device is readable: use the device there, or call its wait() in a loop.",
    );
  }
  if (users++ > 0) return;
  before = null;
  if (process.listenerCount("SIGIO") === 0) {
    before = new Uint8Array(SIGACTION_SIZE);
    libc().sigaction(SIGIO, null, before);
  }
  process.on("SIGIO", onSignal);
}

/** After O_ASYNC was cleared. With the last descriptor the handler goes, and what was before it comes back. */
export function releaseSignal(): void {
  if (--users > 0) return;
  const c: Libc = libc();
  const isAlone = process.listenerCount("SIGIO") === 1;
  // A signal that was sent already may wait for any of the process's threads, and would find the default action. To
  // ignore a signal, if only for a moment, discards it wherever it waits (signal(7), sigaction(2)).
  if (isAlone) c.sigaction(SIGIO, ignoring(), null);
  process.off("SIGIO", onSignal);
  if (isAlone) c.sigaction(SIGIO, before ?? new Uint8Array(SIGACTION_SIZE), null);
}

/** A `struct sigaction` with SIG_IGN, which is 1, in its first field. */
function ignoring(): Uint8Array {
  const action = new Uint8Array(SIGACTION_SIZE);
  action[0] = 1;
  return action;
}

/** From now on `sleeper.wake` is called when a signal comes and finds something. */
export function goToSleep(sleeper: Sleeper): void {
  if (!sleeping.includes(sleeper)) sleeping.push(sleeper);
}

export function getUp(sleeper: Sleeper): void {
  const i = sleeping.indexOf(sleeper);
  if (i < 0) return;
  const last = sleeping.pop();
  if (last !== undefined && last !== sleeper) sleeping[i] = last;
}

/** News by signals, for the main thread. What lay there before `arm` sends none: the sleeper looks itself. */
export class SignalNews implements News {
  private readonly c: Libc = libc();
  private readonly sleeper: Sleeper;
  private readonly flags: number;

  /** @throws StackError `ENOTSUP` in a worker */
  constructor(sleeper: Sleeper) {
    this.sleeper = sleeper;
    acquireSignal();
    this.flags = this.c.fcntl(sleeper.descriptor, F_GETFL, 0);
    this.c.fcntl(sleeper.descriptor, F_SETOWN, process.pid);
  }

  arm(): void {
    goToSleep(this.sleeper);
    this.c.fcntl(this.sleeper.descriptor, F_SETFL, this.flags | O_ASYNC);
  }

  disarm(): void {
    getUp(this.sleeper);
    this.c.fcntl(this.sleeper.descriptor, F_SETFL, this.flags);
  }

  close(): void {
    this.c.fcntl(this.sleeper.descriptor, F_SETOWN, 0);
    releaseSignal();
  }
}
