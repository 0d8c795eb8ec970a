import { StackError } from "../errors.ts";
import { CLOSED_EVENT, FINISHED, READABLE, WRITABLE } from "../socket/events.ts";
import type { TcpInfo } from "../socket/tcp/info.ts";
import type { TcpSettings } from "../socket/tcp/settings.ts";
import type { TcpState } from "../socket/tcp/tcb.ts";
import type { TcpSocket } from "../socket/tcp/tcp-socket.ts";
import type { TcpTrace } from "../socket/tcp/trace.ts";
import { END_OF_STREAM } from "../socket/tcp/user-calls.ts";
import { copyBytes } from "../storage/copy.ts";
import { formatAddress } from "../wire/ip-address.ts";
import { checkWait, PendingQueue, quiet, type WaitOptions } from "./pending.ts";
import type { Pump } from "./pump.ts";
import { readableOf, writableOf } from "./streams.ts";

/** Options of {@link Connection.close}. */
export interface CloseOptions {
  /** Time in ms in which the peer has to acknowledge something, or the connection is aborted; 60,000 unless told. */
  readonly timeout?: number | undefined;
}

/** Most bytes of one chunk. */
const CHUNK = 64 * 1024;
/** What is shorter goes by the receive buffer, where more may join it before the program has its turn. */
const LARGE_PIECE = 16 * 1024;
const STALLED_MS = 60_000;
const NOTHING = new Uint8Array(0);
const DONE = Promise.resolve();
const encoder = new TextEncoder();

/** A `read` that waits, with `into` null, or a `readInto`. */
interface Read {
  readonly into: Uint8Array | null;
  chunk: Uint8Array<ArrayBuffer> | null;
}

/** A `write` that waits; `offset` counts the bytes that the send buffer has taken. */
interface Write {
  readonly bytes: Uint8Array;
  offset: number;
}

/**
 * One TCP connection, with promises. Both directions are independent: the end of one leaves the other open until
 * `shutdown`, `close` or `abort` is called. Who gets a connection closes it, whatever happens; `await using` does.
 *
 * Errors are `StackError`s with node's codes: ECONNRESET (the peer reset it), ETIMEDOUT (it does not answer), EPIPE
 * (written after `shutdown` or `close`), ECANCELED (waiting when this program called `close`), ECONNABORTED (`abort`).
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
  private readonly reads: PendingQueue<Read, number>;
  private readonly writes: PendingQueue<Write, void>;
  /** Settles when the peer has acknowledged our FIN, or the connection is over before. */
  private readonly delivered = Promise.withResolvers<void>();
  private readonly over = Promise.withResolvers<void>();
  private failure: StackError | null = null;
  /** Nothing more may be written: a FIN follows the writes that wait. */
  private ending = false;
  private finished = false;
  private closing: Promise<void> | null = null;
  /** Bytes that arrived after `close` was called. */
  private discarded = 0;
  private isOver = false;
  private readableStream: ReadableStream<Uint8Array<ArrayBuffer>> | null = null;
  private writableStream: WritableStream<Uint8Array> | null = null;
  private readCount = 0;
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
    this.reads = new PendingQueue("read", pump.runtime);
    this.writes = new PendingQueue("write", pump.runtime);
    this.settings = settings;
    this.onOver = onOver;
    quiet(this.delivered.promise);
    socket.handler = (events) => this.onEvents(events);
    socket.consumer = (bytes, offset, length) => this.takeAtOnce(bytes, offset, length);
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
    return this.readCount;
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
  async read(options?: WaitOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    const read: Read = { into: null, chunk: null };
    await this.startRead(read, options);
    return read.chunk;
  }

  /**
   * Moves what has arrived into `buffer` and returns how many bytes these are, as soon as there are some; 0 at the end.
   * Otherwise like `read`, and without a new array for each.
   *
   * @param buffer its memory is written until the promise settles
   * @throws StackError as `read`, and EINVAL for an empty buffer
   */
  readInto(buffer: Uint8Array, options?: WaitOptions): Promise<number> {
    if (buffer.length === 0) {
      return Promise.reject(new StackError("EINVAL", "the buffer is empty: 0 bytes read would mean the end"));
    }
    return this.startRead({ into: buffer, chunk: null }, options);
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
    this.flush();
    return this.delivered.promise;
  }

  /**
   * Closes both sides. Reads that wait reject with ECANCELED; what was written is delivered. Resolves when the peer has
   * acknowledged it all, or the connection has failed (see `error`); never rejects. If something arrives that nobody will
   * read, the peer is told by a reset, but not before it has everything of ours (RFC 9293 3.6.1).
   */
  close(options: CloseOptions = {}): Promise<void> {
    this.closing ??= this.finish(options.timeout ?? STALLED_MS);
    return this.closing;
  }

  /** `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Ends the connection at once with a reset; what was not delivered is lost (RFC 9293 3.10.5).
   *
   * @param reason becomes the `cause` of the error that everybody gets who waits
   */
  abort(reason?: unknown): void {
    if (this.isOver) return;
    this.failure = new StackError(
      "ECONNABORTED",
      "the connection was aborted by this program",
      reason === undefined ? undefined : { cause: reason },
    );
    this.socket.abort();
    this.pump.wake();
    this.checkOver();
  }

  private startRead(read: Read, options: WaitOptions | undefined): Promise<number> {
    try {
      checkWait(options);
      if (this.reads.isEmpty) {
        const count = this.take(read);
        if (count !== 0) return Promise.resolve(count === END_OF_STREAM ? 0 : count);
      }
      return this.reads.wait(read, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Moves bytes; returns how many, 0 when there are none yet, or END_OF_STREAM. */
  private take(read: Read): number {
    if (this.failure !== null) throw this.failure;
    if (this.closing !== null) throw closedByUs();
    let { into } = read;
    if (into === null) {
      const available = Math.min(this.socket.readableBytes, CHUNK);
      if (available > 0) read.chunk = new Uint8Array(available);
      into = read.chunk ?? NOTHING;
    }
    const count = this.socket.read(into);
    if (count > 0) {
      this.readCount += count;
      this.pump.wake();
    }
    return count;
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
    if (this.failure !== null) throw this.failure;
    if (this.ending) {
      throw new StackError(
        "EPIPE",
        "this side of the connection is closed: write before shutdown() or close()",
      );
    }
  }

  /** Runs within `poll`: nothing of the program's may be called, and nothing may be thrown. */
  private onEvents(events: number): void {
    if (events & FINISHED) {
      this.finished = true;
      this.pump.runtime.programIsDue();
      this.delivered.resolve();
    }
    if (events & (READABLE | CLOSED_EVENT)) {
      if (this.closing === null) this.serveReads();
      else this.discard();
    }
    if (events & (WRITABLE | CLOSED_EVENT)) this.flush();
    this.checkOver();
  }

  /** A read that waits gets a large piece from where the device has it, without the detour by the receive buffer. */
  private takeAtOnce(bytes: Uint8Array, offset: number, length: number): number {
    if (length < LARGE_PIECE || this.closing !== null) return 0;
    const read = this.reads.first?.job;
    if (read === undefined) return 0;
    if (read.into === null) read.chunk = new Uint8Array(Math.min(length, CHUNK));
    const into = read.into ?? read.chunk ?? NOTHING;
    const count = Math.min(into.length, length);
    copyBytes(bytes, offset, into, 0, count);
    this.readCount += count;
    this.reads.resolveFirst(count);
    return count;
  }

  private serveReads(): void {
    try {
      for (let read = this.reads.first; read !== null; read = this.reads.first) {
        const count = this.take(read.job);
        if (count === 0) return;
        this.reads.resolveFirst(count === END_OF_STREAM ? 0 : count);
      }
    } catch (error) {
      this.reads.rejectAll(error);
    }
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
      this.writes.rejectAll(error);
    }
    if (!this.ending) return;
    this.socket.shutdown();
    this.pump.wake();
  }

  private async finish(stalledMs: number): Promise<void> {
    this.reads.rejectAll(closedByUs());
    this.ending = true;
    this.flush();
    this.discard();
    const forget = this.abortWhenStalled(stalledMs);
    // A failure shows in `error`; here it only means that there is nothing left to wait for.
    await this.delivered.promise.catch(() => {});
    forget();
    if (this.discarded > 0 && !this.isOver) this.socket.abort();
    else this.socket.close();
    this.pump.wake();
    this.checkOver();
  }

  /** Returns what ends that. */
  private abortWhenStalled(ms: number): () => void {
    const { runtime } = this.pump;
    let sent = this.info().bytesSent;
    const look = () => {
      const { bytesSent } = this.info();
      timer = runtime.setTimer(look, ms);
      if (bytesSent === sent) this.abort();
      sent = bytesSent;
    };
    let timer = runtime.setTimer(look, ms);
    return () => runtime.clearTimer(timer);
  }

  /** Takes what arrives after `close`, lest a peer that waits for room in its turn never reads what we have sent. */
  private discard(): void {
    const { socket } = this;
    if (socket.readableBytes === 0) return;
    const buffer = new Uint8Array(Math.min(socket.readableBytes, CHUNK));
    while (socket.readableBytes > 0) this.discarded += socket.read(buffer);
    this.pump.wake();
  }

  /** Both sides have closed, or the connection has failed: settles everything that still waits. */
  private checkOver(): void {
    const { state } = this.socket;
    if (this.isOver || (state !== "CLOSED" && state !== "TIME_WAIT")) return;
    this.isOver = true;
    // Everything of ours had arrived, and of the peer's nobody wanted to know: no failure to this program.
    if (!(this.closing !== null && this.finished)) this.failure ??= this.socket.error;
    const { failure } = this;
    this.pump.runtime.programIsDue();
    this.serveReads();
    this.writes.rejectAll(failure ?? new StackError("EPIPE", "the connection is closed: open another one"));
    if (failure === null) this.delivered.resolve();
    else this.delivered.reject(failure);
    this.socket.handler = null;
    this.socket.consumer = null;
    this.onOver(this);
    this.over.resolve();
  }
}

function closedByUs(): StackError {
  return new StackError("ECANCELED", "the connection was closed by this program: read before close()");
}
