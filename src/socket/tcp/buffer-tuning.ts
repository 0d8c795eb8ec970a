import { PAGE_SIZE } from "../../storage/buffer-pool.ts";
import { WRITABLE } from "../events.ts";
import { seqGt } from "./seq.ts";
import { flightSize, type Tcb } from "./tcb.ts";
import { timestampAt } from "./timestamps.ts";
import { signal } from "./transitions.ts";
import { isBelowNotSentLimit, receiveBufferLimit, sendBufferLimit } from "./tuning.ts";
import { LARGEST_FIELD, poolShare } from "./window.ts";

/**
 * Buffers that grow with the path. A window below what the path holds in a round-trip time leaves the path idle, and one far
 * above it only makes queues longer: so both are measured, and a buffer becomes as large as the connection has shown that it
 * needs. It never becomes smaller; a buffer without bytes holds no memory.
 *
 * Receiving, a round begins at any moment, and is over when the peer has shown that it has heard of us since: by the echo of
 * a later timestamp, or by text beyond the window that it knew of at the beginning. What the program took in a round is what
 * it can take of the path in a round-trip time, or less.
 */

/** A new measurement raises the round-trip time by so much of the difference; a shorter one counts as it is. */
const RTT_RISE = 1 / 8;
/**
 * The buffer holds what comes in so many round-trip times: a sender that starts doubles what is under way in each of them, and
 * what it does in this one shows in the next; and one that fills a gap has twice its window under way.
 */
const ROUND_TRIPS = 4;
/**
 * A peer that answers sooner is on this machine or beside it. What is under way waits for processors, not for the path: more
 * of it would leave their caches, and overflow the queues between them.
 */
const NEAR_MS = 1;
/** The same by timestamps, which count ms and so make a round up to one longer than it is. */
const NEAR_BY_TIMESTAMPS_MS = NEAR_MS + 1;

/** RFC 9293 3.3.1: both sides' numbers are known; the first round begins. */
export function startRounds(tcb: Tcb, now: number): void {
  tcb.rcvRttMs = -1;
  startRound(tcb, now);
}

/** In-order text has been taken in: the end of a round, perhaps. `tsEcr` is the echo of the segment that it came in. */
export function noteText(tcb: Tcb, tsEcr: number, now: number): void {
  const isOver =
    seqGt(tcb.rcvNxt, tcb.rcvRoundEdge) || (tcb.timestamps && seqGt(tsEcr, tcb.rcvRoundTimestamp));
  if (isOver) endRound(tcb, now);
}

function endRound(tcb: Tcb, now: number): void {
  const elapsed = now - tcb.rcvRoundAt;
  if (tcb.rcvRttMs < 0) tcb.rcvRttMs = tcb.srtt < 0 ? elapsed : tcb.srtt;
  const rtt = Math.min(tcb.rcvRttMs, elapsed);
  // A round lasts longer than a round-trip time where the peer, or the program, has let time pass.
  const taken = takenByProgram(tcb) - tcb.rcvRoundTaken;
  const perRtt = elapsed > rtt ? (taken * rtt) / elapsed : taken;
  // To fill a window takes any time: it shows no more than that a round trip is not longer.
  if (elapsed < tcb.rcvRttMs) tcb.rcvRttMs = elapsed;
  else if (tcb.timestamps) tcb.rcvRttMs += (elapsed - tcb.rcvRttMs) * RTT_RISE;
  const needed = ROUND_TRIPS * perRtt;
  if (rtt >= NEAR_BY_TIMESTAMPS_MS && !answersSoon(tcb) && needed > tcb.receiveBuffer.limit) {
    growReceiveBuffer(tcb, 2 * needed);
  }
  startRound(tcb, now);
}

/** A round begins. */
export function startRound(tcb: Tcb, now: number): void {
  tcb.rcvRoundAt = now;
  tcb.rcvRoundEdge = tcb.rcvAdv;
  tcb.rcvRoundTimestamp = timestampAt(tcb, now);
  tcb.rcvRoundTaken = takenByProgram(tcb);
}

/**
 * Is the peer near by what we have measured ourselves? Of a connection that only receives that is the handshake, before there
 * was a queue: where many peers that are near fill one together, a round trip is long, and more under way makes it longer.
 */
function answersSoon(tcb: Tcb): boolean {
  return tcb.srtt >= 0 && tcb.srtt < NEAR_MS;
}

function takenByProgram(tcb: Tcb): number {
  return tcb.bytesReceived - tcb.receiveBuffer.length;
}

/** The step is twice as far as needed, so that there are few. */
function growReceiveBuffer(tcb: Tcb, wanted: number): void {
  const { context, receiveBuffer } = tcb;
  const most = Math.min(receiveBufferLimit(tcb), LARGEST_FIELD << tcb.rcvWindShift);
  const shared = receiveBuffer.length + poolShare(tcb);
  const limit = Math.floor(Math.min(wanted, most, shared));
  if (limit <= receiveBuffer.limit) return;
  receiveBuffer.grow(limit);
  context.stats.tcpReceiveBufferGrown++;
}

/** `acked` bytes of a program that waits for room have been acknowledged: it is told when half of the buffer is free. */
export function noteRoom(tcb: Tcb, acked: number): void {
  growSendBuffer(tcb, flightSize(tcb) + acked);
  if (tcb.sendBuffer.length > tcb.sendBuffer.limit >> 1 || !isBelowNotSentLimit(tcb)) return;
  tcb.writeBlocked = false;
  signal(tcb, WRITABLE);
}

/**
 * Twice what was under way: as much again can follow while that is being acknowledged. What the congestion window allows may
 * be far more, where the peer or the device is what holds text back. Returns whether there is more room than before.
 */
export function growSendBuffer(tcb: Tcb, flight: number): boolean {
  const { context, sendBuffer } = tcb;
  const most = sendBufferLimit(tcb);
  if (2 * flight < sendBuffer.limit || sendBuffer.limit >= most) return false;
  // What is under way to a peer that is near is mostly in queues, which makes the smoothed round-trip time long.
  if (tcb.loss.minRttMs < NEAR_MS) return false;
  // Half of what writers may still take of the pool.
  const shared = sendBuffer.length + (sendBuffer.pagesLeft * PAGE_SIZE) / 2;
  const limit = Math.min(3 * flight, most, shared);
  if (limit <= sendBuffer.limit) return false;
  sendBuffer.grow(limit);
  context.stats.tcpSendBufferGrown++;
  return true;
}
