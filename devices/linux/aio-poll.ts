/**
 * Wakes the event loop of a worker when a descriptor becomes readable.
 *
 * Signals, which wake the main thread, are no use here: the engine runs handlers on the main thread only. A second thread
 * in poll(2) would cost a switch of threads for each wake-up. But the kernel can be told to poll by itself, once, and to
 * count up an eventfd when there is something (IOCB_CMD_POLL of io_submit(2), since Linux 4.18); and an eventfd is one of
 * the few descriptors that the engine's own loop waits for.
 */

import { type Pointer, ptr } from "bun:ffi";
import { StackError } from "../../src/errors.ts";
import { EINTR, errnoName } from "./errno.ts";
import { type Libc, libc } from "./libc.ts";
import { POLLIN } from "./poll.ts";
import { type News, type Sleeper, wake } from "./sigio.ts";

/** Numbers of system calls, which the C library has no functions for. */
const CALLS = {
  x64: { setup: 206, destroy: 207, getEvents: 208, submit: 209, cancel: 210 },
  arm64: { setup: 0, destroy: 1, submit: 2, cancel: 3, getEvents: 4 },
} as const;

const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;

/** `struct iocb`: its number, what to do, on which descriptor, for which events, and the eventfd to count up. */
const REQUEST_SIZE = 64;
const NUMBER = 0;
const OPCODE = 16;
const DESCRIPTOR = 20;
const EVENTS = 24;
const FLAGS = 56;
const EVENT_FD = 60;
const IOCB_CMD_POLL = 5;
const IOCB_FLAG_RESFD = 1;
/** `struct io_event` begins with the number of its request. */
const EVENT_SIZE = 32;

/** Descriptors that a worker may wait for at once: a device has two or three. */
const MOST = 32;
/** The engine does not move an array's memory from this size on, so that the kernel may be told where it lies. */
const PAGE = 4096;

/** Where in the page: the requests, a list of one address, the answers, and a time that is zero. */
const LIST_AT = MOST * REQUEST_SIZE;
const ANSWERS_AT = LIST_AT + 16;
const ZERO_AT = ANSWERS_AT + MOST * EVENT_SIZE;

/** The one of this thread, while somebody waits. */
let shared: AioPoll | null = null;

/**
 * Waits for any number of descriptors by one eventfd, for the thread that it is made in.
 *
 * @throws StackError `ENOTSUP` where the kernel has no such thing, or may not be asked
 */
class AioPoll {
  /** Sleepers that were registered. */
  users = 0;
  private readonly c: Libc = libc();
  private readonly calls = CALLS[process.arch === "arm64" ? "arm64" : "x64"];
  private readonly memory = new Uint8Array(new ArrayBuffer(PAGE));
  private readonly view = new DataView(this.memory.buffer);
  private readonly list = this.memory.subarray(LIST_AT, LIST_AT + 8);
  private readonly answers = this.memory.subarray(ANSWERS_AT, ANSWERS_AT + MOST * EVENT_SIZE);
  private readonly zero = this.memory.subarray(ZERO_AT, ZERO_AT + 16);
  private readonly base: number = ptr(this.memory);
  private readonly context: Pointer;
  private readonly eventFd: number;
  private readonly sleepers = new Array<Sleeper | null>(MOST).fill(null);
  /** Requests that the kernel has. */
  private readonly submitted = new Uint8Array(MOST);
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor() {
    const { c } = this;
    const place = this.memory.subarray(LIST_AT, LIST_AT + 8);
    if (c.syscall(this.calls.setup, MOST as Pointer, ptr(place), null, null, null) < 0)
      throw refused(c.errno());
    this.context = Number(this.view.getBigUint64(LIST_AT, true)) as Pointer;
    this.eventFd = c.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (this.eventFd < 0) {
      const errno = c.errno();
      c.syscall(this.calls.destroy, this.context, null, null, null, null);
      throw refused(errno);
    }
    this.reader = Bun.file(this.eventFd).stream().getReader();
    void this.listen();
  }

  /** Reads the eventfd for as long as there is somebody who waits. */
  private async listen(): Promise<void> {
    for (;;) {
      const { done } = await this.reader.read();
      if (done || this.users === 0) return;
      this.reap();
    }
  }

  /** @throws StackError EMFILE */
  add(sleeper: Sleeper): number {
    const place = this.sleepers.indexOf(null);
    if (place < 0) {
      throw new StackError(
        "EMFILE",
        `A worker can wait for ${MOST} descriptors of devices, and does: close some.`,
      );
    }
    this.users++;
    this.sleepers[place] = sleeper;
    const { view } = this;
    const at = place * REQUEST_SIZE;
    this.memory.fill(0, at, at + REQUEST_SIZE);
    view.setBigUint64(at + NUMBER, BigInt(place), true);
    view.setUint16(at + OPCODE, IOCB_CMD_POLL, true);
    view.setInt32(at + DESCRIPTOR, sleeper.descriptor, true);
    view.setUint32(at + EVENTS, POLLIN, true);
    view.setUint32(at + FLAGS, IOCB_FLAG_RESFD, true);
    view.setInt32(at + EVENT_FD, this.eventFd, true);
    return place;
  }

  /** The sleeper is woken once when its descriptor is readable, if only since before. */
  arm(place: number): void {
    if (this.submitted[place] === 1) return;
    this.view.setBigUint64(LIST_AT, BigInt(this.base + place * REQUEST_SIZE), true);
    if (this.c.syscall(this.calls.submit, this.context, 1 as Pointer, ptr(this.list), null, null) === 1) {
      this.submitted[place] = 1;
      return;
    }
    // The descriptor can't be waited for; reading from it says why, and the sleeper looks.
    const sleeper = this.sleepers[place];
    setImmediate(() => sleeper?.wake());
  }

  /** Takes what the kernel has to say, and wakes those that it is about. */
  private reap(): void {
    const count = this.take(0);
    // Whoever is woken may arm again at once, which overwrites no answer: these are read first.
    const woken: (Sleeper | null)[] = [];
    for (let i = 0; i < count; i++) {
      const place = Number(this.view.getBigUint64(ANSWERS_AT + i * EVENT_SIZE, true));
      this.submitted[place] = 0;
      woken.push(this.sleepers[place]);
    }
    for (const sleeper of woken) if (sleeper !== null && this.sleepers.includes(sleeper)) wake(sleeper);
  }

  /** Answers of the kernel, `least` of them waited for; returns how many. */
  private take(least: number): number {
    const { c, calls } = this;
    for (;;) {
      const time = least === 0 ? ptr(this.zero) : null;
      const count = c.syscall(
        calls.getEvents,
        this.context,
        least as Pointer,
        MOST as Pointer,
        ptr(this.answers),
        time,
      );
      if (count >= 0) return Number(count);
      if (c.errno() !== EINTR) return 0;
    }
  }

  /** Before the descriptor is closed: what the kernel still has of it would keep it open. */
  remove(place: number): void {
    this.sleepers[place] = null;
    if (this.submitted[place] === 1) {
      const request = (this.base + place * REQUEST_SIZE) as Pointer;
      this.c.syscall(this.calls.cancel, this.context, request, ptr(this.answers), null, null);
      // The answer comes in any case, now or after the cancellation; until then the file is held.
      while (this.submitted[place] === 1) this.settle();
    }
    if (--this.users > 0) return;
    shared = null;
    this.c.syscall(this.calls.destroy, this.context, null, null, null, null);
    // The engine waits for it no more, which has to be before it is closed.
    void this.reader.cancel().then(() => this.c.close(this.eventFd));
  }

  /** Waits for an answer or several, and wakes those that they are about later. */
  private settle(): void {
    const count = this.take(1);
    if (count === 0) this.submitted.fill(0);
    for (let i = 0; i < count; i++) {
      const place = Number(this.view.getBigUint64(ANSWERS_AT + i * EVENT_SIZE, true));
      this.submitted[place] = 0;
      const sleeper = this.sleepers[place];
      setImmediate(() => sleeper?.wake());
    }
  }
}

function refused(errno: number): StackError {
  return new StackError(
    "ENOTSUP",
    `In a worker, news of readable devices needs the kernel's asynchronous poll, which was refused (${errnoName(errno)}): use the device on the main thread, or call its wait() in a loop.`,
  );
}

/** News by the kernel's asynchronous poll, for a worker. */
export class PolledNews implements News {
  private readonly poll: AioPoll;
  private readonly place: number;

  /** @throws StackError `ENOTSUP` or `EMFILE` */
  constructor(sleeper: Sleeper) {
    shared ??= new AioPoll();
    this.poll = shared;
    this.place = shared.add(sleeper);
  }

  arm(): void {
    this.poll.arm(this.place);
  }

  /** What the kernel was asked for it still has to answer, which wakes nobody who is awake. */
  disarm(): void {}

  close(): void {
    this.poll.remove(this.place);
  }
}
