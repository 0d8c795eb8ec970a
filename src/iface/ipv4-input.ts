import { BAD_CHECKSUM, OK } from "../errors.ts";
import type { SocketSet } from "../socket/socket-set.ts";
import type { Stats } from "../stats.ts";
import {
  CODE_PORT_UNREACHABLE,
  CODE_PROTOCOL_UNREACHABLE,
  ICMP_DESTINATION_UNREACHABLE,
  ICMPV4_HEADER_LENGTH,
  icmpType,
  isIcmpv4Error,
} from "../wire/icmpv4.ts";
import { type IpAddress, isLoopback, isMulticast, isUnspecified, sameAddress } from "../wire/ip-address.ts";
import {
  checkIpv4,
  ECN_MASK,
  IPV4_HEADER_LENGTH,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4Tos,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  readIpv4Destination,
  readIpv4Source,
} from "../wire/ipv4.ts";
import { completeChecksum } from "../wire/offload.ts";
import { ACK, PSH, parseTcp, SYN, TCP_HEADER_LENGTH, tcpOptionsLength, verifyTcp } from "../wire/tcp.ts";
import {
  checkUdp,
  UDP_HEADER_LENGTH,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
  verifyUdp,
} from "../wire/udp.ts";
import { icmpInput } from "./icmp-input.ts";
import type { Interface } from "./interface.ts";
import { lendFrame, sendIcmpError, sendTcpFrame } from "./ipv4-output.ts";

const VERSION_4 = 4;

/** Takes one received IP packet of at most `length` bytes (link padding may follow it) to where it belongs. */
export function ipInput(
  iface: Interface,
  sockets: SocketSet,
  bytes: Uint8Array,
  offset: number,
  length: number,
  checksumKnown: boolean,
  segmentSize: number,
): void {
  const { flow, segment } = iface;
  if (flow.take(sockets, segment, bytes, offset, length, checksumKnown)) return;
  const { stats } = sockets.context;
  if (length === 0 || bytes[offset] >> 4 !== VERSION_4) {
    stats.unknownNetworkProtocol++;
    return;
  }
  const code = checkIpv4(bytes, offset, length);
  if (code !== OK) {
    if (code === BAD_CHECKSUM) stats.ipv4BadChecksum++;
    else stats.ipv4Malformed++;
    return;
  }
  const { source, destination } = segment;
  readIpv4Source(bytes, offset, source);
  readIpv4Destination(bytes, offset, destination);
  let unicast = true;
  // Packets come in trains: where the last one's addresses were in order, so are the same ones again.
  if (!iface.isKnownPair(source.w3, destination.w3)) {
    if (isMartianSource(iface, source)) {
      stats.ipv4MartianSource++;
      return;
    }
    unicast = iface.hasAddress(destination);
    if (unicast) {
      iface.notePair(source.w3, destination.w3);
    } else if (!iface.isBroadcastAddress(destination)) {
      foreignInput(iface, sockets, bytes, offset, checksumKnown, segmentSize);
      return;
    }
  }
  if (ipv4IsFragment(bytes, offset)) {
    stats.ipv4FragmentsDropped++;
    return;
  }
  const headerLength = ipv4HeaderLength(bytes, offset);
  const at = offset + headerLength;
  const bodyLength = ipv4TotalLength(bytes, offset) - headerLength;
  switch (ipv4Protocol(bytes, offset)) {
    case PROTOCOL_TCP: {
      // RFC 9293 3.9.2.3: a connection has one peer, so nothing that was sent to many belongs to one.
      if (!unicast) {
        stats.ipv4NotForUs++;
        return;
      }
      const ecn = ipv4Tos(bytes, offset) & ECN_MASK;
      tcpInput(iface, sockets, bytes, at, bodyLength, checksumKnown, segmentSize, ecn, false);
      return;
    }
    case PROTOCOL_UDP:
      udpInput(iface, sockets, bytes, offset, at, bodyLength, checksumKnown, segmentSize, unicast);
      return;
    case PROTOCOL_ICMP:
      icmpInput(iface, sockets, bytes, offset, at, bodyLength, unicast);
      return;
    default:
      stats.ipv4UnknownProtocol++;
      // RFC 1122 3.2.2.1
      if (unicast) {
        sendUnreachable(iface, bytes, offset, CODE_PROTOCOL_UNREACHABLE, sockets.context.now, stats);
      }
  }
}

/** A packet to an address that is none of the interface's: nobody's business, unless there is a catch-all. */
function foreignInput(
  iface: Interface,
  sockets: SocketSet,
  bytes: Uint8Array,
  offset: number,
  checksumKnown: boolean,
  segmentSize: number,
): void {
  const headerLength = ipv4HeaderLength(bytes, offset);
  const at = offset + headerLength;
  const length = ipv4TotalLength(bytes, offset) - headerLength;
  const protocol = ipv4Protocol(bytes, offset);
  if (!sockets.catchesAll || ipv4IsFragment(bytes, offset) || !mayBeCaught(iface)) {
    sockets.context.stats.ipv4NotForUs++;
  } else if (protocol === PROTOCOL_TCP) {
    const ecn = ipv4Tos(bytes, offset) & ECN_MASK;
    tcpInput(iface, sockets, bytes, at, length, checksumKnown, segmentSize, ecn, true);
  } else if (protocol === PROTOCOL_ICMP && isAboutTcp(bytes, at, length)) {
    icmpInput(iface, sockets, bytes, offset, at, length, false);
  } else {
    sockets.context.stats.ipv4NotForUs++;
  }
}

/** May the packet be from one host to another one? */
function mayBeCaught(iface: Interface): boolean {
  const { source, destination } = iface.segment;
  if (isMulticast(destination) || isLoopback(destination) || isUnspecified(destination)) return false;
  return !sameAddress(source, destination);
}

/** Is the ICMP message an error about a segment? */
function isAboutTcp(bytes: Uint8Array, offset: number, length: number): boolean {
  const quoted = offset + ICMPV4_HEADER_LENGTH;
  return (
    length >= ICMPV4_HEADER_LENGTH + IPV4_HEADER_LENGTH &&
    isIcmpv4Error(icmpType(bytes, offset)) &&
    ipv4Protocol(bytes, quoted) === PROTOCOL_TCP
  );
}

/** RFC 1122 3.2.1.3: sources that no packet from a network can have. */
function isMartianSource(iface: Interface, source: IpAddress): boolean {
  return (
    isMulticast(source) ||
    isLoopback(source) ||
    isUnspecified(source) ||
    iface.isBroadcastAddress(source) ||
    iface.hasAddress(source)
  );
}

function tcpInput(
  iface: Interface,
  sockets: SocketSet,
  bytes: Uint8Array,
  offset: number,
  length: number,
  checksumKnown: boolean,
  segmentSize: number,
  ecn: number,
  isForeign: boolean,
): void {
  const { stats } = sockets.context;
  const { segment: seg, outgoing: answer } = iface;
  if (parseTcp(bytes, offset, length, seg) !== OK) {
    stats.tcpMalformed++;
    return;
  }
  if (!checksumKnown && !verifyTcp(bytes, offset, length, seg.source, seg.destination)) {
    stats.tcpBadChecksum++;
    return;
  }
  seg.segmentSize = segmentSize;
  seg.ecn = ecn;
  stats.tcpSegmentsReceived++;
  const isText = seg.payloadLength > 0;
  const isUsual = (seg.flags & ~PSH) === ACK;
  const isAnswered = sockets.tcpSegmentArrives(seg, bytes, iface, answer, isForeign);
  if (isUsual && sockets.lastFound !== null) {
    iface.flow.learn(bytes, offset - IPV4_HEADER_LENGTH, seg, sockets.lastFound, isText);
  }
  if (!isAnswered) return;
  const frame = lendFrame(iface, TCP_HEADER_LENGTH + tcpOptionsLength(answer));
  if (frame === null) {
    stats.framesDroppedDeviceFull++;
    return;
  }
  sendTcpFrame(iface, frame, answer, stats);
  if (!(answer.flags & SYN)) stats.tcpResetsSent++;
}

function udpInput(
  iface: Interface,
  sockets: SocketSet,
  bytes: Uint8Array,
  packet: number,
  offset: number,
  length: number,
  checksumKnown: boolean,
  segmentSize: number,
  unicast: boolean,
): void {
  const { stats, now } = sockets.context;
  const { source, destination } = iface.segment;
  if (checkUdp(bytes, offset, length) !== OK) {
    stats.udpMalformed++;
    return;
  }
  if (!checksumKnown && !verifyUdp(bytes, offset, source, destination)) {
    stats.udpBadChecksum++;
    return;
  }
  const socket = sockets.findUdp(destination, udpDestinationPort(bytes, offset));
  if (socket === null) {
    stats.udpNoPort++;
    // RFC 1122 4.1.3.1; never to who sent to many (3.2.2).
    if (!unicast) return;
    // Where the device vouches for the checksum, the field may not hold it yet; who reads the quotation takes it at that.
    if (checksumKnown) completeChecksum(bytes, packet, ipv4TotalLength(bytes, packet), "ip");
    sendUnreachable(iface, bytes, packet, CODE_PORT_UNREACHABLE, now, stats);
    return;
  }
  const payload = offset + UDP_HEADER_LENGTH;
  const payloadLength = udpLength(bytes, offset) - UDP_HEADER_LENGTH;
  // Datagrams of one size that the device has joined come apart again; an empty one is a datagram, too.
  const size = segmentSize > 0 ? segmentSize : Math.max(payloadLength, 1);
  for (let done = 0; done === 0 || done < payloadLength; done += size) {
    const part = Math.min(size, payloadLength - done);
    if (socket.deliver(bytes, payload + done, part, source, udpSourcePort(bytes, offset), destination)) {
      stats.udpReceived++;
    } else {
      stats.udpQueueFull++;
    }
  }
}

function sendUnreachable(
  iface: Interface,
  bytes: Uint8Array,
  packet: number,
  code: number,
  now: number,
  stats: Stats,
): void {
  sendIcmpError(iface, bytes, packet, ICMP_DESTINATION_UNREACHABLE, code, 0, now, stats);
}
