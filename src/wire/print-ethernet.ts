/**
 * Ethernet frames as text, in the words of `tcpdump -n -t -S` and, with `linkHeaders`, of its `-e`. What an EtherType
 * that is not decoded carries is not shown, where tcpdump appends a dump of it.
 *
 * For traces and tests: everything here allocates strings.
 */

import { read16, read32 } from "./bytes.ts";
import {
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_SERVICE_VLAN,
  ETHERTYPE_VLAN,
  formatHardwareAddress,
  HARDWARE_ADDRESS_LENGTH,
  VLAN_TAG_LENGTH,
} from "./ethernet.ts";
import { formatAddress, IpAddress } from "./ip-address.ts";
import { formatPacket } from "./print.ts";

/** Below it the field is a length (IEEE 802.3). */
const SMALLEST_ETHERTYPE = 0x0600;
/** Tags beyond these are not looked behind. */
const MAX_TAGS = 4;

const ETHERTYPE_NAMES: Readonly<Record<number, string>> = {
  [ETHERTYPE_IPV4]: "IPv4",
  [ETHERTYPE_ARP]: "ARP",
  [ETHERTYPE_IPV6]: "IPv6",
  [ETHERTYPE_VLAN]: "802.1Q",
  [ETHERTYPE_SERVICE_VLAN]: "802.1Q-QinQ",
  32821: "Reverse ARP",
  34915: "PPPoE D",
  34916: "PPPoE S",
  34958: "EAPOL",
  35020: "LLDP",
  36864: "Loopback",
};

/**
 * One line about the frame in `bytes[offset .. offset + length)`, which starts with an Ethernet header. Never throws:
 * a frame that is cut short or contradicts itself is printed as far as it goes.
 *
 * @param linkHeaders whether the line begins with hardware addresses, EtherType, length and VLAN tags
 *
 * @example
 * ```ts
 * const frame = new Uint8Array(60);
 * writeEthernet(frame, 0, BROADCAST_HARDWARE, 0, parseHardwareAddress("02:00:00:00:00:01"), 0, 0x88b5);
 * formatEthernet(frame, 0, 60); // "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, ethertype Unknown (0x88b5), length 60"
 * ```
 */
export function formatEthernet(
  bytes: Uint8Array,
  offset: number,
  length: number,
  linkHeaders = false,
): string {
  // Everything below may trust `end`, whatever the caller passed.
  const end = Math.min(offset + length, bytes.length);
  if (offset < 0 || end - offset < ETHERNET_HEADER_LENGTH) return " [|ether]";
  const ends = `${formatHardwareAddress(bytes, offset + HARDWARE_ADDRESS_LENGTH)} > ${formatHardwareAddress(bytes, offset)}, `;
  let type = read16(bytes, offset + 12);
  let at = offset + ETHERNET_HEADER_LENGTH;
  const whole = end - offset;
  let header = `${ends}${formatType(type)}, length ${whole}: `;
  for (let tags = 0; isTag(type); tags++) {
    if (end - at < VLAN_TAG_LENGTH || tags === MAX_TAGS) return `${linkHeaders ? ends : ""} [|vlan]`;
    header += `${formatTag(read16(bytes, at))}, `;
    type = read16(bytes, at + 2);
    at += VLAN_TAG_LENGTH;
    header += `${formatType(type)}, `;
  }
  const body = formatBody(bytes, at, end, type, linkHeaders);
  if (body === null) return header.slice(0, -2);
  return linkHeaders ? header + body : body;
}

/** What the header carries; `null` where that is not decoded. */
function formatBody(
  bytes: Uint8Array,
  at: number,
  end: number,
  type: number,
  linkHeaders: boolean,
): string | null {
  if (type === ETHERTYPE_ARP) {
    const line = formatArp(bytes, at, end);
    return linkHeaders || line.startsWith(" ") ? line : `ARP, ${line}`;
  }
  if (type !== ETHERTYPE_IPV4 && type !== ETHERTYPE_IPV6) return null;
  const line = formatPacket(bytes, at, end - at);
  // Behind the EtherType, the protocol's name would be said twice.
  return linkHeaders && line.startsWith("IP ") ? line.slice("IP ".length) : line;
}

function isTag(type: number): boolean {
  return type === ETHERTYPE_VLAN || type === ETHERTYPE_SERVICE_VLAN;
}

function formatType(type: number): string {
  if (type < SMALLEST_ETHERTYPE) return "802.3";
  return `ethertype ${ETHERTYPE_NAMES[type] ?? "Unknown"} (0x${type.toString(16).padStart(4, "0")})`;
}

/** Priority, "drop eligible" and VLAN of a tag (IEEE 802.1Q). */
function formatTag(tag: number): string {
  return `vlan ${tag & 0x0fff}, p ${tag >>> 13}${(tag & 0x1000) === 0 ? "" : ", DEI"}`;
}

const ARP_HEADER_LENGTH = 8;

/** RFC 826, with the operations of RFC 903 and RFC 2390. Without "ARP, ", which `-e` goes without. */
function formatArp(bytes: Uint8Array, at: number, end: number): string {
  const length = end - at;
  if (length < ARP_HEADER_LENGTH) return " [|arp]";
  const hardware = bytes[at + 4];
  const protocol = bytes[at + 5];
  if (length < ARP_HEADER_LENGTH + 2 * (hardware + protocol)) return " [|arp]";
  const protocolType = read16(bytes, at + 2);
  if (protocolType !== ETHERTYPE_IPV4 || protocol !== 4 || hardware === 0) {
    const name =
      ETHERTYPE_NAMES[protocolType] ?? `Unknown Protocol (0x${protocolType.toString(16).padStart(4, "0")})`;
    return `${formatHardwareType(read16(bytes, at))} (len ${hardware}), ${name} (len ${protocol}), length ${length}`;
  }
  const sender = at + ARP_HEADER_LENGTH;
  const target = sender + hardware + protocol;
  const text = formatArpOperation(bytes, read16(bytes, at + 6), sender, target, hardware);
  return `${text}, length ${length}`;
}

/** `sender` and `target` are where their hardware addresses begin; their IPv4 addresses are right behind. */
function formatArpOperation(
  bytes: Uint8Array,
  operation: number,
  sender: number,
  target: number,
  hardware: number,
): string {
  const link = (at: number) => formatLinkAddress(bytes, at, hardware);
  const ip = (at: number) => formatAddress(new IpAddress(4, 0, 0, 0xffff, read32(bytes, at + hardware)));
  switch (operation) {
    case 1: {
      const known = /[1-9a-f]/.test(link(target)) ? ` (${link(target)})` : "";
      return `Request who-has ${ip(target)}${known} tell ${ip(sender)}`;
    }
    case 2:
      return `Reply ${ip(sender)} is-at ${link(sender)}`;
    case 3:
      return `Reverse Request who-is ${link(target)} tell ${link(sender)}`;
    case 4:
      return `Reverse Reply ${link(target)} at ${ip(target)}`;
    case 8:
      return `Inverse Request who-is ${link(target)} tell ${link(sender)}`;
    case 9:
      return `Inverse Reply ${link(sender)} at ${ip(sender)}`;
    default:
      return operation === 10 ? "NACK Reply" : `Unknown (${operation})`;
  }
}

function formatHardwareType(type: number): string {
  return type === 1 ? "Ethernet" : `Unknown Hardware (${type})`;
}

/** A hardware address of any length, where the usual one has six bytes. */
function formatLinkAddress(bytes: Uint8Array, at: number, length: number): string {
  let text = "";
  for (let i = at; i < at + length; i++) text += `:${bytes[i].toString(16).padStart(2, "0")}`;
  return text.slice(1);
}
