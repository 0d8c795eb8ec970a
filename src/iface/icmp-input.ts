import { OK } from "../errors.ts";
import { icmpErrorCode } from "../socket/icmp-error-code.ts";
import type { SocketSet } from "../socket/socket-set.ts";
import { onFragmentationNeeded, onIcmpError } from "../socket/tcp/icmp-error.ts";
import { read16, read32 } from "../wire/bytes.ts";
import {
  CODE_FRAGMENTATION_NEEDED,
  CODE_PORT_UNREACHABLE,
  CODE_PROTOCOL_UNREACHABLE,
  checkIcmpv4,
  ICMP_DESTINATION_UNREACHABLE,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_REDIRECT,
  ICMP_SOURCE_QUENCH,
  ICMPV4_HEADER_LENGTH,
  icmpCode,
  icmpIdentifier,
  icmpNextHopMtu,
  icmpSequence,
  icmpType,
  isIcmpv4Error,
} from "../wire/icmpv4.ts";
import { sameAddress } from "../wire/ip-address.ts";
import {
  IPV4_HEADER_LENGTH,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4TotalLength,
  ipv4Ttl,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  readIpv4Destination,
  readIpv4Source,
} from "../wire/ipv4.ts";
import type { Interface } from "./interface.ts";
import { sendIcmpReply } from "./ipv4-output.ts";

/**
 * RFC 792: the ICMP message of `length` bytes at `offset`, in the packet that starts at `packet`.
 */
export function icmpInput(
  iface: Interface,
  sockets: SocketSet,
  bytes: Uint8Array,
  packet: number,
  offset: number,
  length: number,
  unicast: boolean,
): void {
  const { stats } = sockets.context;
  if (checkIcmpv4(bytes, offset, length) !== OK) {
    stats.icmpMalformed++;
    return;
  }
  const type = icmpType(bytes, offset);
  // RFC 1122 3.2.2.6: an echo request that went to many may be ignored, and is.
  if (type === ICMP_ECHO_REQUEST && unicast) {
    stats.icmpEchoRequests++;
    const rest = (icmpIdentifier(bytes, offset) << 16) | icmpSequence(bytes, offset);
    sendIcmpReply(iface, bytes, offset, length, ICMP_ECHO_REPLY, rest, stats);
  } else if (type === ICMP_ECHO_REPLY && unicast) {
    echoReply(iface, sockets, bytes, packet, offset, length);
  } else if (isIcmpv4Error(type)) {
    stats.icmpErrorsReceived++;
    // RFC 1122 4.2.3.9, RFC 6633: source quench is ignored; a redirect would have to be believed by routing.
    if (type !== ICMP_SOURCE_QUENCH && type !== ICMP_REDIRECT) {
      errorReport(iface, sockets, bytes, packet, offset, length);
    }
  } else {
    stats.icmpIgnored++;
  }
}

function echoReply(
  iface: Interface,
  sockets: SocketSet,
  bytes: Uint8Array,
  packet: number,
  offset: number,
  length: number,
): void {
  const { stats } = sockets.context;
  const socket = sockets.findIcmp(icmpIdentifier(bytes, offset));
  if (socket === null) {
    stats.icmpIgnored++;
    return;
  }
  const { source } = iface.segment;
  const data = offset + ICMPV4_HEADER_LENGTH;
  const dataLength = length - ICMPV4_HEADER_LENGTH;
  const sequence = icmpSequence(bytes, offset);
  const ttl = ipv4Ttl(bytes, packet);
  if (socket.deliver(bytes, data, dataLength, ICMP_ECHO_REPLY, 0, sequence, ttl, source, source)) {
    stats.icmpEchoReplies++;
  } else {
    stats.icmpQueueFull++;
  }
}

/**
 * An error, which quotes a packet of ours. The quotation is what an attacker would have to guess, so as much of it must fit
 * as we remember (RFC 5927 4): of a segment the connection and a sequence number in flight, of an echo request the
 * identifier, the sequence number and whom it was for. Of a datagram there is only our address and port, for a socket
 * does not remember where it has sent to; the error is told, and ends nothing.
 */
function errorReport(
  iface: Interface,
  sockets: SocketSet,
  bytes: Uint8Array,
  packet: number,
  offset: number,
  length: number,
): void {
  const quoted = offset + ICMPV4_HEADER_LENGTH;
  const quotedLength = length - ICMPV4_HEADER_LENGTH;
  // The quotation may be cut short behind eight bytes of text, so it is no packet that `checkIpv4` would pass.
  if (quotedLength < IPV4_HEADER_LENGTH || bytes[quoted] >> 4 !== 4) return;
  const headerLength = ipv4HeaderLength(bytes, quoted);
  if (headerLength < IPV4_HEADER_LENGTH || quotedLength < headerLength + 8) return;
  if (ipv4IsFragment(bytes, quoted)) return;
  const { source, destination } = iface.outgoing;
  readIpv4Source(bytes, quoted, source);
  readIpv4Destination(bytes, quoted, destination);
  // It goes to the sender of what it quotes.
  if (!sameAddress(source, iface.segment.destination)) return;
  const type = icmpType(bytes, offset);
  const code = icmpCode(bytes, offset);
  const at = quoted + headerLength;
  switch (ipv4Protocol(bytes, quoted)) {
    case PROTOCOL_TCP:
      tcpError(iface, sockets, bytes, quoted, at, type, code, icmpNextHopMtu(bytes, offset));
      return;
    case PROTOCOL_UDP: {
      const socket = sockets.findUdp(source, read16(bytes, at));
      const isTooLarge = type === ICMP_DESTINATION_UNREACHABLE && code === CODE_FRAGMENTATION_NEEDED;
      const mtu = isTooLarge ? icmpNextHopMtu(bytes, offset) : 0;
      socket?.deliverError(type, code, destination, read16(bytes, at + 2), source, mtu);
      return;
    }
    case PROTOCOL_ICMP:
      echoError(iface, sockets, bytes, packet, at, type, code);
  }
}

/**
 * RFC 9293 3.9.2.2: tells a connection that its segment, whose header is quoted at `offset` in the packet at `packet`, did
 * not arrive.
 */
function tcpError(
  iface: Interface,
  sockets: SocketSet,
  bytes: Uint8Array,
  packet: number,
  offset: number,
  type: number,
  code: number,
  nextHopMtu: number,
): void {
  const { source, destination } = iface.outgoing;
  const tcb = sockets.findTcb(source, read16(bytes, offset), destination, read16(bytes, offset + 2));
  if (tcb === null) {
    sockets.context.stats.tcpErrorsIgnored++;
    return;
  }
  const seq = read32(bytes, offset + 4);
  const isUnreachable = type === ICMP_DESTINATION_UNREACHABLE;
  if (isUnreachable && code === CODE_FRAGMENTATION_NEEDED) {
    onFragmentationNeeded(tcb, seq, ipv4TotalLength(bytes, packet), nextHopMtu);
    return;
  }
  // RFC 1122 4.2.3.9 names the hard ones; what later RFCs have added is for firewalls to say, and soft.
  const hard = isUnreachable && (code === CODE_PROTOCOL_UNREACHABLE || code === CODE_PORT_UNREACHABLE);
  const error = icmpErrorCode(type, code);
  if (error !== null) onIcmpError(tcb, seq, error, hard);
}

/** Tells who sent the echo request whose header is quoted at `offset`. */
function echoError(
  iface: Interface,
  sockets: SocketSet,
  bytes: Uint8Array,
  packet: number,
  offset: number,
  type: number,
  code: number,
): void {
  const { stats } = sockets.context;
  if (icmpType(bytes, offset) !== ICMP_ECHO_REQUEST) return;
  const socket = sockets.findIcmp(icmpIdentifier(bytes, offset));
  const sequence = icmpSequence(bytes, offset);
  if (socket === null || !socket.hasAsked(sequence, iface.outgoing.destination)) {
    stats.icmpIgnored++;
    return;
  }
  const ttl = ipv4Ttl(bytes, packet);
  const { source } = iface.segment;
  if (!socket.deliver(bytes, offset, 0, type, code, sequence, ttl, source, iface.outgoing.destination)) {
    stats.icmpQueueFull++;
  }
}
