import type { IcmpBody, Packet, TcpBody, TcpOption } from "../script.ts";
import { icmpCode, icmpType, tellsMtu } from "../wire/icmp-names.ts";
import { FLAG_BITS, type LiveIcmp, type LivePacket, type LiveTcp } from "../wire/live.ts";
import type { Flow } from "./flow.ts";

const ECN_BITS = { noecn: 0, ect1: 1, ect0: 2, ce: 3 } as const;

export interface MatchOptions {
  /** How long a tick of the timestamps is, in us; 0: their values are not compared. */
  readonly timestampTickUs: number;
  readonly toleranceUs: number;
  readonly strictOptions: boolean;
}

/**
 * How a packet that the stack has sent differs from what the script expects, or `null`. Compared are flags, sequence
 * numbers, the urgent pointer and all options; the window, and what the IP header says, where the script says it.
 */
export function mismatch(
  expected: Packet,
  actual: LivePacket,
  flow: Flow,
  options: MatchOptions,
): string | null {
  const { body } = expected;
  const live = actual.body;
  if (live.protocol !== body.protocol) {
    const what = live.protocol === "other" ? live.what : `a ${live.protocol.toUpperCase()} header`;
    return `live packet header: expected: a ${body.protocol.toUpperCase()} header vs actual: ${what}`;
  }
  const inIp = ipMismatch(expected, actual);
  if (inIp !== null) return inIp;
  if (live.protocol === "tcp" && body.protocol === "tcp") return tcpMismatch(body, live, flow, options);
  if (live.protocol === "icmp" && body.protocol === "icmp") return icmpMismatch(body, live);
  if (live.protocol !== "udp" || body.protocol !== "udp") return null;
  return field("udp_len", 8 + body.length, 8 + live.payload.length);
}

function field(name: string, expected: number, actual: number): string | null {
  if (expected === actual) return null;
  const both = (value: number) => `${value} (0x${value.toString(16)})`;
  return `live packet field ${name}: expected: ${both(expected)} vs actual: ${both(actual)}`;
}

function ipMismatch({ ip }: Packet, actual: LivePacket): string | null {
  const { tos, ttl } = actual.ip;
  const ecn = tos & 3;
  if (ip.ecn === "ect01" && ecn !== ECN_BITS.ect0 && ecn !== ECN_BITS.ect1) {
    return `live packet field ip_ecn: expected: 0x1 or 0x2 vs actual: 0x${ecn}`;
  }
  if (ip.ecn !== undefined && ip.ecn !== "ect01" && ECN_BITS[ip.ecn] !== ecn) {
    return field("ip_ecn", ECN_BITS[ip.ecn], ecn);
  }
  if (ip.tos !== undefined && ip.tos !== tos) return field("tos", ip.tos, tos);
  if (ip.dscp !== undefined && ip.dscp !== tos >>> 2) return field("dscp", ip.dscp, tos >>> 2);
  return ip.ttl === undefined ? null : field("ttl", ip.ttl, ttl);
}

const bit = (flags: number, mask: number) => ((flags & mask) === 0 ? 0 : 1);

function tcpMismatch(body: TcpBody, live: LiveTcp, flow: Flow, options: MatchOptions): string | null {
  const inFlags = flagsMismatch(body, live.flags);
  if (inFlags !== null) return inFlags;
  const sequence = body.absolute ? live.sequence : flow.sequence(live);
  const isAck = body.flags.includes(".");
  return (
    field("tcp_reserved_bits", 0, live.reserved) ??
    (body.sequence === undefined ? null : field("tcp_seq", body.sequence, sequence)) ??
    field("tcp_ack_seq", body.ack ?? 0, isAck ? flow.ack(live) : live.ack) ??
    (body.window === undefined ? null : field("tcp_window", body.window, live.window)) ??
    field("tcp_urg_ptr", body.urgent, live.urgent) ??
    optionsMismatch(body, live, flow, options)
  );
}

const FLAG_FIELDS = [
  ["F", "tcp_fin"],
  ["S", "tcp_syn"],
  ["R", "tcp_rst"],
  ["P", "tcp_psh"],
  [".", "tcp_ack"],
  ["U", "tcp_urg"],
] as const;

const ECN_FIELDS = [
  ["E", "tcp_ece"],
  ["W", "tcp_cwr"],
  ["A", "tcp_ae"],
] as const;

function flagsMismatch(body: TcpBody, flags: number): string | null {
  const fields = body.ace === undefined ? [...FLAG_FIELDS, ...ECN_FIELDS] : FLAG_FIELDS;
  for (const [letter, name] of fields) {
    const wrong = field(name, body.flags.includes(letter) ? 1 : 0, bit(flags, FLAG_BITS[letter]));
    if (wrong !== null) return wrong;
  }
  if (body.ace === undefined) return null;
  return field(
    "tcp_ace",
    body.ace,
    4 * bit(flags, FLAG_BITS.A) + 2 * bit(flags, FLAG_BITS.W) + bit(flags, FLAG_BITS.E),
  );
}

/**
 * RFC 9293 3.1 gives options no order, and kernels pad them as they like: what is compared is which there are and what they
 * say, and with `strictOptions` their places and the padding, too.
 */
function optionsMismatch(body: TcpBody, live: LiveTcp, flow: Flow, options: MatchOptions): string | null {
  if (body.options === "any") return null;
  const expected = options.strictOptions
    ? body.options
    : body.options.filter((option) => !isPadding(kindOf(option)));
  const actual = options.strictOptions
    ? live.options
    : live.options.filter((option) => !isPadding(option[0]));
  if (expected.length !== actual.length) return "bad outbound TCP options";
  const left = [...actual];
  for (const option of expected) {
    const at = options.strictOptions ? 0 : left.findIndex((bytes) => bytes[0] === kindOf(option));
    const found = left[at];
    if (found === undefined || found[0] !== kindOf(option)) return "bad outbound TCP options";
    left.splice(at, 1);
    const wrong = optionMismatch(option, found, live, flow, options);
    if (wrong !== null) return wrong;
  }
  return null;
}

function isPadding(kind: number | undefined): boolean {
  return kind === 0 || kind === 1;
}

function kindOf(option: TcpOption): number {
  if (option.kind === "sack") return 5;
  return option.kind === "TS" ? 8 : (option.bytes[0] ?? 0);
}

function optionMismatch(
  expected: TcpOption,
  actual: Uint8Array,
  live: LiveTcp,
  flow: Flow,
  options: MatchOptions,
): string | null {
  const data = new DataView(actual.buffer, actual.byteOffset, actual.byteLength);
  if (expected.kind === "TS") {
    if (actual.length !== 10) return field("timestamps_length", 10, actual.length);
    return timestampsMismatch(expected, data.getUint32(2), data.getUint32(6), flow, options);
  }
  if (expected.kind === "sack") {
    if (actual.length !== 2 + 8 * expected.blocks.length) return "bad lengths for outbound TCP option 5";
    for (const [i, { left, right }] of expected.blocks.entries()) {
      const wrong =
        field("sack_left", left, flow.edge(live, data.getUint32(2 + 8 * i))) ??
        field("sack_right", right, flow.edge(live, data.getUint32(6 + 8 * i)));
      if (wrong !== null) return wrong;
    }
    return null;
  }
  if (actual.length !== expected.bytes.length) return `bad lengths for outbound TCP option ${actual[0]}`;
  return actual.every((byte, i) => byte === expected.bytes[i])
    ? null
    : `bad value outbound TCP option ${actual[0]}`;
}

function timestampsMismatch(
  expected: TcpOption & { kind: "TS" },
  value: number,
  echo: number,
  flow: Flow,
  { timestampTickUs, toleranceUs }: MatchOptions,
): string | null {
  const wrong = field("ts_ecr", expected.echo, echo);
  if (expected.value === undefined) return wrong;
  const drift = flow.bindTimestamp(expected.value, value);
  if (wrong !== null || timestampTickUs === 0) return wrong;
  if (Math.abs(drift) * timestampTickUs <= toleranceUs) return null;
  return `bad outbound TCP timestamp value: ${drift} ticks away from ${expected.value}, tolerance ${toleranceUs} us`;
}

function icmpMismatch(body: IcmpBody, live: LiveIcmp): string | null {
  const type = icmpType(body.type);
  const code = type === null ? null : icmpCode(type, body.code);
  if (type === null || code === null) return `icmp ${body.type} ${body.code} is not known`;
  return (
    field("icmp_type", type, live.type) ??
    field("icmp_code", code, live.code) ??
    (body.mtu !== undefined && tellsMtu(type, code)
      ? field("icmp_mtu", body.mtu, live.rest & 0xffff)
      : null) ??
    (body.id === undefined ? null : field("icmp_id", body.id, live.rest >>> 16))
  );
}
