import type { IcmpBody, IpFields, Packet, TcpBody, UdpBody } from "../script.ts";
import type { Reader } from "./reader.ts";
import { readTcpOptions } from "./tcp-options.ts";

const FLAGS = /[.FSRPEWAU0-7]+(?=\s|$)|-(?=\s)/y;
const PORTS = /[0-9]+\s*>\s*[0-9]+/y;
const DIGITS = /[0-9]+/y;
const SEQUENCE = /[0-9]+\s*:\s*[0-9]+\s*\(\s*[0-9]+\s*\)/y;
const LARGEST_U32 = 0xffff_ffff;
const LARGEST_U16 = 0xffff;

/** What the language has beyond IPv4, TCP, UDP and ICMP. */
const UNSUPPORTED: readonly { readonly pattern: RegExp; readonly what: string }[] = [
  { pattern: /sctp\b/y, what: "SCTP" },
  { pattern: /udplite\b/y, what: "UDP-Lite" },
  { pattern: /(?:gre|GREv0)\b/y, what: "GRE" },
  { pattern: /mpls\b/y, what: "MPLS" },
  { pattern: /(?:ipv4|ipv6)\b/y, what: "a packet inside of a packet" },
  { pattern: /addr\[/y, what: "Multipath TCP" },
  { pattern: /psp\b/y, what: "PSP" },
];

const DSCP_NAMES: Record<string, number> = {
  EF: 46,
  VOICE_ADMIT: 44,
  LE: 1,
};

/**
 * A packet, from `<` or `>` on.
 *
 * @throws ScriptError
 */
export function readPacket(reader: Reader): Packet {
  const direction = reader.eat("<") ? "in" : "out";
  if (direction === "out") reader.need(">");
  refuseUnsupported(reader);
  const ip = readIpFields(reader, direction);
  refuseUnsupported(reader);
  if (reader.eatWord("icmp")) return { kind: "packet", direction, ip, body: readIcmp(reader) };
  if (reader.eatWord("udp")) {
    const ports = readPorts(reader);
    return { kind: "packet", direction, ip, ...ports, body: readUdp(reader) };
  }
  const ports = readPorts(reader);
  refuseUnsupported(reader);
  return { kind: "packet", direction, ip, ...ports, body: readTcp(reader, direction) };
}

function refuseUnsupported(reader: Reader): void {
  for (const { pattern, what } of UNSUPPORTED) {
    if (reader.looksAt(pattern))
      reader.fail(`${what} is not supported: this runner has TCP, UDP and ICMP over IP`);
  }
}

function readPorts(reader: Reader): { ports?: { source: number; destination: number } } {
  if (!reader.looksAt(PORTS)) return {};
  const source = reader.integer("a source port", 0, LARGEST_U16);
  reader.need(">");
  return { ports: { source, destination: reader.integer("a destination port", 0, LARGEST_U16) } };
}

/** `[ect0]`, `(tos 0x10)`, `[dscp AF11, ecn ce, ttl 64]`. */
function readIpFields(reader: Reader, direction: "in" | "out"): IpFields {
  const close = reader.eat("[") ? "]" : reader.eat("(") ? ")" : null;
  if (close === null) return {};
  const fields: { -readonly [K in keyof IpFields]: IpFields[K] } = {};
  do {
    readIpField(reader, fields);
  } while (reader.eat(","));
  reader.need(close);
  if (fields.ecn === "ect01" && direction === "in") reader.fail("[ect01] is for expected packets: say which");
  return fields;
}

function readIpField(reader: Reader, fields: { -readonly [K in keyof IpFields]: IpFields[K] }): void {
  reader.skip();
  const start = reader.at;
  const word = reader.word() ?? reader.expected("a field of the IP header");
  switch (word.toLowerCase()) {
    case "ecn":
      readIpField(reader, fields);
      return;
    case "noecn":
    case "ect0":
    case "ect1":
    case "ce":
    case "ect01":
      fields.ecn = word.toLowerCase() as NonNullable<IpFields["ecn"]>;
      reader.claim("ip", start);
      return;
    case "tos":
    case "class":
      fields.tos = claimedIp(reader, word, 0xff);
      return;
    case "dscp":
      fields.dscp = readDscp(reader);
      return;
    case "ttl":
    case "hlim":
      fields.ttl = claimedIp(reader, word, 0xff);
      return;
    case "flowlabel":
      fields.flowLabel = claimedIp(reader, word, 0xf_ffff);
      return;
    default:
      reader.fail(`"${word}" is no field of the IP header that is known here`, start);
  }
}

function claimedIp(reader: Reader, what: string, most: number): number {
  reader.skip();
  const start = reader.at;
  const value = reader.integer(what, 0, most);
  reader.claim("ip", start);
  return value;
}

/** RFC 2474 (CS), 2597 (AF), 3246 (EF), 5865, 8622, or a number. */
function readDscp(reader: Reader): number {
  if (reader.looksAt(DIGITS)) return claimedIp(reader, "dscp", 0x3f);
  reader.skip();
  const start = reader.at;
  const name = reader.word() ?? reader.expected("a code point");
  reader.claim("ip", start);
  const value = DSCP_NAMES[name];
  if (value !== undefined) return value;
  const selector = /^CS([0-7])$/.exec(name);
  if (selector !== null) return Number(selector[1]) << 3;
  const assured = /^AF([1-4])([1-3])$/.exec(name);
  if (assured !== null) return (Number(assured[1]) << 3) | (Number(assured[2]) << 1);
  return reader.fail(`"${name}" is no code point that is known here`, start);
}

function readTcp(reader: Reader, direction: "in" | "out"): TcpBody {
  reader.skip();
  const start = reader.at;
  const written = reader.take(FLAGS) ?? reader.expected("TCP flags, udp or icmp");
  reader.claim("flags", start);
  const digits = written.replace(/[^0-7]/g, "");
  if (digits.length > 1 || (digits.length === 1 && /[EWA]/.test(written))) {
    reader.fail(`the flags ${written} say twice what the three bits for ECN are`, start);
  }
  const flags = written.replace(/[-0-7]/g, "");
  const ace = digits === "" ? {} : { ace: Number(digits) };
  const place = readSequence(reader);
  const ack = reader.eatWord("ack") ? { ack: claimed(reader, "ack", "an acknowledgment", LARGEST_U32) } : {};
  const window = reader.eatWord("win") ? { window: claimed(reader, "window", "a window", LARGEST_U16) } : {};
  if (direction === "in" && window.window === undefined)
    reader.expected('"win": a packet put on the wire has a window');
  const urgent = reader.eatWord("urg") ? claimed(reader, "urgent", "an urgent pointer", LARGEST_U16) : 0;
  const options = reader.eat("<") ? readTcpOptions(reader) : [];
  checkOptions(reader, options, direction);
  if (reader.looksAt(/\{/y)) reader.fail("mutations of packets are not supported");
  return { protocol: "tcp", flags, ...ace, ...place, ...ack, ...window, urgent, options };
}

function checkOptions(reader: Reader, options: TcpBody["options"], direction: "in" | "out"): void {
  if (options === "any") {
    if (direction === "in") reader.fail("<...> is for expected packets: say which options this one has");
    return;
  }
  const length = options.reduce((sum, option) => sum + optionLength(option), 0);
  if (length % 4 !== 0) {
    reader.fail(`the TCP options are ${length} bytes long, which is no multiple of 4: add nop or eol`);
  }
  if (length > 40) reader.fail(`the TCP options are ${length} bytes long: 40 is most`);
}

function optionLength(option: Exclude<TcpBody["options"], "any">[number]): number {
  if (option.kind === "TS") return 10;
  return option.kind === "sack" ? 2 + 8 * option.blocks.length : option.bytes.length;
}

function claimed(reader: Reader, kind: "ack" | "window" | "urgent", what: string, most: number): number {
  reader.skip();
  const start = reader.at;
  const value = reader.integer(what, 0, most);
  reader.claim(kind, start);
  return value;
}

/** `1:1001(1000)`, with a `!` where it is as on the wire; or `...(1000)`. */
function readSequence(reader: Reader): { sequence?: number; absolute: boolean; length: number } {
  if (reader.eat("...")) {
    reader.need("(");
    const length = reader.integer("a length", 0, LARGEST_U16);
    reader.need(")");
    return { absolute: false, length };
  }
  reader.skip();
  const start = reader.at;
  const range = readRange(reader);
  reader.claim("sequence", start);
  return { ...range, absolute: reader.eat("!") };
}

function readRange(reader: Reader): { sequence: number; length: number } {
  if (!reader.looksAt(SEQUENCE)) reader.expected("sequence numbers and a length: 1:1001(1000)");
  const sequence = reader.integer("a sequence number", 0, LARGEST_U32);
  reader.need(":");
  const end = reader.integer("a sequence number", 0, 2 * LARGEST_U32);
  reader.need("(");
  const length = reader.integer("a length", 0, LARGEST_U16);
  reader.need(")");
  if (end >>> 0 !== (sequence + length) >>> 0) reader.fail(`${sequence}:${end} is not ${length} long`);
  return { sequence, length };
}

function readUdp(reader: Reader): UdpBody {
  return { protocol: "udp", length: claimedLength(reader) };
}

function claimedLength(reader: Reader): number {
  reader.need("(");
  reader.skip();
  const start = reader.at;
  const length = reader.integer("a length", 0, LARGEST_U16);
  reader.claim("length", start);
  reader.need(")");
  return length;
}

function readIcmp(reader: Reader): IcmpBody {
  reader.skip();
  const start = reader.at;
  const type = reader.word() ?? reader.expected("an ICMP type");
  let code = "";
  if (reader.looksAt(/(?!mtu\b|id\b)[a-z]/y) && !startsStatement(reader)) code = reader.word() ?? "";
  reader.claim("icmp", start);
  const mtu = reader.eatWord("mtu") ? { mtu: reader.integer("an MTU", 0, LARGEST_U32) } : {};
  const id = reader.eatWord("id") ? { id: reader.integer("an identifier", 0, LARGEST_U16) } : {};
  const original = reader.eat("[")
    ? readOriginal(reader)
    : { protocol: "tcp" as const, sequence: 0, length: 0 };
  return { protocol: "icmp", type, code, ...mtu, ...id, original };
}

/** A name with parentheses is a call: no event begins with one, but a mistake may look so. */
function startsStatement(reader: Reader): boolean {
  return reader.looksAt(/\w+\s*\(/y);
}

function readOriginal(reader: Reader): IcmpBody["original"] {
  refuseUnsupported(reader);
  let original: IcmpBody["original"];
  if (reader.eatWord("udp")) original = { protocol: "udp", length: claimedLength(reader) };
  else if (reader.eatWord("raw")) original = { protocol: "raw", length: claimedLength(reader) };
  else original = { protocol: "tcp", ...readRange(reader) };
  reader.need("]");
  return original;
}
