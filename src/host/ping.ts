import { requireWhole, StackError } from "../errors.ts";
import { READABLE, WRITABLE } from "../socket/events.ts";
import { icmpErrorCode } from "../socket/icmp-error-code.ts";
import { type IcmpBuffers, IcmpMessage, type IcmpSocket } from "../socket/icmp-socket.ts";
import {
  CODE_FRAGMENTATION_NEEDED,
  ICMP_ECHO_REPLY,
  ICMP_PARAMETER_PROBLEM,
  ICMP_TIME_EXCEEDED,
  ICMPV4_HEADER_LENGTH,
} from "../wire/icmpv4.ts";
import { formatAddress, type IpAddress, parseAddress } from "../wire/ip-address.ts";
import { checkHostAddress } from "./connect.ts";
import { checkWait, onAbort, PendingQueue, quiet, untilClosed, type WaitOptions } from "./pending.ts";
import type { Pump } from "./pump.ts";

/** What `Host.pinger` takes. */
export interface PingerOptions {
  /** 0 .. 65,535; one that is free and hard to guess unless told. */
  readonly identifier?: number | undefined;
  /** The address of ours that requests come from; that of the interface which leads there unless told. */
  readonly address?: string | undefined;
  /**
   * Sizes of the queues; 64 messages, 64 KiB and 1,024 requests whose time is remembered, unless told. Answers that find the
   * queue full are lost and counted as `icmpQueueFull`.
   */
  readonly buffers?: Partial<IcmpBuffers> | undefined;
  /** Closes the pinger when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** One echo request. */
export interface EchoRequest extends WaitOptions {
  readonly address: string;
  /** 0 .. 65,535; one more than the last one's unless told. */
  readonly sequence?: number | undefined;
  /** Bytes of data; 56 unless told, as ping(8) has it. */
  readonly size?: number | undefined;
  /** The data themselves, instead of `size`. */
  readonly data?: Uint8Array | undefined;
  /** Hops that the request may take, 1 .. 255; 64 unless told. */
  readonly ttl?: number | undefined;
}

/** What a reply and an error have in common. */
interface Answer {
  /** Who sent it. */
  readonly address: string;
  /** Whom the request was sent to. */
  readonly target: string;
  /** Of the request. */
  readonly sequence: number;
  /** What the answer's time to live still was, in hops. */
  readonly ttl: number;
  /** From the request's way to the device until the answer came from it, in ms; NaN for a request that is not remembered. */
  readonly ms: number;
}

/** A request came back. */
export interface EchoReply extends Answer {
  readonly type: "reply";
  /** The ICMP message's length, its header of 8 bytes included, as ping(8) counts. */
  readonly bytes: number;
  readonly data: Uint8Array<ArrayBuffer>;
  /** The request was answered before. */
  readonly duplicate: boolean;
}

/** The network says that a request did not arrive. */
export interface EchoError extends Answer {
  readonly type: "error";
  /** EHOSTUNREACH, ENETUNREACH, ECONNREFUSED or EMSGSIZE, and what the sender of the error says. */
  readonly error: StackError;
}

/** What `Host.ping` takes. */
export interface PingOptions extends Omit<EchoRequest, "address" | "data"> {
  /** ms to wait for the answer; 5,000 unless told. */
  readonly timeout?: number | undefined;
}

interface Send {
  readonly data: Uint8Array;
  readonly remote: IpAddress;
  readonly sequence: number;
  readonly ttl: number | undefined;
}

const DEFAULT_SIZE = 56;
const DEFAULT_TIMEOUT_MS = 5_000;

/**
 * Sends echo requests to any number of hosts and receives everything that comes back: replies, repeated and late ones
 * too, and errors from routers on the way (RFC 792). Answers that nobody receives wait in a bounded queue.
 *
 * @example
 * ```ts
 * const pinger = host.pinger();
 * for (let sequence = 1; sequence <= 3; sequence++) await pinger.send({ address: "192.168.69.100", sequence });
 * const answer = await pinger.receive({ timeout: 1_000 });
 * if (answer.type === "reply") console.log(answer.sequence); // 1
 * pinger.close();
 * ```
 */
export class Pinger implements AsyncDisposable {
  readonly identifier: number;
  private readonly socket: IcmpSocket;
  private readonly pump: Pump;
  private readonly onClose: (pinger: Pinger) => void;
  private readonly receives: PendingQueue<null, EchoReply | EchoError>;
  private readonly sends: PendingQueue<Send, number>;
  /** When those of the socket's messages that we have been told of had come at the latest, in ms. */
  private readonly seenAt: number[] = [];
  private readonly message = new IcmpMessage();
  private readonly forgetSignal: () => void;
  private lastSequence = 0;
  private isClosed = false;

  /** Made by `Host.pinger`. */
  constructor(
    socket: IcmpSocket,
    pump: Pump,
    onClose: (pinger: Pinger) => void,
    signal: AbortSignal | undefined,
  ) {
    this.socket = socket;
    this.pump = pump;
    this.receives = new PendingQueue("receive", pump.runtime);
    this.sends = new PendingQueue("send", pump.runtime);
    this.onClose = onClose;
    this.identifier = socket.identifier;
    socket.handler = (events) => this.onEvents(events);
    this.forgetSignal = onAbort(signal, () => this.close());
  }

  /**
   * Sends one echo request. Resolves with its sequence number when the queue has taken it.
   *
   * @throws StackError EMSGSIZE (larger than the MTU allows), ENETUNREACH, EINVAL, ECANCELED (closed), ETIMEDOUT (the
   *   queue stayed full); the signal's reason
   */
  send(request: EchoRequest): Promise<number> {
    try {
      checkWait(request);
      if (this.isClosed) throw closedError();
      checkHostAddress(request.address);
      const sequence = request.sequence ?? (this.lastSequence + 1) & 0xffff;
      const send: Send = {
        data: request.data ?? pattern(request.size ?? DEFAULT_SIZE),
        remote: parseAddress(request.address),
        sequence,
        ttl: request.ttl,
      };
      const sent = this.sends.isEmpty && this.trySend(send);
      this.lastSequence = sequence;
      return sent ? Promise.resolve(sequence) : quiet(this.sends.wait(send, request));
    } catch (error) {
      return quiet(Promise.reject(error));
    }
  }

  /**
   * The next answer. Calls that overlap get theirs in order.
   *
   * @throws StackError ECANCELED when the pinger is closed, ETIMEDOUT, EINVAL; the signal's reason
   */
  receive(options?: WaitOptions): Promise<EchoReply | EchoError> {
    try {
      checkWait(options);
      if (this.isClosed) throw closedError();
      const answer = this.receives.isEmpty ? this.take() : null;
      return answer === null ? this.receives.wait(null, options) : Promise.resolve(answer);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The answers as they come; ends when the pinger is closed. Leaving the loop early closes it. */
  [Symbol.asyncIterator](): AsyncGenerator<EchoReply | EchoError, void, void> {
    return untilClosed(
      () => this.receive(),
      () => this.close(),
    );
  }

  /** Frees the identifier. Messages in the queues are lost. Closing twice is fine. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.forgetSignal();
    this.socket.handler = null;
    this.socket.close();
    const error = closedError();
    this.receives.rejectAll(error);
    this.sends.rejectAll(error);
    this.onClose(this);
  }

  /** `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** The time, in ms, of what runs the host. */
  now(): number {
    return this.pump.runtime.now();
  }

  private trySend(send: Send): boolean {
    const taken = this.socket.send(send.data, send.remote, send.sequence, send.ttl);
    this.pump.wake();
    return taken;
  }

  /** Runs within `poll`. */
  private onEvents(events: number): void {
    if (events & READABLE) this.serveReceives();
    if (events & WRITABLE) this.serveSends();
  }

  private serveReceives(): void {
    // `poll` was told the time before it sent anything, and a device may have the answer to that by now.
    const now = this.now();
    while (this.seenAt.length < this.socket.received.size) this.seenAt.push(now);
    while (!this.receives.isEmpty) {
      const answer = this.take();
      if (answer === null) return;
      this.receives.resolveFirst(answer);
    }
  }

  private serveSends(): void {
    for (let send = this.sends.first; send !== null; send = this.sends.first) {
      try {
        if (!this.trySend(send.job)) return;
        this.sends.resolveFirst(send.job.sequence);
      } catch (error) {
        // The route may have gone meanwhile: that is this request's problem, not the next one's.
        this.sends.rejectFirst(error);
      }
    }
  }

  /** The socket's oldest message, or `null`. */
  private take(): EchoReply | EchoError | null {
    const { socket, message } = this;
    if (socket.received.size === 0) return null;
    const data = new Uint8Array(socket.nextLength);
    socket.receive(data, message);
    const answer: Answer = {
      address: formatAddress(message.address),
      target: formatAddress(message.target),
      sequence: message.sequence,
      ttl: message.ttl,
      ms: Math.max(message.arrivedAt, this.seenAt.shift() ?? 0) - message.sentAt,
    };
    if (message.type !== ICMP_ECHO_REPLY)
      return { type: "error", ...answer, error: errorOf(answer, message) };
    const bytes = ICMPV4_HEADER_LENGTH + data.length;
    return { type: "reply", ...answer, bytes, data, duplicate: message.duplicate };
  }
}

/**
 * Sends one request and waits for what it is answered by; then closes `pinger`.
 *
 * @param anyone the answer may come from another address than the one asked, which is a broadcast address
 */
export async function pingOnce(
  pinger: Pinger,
  address: string,
  options: PingOptions,
  anyone: boolean,
): Promise<EchoReply> {
  const { timeout = DEFAULT_TIMEOUT_MS, signal, ...request } = options;
  checkWait({ timeout, signal });
  const until = pinger.now() + timeout;
  const sequence = await pinger.send({ ...request, address, timeout, signal });
  const target = formatAddress(parseAddress(address));
  for (;;) {
    const answer = await nextAnswer(pinger, target, Math.max(0, until - pinger.now()), timeout, signal);
    if (answer.sequence !== sequence) continue;
    if (answer.type === "reply" && (anyone || answer.address === target)) return answer;
    if (answer.type === "error" && answer.target === target) throw answer.error;
  }
}

async function nextAnswer(
  pinger: Pinger,
  target: string,
  left: number,
  timeout: number,
  signal: AbortSignal | undefined,
): Promise<EchoReply | EchoError> {
  try {
    return await pinger.receive({ timeout: left, signal });
  } catch (error) {
    if (!(error instanceof StackError && error.code === "ETIMEDOUT")) throw error;
    throw new StackError("ETIMEDOUT", `${target} did not answer within ${timeout} ms`);
  }
}

function errorOf(answer: Answer, message: IcmpMessage): StackError {
  const { type, code } = message;
  let what = "cannot be reached";
  if (type === ICMP_TIME_EXCEEDED) what = "is too many hops away: give the request a larger ttl";
  else if (type === ICMP_PARAMETER_PROBLEM) what = "was sent a packet whose header is at fault";
  else if (code === CODE_FRAGMENTATION_NEEDED) what = "is behind a link with a smaller MTU: send fewer bytes";
  return new StackError(
    icmpErrorCode(type, code) ?? "EHOSTUNREACH",
    `${answer.address} says that ${answer.target} ${what} (ICMP type ${type}, code ${code})`,
  );
}

/** As ping(8) fills its requests: each byte is its own place. */
function pattern(size: number): Uint8Array {
  requireWhole("size", size, 0, 65_535);
  return new Uint8Array(size).map((_, i) => i);
}

function closedError(): StackError {
  return new StackError("ECANCELED", "the pinger is closed: make another one");
}
