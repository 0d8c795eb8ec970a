import type { ErrorCode } from "../errors.ts";
import {
  CODE_ADMIN_PROHIBITED,
  CODE_FRAGMENTATION_NEEDED,
  CODE_HOST_PROHIBITED,
  CODE_HOST_UNKNOWN,
  CODE_HOST_UNREACHABLE,
  CODE_HOST_UNREACHABLE_FOR_TOS,
  CODE_NET_PROHIBITED,
  CODE_NET_UNKNOWN,
  CODE_NET_UNREACHABLE,
  CODE_NET_UNREACHABLE_FOR_TOS,
  CODE_PORT_UNREACHABLE,
  CODE_PRECEDENCE_CUTOFF,
  CODE_PRECEDENCE_VIOLATION,
  CODE_PROTOCOL_UNREACHABLE,
  CODE_SOURCE_HOST_ISOLATED,
  CODE_SOURCE_ROUTE_FAILED,
  ICMP_DESTINATION_UNREACHABLE,
  ICMP_PARAMETER_PROBLEM,
  ICMP_TIME_EXCEEDED,
} from "../wire/icmpv4.ts";

/** What an ICMP error means to a program (RFC 1122 4.2.3.9, RFC 1812 5.2.7.1), or `null` where it means nothing to it. */
export function icmpErrorCode(type: number, code: number): ErrorCode | null {
  // A packet that runs around in circles does not get there either.
  if (type === ICMP_TIME_EXCEEDED) return "EHOSTUNREACH";
  if (type === ICMP_PARAMETER_PROBLEM) return "EPROTO";
  if (type !== ICMP_DESTINATION_UNREACHABLE) return null;
  switch (code) {
    case CODE_NET_UNREACHABLE:
    case CODE_NET_UNKNOWN:
    case CODE_NET_PROHIBITED:
    case CODE_NET_UNREACHABLE_FOR_TOS:
      return "ENETUNREACH";
    case CODE_HOST_UNREACHABLE:
    case CODE_HOST_UNKNOWN:
    case CODE_HOST_PROHIBITED:
    case CODE_SOURCE_ROUTE_FAILED:
    case CODE_SOURCE_HOST_ISOLATED:
    case CODE_HOST_UNREACHABLE_FOR_TOS:
    case CODE_ADMIN_PROHIBITED:
    case CODE_PRECEDENCE_VIOLATION:
    case CODE_PRECEDENCE_CUTOFF:
      return "EHOSTUNREACH";
    case CODE_PROTOCOL_UNREACHABLE:
    case CODE_PORT_UNREACHABLE:
      return "ECONNREFUSED";
    case CODE_FRAGMENTATION_NEEDED:
      return "EMSGSIZE";
    default:
      return null;
  }
}
