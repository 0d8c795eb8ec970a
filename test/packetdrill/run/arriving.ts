import type { IcmpBody, Packet, TcpBody, TcpOption } from "../script.ts";
import { icmpCode, icmpType } from "../wire/icmp-names.ts";
import {
  FLAG_BITS,
  type IpHeader,
  icmpPacket,
  ipPacket,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  tcpPacket,
  udpPacket,
} from "../wire/live.ts";
import type { Flow } from "./flow.ts";

const DEFAULT_TTL = 255;
const ECN_BITS = { noecn: 0, ect1: 1, ect0: 2, ce: 3, ect01: 0 } as const;
/** Bytes of a TCP or UDP header that an ICMP error has always (RFC 792). */
const ECHOED = 8;

export interface Addresses {
  readonly local: number;
  readonly remote: number;
}

/** A packet that cannot be put on the wire: the sentence says why. */
export class PacketError extends Error {
  override readonly name = "PacketError";
}

/**
 * A packet of the script as it goes on the wire.
 *
 * @param isEchoScaled an echo of a timestamp that was never seen is computed from the first one
 * @throws PacketError
 */
export function arrivingPacket(
  packet: Packet,
  flow: Flow,
  addresses: Addresses,
  isEchoScaled: boolean,
): Uint8Array {
  const { body } = packet;
  const ip: IpHeader = {
    source: addresses.remote,
    destination: addresses.local,
    tos:
      packet.ip.tos ??
      ((packet.ip.dscp ?? 0) << 2) | (packet.ip.ecn === undefined ? 0 : ECN_BITS[packet.ip.ecn]),
    ttl: packet.ip.ttl ?? DEFAULT_TTL,
  };
  if (body.protocol === "icmp") return arrivingIcmp(body, ip, flow);
  const sourcePort = packet.ports?.source || flow.remotePort;
  const destinationPort = packet.ports?.destination || flow.localPort;
  if (body.protocol === "udp") {
    return udpPacket(ip, { sourcePort, destinationPort, payload: new Uint8Array(body.length) });
  }
  const isSyn = body.flags.includes("S");
  const isAck = body.flags.includes(".");
  return tcpPacket(ip, {
    sourcePort,
    destinationPort,
    sequence: body.absolute ? (body.sequence ?? 0) : flow.remoteToLive(body.sequence ?? 0, isSyn),
    ack: isAck ? flow.localToLive(body.ack ?? 0) : (body.ack ?? 0),
    flags: flagBits(body),
    window: body.window ?? 0,
    urgent: body.urgent,
    options: optionBytes(body, flow, isEchoScaled),
    payload: new Uint8Array(body.length),
  });
}

function flagBits(body: TcpBody): number {
  let flags = 0;
  for (const letter of body.flags) flags |= FLAG_BITS[letter as keyof typeof FLAG_BITS];
  const ace = body.ace ?? 0;
  if ((ace & 1) !== 0) flags |= FLAG_BITS.E;
  if ((ace & 2) !== 0) flags |= FLAG_BITS.W;
  return (ace & 4) !== 0 ? flags | FLAG_BITS.A : flags;
}

function optionBytes(body: TcpBody, flow: Flow, isEchoScaled: boolean): Uint8Array[] {
  if (body.options === "any") return [];
  return body.options.map((option) => {
    if (option.kind === "other") return option.bytes;
    if (option.kind === "TS") return timestamps(option, body, flow, isEchoScaled);
    const edges = option.blocks.flatMap(({ left, right }) => [left, right]);
    return words(
      5,
      edges.map((edge) => flow.localToLive(edge)),
    );
  });
}

function timestamps(
  option: TcpOption & { kind: "TS" },
  body: TcpBody,
  flow: Flow,
  isEchoScaled: boolean,
): Uint8Array {
  const { value, echo, absoluteEcho } = option;
  if (value === undefined) throw new PacketError("TS val ... is for expected packets: say the value");
  if (absoluteEcho || !body.flags.includes(".")) return words(8, [value, echo]);
  const live = flow.echoToLive(echo, isEchoScaled);
  if (live === null) {
    throw new PacketError(
      `unable to infer live TS ecr for script TS ecr ${echo}; no matching or preceding outbound TS val`,
    );
  }
  return words(8, [value, live]);
}

/** An option of 32-bit words. */
function words(kind: number, values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(2 + 4 * values.length);
  const data = new DataView(bytes.buffer);
  bytes[0] = kind;
  bytes[1] = bytes.length;
  for (const [i, value] of values.entries()) data.setUint32(2 + 4 * i, value);
  return bytes;
}

function arrivingIcmp(body: IcmpBody, ip: IpHeader, flow: Flow): Uint8Array {
  const type = icmpType(body.type);
  if (type === null) throw new PacketError(`icmp ${body.type}: the type is not known`);
  const code = icmpCode(type, body.code);
  if (code === null) throw new PacketError(`icmp ${body.type} ${body.code}: the code is not known`);
  const rest = body.mtu ?? ((body.id ?? 0) << 16) >>> 0;
  const { original } = body;
  if (original.protocol === "raw") {
    return icmpPacket(ip, { type, code, rest, payload: new Uint8Array(Math.max(0, original.length - 8)) });
  }
  return icmpPacket(ip, { type, code, rest, payload: echoed(original, ip, flow) });
}

/** The header of a packet of the stack's, as a router sends it back: the IP header and what of the rest is needed. */
function echoed(
  original: Exclude<IcmpBody["original"], { protocol: "raw" }>,
  ip: IpHeader,
  flow: Flow,
): Uint8Array {
  const start = new Uint8Array(ECHOED);
  const data = new DataView(start.buffer);
  data.setUint16(0, flow.localPort);
  data.setUint16(2, flow.remotePort);
  const isTcp = original.protocol === "tcp";
  if (isTcp) data.setUint32(4, flow.localToLive(original.sequence));
  else data.setUint16(4, 8 + original.length);
  const sent: IpHeader = { source: ip.destination, destination: ip.source, tos: 0, ttl: DEFAULT_TTL };
  const length = 20 + (isTcp ? 20 : 8) + original.length;
  return ipPacket(sent, isTcp ? PROTOCOL_TCP : PROTOCOL_UDP, start, length);
}
