import { StackError } from "../errors.ts";
import { NEVER } from "../storage/deadline-heap.ts";
import { ANY_IPV4, formatAddress, type IpAddress, isMulticast, isUnspecified } from "../wire/ip-address.ts";
import { RST, type TcpSegment } from "../wire/tcp.ts";
import type { SocketContext } from "./context.ts";
import { WRITABLE } from "./events.ts";
import {
  checkIcmpBuffers,
  DEFAULT_ICMP_BUFFERS,
  type IcmpBuffers,
  IcmpIdentifiers,
  IcmpSocket,
} from "./icmp-socket.ts";
import { type PortTest, requirePort } from "./ports.ts";
import { type Path, requireRoute } from "./routing.ts";
import type { CongestionControlName } from "./tcp/congestion/control.ts";
import { validateCongestionControl } from "./tcp/congestion/control-factory.ts";
import { chooseControl } from "./tcp/congestion.ts";
import { acknowledgeNow } from "./tcp/delayed-ack.ts";
import { segmentArrives } from "./tcp/input.ts";
import { type ListenOptions, listenerSpec, TcpListener } from "./tcp/listener.ts";
import { type ConnectOptions, openActive } from "./tcp/open.ts";
import { limitSegmentSize } from "./tcp/options.ts";
import { PassiveOpens } from "./tcp/passive-open.ts";
import { mayBuffer, relieve } from "./tcp/pressure.ts";
import { makeReset } from "./tcp/reset.ts";
import { IDLE_MS, RestingConnection, RestingConnections } from "./tcp/resting.ts";
import { checkSegmentSize } from "./tcp/settings.ts";
import { CLOSED, DUE_RST, Tcb } from "./tcp/tcb.ts";
import { TcpSocket } from "./tcp/tcp-socket.ts";
import { mayReopen } from "./tcp/time-wait.ts";
import { runTimers, runTimeWaits } from "./tcp/timers.ts";
import { abandon, enterClosed, signal } from "./tcp/transitions.ts";
import { tuned, UNTUNED } from "./tcp/tuning.ts";
import { checkUserTimeout } from "./tcp/user-timeout.ts";
import { needsWindowUpdate } from "./tcp/window.ts";
import { type UdpBuffers, UdpSocket } from "./udp-socket.ts";
import { UdpSockets } from "./udp-sockets.ts";

export interface BindOptions {
  readonly address?: string | IpAddress;
  /** By default one chosen by RFC 6056. */
  readonly port?: number;
  readonly buffers?: UdpBuffers;
}

export interface IcmpOptions {
  /** 0 .. 65,535; by default one that is free and hard to guess. */
  readonly identifier?: number;
  /** By default the address of the interface that leads to whom is asked. */
  readonly address?: string | IpAddress;
  readonly buffers?: Partial<IcmpBuffers>;
}

type Socket = Tcb | TcpListener | UdpSocket | IcmpSocket;

/** So many of those that wait for pages are looked at in one round of a poll. */
const FED_AT_ONCE = 256;
/** Connections that are looked at, whether they may rest, in a round of a poll, and when another one wakes. */
const LOOKS = 64;
const LOOKS_BY_WAKING = 2;
const MOST_REFUSALS = 4;
/** Between two rounds of that, in ms, where nothing else happens: so it takes a fraction of the processor. */
const SETTLING_MS = 1;
const DEFAULT_UDP_BUFFERS: UdpBuffers = { datagrams: 64, bytes: 64 * 1024 };

/** All sockets of a stack, by number, by flow and by port; in fixed places. */
export class SocketSet {
  readonly context: SocketContext;
  private readonly sockets: (Socket | null)[];
  /** The connection that the last TCP segment was for, or `null`. */
  lastFound: Tcb | null = null;
  /** Stack of free socket numbers. */
  private readonly free: Int32Array;
  private freeCount: number;
  /** Connections whose number was given to another socket before they could be told that they are closed. */
  private readonly recycled: Tcb[] = [];
  /** `pool.returns` when the starved were fed last. */
  private poolReturns = 0;
  private readonly opens: PassiveOpens;
  private readonly resting: RestingConnections;
  private nextSettling = 0;
  /** How many of the starved are still to be looked at. */
  private hungry = 0;
  private readonly udpSockets = new UdpSockets();
  private readonly icmpSockets: IcmpIdentifiers;
  private readonly isFree: PortTest;

  constructor(context: SocketContext, maxSockets: number) {
    this.context = context;
    this.isFree = (port, local, remote, remotePort) =>
      context.flows.find(local, port, remote, remotePort) === -1;
    this.icmpSockets = new IcmpIdentifiers(context.worker);
    this.sockets = new Array<Socket | null>(maxSockets).fill(null);
    this.free = new Int32Array(maxSockets);
    for (let i = 0; i < maxSockets; i++) this.free[i] = maxSockets - 1 - i;
    this.freeCount = maxSockets;
    this.resting = new RestingConnections(context, maxSockets, this);
    this.opens = new PassiveOpens(context, {
      tryIndex: () => this.tryIndex(),
      put: (index, tcb) => {
        this.sockets[index] = tcb;
      },
    });
  }

  /** Sockets in use, those in TIME-WAIT included. */
  get size(): number {
    return this.sockets.length - this.freeCount;
  }

  /** Connections that the program has closed and that are not over; at most `maxOrphans`. */
  get orphans(): number {
    return this.context.orphans.size;
  }

  /** Connections in TIME-WAIT; at most `maxTimeWait`. */
  get timeWaits(): number {
    return this.context.timeWait.size;
  }

  /** The socket with this number, or `null`. */
  get(index: number): Socket | null {
    return this.sockets[index];
  }

  /**
   * Opens a port for connections.
   *
   * @throws StackError EADDRINUSE, EADDRNOTAVAIL, EINVAL, EMFILE
   */
  listen(options: ListenOptions): TcpListener {
    const { context, opens } = this;
    const spec = listenerSpec(options, this.localAddress(options.address), context.tcp);
    const index = this.takeIndex();
    try {
      context.tcpPorts.bind(spec.address, spec.port, spec.reusePort);
    } catch (error) {
      this.giveIndex(index);
      throw error;
    }
    const listener = new TcpListener(context, index, spec, (closed) => {
      for (const socket of this.sockets) {
        if (socket instanceof Tcb && closed.queue.isPending(socket)) abandon(socket, "ECONNABORTED");
      }
      opens.listeners.remove(closed);
      context.tcpPorts.release(spec.address, spec.port);
      this.giveIndex(closed.index);
      closed.index = -1;
    });
    this.sockets[index] = listener;
    opens.listeners.add(listener);
    return listener;
  }

  /**
   * Starts a connection; a CONNECTED or CLOSED event follows.
   *
   * @throws StackError ENETUNREACH, EADDRNOTAVAIL, EADDRINUSE, EINVAL, EMFILE
   */
  connect(options: ConnectOptions): TcpSocket {
    const { context } = this;
    const remote = context.addresses.read(options.address);
    requirePort(options.port, 1, "a TCP port to connect to");
    // RFC 9293 3.9.2.3: a connection has one peer.
    if (isUnspecified(remote) || isMulticast(remote) || context.routing.isBroadcast(remote)) {
      throw new StackError(
        "ENETUNREACH",
        `${formatAddress(remote)} is no host's address: connect to one host`,
      );
    }
    const route = requireRoute(context.routing.route(remote), remote);
    const asked = this.localAddress(options.localAddress);
    const local = isUnspecified(asked) ? route.source : asked;
    const { isFree } = this;
    let localPort = options.localPort ?? 0;
    if (localPort === 0) {
      localPort = context.tcpPorts.choose(local, remote, options.port, isFree);
    } else {
      requirePort(localPort, 1, "a local TCP port");
      context.tcpPorts.requireOwn(localPort);
      if (!isFree(localPort, local, remote, options.port) || context.tcpPorts.isBound(localPort)) {
        throw new StackError(
          "EADDRINUSE",
          `local TCP port ${localPort} is in use on this stack: choose another one, or none`,
        );
      }
    }
    const userTimeout = checkUserTimeout(options.userTimeout ?? 0);
    const connectTimeout = Math.min(
      checkUserTimeout(options.connectTimeout ?? 0) || context.tcp.connectTimeoutMs,
      userTimeout || NEVER,
    );
    const maxSegmentSize = this.maxSegmentSize(options);
    const congestionControl = this.congestionControl(options);
    const tuning = tuned(UNTUNED, options);
    const index = this.takeIndex();
    const ends = { local, localPort, remote, remotePort: options.port };
    const tcb = openActive(context, ends, route.path, index, tuning, connectTimeout);
    limitSegmentSize(tcb, maxSegmentSize);
    chooseControl(tcb, congestionControl);
    tcb.userTimeoutMs = userTimeout;
    tcb.noDelay = options.noDelay ?? false;
    this.sockets[index] = tcb;
    context.awake.use(index);
    return new TcpSocket(tcb);
  }

  /** @throws StackError EINVAL */
  private maxSegmentSize(options: { maxSegmentSize?: number }): number {
    const { maxSegmentSize } = options;
    return maxSegmentSize === undefined ? this.context.tcp.maxSegmentSize : checkSegmentSize(maxSegmentSize);
  }

  /** @throws StackError EINVAL */
  private congestionControl(options: { congestionControl?: CongestionControlName }): CongestionControlName {
    const { congestionControl } = options;
    if (congestionControl === undefined) return this.context.tcp.congestionControl;
    return validateCongestionControl(congestionControl);
  }

  /**
   * Opens a port for datagrams.
   *
   * @throws StackError EADDRINUSE, EADDRNOTAVAIL, EINVAL, EMFILE
   */
  bindUdp(options: BindOptions = {}): UdpSocket {
    const { context } = this;
    const address = this.localAddress(options.address);
    const port = options.port ?? context.udpPorts.choose(address, ANY_IPV4, 0, () => true);
    requirePort(port, 1, "a UDP port");
    const index = this.takeIndex();
    try {
      context.udpPorts.bind(address, port);
    } catch (error) {
      this.giveIndex(index);
      throw error;
    }
    const buffers = options.buffers ?? DEFAULT_UDP_BUFFERS;
    const socket = new UdpSocket(context, index, address, port, buffers, (closed) => {
      this.udpSockets.remove(closed);
      context.udpPorts.release(address, port);
      this.giveIndex(closed.index);
      closed.index = -1;
    });
    this.sockets[index] = socket;
    this.udpSockets.add(socket);
    return socket;
  }

  /**
   * Opens an identifier to send echo requests with, and to receive what they are answered by.
   *
   * @throws StackError EADDRINUSE, EADDRNOTAVAIL, EINVAL, EMFILE
   */
  bindIcmp(options: IcmpOptions = {}): IcmpSocket {
    const { context, icmpSockets } = this;
    const address = this.localAddress(options.address);
    const buffers = { ...DEFAULT_ICMP_BUFFERS, ...options.buffers };
    checkIcmpBuffers(buffers);
    const identifier = icmpSockets.choose(options.identifier, context.random);
    const index = this.takeIndex();
    const socket = new IcmpSocket(context, index, address, identifier, buffers, (closed) => {
      icmpSockets.remove(closed);
      this.giveIndex(closed.index);
      closed.index = -1;
    });
    this.sockets[index] = socket;
    icmpSockets.add(socket);
    return socket;
  }

  /** The ICMP socket with this identifier, or `null`. */
  findIcmp(identifier: number): IcmpSocket | null {
    return this.icmpSockets.find(identifier);
  }

  /** Calls `visit` with every connection that goes this way: for what happens rarely. */
  forEachConnection(path: Path, visit: (tcb: Tcb) => void): void {
    for (let index = 0; index < this.sockets.length; index++) {
      const socket = this.sockets[index] ?? this.resting.get(index);
      if (!(socket instanceof Tcb || socket instanceof RestingConnection)) continue;
      if (socket.ready === path.ready && socket.state !== CLOSED) visit(this.connection(index));
    }
  }

  /** The UDP socket that a datagram to this address and port is for, or `null`. */
  findUdp(address: IpAddress, port: number): UdpSocket | null {
    return this.udpSockets.find(address, port);
  }

  /** The connection with this 4-tuple, or `null`. */
  findTcb(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number): Tcb | null {
    const index = this.context.flows.find(local, localPort, remote, remotePort);
    return index === -1 ? null : this.connection(index);
  }

  /** The connection with this number, which wakes if it rests. */
  private connection(index: number): Tcb {
    return (this.sockets[index] as Tcb | null) ?? this.wake(index);
  }

  /** Makes the control block again of a connection that rests: for `resting.ts`. */
  wake(index: number): Tcb {
    const resting = this.resting.get(index) as RestingConnection;
    this.settle(LOOKS_BY_WAKING);
    const tcb = this.resting.wake(resting);
    this.sockets[index] = tcb;
    this.context.awake.use(index);
    return tcb;
  }

  /** When connections are to be laid to rest, in ms, where more than `maxAwake` are awake. */
  get settleAt(): number {
    const { awake, tcp } = this.context;
    return awake.size > tcp.maxAwake ? this.nextSettling : NEVER;
  }

  /** Where more than `maxAwake` connections are awake, lets those rest that may: until some may not, and a few at a time. */
  settle(looks = LOOKS): void {
    const { awake, tcp, now } = this.context;
    let refusals = 0;
    let laid = 0;
    while (laid + refusals < looks && refusals < MOST_REFUSALS && awake.size > tcp.maxAwake) {
      const index = awake.oldest;
      if (this.resting.layDown(this.sockets[index] as Tcb)) {
        this.sockets[index] = null;
        awake.remove(index);
        laid++;
      } else {
        awake.use(index);
        refusals++;
      }
    }
    this.nextSettling = now + (laid > 0 ? SETTLING_MS : IDLE_MS);
  }

  /** Are there, or have there been, listeners for segments to addresses that are not the stack's? */
  get catchesAll(): boolean {
    return this.opens.listeners.hasCaughtAll;
  }

  /**
   * Demultiplexes a TCP segment: a connection, else a listener, else nobody (RFC 9293 3.10.7). Returns whether it is answered
   * at once, by a reset or a SYN-ACK that nobody remembers: `answer` has become that then.
   *
   * @param bytes holds the segment's text
   * @param path the interface it came from
   * @param isForeign it is for an address that is not the stack's
   */
  tcpSegmentArrives(
    seg: TcpSegment,
    bytes: Uint8Array,
    path: Path,
    answer: TcpSegment,
    isForeign: boolean,
  ): boolean {
    const { context, opens } = this;
    const tcb = this.findTcb(seg.destination, seg.destinationPort, seg.source, seg.sourcePort);
    this.lastFound = tcb;
    if (tcb !== null && !this.isReopening(tcb, seg, isForeign) && !opens.isSuperseded(tcb, seg)) {
      if (!segmentArrives(tcb, seg, bytes, context.now)) return false;
      makeReset(seg, answer);
      return true;
    }
    const listener = opens.listeners.find(seg, isForeign);
    if (listener !== null) return opens.segmentArrives(listener, seg, bytes, path, answer, tcb, isForeign);
    // RFC 9293 3.10.7.1: no connection. A reset is answered by nothing, and so is what others may be there for.
    context.stats.tcpNoConnection++;
    if (isForeign || seg.flags & RST) return false;
    makeReset(seg, answer);
    return true;
  }

  /** Runs every timer that is due at `context.now`. */
  runTimers(): void {
    const { deadlines, now } = this.context;
    runTimeWaits(this.context);
    // A timer that runs sets a later deadline; the bound holds should one ever not.
    for (let runs = deadlines.size; runs > 0 && deadlines.earliest <= now; runs--) {
      runTimers(this.connection(deadlines.first), now);
    }
  }

  /** When pages have to be taken back from connections that make no use of them, in ms. */
  get relieveAt(): number {
    return this.context.pressure.relieveAt;
  }

  /** Have pages come back to the pool since the connections that wait for some were looked at? */
  get hasFood(): boolean {
    const { pool, starved } = this.context;
    return starved.size > 0 && (this.hungry > 0 || pool.returns !== this.poolReturns);
  }

  /** Lets connections that waited for pages of the pool go on, when there are some: a few at a time. */
  feedStarved(): void {
    const { context } = this;
    if (this.relieveAt <= context.now) relieve(context, this, context.now);
    if (!this.hasFood) return;
    const { pool, starved } = context;
    if (pool.returns !== this.poolReturns) {
      this.poolReturns = pool.returns;
      this.hungry = starved.size;
    }
    for (let count = Math.min(this.hungry, starved.size, FED_AT_ONCE); count > 0; count--) {
      this.hungry--;
      const tcb = this.sockets[starved.shift()];
      if (tcb instanceof Tcb && tcb.state !== CLOSED) this.feed(tcb);
    }
    if (starved.size === 0) this.hungry = 0;
  }

  /** Whoever does not get enough comes back to the queue: a window by looking at it, a write by trying. */
  private feed(tcb: Tcb): void {
    if (needsWindowUpdate(tcb)) acknowledgeNow(tcb);
    if (!tcb.writeBlocked || tcb.sendBuffer.length === tcb.sendBuffer.limit) return;
    if (!tcb.sendBuffer.mayGrow) {
      this.context.starved.push(tcb.index);
      return;
    }
    // Where the peer's window is shut, its opening is waited for.
    if (!mayBuffer(tcb)) return;
    tcb.writeBlocked = false;
    signal(tcb, WRITABLE);
  }

  /** Tells the program what has happened, and gives back the numbers of connections that are over. */
  deliverEvents(): void {
    const { signalled } = this.context;
    for (let tcb = this.recycled.pop(); tcb !== undefined; tcb = this.recycled.pop()) tell(tcb);
    for (let count = signalled.size; count > 0; count--) {
      const socket = this.sockets[signalled.shift()];
      if (socket === null) continue;
      // A connection keeps its number as long as its reset is to be sent.
      if (socket instanceof Tcb && socket.state === CLOSED && !(socket.due & DUE_RST)) {
        this.giveIndex(socket.index);
        socket.index = -1;
      }
      tell(socket);
    }
  }

  /** Is the segment a SYN that opens a connection in TIME-WAIT again, for a listener that is there? */
  private isReopening(tcb: Tcb, seg: TcpSegment, isForeign: boolean): boolean {
    return mayReopen(tcb, seg) && this.opens.listeners.find(seg, isForeign) !== null;
  }

  private takeIndex(): number {
    const index = this.tryIndex();
    if (index !== -1) return index;
    throw new StackError(
      "EMFILE",
      `all ${this.sockets.length} sockets of this stack are in use: close some, or make it with a larger maxSockets`,
    );
  }

  /** A free number; if there is none, that of the connection which has been in TIME-WAIT longest; else -1. */
  private tryIndex(): number {
    const { timeWait, stats } = this.context;
    if (this.freeCount > 0) return this.free[--this.freeCount];
    const tcb = timeWait.oldest;
    if (tcb === null) return -1;
    stats.tcpTimeWaitRecycled++;
    const { index } = tcb;
    enterClosed(tcb, null);
    tcb.index = -1;
    this.recycled.push(tcb);
    return index;
  }

  private giveIndex(index: number): void {
    this.sockets[index] = null;
    this.free[this.freeCount++] = index;
  }

  /** The address to bind to: one of ours, or all. */
  private localAddress(given: string | IpAddress | undefined): IpAddress {
    if (given === undefined) return ANY_IPV4;
    const address = this.context.addresses.read(given);
    if (!isUnspecified(address) && !this.context.routing.isLocal(address)) {
      throw new StackError(
        "EADDRNOTAVAIL",
        `${formatAddress(address)} is not an address of this stack: use one that an interface has, or 0.0.0.0`,
      );
    }
    return address;
  }
}

/** Hands a socket's events to its handler, or keeps them until it has one. */
function tell(socket: Socket): void {
  const { events, handler } = socket;
  if (events === 0 || handler === null) return;
  socket.events = 0;
  handler(events);
}
