import { StackError } from "../../../src/errors.ts";
import type { TcpListener } from "../../../src/socket/tcp/listener.ts";
import { seqDiff } from "../../../src/socket/tcp/seq.ts";
import {
  CLOSE_WAIT,
  CLOSED,
  ESTABLISHED,
  LISTEN,
  SYN_RECEIVED,
  SYN_SENT,
  type Tcb,
} from "../../../src/socket/tcp/tcb.ts";
import type { TcpSocket } from "../../../src/socket/tcp/tcp-socket.ts";
import { POLL } from "./events.ts";
import type { Machine } from "./machine.ts";
import { OptionValues } from "./option-values.ts";
import { ZerocopyQueue } from "./zerocopy.ts";

export interface Endpoint {
  readonly address: string;
  /** 0 for one that the stack chooses. */
  readonly port: number;
}

/** A connection as a program has it, and the control block behind it. */
export interface Connection {
  readonly socket: TcpSocket;
  readonly tcb: Tcb;
}

/** A TCP socket: what the kernel remembers beside the stack. */
export class TcpFile {
  readonly kind = "tcp";
  readonly machine: Machine;
  /** O_NONBLOCK and the like. */
  flags: number;
  options = new OptionValues();
  bound: Endpoint | null = null;
  listener: TcpListener | null = null;
  connection: Connection | null = null;
  /** `connect` has said EINPROGRESS and not yet how it ended. */
  connecting = false;
  /** SO_ERROR: the errno of what happened while no call was under way. */
  error: string | null = null;
  private errorTaken = false;
  private softError: string | null = null;
  readShut = false;
  writeShut = false;
  /** Bytes that were there to read when an error ended the connection. */
  private leftBehind = 0;
  private readable = 0;
  /** A write was cut short, or a poll said that there is no room: the next room is news. */
  noSpace = false;
  /** What has happened since anybody asked: for edge-triggered epoll. */
  edges = 0;
  /** When the connection was established, or accepted, in ms. */
  establishedAt = Number.NEGATIVE_INFINITY;
  private lastState = CLOSED;
  private lastReceived = 0;
  readonly zerocopy = new ZerocopyQueue();

  constructor(machine: Machine, flags: number) {
    this.machine = machine;
    this.flags = flags;
  }

  /** Of `tcb.ts`; LISTEN while it listens. */
  get state(): number {
    if (this.listener !== null) return LISTEN;
    return this.connection?.tcb.state ?? CLOSED;
  }

  get isConnected(): boolean {
    return this.connection !== null && this.state > SYN_RECEIVED;
  }

  /** The handshake is under way. */
  get isOpening(): boolean {
    return this.state === SYN_SENT || this.state === SYN_RECEIVED;
  }

  /** The peer's FIN has come. */
  get isAtFin(): boolean {
    return this.connection?.tcb.finReceived ?? false;
  }

  /** Bytes that may be read at once. */
  get unread(): number {
    return this.leftBehind + (this.connection?.tcb.receiveBuffer.length ?? 0);
  }

  /** Bytes written and not acknowledged; a FIN that is not counts as one. */
  get unacknowledged(): number {
    const { connection } = this;
    if (connection === null || this.isOpening || connection.tcb.state === CLOSED) return 0;
    const { tcb } = connection;
    return tcb.sendBuffer.length + (this.isFinOutstanding ? 1 : 0);
  }

  /** Bytes written and not sent. */
  get unsent(): number {
    const { connection } = this;
    if (connection === null || this.isOpening || connection.tcb.state === CLOSED) return 0;
    const { tcb } = connection;
    const flight = seqDiff(tcb.sndNxt, tcb.sndUna) - (tcb.finSent && this.isFinOutstanding ? 1 : 0);
    return Math.max(tcb.sendBuffer.length - flight, 0);
  }

  private get isFinOutstanding(): boolean {
    const tcb = this.connection?.tcb;
    if (tcb === undefined || !tcb.finQueued) return false;
    return !tcb.finSent || seqDiff(tcb.sndNxt, tcb.sndUna) > 0;
  }

  connect(connection: Connection): void {
    this.connection = connection;
    this.machine.lastConnected = this;
    this.errorTaken = false;
    this.softError = connection.tcb.softError;
    this.leftBehind = 0;
    this.readable = 0;
    this.readShut = false;
    this.writeShut = false;
    this.establishedAt = this.isConnected ? this.machine.now : Number.NEGATIVE_INFINITY;
    this.lastState = connection.tcb.state;
    this.lastReceived = connection.tcb.bytesReceived;
  }

  /** Back to a socket that was never connected. */
  disconnect(): void {
    this.connection = null;
    this.connecting = false;
    this.leftBehind = 0;
    this.readable = 0;
    this.lastState = CLOSED;
  }

  /** The error that waits, which is told once. */
  takeError(): string | null {
    const { error } = this;
    this.error = null;
    return error;
  }

  /** Takes up to `count` bytes that were left behind. */
  takeLeftBehind(count: number): number {
    const taken = Math.min(count, this.leftBehind);
    this.leftBehind -= taken;
    return taken;
  }

  /** The stack has been polled: what has changed? */
  notice(): void {
    const { connection, listener } = this;
    if (listener !== null && listener.queue.acceptable > 0) this.edges |= POLL.IN;
    if (connection === null) return;
    const { tcb } = connection;
    if (tcb.softError !== this.softError) {
      this.softError = tcb.softError;
      // Who asked for network errors is told of those that are no reason to give up as well.
      if (tcb.softError !== null && this.options.get("IP_RECVERR") !== 0 && tcb.state !== CLOSED) {
        this.error = tcb.softError;
        this.edges |= POLL.ERR;
      }
    }
    if (tcb.state === CLOSED && !this.errorTaken) {
      this.errorTaken = true;
      if (tcb.error !== null) {
        this.error = programError(tcb);
        // The stack forgets what was not read; kernels hand it out first.
        this.leftBehind += this.readable;
        this.edges |= POLL.ERR;
      }
    }
    this.readable = tcb.receiveBuffer.length;
    if (tcb.bytesReceived !== this.lastReceived) this.edges |= POLL.IN;
    if (tcb.state !== this.lastState) this.edges |= POLL.IN | POLL.OUT | POLL.HUP | POLL.RDHUP;
    if (tcb.state === ESTABLISHED && this.lastState !== ESTABLISHED) this.establishedAt = this.machine.now;
    this.lastReceived = tcb.bytesReceived;
    this.lastState = tcb.state;
    if (this.noSpace && isWritable(this)) {
      this.noSpace = false;
      this.edges |= POLL.OUT;
    }
    if (this.zerocopy.acknowledge(tcb)) this.edges |= POLL.ERR;
  }
}

/** Linux: what the end of a connection is called depends on how far it was. */
function programError(tcb: Tcb): string | null {
  if (tcb.error === "ECONNRESET" && tcb.finReceived) return "EPIPE";
  return tcb.error;
}

/** May a write be expected to take something, such that waking up for it is worth it? A third of the buffer is free. */
export function isWritable(file: TcpFile): boolean {
  const tcb = file.connection?.tcb;
  if (tcb === undefined || file.isOpening) return false;
  const { length, limit } = tcb.sendBuffer;
  if (limit - length < length >> 1) return false;
  return 2 * file.unsent < notSentLimit(file);
}

/** TCP_NOTSENT_LOWAT, in bytes. */
export function notSentLimit(file: TcpFile): number {
  return file.options.get("TCP_NOTSENT_LOWAT") || file.machine.notSentLimit;
}

/** May the program send, as far as the state goes? */
export function maySend(file: TcpFile): boolean {
  return file.state === ESTABLISHED || file.state === CLOSE_WAIT;
}

/** Runs what may throw for the user's mistakes, and returns the error's code, or `null`. */
export function errnoOf(action: () => void): string | null {
  try {
    action();
    return null;
  } catch (error) {
    if (error instanceof StackError) return error.code;
    throw error;
  }
}
