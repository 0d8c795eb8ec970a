/** RFC 792, 950, 1191 and 1812: types by the names that scripts have for them, and the codes of "unreachable". */
const TYPES: Record<string, number> = {
  echo_reply: 0,
  unreachable: 3,
  source_quench: 4,
  redirect: 5,
  echo_request: 8,
  time_exceeded: 11,
  parameter_problem: 12,
  timestamp_request: 13,
  timestamp_reply: 14,
  information_request: 15,
  information_reply: 16,
  address_mask_request: 17,
  address_mask_reply: 18,
};

const UNREACHABLE_CODES: Record<string, number> = {
  net_unreachable: 0,
  host_unreachable: 1,
  protocol_unreachable: 2,
  port_unreachable: 3,
  frag_needed: 4,
  source_route_failed: 5,
  net_unknown: 6,
  host_unknown: 7,
  source_host_isolated: 8,
  net_prohibited: 9,
  host_prohibited: 10,
  net_unreachable_for_tos: 11,
  host_unreachable_for_tos: 12,
  packet_filtered: 13,
  precedence_violation: 14,
  precedence_cutoff: 15,
};

const TIME_EXCEEDED_CODES: Record<string, number> = { exceeded_ttl: 0, exceeded_frag_time: 1 };

const FRAGMENTATION_NEEDED = 4;

/** The type as a number, or `null`; `type_3` is 3. */
export function icmpType(name: string): number | null {
  return numbered(name, "type_") ?? own(TYPES, name);
}

/** The code as a number, or `null`; none is 0, and `code_1` is 1. */
export function icmpCode(type: number, name: string): number | null {
  if (name === "") return 0;
  const codes = type === 3 ? UNREACHABLE_CODES : type === 11 ? TIME_EXCEEDED_CODES : {};
  return numbered(name, "code_") ?? own(codes, name);
}

function own(names: Record<string, number>, name: string): number | null {
  return Object.hasOwn(names, name) ? (names[name] ?? null) : null;
}

function numbered(name: string, prefix: string): number | null {
  if (!name.startsWith(prefix)) return null;
  const value = Number(name.slice(prefix.length));
  return Number.isInteger(value) && value >= 0 && value <= 255 ? value : null;
}

/** Whether the message tells an MTU (RFC 1191). */
export function tellsMtu(type: number, code: number): boolean {
  return type === 3 && code === FRAGMENTATION_NEEDED;
}

export function icmpTypeName(type: number): string {
  return nameOf(TYPES, type) ?? `type_${type}`;
}

export function icmpCodeName(type: number, code: number): string {
  if (type === 3) return nameOf(UNREACHABLE_CODES, code) ?? `code_${code}`;
  if (type === 11) return nameOf(TIME_EXCEEDED_CODES, code) ?? `code_${code}`;
  return code === 0 ? "" : `code_${code}`;
}

function nameOf(names: Record<string, number>, value: number): string | undefined {
  return Object.keys(names).find((name) => names[name] === value);
}
