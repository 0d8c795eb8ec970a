/** Ways to spoil a frame, each at one place, all in a piece of memory of fixed size. */

import { Frame, type Medium } from "../src/device.ts";
import { type Random, randomBelow } from "../src/random.ts";
import { read16, read32, write16, write32 } from "../src/wire/bytes.ts";
import { checksum } from "../src/wire/checksum.ts";
import {
  IPV4_HEADER_LENGTH,
  ipv4HeaderLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../src/wire/ipv4.ts";
import { completeChecksum, findIp, findTransport, TransportPlace } from "../src/wire/offload.ts";
import { TCP_HEADER_LENGTH } from "../src/wire/tcp.ts";

/**
 * - `bits`: up to eight bits are flipped.
 * - `field`: a word of a header gets a value at the edge of what it can hold, or next to the one it has.
 * - `length`: a field that states a length lies: IP's, TCP's, UDP's, ARP's.
 * - `options`: TCP or IP options of random kinds and lengths.
 * - `truncate`, `extend`: the frame ends early, or goes on with anything.
 * - `splice`: a part of it comes from an earlier frame.
 * - `repeat`: an earlier frame comes in its place.
 */
export const MUTATIONS = [
  "bits",
  "field",
  "length",
  "options",
  "truncate",
  "extend",
  "splice",
  "repeat",
] as const;
export type Mutation = (typeof MUTATIONS)[number];

/** Earlier frames that parts are taken from, and how much of each is kept. */
const REMEMBERED = 16;
const REMEMBERED_BYTES = 2_048;
/** Where headers are, as far as any are changed. */
const HEADERS = 80;
const EDGES_8 = [0, 1, 0x7f, 0x80, 0xfe, 0xff] as const;
const EDGES_16 = [0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff] as const;
const EDGES_32 = [0, 1, 0x7fffffff, -0x80000000, -2, -1] as const;
/** Options that mean something to a TCP: end, nop, MSS, window scale, SACK permitted, SACK, timestamps. */
const OPTION_KINDS = [0, 1, 2, 3, 4, 5, 8] as const;

export class Mutator {
  /** The frame that is being spoiled. */
  readonly frame: Frame;
  private readonly random: Random;
  private readonly medium: Medium;
  private readonly capacity: number;
  private readonly memory: Uint8Array;
  private readonly lengths = new Int32Array(REMEMBERED);
  private remembered = 0;
  private readonly place = new TransportPlace();

  /** `capacity` is the length of the largest frame. */
  constructor(random: Random, medium: Medium, capacity: number) {
    this.random = random;
    this.medium = medium;
    this.capacity = capacity;
    this.frame = new Frame(new Uint8Array(new ArrayBuffer(capacity + 8)));
    this.memory = new Uint8Array(new ArrayBuffer(REMEMBERED * REMEMBERED_BYTES));
  }

  /** Takes a copy of `from`, with its checksum complete, to be spoiled; `false` where it is larger than any. */
  copy(from: Frame): boolean {
    const { frame } = this;
    if (from.length > this.capacity) return false;
    frame.offset = from.offset & 3;
    frame.length = from.length;
    frame.bytes.set(from.bytes.subarray(from.offset, from.offset + from.length), frame.offset);
    frame.segmentSize = from.segmentSize;
    frame.checksumOffloaded = false;
    if (from.checksumOffloaded) completeChecksum(frame.bytes, frame.offset, frame.length, this.medium);
    return true;
  }

  /** Keeps the copy as an earlier frame. */
  remember(): void {
    const { bytes, offset, length } = this.frame;
    const slot = this.remembered++ % REMEMBERED;
    const kept = Math.min(length, REMEMBERED_BYTES);
    this.memory.set(bytes.subarray(offset, offset + kept), slot * REMEMBERED_BYTES);
    this.lengths[slot] = kept;
  }

  apply(mutation: Mutation): void {
    const { frame } = this;
    if (mutation === "bits") this.flipBits();
    else if (mutation === "field") this.setField();
    else if (mutation === "length") this.lieAboutLength();
    else if (mutation === "options") this.makeOptions();
    else if (mutation === "truncate") frame.length = this.below(frame.length + 1);
    else if (mutation === "extend") this.extend();
    else if (mutation === "splice") this.splice();
    else this.repeat();
  }

  /** Makes the checksums right for what the frame holds now, as far as its headers tell where they are. */
  fixChecksums(): void {
    const { bytes, offset, length } = this.frame;
    const at = findIp(bytes, offset, length, this.medium === "ethernet");
    if (at < 0) return;
    const rest = offset + length - at;
    if (bytes[at] >>> 4 === 4 && rest >= IPV4_HEADER_LENGTH) {
      // Half of those that end early or late say so: the other half is dropped at the door.
      if ((this.random.next() & 1) === 0) write16(bytes, at + 2, rest);
      const headerLength = ipv4HeaderLength(bytes, at);
      if (headerLength <= rest) {
        write16(bytes, at + 10, 0);
        write16(bytes, at + 10, checksum(bytes, at, headerLength));
      }
    }
    if (completeChecksum(bytes, offset, length, this.medium)) return;
    const { place } = this;
    if (!findTransport(bytes, offset, length, this.medium, place)) return;
    if (place.protocol !== PROTOCOL_ICMP || place.length < 4) return;
    write16(bytes, place.offset + 2, 0);
    write16(bytes, place.offset + 2, checksum(bytes, place.offset, place.length));
  }

  private below(bound: number): number {
    return randomBelow(this.random, bound);
  }

  private pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)];
  }

  /** A place in the headers, seldom in the link's, or anywhere; -1 where there are not `size` bytes. */
  private anywhere(size: number): number {
    const { bytes, offset, length } = this.frame;
    let from = offset;
    if (this.below(8) > 0) from = Math.max(from, findIp(bytes, offset, length, this.medium === "ethernet"));
    const room = offset + length - from;
    const span = this.below(4) > 0 ? Math.min(room, HEADERS) : room;
    return span < size ? -1 : from + this.below(span - size + 1);
  }

  private flipBits(): void {
    const { bytes } = this.frame;
    for (let count = 1 + this.below(8); count > 0; count--) {
      const at = this.anywhere(1);
      if (at >= 0) bytes[at] ^= 1 << this.below(8);
    }
  }

  private setField(): void {
    const { bytes } = this.frame;
    const size = this.pick([1, 2, 4]);
    const found = this.anywhere(size);
    if (found < 0) return;
    // Fields lie on multiples of their size in the headers that follow the link's.
    const aligned = found & ~(size - 1);
    const at = aligned < this.frame.offset ? found : aligned;
    const nudge = this.below(4) === 0 ? this.below(5) - 2 : 0;
    if (size === 1) bytes[at] = nudge !== 0 ? bytes[at] + nudge : this.pick(EDGES_8);
    else if (size === 2) write16(bytes, at, nudge !== 0 ? read16(bytes, at) + nudge : this.pick(EDGES_16));
    else write32(bytes, at, nudge !== 0 ? read32(bytes, at) + nudge : this.pick(EDGES_32));
  }

  private lieAboutLength(): void {
    const { bytes, offset, length } = this.frame;
    const { place } = this;
    if (!findTransport(bytes, offset, length, this.medium, place)) {
      // ARP's lengths of addresses, where an Ethernet header of 14 bytes precedes it.
      if (this.medium === "ethernet" && length >= 20) bytes[offset + 18 + this.below(2)] = this.pick(EDGES_8);
      return;
    }
    const { ipOffset, version, protocol, offset: transport } = place;
    const inTransport = this.below(2) === 0;
    if (inTransport && protocol === PROTOCOL_TCP && place.length >= TCP_HEADER_LENGTH) {
      bytes[transport + 12] = (this.below(16) << 4) | (bytes[transport + 12] & 15);
    } else if (inTransport && protocol === PROTOCOL_UDP && place.length >= 8) {
      write16(bytes, transport + 4, this.lie(read16(bytes, transport + 4)));
    } else if (version === 4 && this.below(3) === 0) {
      bytes[ipOffset] = 0x40 | this.below(16);
    } else {
      const field = ipOffset + (version === 4 ? 2 : 4);
      write16(bytes, field, this.lie(read16(bytes, field)));
    }
  }

  private lie(truth: number): number {
    const kind = this.below(3);
    if (kind === 0) return truth + this.below(17) - 8;
    return kind === 1 ? this.pick(EDGES_16) : this.below(truth + 1);
  }

  /** Options over what there is: behind TCP's header or IPv4's, whose length then includes them. */
  private makeOptions(): void {
    const { bytes, offset, length } = this.frame;
    const { place } = this;
    if (!findTransport(bytes, offset, length, this.medium, place)) return;
    const ofTcp = place.protocol === PROTOCOL_TCP && this.below(4) > 0;
    if (!ofTcp && place.version !== 4) return;
    const header = ofTcp ? place.offset : place.ipOffset;
    const room = Math.min(40, place.ipEnd - header - 20) & ~3;
    if (room < 4) return;
    const size = 4 * (1 + this.below(room / 4));
    const words = (20 + size) / 4;
    if (ofTcp) bytes[header + 12] = (words << 4) | (bytes[header + 12] & 15);
    else bytes[header] = 0x40 | words;
    const end = header + 20 + size;
    for (let at = header + 20; at < end; ) {
      bytes[at] = this.below(4) > 0 ? this.pick(OPTION_KINDS) : this.below(256);
      const stated = this.below(4) > 0 ? this.pick([2, 3, 4, 6, 10, 18, 26, 34]) : this.below(256);
      if (at + 1 < end) bytes[at + 1] = stated;
      for (let i = at + 2; i < Math.min(end, at + stated); i++) bytes[i] = this.random.next();
      at += bytes[at] <= 1 ? 1 : Math.max(1, stated);
    }
  }

  private extend(): void {
    const { frame } = this;
    const more = this.below(Math.min(this.capacity - frame.length, 256) + 1);
    const end = frame.offset + frame.length;
    for (let i = end; i < end + more; i++) frame.bytes[i] = this.random.next();
    frame.length += more;
  }

  /** The same stretch of bytes, from an earlier frame. */
  private splice(): void {
    const slot = this.earlier();
    if (slot < 0) return;
    const { frame } = this;
    const span = Math.min(frame.length, this.lengths[slot]);
    const from = this.below(span + 1);
    const count = this.below(span - from + 1);
    const start = slot * REMEMBERED_BYTES + from;
    frame.bytes.set(this.memory.subarray(start, start + count), frame.offset + from);
  }

  private repeat(): void {
    const slot = this.earlier();
    if (slot < 0) return;
    const { frame } = this;
    const start = slot * REMEMBERED_BYTES;
    frame.length = Math.min(this.lengths[slot], this.capacity);
    frame.bytes.set(this.memory.subarray(start, start + frame.length), frame.offset);
  }

  private earlier(): number {
    return this.remembered === 0 ? -1 : this.below(Math.min(this.remembered, REMEMBERED));
  }
}
