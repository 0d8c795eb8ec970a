/** Reads captures: pcap and pcapng, of either byte order and any resolution of time, in a bounded piece of memory. */

import { StackError } from "../src/errors.ts";
import { type ByteSource, CaptureWindow } from "./capture-source.ts";
import {
  BYTE_ORDER_MAGIC,
  ENHANCED_PACKET,
  EPB_FLAGS,
  IF_TSRESOL,
  INTERFACE_DESCRIPTION,
  SECTION_HEADER,
} from "./pcapng.ts";

/** No program writes longer packets; a file that has one is no capture, or broken. */
const LARGEST_PACKET = 262_144;
/** Read at once, besides the packet. */
const CHUNK = 65_536;
const MAX_INTERFACES = 1_024;

const PCAP_MICROSECONDS = 0xa1b2c3d4;
const PCAP_NANOSECONDS = 0xa1b23c4d;
const OBSOLETE_PACKET = 2;
const SIMPLE_PACKET = 3;
const IF_TSOFFSET = 14;

/** The direction of a packet of which the capture doesn't tell it. */
const UNKNOWN_DIRECTION = 0;

interface Interface {
  readonly linkType: number;
  readonly snaplen: number;
  ticksPerMs: number;
  offsetMs: number;
}

/**
 * The packets of a capture, one after the other; its fields describe the one that `next` has found last.
 *
 * @throws StackError `EINVAL`, from the constructor where this is no capture, and from `next` where it is malformed
 *   or cut off; the sentence says where
 */
export class CaptureReader {
  /** What the packet's bytes are in, until the next call of `next`. */
  readonly bytes: Uint8Array;
  offset = 0;
  /** Bytes that were captured. */
  length = 0;
  /** Bytes that the packet had: more where the capture has cut it short. */
  originalLength = 0;
  /** Milliseconds since 1970, with fractions. A packet whose time was not captured has that of the one before. */
  time = 0;
  /** `LINKTYPE_RAW`, ... */
  linkType = 0;
  /** `INBOUND` or `OUTBOUND`, as seen from who captured; 0 where the capture doesn't tell. */
  direction = UNKNOWN_DIRECTION;
  /** Packets found so far. */
  packets = 0;
  private readonly name: string;
  private readonly window: CaptureWindow;
  private readonly isPcapng: boolean;
  private littleEndian = true;
  private readonly interfaces: Interface[] = [];
  /** Bytes between where the window is and the next record, or the end of the block. */
  private behind = 0;
  /** What the block states at its beginning, and again at its end; 0 where there was no block yet. */
  private blockLength = 0;

  /** `name` is what messages call the capture. */
  constructor(source: ByteSource, name: string) {
    this.name = name;
    this.window = new CaptureWindow(source, LARGEST_PACKET + CHUNK);
    this.bytes = this.window.bytes;
    try {
      if (!this.window.need(4)) throw this.problem("is empty, or ends within its first four bytes");
      this.isPcapng = this.window.view.getUint32(0, true) === SECTION_HEADER;
      if (!this.isPcapng) this.readPcapHeader();
    } catch (error) {
      this.window.close();
      throw error;
    }
  }

  /** Finds the next packet; `false` at the end of the capture. */
  next(): boolean {
    const found = this.isPcapng ? this.nextBlock() : this.nextRecord();
    if (found) this.packets++;
    return found;
  }

  close(): void {
    this.window.close();
  }

  private u16(at: number): number {
    return this.window.view.getUint16(at, this.littleEndian);
  }

  private u32(at: number): number {
    return this.window.view.getUint32(at, this.littleEndian);
  }

  private readPcapHeader(): void {
    const { window } = this;
    const magic = window.view.getUint32(0, true);
    this.littleEndian = magic === PCAP_MICROSECONDS || magic === PCAP_NANOSECONDS;
    const ordered = this.u32(0);
    if (ordered !== PCAP_MICROSECONDS && ordered !== PCAP_NANOSECONDS) {
      throw this.problem("is no capture: give a file of the pcap or pcapng format");
    }
    if (!window.need(24)) throw this.problem("ends within its header");
    this.interfaces.push({
      // The upper bits tell of frame check sequences.
      linkType: this.u32(20) & 0xffff,
      snaplen: 0,
      ticksPerMs: ordered === PCAP_NANOSECONDS ? 1e6 : 1e3,
      offsetMs: 0,
    });
    window.at += 24;
  }

  private nextRecord(): boolean {
    const { window } = this;
    window.at += this.behind;
    this.behind = 0;
    if (window.isOver) return false;
    if (!window.need(16)) throw this.cutOff();
    const { at } = window;
    const [{ linkType, ticksPerMs }] = this.interfaces;
    this.time = this.u32(at) * 1000 + this.u32(at + 4) / ticksPerMs;
    this.linkType = linkType;
    const captured = this.u32(at + 8);
    this.originalLength = this.u32(at + 12);
    window.at += 16;
    this.takePacket(captured, captured);
    return true;
  }

  /** The packet's bytes are the next ones of the `room` that the record or block has left. */
  private takePacket(captured: number, room: number): void {
    const { window } = this;
    if (captured > LARGEST_PACKET) {
      throw this.problem(`states a packet of ${captured} bytes as number ${this.packets + 1}: it is broken`);
    }
    if (!window.need(captured)) throw this.cutOff();
    this.offset = window.at;
    this.length = captured;
    this.behind = room;
  }

  private nextBlock(): boolean {
    const { window } = this;
    for (;;) {
      if (!window.skip(this.behind)) throw this.cutOff();
      this.behind = 0;
      if (this.blockLength > 0) this.endBlock();
      if (window.isOver) return false;
      if (!window.need(12)) throw this.cutOff();
      const { at } = window;
      const type = this.u32(at);
      if (type === SECTION_HEADER) this.readByteOrder(at + 8);
      const length = this.u32(at + 4);
      if (length < 12 || (length & 3) !== 0)
        throw this.problem(`has a block of ${length} bytes: it is broken`);
      window.at += 8;
      this.blockLength = length;
      // Type and length, and the length again at its end.
      const body = length - 12;
      if (type === SECTION_HEADER) this.interfaces.length = 0;
      if (type === INTERFACE_DESCRIPTION) this.readInterface(body);
      else if (this.readPacket(type, body)) return true;
      else this.behind = body;
    }
  }

  private endBlock(): void {
    const { window } = this;
    if (!window.need(4)) throw this.cutOff();
    if (this.u32(window.at) !== this.blockLength) {
      throw this.problem(`has a block behind packet ${this.packets} that states two lengths: it is broken`);
    }
    window.at += 4;
  }

  /** A section has a byte order of its own, and states it before anything else. */
  private readByteOrder(at: number): void {
    this.littleEndian = this.window.view.getUint32(at, true) === BYTE_ORDER_MAGIC;
    if (this.u32(at) !== BYTE_ORDER_MAGIC)
      throw this.problem("has a section of no known byte order: it is broken");
  }

  private readInterface(body: number): void {
    const { window } = this;
    if (body < 8 || !window.need(8)) throw this.cutOff();
    if (this.interfaces.length === MAX_INTERFACES) {
      throw this.problem(`describes more than ${MAX_INTERFACES} interfaces: it is broken`);
    }
    const described: Interface = {
      linkType: this.u16(window.at),
      snaplen: this.u32(window.at + 4),
      ticksPerMs: 1e3,
      offsetMs: 0,
    };
    window.at += 8;
    let left = body - 8;
    while (left >= 4) {
      if (!window.need(4)) throw this.cutOff();
      const code = this.u16(window.at);
      const length = this.u16(window.at + 2);
      const padded = (length + 3) & ~3;
      if (code === 0) break;
      window.at += 4;
      left -= 4;
      if (padded > left) throw this.problem("has an option that is longer than its block: it is broken");
      this.readInterfaceOption(described, code, length);
      if (!window.skip(padded)) throw this.cutOff();
      left -= padded;
    }
    this.behind = left;
    this.interfaces.push(described);
  }

  private readInterfaceOption(described: Interface, code: number, length: number): void {
    const { window } = this;
    if (code === IF_TSRESOL && length === 1 && window.need(1)) {
      // The upper bit chooses between powers of two and of ten.
      const exponent = window.bytes[window.at];
      const ticks = exponent & 0x80 ? 2 ** (exponent & 0x7f) : 10 ** exponent;
      described.ticksPerMs = ticks / 1000;
    } else if (code === IF_TSOFFSET && length === 8 && window.need(8)) {
      described.offsetMs = Number(window.view.getBigInt64(window.at, this.littleEndian)) * 1000;
    }
  }

  /** Whether the block is a packet; only then anything is taken. */
  private readPacket(type: number, body: number): boolean {
    if (type === SIMPLE_PACKET) return this.readSimplePacket(body);
    if (type !== ENHANCED_PACKET && type !== OBSOLETE_PACKET) return false;
    const { window } = this;
    if (body < 20 || !window.need(20)) throw this.cutOff();
    const { at } = window;
    const from = this.interfaceOf(type === ENHANCED_PACKET ? this.u32(at) : this.u16(at));
    this.time = (this.u32(at + 4) * 0x1_0000_0000 + this.u32(at + 8)) / from.ticksPerMs + from.offsetMs;
    this.linkType = from.linkType;
    const captured = this.u32(at + 12);
    this.originalLength = this.u32(at + 16);
    const padded = (captured + 3) & ~3;
    if (captured > body - 20) throw this.tooLong();
    window.at += 20;
    this.takePacket(captured, body - 20);
    this.direction = this.readDirection(padded, Math.max(0, body - 20 - padded));
    return true;
  }

  /** The flags are an option behind the packet; `options` bytes of them. */
  private readDirection(packet: number, options: number): number {
    const { window } = this;
    // Longer ones are comments; the flags come first with all who write them.
    const room = Math.min(options, CHUNK / 2);
    if (!window.need(packet + room)) throw this.cutOff();
    // The window may have moved what it holds.
    this.offset = window.at;
    const end = window.at + packet + room;
    for (let at = window.at + packet; at + 4 <= end; ) {
      const code = this.u16(at);
      const length = this.u16(at + 2);
      if (code === 0) break;
      if (code === EPB_FLAGS && length === 4 && at + 8 <= end) {
        const direction = this.u32(at + 4) & 3;
        return direction === 3 ? UNKNOWN_DIRECTION : direction;
      }
      at += 4 + ((length + 3) & ~3);
    }
    return UNKNOWN_DIRECTION;
  }

  /** A packet of the first interface, without a time or a captured length of its own. */
  private readSimplePacket(body: number): boolean {
    const { window } = this;
    if (body < 4 || !window.need(4)) throw this.cutOff();
    const from = this.interfaceOf(0);
    this.originalLength = this.u32(window.at);
    this.linkType = from.linkType;
    this.direction = UNKNOWN_DIRECTION;
    const limit = from.snaplen === 0 ? this.originalLength : Math.min(this.originalLength, from.snaplen);
    if (limit > body - 4) throw this.tooLong();
    window.at += 4;
    this.takePacket(limit, body - 4);
    return true;
  }

  private interfaceOf(index: number): Interface {
    const found = this.interfaces[index];
    if (found === undefined) {
      throw this.problem(`has a packet of interface ${index}, which it does not describe: it is broken`);
    }
    return found;
  }

  private cutOff(): StackError {
    return this.problem(`is cut off behind packet ${this.packets}`);
  }

  private tooLong(): StackError {
    return this.problem(
      `has a packet that is longer than its block, as number ${this.packets + 1}: it is broken`,
    );
  }

  private problem(what: string): StackError {
    return new StackError("EINVAL", `The capture ${this.name} ${what}.`);
  }
}
