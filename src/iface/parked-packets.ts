import { copyBytes } from "../storage/copy.ts";

const NOBODY = -1;

/**
 * IP packets that wait until the hardware address of their next hop is known: a few for each neighbour, in a fixed number
 * of slots. The latest win (RFC 1122 2.3.2.2): a packet that comes too much takes the place of the oldest one.
 */
export class ParkedPackets {
  /** Bytes of the longest packet that can be parked. */
  readonly slotSize: number;
  readonly bytes: Uint8Array;
  size = 0;
  private readonly perOwner: number;
  private readonly owners: Int32Array;
  private readonly lengths: Int32Array;
  private readonly offloaded: Uint8Array;
  /** When each was parked, counted in packets. */
  private readonly order: Float64Array;
  private parked = 0;

  /** @param slots most packets; @param perOwner most of one neighbour; @param slotSize most bytes of a packet */
  constructor(slots: number, perOwner: number, slotSize: number) {
    this.perOwner = perOwner;
    this.slotSize = slotSize;
    this.bytes = new Uint8Array(slots * slotSize);
    this.owners = new Int32Array(slots).fill(NOBODY);
    this.lengths = new Int32Array(slots);
    this.offloaded = new Uint8Array(slots);
    this.order = new Float64Array(slots);
  }

  /**
   * Keeps a copy of the packet for `owner`; `length` is at most `slotSize`. Returns whether another one had to go for it.
   */
  park(
    owner: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    checksumOffloaded: boolean,
  ): boolean {
    const slot = this.slotFor(owner);
    const displaced = this.owners[slot] !== NOBODY;
    if (!displaced) this.size++;
    this.owners[slot] = owner;
    this.lengths[slot] = length;
    this.offloaded[slot] = checksumOffloaded ? 1 : 0;
    this.order[slot] = this.parked++;
    copyBytes(bytes, offset, this.bytes, slot * this.slotSize, length);
    return displaced;
  }

  /** The slot of `owner`'s oldest packet, or -1. */
  oldestOf(owner: number): number {
    let oldest = -1;
    for (let slot = 0; slot < this.owners.length; slot++) {
      if (this.owners[slot] !== owner) continue;
      if (oldest === -1 || this.order[slot] < this.order[oldest]) oldest = slot;
    }
    return oldest;
  }

  /** Where in `bytes` the slot's packet starts. */
  start(slot: number): number {
    return slot * this.slotSize;
  }

  /** Bytes of the slot's packet. */
  length(slot: number): number {
    return this.lengths[slot];
  }

  /** Is the device to complete the packet's TCP or UDP checksum? */
  checksumOffloaded(slot: number): boolean {
    return this.offloaded[slot] === 1;
  }

  /** Empties the slot; its bytes stay until it is used again. */
  free(slot: number): void {
    this.owners[slot] = NOBODY;
    this.size--;
  }

  /** Forgets `owner`'s packets; returns how many there were. */
  drop(owner: number): number {
    if (this.size === 0) return 0;
    let dropped = 0;
    for (let slot = 0; slot < this.owners.length; slot++) {
      if (this.owners[slot] !== owner) continue;
      this.free(slot);
      dropped++;
    }
    return dropped;
  }

  /** The owner's oldest slot where it has all it may have, else a free one, else the oldest of all. */
  private slotFor(owner: number): number {
    let free = -1;
    let oldest = 0;
    let own = 0;
    let oldestOwn = -1;
    for (let slot = 0; slot < this.owners.length; slot++) {
      if (this.owners[slot] === NOBODY) free = slot;
      if (this.order[slot] < this.order[oldest]) oldest = slot;
      if (this.owners[slot] !== owner) continue;
      own++;
      if (oldestOwn === -1 || this.order[slot] < this.order[oldestOwn]) oldestOwn = slot;
    }
    if (own >= this.perOwner) return oldestOwn;
    return free === -1 ? oldest : free;
  }
}
