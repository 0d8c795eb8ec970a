import { RST, SYN, type TcpSegment } from "../../wire/tcp.ts";
import { seqDiff, seqGt, seqLeq } from "./seq.ts";
import type { Tcb } from "./tcb.ts";

/** RFC 7323 3 to 5: timestamps, PAWS, and round-trip times by them. Our timestamp clock counts ms. */

/** RFC 7323 5.5: TS.Recent says nothing any more after 24 days without a segment. */
const OUTDATED_MS = 24 * 86_400_000;

/** Puts our clock and TS.Recent into `seg`. */
export function writeTimestamps(tcb: Tcb, seg: TcpSegment): void {
  seg.hasTimestamp = true;
  seg.tsVal = timestampAt(tcb, tcb.context.now);
  seg.tsEcr = tcb.tsRecent;
}

/** The peer's SYN has come: whether there are timestamps is settled. */
export function startTimestamps(tcb: Tcb, seg: TcpSegment, now: number): void {
  if (!seg.hasTimestamp) tcb.timestamps = false;
  if (!tcb.timestamps) return;
  tcb.tsRecent = seg.tsVal;
  tcb.tsRecentAt = now;
}

/** RFC 7323 5.3, R1: is the segment, which is no reset, from an earlier time than one that has arrived? */
export function isFromThePast(tcb: Tcb, seg: TcpSegment, now: number): boolean {
  if (!tcb.timestamps || seg.flags & RST) return false;
  return seg.hasTimestamp && seqGt(tcb.tsRecent, seg.tsVal) && now - tcb.tsRecentAt <= OUTDATED_MS;
}

/** RFC 7323 3.2: every segment but a reset has timestamps, or is not from the peer, as far as the program wants to know that. */
export function lacksTimestamps(tcb: Tcb, seg: TcpSegment): boolean {
  if (!tcb.timestamps || seg.hasTimestamp || seg.flags & (RST | SYN)) return false;
  return tcb.context.tcp.requireTimestamps;
}

/**
 * RFC 7323 4.3 (2) and 5.3, R3: what is echoed is the timestamp of the first segment that our next ACK is for. Is this the
 * one? It is not from the past, and has not been trimmed.
 */
export function isEchoedNext(tcb: Tcb, seg: TcpSegment): boolean {
  return tcb.timestamps && seg.hasTimestamp && seqLeq(seg.seq, tcb.lastAckSent);
}

/** Its timestamp becomes TS.Recent. */
export function noteTimestamp(tcb: Tcb, seg: TcpSegment, now: number): void {
  tcb.tsRecent = seg.tsVal;
  tcb.tsRecentAt = now;
}

/**
 * RFC 7323 4.1: the round-trip time in ms of what the segment acknowledges, also where that was sent more than once; -1
 * where its echo tells nothing.
 */
export function rttByTimestamp(tcb: Tcb, seg: TcpSegment, now: number): number {
  if (!tcb.timestamps || !seg.hasTimestamp) return -1;
  const ms = seqDiff(timestampAt(tcb, now), seg.tsEcr);
  // What we have never sent is no echo.
  return ms <= now - tcb.openedAt + 1 ? ms : -1;
}

/** What our timestamp clock shows. */
export function timestampAt(tcb: Tcb, now: number): number {
  return timestampClock(tcb.tsOffset, now);
}

/** What it shows where it is `offset` ms ahead of the time. */
export function timestampClock(offset: number, now: number): number {
  // The remainder keeps the ms exact; `| 0` of a number beyond 2^53 would not be.
  return ((Math.floor(now) % 0x100000000) + offset) | 0;
}
