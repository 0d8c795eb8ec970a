import type { IpAddress } from "../../wire/ip-address.ts";
import type { SocketContext } from "../context.ts";
import type { CongestionControlName } from "./congestion/control.ts";
import { ListenQueue } from "./listen-queue.ts";
import { TcpSocket } from "./tcp-socket.ts";
import { abandon } from "./transitions.ts";
import { setUserTimeout } from "./user-timeout.ts";

/** RFC 9293 3.10.1, passive OPEN: a port that takes connections, with a queue of those not accepted yet. */
export class TcpListener {
  readonly address: IpAddress;
  readonly port: number;
  readonly queue: ListenQueue;
  index: number;
  events = 0;
  /** R2 of the connections that are accepted from now on, in ms; 0 for the stack's. */
  userTimeoutMs = 0;
  /** The largest MSS of the connections, in bytes. */
  maxSegmentSize = Number.POSITIVE_INFINITY;
  /** How fast the connections send. */
  congestionControl: CongestionControlName;
  /** Is called with `ACCEPTABLE` at the end of `poll`. */
  handler: ((events: number) => void) | null = null;
  private readonly context: SocketContext;
  private readonly onClose: (listener: TcpListener) => void;

  /** Made by `SocketSet.listen`. */
  constructor(
    context: SocketContext,
    index: number,
    address: IpAddress,
    port: number,
    backlog: number,
    onClose: (listener: TcpListener) => void,
  ) {
    this.context = context;
    this.index = index;
    this.address = address;
    this.port = port;
    this.congestionControl = context.tcp.congestionControl;
    this.onClose = onClose;
    // Half-open connections cost no program anything: there may be many more of them than complete ones.
    this.queue = new ListenQueue(this, backlog, Math.max(256, 2 * backlog));
  }

  /** The oldest connection whose handshake is complete, or `null`. */
  accept(): TcpSocket | null {
    const tcb = this.queue.accept();
    if (tcb === null) return null;
    setUserTimeout(tcb, this.userTimeoutMs);
    return new TcpSocket(tcb);
  }

  /** Frees the port. Connections that were not accepted are reset. */
  close(): void {
    if (this.index === -1) return;
    for (const tcb of this.queue.pending()) abandon(tcb, "ECONNABORTED");
    this.onClose(this);
  }

  signal(event: number): void {
    this.events |= event;
    if (this.index !== -1) this.context.signalled.push(this.index);
  }
}
