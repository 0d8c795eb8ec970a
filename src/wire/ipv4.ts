/** The IPv4 header: RFC 791, with the type of service byte as in RFC 2474 and RFC 3168. */

import {
  BAD_CHECKSUM,
  BAD_HEADER_LENGTH,
  BAD_LENGTH,
  BAD_VERSION,
  OK,
  TRUNCATED,
  type WireCode,
} from "../errors.ts";
import { read16, read32, write16, write32 } from "./bytes.ts";
import { checksum, fold, halves, updateChecksum } from "./checksum.ts";
import type { IpAddress } from "./ip-address.ts";

/** Bytes of a header without options. */
export const IPV4_HEADER_LENGTH = 20;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** The flags in the word that holds the fragment offset. */
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const FRAGMENT_OFFSET_MASK = 0x1fff;

/**
 * Checks the header of the packet in `bytes[offset .. offset + length)`. After `OK` every accessor of this file may
 * be used, and header and total length lie within `length`. More bytes than the total length are fine: the packet is
 * then followed by padding of the link.
 *
 * - `TRUNCATED`: fewer than 20 bytes, or fewer than the total length.
 * - `BAD_VERSION`: not version 4.
 * - `BAD_HEADER_LENGTH`: below 20 or above the total length.
 * - `BAD_LENGTH`: a total length below 20.
 * - `BAD_CHECKSUM`: of the header.
 *
 * @example
 * ```ts
 * const code = checkIpv4(frame.bytes, frame.offset, frame.length);
 * if (code !== OK) return drop(code);
 * const payload = frame.offset + ipv4HeaderLength(frame.bytes, frame.offset);
 * ```
 */
export function checkIpv4(bytes: Uint8Array, offset: number, length: number): WireCode {
  if (length < IPV4_HEADER_LENGTH) return TRUNCATED;
  const first = bytes[offset];
  if (first >>> 4 !== 4) return BAD_VERSION;
  const headerLength = (first & 15) << 2;
  if (headerLength < IPV4_HEADER_LENGTH) return BAD_HEADER_LENGTH;
  const totalLength = read16(bytes, offset + 2);
  if (totalLength < IPV4_HEADER_LENGTH) return BAD_LENGTH;
  if (headerLength > totalLength) return BAD_HEADER_LENGTH;
  if (totalLength > length) return TRUNCATED;
  const sound =
    headerLength === IPV4_HEADER_LENGTH
      ? plainHeaderIsSound(bytes, offset)
      : checksum(bytes, offset, headerLength) === 0;
  return sound ? OK : BAD_CHECKSUM;
}

/** The checksum of a header without options, as nearly every one is: ten words, too few for a loop. */
function plainHeaderIsSound(bytes: Uint8Array, offset: number): boolean {
  const total =
    read16(bytes, offset) +
    read16(bytes, offset + 2) +
    read16(bytes, offset + 4) +
    read16(bytes, offset + 6) +
    read16(bytes, offset + 8) +
    read16(bytes, offset + 10) +
    read16(bytes, offset + 12) +
    read16(bytes, offset + 14) +
    read16(bytes, offset + 16) +
    read16(bytes, offset + 18);
  return fold(total) === 0xffff;
}

/** Header length in bytes, options included: 20 to 60. */
export function ipv4HeaderLength(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] & 15) << 2;
}

/** Header and payload in bytes. */
export function ipv4TotalLength(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 2);
}

// RFC 3168 5: the two bits of ECN.
export const ECN_MASK = 3;
/** The sender takes part: a router may mark the packet. */
export const ECN_ECT_0 = 2;
/** Congestion experienced: a router has. */
export const ECN_CE = 3;

/** The type of service byte: DSCP in the upper six bits (RFC 2474), ECN in the lower two (RFC 3168). */
export function ipv4Tos(bytes: Uint8Array, offset: number): number {
  return bytes[offset + 1];
}

/** What the fragments of one datagram have in common (RFC 6864). */
export function ipv4Identification(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 4);
}

/** The DF flag. */
export function ipv4DontFragment(bytes: Uint8Array, offset: number): boolean {
  return (bytes[offset + 6] & (DONT_FRAGMENT >>> 8)) !== 0;
}

/** Whether this is a part of a datagram: more fragments follow or the fragment offset is not 0. */
export function ipv4IsFragment(bytes: Uint8Array, offset: number): boolean {
  return (read16(bytes, offset + 6) & (MORE_FRAGMENTS | FRAGMENT_OFFSET_MASK)) !== 0;
}

/** The MF flag. */
export function ipv4MoreFragments(bytes: Uint8Array, offset: number): boolean {
  return (bytes[offset + 6] & (MORE_FRAGMENTS >>> 8)) !== 0;
}

/** Where this fragment's payload belongs in the datagram's, in bytes (the field counts units of eight). */
export function ipv4FragmentOffset(bytes: Uint8Array, offset: number): number {
  return (read16(bytes, offset + 6) & FRAGMENT_OFFSET_MASK) << 3;
}

/** Time to live, in hops. */
export function ipv4Ttl(bytes: Uint8Array, offset: number): number {
  return bytes[offset + 8];
}

/** The protocol of the payload: `PROTOCOL_TCP`, ... */
export function ipv4Protocol(bytes: Uint8Array, offset: number): number {
  return bytes[offset + 9];
}

/** The header checksum as it stands in the header. */
export function ipv4Checksum(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 10);
}

/** Reads the source address into a record of the caller. */
export function readIpv4Source(bytes: Uint8Array, offset: number, into: IpAddress): void {
  readAddress(bytes, offset + 12, into);
}

/** Reads the destination address into a record of the caller. */
export function readIpv4Destination(bytes: Uint8Array, offset: number, into: IpAddress): void {
  readAddress(bytes, offset + 16, into);
}

function readAddress(bytes: Uint8Array, offset: number, into: IpAddress): void {
  into.family = 4;
  into.w0 = 0;
  into.w1 = 0;
  into.w2 = 0xffff;
  into.w3 = read32(bytes, offset);
}

/**
 * Writes a header of 20 bytes with its checksum. `totalLength` counts header and payload in bytes, `ttl` hops; the
 * packet is not a fragment. With `dontFragment`, `identification` may be 0 (RFC 6864 section 4.1).
 *
 * @example
 * ```ts
 * writeIpv4(bytes, offset, 20 + segmentLength, PROTOCOL_TCP, 64, source, destination);
 * ```
 */
export function writeIpv4(
  bytes: Uint8Array,
  offset: number,
  totalLength: number,
  protocol: number,
  ttl: number,
  source: IpAddress,
  destination: IpAddress,
  identification = 0,
  tos = 0,
  dontFragment = true,
): void {
  bytes[offset] = 0x45;
  bytes[offset + 1] = tos;
  write16(bytes, offset + 2, totalLength);
  write16(bytes, offset + 4, identification);
  const fragment = dontFragment ? DONT_FRAGMENT : 0;
  write16(bytes, offset + 6, fragment);
  bytes[offset + 8] = ttl;
  bytes[offset + 9] = protocol;
  write32(bytes, offset + 12, source.w3);
  write32(bytes, offset + 16, destination.w3);
  // From the fields: reading back what has just been written costs more.
  const fixed = (0x4500 | tos) + totalLength + identification + fragment + ((ttl << 8) | protocol);
  write16(bytes, offset + 10, ~fold(fixed + halves(source.w3) + halves(destination.w3)));
}

/**
 * Makes the packet whose header is at `offset` a fragment: `fragmentOffset` is the place of its payload in the
 * datagram's in bytes, a multiple of 8 below 65,536. The checksum is brought up to date; DF stays as it is.
 */
export function writeIpv4Fragment(
  bytes: Uint8Array,
  offset: number,
  fragmentOffset: number,
  moreFragments: boolean,
): void {
  const old = read16(bytes, offset + 6);
  const place = (fragmentOffset >>> 3) & FRAGMENT_OFFSET_MASK;
  const word = (old & DONT_FRAGMENT) | (moreFragments ? MORE_FRAGMENTS : 0) | place;
  write16(bytes, offset + 6, word);
  write16(bytes, offset + 10, updateChecksum(read16(bytes, offset + 10), old, word));
}
