import { OK } from "../../src/errors.ts";
import { read32, write32 } from "../../src/wire/bytes.ts";
import {
  checkIpv4,
  IPV4_HEADER_LENGTH,
  ipv4HeaderLength,
  ipv4Protocol,
  ipv4TotalLength,
  PROTOCOL_TCP,
  readIpv4Destination,
  readIpv4Source,
} from "../../src/wire/ipv4.ts";
import { formatPacket } from "../../src/wire/print.ts";
import {
  ACK,
  CWR,
  ECE,
  FIN,
  PSH,
  parseTcp,
  RST,
  SYN,
  TcpSegment,
  URG,
  verifyTcp,
} from "../../src/wire/tcp.ts";

/** Segments as tests write them down: flags in tcpdump's letters, sequence numbers that count from the two ISNs. */

const LETTERS: readonly (readonly [string, number])[] = [
  ["S", SYN],
  ["F", FIN],
  ["R", RST],
  ["P", PSH],
  ["U", URG],
  ["E", ECE],
  ["W", CWR],
  [".", ACK],
];

/** What may be said about a segment in either direction. */
export interface SegmentSpec {
  /** tcpdump's letters: S F R P U E W, and a dot for ACK. */
  readonly flags?: string;
  /** Relative: the SYN is 0, the first byte 1. */
  readonly seq?: number;
  /** Relative, likewise. */
  readonly ack?: number;
  /** The window field, unscaled. */
  readonly win?: number;
  /** Bytes of text, with the contents that belong at this place of the stream. */
  readonly length?: number;
  /** Text with these contents. */
  readonly data?: string;
}

/** A segment that the peer sends. What is left out: in sequence, acknowledging everything, no text, flags ".". */
export interface Arriving extends SegmentSpec {
  readonly mss?: number;
  readonly wscale?: number;
  /** TSval and TSecr, or no such option; what a peer with timestamps has, unless told. */
  readonly ts?: readonly [number, number] | null;
  readonly sackPermitted?: boolean;
  /** SACK blocks, relative. */
  readonly sack?: readonly (readonly [number, number])[];
  readonly urgent?: number;
  readonly tos?: number;
  readonly badChecksum?: boolean;
}

/**
 * A segment that the stack is to send. `seq` left out means SND.NXT, `flags` means "." (or "P." where there is text),
 * `length` and `data` mean no text; other fields are not looked at.
 */
export interface Expected extends SegmentSpec {
  /** When, in ms since the scenario began. */
  readonly at?: number;
  /** When, in ms from now on. */
  readonly after?: number;
  /** The field as it stands in the header: for resets that answer nothing known. */
  readonly rawSeq?: number;
  /** `null`: no such option. */
  readonly mss?: number | null;
  readonly wscale?: number | null;
  readonly sackPermitted?: boolean;
  /** SACK blocks, relative, in their order. */
  readonly sack?: readonly (readonly [number, number])[];
  /** TSval, in ms since the host was made, and TSecr. */
  readonly ts?: readonly [number, number] | null;
  /** The two ECN bits of the IP header. */
  readonly ecn?: number;
  /** What the device is to cut it into, 0 where it is not to. */
  readonly cutInto?: number;
}

/** A segment that the stack has sent. */
export interface Emitted {
  /** When, in ms of the stack's time. */
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly seg: TcpSegment;
  readonly text: Uint8Array;
  /** What the device is to cut it into, or 0. */
  readonly segmentSize: number;
}

export function parseFlags(letters: string): number {
  let flags = 0;
  for (const letter of letters) {
    const entry = LETTERS.find(([name]) => name === letter);
    if (entry === undefined) throw new Error(`no such flag: ${letter}`);
    flags |= entry[1];
  }
  return flags;
}

export function formatFlags(flags: number): string {
  return LETTERS.filter(([, bit]) => flags & bit)
    .map(([letter]) => letter)
    .join("");
}

/** Decodes a frame of the stack; fails where anything but the text could be wrong with it. */
export function decode(bytes: Uint8Array, at: number, segmentSize = 0): Emitted {
  if (checkIpv4(bytes, 0, bytes.length) !== OK || ipv4TotalLength(bytes, 0) !== bytes.length) {
    throw new Error(`not an IPv4 packet: ${formatPacket(bytes, 0, bytes.length)}`);
  }
  const seg = new TcpSegment();
  readIpv4Source(bytes, 0, seg.source);
  readIpv4Destination(bytes, 0, seg.destination);
  const offset = ipv4HeaderLength(bytes, 0);
  const length = bytes.length - offset;
  if (ipv4Protocol(bytes, 0) !== PROTOCOL_TCP || parseTcp(bytes, offset, length, seg) !== OK) {
    throw new Error(`not a TCP segment: ${formatPacket(bytes, 0, bytes.length)}`);
  }
  if (!verifyTcp(bytes, offset, length, seg.source, seg.destination)) {
    throw new Error(`bad checksum: ${formatPacket(bytes, 0, bytes.length)}`);
  }
  return { at, bytes, seg, text: bytes.subarray(seg.payloadOffset), segmentSize };
}

/** A packet in tcpdump's words, with `seqBase` and `ackBase` taken off its sequence numbers. */
export function formatRelative(packet: Uint8Array, seqBase: number, ackBase: number): string {
  const bytes = packet.slice();
  const at = IPV4_HEADER_LENGTH;
  write32(bytes, at + 4, read32(bytes, at + 4) - seqBase);
  if (bytes[at + 13] & ACK) write32(bytes, at + 8, read32(bytes, at + 8) - ackBase);
  return formatPacket(bytes, 0, bytes.length).replace(/^IP .*?: /, "");
}

/** What `expected` says, in tcpdump's words as far as it says anything. */
export function formatExpected(expected: Expected): string {
  const parts = [`Flags [${expected.flags ?? (lengthOf(expected) > 0 ? ". or P." : ".")}]`];
  parts.push(
    expected.rawSeq === undefined ? `seq ${expected.seq ?? "SND.NXT"}` : `raw seq ${expected.rawSeq}`,
  );
  if (expected.ack !== undefined) parts.push(`ack ${expected.ack}`);
  if (expected.win !== undefined) parts.push(`win ${expected.win}`);
  if (expected.mss !== undefined) parts.push(`mss ${expected.mss}`);
  if (expected.wscale !== undefined) parts.push(`wscale ${expected.wscale}`);
  if (expected.sack !== undefined) parts.push(`sack ${JSON.stringify(expected.sack)}`);
  if (expected.ts !== undefined) parts.push(`ts ${expected.ts?.join(" ") ?? "none"}`);
  if (expected.ecn !== undefined) parts.push(`ECN ${expected.ecn}`);
  parts.push(`length ${lengthOf(expected)}`);
  return parts.join(", ");
}

export function lengthOf(spec: SegmentSpec): number {
  return spec.data?.length ?? spec.length ?? 0;
}

/** Byte number `i` of what our side writes, and of what the peer sends: different, and aperiodic over a page. */
export function ourByte(i: number): number {
  return (i * 7 + (i >> 8) * 13 + 1) & 0xff;
}

export function theirByte(i: number): number {
  return (i * 11 + (i >> 8) * 29 + 128) & 0xff;
}

export function bytesFrom(byteAt: (i: number) => number, start: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let i = 0; i < count; i++) bytes[i] = byteAt(start + i);
  return bytes;
}
