import { type ErrorCode, StackError } from "../errors.ts";
import { copyBytes } from "../storage/copy.ts";
import { PacketRing } from "../storage/packet-ring.ts";
import { read16, write16 } from "../wire/bytes.ts";
import { type IpAddress, isUnspecified } from "../wire/ip-address.ts";
import { IPV4_HEADER_LENGTH } from "../wire/ipv4.ts";
import { UDP_HEADER_LENGTH } from "../wire/udp.ts";
import type { SocketContext } from "./context.ts";
import { ERROR, READABLE, WRITABLE } from "./events.ts";
import { icmpErrorCode } from "./icmp-error-code.ts";
import { requirePort } from "./ports.ts";
import { requireRoute } from "./routing.ts";

/** Sizes of a UDP socket's two queues. */
export interface UdpBuffers {
  /** Most datagrams in each queue. */
  readonly datagrams: number;
  /** Most bytes in each queue. */
  readonly bytes: number;
}

/** Errors that wait; further ones are lost, as they may be at any router. */
const MOST_ERRORS = 8;

/** RFC 768: datagrams of one local port, in two bounded queues. */
export class UdpSocket {
  readonly address: IpAddress;
  readonly port: number;
  index: number;
  events = 0;
  /** Is called with `READABLE | WRITABLE | ERROR` at the end of `poll`. */
  handler: ((events: number) => void) | null = null;
  /** Waiting for the program. */
  readonly received: PacketRing;
  /** Waiting for the device. */
  readonly outgoing: PacketRing;
  readonly context: SocketContext;
  /** ICMP errors about datagrams that were sent from here: who they were for, and what has become of them. */
  private readonly errors = new PacketRing(MOST_ERRORS, 2 * MOST_ERRORS);
  private readonly onClose: (socket: UdpSocket) => void;
  private sendBlocked = false;

  /** Made by `SocketSet.bindUdp`. */
  constructor(
    context: SocketContext,
    index: number,
    address: IpAddress,
    port: number,
    buffers: UdpBuffers,
    onClose: (socket: UdpSocket) => void,
  ) {
    this.context = context;
    this.index = index;
    this.address = address;
    this.port = port;
    this.onClose = onClose;
    this.received = new PacketRing(buffers.datagrams, buffers.bytes);
    this.outgoing = new PacketRing(buffers.datagrams, buffers.bytes);
  }

  /**
   * Queues one datagram. Returns `false`, and a WRITABLE event follows, when the queue is full.
   *
   * It goes out with DF set, in one packet. One that is larger than what connections have found the path to carry is refused
   * as one that is larger than the MTU is; for how long, see `PATH_MTU_AGE_MS`.
   *
   * @param source the local address to send from, where the socket is bound to any: for answers, the one that the
   *   question was sent to
   * @throws StackError EMSGSIZE, ENETUNREACH, EINVAL, ENOTCONN (closed)
   */
  send(bytes: Uint8Array, remote: IpAddress, remotePort: number, source: IpAddress = this.address): boolean {
    if (this.index === -1) throw new StackError("ENOTCONN", "the UDP socket is closed: bind another one");
    requirePort(remotePort, 1, "a UDP destination port");
    const route = requireRoute(this.context.routing.route(remote), remote);
    const mtu = Math.min(route.path.mtu, this.context.pathMtus.find(remote, this.context.now));
    const largest = mtu - IPV4_HEADER_LENGTH - UDP_HEADER_LENGTH;
    if (bytes.length > largest) {
      const whose = mtu < route.path.mtu ? `the path's MTU of ${mtu}` : "the MTU";
      throw new StackError(
        "EMSGSIZE",
        `a datagram of ${bytes.length} bytes does not fit ${whose}: at most ${largest} go into one`,
      );
    }
    const local = isUnspecified(source) ? route.source : source;
    const at = this.outgoing.push(bytes.length, local, this.port, remote, remotePort);
    if (at === -1) {
      this.sendBlocked = true;
      return false;
    }
    copyBytes(bytes, 0, this.outgoing.bytes, at, bytes.length);
    route.path.ready.push(this.index);
    return true;
  }

  /**
   * Moves the oldest datagram into `target`, cut off where it is too small, and its addresses into `from`. Returns the
   * datagram's length, or -1 when there is none.
   */
  receive(target: Uint8Array, from: UdpOrigin): number {
    const ring = this.received;
    if (ring.size === 0) return -1;
    const { start, length } = ring;
    copyBytes(ring.bytes, start, target, 0, Math.min(length, target.length));
    ring.readRemote(from.remoteAddress);
    ring.readLocal(from.localAddress);
    from.remotePort = ring.remotePort;
    ring.shift();
    return length;
  }

  /**
   * What an ICMP error said of a datagram that was sent from here, the oldest first, or `null`. `about` is told where that
   * datagram went, and from which address; of EMSGSIZE also the MTU that a router has named, or 0. Nobody has checked that:
   * who sends datagrams knows which of them arrive.
   */
  receiveError(about: UdpOrigin): ErrorCode | null {
    const ring = this.errors;
    if (ring.size === 0) return null;
    const { localPort } = ring;
    ring.readRemote(about.remoteAddress);
    ring.readLocal(about.localAddress);
    about.remotePort = ring.remotePort;
    about.mtu = read16(ring.bytes, ring.start);
    ring.shift();
    return icmpErrorCode(localPort >> 8, localPort & 0xff);
  }

  /** Frees the port; datagrams still queued are dropped. */
  close(): void {
    if (this.index !== -1) this.onClose(this);
  }

  /** A datagram for this socket: called by the stack. Returns whether there was room. */
  deliver(
    bytes: Uint8Array,
    offset: number,
    length: number,
    source: IpAddress,
    sourcePort: number,
    destination: IpAddress,
  ): boolean {
    const at = this.received.push(length, destination, this.port, source, sourcePort);
    if (at === -1) return false;
    copyBytes(bytes, offset, this.received.bytes, at, length);
    this.signal(READABLE);
    return true;
  }

  /** An ICMP error about a datagram that was sent from here: called by the stack. */
  deliverError(
    type: number,
    code: number,
    destination: IpAddress,
    destinationPort: number,
    source: IpAddress,
    mtu: number,
  ): void {
    if (icmpErrorCode(type, code) === null) return;
    this.context.stats.udpErrors++;
    const at = this.errors.push(2, source, (type << 8) | code, destination, destinationPort);
    if (at === -1) return;
    write16(this.errors.bytes, at, mtu);
    this.signal(ERROR);
  }

  /** The first outgoing datagram is dealt with: called by the stack. */
  shift(): void {
    this.outgoing.shift();
    if (!this.sendBlocked) return;
    this.sendBlocked = false;
    this.signal(WRITABLE);
  }

  private signal(event: number): void {
    this.events |= event;
    this.context.signalled.push(this.index);
  }
}

/** Where a received datagram came from, and which of our addresses it was sent to: a record to be reused. */
export interface UdpOrigin {
  remoteAddress: IpAddress;
  remotePort: number;
  localAddress: IpAddress;
  /** Of an error: see `UdpSocket.receiveError`. */
  mtu?: number;
}
