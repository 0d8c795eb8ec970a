import { type ErrorCode, OK } from "../errors.ts";
import type { SocketSet } from "../socket/socket-set.ts";
import { onIcmpError } from "../socket/tcp/icmp-error.ts";
import { read16, read32 } from "../wire/bytes.ts";
import {
  CODE_HOST_UNREACHABLE,
  CODE_NET_UNREACHABLE,
  CODE_PORT_UNREACHABLE,
  CODE_PROTOCOL_UNREACHABLE,
  checkIcmpv4,
  ICMP_DESTINATION_UNREACHABLE,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMPV4_HEADER_LENGTH,
  icmpCode,
  icmpIdentifier,
  icmpSequence,
  icmpType,
  isIcmpv4Error,
} from "../wire/icmpv4.ts";
import {
  IPV4_HEADER_LENGTH,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4Protocol,
  PROTOCOL_TCP,
  readIpv4Destination,
  readIpv4Source,
} from "../wire/ipv4.ts";
import type { Interface } from "./interface.ts";
import { sendIcmpReply } from "./ipv4-output.ts";

/** RFC 792: the ICMP message of `length` bytes at `offset`. */
export function icmpInput(
  iface: Interface,
  sockets: SocketSet,
  bytes: Uint8Array,
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
  } else if (isIcmpv4Error(type)) {
    stats.icmpErrorsReceived++;
    if (type === ICMP_DESTINATION_UNREACHABLE) {
      const quoted = offset + ICMPV4_HEADER_LENGTH;
      onUnreachable(iface, sockets, bytes, quoted, length - ICMPV4_HEADER_LENGTH, icmpCode(bytes, offset));
    }
  } else {
    stats.icmpIgnored++;
  }
}

/**
 * RFC 9293 3.9.2.2: tells a connection that its segment, quoted at `offset`, did not arrive. The quotation is what an
 * attacker would have to guess, so all of it must fit (RFC 5927 4).
 */
function onUnreachable(
  iface: Interface,
  sockets: SocketSet,
  bytes: Uint8Array,
  offset: number,
  length: number,
  code: number,
): void {
  // The quotation may be cut short behind eight bytes of text, so it is no packet that `checkIpv4` would pass.
  if (length < IPV4_HEADER_LENGTH || bytes[offset] >> 4 !== 4) return;
  const headerLength = ipv4HeaderLength(bytes, offset);
  if (headerLength < IPV4_HEADER_LENGTH || length < headerLength + 8) return;
  if (ipv4Protocol(bytes, offset) !== PROTOCOL_TCP || ipv4IsFragment(bytes, offset)) return;
  const { source, destination } = iface.outgoing;
  readIpv4Source(bytes, offset, source);
  readIpv4Destination(bytes, offset, destination);
  const at = offset + headerLength;
  const tcb = sockets.findTcb(source, read16(bytes, at), destination, read16(bytes, at + 2));
  const error = errorOf(code);
  if (tcb !== null && error !== null) onIcmpError(tcb, read32(bytes, at + 4), error, isHard(code));
}

function isHard(code: number): boolean {
  return code === CODE_PROTOCOL_UNREACHABLE || code === CODE_PORT_UNREACHABLE;
}

function errorOf(code: number): ErrorCode | null {
  switch (code) {
    case CODE_NET_UNREACHABLE:
      return "ENETUNREACH";
    case CODE_HOST_UNREACHABLE:
      return "EHOSTUNREACH";
    case CODE_PROTOCOL_UNREACHABLE:
    case CODE_PORT_UNREACHABLE:
      return "ECONNREFUSED";
    default:
      return null;
  }
}
