import type { Packet, TcpOption } from "../script.ts";
import { icmpCodeName, icmpTypeName, tellsMtu } from "./icmp-names.ts";
import { FLAG_BITS, type LivePacket, type LiveTcp } from "./live.ts";

const ECN_NAMES = ["noecn", "ect1", "ect0", "ce"];

/** Sequence numbers of a connection, as a script counts them. */
export interface Relative {
  sequence(tcp: LiveTcp): number;
  ack(tcp: LiveTcp): number;
  /** Of a block of a selective acknowledgment. */
  edge(tcp: LiveTcp, edge: number): number;
}

/** A packet in the words of the language, with numbers as the script has them. */
export function describeLive(packet: LivePacket, relative: Relative): string {
  const { body, ip } = packet;
  const ecn = `[${ECN_NAMES[ip.tos & 3]}]`;
  if (body.protocol === "other") return `${ecn} ${body.what}`;
  if (body.protocol === "udp") return `${ecn} udp (${body.payload.length})`;
  if (body.protocol === "icmp") {
    const { type, code, rest, payload } = body;
    const mtu = tellsMtu(type, code) ? ` mtu ${rest & 0xffff}` : "";
    return `${ecn} icmp ${[icmpTypeName(type), icmpCodeName(type, code)].join(" ").trim()}${mtu} (${payload.length})`;
  }
  const start = relative.sequence(body);
  const end = (start + body.payload.length) >>> 0;
  const flags = flagNames(body.flags);
  const parts = [`${ecn} ${flags} ${start}:${end}(${body.payload.length})`];
  if ((body.flags & FLAG_BITS["."]) !== 0) parts.push(`ack ${relative.ack(body)}`);
  parts.push(`win ${body.window}`);
  if (body.urgent !== 0) parts.push(`urg ${body.urgent}`);
  const options = body.options.map((option) => describeOption(option, (edge) => relative.edge(body, edge)));
  if (options.length > 0) parts.push(`<${options.join(",")}>`);
  return parts.join(" ");
}

function flagNames(flags: number): string {
  const names = (Object.keys(FLAG_BITS) as (keyof typeof FLAG_BITS)[]).filter(
    (name) => (flags & FLAG_BITS[name]) !== 0,
  );
  // The acknowledgment goes last, as in scripts.
  const sorted = [...names.filter((name) => name !== "."), ...names.filter((name) => name === ".")];
  return sorted.length === 0 ? "-" : sorted.join("");
}

const SIMPLE_OPTIONS: Record<number, string> = { 0: "eol", 1: "nop", 4: "sackOK" };
const HEX_OPTIONS: Record<number, string> = { 19: "md5", 34: "FO" };

function describeOption(bytes: Uint8Array, edge: (edge: number) => number): string {
  const kind = bytes[0] ?? 0;
  const simple = SIMPLE_OPTIONS[kind];
  if (simple !== undefined) return simple;
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (kind === 2 && bytes.length === 4) return `mss ${data.getUint16(2)}`;
  if (kind === 3 && bytes.length === 3) return `wscale ${data.getUint8(2)}`;
  if (kind === 8 && bytes.length === 10) return `TS val ${data.getUint32(2)} ecr ${data.getUint32(6)}`;
  if (kind === 5) {
    const blocks: string[] = [];
    for (let at = 2; at + 8 <= bytes.length; at += 8) {
      blocks.push(`${edge(data.getUint32(at))}:${edge(data.getUint32(at + 4))}`);
    }
    return `sack ${blocks.join(" ")}`;
  }
  if (kind === 172 || kind === 174) return describeAccEcn(bytes);
  const hex = [...bytes.subarray(2)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${HEX_OPTIONS[kind] ?? `kind ${kind}`} ${hex}`.trim();
}

/** RFC 9768 3.2.3. */
function describeAccEcn(bytes: Uint8Array): string {
  const names = bytes[0] === 172 ? ["e0b", "ceb", "e1b"] : ["e1b", "ceb", "e0b"];
  const counters: string[] = [];
  for (let at = 2; at + 3 <= bytes.length; at += 3) {
    const value = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    counters.push(`${names[counters.length] ?? "?"} ${value}`);
  }
  return ["ECN", ...counters].join(" ");
}

/** What a script says of a packet. */
export function describeScript(packet: Packet): string {
  const { body } = packet;
  const fields = Object.entries(packet.ip).map(([name, value]) =>
    name === "ecn" ? value : `${name} ${value}`,
  );
  const ip = fields.length === 0 ? [] : [`[${fields.join(", ")}]`];
  const ports = packet.ports === undefined ? [] : [`${packet.ports.source} > ${packet.ports.destination}`];
  if (body.protocol === "udp") return [...ip, "udp", ...ports, `(${body.length})`].join(" ");
  if (body.protocol === "icmp") {
    const mtu = body.mtu === undefined ? [] : [`mtu ${body.mtu}`];
    return [...ip, "icmp", body.type, body.code, ...mtu].filter((part) => part !== "").join(" ");
  }
  const start = body.sequence;
  const range =
    start === undefined ? `...(${body.length})` : `${start}:${(start + body.length) >>> 0}(${body.length})`;
  const parts = [...ip, ...ports, `${body.flags}${body.ace ?? ""}` || "-", range];
  if (body.ack !== undefined) parts.push(`ack ${body.ack}`);
  if (body.window !== undefined) parts.push(`win ${body.window}`);
  if (body.urgent !== 0) parts.push(`urg ${body.urgent}`);
  if (body.options === "any") parts.push("<...>");
  else if (body.options.length > 0) parts.push(`<${body.options.map(describeScriptOption).join(",")}>`);
  return parts.join(" ");
}

function describeScriptOption(option: TcpOption): string {
  if (option.kind === "TS") return `TS val ${option.value ?? "..."} ecr ${option.echo}`;
  if (option.kind === "sack")
    return `sack ${option.blocks.map(({ left, right }) => `${left}:${right}`).join(" ")}`;
  return describeOption(option.bytes, (edge) => edge);
}
