/**
 * Checksums that a device was to fill in: the TCP or UDP checksum of a whole frame, found through its headers.
 *
 * Where a frame says `checksumOffloaded`, its checksum field may hold only the sum of the pseudo-header. That is fine
 * between a stack and its device; whoever shows the frame to anybody else completes it first. Nothing here trusts a
 * byte of the frame: what is malformed, or nothing to be completed, stays as it is.
 */

import { read16, write16 } from "./bytes.ts";
import { checksum, sum } from "./checksum.ts";
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN } from "./ethernet.ts";
import {
  IPV4_HEADER_LENGTH,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4TotalLength,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "./ipv4.ts";
import { TCP_HEADER_LENGTH } from "./tcp.ts";
import { UDP_HEADER_LENGTH, udpLength } from "./udp.ts";

const IPV6_HEADER_LENGTH = 40;

// IPv6 extension headers (RFC 8200 section 4, RFC 4302, RFC 6275, RFC 7401).
const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
const MOBILITY = 135;
const HOST_IDENTITY = 139;

/** A packet with more extension headers than this is not looked into. */
const MAX_EXTENSION_HEADERS = 8;

/** Where the headers of a frame lie; one record for all frames. Offsets are indexes of the frame's array. */
export class TransportPlace {
  /** 4 or 6. */
  version = 0;
  /** Where the IP header begins. */
  ipOffset = 0;
  /** Where the IP packet ends: before the padding of the link, if there is any. */
  ipEnd = 0;
  /** What follows the IP headers: `PROTOCOL_TCP`, ... */
  protocol = 0;
  /** Where the transport header begins. */
  offset = 0;
  /** Transport header and payload in bytes. */
  length = 0;
}

/**
 * Finds the IP header of the frame in `bytes[offset .. offset + length)`: behind an Ethernet header and up to two VLAN
 * tags, or at once. `hasLinkHeader` is whether there is one. Returns its offset, or -1 where the frame is none of IP.
 *
 * @example
 * ```ts
 * findIp(new Uint8Array([0x45, 0, 0, 20]), 0, 4, false); // 0
 * ```
 */
export function findIp(bytes: Uint8Array, offset: number, length: number, hasLinkHeader: boolean): number {
  if (!hasLinkHeader) return length > 0 ? offset : -1;
  const end = offset + length;
  let at = offset + 12;
  for (let tags = 0; tags <= 2; tags++, at += 4) {
    if (at + 2 >= end) return -1;
    const type = read16(bytes, at);
    if (type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6) return at + 2;
    if (type !== ETHERTYPE_VLAN && type !== ETHERTYPE_SERVICE_VLAN) return -1;
  }
  return -1;
}

/**
 * Finds the transport header of a frame. Returns `false`, with `place` in no particular state, where there is none to
 * be found: the frame is not IP, or cut short, or a fragment, or its headers contradict each other. Nothing is said
 * about the transport header itself; its `length` bytes are there.
 *
 * @param medium what the frame starts with: `"ip"` or `"ethernet"`
 */
export function findTransport(
  bytes: Uint8Array,
  offset: number,
  length: number,
  medium: "ip" | "ethernet",
  place: TransportPlace,
): boolean {
  const end = offset + length;
  const at = findIp(bytes, offset, length, medium === "ethernet");
  if (at < 0 || end > bytes.length) return false;
  place.ipOffset = at;
  place.version = bytes[at] >>> 4;
  if (place.version === 4) return findBehindIpv4(bytes, at, end, place);
  if (place.version === 6) return findBehindIpv6(bytes, at, end, place);
  return false;
}

function findBehindIpv4(bytes: Uint8Array, at: number, end: number, place: TransportPlace): boolean {
  if (end - at < IPV4_HEADER_LENGTH) return false;
  const headerLength = ipv4HeaderLength(bytes, at);
  const totalLength = ipv4TotalLength(bytes, at);
  if (headerLength < IPV4_HEADER_LENGTH || totalLength < headerLength || totalLength > end - at) return false;
  if (ipv4IsFragment(bytes, at)) return false;
  place.protocol = ipv4Protocol(bytes, at);
  place.offset = at + headerLength;
  place.length = totalLength - headerLength;
  place.ipEnd = at + totalLength;
  return true;
}

function findBehindIpv6(bytes: Uint8Array, at: number, end: number, place: TransportPlace): boolean {
  if (end - at < IPV6_HEADER_LENGTH) return false;
  const packetEnd = at + IPV6_HEADER_LENGTH + read16(bytes, at + 4);
  if (packetEnd > end) return false;
  let protocol = bytes[at + 6];
  let next = at + IPV6_HEADER_LENGTH;
  for (let headers = 0; isExtensionHeader(protocol); headers++) {
    if (headers === MAX_EXTENSION_HEADERS || packetEnd - next < 8) return false;
    // A route that is not at its end: the checksum is over the last destination, which is not the header's.
    if (protocol === ROUTING && bytes[next + 3] !== 0) return false;
    // RFC 6946: a fragment that is the whole is none.
    if (protocol === FRAGMENT && (read16(bytes, next + 2) & 0xfff9) !== 0) return false;
    const length = extensionHeaderLength(protocol, bytes[next + 1]);
    if (length > packetEnd - next) return false;
    protocol = bytes[next];
    next += length;
  }
  place.protocol = protocol;
  place.offset = next;
  place.length = packetEnd - next;
  place.ipEnd = packetEnd;
  return true;
}

function isExtensionHeader(protocol: number): boolean {
  return (
    protocol === HOP_BY_HOP ||
    protocol === ROUTING ||
    protocol === FRAGMENT ||
    protocol === AUTHENTICATION ||
    protocol === DESTINATION_OPTIONS ||
    protocol === MOBILITY ||
    protocol === HOST_IDENTITY
  );
}

/** In bytes, from the header's own length field. */
function extensionHeaderLength(protocol: number, field: number): number {
  if (protocol === FRAGMENT) return 8;
  return protocol === AUTHENTICATION ? (field + 2) << 2 : (field + 1) << 3;
}

/**
 * Where the checksum field of a TCP segment or UDP datagram lies, or -1 where there is none to be filled in: another
 * protocol, cut short, a length that contradicts the IP header's, or a UDP datagram that goes without (RFC 768).
 */
export function checksumField(bytes: Uint8Array, place: TransportPlace): number {
  const { protocol, offset, length } = place;
  if (protocol === PROTOCOL_TCP) return length >= TCP_HEADER_LENGTH ? offset + 16 : -1;
  if (protocol !== PROTOCOL_UDP || length < UDP_HEADER_LENGTH) return -1;
  const stated = udpLength(bytes, offset);
  if (stated < UDP_HEADER_LENGTH || stated > length || read16(bytes, offset + 6) === 0) return -1;
  return offset + 6;
}

/**
 * The right checksum of the segment or datagram at `place`, whatever stands in its field at `field` (see
 * {@link checksumField}).
 */
export function transportChecksum(bytes: Uint8Array, place: TransportPlace, field: number): number {
  const { version, ipOffset, protocol, offset } = place;
  const length = protocol === PROTOCOL_UDP ? udpLength(bytes, offset) : place.length;
  // The pseudo-header: both addresses, which lie side by side, protocol and length.
  const addresses = version === 4 ? sum(bytes, ipOffset + 12, 8) : sum(bytes, ipOffset + 8, 32);
  // What stands in the field is taken out again: a word and its complement add up to nothing.
  const pseudoHeader = addresses + protocol + length + (~read16(bytes, field) & 0xffff);
  const computed = checksum(bytes, offset, length, pseudoHeader);
  // RFC 768: 0 would mean that there is none.
  return computed === 0 && protocol === PROTOCOL_UDP ? 0xffff : computed;
}

const place = new TransportPlace();

/**
 * Fills in the TCP or UDP checksum of the frame in `bytes[offset .. offset + length)`, over IPv4 and IPv6 (with
 * extension headers), with VLAN tags or without. What stood in the field doesn't matter: the sum of the pseudo-header,
 * the right checksum, or anything else. A super-segment gets the checksum of the whole.
 *
 * Returns whether the frame has a checksum that is right now. Other frames are left alone: other protocols, fragments,
 * UDP without a checksum, and whatever is malformed.
 *
 * @param medium what the frame starts with: `"ip"` or `"ethernet"`
 *
 * @example
 * ```ts
 * completeChecksum(bytes, offset, length, "ip"); // true
 * ```
 */
export function completeChecksum(
  bytes: Uint8Array,
  offset: number,
  length: number,
  medium: "ip" | "ethernet",
): boolean {
  if (!findTransport(bytes, offset, length, medium, place)) return false;
  const field = checksumField(bytes, place);
  if (field < 0) return false;
  write16(bytes, field, transportChecksum(bytes, place, field));
  return true;
}
