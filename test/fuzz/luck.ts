import { OK } from "../../src/errors.ts";
import { seqDiff } from "../../src/socket/tcp/seq.ts";
import { SYN_RECEIVED, SYN_SENT, type Tcb, TIME_WAIT } from "../../src/socket/tcp/tcb.ts";
import { read16, read32 } from "../../src/wire/bytes.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { ipv4Address } from "../../src/wire/ip-address.ts";
import {
  checkIpv4,
  ipv4HeaderLength,
  ipv4IsFragment,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
} from "../../src/wire/ipv4.ts";
import { findIp } from "../../src/wire/offload.ts";
import { ACK, parseTcp, RST, SYN, TcpSegment, tcpSequenceLength, verifyTcp } from "../../src/wire/tcp.ts";
import { LISTEN_PORT, PEER_WORD, type Target, VICTIM_WORD } from "./target.ts";

/**
 * What an attacker who sees nothing of a connection may hit by chance. The rules are those of the RFCs, written down a second
 * time: nothing here asks the code that is under test whether it would take a segment.
 */

/** Must not change anything, and is answered within the limit of challenge ACKs. */
export const BLIND = 0;
/** Looks like something old that is answered each time, without a limit: it must not change anything either. */
export const ANSWERED = 1;
/** Nothing tells it from the peer's own: it is not sent. */
export const LUCKY = 2;

export type Luck = typeof BLIND | typeof ANSWERED | typeof LUCKY;

/** RFC 7323 5.5: TS.Recent is out of date. */
const OUTDATED_MS = 24 * 86_400_000;
const ICMP_UNREACHABLE = 3;
const ICMP_TIME_EXCEEDED = 11;
const ICMP_PARAMETER_PROBLEM = 12;
const ETHERTYPE_ARP = 0x0806;
const ARP_REPLY = 2;

const segment = new TcpSegment();
segment.source = ipv4Address(10, 0, 0, 2);
segment.destination = ipv4Address(10, 0, 0, 1);

/** What the frame in `bytes[offset .. offset + length)` is to the victim at time `now`. */
export function luckOf(target: Target, bytes: Uint8Array, offset: number, length: number, now: number): Luck {
  const isEthernet = target.medium === "ethernet";
  if (isEthernet && isTrustedArp(bytes, offset, length)) return LUCKY;
  const ip = findIp(bytes, offset, length, isEthernet);
  const rest = offset + length - ip;
  if (ip < 0 || rest < 28 || read32(bytes, ip + 16) !== VICTIM_WORD) return BLIND;
  const at = ip + ipv4HeaderLength(bytes, ip);
  if (bytes[ip + 9] === PROTOCOL_ICMP) {
    return quotesFlight(target, bytes, at + 8, offset + length) ? LUCKY : BLIND;
  }
  if (bytes[ip + 9] !== PROTOCOL_TCP || read32(bytes, ip + 12) !== PEER_WORD) return BLIND;
  if (at + 20 > offset + length) return BLIND;
  if (read16(bytes, at) !== target.remotePort || read16(bytes, at + 2) !== target.localPort) return BLIND;
  const total = ipv4TotalLength(bytes, ip);
  if (total > rest || parseTcp(bytes, at, total - (at - ip), segment) !== OK) return BLIND;
  const luck = luckOfSegment(target.tcb, segment, now);
  if (luck === BLIND) return BLIND;
  // What is damaged is dropped, however well it is aimed.
  if (ipv4IsFragment(bytes, ip) || checkIpv4(bytes, ip, rest) !== OK) return BLIND;
  if (checksum(bytes, ip, at - ip) !== 0) return BLIND;
  const { source, destination } = segment;
  return verifyTcp(bytes, at, total - (at - ip), source, destination) ? luck : BLIND;
}

function luckOfSegment(tcb: Tcb, seg: TcpSegment, now: number): Luck {
  if (tcb.state === SYN_SENT) return luckInSynSent(tcb, seg);
  const distance = seqDiff(seg.seq, tcb.rcvNxt);
  const { flags } = seg;
  // RFC 5961 3.2: one in 2^32.
  if (flags & RST) return distance === 0 ? LUCKY : BLIND;
  if (tcb.state === SYN_RECEIVED && flags & SYN) {
    // The SYN again, or RFC 9293 3.10.7.4, fourth: any other in the window ends a passive open.
    return seg.seq === tcb.irs || isAcceptable(tcb, seg) ? LUCKY : BLIND;
  }
  // RFC 1122 4.2.2.13, RFC 6191: TIME-WAIT may be opened again.
  if (flags & SYN) return tcb.state === TIME_WAIT && !(flags & ACK) && isListening(tcb) ? LUCKY : BLIND;
  if (tcb.timestamps && !seg.hasTimestamp) return BLIND;
  const isOld = tcb.timestamps && seqDiff(seg.tsVal, tcb.tsRecent) < 0;
  if ((isOld && now - tcb.tsRecentAt <= OUTDATED_MS) || !isAcceptable(tcb, seg)) {
    return isOfLastWindow(tcb, seg) ? ANSWERED : BLIND;
  }
  if (!(flags & ACK)) return BLIND;
  if (tcb.state === SYN_RECEIVED) {
    // RFC 9293 3.10.7.4, fifth: an ACK that is not of our SYN gets a reset.
    return seg.ack === tcb.sndNxt ? LUCKY : ANSWERED;
  }
  return isAcceptableAck(tcb, seg.ack) ? LUCKY : BLIND;
}

/**
 * Where a SYN is under way, another one makes it a simultaneous open (RFC 9293 3.5): whoever knows the ports can do that.
 * An ACK of anything else gets a reset (3.10.7.3, first).
 */
function luckInSynSent(tcb: Tcb, { flags, ack }: TcpSegment): Luck {
  if (!(flags & ACK)) return flags & SYN && !(flags & RST) ? LUCKY : BLIND;
  if (ack === tcb.sndNxt) return LUCKY;
  return flags & RST ? BLIND : ANSWERED;
}

/** RFC 9293 3.4, table 6. With a window of 0 text is cut off, and what is behind it counts. */
function isAcceptable(tcb: Tcb, seg: TcpSegment): boolean {
  const distance = seqDiff(seg.seq, tcb.rcvNxt);
  const window = seqDiff(tcb.rcvAdv, tcb.rcvNxt);
  const length = tcpSequenceLength(seg);
  if (window <= 0) return distance === 0;
  if (length === 0) return distance >= 0 && distance < window;
  return distance < window && distance + length > 0;
}

/** RFC 5961 5.2. */
function isAcceptableAck(tcb: Tcb, ack: number): boolean {
  const distance = seqDiff(ack, tcb.sndUna);
  return distance >= -tcb.maxSndWnd && seqDiff(ack, tcb.sndNxt) <= 0;
}

/**
 * Text, a FIN or an ACK that has been received, and that the peer may not know of: 1 in 2^32 / buffer. Or an ACK behind a byte that
 * has probed a window that is shut.
 */
function isOfLastWindow(tcb: Tcb, seg: TcpSegment): boolean {
  const distance = seqDiff(seg.seq, tcb.rcvNxt);
  const length = tcpSequenceLength(seg);
  if (distance < 0) return distance >= -tcb.receiveBuffer.limit && distance + length <= 0;
  return distance === 1 && length === 0 && seqDiff(tcb.rcvAdv, tcb.rcvNxt) <= 0;
}

function isListening(tcb: Tcb): boolean {
  return tcb.localPort === LISTEN_PORT;
}

/** RFC 5927 4.1: an ICMP error that quotes a sequence number in flight, wherever the quotation's header ends. */
function quotesFlight(
  { tcb, localPort, remotePort }: Target,
  bytes: Uint8Array,
  quoted: number,
  end: number,
): boolean {
  if (quoted + 28 > end || bytes[quoted + 9] !== PROTOCOL_TCP) return false;
  const type = bytes[quoted - 8];
  if (type !== ICMP_UNREACHABLE && type !== ICMP_TIME_EXCEEDED && type !== ICMP_PARAMETER_PROBLEM)
    return false;
  const at = quoted + ipv4HeaderLength(bytes, quoted);
  if (at + 8 > end) return false;
  if (read16(bytes, at) !== localPort || read16(bytes, at + 2) !== remotePort) return false;
  const seq = read32(bytes, at + 4);
  return seqDiff(seq, tcb.sndUna) >= 0 && seqDiff(seq, tcb.sndNxt) < 0;
}

/**
 * ARP knows no secrets: whoever is on the link can say that the victim's address is taken (RFC 5227), or answer for the peer
 * when it is asked for.
 */
function isTrustedArp(bytes: Uint8Array, offset: number, length: number): boolean {
  for (let at = offset + 12; at < offset + 24; at += 4) {
    if (at + 30 > offset + length) return false;
    if (read16(bytes, at) !== ETHERTYPE_ARP) continue;
    const sender = read32(bytes, at + 16);
    if (sender === VICTIM_WORD) return true;
    return sender === PEER_WORD && read16(bytes, at + 8) === ARP_REPLY;
  }
  return false;
}
