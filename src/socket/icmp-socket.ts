import { requireWhole, StackError } from "../errors.ts";
import type { Random } from "../random.ts";
import { copyBytes } from "../storage/copy.ts";
import { PacketRing } from "../storage/packet-ring.ts";
import { ICMP_ECHO_REPLY, ICMPV4_HEADER_LENGTH } from "../wire/icmpv4.ts";
import { IpAddress, isUnspecified } from "../wire/ip-address.ts";
import { IPV4_HEADER_LENGTH } from "../wire/ipv4.ts";
import { IDENTIFIER_BITS, identifierOwner, shareStart, type WorkerPlace } from "../wire/worker-share.ts";
import type { SocketContext } from "./context.ts";
import { READABLE, WRITABLE } from "./events.ts";
import { requireRoute } from "./routing.ts";

/** Sizes of an ICMP socket's two queues, and of its memory. */
export interface IcmpBuffers {
  /** Most messages in each queue. */
  readonly messages: number;
  /** Most bytes in each queue; a message that was received takes 20 beside its data. */
  readonly bytes: number;
  /** Most requests whose time of sending is kept, to tell how long the answer took and whether it is the first. */
  readonly requests: number;
}

export const DEFAULT_ICMP_BUFFERS: IcmpBuffers = { messages: 64, bytes: 64 * 1024, requests: 1024 };
export const DEFAULT_TTL = 64;

const IDENTIFIERS = 65_536;

// What a received message carries in front of its data: two times as 64-bit numbers, then a byte each.
const SENT_AT = 0;
const ARRIVED_AT = 8;
const TYPE = 16;
const CODE = 17;
const TTL = 18;
const DUPLICATE = 19;
const NOTES = 20;

/** Stands for the target of a request that went to many, which nobody answers from. */
const MANY = 0;

/** A message that was received, as a record to be reused. */
export class IcmpMessage {
  /** ICMP_ECHO_REPLY, or the type of the error. */
  type = 0;
  code = 0;
  /** Of the request that this answers, or that the error quotes. */
  sequence = 0;
  /** What the received packet's time to live still was, in hops. */
  ttl = 0;
  /** Who sent this message: for an error often a router on the way. */
  readonly address = new IpAddress(4, 0, 0, 0xffff, 0);
  /** Whom the request was sent to; of a reply, who sent it. */
  readonly target = new IpAddress(4, 0, 0, 0xffff, 0);
  /** When the request went to the device, in the time of `poll` (ms); NaN for one that is not remembered. */
  sentAt = Number.NaN;
  /** When this came from the device, in the time of `poll` (ms). */
  arrivedAt = 0;
  /** The request had been answered before, by the one it was sent to. Not told of requests that went to many. */
  duplicate = false;
}

/**
 * ICMP echo (RFC 792) from the side that asks: requests of one identifier go out; the replies to them, and the errors that
 * quote one of them, come in. Both wait in bounded queues.
 */
export class IcmpSocket {
  readonly identifier: number;
  /** The address of ours that requests come from, or the unspecified one for that of the interface. */
  readonly address: IpAddress;
  index: number;
  events = 0;
  /** Is called with `READABLE | WRITABLE` at the end of `poll`. */
  handler: ((events: number) => void) | null = null;
  /** Waiting for the program. Ports: the sequence number, and nothing. */
  readonly received: PacketRing;
  /** Waiting for the device. Ports: the sequence number, and the time to live. */
  readonly outgoing: PacketRing;
  readonly context: SocketContext;
  private readonly notes: DataView;
  // What is kept of requests, each at a place that follows from its sequence number and its target, an address word.
  private readonly sequences: Int32Array;
  private readonly targets: Int32Array;
  private readonly sentAt: Float64Array;
  private readonly answered: Uint8Array;
  private readonly onClose: (socket: IcmpSocket) => void;
  private sendBlocked = false;

  /** Made by `SocketSet.bindIcmp`. */
  constructor(
    context: SocketContext,
    index: number,
    address: IpAddress,
    identifier: number,
    buffers: IcmpBuffers,
    onClose: (socket: IcmpSocket) => void,
  ) {
    this.context = context;
    this.index = index;
    this.address = address;
    this.identifier = identifier;
    this.onClose = onClose;
    this.received = new PacketRing(buffers.messages, buffers.bytes);
    this.outgoing = new PacketRing(buffers.messages, buffers.bytes);
    this.notes = new DataView(this.received.bytes.buffer);
    this.sequences = new Int32Array(buffers.requests).fill(-1);
    this.targets = new Int32Array(buffers.requests);
    this.sentAt = new Float64Array(buffers.requests);
    this.answered = new Uint8Array(buffers.requests);
  }

  /**
   * Queues an echo request that carries `data`. Returns `false`, and a WRITABLE event follows, when the queue is full.
   *
   * @param sequence 0 .. 65,535
   * @param ttl hops that it may take, 1 .. 255
   * @throws StackError EMSGSIZE, ENETUNREACH, EINVAL, ENOTCONN (closed)
   */
  send(data: Uint8Array, remote: IpAddress, sequence: number, ttl: number = DEFAULT_TTL): boolean {
    if (this.index === -1) throw new StackError("ENOTCONN", "the ICMP socket is closed: bind another one");
    requireWhole("an echo's sequence number", sequence, 0, 65_535);
    requireWhole("the time to live", ttl, 1, 255);
    const route = requireRoute(isUnspecified(remote) ? null : this.context.routing.route(remote), remote);
    const mtu = Math.min(route.path.mtu, this.context.pathMtus.find(remote, this.context.now));
    const largest = mtu - IPV4_HEADER_LENGTH - ICMPV4_HEADER_LENGTH;
    if (data.length > largest) {
      const whose = mtu < route.path.mtu ? `the path's MTU of ${mtu}` : "the MTU";
      throw new StackError(
        "EMSGSIZE",
        `${data.length} bytes of data do not fit ${whose}: at most ${largest} go into one echo request`,
      );
    }
    if (data.length > this.outgoing.bytes.length) {
      throw new StackError(
        "EMSGSIZE",
        `${data.length} bytes of data do not fit the socket's queue of ${this.outgoing.bytes.length}: bind it with larger buffers`,
      );
    }
    const local = isUnspecified(this.address) ? route.source : this.address;
    const at = this.outgoing.push(data.length, local, sequence, remote, ttl);
    if (at === -1) {
      this.sendBlocked = true;
      return false;
    }
    copyBytes(data, 0, this.outgoing.bytes, at, data.length);
    route.path.ready.push(this.index);
    return true;
  }

  /** Bytes of the oldest message's data, 0 where there is none. */
  get nextLength(): number {
    return this.received.size === 0 ? 0 : this.received.length - NOTES;
  }

  /**
   * Moves the oldest message's data into `target`, cut off where it is too small, and the rest into `message`. Returns the
   * length of the data (an error has none), or -1 when there is no message.
   */
  receive(target: Uint8Array, message: IcmpMessage): number {
    const { received: ring, notes } = this;
    if (ring.size === 0) return -1;
    const at = ring.start;
    const length = ring.length - NOTES;
    copyBytes(ring.bytes, at + NOTES, target, 0, Math.min(length, target.length));
    ring.readRemote(message.address);
    ring.readLocal(message.target);
    message.sequence = ring.localPort;
    message.sentAt = notes.getFloat64(at + SENT_AT);
    message.arrivedAt = notes.getFloat64(at + ARRIVED_AT);
    message.type = ring.bytes[at + TYPE];
    message.code = ring.bytes[at + CODE];
    message.ttl = ring.bytes[at + TTL];
    message.duplicate = ring.bytes[at + DUPLICATE] === 1;
    ring.shift();
    return length;
  }

  /** Frees the identifier; messages still queued are dropped. */
  close(): void {
    if (this.index !== -1) this.onClose(this);
  }

  /**
   * A message for this socket: called by the stack. Returns whether there was room.
   *
   * @param offset where its data of `length` bytes are
   */
  deliver(
    bytes: Uint8Array,
    offset: number,
    length: number,
    type: number,
    code: number,
    sequence: number,
    ttl: number,
    source: IpAddress,
    target: IpAddress,
  ): boolean {
    const { received: ring, notes, context } = this;
    const at = ring.push(NOTES + length, target, sequence, source, 0);
    if (at === -1) return false;
    const own = this.find(sequence, target.w3);
    const duplicate = own !== -1 && type === ICMP_ECHO_REPLY && this.answered[own] === 1;
    if (own !== -1 && type === ICMP_ECHO_REPLY) this.answered[own] = 1;
    const request = own === -1 ? this.find(sequence, MANY) : own;
    notes.setFloat64(at + SENT_AT, request === -1 ? Number.NaN : this.sentAt[request]);
    notes.setFloat64(at + ARRIVED_AT, context.now);
    ring.bytes[at + TYPE] = type;
    ring.bytes[at + CODE] = code;
    ring.bytes[at + TTL] = ttl;
    ring.bytes[at + DUPLICATE] = duplicate ? 1 : 0;
    copyBytes(bytes, offset, ring.bytes, at + NOTES, length);
    this.signal(READABLE);
    return true;
  }

  /** Was a request of this sequence number sent to `target` alone, not too many others ago? */
  hasAsked(sequence: number, target: IpAddress): boolean {
    return this.find(sequence, target.w3) !== -1;
  }

  /** The first outgoing request has been handed to the link, for one host or for many: called by the stack. */
  sent(destination: IpAddress, toMany: boolean): void {
    const sequence = this.outgoing.localPort;
    const target = toMany ? MANY : destination.w3 | 0;
    const place = this.placeOf(sequence, target);
    this.sequences[place] = sequence;
    this.targets[place] = target;
    this.sentAt[place] = this.context.now;
    this.answered[place] = 0;
  }

  /** The first outgoing request is dealt with: called by the stack. */
  shift(): void {
    this.outgoing.shift();
    if (!this.sendBlocked) return;
    this.sendBlocked = false;
    this.signal(WRITABLE);
  }

  /** Where the request is kept, or -1. */
  private find(sequence: number, target: number): number {
    const place = this.placeOf(sequence, target);
    return this.sequences[place] === sequence && this.targets[place] === (target | 0) ? place : -1;
  }

  /** Requests to one target with numbers in a row have places of their own. */
  private placeOf(sequence: number, target: number): number {
    return (sequence + (Math.imul(target, 0x9e3779b1) >>> 16)) % this.sequences.length;
  }

  private signal(event: number): void {
    this.events |= event;
    this.context.signalled.push(this.index);
  }
}

/** The ICMP sockets of a stack by their identifiers. */
export class IcmpIdentifiers {
  private readonly sockets = new Map<number, IcmpSocket>();
  private readonly worker: WorkerPlace;

  /** @param worker whose share of the identifiers is chosen from */
  constructor(worker: WorkerPlace) {
    this.worker = worker;
  }

  find(identifier: number): IcmpSocket | null {
    return this.sockets.get(identifier) ?? null;
  }

  /**
   * Checks that `identifier` is free, or finds a free one that nobody can guess.
   *
   * @throws StackError EINVAL, EADDRINUSE, EADDRNOTAVAIL
   */
  choose(identifier: number | undefined, random: Random): number {
    if (identifier !== undefined) {
      requireWhole("an ICMP identifier", identifier, 0, IDENTIFIERS - 1);
      this.requireOwn(identifier);
      if (!this.sockets.has(identifier)) return identifier;
      throw new StackError(
        "EADDRINUSE",
        `ICMP identifier ${identifier} is in use on this stack: close the socket that has it, or choose another one`,
      );
    }
    const { start, count } = this.share;
    const first = (random.next() >>> 0) % count;
    for (let tries = 0; tries < count; tries++) {
      const candidate = start + ((first + tries) % count);
      if (!this.sockets.has(candidate)) return candidate;
    }
    throw new StackError("EADDRNOTAVAIL", `all ${count} ICMP identifiers are in use: close ICMP sockets`);
  }

  private get share(): { start: number; count: number } {
    const { index, count } = this.worker;
    const start = shareStart(index, count, IDENTIFIER_BITS);
    return { start, count: shareStart(index + 1, count, IDENTIFIER_BITS) - start };
  }

  private requireOwn(identifier: number): void {
    const { index, count } = this.worker;
    if (identifierOwner(identifier, count) === index) return;
    const share = this.share;
    throw new StackError(
      "EADDRNOTAVAIL",
      `replies with ICMP identifier ${identifier} would go to another worker than this one, number ${index} of ${count}: ` +
        `choose one from ${share.start} to ${share.start + share.count - 1}, or none`,
    );
  }

  add(socket: IcmpSocket): void {
    this.sockets.set(socket.identifier, socket);
  }

  remove(socket: IcmpSocket): void {
    this.sockets.delete(socket.identifier);
  }
}

/** @throws StackError EINVAL */
export function checkIcmpBuffers(buffers: IcmpBuffers): void {
  requireWhole("buffers.messages", buffers.messages, 1, 65_536);
  requireWhole("buffers.bytes", buffers.bytes, NOTES, 1 << 30);
  requireWhole("buffers.requests", buffers.requests, 1, IDENTIFIERS);
}
