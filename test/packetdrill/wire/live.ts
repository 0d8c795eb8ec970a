/**
 * Packets as they are on the wire: made of fields, and taken apart. Independent of the stack's own code for that, which
 * is under test.
 */

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** Bits of the TCP header, of `LiveTcp.flags`; AE is RFC 9768's. */
export const FLAG_BITS = { F: 1, S: 2, R: 4, P: 8, ".": 16, U: 32, E: 64, W: 128, A: 256 } as const;

export interface IpHeader {
  /** Addresses as numbers of 32 bits. */
  readonly source: number;
  readonly destination: number;
  readonly tos: number;
  readonly ttl: number;
}

export interface LiveTcp {
  readonly protocol: "tcp";
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly ack: number;
  readonly flags: number;
  /** The three bits between the flags and the data offset. */
  readonly reserved: number;
  readonly window: number;
  readonly urgent: number;
  /** One after the other, kind and length included. */
  readonly options: readonly Uint8Array[];
  readonly payload: Uint8Array;
}

export interface LiveUdp {
  readonly protocol: "udp";
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
}

export interface LiveIcmp {
  readonly protocol: "icmp";
  readonly type: number;
  readonly code: number;
  /** The four bytes behind the checksum: an MTU, an identifier and a number. */
  readonly rest: number;
  readonly payload: Uint8Array;
}

export interface LiveOther {
  readonly protocol: "other";
  /** What it is, and why it is not understood. */
  readonly what: string;
}

export interface LivePacket {
  /** When it was sent, in ms. */
  readonly at: number;
  readonly ip: IpHeader;
  readonly body: LiveTcp | LiveUdp | LiveIcmp | LiveOther;
}

/** RFC 1071. */
function onesSum(bytes: Uint8Array, initial: number): number {
  let sum = initial;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

function pseudoHeader(ip: { source: number; destination: number }, protocol: number, length: number): number {
  const { source, destination } = ip;
  return (
    (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + protocol + length
  );
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Puts an IPv4 header before `body`. `length` is what the header says, where that is not the truth. */
export function ipPacket(
  ip: IpHeader,
  protocol: number,
  body: Uint8Array,
  length = 20 + body.length,
): Uint8Array {
  const packet = new Uint8Array(20 + body.length);
  const header = view(packet);
  packet[0] = 0x45;
  packet[1] = ip.tos;
  header.setUint16(2, length);
  packet[8] = ip.ttl;
  packet[9] = protocol;
  header.setUint32(12, ip.source);
  header.setUint32(16, ip.destination);
  header.setUint16(10, ~onesSum(packet.subarray(0, 20), 0) & 0xffff);
  packet.set(body, 20);
  return packet;
}

export function tcpPacket(ip: IpHeader, tcp: Omit<LiveTcp, "protocol" | "reserved">): Uint8Array {
  const optionsLength = tcp.options.reduce((sum, option) => sum + option.length, 0);
  const headerLength = 20 + optionsLength;
  const segment = new Uint8Array(headerLength + tcp.payload.length);
  const header = view(segment);
  header.setUint16(0, tcp.sourcePort);
  header.setUint16(2, tcp.destinationPort);
  header.setUint32(4, tcp.sequence);
  header.setUint32(8, tcp.ack);
  header.setUint16(12, ((headerLength / 4) << 12) | tcp.flags);
  header.setUint16(14, tcp.window);
  header.setUint16(18, tcp.urgent);
  let at = 20;
  for (const option of tcp.options) {
    segment.set(option, at);
    at += option.length;
  }
  segment.set(tcp.payload, headerLength);
  header.setUint16(16, ~onesSum(segment, pseudoHeader(ip, PROTOCOL_TCP, segment.length)) & 0xffff);
  return ipPacket(ip, PROTOCOL_TCP, segment);
}

export function udpPacket(ip: IpHeader, udp: Omit<LiveUdp, "protocol">): Uint8Array {
  const datagram = new Uint8Array(8 + udp.payload.length);
  const header = view(datagram);
  header.setUint16(0, udp.sourcePort);
  header.setUint16(2, udp.destinationPort);
  header.setUint16(4, datagram.length);
  datagram.set(udp.payload, 8);
  const sum = ~onesSum(datagram, pseudoHeader(ip, PROTOCOL_UDP, datagram.length)) & 0xffff;
  header.setUint16(6, sum === 0 ? 0xffff : sum);
  return ipPacket(ip, PROTOCOL_UDP, datagram);
}

export function icmpPacket(ip: IpHeader, icmp: Omit<LiveIcmp, "protocol">): Uint8Array {
  const message = new Uint8Array(8 + icmp.payload.length);
  const header = view(message);
  message[0] = icmp.type;
  message[1] = icmp.code;
  header.setUint32(4, icmp.rest);
  message.set(icmp.payload, 8);
  header.setUint16(2, ~onesSum(message, 0) & 0xffff);
  return ipPacket(ip, PROTOCOL_ICMP, message);
}

/** Takes a packet apart that was sent at `at` (ms). What is wrong with it makes it `other`. */
export function readPacket(packet: Uint8Array, at: number): LivePacket {
  const header = view(packet);
  const none: IpHeader = { source: 0, destination: 0, tos: 0, ttl: 0 };
  if (packet.length < 20 || packet[0] !== 0x45)
    return { at, ip: none, body: other("no IPv4 packet without options") };
  const ip: IpHeader = {
    source: header.getUint32(12),
    destination: header.getUint32(16),
    tos: packet[1] ?? 0,
    ttl: packet[8] ?? 0,
  };
  if (onesSum(packet.subarray(0, 20), 0) !== 0xffff) return { at, ip, body: other("a bad IP checksum") };
  if (header.getUint16(2) !== packet.length) return { at, ip, body: other("a wrong IP length") };
  if ((header.getUint16(6) & 0x3fff) !== 0) return { at, ip, body: other("a fragment") };
  return { at, ip, body: readBody(ip, packet[9] ?? 0, packet.subarray(20)) };
}

function other(what: string): LiveOther {
  return { protocol: "other", what };
}

function readBody(ip: IpHeader, protocol: number, bytes: Uint8Array): LivePacket["body"] {
  const pseudo = pseudoHeader(ip, protocol, bytes.length);
  if (protocol === PROTOCOL_ICMP) {
    return onesSum(bytes, 0) === 0xffff ? readIcmp(bytes) : other("a bad ICMP checksum");
  }
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) return other(`protocol ${protocol}`);
  const isUnsummed = protocol === PROTOCOL_UDP && view(bytes).getUint16(6) === 0;
  if (!isUnsummed && onesSum(bytes, pseudo) !== 0xffff) return other("a bad TCP or UDP checksum");
  return protocol === PROTOCOL_TCP ? readTcp(bytes) : readUdp(bytes);
}

function readIcmp(bytes: Uint8Array): LiveIcmp {
  const rest = view(bytes).getUint32(4);
  return { protocol: "icmp", type: bytes[0] ?? 0, code: bytes[1] ?? 0, rest, payload: bytes.slice(8) };
}

function readUdp(bytes: Uint8Array): LiveUdp {
  const header = view(bytes);
  return {
    protocol: "udp",
    sourcePort: header.getUint16(0),
    destinationPort: header.getUint16(2),
    payload: bytes.slice(8),
  };
}

function readTcp(bytes: Uint8Array): LiveTcp | LiveOther {
  const header = view(bytes);
  const word = header.getUint16(12);
  const headerLength = (word >>> 12) * 4;
  if (headerLength < 20 || headerLength > bytes.length) return other("a wrong data offset");
  const options = splitOptions(bytes.slice(20, headerLength));
  if (options === null) return other("TCP options that overlap the data");
  return {
    protocol: "tcp",
    sourcePort: header.getUint16(0),
    destinationPort: header.getUint16(2),
    sequence: header.getUint32(4),
    ack: header.getUint32(8),
    flags: word & 0x1ff,
    reserved: (word >>> 9) & 7,
    window: header.getUint16(14),
    urgent: header.getUint16(18),
    options,
    payload: bytes.slice(headerLength),
  };
}

/** Each option by itself; `null` where one is too long. */
export function splitOptions(bytes: Uint8Array): Uint8Array[] | null {
  const options: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const kind = bytes[at];
    const length = kind === 0 || kind === 1 ? 1 : (bytes[at + 1] ?? 0);
    if (length === 0 || at + length > bytes.length) return null;
    options.push(bytes.slice(at, at + length));
    at += length;
  }
  return options;
}
