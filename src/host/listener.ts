import { StackError } from "../errors.ts";
import type { CongestionControlName } from "../socket/tcp/congestion/control.ts";
import type { TcpListener } from "../socket/tcp/listener.ts";
import type { TcpSocket } from "../socket/tcp/tcp-socket.ts";
import { formatAddress } from "../wire/ip-address.ts";
import type { Connection } from "./connection.ts";
import { checkWait, onAbort, PendingQueue, untilClosed, type WaitOptions } from "./pending.ts";
import type { Pump } from "./pump.ts";

/** What `Host.listen` takes. */
export interface HostListenOptions {
  /** 1 .. 65,535. */
  readonly port: number;
  /** One of the host's addresses; all of them unless told. */
  readonly address?: string | undefined;
  /** Most connections that wait to be accepted; 511 unless told, as in node. */
  readonly backlog?: number | undefined;
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

function closedError(port: number): StackError {
  return new StackError("ECANCELED", `the listener on port ${port} is closed: listen again`);
}
