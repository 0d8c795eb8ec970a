import { StackError } from "../errors.ts";
import { CLOSED_EVENT, CONNECTED } from "../socket/events.ts";
import type { CongestionControlName } from "../socket/tcp/congestion/control.ts";
import type { TcpSocket } from "../socket/tcp/tcp-socket.ts";
import { parseAddress } from "../wire/ip-address.ts";
import { Pending, type WaitOptions } from "./pending.ts";
import type { Runtime } from "./runtime.ts";

/** What `Host.connect` takes. */
export interface HostConnectOptions extends WaitOptions {
  /** An IP address as text. */
  readonly address: string;
  readonly port: number;
  /** One of the host's addresses; that of the interface which leads there unless told. */
  readonly localAddress?: string | undefined;
  /** 1 .. 65,535; one chosen by RFC 6056 unless told. */
  readonly localPort?: number | undefined;
  /** Nagle's algorithm off from the start (RFC 9293 3.7.4). */
  readonly noDelay?: boolean | undefined;
  /** ms in which the peer has to acknowledge what it was sent; see `Connection.setUserTimeout`. */
  readonly userTimeout?: number | undefined;
  /** The largest MSS of the connection in bytes, announced and sent: Linux's TCP_MAXSEG. `tcp.maxSegmentSize` unless told. */
  readonly maxSegmentSize?: number | undefined;
  /** How fast the connection sends: `"cubic"`, `"newreno"` or `"bbr"`; `tcp.congestionControl` of the host unless told. */
  readonly congestionControl?: CongestionControlName | undefined;
}

/** A handshake under way. */
export class Attempt {
  private readonly pending: Pending<null, TcpSocket>;
  private readonly socket: TcpSocket;

  constructor(socket: TcpSocket, runtime: Runtime, options: WaitOptions) {
    this.socket = socket;
    this.pending = new Pending(null, runtime);
    // Runs within `poll`.
    socket.handler = (events) => {
      if (events & CONNECTED) this.end(null);
      else if (events & CLOSED_EVENT) this.end(socket.error ?? canceled());
    };
    this.pending.limit(options, "connect", (reason) => this.giveUp(reason));
  }

  /** Resolves with the socket when the handshake is complete. */
  get done(): Promise<TcpSocket> {
    return this.pending.promise;
  }

  /** Ends the attempt. */
  giveUp(reason: unknown = canceled()): void {
    this.end(reason);
    this.socket.abort();
  }

  private end(reason: unknown): void {
    this.socket.handler = null;
    if (reason === null) this.pending.resolve(this.socket);
    else this.pending.reject(reason);
  }
}

function canceled(): StackError {
  return new StackError("ECANCELED", "the host was closed while the connection was being opened");
}

/**
 * Refuses what is no address with a sentence of its own where it looks like a name.
 *
 * @throws StackError EINVAL
 */
export function checkHostAddress(address: string): void {
  if (/[g-z]/i.test(address) && !address.includes(":")) {
    throw new StackError(
      "EINVAL",
      `"${address}" looks like a name, and names are not looked up yet: give an IP address, such as 192.168.69.100`,
    );
  }
  parseAddress(address);
}
