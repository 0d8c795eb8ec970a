/** ICMP for IPv4: RFC 792, with the next-hop MTU of RFC 1191 and the codes of RFC 1122 and RFC 1812. */

import { BAD_CHECKSUM, OK, TRUNCATED, type WireCode } from "../errors.ts";
import { read16, write16, write32 } from "./bytes.ts";
import { checksum } from "./checksum.ts";

/** Bytes in front of an echo's data, or of the packet that an error quotes. */
export const ICMPV4_HEADER_LENGTH = 8;

// Types.
export const ICMP_ECHO_REPLY = 0;
export const ICMP_DESTINATION_UNREACHABLE = 3;
export const ICMP_SOURCE_QUENCH = 4;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO_REQUEST = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETER_PROBLEM = 12;
export const ICMP_TIMESTAMP_REQUEST = 13;
export const ICMP_TIMESTAMP_REPLY = 14;

// Codes of ICMP_DESTINATION_UNREACHABLE (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1).
export const CODE_NET_UNREACHABLE = 0;
export const CODE_HOST_UNREACHABLE = 1;
export const CODE_PROTOCOL_UNREACHABLE = 2;
export const CODE_PORT_UNREACHABLE = 3;
export const CODE_FRAGMENTATION_NEEDED = 4;
export const CODE_SOURCE_ROUTE_FAILED = 5;
export const CODE_NET_UNKNOWN = 6;
export const CODE_HOST_UNKNOWN = 7;
export const CODE_SOURCE_HOST_ISOLATED = 8;
export const CODE_NET_PROHIBITED = 9;
export const CODE_HOST_PROHIBITED = 10;
export const CODE_NET_UNREACHABLE_FOR_TOS = 11;
export const CODE_HOST_UNREACHABLE_FOR_TOS = 12;
export const CODE_ADMIN_PROHIBITED = 13;
export const CODE_PRECEDENCE_VIOLATION = 14;
export const CODE_PRECEDENCE_CUTOFF = 15;

// Codes of ICMP_TIME_EXCEEDED.
export const CODE_TTL_EXCEEDED = 0;
export const CODE_REASSEMBLY_TIMEOUT = 1;

/**
 * Checks the message in `bytes[offset .. offset + length)`. After `OK` every accessor of this file may be used.
 *
 * - `TRUNCATED`: fewer than 8 bytes.
 * - `BAD_CHECKSUM`: over the whole message.
 */
export function checkIcmpv4(bytes: Uint8Array, offset: number, length: number): WireCode {
  if (length < ICMPV4_HEADER_LENGTH) return TRUNCATED;
  if (checksum(bytes, offset, length) !== 0) return BAD_CHECKSUM;
  return OK;
}

/** The message type: `ICMP_ECHO_REQUEST`, ... */
export function icmpType(bytes: Uint8Array, offset: number): number {
  return bytes[offset];
}

/** The code, whose meaning depends on the type. */
export function icmpCode(bytes: Uint8Array, offset: number): number {
  return bytes[offset + 1];
}

/** Of an echo: which program the request is from. */
export function icmpIdentifier(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 4);
}

/** Of an echo: which request of the program it is. */
export function icmpSequence(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 6);
}

/**
 * Of "fragmentation needed": the largest packet, in bytes, that the next hop takes (RFC 1191 section 4); 0 from a
 * router that is older than that.
 */
export function icmpNextHopMtu(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 6);
}

/** Of a parameter problem: the index of the byte complained about in the quoted packet. */
export function icmpPointer(bytes: Uint8Array, offset: number): number {
  return bytes[offset + 4];
}

/**
 * Whether messages of this type report an error, so that none may be sent in answer to one (RFC 1122 section 3.2.2);
 * they quote the start of the packet behind their header.
 */
export function isIcmpv4Error(type: number): boolean {
  return (
    type === ICMP_DESTINATION_UNREACHABLE ||
    type === ICMP_SOURCE_QUENCH ||
    type === ICMP_REDIRECT ||
    type === ICMP_TIME_EXCEEDED ||
    type === ICMP_PARAMETER_PROBLEM
  );
}

/**
 * Writes a header of 8 bytes in front of a body that is already in place, and the checksum over both.
 * `length` counts both in bytes; `restOfHeader` is the 32-bit word of bytes 4 to 7: identifier and sequence number,
 * next-hop MTU, or pointer in the highest byte.
 *
 * @example
 * ```ts
 * writeIcmpv4(bytes, offset, 8 + body, ICMP_ECHO_REPLY, 0, (identifier << 16) | sequence);
 * ```
 */
export function writeIcmpv4(
  bytes: Uint8Array,
  offset: number,
  length: number,
  type: number,
  code: number,
  restOfHeader: number,
): void {
  bytes[offset] = type;
  bytes[offset + 1] = code;
  write16(bytes, offset + 2, 0);
  write32(bytes, offset + 4, restOfHeader);
  write16(bytes, offset + 2, checksum(bytes, offset, length));
}
