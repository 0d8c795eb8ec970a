import { StackError } from "../errors.ts";
import { CLOSED_EVENT, FINISHED, READABLE, WRITABLE } from "../socket/events.ts";
import type { TcpInfo } from "../socket/tcp/info.ts";
import type { TcpSettings } from "../socket/tcp/settings.ts";
import type { TcpState } from "../socket/tcp/tcb.ts";
import type { TcpSocket } from "../socket/tcp/tcp-socket.ts";
import type { TcpTrace } from "../socket/tcp/trace.ts";
import { formatAddress } from "../wire/ip-address.ts";
import {
  type CloseOptions,
  checkClose,
  checkLinger,
  closedByUs,
  type Linger,
  limitClosing,
} from "./closing.ts";
import { checkWait, PendingQueue, quiet, type WaitOptions } from "./pending.ts";
import type { Pump } from "./pump.ts";
import { Reader } from "./reader.ts";
import { readableOf, writableOf } from "./streams.ts";

const DONE = Promise.resolve();
const encoder = new TextEncoder();

/** A `write` that waits; `offset` counts the bytes that the send buffer has taken. */
interface Write {
  readonly bytes: Uint8Array;
  offset: number;
}

/**
 * One TCP connection, with promises. Both directions are independent: the end of one leaves the other open until
 * `shutdown`, `close` or `abort` is called. Who gets a connection closes it, whatever happens; `await using` does.
 *
 * How to end it, and what that is called elsewhere:
 *
 * - `shutdown()`: a FIN behind everything that was written, and reading goes on. `socket.end()` of node and Bun, SHUT_WR.
 * - `stopReading()`: what arrives is thrown away. SHUT_RD.
 * - `close()`: both, and the end of reads that wait; what was written is delivered first. Node's `destroySoon()`,
 *   close(2). `await using` calls it.
 * - `abort()`: a reset at once; what was not delivered is lost. `resetAndDestroy()` of node, `terminate()` of Bun.
 * - `closed`: resolves when it is over, in whichever way; `error` says in which.
 *
 * Whatever was written reaches the peer, or the program learns that it may not have: the promises of `shutdown` and `close`
 * resolve when the peer has acknowledged everything, and reject when it has not; `bytesUnacknowledged` says how much.
 * A process that ends without either (`process.exit`) takes unsent bytes with it: `await host.close()` before.
 *
 * Errors are `StackError`s with node's codes: ECONNRESET (the peer reset it), ETIMEDOUT (it does not answer), EPIPE
 * (written after `shutdown` or `close`), ECANCELED (waiting when this program called `close`), ECONNABORTED (`abort`),
 * ENOBUFS (closed by this program, and one of too many that do not get on: `tcp.maxOrphans`).
 *
 * @example
 * ```ts
 * await using connection = await host.connect({ address: "192.168.69.100", port: 7 });
 * await connection.write("hello");
 * await connection.shutdown();
 * for await (const chunk of connection) process.stdout.write(chunk);
 * ```
 */
export class Connection implements AsyncDisposable {
  private readonly socket: TcpSocket;
  private readonly pump: Pump;
  private readonly settings: TcpSettings;
  private readonly onOver: (connection: Connection) => void;
  private readonly reader: Reader;
  private readonly writes: PendingQueue<Write, void>;
  /** Settles when the peer has acknowledged our FIN, or the connection is over before. */
  private readonly delivered = Promise.withResolvers<void>();
  private readonly over = Promise.withResolvers<void>();
  private failure: StackError | null = null;
  /** Nothing more may be written: a FIN follows the writes that wait. */
  private ending = false;
  private finished = false;
  private closing: Promise<void> | null = null;
  private isClosing = false;
  private linger: Linger = false;
  /** The program knows what ended the connection: a write or `shutdown` was rejected with it, or it was `abort`. */
  private hasToldFailure = false;
  private isOver = false;
  private readableStream: ReadableStream<Uint8Array<ArrayBuffer>> | null = null;
  private writableStream: WritableStream<Uint8Array> | null = null;
  private writeCount = 0;

  /** Made by `Host.connect` and `Listener.accept`. */
  constructor(
    socket: TcpSocket,
    pump: Pump,
    settings: TcpSettings,
    onOver: (connection: Connection) => void,
  ) {
    this.socket = socket;
    this.pump = pump;
    this.reader = new Reader(socket, pump);
    this.writes = new PendingQueue("write", pump.runtime);
    this.settings = settings;
    this.onOver = onOver;
    quiet(this.delivered.promise);
    socket.handler = (events) => this.onEvents(events);
    // What happened before the connection was accepted has not been told to anyone.
    this.checkOver();
  }

  get localAddress(): string {
    return formatAddress(this.socket.localAddress);
  }

  get localPort(): number {
    return this.socket.localPort;
  }

  get remoteAddress(): string {
    return formatAddress(this.socket.remoteAddress);
  }

  get remotePort(): number {
    return this.socket.remotePort;
  }

  /** The state of RFC 9293 3.3.2. */
  get state(): TcpState {
    return this.socket.state;
  }

  /** What ended the connection, when not by the book, or `null`. */
  get error(): StackError | null {
    return this.failure;
  }

  /** Both sides have closed, or the connection has failed: see `error`. */
  get isClosed(): boolean {
    return this.isOver;
  }

  /** Resolves when both sides have closed, or the connection has failed: see `error`. Never rejects. */
  get closed(): Promise<void> {
    return this.over.promise;
  }

  /** Bytes that were read. */
  get bytesRead(): number {
    return this.reader.bytesRead;
  }

  /** Bytes of the peer's that nobody read: they arrived after `close` or `stopReading`, or had not been read by then. */
  get bytesDiscarded(): number {
    return this.reader.bytesDiscarded;
  }

  /**
   * Bytes that the send buffer took and the peer has not acknowledged; once the connection is over, had not by its end. Of
   * these nobody knows whether they have arrived.
   */
  get bytesUnacknowledged(): number {
    return this.socket.unacknowledgedBytes;
  }

  /** Bytes that the send buffer took; `info().bytesSent` counts those that the peer acknowledged. */
  get bytesWritten(): number {
    return this.writeCount;
  }

  /** Round-trip time, windows, counters: RFC 9293 3.10.6, STATUS, and more. */
  info(): TcpInfo {
    return this.socket.info();
  }

  /** Records what the connection does from now on: see `TcpSocket.startTrace`. */
  startTrace(capacity?: number): TcpTrace {
    return this.socket.startTrace(capacity);
  }

  /** Nagle's algorithm off (`true`) or on (RFC 9293 3.7.4). */
  setNoDelay(noDelay = true): void {
    this.socket.noDelay = noDelay;
    this.pump.wake();
  }

  /**
   * Holds back what fills no segment, until `uncork`, `shutdown`, or for 200 ms: pieces that belong together, written one
   * after the other, go out together. Calling it twice is as good as once.
   */
  cork(): void {
    this.socket.corked = true;
  }

  /** Ends `cork`, and lets out what waits. */
  uncork(): void {
    this.socket.corked = false;
    this.pump.wake();
  }

  /**
   * Asks a silent peer now and then whether it is there, and ends the connection with ETIMEDOUT when it is not (RFC 9293
   * 3.8.4).
   *
   * @param initialDelay ms of silence before the first question; by default that of the stack's settings
   */
  setKeepAlive(enable = true, initialDelay = 0): void {
    this.socket.setKeepAlive(enable ? initialDelay || this.settings.keepAliveIdleMs : 0);
    this.pump.wake();
  }

  /**
   * How long the peer may leave something unacknowledged before the connection ends with ETIMEDOUT (R2 of RFC 9293 3.8.3,
   * Linux's TCP_USER_TIMEOUT); also given to `connect` and `listen` as `userTimeout`.
   *
   * @param ms 0 for the stack's setting, 5 minutes unless told
   * @throws StackError EINVAL
   */
  setUserTimeout(ms: number): void {
    this.socket.setUserTimeout(ms);
    this.pump.wake();
  }

  /**
   * What has arrived, at most 64 KiB, as soon as there is something; `null` at the end. Reads that overlap get their bytes
   * in the order of the calls. A read that gave up has taken nothing, and the next one gets it.
   *
   * @throws StackError ECONNRESET, ETIMEDOUT, ECANCELED, ECONNABORTED, EINVAL; the signal's reason
   */
  read(options?: WaitOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.reader.read(options);
  }

  /**
   * Moves what has arrived into `buffer` and returns how many bytes these are, as soon as there are some; 0 at the end.
   * Otherwise like `read`, and without a new array for each.
   *
   * @param buffer its memory is written until the promise settles
   * @throws StackError as `read`, and EINVAL for an empty buffer
   */
  readInto(buffer: Uint8Array, options?: WaitOptions): Promise<number> {
    return this.reader.readInto(buffer, options);
  }

  /** The chunks up to the end. Leaving the loop early leaves the connection as it is. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    for (let chunk = await this.read(); chunk !== null; chunk = await this.read()) yield chunk;
  }

  /**
   * Sends bytes, or a text in UTF-8. Resolves when the send buffer has taken them all: at once where there is room, else
   * when the peer has read enough. Writes that overlap are sent in the order of the calls.
   *
   * Where time or signal end the wait, `bytesWritten` tells how much was taken; the connection stays usable. The rejection
   * of a write that nobody awaits is not reported: the next call meets the same error.
   *
   * @param data must not change until the promise settles
   * @throws StackError EPIPE, ECONNRESET, ETIMEDOUT, ECONNABORTED, EINVAL; the signal's reason
   */
  write(data: Uint8Array | string, options?: WaitOptions): Promise<void> {
    try {
      checkWait(options);
      this.checkWritable();
      const bytes = typeof data === "string" ? encoder.encode(data) : data;
      const offset = this.writes.isEmpty ? this.send(bytes, 0) : 0;
      if (offset === bytes.length && this.writes.isEmpty) return DONE;
      return quiet(this.writes.wait({ bytes, offset }, options, () => this.flush()));
    } catch (error) {
      return quiet(Promise.reject(error));
    }
  }

  /**
   * The bytes that arrive, as a byte stream (`mode: "byob"` works). Cancelling it closes the connection. It reads only
   * when somebody reads from it, so `read` may be called before and after.
   */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    this.readableStream ??= readableOf(this);
    return this.readableStream;
  }

  /** Takes bytes to be sent. Closing it is `shutdown`, aborting it `abort`. */
  get writable(): WritableStream<Uint8Array> {
    this.writableStream ??= writableOf(this);
    return this.writableStream;
  }

  /**
   * Ends our side behind everything that was written, and lets the peer go on (half-close, RFC 9293 3.6). Resolves when
   * the peer has acknowledged it all; rejects with what ended the connection before that.
   *
   * @throws StackError ECONNRESET, ETIMEDOUT, ECONNABORTED
   */
  shutdown(): Promise<void> {
    this.ending = true;
    if (this.failure !== null) this.hasToldFailure = true;
    this.flush();
    return this.delivered.promise;
  }

  /**
   * Nothing more is read: reads that wait, and later ones, see the end, and what arrives is thrown away. The peer is not
   * told, for which TCP has no means: it goes on sending, and what it sends is acknowledged.
   */
  stopReading(): void {
    if (!this.isClosing) this.reader.stop(null);
  }

  /**
   * How long `close` waits for the peer at most: SO_LINGER. `false`, as it is from the start, is for as long as the peer
   * gets on; 0 makes `close` an `abort`.
   *
   * @param linger ms, or `false`
   * @throws StackError EINVAL
   */
  setLinger(linger: Linger): void {
    this.linger = checkLinger(linger);
  }

  /**
   * Closes both sides: sends what was written, and a FIN behind it. Reads that wait reject with ECANCELED.
   *
   * Resolves when the peer has acknowledged everything. Rejects with what kept it from that, be it that it had happened
   * before, unless a call has been rejected with it already; `bytesUnacknowledged` says how much may be lost. A rejection
   * that nobody awaits is not reported. Calling it twice is fine, and gives the same promise.
   *
   * What the peer has sent and nobody has read, now or when it arrives later, is told to it by a reset (RFC 2525 2.17),
   * but not before it has everything of ours (RFC 9293 3.6.1). After that, a peer that does not close its side has
   * `tcp.finWait2Ms` before it is forgotten.
   *
   * @throws StackError ECONNRESET, ETIMEDOUT, ENOBUFS, ECONNABORTED (`abort` meanwhile), EINVAL
   */
  close(options: CloseOptions = {}): Promise<void> {
    try {
      checkClose(options);
      this.closing ??= quiet(this.finish(options));
      return this.closing;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Ends the connection at once with a reset; what was not delivered is lost. Where both sides have closed there is nothing
   * left to reset (RFC 9293 3.10.5).
   *
   * @param reason becomes the `cause` of the error that everybody gets who waits
   */
  abort(reason?: unknown): void {
    this.hasToldFailure = true;
    this.giveUp(
      new StackError(
        "ECONNABORTED",
        "the connection was aborted by this program",
        reason === undefined ? undefined : { cause: reason },
      ),
    );
  }

  private giveUp(error: StackError): void {
    if (this.isOver) return;
    this.failure = error;
    this.socket.abort();
    this.pump.wake();
    this.checkOver();
  }

  private send(bytes: Uint8Array, offset: number): number {
    const count = this.socket.write(bytes, offset);
    if (count > 0) {
      this.writeCount += count;
      this.pump.wake();
    }
    return offset + count;
  }

  private checkWritable(): void {
    if (this.failure !== null) {
      this.hasToldFailure = true;
      throw this.failure;
    }
    if (this.ending) {
      throw new StackError(
        "EPIPE",
        "this side of the connection is closed: write before shutdown() or close()",
      );
    }
  }

  /** Runs within `poll`: nothing of the program's may be called, and nothing may be thrown. */
  private onEvents(events: number): void {
    if (events & FINISHED) this.onFinished();
    if (events & (READABLE | CLOSED_EVENT)) this.reader.serve();
    if (events & (WRITABLE | CLOSED_EVENT)) this.flush();
    this.checkOver();
  }

  /** Gives the send buffer what waits for room, and then the FIN. */
  private flush(): void {
    try {
      for (let write = this.writes.first; write !== null; write = this.writes.first) {
        const { job } = write;
        job.offset = this.send(job.bytes, job.offset);
        if (job.offset < job.bytes.length) return;
        this.writes.resolveFirst();
      }
    } catch (error) {
      this.hasToldFailure = true;
      this.writes.rejectAll(error);
    }
    if (!this.ending) return;
    this.socket.shutdown();
    this.pump.wake();
  }

  private async finish({ timeout, linger = this.linger }: CloseOptions): Promise<void> {
    const { reader, socket } = this;
    const hasEnded = this.ending;
    this.isClosing = true;
    const isNews = !this.hasToldFailure && !reader.hasToldFailure && this.bytesUnacknowledged > 0;
    if (this.isOver && !isNews) {
      this.letGo();
      return;
    }
    const before = reader.bytesDiscarded;
    reader.stop(closedByUs());
    if (linger === 0) {
      this.abort();
      return;
    }
    // RFC 2525 2.17: where a reset keeps nothing from arriving, it takes the place of the FIN.
    if (reader.bytesDiscarded > before && !hasEnded && this.isAllAcknowledged) this.onFinished();
    else await this.deliver({ timeout, linger });
    if (reader.bytesDiscarded > before && !this.isOver) socket.abort();
    this.letGo();
  }

  /** Waits until the peer has everything; a FIN follows what was written. */
  private async deliver(limits: CloseOptions): Promise<void> {
    this.ending = true;
    this.flush();
    this.socket.orphan();
    const forget = limitClosing(this.pump.runtime, this.socket, limits, (error) => this.giveUp(error));
    try {
      await this.delivered.promise;
    } finally {
      forget();
    }
  }

  private get isAllAcknowledged(): boolean {
    return this.writes.isEmpty && this.bytesUnacknowledged === 0;
  }

  /** Neither writes nor reads any more. */
  private letGo(): void {
    this.socket.close();
    this.reader.stop(closedByUs());
    this.pump.wake();
    this.checkOver();
  }

  /** The peer has everything. */
  private onFinished(): void {
    this.finished = true;
    this.pump.runtime.programIsDue();
    this.delivered.resolve();
  }

  /** Both sides have closed, or the connection has failed: settles everything that still waits. */
  private checkOver(): void {
    const { state } = this.socket;
    if (this.isOver || (state !== "CLOSED" && state !== "TIME_WAIT")) return;
    this.isOver = true;
    // Everything of ours had arrived, and of the peer's nobody wanted to know: no failure to this program.
    if (!(this.isClosing && this.finished)) this.failure ??= this.socket.error;
    const { failure } = this;
    this.pump.runtime.programIsDue();
    this.reader.end(failure);
    if (failure !== null && (this.ending || !this.writes.isEmpty)) this.hasToldFailure = true;
    this.writes.rejectAll(failure ?? new StackError("EPIPE", "the connection is closed: open another one"));
    if (failure === null) this.delivered.resolve();
    else this.delivered.reject(failure);
    this.socket.handler = null;
    this.onOver(this);
    this.over.resolve();
  }
}
