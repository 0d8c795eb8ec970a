import { requireCount, StackError } from "../../errors.ts";
import type { IpAddress } from "../../wire/ip-address.ts";
import type { SocketContext } from "../context.ts";
import { requirePort } from "../ports.ts";
import type { CongestionControlName } from "./congestion/control.ts";
import { validateCongestionControl } from "./congestion/control-factory.ts";
import { ListenQueue } from "./listen-queue.ts";
import { checkSegmentSize, type TcpSettings } from "./settings.ts";
import { TcpSocket } from "./tcp-socket.ts";
import { type Tuning, type TuningOptions, tuned, UNTUNED } from "./tuning.ts";
import { checkUserTimeout, setUserTimeout } from "./user-timeout.ts";

/** The port of a catch-all: nobody else listens on it. */
export const EVERY_PORT = 0;

/** Who asks for a connection, and for one to where. */
export interface SocketRequest {
  readonly localAddress: IpAddress;
  readonly localPort: number;
  readonly remoteAddress: IpAddress;
  readonly remotePort: number;
}

/** `true`: take it; `false`: refuse it, by a reset; `"drop"`: as if nobody were there. */
export type AcceptVerdict = boolean | "drop";

/** Is asked about every SYN, within `poll`. What it throws counts as `false`. */
export type AcceptPredicate = (request: SocketRequest) => AcceptVerdict;

export interface ListenOptions extends TuningOptions {
  /** A local address; all of them by default. Who listens on one has it for itself, also beside one who listens on all. */
  readonly address?: string | IpAddress;
  /** 1 .. 65,535; none where `any` is `true`. */
  readonly port?: number;
  /**
   * A catch-all: every port of every address, also of those that are not the stack's, as far as nobody else listens there. The
   * connection has the address and the port that were asked for. Packets to such addresses have to be led here by routes:
   * nothing is told about them to neighbours. There is one, or several with `reusePort`.
   */
  readonly any?: boolean;
  /** Is asked about every SYN, within `poll`; without it, all are welcome. */
  readonly accept?: AcceptPredicate;
  /** Others may listen on the same address and port, if all say so: each gets a share of the connections. */
  readonly reusePort?: boolean;
  /** Most connections that wait to be accepted; 511 by default, as in node. */
  readonly backlog?: number;
  /** Most connections that are open at a time; what comes then is refused. Without limit by default. */
  readonly maxConnections?: number;
  /** R2 of the connections, in ms; see `ConnectOptions.userTimeout`. */
  readonly userTimeout?: number;
  /** The largest MSS of the connections; see `ConnectOptions.maxSegmentSize`. */
  readonly maxSegmentSize?: number;
  /** How fast the connections send; see `ConnectOptions.congestionControl`. */
  readonly congestionControl?: CongestionControlName;
}

/** What a listener is made of, read and checked. */
export interface ListenerSpec {
  readonly address: IpAddress;
  /** 0: every port, for a catch-all. */
  readonly port: number;
  readonly isCatchAll: boolean;
  readonly reusePort: boolean;
  readonly backlog: number;
  readonly maxConnections: number;
  /** R2 of the connections that are accepted, in ms; 0 for the stack's. */
  readonly userTimeoutMs: number;
  /** The largest MSS of the connections, in bytes. */
  readonly maxSegmentSize: number;
  readonly congestionControl: CongestionControlName;
  readonly accept: AcceptPredicate | null;
  /** What the connections have otherwise than others. */
  readonly tuning: Tuning;
}

const DEFAULT_BACKLOG = 511;
/** Half-open connections cost no program anything: there may be many more of them than complete ones. */
const LEAST_HALF_OPEN = 256;

/** RFC 9293 3.10.1, passive OPEN: a port that takes connections, with a queue of those not accepted yet. */
export class TcpListener {
  readonly spec: ListenerSpec;
  readonly queue: ListenQueue;
  index: number;
  events = 0;
  /** Sizes and the like of the connections whose SYN comes from now on. */
  tuning: Tuning;
  /** Is called with `ACCEPTABLE` at the end of `poll`. */
  handler: ((events: number) => void) | null = null;
  private readonly context: SocketContext;
  private readonly onClose: (listener: TcpListener) => void;

  /** Made by `SocketSet.listen`. */
  constructor(
    context: SocketContext,
    index: number,
    spec: ListenerSpec,
    onClose: (listener: TcpListener) => void,
  ) {
    this.context = context;
    this.index = index;
    this.spec = spec;
    this.tuning = spec.tuning;
    this.onClose = onClose;
    const { backlog, maxConnections } = spec;
    const halfOpen = Math.max(LEAST_HALF_OPEN, 2 * backlog);
    this.queue = new ListenQueue(this, context.halfOpen, backlog, halfOpen, maxConnections);
  }

  /** The address it listens on; the unspecified one for all of the stack's. */
  get address(): IpAddress {
    return this.spec.address;
  }

  /** 0 for a catch-all. */
  get port(): number {
    return this.spec.port;
  }

  /** How fast the connections send. */
  get congestionControl(): CongestionControlName {
    return this.spec.congestionControl;
  }

  /** Connections that have come by this listener and are open, accepted or not. */
  get connections(): number {
    return this.queue.connections;
  }

  /** The oldest connection whose handshake is complete, or `null`. */
  accept(): TcpSocket | null {
    const tcb = this.queue.accept();
    if (tcb === null) return null;
    setUserTimeout(tcb, this.spec.userTimeoutMs);
    this.context.awake.use(tcb.index);
    return new TcpSocket(tcb);
  }

  /**
   * Changes what connections get whose SYN comes from now on; what is absent stays.
   *
   * @throws StackError EINVAL
   */
  tune(changes: TuningOptions): void {
    this.tuning = tuned(this.tuning, changes);
  }

  /** Frees the port. Connections that were not accepted are reset. */
  close(): void {
    if (this.index === -1) return;
    this.onClose(this);
  }

  signal(event: number): void {
    this.events |= event;
    if (this.index !== -1) this.context.signalled.push(this.index);
  }
}

/**
 * What a program asks for, checked.
 *
 * @param address what its `address` is
 * @throws StackError EINVAL
 */
export function listenerSpec(options: ListenOptions, address: IpAddress, tcp: TcpSettings): ListenerSpec {
  const { any: isCatchAll = false, port = Number.NaN } = options;
  if (!isCatchAll) requirePort(port, 1, "a TCP port to listen on");
  else if (options.port !== undefined || options.address !== undefined) {
    throw new StackError("EINVAL", "any is every address and every port: leave out address and port");
  }
  return {
    address,
    port: isCatchAll ? EVERY_PORT : port,
    isCatchAll,
    reusePort: options.reusePort ?? false,
    backlog: limit("backlog", options.backlog ?? DEFAULT_BACKLOG),
    maxConnections: limit("maxConnections", options.maxConnections ?? Number.POSITIVE_INFINITY),
    userTimeoutMs: checkUserTimeout(options.userTimeout ?? 0),
    maxSegmentSize: checkSegmentSize(options.maxSegmentSize ?? tcp.maxSegmentSize),
    congestionControl: validateCongestionControl(options.congestionControl ?? tcp.congestionControl),
    accept: options.accept ?? null,
    tuning: tuned(UNTUNED, options),
  };
}

/** A whole number, or `Infinity` for no limit. */
function limit(name: string, count: number): number {
  if (count !== Number.POSITIVE_INFINITY) requireCount(name, count);
  return count;
}
