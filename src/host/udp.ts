import { type ErrorCode, StackError } from "../errors.ts";
import { ERROR, READABLE, WRITABLE } from "../socket/events.ts";
import type { UdpBuffers, UdpSocket } from "../socket/udp-socket.ts";
import { formatAddress, IpAddress, parseAddress } from "../wire/ip-address.ts";
import { checkWait, onAbort, PendingQueue, quiet, untilClosed, type WaitOptions } from "./pending.ts";
import type { Pump } from "./pump.ts";
import { callLater } from "./runtime.ts";

/** What `Host.udp` takes. */
export interface HostUdpOptions {
  /** 1 .. 65,535; a free one (RFC 6056) unless told. */
  readonly port?: number | undefined;
  /** One of the host's addresses; all of them unless told. */
  readonly address?: string | undefined;
  /** Sizes of the queues in both directions; 64 datagrams and 64 KiB unless told. */
  readonly buffers?: UdpBuffers | undefined;
  /**
   * Is told what the network says of datagrams that were sent from here, in a later turn of the event loop: ECONNREFUSED
   * (nobody has that port), EHOSTUNREACH, ENETUNREACH, EPROTO, EMSGSIZE (it was too large for a link on the way; the error
   * says what that takes). Unless told, such errors are only counted.
   */
  readonly onError?: ((error: StackError, about: UdpDestination) => void) | undefined;
  /** Closes the endpoint when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** A datagram that arrived. */
export interface Datagram {
  readonly data: Uint8Array;
  /** Where it came from. */
  readonly address: string;
  readonly port: number;
  /** Which address of ours it was sent to. */
  readonly localAddress: string;
}

/** Where a datagram goes. */
export interface UdpDestination extends WaitOptions {
  readonly address: string;
  readonly port: number;
  /** The address of ours to send it from: for an answer, the `localAddress` of the question. */
  readonly localAddress?: string | undefined;
}

interface Send {
  readonly bytes: Uint8Array;
  readonly remote: IpAddress;
  readonly port: number;
  readonly source: IpAddress | undefined;
}

/**
 * A UDP port (RFC 768). Datagrams that arrive while nobody receives wait in a bounded queue, and are lost beyond it.
 *
 * @example
 * ```ts
 * const endpoint = host.udp({ port: 7 });
 * for await (const datagram of endpoint) await endpoint.send(datagram.data, datagram);
 * ```
 */
export class UdpEndpoint implements AsyncDisposable {
  readonly port: number;
  /** The address it is bound to; `0.0.0.0` for all. */
  readonly address: string;
  private readonly socket: UdpSocket;
  private readonly pump: Pump;
  private readonly onClose: (endpoint: UdpEndpoint) => void;
  private readonly onError: HostUdpOptions["onError"];
  private readonly receives: PendingQueue<null, Datagram>;
  private readonly sends: PendingQueue<Send, void>;
  private readonly origin = {
    remoteAddress: new IpAddress(4, 0, 0, 0xffff, 0),
    remotePort: 0,
    localAddress: new IpAddress(4, 0, 0, 0xffff, 0),
    mtu: 0,
  };
  private readonly forgetSignal: () => void;
  private isClosed = false;

  /** Made by `Host.udp`. */
  constructor(
    socket: UdpSocket,
    pump: Pump,
    onClose: (endpoint: UdpEndpoint) => void,
    options: HostUdpOptions,
  ) {
    this.socket = socket;
    this.pump = pump;
    this.receives = new PendingQueue("receive", pump.runtime);
    this.sends = new PendingQueue("send", pump.runtime);
    this.onClose = onClose;
    this.onError = options.onError;
    this.port = socket.port;
    this.address = formatAddress(socket.address);
    socket.handler = (events) => this.onEvents(events);
    this.forgetSignal = onAbort(options.signal, () => this.close());
  }

  /**
   * Sends one datagram. Resolves when the queue has taken it, which is no promise that it arrives.
   *
   * @throws StackError EMSGSIZE (larger than the MTU allows), ENETUNREACH, EINVAL, ECANCELED (closed), ETIMEDOUT (the
   *   queue stayed full); the signal's reason
   */
  send(data: Uint8Array, to: UdpDestination): Promise<void> {
    try {
      checkWait(to);
      if (this.isClosed) throw closedError(this.port);
      const send: Send = {
        bytes: data,
        remote: parseAddress(to.address),
        port: to.port,
        source: to.localAddress === undefined ? undefined : parseAddress(to.localAddress),
      };
      if (this.sends.isEmpty && this.trySend(send)) return Promise.resolve();
      return quiet(this.sends.wait(send, to));
    } catch (error) {
      return quiet(Promise.reject(error));
    }
  }

  /**
   * The next datagram. Calls that overlap get theirs in order.
   *
   * @throws StackError ECANCELED when the endpoint is closed, ETIMEDOUT, EINVAL; the signal's reason
   */
  receive(options?: WaitOptions): Promise<Datagram> {
    try {
      checkWait(options);
      if (this.isClosed) throw closedError(this.port);
      const datagram = this.receives.isEmpty ? this.tryReceive() : null;
      return datagram === null ? this.receives.wait(null, options) : Promise.resolve(datagram);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The datagrams as they come; ends when the endpoint is closed. Leaving the loop early closes it. */
  [Symbol.asyncIterator](): AsyncGenerator<Datagram, void, void> {
    return untilClosed(
      () => this.receive(),
      () => this.close(),
    );
  }

  /** Frees the port. Datagrams in the queues are lost. Closing twice is fine. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.forgetSignal();
    this.socket.handler = null;
    this.socket.close();
    const error = closedError(this.port);
    this.receives.rejectAll(error);
    this.sends.rejectAll(error);
    this.onClose(this);
  }

  /** `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  private trySend(send: Send): boolean {
    const taken = this.socket.send(send.bytes, send.remote, send.port, send.source);
    this.pump.wake();
    return taken;
  }

  private tryReceive(): Datagram | null {
    const { received } = this.socket;
    if (received.size === 0) return null;
    const data = new Uint8Array(received.length);
    const { origin } = this;
    this.socket.receive(data, origin);
    return {
      data,
      address: formatAddress(origin.remoteAddress),
      port: origin.remotePort,
      localAddress: formatAddress(origin.localAddress),
    };
  }

  /** Runs within `poll`. */
  private onEvents(events: number): void {
    if (events & READABLE) {
      while (!this.receives.isEmpty) {
        const datagram = this.tryReceive();
        if (datagram === null) break;
        this.receives.resolveFirst(datagram);
      }
    }
    if (events & WRITABLE) this.serveSends();
    if (events & ERROR) this.reportErrors();
  }

  private reportErrors(): void {
    const { onError, origin } = this;
    for (
      let code = this.socket.receiveError(origin);
      code !== null;
      code = this.socket.receiveError(origin)
    ) {
      if (onError === undefined) continue;
      const about: UdpDestination = {
        address: formatAddress(origin.remoteAddress),
        port: origin.remotePort,
        localAddress: formatAddress(origin.localAddress),
      };
      const error = networkError(code, about, origin.mtu);
      callLater(this.pump.runtime, () => {
        if (!this.isClosed) onError(error, about);
      });
    }
  }

  private serveSends(): void {
    for (let send = this.sends.first; send !== null; send = this.sends.first) {
      try {
        if (!this.trySend(send.job)) return;
        this.sends.resolveFirst();
      } catch (error) {
        // The route may have gone meanwhile: that is this datagram's problem, not the next one's.
        this.sends.rejectFirst(error);
      }
    }
  }
}

function networkError(code: ErrorCode, about: UdpDestination, mtu: number): StackError {
  let what = "cannot be reached";
  if (code === "ECONNREFUSED") what = "refuses datagrams: nobody has that port";
  else if (code === "EMSGSIZE") {
    const most = mtu > 0 ? `, which carries packets of ${mtu} bytes` : "";
    what = `is behind a link with a smaller MTU${most}: send shorter datagrams`;
  }
  return new StackError(code, `${about.address}:${about.port} ${what}`);
}

function closedError(port: number): StackError {
  return new StackError("ECANCELED", `UDP port ${port} is closed: bind it again`);
}
