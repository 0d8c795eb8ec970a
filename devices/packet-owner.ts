/** Which of several workers on one device a received frame is for, as far as the frame says so. */

import type { Medium } from "../src/device.ts";
import { OK } from "../src/errors.ts";
import { ARP_REPLY, arpOperation, arpSenderAddress, arpTargetAddress, checkArp } from "../src/wire/arp.ts";
import { read16 } from "../src/wire/bytes.ts";
import {
  checkEthernet,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ethernetHeaderLength,
  etherType,
} from "../src/wire/ethernet.ts";
import {
  ICMP_ECHO_REPLY,
  ICMPV4_HEADER_LENGTH,
  icmpIdentifier,
  icmpType,
  isIcmpv4Error,
} from "../src/wire/icmpv4.ts";
import {
  IPV4_HEADER_LENGTH,
  ipv4HeaderLength,
  ipv4Protocol,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../src/wire/ipv4.ts";
import { identifierOwner, portOwner } from "../src/wire/worker-share.ts";

/** Whoever has it may keep it. */
export const ANYONE = -1;
/** Each is to see it. */
export const EVERYONE = -2;

/**
 * The worker that a frame is for, `ANYONE` or `EVERYONE`.
 *
 * - What answers an ephemeral port or an echo request of a worker's is for that worker.
 * - An ICMP error is for the worker whose packet it quotes. Which one that is of a connection that came from outside, nobody
 *   knows but that worker, so everyone sees it.
 * - Each has a neighbour cache of its own, and each asks. But an answer that one gets is one to all that have asked the same,
 *   and an announcement may concern each.
 *
 * What is malformed is for whoever has it: somebody has to count it.
 */
export function packetOwner(
  bytes: Uint8Array,
  offset: number,
  length: number,
  medium: Medium,
  count: number,
): number {
  if (medium === "ip") return ipv4Owner(bytes, offset, length, count);
  if (checkEthernet(bytes, offset, length) !== OK) return ANYONE;
  if (etherType(bytes, offset) !== ETHERTYPE_IPV4) return neighbourOwner(bytes, offset, length);
  const header = ethernetHeaderLength(bytes, offset);
  return ipv4Owner(bytes, offset + header, length - header, count);
}

/** The same where the kernel has divided all but what is about neighbours: see `fanoutProgram`. */
export function neighbourOwner(bytes: Uint8Array, offset: number, length: number): number {
  if (checkEthernet(bytes, offset, length) !== OK || etherType(bytes, offset) !== ETHERTYPE_ARP)
    return ANYONE;
  const header = ethernetHeaderLength(bytes, offset);
  return arpOwner(bytes, offset + header, length - header);
}

function arpOwner(bytes: Uint8Array, offset: number, length: number): number {
  if (checkArp(bytes, offset, length) !== OK) return ANYONE;
  const isAnswer = arpOperation(bytes, offset) === ARP_REPLY;
  const isAnnouncement = arpSenderAddress(bytes, offset) === arpTargetAddress(bytes, offset);
  return isAnswer || isAnnouncement ? EVERYONE : ANYONE;
}

function ipv4Owner(bytes: Uint8Array, offset: number, length: number, count: number): number {
  const at = transportAt(bytes, offset, length);
  if (at < 0) return ANYONE;
  switch (ipv4Protocol(bytes, offset)) {
    case PROTOCOL_TCP:
    case PROTOCOL_UDP: {
      const owner = portOwner(read16(bytes, at + 2), count);
      return owner < 0 ? ANYONE : owner;
    }
    case PROTOCOL_ICMP:
      return icmpOwner(bytes, at, length - (at - offset), count);
    default:
      return ANYONE;
  }
}

/** Where a packet's transport header begins, eight bytes of it being there; -1 where none does. */
function transportAt(bytes: Uint8Array, offset: number, length: number): number {
  if (length < IPV4_HEADER_LENGTH || bytes[offset] >> 4 !== 4) return -1;
  const header = ipv4HeaderLength(bytes, offset);
  if (header < IPV4_HEADER_LENGTH || length < header + 8) return -1;
  const isLaterFragment = (read16(bytes, offset + 6) & 0x1fff) !== 0;
  return isLaterFragment ? -1 : offset + header;
}

function icmpOwner(bytes: Uint8Array, offset: number, length: number, count: number): number {
  const type = icmpType(bytes, offset);
  if (type === ICMP_ECHO_REPLY) return identifierOwner(icmpIdentifier(bytes, offset), count);
  if (!isIcmpv4Error(type)) return ANYONE;
  const quoted = offset + ICMPV4_HEADER_LENGTH;
  const at = transportAt(bytes, quoted, length - ICMPV4_HEADER_LENGTH);
  if (at < 0) return ANYONE;
  switch (ipv4Protocol(bytes, quoted)) {
    case PROTOCOL_TCP:
    case PROTOCOL_UDP: {
      const owner = portOwner(read16(bytes, at), count);
      return owner < 0 ? EVERYONE : owner;
    }
    case PROTOCOL_ICMP:
      return identifierOwner(icmpIdentifier(bytes, at), count);
    default:
      return ANYONE;
  }
}
