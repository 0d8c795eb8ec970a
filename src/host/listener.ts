import { StackError } from "../errors.ts";
import type { CongestionControlName } from "../socket/tcp/congestion/control.ts";
import type { AcceptVerdict, SocketRequest, TcpListener } from "../socket/tcp/listener.ts";
import type { TcpSocket } from "../socket/tcp/tcp-socket.ts";
import { formatAddress } from "../wire/ip-address.ts";
import type { Connection } from "./connection.ts";
import { checkWait, onAbort, PendingQueue, untilClosed, type WaitOptions } from "./pending.ts";
import type { Pump } from "./pump.ts";

/** Who asks for a connection, and for one to where. */
export interface ConnectionRequest {
  /** The address and the port that were asked for: of a catch-all, any. */
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

/** What `Host.listen` takes. */
export interface HostListenOptions {
  /** 1 .. 65,535; none where `any` is `true`. */
  readonly port?: number | undefined;
  /**
   * One of the host's addresses; all of them unless told. Whoever listens on one has it for itself, also beside one who listens
   * on all.
   */
  readonly address?: string | undefined;
  /**
   * A catch-all, for proxies, tunnels and honeypots: every port of every address, also of those that are not the host's, as far
   * as nobody else listens there. `localAddress` and `localPort` of a connection are what was asked for. The network has to
   * lead such packets here, by its routes: on Ethernet, nobody is told that the addresses are here.
   */
  readonly any?: boolean | undefined;
  /**
   * Decides about every connection before there is one: `true` takes it, `false` refuses it by a reset, `"drop"` is silent as
   * if nobody were there. It is asked again when the peer asks again, must be quick, and refuses when it throws. Without it, all
   * are welcome.
   */
  readonly accept?: ((request: ConnectionRequest) => AcceptVerdict) | undefined;
  /** Others may listen on the same address and port, if all say so: each gets a share of the connections. */
  readonly reusePort?: boolean | undefined;
  /** Most connections that wait to be accepted; 511 unless told, as in node. */
  readonly backlog?: number | undefined;
  /** Most connections that are open at a time; what comes then is refused. No limit unless told. */
  readonly maxConnections?: number | undefined;
  /** ms in which a peer has to acknowledge what it was sent; see `Connection.setUserTimeout`. */
  readonly userTimeout?: number | undefined;
  /** The largest MSS of the connections in bytes, announced and sent: Linux's TCP_MAXSEG. `tcp.maxSegmentSize` unless told. */
  readonly maxSegmentSize?: number | undefined;
  /** How fast the connections send; `tcp.congestionControl` of the host unless told. */
  readonly congestionControl?: CongestionControlName | undefined;
  /** Closes the listener when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A port that takes connections. Iterating over it yields them as they come, until the listener is closed; leaving the
 * loop early closes it.
 *
 * @example
 * ```ts
 * for await (const connection of host.listen({ port: 7 })) {
 *   connection.readable.pipeTo(connection.writable).catch(() => {});
 * }
 * ```
 */
export class Listener implements AsyncDisposable {
  /** 0 for a catch-all. */
  readonly port: number;
  /** The address it listens on; `0.0.0.0` for all. */
  readonly address: string;
  private readonly socket: TcpListener;
  private readonly pump: Pump;
  private readonly adopt: (socket: TcpSocket) => Connection;
  private readonly onClose: (listener: Listener) => void;
  private readonly accepts: PendingQueue<null, Connection>;
  private readonly forgetSignal: () => void;
  private isClosed = false;

  /** Made by `Host.listen`. */
  constructor(
    socket: TcpListener,
    pump: Pump,
    adopt: (socket: TcpSocket) => Connection,
    onClose: (listener: Listener) => void,
    signal: AbortSignal | undefined,
  ) {
    this.socket = socket;
    this.pump = pump;
    this.accepts = new PendingQueue("accept", pump.runtime);
    this.adopt = adopt;
    this.onClose = onClose;
    this.port = socket.port;
    this.address = formatAddress(socket.address);
    socket.handler = () => this.serve();
    this.forgetSignal = onAbort(signal, () => this.close());
  }

  /** Connections that have come by this listener and are open, accepted or not. */
  get connections(): number {
    return this.socket.connections;
  }

  /**
   * The next connection. Calls that overlap get theirs in order.
   *
   * @throws StackError ECANCELED when the listener is closed, ETIMEDOUT, EINVAL; the signal's reason
   */
  accept(options?: WaitOptions): Promise<Connection> {
    try {
      checkWait(options);
      if (this.isClosed) throw closedError(this.port);
      const socket = this.accepts.isEmpty ? this.socket.accept() : null;
      if (socket !== null) return Promise.resolve(this.adopt(socket));
      return this.accepts.wait(null, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The connections as they come; ends when the listener is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<Connection, void, void> {
    return untilClosed(
      () => this.accept(),
      () => this.close(),
    );
  }

  /**
   * Frees the port: who connects from now on is refused by a reset. Connections that were accepted live on. Those that were
   * not, be their handshakes complete or not, are reset, as a kernel does: nobody has promised their peers anything yet. The
   * iterator ends, and `accept` rejects with ECANCELED. Closing twice is fine.
   */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.forgetSignal();
    this.socket.handler = null;
    this.socket.close();
    this.accepts.rejectAll(closedError(this.port));
    this.onClose(this);
    this.pump.wake();
  }

  /** `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** Runs within `poll`. */
  private serve(): void {
    while (!this.accepts.isEmpty) {
      const socket = this.socket.accept();
      if (socket === null) return;
      this.accepts.resolveFirst(this.adopt(socket));
    }
  }
}

/** What a listener is asked, in the words of its program. */
export function inStrings(
  accept: (request: ConnectionRequest) => AcceptVerdict,
): (request: SocketRequest) => AcceptVerdict {
  return ({ localAddress, localPort, remoteAddress, remotePort }) =>
    accept({
      localAddress: formatAddress(localAddress),
      localPort,
      remoteAddress: formatAddress(remoteAddress),
      remotePort,
    });
}

function closedError(port: number): StackError {
  const name = port === 0 ? "the catch-all listener" : `the listener on port ${port}`;
  return new StackError("ECANCELED", `${name} is closed: listen again`);
}
