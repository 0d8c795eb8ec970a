/**
 * The Ethernet II header (RFC 894, IEEE 802.3), 802.1Q tags, and hardware addresses.
 *
 * ```text
 *  0            6            12          14 (18 with a tag)
 *  destination  source  [ 8100 tag ]  EtherType  payload
 * ```
 *
 * An address is six bytes in an array at an offset: in a frame, or in an array of its own at 0.
 */

import { OK, StackError, TRUNCATED, type WireCode } from "../errors.ts";
import { read16, read32, write16, write32 } from "./bytes.ts";

/** Bytes of a header without a tag. */
export const ETHERNET_HEADER_LENGTH = 14;
/** Bytes that an 802.1Q tag adds to it. */
export const VLAN_TAG_LENGTH = 4;
/** Bytes of a hardware address. */
export const HARDWARE_ADDRESS_LENGTH = 6;

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;
/** What stands in the EtherType's place when an 802.1Q tag follows; the EtherType is behind the tag then. */
export const ETHERTYPE_VLAN = 0x8100;
/** The same for the outer one of two tags (802.1ad). */
export const ETHERTYPE_SERVICE_VLAN = 0x88a8;

const VLAN_ID_MASK = 0x0fff;
const GROUP_BIT = 1;
const LOCAL_BIT = 2;

/** ff:ff:ff:ff:ff:ff: every station. Shared: copy it before you change it. */
export const BROADCAST_HARDWARE: Uint8Array = new Uint8Array([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);

/**
 * Checks that the frame in `bytes[offset .. offset + length)` is as long as its header, the tag included if it has one:
 * `OK` or `TRUNCATED`. After `OK` every accessor of this file may be used.
 *
 * @example
 * ```ts
 * const frame = new Uint8Array(60);
 * writeEthernet(frame, 0, BROADCAST_HARDWARE, 0, parseHardwareAddress("02:00:00:00:00:01"), 0, ETHERTYPE_ARP);
 * checkEthernet(frame, 0, 60) === OK; // true
 * etherType(frame, 0); // 2_054; ETHERTYPE_ARP
 * checkEthernet(frame, 0, 13) === TRUNCATED; // true
 * ```
 */
export function checkEthernet(bytes: Uint8Array, offset: number, length: number): WireCode {
  if (length < ETHERNET_HEADER_LENGTH) return TRUNCATED;
  if (length < ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH && hasVlanTag(bytes, offset)) return TRUNCATED;
  return OK;
}

/** Whether an 802.1Q tag stands before the EtherType. */
export function hasVlanTag(bytes: Uint8Array, offset: number): boolean {
  return read16(bytes, offset + 12) === ETHERTYPE_VLAN;
}

/** Bytes of the header, the tag included: 14 or 18. */
export function ethernetHeaderLength(bytes: Uint8Array, offset: number): number {
  return hasVlanTag(bytes, offset) ? ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH : ETHERNET_HEADER_LENGTH;
}

/** What the payload is: the EtherType behind the tag, if there is one. (Below 1,536 it is a length, IEEE 802.3.) */
export function etherType(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + ethernetHeaderLength(bytes, offset) - 2);
}

/** The VLAN of a frame that has a tag: 1 to 4,094, or 0 for a tag that gives a priority only. */
export function vlanId(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset + 14) & VLAN_ID_MASK;
}

/**
 * Writes the header: 14 bytes, or 18 with `vlan` from 1 to 4,094 (0 for no tag). The addresses are six bytes each of
 * `destination` and `source`, from their offsets on. Returns the header's length.
 */
export function writeEthernet(
  bytes: Uint8Array,
  offset: number,
  destination: Uint8Array,
  destinationOffset: number,
  source: Uint8Array,
  sourceOffset: number,
  type: number,
  vlan = 0,
): number {
  copyHardwareAddress(destination, destinationOffset, bytes, offset);
  copyHardwareAddress(source, sourceOffset, bytes, offset + HARDWARE_ADDRESS_LENGTH);
  if (vlan === 0) {
    write16(bytes, offset + 12, type);
    return ETHERNET_HEADER_LENGTH;
  }
  write16(bytes, offset + 12, ETHERTYPE_VLAN);
  write16(bytes, offset + 14, vlan);
  write16(bytes, offset + 16, type);
  return ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH;
}

/** Copies the address at `from[fromOffset ..]` to `into[intoOffset ..]`. */
export function copyHardwareAddress(
  from: Uint8Array,
  fromOffset: number,
  into: Uint8Array,
  intoOffset: number,
): void {
  // Not by `set`: a view of six bytes costs more than copying them. Nor as two integers: that is too long to be inlined.
  into[intoOffset] = from[fromOffset];
  into[intoOffset + 1] = from[fromOffset + 1];
  into[intoOffset + 2] = from[fromOffset + 2];
  into[intoOffset + 3] = from[fromOffset + 3];
  into[intoOffset + 4] = from[fromOffset + 4];
  into[intoOffset + 5] = from[fromOffset + 5];
}

/** Whether the addresses at `a[aOffset ..]` and `b[bOffset ..]` are the same. */
export function sameHardwareAddress(a: Uint8Array, aOffset: number, b: Uint8Array, bOffset: number): boolean {
  return read32(a, aOffset) === read32(b, bOffset) && read16(a, aOffset + 4) === read16(b, bOffset + 4);
}

/** Whether the address is of a group of stations: multicast, broadcast included. */
export function isGroupHardwareAddress(bytes: Uint8Array, offset: number): boolean {
  return (bytes[offset] & GROUP_BIT) !== 0;
}

/** Whether the address is ff:ff:ff:ff:ff:ff. */
export function isBroadcastHardwareAddress(bytes: Uint8Array, offset: number): boolean {
  return read32(bytes, offset) === -1 && read16(bytes, offset + 4) === 0xffff;
}

/** Whether the address is 00:00:00:00:00:00, which no station has. */
export function isZeroHardwareAddress(bytes: Uint8Array, offset: number): boolean {
  return read32(bytes, offset) === 0 && read16(bytes, offset + 4) === 0;
}

/**
 * Reads a hardware address: six numbers of two hexadecimal digits with colons (or hyphens) between.
 *
 * @throws StackError `EINVAL` when it is anything else, or an address that no single station can have.
 *
 * @example
 * ```ts
 * formatHardwareAddress(parseHardwareAddress("02:00:5E:10:00:00")); // "02:00:5e:10:00:00"
 * ```
 */
export function parseHardwareAddress(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$|^[0-9a-f]{2}(-[0-9a-f]{2}){5}$/i.test(text)) {
    throw new StackError(
      "EINVAL",
      `"${text}" is not a hardware address; write six hexadecimal numbers with colons, like 02:00:00:00:00:01.`,
    );
  }
  const address = Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16));
  if (isGroupHardwareAddress(address, 0) || isZeroHardwareAddress(address, 0)) {
    throw new StackError(
      "EINVAL",
      `"${text}" is not the hardware address of one station: its first number must be even, and not all may be 0.`,
    );
  }
  return address;
}

/** The address at `bytes[offset ..]` as text, in lower case: `02:00:00:00:00:01`. */
export function formatHardwareAddress(bytes: Uint8Array, offset = 0): string {
  const parts: string[] = [];
  for (let i = 0; i < HARDWARE_ADDRESS_LENGTH; i++) {
    parts.push(bytes[offset + i].toString(16).padStart(2, "0"));
  }
  return parts.join(":");
}

/**
 * An address of one station that no manufacturer gives away (the locally administered bit is set), made of two random
 * 32-bit words.
 *
 * @example
 * ```ts
 * formatHardwareAddress(localHardwareAddress(0xffffffff, 0x1234)); // "fe:ff:ff:ff:12:34"
 * ```
 */
export function localHardwareAddress(high: number, low: number): Uint8Array {
  const address = new Uint8Array(HARDWARE_ADDRESS_LENGTH);
  write32(address, 0, high);
  write16(address, 4, low);
  address[0] = (address[0] & ~GROUP_BIT) | LOCAL_BIT;
  return address;
}
