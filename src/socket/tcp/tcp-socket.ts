import { type ErrorCode, StackError } from "../../errors.ts";
import type { IpAddress } from "../../wire/ip-address.ts";
import { setCorked, setNoDelay } from "./cork.ts";
import { setQuickAck } from "./delayed-ack.ts";
import { type TcpInfo, tcpInfo } from "./info.ts";
import { orphan } from "./orphans.ts";
import type { RestingConnection } from "./resting.ts";
import { CLOSED, type Consumer, STATE_NAMES, Tcb, type TcpState } from "./tcb.ts";
import { TcpTrace } from "./trace.ts";
import { applyTuning, type Tuning, type TuningOptions, tuned } from "./tuning.ts";
import {
  abort,
  atEnd,
  close,
  connectionError,
  consume,
  receive,
  send,
  setKeepAlive,
  shutdown,
} from "./user-calls.ts";
import { setUserTimeout } from "./user-timeout.ts";

/**
 * One TCP connection. Calls never wait: bytes move between the program and the connection's buffers, and `poll` moves
 * them between the buffers and the network.
 *
 * @example
 * ```ts
 * const socket = stack.sockets.connect({ address: "192.168.69.100", port: 7 });
 * socket.handler = (events) => {
 *   if (events & CONNECTED) socket.write(new TextEncoder().encode("hello"));
 * };
 * ```
 */
export class TcpSocket {
  private block: Tcb | RestingConnection;

  /** Made by `SocketSet.connect` and `TcpListener.accept`. */
  constructor(tcb: Tcb) {
    this.block = tcb;
    tcb.holder = this;
  }

  /** For the stack: the connection rests from now on, or has woken. */
  hold(block: Tcb | RestingConnection): void {
    this.block = block;
  }

  /** The control block; the connection wakes if it rests. */
  private get tcb(): Tcb {
    const { block } = this;
    return block instanceof Tcb ? block : block.wake();
  }

  get localAddress(): IpAddress {
    return this.block.local;
  }

  get localPort(): number {
    return this.block.localPort;
  }

  get remoteAddress(): IpAddress {
    return this.block.remote;
  }

  get remotePort(): number {
    return this.block.remotePort;
  }

  get state(): TcpState {
    return STATE_NAMES[this.block.state];
  }

  /** The error that ended the connection, or `null`. */
  get error(): StackError | null {
    return this.block.error === null ? null : connectionError(this.tcb);
  }

  get errorCode(): ErrorCode | null {
    return this.block.error;
  }

  get isClosed(): boolean {
    return this.block.state === CLOSED;
  }

  /** Bytes that can be read now. */
  get readableBytes(): number {
    return this.tcb.receiveBuffer.length;
  }

  /** Bytes that were written and not acknowledged: by now, or by when the connection ended. */
  get unacknowledgedBytes(): number {
    return this.tcb.state === CLOSED ? this.tcb.undelivered : this.tcb.sendBuffer.length;
  }

  /** The peer has closed its side, and everything has been read. */
  get ended(): boolean {
    return atEnd(this.tcb);
  }

  /** Is called with events (`READABLE | ...`) at the end of `poll`. */
  get handler(): ((events: number) => void) | null {
    return this.block.handler;
  }

  set handler(handler: ((events: number) => void) | null) {
    const { tcb } = this;
    tcb.handler = handler;
    // What happened while nobody listened is told at the next poll.
    if (tcb.events !== 0 && tcb.index !== -1) tcb.context.signalled.push(tcb.index);
  }

  /**
   * Is shown bytes in the moment they arrive, where the device has them: no copy is made. What it does not take is buffered,
   * and so is whatever arrives before that has been read; a READABLE event tells of it, as without a consumer. It runs
   * within `poll` and gets and returns what the one of `consume` does. It must not throw: `poll` would, and the peer would
   * send the bytes again.
   *
   * @example
   * ```ts
   * const socket = stack.sockets.connect({ address: "192.168.69.100", port: 19 });
   * let count = 0;
   * socket.consumer = (_bytes, _offset, length) => {
   *   count += length;
   *   return length;
   * };
   * ```
   */
  get consumer(): Consumer | null {
    return this.block.consumer;
  }

  set consumer(consumer: Consumer | null) {
    this.tcb.consumer = consumer;
  }

  /** Nagle's algorithm off (`true`) or on (RFC 9293 3.7.4). */
  get noDelay(): boolean {
    return this.tcb.noDelay;
  }

  set noDelay(noDelay: boolean) {
    setNoDelay(this.tcb, noDelay);
  }

  /**
   * While it is `true`, only full segments are sent; the rest waits for more text, for `false`, for `shutdown`, or 200 ms.
   * Pieces that are written one after the other, such as a header and a body, then go out together.
   *
   * @example
   * ```ts
   * const socket = stack.sockets.connect({ address: "192.168.69.100", port: 80 });
   * socket.corked = true;
   * socket.write(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
   * socket.write(new TextEncoder().encode("Host: example.com\r\n\r\n"));
   * socket.corked = false; // One segment.
   * ```
   */
  get corked(): boolean {
    return this.tcb.corked;
  }

  set corked(corked: boolean) {
    setCorked(this.tcb, corked);
  }

  /** What was set for this connection, with `connect`, `listen` or `tune`. */
  get tuning(): Tuning {
    return this.block.tuning;
  }

  /**
   * Changes sizes and the like of this connection; what is absent stays. A smaller receive buffer does not take back the
   * window that the peer was offered.
   *
   * @throws StackError EINVAL
   *
   * @example
   * ```ts
   * const socket = stack.sockets.connect({ address: "192.168.69.100", port: 80 });
   * socket.tune({ sendBuffer: 16_384 });
   * socket.write(new Uint8Array(20_000)); // 16_384
   * ```
   */
  tune(changes: TuningOptions): void {
    applyTuning(this.tcb, tuned(this.tcb.tuning, changes));
  }

  /**
   * Whether what comes next is acknowledged at once, and what waits to be now (`true`), or may wait for company (`false`),
   * as with Linux's TCP_QUICKACK: the connection goes on deciding for itself.
   */
  quickAck(on: boolean): void {
    setQuickAck(this.tcb, on);
  }

  /**
   * Moves bytes that have arrived into `target`. Returns how many, 0 when there are none yet, or `END_OF_STREAM`.
   *
   * @throws StackError the error that ended the connection (ECONNRESET, ETIMEDOUT, ...)
   */
  read(target: Uint8Array, offset = 0, length = target.length - offset): number {
    requireRange(target, offset, length);
    return receive(this.tcb, target, offset, length);
  }

  /**
   * Reads without a copy: calls `consumer` with bytes that have arrived, where they are, until it leaves some or there are
   * no more. What it says it has taken may be overwritten when it returns. Returns how many bytes were taken in all, or
   * `END_OF_STREAM`. For bytes that are hashed, counted or passed on at once.
   *
   * @param consumer gets an array, an offset and a length; returns how many bytes it has taken, 0 to the length
   * @throws StackError the error that ended the connection; EINVAL where the consumer returns another number
   *
   * @example
   * ```ts
   * const socket = stack.sockets.connect({ address: "192.168.69.100", port: 13 });
   * let spaces = 0;
   * socket.consume((bytes, offset, length) => {
   *   for (let at = offset; at < offset + length; at++) if (bytes[at] === 0x20) spaces++;
   *   return length;
   * });
   * ```
   */
  consume(consumer: Consumer): number {
    return consume(this.tcb, consumer);
  }

  /**
   * Takes bytes to be sent, as many as there is room for, and returns how many. Where these are not all, a WRITABLE event
   * says when to go on.
   *
   * @throws StackError EPIPE after `shutdown` or `close`, else the error that ended the connection
   */
  write(source: Uint8Array, offset = 0, length = source.length - offset): number {
    requireRange(source, offset, length);
    return send(this.tcb, source, offset, length);
  }

  /** Sends a FIN behind what was written; reading goes on (half-close), for as long as the peer wants. */
  shutdown(): void {
    shutdown(this.tcb);
  }

  /**
   * Closes both sides (RFC 9293 3.10.4). What was written is delivered, and a FIN behind it. Where something is not read, now or
   * when it arrives later, the peer is told by a reset at once, and what it has not acknowledged by then is lost (RFC 9293
   * 3.6.1, RFC 2525 2.17).
   *
   * A CLOSED event tells how it went: `error` is `null` where all has been acknowledged, and `unacknowledgedBytes` says how
   * much has not. ECONNABORTED: something was not read, or the handshake was not complete. ETIMEDOUT: the peer has
   * acknowledged nothing for `orphanTimeoutMs`. ENOBUFS: there were more than `maxOrphans`. ECONNRESET: the peer's doing.
   */
  close(): void {
    close(this.tcb);
  }

  /**
   * Lets the connection count as closed by the program, as `close` does, so that it may not last for ever (`maxOrphans`,
   * `orphanTimeoutMs`); what arrives can still be read. For who has called `shutdown` and takes what the peer sends only so
   * that it goes on acknowledging.
   */
  orphan(): void {
    orphan(this.tcb);
  }

  /**
   * Ends the connection with a reset (RFC 9293 3.10.5); what the peer has not acknowledged is lost. No reset goes out where
   * no peer knows of the connection yet (SYN-SENT), or both sides have sent their FIN (CLOSING, LAST-ACK, TIME-WAIT).
   */
  abort(): void {
    abort(this.tcb);
  }

  /**
   * Probes an idle peer, and ends the connection with ETIMEDOUT when it does not answer (RFC 9293 3.8.4). Off by default.
   *
   * @param idleMs idle time before the first probe; 0 turns keep-alive off
   */
  setKeepAlive(idleMs: number, intervalMs?: number, probes?: number): void {
    const { tcp } = this.tcb.context;
    setKeepAlive(this.tcb, idleMs, intervalMs ?? tcp.keepAliveIntervalMs, probes ?? tcp.keepAliveProbes);
  }

  /**
   * How long the peer may leave something unacknowledged, be it text, a window probe or a keep-alive, before the connection
   * ends with ETIMEDOUT: R2 of RFC 9293 3.8.3, Linux's TCP_USER_TIMEOUT. With it, keep-alive gives up after this time
   * instead of after a number of probes.
   *
   * @param ms 0 for the stack's `userTimeoutMs`
   * @throws StackError EINVAL
   */
  setUserTimeout(ms: number): void {
    setUserTimeout(this.tcb, ms);
  }

  /**
   * Records what the connection does from now on: its last events, in a ring of so many. A time-sequence graph is drawn from
   * what it has sent (from `seq` to `seq + length` at `atMs`), and what was acknowledged by what it has received (`ack`, and
   * `ack + window` as the upper edge).
   *
   * @param capacity events kept, 65,536 unless told; each takes 89 bytes
   * @throws StackError EINVAL
   *
   * @example
   * ```ts
   * const socket = stack.sockets.connect({ address: "192.168.69.100", port: 80 });
   * const trace = socket.startTrace();
   * stack.poll(1_000);
   * const [syn] = trace.events();
   * syn.event; // "sent"
   * ```
   */
  startTrace(capacity = 65_536): TcpTrace {
    this.tcb.trace = new TcpTrace(this.tcb, capacity);
    return this.tcb.trace;
  }

  /** Ends `startTrace`; what was recorded stays. */
  stopTrace(): void {
    this.tcb.trace = null;
  }

  /** How the connection does: see {@link TcpInfo}. */
  info(): TcpInfo {
    return tcpInfo(this.tcb);
  }
}

function requireRange(bytes: Uint8Array, offset: number, length: number): void {
  if (offset < 0 || length < 0 || offset + length > bytes.length) {
    throw new StackError(
      "EINVAL",
      `offset ${offset} and length ${length} lie outside of the array's ${bytes.length} bytes`,
    );
  }
}
