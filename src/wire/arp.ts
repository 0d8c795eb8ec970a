/** ARP for IPv4 over Ethernet: RFC 826, and the probes and announcements of RFC 5227 1.1 that are made of it. */

import { BAD_LENGTH, BAD_VERSION, OK, TRUNCATED, type WireCode } from "../errors.ts";
import { read16, read32, write16, write32 } from "./bytes.ts";
import { copyHardwareAddress, ETHERTYPE_IPV4, HARDWARE_ADDRESS_LENGTH } from "./ethernet.ts";

/** Bytes of a packet; padding of the link may follow it. */
export const ARP_LENGTH = 28;

export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

const HARDWARE_ETHERNET = 1;
const IPV4_ADDRESS_LENGTH = 4;

/** Where the four addresses stand in a packet. */
const SENDER_HARDWARE = 8;
const SENDER_ADDRESS = 14;
const TARGET_HARDWARE = 18;
const TARGET_ADDRESS = 24;

/**
 * Checks the packet in `bytes[offset .. offset + length)`. After `OK` every accessor of this file may be used; the
 * operation may be any, and so may the addresses.
 *
 * - `TRUNCATED`: fewer than 28 bytes.
 * - `BAD_VERSION`: not for IPv4 over Ethernet.
 * - `BAD_LENGTH`: addresses of other lengths than these have.
 *
 * @example
 * ```ts
 * const packet = new Uint8Array(28);
 * const own = parseHardwareAddress("02:00:00:00:00:01");
 * writeArp(packet, 0, ARP_REQUEST, own, parseAddress("10.0.0.1").w3, new Uint8Array(6), 0, 0);
 * checkArp(packet, 0, 28) === OK; // true
 * arpSenderAddress(packet, 0); // 167_772_161
 * formatHardwareAddress(packet, arpSenderHardware(0)); // "02:00:00:00:00:01"
 * ```
 */
export function checkArp(bytes: Uint8Array, offset: number, length: number): WireCode {
  if (length < ARP_LENGTH) return TRUNCATED;
  if (read16(bytes, offset) !== HARDWARE_ETHERNET) return BAD_VERSION;
  if (read16(bytes, offset + 2) !== ETHERTYPE_IPV4) return BAD_VERSION;
  if (bytes[offset + 4] !== HARDWARE_ADDRESS_LENGTH) return BAD_LENGTH;
  if (bytes[offset + 5] !== IPV4_ADDRESS_LENGTH) return BAD_LENGTH;
  return OK;
}

/** `ARP_REQUEST`, `ARP_REPLY`, or something else. */
export function arpOperation(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 6);
}

/** Where in its array the sender's hardware address of the packet at `offset` is. */
export function arpSenderHardware(offset: number): number {
  return offset + SENDER_HARDWARE;
}

/** The sender's IPv4 address as a signed word (`IpAddress.w3`); 0 in a probe. */
export function arpSenderAddress(bytes: Uint8Array, offset: number): number {
  return read32(bytes, offset + SENDER_ADDRESS);
}

/** Where in its array the target's hardware address of the packet at `offset` is: all zero in a request. */
export function arpTargetHardware(offset: number): number {
  return offset + TARGET_HARDWARE;
}

/** The target's IPv4 address as a signed word (`IpAddress.w3`): whom a request is about, whom a reply is for. */
export function arpTargetAddress(bytes: Uint8Array, offset: number): number {
  return read32(bytes, offset + TARGET_ADDRESS);
}

/**
 * Writes a packet of 28 bytes. Hardware addresses are six bytes of an array from an offset on (the sender's from 0),
 * IPv4 addresses are words (`IpAddress.w3`).
 */
export function writeArp(
  bytes: Uint8Array,
  offset: number,
  operation: number,
  senderHardware: Uint8Array,
  senderAddress: number,
  targetHardware: Uint8Array,
  targetHardwareOffset: number,
  targetAddress: number,
): void {
  write16(bytes, offset, HARDWARE_ETHERNET);
  write16(bytes, offset + 2, ETHERTYPE_IPV4);
  bytes[offset + 4] = HARDWARE_ADDRESS_LENGTH;
  bytes[offset + 5] = IPV4_ADDRESS_LENGTH;
  write16(bytes, offset + 6, operation);
  copyHardwareAddress(senderHardware, 0, bytes, offset + SENDER_HARDWARE);
  write32(bytes, offset + SENDER_ADDRESS, senderAddress);
  copyHardwareAddress(targetHardware, targetHardwareOffset, bytes, offset + TARGET_HARDWARE);
  write32(bytes, offset + TARGET_ADDRESS, targetAddress);
}
