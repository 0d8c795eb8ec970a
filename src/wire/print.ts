/**
 * Packets as text, one line each, in the words of `tcpdump -n -t -S`: what people who debug networks read anyway, and
 * what a test can compare with tcpdump itself. Application protocols are not decoded.
 *
 * For traces and tests: everything here allocates strings.
 */

import { read16, read32 } from "./bytes.ts";
import {
  CODE_ADMIN_PROHIBITED,
  CODE_FRAGMENTATION_NEEDED,
  CODE_HOST_PROHIBITED,
  CODE_HOST_UNKNOWN,
  CODE_HOST_UNREACHABLE,
  CODE_NET_PROHIBITED,
  CODE_NET_UNKNOWN,
  CODE_NET_UNREACHABLE,
  CODE_PORT_UNREACHABLE,
  CODE_PROTOCOL_UNREACHABLE,
  CODE_REASSEMBLY_TIMEOUT,
  CODE_SOURCE_ROUTE_FAILED,
  CODE_TTL_EXCEEDED,
  ICMP_DESTINATION_UNREACHABLE,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_PARAMETER_PROBLEM,
  ICMP_REDIRECT,
  ICMP_SOURCE_QUENCH,
  ICMP_TIME_EXCEEDED,
  ICMP_TIMESTAMP_REPLY,
  ICMP_TIMESTAMP_REQUEST,
  ICMPV4_HEADER_LENGTH,
  icmpCode,
  icmpIdentifier,
  icmpNextHopMtu,
  icmpPointer,
  icmpSequence,
  icmpType,
} from "./icmpv4.ts";
import { formatAddress, IpAddress } from "./ip-address.ts";
import {
  IPV4_HEADER_LENGTH,
  ipv4FragmentOffset,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4Protocol,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  readIpv4Destination,
  readIpv4Source,
} from "./ipv4.ts";
import { ACK, FIN, RST, SYN, TCP_HEADER_LENGTH, URG } from "./tcp.ts";
import { UDP_HEADER_LENGTH, udpDestinationPort, udpLength, udpSourcePort } from "./udp.ts";

/**
 * One line about the IP packet in `bytes[offset .. offset + length)`. Never throws: a packet that is cut short or
 * contradicts itself is printed as far as it goes, and the line says what is wrong. Checksums are not looked at.
 *
 * @example
 * ```ts
 * formatPacket(frame.bytes, frame.offset, frame.length);
 * // "IP 10.0.0.1.40000 > 10.0.0.2.7: Flags [S], seq 1, win 64240, options [mss 1460], length 0"
 * ```
 */
export function formatPacket(bytes: Uint8Array, offset: number, length: number): string {
  // Everything below may trust `length`, whatever the caller passed.
  const end = Math.min(offset + length, bytes.length);
  if (offset < 0 || end <= offset) return "IP  [|ip]";
  const version = bytes[offset] >>> 4;
  if (version === 6) return `IP6, length ${end - offset}`;
  if (version !== 4) return `unknown ip ${version}`;
  return `IP ${formatIpv4(bytes, offset, end)}`;
}

/** What is known while the inside of a packet is printed. */
interface Inside {
  readonly bytes: Uint8Array;
  /** Where the transport header begins. */
  readonly at: number;
  /** Where the bytes there are end: before `at + length` in a packet that was cut short. */
  readonly end: number;
  /** Transport header and payload in bytes, as the IP header states it. */
  readonly length: number;
  readonly fragment: boolean;
  readonly source: string;
  readonly destination: string;
}

function formatIpv4(bytes: Uint8Array, offset: number, end: number): string {
  if (end - offset < IPV4_HEADER_LENGTH) return " [|ip]";
  const headerLength = ipv4HeaderLength(bytes, offset);
  if (headerLength < IPV4_HEADER_LENGTH) return `bad-hlen ${headerLength}`;
  const totalLength = ipv4TotalLength(bytes, offset);
  const missing = totalLength - (end - offset);
  const cut = missing > 0 ? `truncated-ip - ${missing} bytes missing! ` : "";
  if (totalLength < headerLength) return `${cut}bad-len ${totalLength}`;
  const address = new IpAddress(4, 0, 0, 0xffff, 0);
  readIpv4Source(bytes, offset, address);
  const source = formatAddress(address);
  readIpv4Destination(bytes, offset, address);
  const inside: Inside = {
    bytes,
    at: offset + headerLength,
    end: Math.min(end, offset + totalLength),
    length: totalLength - headerLength,
    fragment: ipv4IsFragment(bytes, offset),
    source,
    destination: formatAddress(address),
  };
  const protocol = ipv4Protocol(bytes, offset);
  // Only the first fragment has the transport header.
  if (ipv4FragmentOffset(bytes, offset) !== 0) return `${cut}${hosts(inside)} ip-proto-${protocol}`;
  if (protocol === PROTOCOL_TCP) return cut + formatTcp(inside);
  if (protocol === PROTOCOL_UDP) return cut + formatUdp(inside);
  if (protocol === PROTOCOL_ICMP) return `${cut}${hosts(inside)} ${formatIcmpv4(inside)}`;
  return `${cut}${hosts(inside)}  ip-proto-${protocol} ${inside.length}`;
}

function hosts(inside: Inside): string {
  return `${inside.source} > ${inside.destination}:`;
}

function hostsAndPorts(inside: Inside, sourcePort: number, destinationPort: number): string {
  return `${inside.source}.${sourcePort} > ${inside.destination}.${destinationPort}:`;
}

/** An unsigned decimal, which is how sequence numbers and timestamps are shown. */
function unsigned(word: number): string {
  return String(word >>> 0);
}

function formatTcp(inside: Inside): string {
  const { bytes, at, end, length } = inside;
  if (end - at < 4) return `${hosts(inside)} [|tcp]`;
  const who = hostsAndPorts(inside, read16(bytes, at), read16(bytes, at + 2));
  if (end - at < TCP_HEADER_LENGTH) return `${who}  [|tcp]`;
  const headerLength = (bytes[at + 12] >>> 4) << 2;
  const payload = length - headerLength;
  if (headerLength < TCP_HEADER_LENGTH) {
    return `${who}  tcp ${payload} [bad hdr length ${headerLength} - too short, < ${TCP_HEADER_LENGTH}]`;
  }
  const flags = bytes[at + 13];
  let line = `${who} Flags [${formatFlags(flags)}]`;
  if (headerLength > length) return `${line} [bad hdr length ${headerLength} - too long, > ${length}]`;
  const seq = read32(bytes, at + 4);
  if (payload > 0) line += `, seq ${unsigned(seq)}:${unsigned(seq + payload)}`;
  else if ((flags & (SYN | FIN | RST)) !== 0) line += `, seq ${unsigned(seq)}`;
  if ((flags & ACK) !== 0) line += `, ack ${unsigned(read32(bytes, at + 8))}`;
  line += `, win ${read16(bytes, at + 14)}`;
  if ((flags & URG) !== 0) line += `, urg ${read16(bytes, at + 18)}`;
  if (headerLength > TCP_HEADER_LENGTH) {
    if (at + headerLength > end) return `${line}, options [ [|tcp]`;
    line += `, options [${formatTcpOptions(bytes, at + TCP_HEADER_LENGTH, at + headerLength)}]`;
  }
  return `${line}, length ${payload}`;
}

function formatFlags(flags: number): string {
  if (flags === 0) return "none";
  let text = "";
  for (let bit = 0; bit < 8; bit++) if ((flags & (1 << bit)) !== 0) text += "FSRP.UEW"[bit];
  return text;
}

/** The options; malformed ones are shown where `parseTcp` ignores them (`[len n]`) or stops (`[bad opt]`). */
function formatTcpOptions(bytes: Uint8Array, at: number, end: number): string {
  const options: string[] = [];
  while (at < end) {
    const kind = bytes[at];
    if (kind === 0) {
      options.push("eol");
      break;
    }
    if (kind === 1) {
      options.push("nop");
      at++;
      continue;
    }
    const size = at + 1 < end ? bytes[at + 1] : 0;
    if (size < 2 || at + size > end) {
      options.push("[bad opt]");
      break;
    }
    options.push(formatTcpOption(bytes, at, kind, size));
    at += size;
  }
  return options.join(",");
}

function formatTcpOption(bytes: Uint8Array, at: number, kind: number, size: number): string {
  if (kind === 2) return size === 4 ? `mss ${read16(bytes, at + 2)}` : `mss[len ${size}]`;
  if (kind === 3) return size === 3 ? `wscale ${bytes[at + 2]}` : `wscale[len ${size}]`;
  if (kind === 4) return size === 2 ? "sackOK" : `sackOK[len ${size}]`;
  if (kind === 5) {
    if ((size & 7) !== 2) return "sack invalid sack";
    let text = `sack ${size >>> 3} `;
    for (let edge = at + 2; edge < at + size; edge += 8) {
      text += `{${unsigned(read32(bytes, edge))}:${unsigned(read32(bytes, edge + 4))}}`;
    }
    return text;
  }
  if (kind === 8) {
    if (size !== 10) return `TS[len ${size}]`;
    return `TS val ${unsigned(read32(bytes, at + 2))} ecr ${unsigned(read32(bytes, at + 6))}`;
  }
  if (size === 2) return `unknown-${kind}`;
  let text = `unknown-${kind} 0x`;
  for (let i = at + 2; i < at + size; i++) text += bytes[i].toString(16).padStart(2, "0");
  return text;
}

function formatUdp(inside: Inside): string {
  const { bytes, at, end, length } = inside;
  if (end - at < 4) return `${hosts(inside)}  [|udp]`;
  const who = hostsAndPorts(inside, udpSourcePort(bytes, at), udpDestinationPort(bytes, at));
  if (length < UDP_HEADER_LENGTH) return `${who} truncated-udp ${length}`;
  if (end - at < UDP_HEADER_LENGTH) return `${who}  [|udp]`;
  const stated = udpLength(bytes, at);
  if (stated < UDP_HEADER_LENGTH) return `${who} truncated-udplength ${stated}`;
  const payload = stated - UDP_HEADER_LENGTH;
  // The first fragment's length field counts the bytes of the others too.
  if (stated > length && !inside.fragment) {
    return `${who} UDP, bad length ${payload} > ${length - UDP_HEADER_LENGTH}`;
  }
  return `${who} UDP, length ${payload}`;
}

function formatIcmpv4(inside: Inside): string {
  const { bytes, at, end, length } = inside;
  if (end - at < ICMPV4_HEADER_LENGTH) return " [|icmp]";
  const message = formatIcmpv4Message(bytes, at, end);
  return message === "" ? " [|icmp]" : `ICMP ${message}, length ${length}`;
}

/** The middle of the line; empty where bytes that it takes are missing. */
function formatIcmpv4Message(bytes: Uint8Array, at: number, end: number): string {
  const type = icmpType(bytes, at);
  const code = icmpCode(bytes, at);
  switch (type) {
    case ICMP_ECHO_REQUEST:
    case ICMP_ECHO_REPLY: {
      const name = type === ICMP_ECHO_REQUEST ? "echo request" : "echo reply";
      return `${name}, id ${icmpIdentifier(bytes, at)}, seq ${icmpSequence(bytes, at)}`;
    }
    case ICMP_DESTINATION_UNREACHABLE:
      return formatUnreachable(bytes, at, end, code);
    case ICMP_SOURCE_QUENCH:
      return "source quench";
    case ICMP_REDIRECT:
      return formatRedirect(bytes, at, end, code);
    case ICMP_TIME_EXCEEDED:
      if (code === CODE_TTL_EXCEEDED) return "time exceeded in-transit";
      if (code === CODE_REASSEMBLY_TIMEOUT) return "ip reassembly time exceeded";
      return `time exceeded-#${code}`;
    case ICMP_PARAMETER_PROBLEM:
      return code === 0
        ? `parameter problem - octet ${icmpPointer(bytes, at)}`
        : `parameter problem - code ${code}`;
    case ICMP_TIMESTAMP_REQUEST:
      return `time stamp query id ${icmpIdentifier(bytes, at)} seq ${icmpSequence(bytes, at)}`;
    case ICMP_TIMESTAMP_REPLY: {
      if (end - at < 20) return "";
      const times = `org ${formatTime(bytes, at + 8)}, recv ${formatTime(bytes, at + 12)}, xmit ${formatTime(bytes, at + 16)}`;
      return `time stamp reply id ${icmpIdentifier(bytes, at)} seq ${icmpSequence(bytes, at)}: ${times}`;
    }
    default:
      return OTHER_ICMP_TYPES[type] ?? `type-#${type}`;
  }
}

/** Messages of which tcpdump shows the name only. */
const OTHER_ICMP_TYPES: Readonly<Record<number, string>> = {
  10: "router solicitation",
  15: "information request",
  16: "information reply",
  17: "address mask request",
};

/** Milliseconds since midnight, as hours, minutes, seconds and thousandths. */
function formatTime(bytes: Uint8Array, at: number): string {
  const ms = read32(bytes, at) >>> 0;
  const pad = (value: number, digits: number) => String(Math.floor(value)).padStart(digits, "0");
  return `${pad(ms / 3_600_000, 2)}:${pad((ms / 60_000) % 60, 2)}:${pad((ms / 1000) % 60, 2)}.${pad(ms % 1000, 3)}`;
}

/** `#` stands for the destination of the packet that the message quotes. */
const UNREACHABLE: Readonly<Record<number, string>> = {
  [CODE_NET_UNREACHABLE]: "net # unreachable",
  [CODE_HOST_UNREACHABLE]: "host # unreachable",
  [CODE_SOURCE_ROUTE_FAILED]: "# unreachable - source route failed",
  [CODE_NET_UNKNOWN]: "net # unreachable - unknown",
  [CODE_HOST_UNKNOWN]: "host # unreachable - unknown",
  8: "# unreachable - source host isolated",
  [CODE_NET_PROHIBITED]: "net # unreachable - admin prohibited",
  [CODE_HOST_PROHIBITED]: "host # unreachable - admin prohibited",
  11: "net # unreachable - tos prohibited",
  12: "host # unreachable - tos prohibited",
  [CODE_ADMIN_PROHIBITED]: "host # unreachable - admin prohibited filter",
  14: "host # unreachable - host precedence violation",
  15: "host # unreachable - precedence cutoff",
};

function formatUnreachable(bytes: Uint8Array, at: number, end: number, code: number): string {
  const quoted = at + ICMPV4_HEADER_LENGTH;
  if (end - quoted < IPV4_HEADER_LENGTH) return "";
  const destination = quotedDestination(bytes, quoted);
  const protocol = ipv4Protocol(bytes, quoted);
  if (code === CODE_PROTOCOL_UNREACHABLE) return `${destination} protocol ${protocol} unreachable`;
  if (code === CODE_PORT_UNREACHABLE) {
    const transport = quoted + ipv4HeaderLength(bytes, quoted);
    if (transport + 4 > end) return "";
    const port = read16(bytes, transport + 2);
    if (protocol === PROTOCOL_TCP) return `${destination} tcp port ${port} unreachable`;
    if (protocol === PROTOCOL_UDP) return `${destination} udp port ${port} unreachable`;
    return `${destination} protocol ${protocol} port ${port} unreachable`;
  }
  if (code === CODE_FRAGMENTATION_NEEDED) {
    const mtu = icmpNextHopMtu(bytes, at);
    return `${destination} unreachable - need to frag${mtu > 0 ? ` (mtu ${mtu})` : ""}`;
  }
  const text = UNREACHABLE[code] ?? `# unreachable - #${code}`;
  return text.replace("#", destination);
}

function formatRedirect(bytes: Uint8Array, at: number, end: number, code: number): string {
  const quoted = at + ICMPV4_HEADER_LENGTH;
  if (end - quoted < IPV4_HEADER_LENGTH) return "";
  const name = code < 2 ? "redirect" : code < 4 ? "redirect-tos" : `redirect-#${code}`;
  const what = code > 3 ? "" : (code & 1) === 0 ? "net " : "host ";
  const gateway = new IpAddress(4, 0, 0, 0xffff, read32(bytes, at + 4));
  return `${name} ${quotedDestination(bytes, quoted)} to ${what}${formatAddress(gateway)}`;
}

function quotedDestination(bytes: Uint8Array, offset: number): string {
  const address = new IpAddress(4, 0, 0, 0xffff, 0);
  readIpv4Destination(bytes, offset, address);
  return formatAddress(address);
}
