import type { Frame } from "../device.ts";
import type { Stats } from "../stats.ts";
import { copyBytes } from "../storage/copy.ts";
import { ICMPV4_HEADER_LENGTH, writeIcmpv4 } from "../wire/icmpv4.ts";
import type { IpAddress } from "../wire/ip-address.ts";
import {
  IPV4_HEADER_LENGTH,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  readIpv4Destination,
  readIpv4Source,
  writeIpv4,
} from "../wire/ipv4.ts";
import {
  finishTcpChecksum,
  TCP_HEADER_LENGTH,
  type TcpSegment,
  tcpOptionsLength,
  writeTcp,
} from "../wire/tcp.ts";
import { UDP_HEADER_LENGTH, writeUdp } from "../wire/udp.ts";
import type { Interface } from "./interface.ts";
import { linkOutput } from "./link-output.ts";

/** Puts packets together in the device's frames. */

const DEFAULT_TTL = 64;
/** RFC 1812 4.3.2.3: as much of the packet as fits without exceeding 576 bytes, and here not the MTU either. */
const LARGEST_ICMP_ERROR = 576;

/**
 * Lends a frame for a packet with `length` bytes behind the IP header, or notes that the device is full. They go to
 * `payloadOffset`.
 */
export function lendFrame(iface: Interface, length: number): Frame | null {
  const frame = iface.device.transmit(iface.linkHeaderLength + IPV4_HEADER_LENGTH + length);
  if (frame === null) iface.blocked = true;
  return frame;
}

/** Where what follows the IP header goes in `frame`. */
export function payloadOffset(iface: Interface, frame: Frame): number {
  return frame.offset + iface.linkHeaderLength + IPV4_HEADER_LENGTH;
}

/**
 * Sends `seg` in `frame`; its text, if any, has been put behind where the header ends. The frame has room for it. Where
 * others like it follow, the interface's template takes over the headers.
 */
export function sendTcpFrame(
  iface: Interface,
  frame: Frame,
  seg: TcpSegment,
  stats: Stats,
  isFollowed = false,
): void {
  const at = payloadOffset(iface, frame);
  const headerLength = writeTcp(frame.bytes, at, seg);
  const length = headerLength + seg.payloadLength;
  const offloaded = iface.device.capabilities.checksumOffload;
  finishTcpChecksum(frame.bytes, at, length, seg.source, seg.destination, !offloaded);
  frame.checksumOffloaded = offloaded;
  frame.segmentSize = seg.segmentSize;
  const { source, destination } = seg;
  const ttl = seg.ttl === 0 ? DEFAULT_TTL : seg.ttl;
  finishIpv4(iface, frame, length, PROTOCOL_TCP, source, destination, ttl, seg.dscp | seg.ecn);
  if (isFollowed) {
    const packet = at - IPV4_HEADER_LENGTH;
    iface.template.take(frame.bytes, packet, IPV4_HEADER_LENGTH + headerLength, seg, offloaded);
  }
  linkOutput(iface, frame, seg.destination);
  stats.tcpSegmentsSent++;
}

/** Where the text of `seg` goes in `frame`. */
export function tcpTextOffset(iface: Interface, frame: Frame, seg: TcpSegment): number {
  return payloadOffset(iface, frame) + TCP_HEADER_LENGTH + tcpOptionsLength(seg);
}

/** Sends a datagram whose payload has been put behind where the headers end. */
export function sendUdpFrame(
  iface: Interface,
  frame: Frame,
  payloadLength: number,
  source: IpAddress,
  sourcePort: number,
  destination: IpAddress,
  destinationPort: number,
  stats: Stats,
): void {
  const at = payloadOffset(iface, frame);
  const length = UDP_HEADER_LENGTH + payloadLength;
  const offloaded = iface.device.capabilities.checksumOffload;
  writeUdp(frame.bytes, at, length, sourcePort, destinationPort, source, destination, !offloaded);
  frame.checksumOffloaded = offloaded;
  commitIpv4(iface, frame, length, PROTOCOL_UDP, source, destination);
  stats.udpSent++;
}

/**
 * Answers the ICMP message of `length` bytes at `offset` by one of `type` and `code` with the same body: an echo reply.
 */
export function sendIcmpReply(
  iface: Interface,
  bytes: Uint8Array,
  offset: number,
  length: number,
  type: number,
  restOfHeader: number,
  stats: Stats,
): void {
  // A peer whose MTU is larger than ours may ask for more than we can send.
  if (IPV4_HEADER_LENGTH + length > iface.mtu) {
    stats.packetsTooLarge++;
    return;
  }
  const frame = lendFrame(iface, length);
  if (frame === null) {
    stats.framesDroppedDeviceFull++;
    return;
  }
  const at = payloadOffset(iface, frame);
  const body = length - ICMPV4_HEADER_LENGTH;
  copyBytes(bytes, offset + ICMPV4_HEADER_LENGTH, frame.bytes, at + ICMPV4_HEADER_LENGTH, body);
  writeIcmpv4(frame.bytes, at, length, type, 0, restOfHeader);
  const { source, destination } = iface.segment;
  commitIpv4(iface, frame, length, PROTOCOL_ICMP, destination, source);
}

/**
 * RFC 792, RFC 1122 3.2.2: tells the sender of the IPv4 packet at `offset` what is wrong with it. The caller has made
 * sure that the packet may be answered (it is no ICMP error, and went to one host).
 */
export function sendIcmpError(
  iface: Interface,
  bytes: Uint8Array,
  offset: number,
  type: number,
  code: number,
  restOfHeader: number,
  now: number,
  stats: Stats,
): void {
  if (!iface.icmpErrors.take(now)) {
    stats.icmpErrorsRateLimited++;
    return;
  }
  const room = Math.min(LARGEST_ICMP_ERROR, iface.mtu) - IPV4_HEADER_LENGTH - ICMPV4_HEADER_LENGTH;
  const quoted = Math.min(ipv4TotalLength(bytes, offset), room);
  const length = ICMPV4_HEADER_LENGTH + quoted;
  const frame = lendFrame(iface, length);
  if (frame === null) {
    stats.framesDroppedDeviceFull++;
    return;
  }
  const at = payloadOffset(iface, frame);
  copyBytes(bytes, offset, frame.bytes, at + ICMPV4_HEADER_LENGTH, quoted);
  writeIcmpv4(frame.bytes, at, length, type, code, restOfHeader);
  const { source, destination } = iface.outgoing;
  readIpv4Destination(bytes, offset, source);
  readIpv4Source(bytes, offset, destination);
  commitIpv4(iface, frame, length, PROTOCOL_ICMP, source, destination);
  stats.icmpErrorsSent++;
}

/** Sends `frame`, whose packet has `length` bytes behind the IP header, which this writes. */
export function commitIpv4(
  iface: Interface,
  frame: Frame,
  length: number,
  protocol: number,
  source: IpAddress,
  destination: IpAddress,
  ttl = DEFAULT_TTL,
): void {
  finishIpv4(iface, frame, length, protocol, source, destination, ttl, 0);
  linkOutput(iface, frame, destination);
}

/** Completes `frame` but for the link's header. */
function finishIpv4(
  iface: Interface,
  frame: Frame,
  length: number,
  protocol: number,
  source: IpAddress,
  destination: IpAddress,
  ttl: number,
  tos: number,
): void {
  const header = iface.linkHeaderLength;
  const total = IPV4_HEADER_LENGTH + length;
  // RFC 6864 4.1: a packet that must not be fragmented needs no identification.
  writeIpv4(frame.bytes, frame.offset + header, total, protocol, ttl, source, destination, 0, tos);
  frame.length = header + total;
}
