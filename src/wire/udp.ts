/** The UDP header: RFC 768. */

import { BAD_LENGTH, OK, TRUNCATED, type WireCode } from "../errors.ts";
import { read16, write16 } from "./bytes.ts";
import { checksum, fold, pseudoHeaderSum } from "./checksum.ts";
import type { IpAddress } from "./ip-address.ts";
import { PROTOCOL_UDP } from "./ipv4.ts";

/** Bytes in front of the payload. */
export const UDP_HEADER_LENGTH = 8;

/**
 * Checks the lengths of the datagram in `bytes[offset .. offset + length)`; for the checksum see `verifyUdp`. After
 * `OK` every accessor of this file may be used. Fewer bytes than `length` in the length field are fine: what follows
 * is not part of the datagram.
 *
 * - `TRUNCATED`: fewer than 8 bytes, or fewer than the length field.
 * - `BAD_LENGTH`: a length field below 8.
 */
export function checkUdp(bytes: Uint8Array, offset: number, length: number): WireCode {
  if (length < UDP_HEADER_LENGTH) return TRUNCATED;
  const stated = read16(bytes, offset + 4);
  if (stated < UDP_HEADER_LENGTH) return BAD_LENGTH;
  if (stated > length) return TRUNCATED;
  return OK;
}

/** The sender's port; 0 where no answer is expected. */
export function udpSourcePort(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset);
}

/** The port the datagram is for. */
export function udpDestinationPort(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 2);
}

/** Header and payload in bytes. */
export function udpLength(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 4);
}

/** The checksum as it stands in the header; 0 means that the sender computed none. */
export function udpChecksum(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 6);
}

/**
 * Whether the checksum of a datagram that `checkUdp` found OK is right. 0 stands for "none": fine over IPv4 (RFC 768),
 * not over IPv6 (RFC 8200 section 8.1).
 */
export function verifyUdp(
  bytes: Uint8Array,
  offset: number,
  source: IpAddress,
  destination: IpAddress,
): boolean {
  if (udpChecksum(bytes, offset) === 0) return source.family === 4;
  const length = udpLength(bytes, offset);
  return checksum(bytes, offset, length, pseudoHeaderSum(source, destination, PROTOCOL_UDP, length)) === 0;
}

/**
 * Writes a header in front of a payload that is already in place. `length` counts both in bytes.
 *
 * With `computeChecksum` the checksum is filled in, 0xffff where it comes out as 0 (RFC 768: 0 means none). Without,
 * the checksum field gets the folded sum of the pseudo-header, uncomplemented: what a device with checksum offload
 * expects to find there.
 *
 * @example
 * ```ts
 * writeUdp(bytes, offset, 8 + payload.length, 5353, 5353, source, destination, !capabilities.checksumOffload);
 * ```
 */
export function writeUdp(
  bytes: Uint8Array,
  offset: number,
  length: number,
  sourcePort: number,
  destinationPort: number,
  source: IpAddress,
  destination: IpAddress,
  computeChecksum: boolean,
): void {
  const pseudoHeader = pseudoHeaderSum(source, destination, PROTOCOL_UDP, length);
  write16(bytes, offset, sourcePort);
  write16(bytes, offset + 2, destinationPort);
  write16(bytes, offset + 4, length);
  write16(bytes, offset + 6, 0);
  if (computeChecksum) {
    const computed = checksum(bytes, offset, length, pseudoHeader);
    write16(bytes, offset + 6, computed === 0 ? 0xffff : computed);
  } else {
    write16(bytes, offset + 6, fold(pseudoHeader));
  }
}
