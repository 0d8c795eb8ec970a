import type { Stack } from "../../../src/stack.ts";
import type { Call } from "../script.ts";
import { type Begun, CallError, type CallResult, type PendingCall } from "./call.ts";
import { mismatchOf } from "./checking.ts";
import { accept, bind, close, connect, listen, name, shutdown, socket } from "./connection-calls.ts";
import { fcntl, ioctl, openFile, pipe, sendfile, splice } from "./file-calls.ts";
import { type Flavour, Machine } from "./machine.ts";
import { getsockopt, setsockopt } from "./option-calls.ts";
import { epollControl, epollCreate, epollWait, poll } from "./poll-calls.ts";
import { actLikeLinux, setFlavour } from "./profile.ts";
import { receive } from "./receive-calls.ts";
import { send } from "./send-calls.ts";
import { setSysctl } from "./sysctl.ts";
import { tcpInfo } from "./tcp-info.ts";

export interface KernelOptions {
  readonly stack: Stack;
  /** The stack's address: what `...` means for `bind`. */
  readonly localAddress: string;
  /** The peer's: what `...` means for `connect`, `sendto` and `sendmsg`. */
  readonly remoteAddress: string;
  /** The port that `...` means for `bind`; 8080 unless told. */
  readonly bindPort?: number;
  /** The port that `...` means for `connect`; 8080 unless told. */
  readonly connectPort?: number;
  /** The time that the stack has been polled with last, in ms. */
  readonly now: number;
}

type Handler = (machine: Machine, call: Call) => Begun | CallResult;

const DEFAULT_PORT = 8080;

const CALLS: Readonly<Record<string, Handler>> = {
  socket,
  bind,
  listen,
  accept,
  accept4: accept,
  connect,
  shutdown,
  close,
  getsockname: name,
  getpeername: name,
  read: receive,
  readv: receive,
  recv: receive,
  recvfrom: receive,
  recvmsg: receive,
  write: send,
  writev: send,
  send,
  sendto: send,
  sendmsg: send,
  sendfile,
  splice,
  setsockopt,
  getsockopt,
  fcntl,
  ioctl,
  open: openFile,
  pipe,
  poll,
  epoll_create: epollCreate,
  epoll_create1: epollCreate,
  epoll_ctl: epollControl,
  epoll_wait: epollWait,
};

/**
 * A kernel for scripts: BSD sockets as system calls, over one stack, in virtual time.
 *
 * Whoever runs it polls the stack until nothing moves before and after each call, and calls `progress` after every poll.
 *
 * @example
 * ```ts
 * const pending = kernel.start(call, now);
 * while (!pending.done) {
 *   now = Math.min(stack.nextDeadline(now), kernel.nextDeadline());
 *   while (stack.poll(now));
 *   kernel.progress(now);
 * }
 * pending.mismatch(); // null
 * ```
 */
export class Kernel {
  private readonly machine: Machine;
  private pending: Pending[] = [];

  constructor(options: KernelOptions) {
    const { stack, localAddress, remoteAddress, now } = options;
    const { bindPort = DEFAULT_PORT, connectPort = DEFAULT_PORT } = options;
    this.machine = new Machine(stack, localAddress, remoteAddress, [bindPort, connectPort], now);
    setFlavour(this.machine, "linux");
  }

  /**
   * Whose rules count where kernels differ: Linux's, and FreeBSD's from the first sysctl of FreeBSD's on. To set it changes
   * the stack's settings to what is usual there.
   */
  get flavour(): Flavour {
    return this.machine.flavour;
  }

  set flavour(flavour: Flavour) {
    setFlavour(this.machine, flavour);
  }

  /**
   * Enters a system call at `now` (ms). It is done at once, or blocks.
   *
   * @throws CallError where the call, a constant or an argument is not known
   */
  start(call: Call, now: number): PendingCall {
    const { machine } = this;
    machine.now = now;
    this.notice();
    const handler = Object.hasOwn(CALLS, call.name) ? CALLS[call.name] : undefined;
    if (handler === undefined) throw new CallError(`the call ${call.name} is not supported by the runner`);
    const begun = handler(machine, call);
    const pending = new Pending(call, "attempt" in begun ? begun : { attempt: () => begun });
    pending.attempt(now);
    if (!pending.done) this.pending.push(pending);
    return pending;
  }

  /** The stack has been polled at `now` (ms): calls that block may return. */
  progress(now: number): void {
    this.machine.now = now;
    this.notice();
    for (const pending of this.pending) pending.attempt(now);
    this.pending = this.pending.filter(({ done }) => !done);
  }

  /** When `progress` has to be called at the latest, as a call's timeout ends: ms, or infinity. */
  nextDeadline(): number {
    return Math.min(...this.pending.map(({ until }) => until), Number.POSITIVE_INFINITY);
  }

  /**
   * `tcpi_...` of the connection that was accepted, or that connect was called for, last; for `%{ }%`. Empty where there
   * is none.
   */
  tcpInfo(): Record<string, number> {
    const { lastConnected } = this.machine;
    return lastConnected === null ? {} : tcpInfo(lastConnected);
  }

  /**
   * Sets what a sysctl of Linux's or FreeBSD's names, for connections from now on. Returns whether the stack has anything
   * like it: where not, a note to the reader is due.
   *
   * @param name `net.ipv4.tcp_timestamps`, `/proc/sys/net/ipv4/tcp_timestamps`, `net.inet.tcp.rfc1323`
   * @param value as written: `0`, `4096 131072 6291456`
   */
  sysctl(name: string, value: string): boolean {
    return setSysctl(this.machine, name, value);
  }

  /** From now on the stack's TCP does as Linux's, where it has settings for that. */
  actLikeLinux(): void {
    actLikeLinux(this.machine);
  }

  /** A command has made a file, of so many bytes. */
  makeFile(path: string, length: number): void {
    this.machine.files.set(path, length);
  }

  private notice(): void {
    const files = [...this.machine.descriptors.values()];
    for (const file of files) if (file.kind === "tcp" || file.kind === "udp") file.notice();
    for (const file of files) if (file.kind === "epoll") file.notice();
    for (const file of files) if (file.kind === "tcp" || file.kind === "udp") file.edges = 0;
  }
}

/** A call, tried again and again until it is done. */
class Pending implements PendingCall {
  readonly call: Call;
  readonly until: number;
  result: CallResult | null = null;
  private readonly begun: Begun;

  constructor(call: Call, begun: Begun) {
    this.call = call;
    this.begun = begun;
    this.until = begun.until ?? Number.POSITIVE_INFINITY;
  }

  get done(): boolean {
    return this.result !== null;
  }

  attempt(now: number): void {
    if (this.result !== null) return;
    this.result = this.begun.attempt(now);
    if (this.result === null && now >= this.until) this.result = this.begun.atEnd?.() ?? null;
  }

  mismatch(): string | null {
    return this.result === null ? null : mismatchOf(this.call, this.result);
  }
}
