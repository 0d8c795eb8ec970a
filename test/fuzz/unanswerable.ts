import type { Medium } from "../../src/device.ts";
import { read32 } from "../../src/wire/bytes.ts";
import { isIcmpv4Error } from "../../src/wire/icmpv4.ts";
import { ipv4HeaderLength, ipv4IsFragment, PROTOCOL_ICMP, PROTOCOL_TCP } from "../../src/wire/ipv4.ts";
import { findIp } from "../../src/wire/offload.ts";
import { RST } from "../../src/wire/tcp.ts";
import { memory } from "./attack-memory.ts";
import { VICTIM_WORD } from "./target.ts";

/** Where a frame is in the attacker's memory. */
interface Place {
  readonly offset: number;
  readonly length: number;
}

/** Is it one that gets no answer at all: an ICMP error, a fragment, or what was not sent to the victim alone (RFC 1122 3.2.2)? */
export function mustNotBeAnswered(medium: Medium, { offset, length }: Place): boolean {
  const ip = findIp(memory, offset, length, medium === "ethernet");
  // Not IP, but perhaps ARP.
  if (ip < 0 || ip + 20 > offset + length) return false;
  if (read32(memory, ip + 16) !== VICTIM_WORD || ipv4IsFragment(memory, ip)) return true;
  return memory[ip + 9] === PROTOCOL_ICMP && isIcmpv4Error(memory[ip + ipv4HeaderLength(memory, ip)]);
}

/** Is it a reset, which no other one may answer (RFC 9293 3.5.2)? */
export function isReset(medium: Medium, { offset, length }: Place): boolean {
  const ip = findIp(memory, offset, length, medium === "ethernet");
  if (ip < 0 || ip + 20 > offset + length || memory[ip + 9] !== PROTOCOL_TCP) return false;
  const at = ip + ipv4HeaderLength(memory, ip);
  return at + 14 <= offset + length && (memory[at + 13] & RST) !== 0;
}
