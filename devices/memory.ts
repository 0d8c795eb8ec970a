import { type Capabilities, type Device, Frame, type Medium } from "../src/device.ts";
import { requireWhole, StackError } from "../src/errors.ts";
import { frameMemory } from "../src/wire/frame-memory.ts";

/** What can be chosen about a memory pair; both ends are alike. */
export interface MemoryOptions {
  /** What the frames start with; `"ip"` unless told. */
  readonly medium?: Medium;
  /** Largest IP packet in bytes, 68 .. 65,535; 1,500 unless told. */
  readonly mtu?: number;
  /** Frames that wait in each direction before `transmit` returns `null`, 1 .. 65,536; 256 unless told. */
  readonly queueLength?: number;
  /**
   * `true` where neither end is to compute or verify TCP and UDP checksums: memory does not garble frames.
   * `false` unless told.
   */
  readonly checksumOffload?: boolean;
  /**
   * `true` where frames may also be TCP super-segments of up to 65,535 bytes, which arrive as they were sent; implies
   * `checksumOffload`. A queue of 256 then has room for 16 MiB, touched only as it is used. `false` unless told.
   */
  readonly offload?: boolean;
  /** Ethernet only: the addresses of both ends, six bytes each; 02:00:00:00:00:01 and 02:00:00:00:00:02 unless told. */
  readonly hardwareAddresses?: readonly [Uint8Array, Uint8Array];
}

/** With the four bytes of a tag, which are in the frame and not in the packet (IEEE 802.1Q). */
const ETHERNET_HEADER = 18;
/** An IPv4 packet has no more. */
const LARGEST_PACKET = 65_535;
/** Locally administered (IEEE 802), and told apart by the last byte. */
const HARDWARE_ADDRESSES = [Uint8Array.of(2, 0, 0, 0, 0, 1), Uint8Array.of(2, 0, 0, 0, 0, 2)] as const;
/** Slots start on cache lines, so that two frames never share one. */
const SLOT_ALIGNMENT = 64;
/**
 * Callbacks run as microtasks, which is cheap, but two ends that keep each other busy that way would never let the
 * event loop run its timers. So one callback in this many takes the long way round.
 */
const MICROTASKS_IN_A_ROW = 64;

/** Runs `task` in a later turn of the event loop. */
const inLaterTurn: (task: () => void) => void =
  typeof setImmediate === "function" ? (task) => void setImmediate(task) : (task) => void setTimeout(task, 0);

/**
 * A callback that the owner asks for any number of times and that runs once, later, outside of the asker's stack.
 */
class Deferred {
  callback: (() => void) | null = null;
  private pending = false;
  private inARow = 0;
  /** Made once: a closure a notification would be garbage a notification. */
  private readonly run: () => void;

  constructor() {
    this.run = () => {
      this.pending = false;
      if (this.callback !== null) this.callback();
    };
  }

  request(): void {
    if (this.pending || this.callback === null) return;
    this.pending = true;
    if (++this.inARow < MICROTASKS_IN_A_ROW) {
      queueMicrotask(this.run);
    } else {
      this.inARow = 0;
      inLaterTurn(this.run);
    }
  }
}

/**
 * One direction: a ring of slots in one slab. The writer fills the slot at `tail` in place; the reader is lent the
 * slot at `head` in place. There is one slot more than may be queued: the one that the reader is looking at. And
 * one more beyond the ring, which a writer may scribble in when one of both is closed, while the reader still looks at others.
 */
class Channel {
  readonly slab: Uint8Array;
  readonly slots: number;
  readonly slotSize: number;
  readonly firstByte: number;
  readonly largest: number;
  readonly limit: number;
  readonly offload: boolean;
  readonly lengths: Int32Array;
  readonly segmentSizes: Int32Array;
  /** The frame that the writer is lent, again and again. */
  readonly outgoing: Frame;
  readonly readable = new Deferred();
  readonly writable = new Deferred();
  /** The slot to be received next. */
  head = 0;
  tail = 0;
  /** Frames committed and not yet received. */
  queued = 0;
  /** Slots before `head` that are in the reader's hands. */
  held = 0;
  /** The slot at `tail` is in the writer's hands. */
  writing = false;
  /** The reader waits for a frame; so it does before it has asked for one, lest it miss the first. */
  starved = true;
  /** The writer waits for room. */
  blocked = false;
  readerClosed = false;
  writerClosed = false;

  constructor(capabilities: Capabilities, limit: number) {
    const { medium, mtu, checksumOffload, maxSuperSegment } = capabilities;
    // An Ethernet header of 14 or 18 bytes that starts at 2 puts the IP header on a multiple of four.
    this.firstByte = medium === "ethernet" ? 2 : 0;
    this.largest = Math.max(mtu, maxSuperSegment) + (medium === "ethernet" ? ETHERNET_HEADER : 0);
    const wanted = this.firstByte + this.largest;
    this.slotSize = wanted + ((SLOT_ALIGNMENT - (wanted % SLOT_ALIGNMENT)) % SLOT_ALIGNMENT);
    this.slots = limit + 1;
    this.limit = limit;
    this.offload = checksumOffload;
    this.slab = frameMemory((this.slots + 1) * this.slotSize);
    this.lengths = new Int32Array(this.slots);
    this.segmentSizes = new Int32Array(this.slots);
    this.outgoing = new Frame(this.slab);
  }

  /** The reader is done with what it holds. */
  release(): void {
    this.held = 0;
    this.noteRoom();
  }

  take(frame: Frame): boolean {
    if (this.queued === 0) {
      this.starved = true;
      return false;
    }
    frame.bytes = this.slab;
    frame.offset = this.head * this.slotSize + this.firstByte;
    frame.length = this.lengths[this.head];
    frame.checksumOffloaded = this.offload;
    frame.segmentSize = this.segmentSizes[this.head];
    this.head = this.head + 1 === this.slots ? 0 : this.head + 1;
    this.queued--;
    this.held++;
    this.noteRoom();
    return true;
  }

  private get hasRoom(): boolean {
    return this.queued < this.limit && this.queued + this.held < this.slots;
  }

  /** Tells the writer, if it waits for that. */
  private noteRoom(): void {
    if (!this.blocked || !this.hasRoom) return;
    this.blocked = false;
    this.writable.request();
  }

  lend(length: number): Frame | null {
    if (length > this.largest) {
      throw new StackError(
        "EMSGSIZE",
        `A frame of ${length} bytes does not fit this device, which carries ${this.largest}; keep packets within its capabilities.mtu.`,
      );
    }
    // Nobody holds a slot: start again at the first, which is likely still in the processor's cache. Here, and not where the
    // last one is taken: then a writer often has one lent that it had no use for.
    if (this.queued === 0 && this.held === 0) {
      this.head = 0;
      this.tail = 0;
    }
    const isOpen = !this.writerClosed && !this.readerClosed;
    this.writing = isOpen && this.hasRoom;
    if (isOpen && !this.writing) {
      this.blocked = true;
      return null;
    }
    const slot = isOpen ? this.tail : this.slots;
    const frame = this.outgoing;
    frame.offset = slot * this.slotSize + this.firstByte;
    frame.length = length;
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    return frame;
  }

  put(frame: Frame): void {
    // A frame to or from a closed end is sent, and lost on its way: the way of all frames to an unplugged machine.
    if (!this.writing || this.readerClosed) return;
    this.writing = false;
    this.lengths[this.tail] = frame.length;
    this.segmentSizes[this.tail] = frame.segmentSize;
    this.tail = this.tail + 1 === this.slots ? 0 : this.tail + 1;
    this.queued++;
    if (this.starved) {
      this.starved = false;
      this.readable.request();
    }
  }

  closeReader(): void {
    this.readerClosed = true;
    this.readable.callback = null;
    this.queued = 0;
    this.held = 0;
    this.head = this.tail;
    this.noteRoom();
  }

  closeWriter(): void {
    this.writerClosed = true;
    this.writing = false;
    this.writable.callback = null;
  }
}

class MemoryDevice implements Device {
  readonly capabilities: Capabilities;
  private readonly incoming: Channel;
  private readonly outgoing: Channel;

  constructor(capabilities: Capabilities, incoming: Channel, outgoing: Channel) {
    this.capabilities = capabilities;
    this.incoming = incoming;
    this.outgoing = outgoing;
  }

  receive(frame: Frame): boolean {
    this.incoming.release();
    return this.incoming.take(frame);
  }

  receiveMore(frame: Frame): boolean {
    return this.incoming.take(frame);
  }

  transmit(length: number): Frame | null {
    return this.outgoing.lend(length);
  }

  commit(frame: Frame): void {
    this.outgoing.put(frame);
  }

  onReadable(callback: () => void): void {
    if (this.incoming.readerClosed) return;
    this.incoming.readable.callback = callback;
    // Frames that came before the callback did would otherwise wait for the next one.
    if (this.incoming.queued > 0) {
      this.incoming.starved = false;
      this.incoming.readable.request();
    }
  }

  onWritable(callback: () => void): void {
    if (this.outgoing.writerClosed) return;
    this.outgoing.writable.callback = callback;
  }

  close(): void {
    this.incoming.closeReader();
    this.outgoing.closeWriter();
  }
}

/**
 * Two devices joined by a wire of memory: what one commits, the other receives, in order and without loss.
 *
 * A frame is written into the slot that the other end reads it from, so nothing is copied on the way. Either end may
 * be closed first: what it sent is still received, and what is sent to it vanishes. Everything is allocated here.
 *
 * @param options see {@link MemoryOptions}
 * @returns both ends
 * @throws StackError `EINVAL` where an option is out of its range
 *
 * @example
 * ```ts
 * const [left, right] = memoryPair({ mtu: 9_000 });
 * const out = left.transmit(20);
 * if (out !== null) left.commit(out);
 * const frame = new Frame(new Uint8Array(0));
 * right.receive(frame); // true; frame.length is 20
 * ```
 */
export function memoryPair(options: MemoryOptions = {}): [Device, Device] {
  const medium = options.medium ?? "ip";
  const { mtu = 1500, queueLength: limit = 256 } = options;
  requireWhole("mtu", mtu, 68, 65535);
  requireWhole("queueLength", limit, 1, 65536);
  const offload = options.offload ?? false;
  const common = {
    medium,
    mtu,
    checksumOffload: offload || (options.checksumOffload ?? false),
    maxSuperSegment: offload ? LARGEST_PACKET : 0,
  };
  const [left, right] = (options.hardwareAddresses ?? HARDWARE_ADDRESSES).map((hardwareAddress) =>
    Object.freeze(medium === "ethernet" ? { ...common, hardwareAddress } : common),
  );
  const toRight = new Channel(left, limit);
  const toLeft = new Channel(right, limit);
  return [new MemoryDevice(left, toLeft, toRight), new MemoryDevice(right, toRight, toLeft)];
}
