import { Frame } from "../device.ts";
import { frameMemory } from "../wire/frame-memory.ts";
import type { SimNode } from "./node.ts";

/**
 * One frame of the network, in memory that it keeps. It is never copied on its way: who sends it writes into it, lines and
 * switches hand it on, and who receives it reads from it and gives it back.
 */
export class Packet {
  readonly frame: Frame;
  /** Where its memory begins, and how much that is. */
  readonly start: number;
  readonly capacity: number;
  /** Who has sent it; routers do not count. */
  origin: SimNode;
  /** When it came to a queue, and when it arrives at the other end of a line, in ms. */
  queuedAt = 0;
  arrivesAt = 0;
  /** The one behind it, in whatever list it is. */
  next: Packet | null = null;

  constructor(bytes: Uint8Array, start: number, capacity: number, origin: SimNode) {
    this.frame = new Frame(bytes);
    this.start = start;
    this.capacity = capacity;
    this.origin = origin;
  }
}

/** Packets in a row. */
export class PacketQueue {
  first: Packet | null = null;
  size = 0;
  /** Bytes of the frames, headers included. */
  bytes = 0;
  private last: Packet | null = null;

  push(packet: Packet): void {
    packet.next = null;
    if (this.last === null) this.first = packet;
    else this.last.next = packet;
    this.last = packet;
    this.size++;
    this.bytes += packet.frame.length;
  }

  /** Puts it behind those that arrive before it, or with it. */
  insert(packet: Packet): void {
    if (this.last === null || this.last.arrivesAt <= packet.arrivesAt) {
      this.push(packet);
      return;
    }
    let before: Packet | null = null;
    for (let each = this.first; each !== null && each.arrivesAt <= packet.arrivesAt; each = each.next)
      before = each;
    if (before === null) {
      packet.next = this.first;
      this.first = packet;
    } else {
      packet.next = before.next;
      before.next = packet;
    }
    this.size++;
    this.bytes += packet.frame.length;
  }

  shift(): Packet | null {
    const packet = this.first;
    if (packet === null) return null;
    this.first = packet.next;
    if (this.first === null) this.last = null;
    packet.next = null;
    this.size--;
    this.bytes -= packet.frame.length;
    return packet;
  }
}

/** Packets of one size, those given back last first: they are in the processor's cache. */
class Shelf {
  readonly capacity: number;
  free: Packet | null = null;
  /** Where all packets come from that are made now. */
  slab = new Uint8Array(0);
  private used = 0;
  private slots = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  make(origin: SimNode): Packet {
    if (this.used === this.slots) {
      // Much larger than the one before, which is given up bit by bit: who reads frames keeps notes of an array, and packets
      // of two would have them made anew all the time.
      this.slots = this.slots === 0 ? FIRST_SLOTS : this.slots * GROWTH;
      this.slab = frameMemory(this.slots * this.capacity);
      this.used = 0;
    }
    return new Packet(this.slab, this.used++ * this.capacity, this.capacity, origin);
  }
}

const FIRST_SLOTS = 64;
const GROWTH = 8;
/** For acknowledgements, an Ethernet frame, a jumbo frame, and the longest packet; whole cache lines. */
const LARGEST = 65_664;
const CAPACITIES = [128, 1_536, 9_216, LARGEST];

/** The memory of all frames that are on their way. It grows up to its limit, and no further. */
export class PacketPool {
  private readonly limit: number;
  private readonly shelves = CAPACITIES.map((capacity) => new Shelf(capacity));
  private readonly lost = new Frame(new Uint8Array(0));
  private made = 0;
  private taken = 0;

  /** @param limit bytes */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Bytes of the frames that are in use, or kept for the next ones. */
  get size(): number {
    return this.made;
  }

  /** Packets that have not been given back. */
  get inUse(): number {
    return this.taken;
  }

  /** A packet for `length` bytes, its frame at `offset` of its memory; `null` where there is no more memory. */
  take(length: number, offset: number, origin: SimNode): Packet | null {
    const shelf = this.shelfFor(offset + length);
    let packet = shelf.free;
    if (packet === null) {
      if (this.made + shelf.capacity > this.limit) return null;
      this.made += shelf.capacity;
      packet = shelf.make(origin);
    } else {
      shelf.free = packet.next;
      packet.next = null;
      packet.origin = origin;
    }
    this.taken++;
    const { frame } = packet;
    frame.offset = packet.start + offset;
    frame.length = length;
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    return packet;
  }

  /** A frame to write into where there is no memory: what is in it is lost. */
  scrap(length: number, offset: number): Frame {
    const frame = this.lost;
    if (frame.bytes.length < offset + length) frame.bytes = new Uint8Array(new ArrayBuffer(LARGEST));
    frame.offset = offset;
    frame.length = length;
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    return frame;
  }

  give(packet: Packet): void {
    const shelf = this.shelfFor(packet.capacity);
    this.taken--;
    if (packet.frame.bytes !== shelf.slab) {
      this.made -= shelf.capacity;
      return;
    }
    packet.next = shelf.free;
    shelf.free = packet;
  }

  private shelfFor(size: number): Shelf {
    const { shelves } = this;
    let i = 0;
    while (shelves[i].capacity < size) i++;
    return shelves[i];
  }
}
