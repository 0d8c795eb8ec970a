/** The TCP header and its options: RFC 9293 section 3.1, RFC 7323 (window scale, timestamps), RFC 2018 (SACK). */

import { BAD_HEADER_LENGTH, OK, TRUNCATED, type WireCode } from "../errors.ts";
import { read16, read32, write16, write32 } from "./bytes.ts";
import { checksum, fold, pseudoHeaderSum } from "./checksum.ts";
import { IpAddress } from "./ip-address.ts";
import { PROTOCOL_TCP } from "./ipv4.ts";

// Flags, as they stand in the header's byte 13.
export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;
export const URG = 32;
export const ECE = 64;
export const CWR = 128;

/** Bytes of a header without options. */
export const TCP_HEADER_LENGTH = 20;

/** Bytes of a timestamp option with its padding. */
export const TIMESTAMPS_LENGTH = 12;

/** The data offset field counts to 15 words of four bytes, so options have at most this many bytes. */
export const MAX_OPTIONS_LENGTH = 40;

/** The SACK blocks that a header has room for (RFC 2018 3). */
export const MOST_SACK_BLOCKS = 4;

/** The largest shift of a window (RFC 7323 section 2.3). */
const MAX_WINDOW_SCALE = 14;

// Option kinds (RFC 9293 section 3.2, RFC 7323, RFC 2018).
const KIND_END = 0;
const KIND_NOP = 1;
const KIND_MSS = 2;
const KIND_WINDOW_SCALE = 3;
const KIND_SACK_PERMITTED = 4;
const KIND_SACK = 5;
const KIND_TIMESTAMP = 8;

const NOP_NOP_TIMESTAMP = (KIND_NOP << 24) | (KIND_NOP << 16) | (KIND_TIMESTAMP << 8) | 10;

/** One TCP segment's fields, reused. Sequence numbers are signed 32-bit ints. */
export class TcpSegment {
  /** Filled in by the IP layer; `parseTcp` and `writeTcp` leave it alone. */
  source = new IpAddress(4, 0, 0, 0xffff, 0);
  /** Filled in by the IP layer; `parseTcp` and `writeTcp` leave it alone. */
  destination = new IpAddress(4, 0, 0, 0xffff, 0);
  sourcePort = 0;
  destinationPort = 0;
  seq = 0;
  ack = 0;
  /** `FIN | SYN | ...` */
  flags = 0;
  /** As it stands in the header, unscaled. */
  window = 0;
  urgent = 0;
  /** Header and options in bytes: 20 to 60. */
  headerLength = 0;
  /** Index of the payload in the bytes parsed. */
  payloadOffset = 0;
  /** Payload in bytes. */
  payloadLength = 0;
  /** The packet's two ECN bits (RFC 3168 5); filled in by the IP layer, and written by it. */
  ecn = 0;
  /** The other six bits of that byte, where they stand in it; and hops, 0 for the usual 64. Written by the IP layer. */
  dscp = 0;
  ttl = 0;
  /**
   * Of a super-segment, one that a device joined from several or is to cut into several: the payload bytes of each, the
   * last one's may be fewer. Else 0. A matter of the device's: `parseTcp` and `writeTcp` leave it alone.
   */
  segmentSize = 0;
  /** Maximum segment size in bytes; 0: no such option. */
  mss = 0;
  /** Shift of 0 to 14; -1: no such option. */
  windowScale = -1;
  sackPermitted = false;
  /** Whether `tsVal` and `tsEcr` hold a timestamp option. */
  hasTimestamp = false;
  tsVal = 0;
  tsEcr = 0;
  /** How many SACK blocks, 0 to 4. */
  sackCount = 0;
  /** The blocks: block `i` starts at sequence number `[2 * i]` and ends before `[2 * i + 1]`. */
  readonly sackEdges = new Int32Array(2 * MOST_SACK_BLOCKS);
}

/** Makes `segment` one without options. */
export function resetTcpOptions(segment: TcpSegment): void {
  segment.mss = 0;
  segment.windowScale = -1;
  segment.sackPermitted = false;
  segment.hasTimestamp = false;
  segment.tsVal = 0;
  segment.tsEcr = 0;
  segment.sackCount = 0;
}

/**
 * Decodes the segment in `bytes[offset .. offset + length)` into `segment`, whose addresses are left alone. The
 * checksum is a matter of `verifyTcp`.
 *
 * - `TRUNCATED`: fewer than 20 bytes, or fewer than the header length. `segment` is then not touched.
 * - `BAD_HEADER_LENGTH`: a header length below 20. `segment` is then not touched.
 *
 * Malformed options never make a segment invalid (RFC 9293 section 3.1, MUST-7): a known option of the wrong size is
 * ignored, and one with a length below 2 or past the header's end is the last that is looked at. Unknown ones are
 * skipped. Options are decoded whatever the flags are; MSS, window scale and SACK-permitted count on a SYN only.
 *
 * @example
 * ```ts
 * const segment = new TcpSegment(); // one for all packets
 * const code = parseTcp(bytes, offset, length, segment);
 * if (code === OK && (segment.flags & SYN) !== 0) console.log(segment.mss);
 * ```
 */
export function parseTcp(bytes: Uint8Array, offset: number, length: number, segment: TcpSegment): WireCode {
  if (length < TCP_HEADER_LENGTH) return TRUNCATED;
  const headerLength = (bytes[offset + 12] >>> 4) << 2;
  if (headerLength < TCP_HEADER_LENGTH) return BAD_HEADER_LENGTH;
  if (headerLength > length) return TRUNCATED;
  segment.sourcePort = read16(bytes, offset);
  segment.destinationPort = read16(bytes, offset + 2);
  segment.seq = read32(bytes, offset + 4);
  segment.ack = read32(bytes, offset + 8);
  segment.flags = bytes[offset + 13];
  segment.window = read16(bytes, offset + 14);
  segment.urgent = read16(bytes, offset + 18);
  segment.headerLength = headerLength;
  segment.payloadOffset = offset + headerLength;
  segment.payloadLength = length - headerLength;
  resetTcpOptions(segment);
  if (headerLength === TCP_HEADER_LENGTH) return OK;
  // RFC 7323 appendix A recommends this layout, so nearly all segments with options have it.
  if (headerLength === 32 && read32(bytes, offset + 20) === NOP_NOP_TIMESTAMP) {
    segment.hasTimestamp = true;
    segment.tsVal = read32(bytes, offset + 24);
    segment.tsEcr = read32(bytes, offset + 28);
    return OK;
  }
  parseOptions(bytes, offset + TCP_HEADER_LENGTH, offset + headerLength, segment);
  return OK;
}

function parseOptions(bytes: Uint8Array, at: number, end: number, segment: TcpSegment): void {
  while (at < end) {
    const kind = bytes[at];
    if (kind === KIND_END) return;
    if (kind === KIND_NOP) {
      at++;
      continue;
    }
    if (at + 1 >= end) return;
    const size = bytes[at + 1];
    if (size < 2 || at + size > end) return;
    if (kind === KIND_MSS) {
      if (size === 4) segment.mss = read16(bytes, at + 2);
    } else if (kind === KIND_WINDOW_SCALE) {
      // RFC 7323 2.3: a larger shift counts as 14.
      if (size === 3) segment.windowScale = Math.min(bytes[at + 2], MAX_WINDOW_SCALE);
    } else if (kind === KIND_SACK_PERMITTED) {
      if (size === 2) segment.sackPermitted = true;
    } else if (kind === KIND_SACK) {
      // Eight bytes a block, and no more blocks than the header has room for.
      if (size >= 10 && (size & 7) === 2) {
        const count = size >>> 3;
        segment.sackCount = count;
        for (let i = 0; i < count * 2; i++) segment.sackEdges[i] = read32(bytes, at + 2 + i * 4);
      }
    } else if (kind === KIND_TIMESTAMP) {
      if (size === 10) {
        segment.hasTimestamp = true;
        segment.tsVal = read32(bytes, at + 2);
        segment.tsEcr = read32(bytes, at + 6);
      }
    }
    at += size;
  }
}

/**
 * Bytes that `writeTcp` uses for the options of `segment`: a multiple of 4, at most 40. SACK blocks that don't fit
 * are not counted: a timestamp leaves room for three, alone there can be four.
 */
export function tcpOptionsLength(segment: TcpSegment): number {
  const length = otherOptionsLength(segment);
  const blocks = sackBlocksThatFit(segment, length);
  return blocks > 0 ? length + 4 + blocks * 8 : length;
}

function otherOptionsLength(segment: TcpSegment): number {
  let length = segment.mss > 0 ? 4 : 0;
  if (segment.hasTimestamp) length += 12;
  else if (segment.sackPermitted) length += 4;
  if (segment.windowScale >= 0) length += 4;
  return length;
}

function sackBlocksThatFit(segment: TcpSegment, otherLength: number): number {
  const room = (MAX_OPTIONS_LENGTH - otherLength - 4) >> 3;
  return Math.min(segment.sackCount, room);
}

/**
 * Writes header and options of `segment` with a checksum of 0, and returns their length in bytes; the payload goes
 * behind them, and then `finishTcpChecksum` fills in the checksum. `headerLength` and the payload fields of `segment`
 * play no part.
 *
 * The options are laid out as Linux does it: MSS, SACK-permitted with timestamp, window scale, SACK, each on a
 * multiple of four bytes with the padding in front.
 *
 * @example
 * ```ts
 * const headerLength = writeTcp(bytes, offset, segment);
 * bytes.set(payload, offset + headerLength);
 * finishTcpChecksum(bytes, offset, headerLength + payload.length, source, destination, true);
 * ```
 */
export function writeTcp(bytes: Uint8Array, offset: number, segment: TcpSegment): number {
  write16(bytes, offset, segment.sourcePort);
  write16(bytes, offset + 2, segment.destinationPort);
  write32(bytes, offset + 4, segment.seq);
  write32(bytes, offset + 8, segment.ack);
  bytes[offset + 13] = segment.flags;
  write16(bytes, offset + 14, segment.window);
  write16(bytes, offset + 16, 0);
  write16(bytes, offset + 18, segment.urgent);

  let at = offset + TCP_HEADER_LENGTH;
  if (segment.mss > 0) {
    bytes[at] = KIND_MSS;
    bytes[at + 1] = 4;
    write16(bytes, at + 2, segment.mss);
    at += 4;
  }
  if (segment.hasTimestamp) {
    // SACK-permitted takes the place of the two padding bytes.
    bytes[at] = segment.sackPermitted ? KIND_SACK_PERMITTED : KIND_NOP;
    bytes[at + 1] = segment.sackPermitted ? 2 : KIND_NOP;
    bytes[at + 2] = KIND_TIMESTAMP;
    bytes[at + 3] = 10;
    write32(bytes, at + 4, segment.tsVal);
    write32(bytes, at + 8, segment.tsEcr);
    at += 12;
  } else if (segment.sackPermitted) {
    bytes[at] = KIND_NOP;
    bytes[at + 1] = KIND_NOP;
    bytes[at + 2] = KIND_SACK_PERMITTED;
    bytes[at + 3] = 2;
    at += 4;
  }
  if (segment.windowScale >= 0) {
    bytes[at] = KIND_NOP;
    bytes[at + 1] = KIND_WINDOW_SCALE;
    bytes[at + 2] = 3;
    bytes[at + 3] = segment.windowScale;
    at += 4;
  }
  const blocks = sackBlocksThatFit(segment, at - offset - TCP_HEADER_LENGTH);
  if (blocks > 0) {
    bytes[at] = KIND_NOP;
    bytes[at + 1] = KIND_NOP;
    bytes[at + 2] = KIND_SACK;
    bytes[at + 3] = 2 + blocks * 8;
    at += 4;
    for (let i = 0; i < blocks * 2; i++, at += 4) write32(bytes, at, segment.sackEdges[i]);
  }
  const headerLength = at - offset;
  bytes[offset + 12] = headerLength << 2;
  return headerLength;
}

/** Whether the checksum of the segment in `bytes[offset .. offset + length)` is right (RFC 9293 section 3.1). */
export function verifyTcp(
  bytes: Uint8Array,
  offset: number,
  length: number,
  source: IpAddress,
  destination: IpAddress,
): boolean {
  return checksum(bytes, offset, length, pseudoHeaderSum(source, destination, PROTOCOL_TCP, length)) === 0;
}

/**
 * Fills in the checksum of a segment that is complete otherwise. `length` counts header and payload in bytes.
 *
 * With `compute` false the field gets the folded sum of the pseudo-header, uncomplemented: what a device with
 * checksum offload expects to find there.
 */
export function finishTcpChecksum(
  bytes: Uint8Array,
  offset: number,
  length: number,
  source: IpAddress,
  destination: IpAddress,
  compute: boolean,
): void {
  const pseudoHeader = pseudoHeaderSum(source, destination, PROTOCOL_TCP, length);
  write16(bytes, offset + 16, 0);
  write16(bytes, offset + 16, compute ? checksum(bytes, offset, length, pseudoHeader) : fold(pseudoHeader));
}

/** How many sequence numbers the segment takes: its payload, one for SYN, one for FIN (RFC 9293 section 3.4). */
export function tcpSequenceLength(segment: TcpSegment): number {
  return segment.payloadLength + ((segment.flags & SYN) >>> 1) + (segment.flags & FIN);
}
