import { writeIcmpv4 } from "../../src/wire/icmpv4.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import {
  IPV4_HEADER_LENGTH,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  writeIpv4,
} from "../../src/wire/ipv4.ts";
import { formatPacket } from "../../src/wire/print.ts";
import { finishTcpChecksum, TcpSegment, writeTcp } from "../../src/wire/tcp.ts";
import { UDP_HEADER_LENGTH, writeUdp } from "../../src/wire/udp.ts";

/** Both ends of a packet. */
export interface Ends {
  readonly from: string;
  readonly to: string;
}

/** An IPv4 packet around a transport header and payload that start at byte 20. */
function ipv4(ends: Ends, protocol: number, packet: Uint8Array): Uint8Array {
  writeIpv4(packet, 0, packet.length, protocol, 64, parseAddress(ends.from), parseAddress(ends.to));
  return packet;
}

/** Any protocol's packet. */
export function ipv4Packet(ends: Ends, protocol: number, payload: Uint8Array): Uint8Array {
  const packet = new Uint8Array(IPV4_HEADER_LENGTH + payload.length);
  packet.set(payload, IPV4_HEADER_LENGTH);
  return ipv4(ends, protocol, packet);
}

export function udpPacket(ends: Ends, fromPort: number, toPort: number, payload: Uint8Array): Uint8Array {
  const packet = new Uint8Array(IPV4_HEADER_LENGTH + UDP_HEADER_LENGTH + payload.length);
  packet.set(payload, IPV4_HEADER_LENGTH + UDP_HEADER_LENGTH);
  const length = UDP_HEADER_LENGTH + payload.length;
  const [source, destination] = [parseAddress(ends.from), parseAddress(ends.to)];
  writeUdp(packet, IPV4_HEADER_LENGTH, length, fromPort, toPort, source, destination, true);
  return ipv4(ends, PROTOCOL_UDP, packet);
}

export function icmpPacket(
  ends: Ends,
  type: number,
  code: number,
  rest: number,
  body: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const packet = new Uint8Array(IPV4_HEADER_LENGTH + 8 + body.length);
  packet.set(body, IPV4_HEADER_LENGTH + 8);
  writeIcmpv4(packet, IPV4_HEADER_LENGTH, 8 + body.length, type, code, rest);
  return ipv4(ends, PROTOCOL_ICMP, packet);
}

export function tcpPacket(
  ends: Ends,
  fields: Partial<TcpSegment>,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const segment = Object.assign(new TcpSegment(), fields);
  const packet = new Uint8Array(IPV4_HEADER_LENGTH + 60 + payload.length);
  const header = writeTcp(packet, IPV4_HEADER_LENGTH, segment);
  packet.set(payload, IPV4_HEADER_LENGTH + header);
  const length = header + payload.length;
  const [source, destination] = [parseAddress(ends.from), parseAddress(ends.to)];
  finishTcpChecksum(packet, IPV4_HEADER_LENGTH, length, source, destination, true);
  return ipv4(ends, PROTOCOL_TCP, packet.subarray(0, IPV4_HEADER_LENGTH + length));
}

/** Packets as tcpdump prints them. */
export function lines(packets: readonly Uint8Array[]): string[] {
  return packets.map((packet) => formatPacket(packet, 0, packet.length));
}
