/** Where one packet ends and the next begins in a stream of bytes. */

import { type ErrorCode, StackError } from "../src/errors.ts";
import { read16, read32, write16, write32 } from "../src/wire/bytes.ts";
import { copyBytes } from "./copy.ts";

/**
 * How packets lie in a stream:
 *
 * - `"packet"`: each chunk of the stream is one packet
 * - `"ip"`: one behind the other; the IP header says how long each is
 * - `"length16"`: each behind its length in two bytes, big endian
 * - `"length32"`: each behind its length in four bytes, big endian, as QEMU's stream sockets have it
 */
export type Framing = "packet" | "ip" | "length16" | "length32";

export const FRAMINGS: readonly Framing[] = ["packet", "ip", "length16", "length32"];

/** Bytes in front of each packet. */
export function prefixLength(framing: Framing): number {
  if (framing === "length16") return 2;
  return framing === "length32" ? 4 : 0;
}

/** Writes what goes in front of a packet of `length` bytes; returns how many bytes that is. */
export function writePrefix(framing: Framing, bytes: Uint8Array, offset: number, length: number): number {
  if (framing === "length16") write16(bytes, offset, length);
  else if (framing === "length32") write32(bytes, offset, length);
  return prefixLength(framing);
}

/** Takes a packet; `false` when there is no room for it now. */
export type Take = (bytes: Uint8Array, offset: number, length: number) => boolean;

/** As many bytes of an IPv4 or IPv6 header as it takes to know the packet's length. */
const ENOUGH_OF_IP = 6;
const IPV4_HEADER = 20;
const IPV6_HEADER = 40;

/**
 * Finds the packets in chunks of any size. What of a packet has arrived is kept until the rest has, in memory that is as
 * large as the largest packet and no larger.
 */
export class Deframer {
  /** Packets of no bytes, which are skipped. */
  empty = 0;
  /** The last call of `feed` stopped because a packet was not taken. */
  stalled = false;
  private readonly framing: Framing;
  private readonly largest: number;
  private readonly take: Take;
  private readonly prefix: number;
  /** Bytes that tell a packet's length. */
  private readonly enough: number;
  private readonly partial: Uint8Array;
  private filled = 0;

  /** @param largest bytes of a packet, without what is in front of it */
  constructor(framing: Framing, largest: number, take: Take) {
    this.framing = framing;
    this.largest = largest;
    this.take = take;
    this.prefix = prefixLength(framing);
    this.enough = framing === "ip" ? ENOUGH_OF_IP : this.prefix;
    this.partial = new Uint8Array(framing === "packet" ? 0 : this.prefix + largest);
  }

  /**
   * Hands over the packets in `chunk` from `at` on. Returns where it stopped: where it `stalled`, that is the place to go on
   * from later, else it is the chunk's end.
   *
   * @throws StackError where this cannot be the start of a packet, after which nothing that follows makes sense: EMSGSIZE
   *   for one that is too large, EINVAL for what is no IP header
   */
  feed(chunk: Uint8Array, at: number): number {
    this.stalled = false;
    if (this.framing === "packet") return this.hand(chunk, at, chunk.length - at) ? chunk.length : at;
    let next = at;
    for (;;) {
      if (this.filled > 0) {
        next = this.fill(chunk, next);
        if (this.filled > 0) return next;
      }
      const left = chunk.length - next;
      if (left < this.enough) return this.keep(chunk, next, left);
      const size = this.measure(chunk, next);
      if (left < size) return this.keep(chunk, next, left);
      if (!this.hand(chunk, next, size)) return next;
      next += size;
    }
  }

  /** Completes the packet that has begun and hands it over; `filled` is 0 when that is done. */
  private fill(chunk: Uint8Array, at: number): number {
    let next = at;
    if (this.filled < this.enough) {
      next += this.append(chunk, next, this.enough);
      if (this.filled < this.enough) return next;
    }
    const size = this.measure(this.partial, 0);
    next += this.append(chunk, next, size);
    if (this.filled === size && this.hand(this.partial, 0, size)) this.filled = 0;
    return next;
  }

  /** Appends from `chunk` until `target` bytes are there; returns how many that took. */
  private append(chunk: Uint8Array, at: number, target: number): number {
    const count = Math.min(target - this.filled, chunk.length - at);
    copyBytes(chunk, at, this.partial, this.filled, count);
    this.filled += count;
    return count;
  }

  private keep(chunk: Uint8Array, at: number, count: number): number {
    copyBytes(chunk, at, this.partial, 0, count);
    this.filled = count;
    return at + count;
  }

  private hand(bytes: Uint8Array, offset: number, size: number): boolean {
    if (size === this.prefix) {
      this.empty++;
      return true;
    }
    this.stalled = !this.take(bytes, offset + this.prefix, size - this.prefix);
    return !this.stalled;
  }

  /** Bytes of the packet that starts here, with what is in front of it. */
  private measure(bytes: Uint8Array, offset: number): number {
    let length: number;
    if (this.framing === "length16") length = read16(bytes, offset);
    else if (this.framing === "length32") length = read32(bytes, offset) >>> 0;
    else length = ipLength(bytes, offset);
    if (length <= this.largest) return this.prefix + length;
    throw wrong("EMSGSIZE", `a packet of ${length} bytes is announced, and at most ${this.largest} may come`);
  }
}

function ipLength(bytes: Uint8Array, offset: number): number {
  const version = bytes[offset] >> 4;
  if (version === 6) return IPV6_HEADER + read16(bytes, offset + 4);
  const length = read16(bytes, offset + 2);
  if (version === 4 && length >= IPV4_HEADER) return length;
  throw wrong("EINVAL", `where an IP header should be there is 0x${bytes[offset].toString(16)}`);
}

function wrong(code: ErrorCode, what: string): StackError {
  return new StackError(
    code,
    `${what}: check that both ends use the same framing and MTU, and open the stream anew`,
  );
}
