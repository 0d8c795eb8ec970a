import { StackError } from "../errors.ts";
import type { TcpSocket } from "../socket/tcp/tcp-socket.ts";
import { END_OF_STREAM } from "../socket/tcp/user-calls.ts";
import { copyBytes } from "../storage/copy.ts";
import { checkWait, PendingQueue, type WaitOptions } from "./pending.ts";
import type { Pump } from "./pump.ts";

/** Most bytes of one chunk. */
const CHUNK = 64 * 1024;
/** What is shorter goes by the receive buffer, where more may join it before the program has its turn. */
const LARGE_PIECE = 16 * 1024;
const NOTHING = new Uint8Array(0);

/** A `read` that waits, with `into` null, or a `readInto`. */
interface Read {
  readonly into: Uint8Array | null;
  chunk: Uint8Array<ArrayBuffer> | null;
}

/** The receiving side of a connection: reads that wait, and what becomes of bytes that nobody will read. */
export class Reader {
  /** Bytes that the program has got. */
  bytesRead = 0;
  /** Bytes that were thrown away. */
  bytesDiscarded = 0;
  /** The program knows what ended the connection: a read was rejected with it. */
  hasToldFailure = false;
  private readonly socket: TcpSocket;
  private readonly pump: Pump;
  private readonly reads: PendingQueue<Read, number>;
  /** What the program gets for reading, where that is over. */
  private refusal: StackError | null = null;
  private failure: StackError | null = null;
  /** What arrives is thrown away. */
  private isStopped = false;

  constructor(socket: TcpSocket, pump: Pump) {
    this.socket = socket;
    this.pump = pump;
    this.reads = new PendingQueue("read", pump.runtime);
    socket.consumer = (bytes, offset, length) => this.takeAtOnce(bytes, offset, length);
  }

  async read(options: WaitOptions | undefined): Promise<Uint8Array<ArrayBuffer> | null> {
    const read: Read = { into: null, chunk: null };
    await this.start(read, options);
    return read.chunk;
  }

  readInto(buffer: Uint8Array, options: WaitOptions | undefined): Promise<number> {
    if (buffer.length === 0) {
      return Promise.reject(new StackError("EINVAL", "the buffer is empty: 0 bytes read would mean the end"));
    }
    return this.start({ into: buffer, chunk: null }, options);
  }

  /** Something has arrived, or has come to an end. Runs within `poll`: nothing may be thrown. */
  serve(): void {
    if (this.isStopped) this.discard();
    try {
      for (let read = this.reads.first; read !== null; read = this.reads.first) {
        const count = this.take(read.job);
        if (count === 0) return;
        this.reads.resolveFirst(count === END_OF_STREAM ? 0 : count);
      }
    } catch (error) {
      this.hasToldFailure = true;
      this.reads.rejectAll(error);
    }
  }

  /**
   * Nobody reads any more: reads that wait, and later ones, get `refusal`, or see the end. What arrives is taken all the
   * same, lest a peer that waits for room in its turn never reads what we have sent.
   */
  stop(refusal: StackError | null): void {
    this.isStopped = true;
    this.refusal = refusal;
    if (refusal !== null) this.reads.rejectAll(refusal);
    this.serve();
  }

  /** The connection is over. */
  end(failure: StackError | null): void {
    this.failure = failure;
    this.serve();
    this.socket.consumer = null;
  }

  private start(read: Read, options: WaitOptions | undefined): Promise<number> {
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
    if (this.failure !== null) {
      this.hasToldFailure = true;
      throw this.failure;
    }
    if (this.refusal !== null) throw this.refusal;
    if (this.isStopped) return END_OF_STREAM;
    let { into } = read;
    if (into === null) {
      const available = Math.min(this.socket.readableBytes, CHUNK);
      if (available > 0) read.chunk = new Uint8Array(available);
      into = read.chunk ?? NOTHING;
    }
    const count = this.socket.read(into);
    if (count > 0) {
      this.bytesRead += count;
      this.pump.wake();
    }
    return count;
  }

  /** A read that waits gets a large piece from where the device has it, without the detour by the receive buffer. */
  private takeAtOnce(bytes: Uint8Array, offset: number, length: number): number {
    if (length < LARGE_PIECE || this.isStopped) return 0;
    const read = this.reads.first?.job;
    if (read === undefined) return 0;
    if (read.into === null) read.chunk = new Uint8Array(Math.min(length, CHUNK));
    const into = read.into ?? read.chunk ?? NOTHING;
    const count = Math.min(into.length, length);
    copyBytes(bytes, offset, into, 0, count);
    this.bytesRead += count;
    this.reads.resolveFirst(count);
    return count;
  }

  private discard(): void {
    const { socket } = this;
    if (socket.readableBytes === 0) return;
    this.bytesDiscarded += socket.consume((_bytes, _offset, length) => length);
    this.pump.wake();
  }
}
