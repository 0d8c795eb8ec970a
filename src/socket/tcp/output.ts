import { NEVER } from "../../storage/deadline-heap.ts";
import { ACK, FIN, PSH, RST, resetTcpOptions, SYN, type TcpSegment } from "../../wire/tcp.ts";
import { restartAfterIdle } from "./congestion.ts";
import { writeSynOptions } from "./options.ts";
import { limitedTransmit } from "./recovery.ts";
import { textRoom, writeSack } from "./sack.ts";
import { seqAdd, seqDiff, seqLt } from "./seq.ts";
import {
  CLOSED,
  DUE_ACK,
  DUE_KEEP_ALIVE,
  DUE_PROBE,
  DUE_RST,
  DUE_SYN,
  flightSize,
  SYN_RECEIVED,
  SYN_SENT,
  type Tcb,
} from "./tcb.ts";
import { schedule } from "./timers.ts";
import { writeTimestamps } from "./timestamps.ts";
import { receiveWindow, takeWindowField } from "./window.ts";

/**
 * Decides what a connection sends next: RFC 9293 3.8.6.2.1 (silly-window avoidance), 3.7.4 (Nagle), 3.8.6.1 (probes).
 *
 * Fills `seg` with the next segment's header and counts it as sent; its text is `seg.payloadLength` bytes of the send
 * buffer from position `seg.payloadOffset` on. Returns `false`, and changes nothing, when there is nothing to send.
 */
export function nextSegment(tcb: Tcb, seg: TcpSegment, now: number): boolean {
  if (tcb.due & DUE_RST) return takeReset(tcb, seg);
  if (tcb.state === CLOSED) return false;
  if (tcb.due & DUE_SYN) return takeSyn(tcb, seg, now);
  if (tcb.state === SYN_SENT) return false;
  if (tcb.duplicateAcksDue > 0) {
    tcb.duplicateAcksDue--;
    return takeAck(tcb, seg);
  }
  if (tcb.state !== SYN_RECEIVED) {
    if (takeRetransmission(tcb, seg, now)) return true;
    if (takeNewText(tcb, seg, now)) return true;
    if (tcb.due & DUE_KEEP_ALIVE) return takeKeepAlive(tcb, seg);
  }
  if (tcb.due & DUE_ACK) return takeAck(tcb, seg);
  return false;
}

/**
 * How many segments may follow at once the one that `nextSegment` has just made of `seg`, each full-sized and with the
 * same header but for SEQ: what `nextSegment` would hand out next, where it has nothing to decide.
 */
export function followers(tcb: Tcb, seg: TcpSegment): number {
  if (seg.payloadLength !== tcb.mss || seg.flags !== ACK || seqAdd(seg.seq, tcb.mss) !== tcb.sndNxt) return 0;
  if (tcb.due !== 0 || tcb.duplicateAcksDue > 0 || tcb.duplicateAcks > 0) return 0;
  if (tcb.inRecovery || tcb.probing || tcb.maxText > tcb.mss) return 0;
  const flight = flightSize(tcb);
  const usable = Math.min(tcb.sndWnd, tcb.cwnd) - flight;
  // One byte stays for `nextSegment`, which knows of what comes with the last one: PSH, FIN.
  const unsent = tcb.sendBuffer.length - flight - 1;
  return Math.max(Math.floor(Math.min(usable, unsent) / tcb.mss), 0);
}

/** Counts so many followers as sent. RTT and RTO are being measured by the segment they follow. */
export function countFollowers(tcb: Tcb, count: number): void {
  advanceSent(tcb, count * tcb.mss);
}

/** RFC 9293 3.10.5: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>, the last segment of an aborted connection. */
function takeReset(tcb: Tcb, seg: TcpSegment): boolean {
  tcb.due &= ~DUE_RST;
  header(tcb, seg, tcb.sndNxt, RST | ACK);
  seg.window = 0;
  tcb.context.stats.tcpResetsSent++;
  // The socket number could not be given back while this was due.
  tcb.context.signalled.push(tcb.index);
  return true;
}

function takeSyn(tcb: Tcb, seg: TcpSegment, now: number): boolean {
  tcb.due &= ~(DUE_SYN | DUE_ACK);
  header(tcb, seg, tcb.iss, tcb.state === SYN_RECEIVED ? SYN | ACK : SYN);
  seg.window = takeWindowField(tcb, 0);
  writeSynOptions(tcb, seg);
  if (tcb.sndNxt === tcb.iss) {
    tcb.sndNxt = seqAdd(tcb.iss, 1);
    tcb.openedAt = now;
    startRttMeasurement(tcb, now);
  } else {
    tcb.rttTiming = false;
    tcb.retransmissions++;
    tcb.context.stats.tcpRetransmissions++;
  }
  startRetransmissionTimer(tcb, now);
  return true;
}

/** Text, and a FIN behind it, that has been sent before. */
function takeRetransmission(tcb: Tcb, seg: TcpSegment, now: number): boolean {
  if (!seqLt(tcb.rtxNxt, tcb.rtxEnd)) return false;
  const position = seqDiff(tcb.rtxNxt, tcb.sndUna);
  const range = seqDiff(tcb.rtxEnd, tcb.rtxNxt);
  const length = Math.min(range, tcb.sendBuffer.length - position, textRoom(tcb));
  // After a timeout the congestion window counts what has been sent again, and nothing else.
  if (position > 0 && position + length > tcb.cwnd) return false;
  const withFin = tcb.finSent && length < range && position + length === tcb.sendBuffer.length;
  takeText(tcb, seg, tcb.rtxNxt, position, length, withFin);
  tcb.rtxNxt = seqAdd(tcb.rtxNxt, length + (withFin ? 1 : 0));
  tcb.retransmissions++;
  tcb.context.stats.tcpRetransmissions++;
  if (!tcb.probing) startRetransmissionTimer(tcb, now);
  return true;
}

/** Text that has not been sent, or a FIN alone. */
function takeNewText(tcb: Tcb, seg: TcpSegment, now: number): boolean {
  if (tcb.finSent) return false;
  // While a timeout's retransmissions wait for ACKs, nothing new goes out.
  if (seqLt(tcb.rtxNxt, tcb.rtxEnd)) return false;
  const flight = flightSize(tcb);
  const unsent = tcb.sendBuffer.length - flight;
  if (unsent === 0) {
    if (tcb.due & DUE_PROBE && flight > 0) {
      // The last probe's byte was all there is: it is sent again as long as it is not acknowledged.
      tcb.due &= ~DUE_PROBE;
      takeProbe(tcb, seg, flight, 0, now);
      return true;
    }
    tcb.due &= ~DUE_PROBE;
    if (!tcb.finQueued) return false;
    sendNew(tcb, seg, flight, 0, true, now);
    return true;
  }
  restartAfterIdle(tcb, now);
  const congestion = tcb.cwnd + limitedTransmit(tcb);
  const usable = Math.min(tcb.sndWnd, congestion) - flight;
  const length = sendable(tcb, unsent, usable);
  if (tcb.due & DUE_PROBE) {
    tcb.due &= ~DUE_PROBE;
    takeProbe(tcb, seg, flight, length, now);
    return true;
  }
  if (length <= 0 || !isWorthSending(tcb, length, unsent, flight)) {
    // Only the peer's window can hold text back while nothing is in flight: its update may get lost.
    if (flight === 0 && tcb.persistAt === NEVER) startPersistTimer(tcb, now);
    return false;
  }
  tcb.persistAt = NEVER;
  sendNew(tcb, seg, flight, length, tcb.finQueued && length === unsent, now);
  return true;
}

/**
 * How much of `unsent` bytes goes into the next segment, where the windows let `usable` bytes go. More than a segment is
 * sent only where the device cuts it, and then whole segments, as if one had been sent after the other: a shorter one
 * behind them is in it where it would follow at once.
 */
function sendable(tcb: Tcb, unsent: number, usable: number): number {
  const mss = textRoom(tcb);
  const most = tcb.maxText > tcb.mss ? Math.floor(tcb.maxText / tcb.mss) * mss : mss;
  const length = Math.min(unsent, usable, most);
  if (length <= mss) return length;
  if (length === unsent && (tcb.noDelay || tcb.finQueued)) return length;
  return length - (length % mss);
}

/** RFC 9293 3.8.6.2.1, with Nagle's algorithm (3.7.4). D is `unsent`, U lets `length` bytes go. */
function isWorthSending(tcb: Tcb, length: number, unsent: number, flight: number): boolean {
  // (1) A maximum-sized segment.
  if (length >= textRoom(tcb)) return true;
  const nagle = tcb.noDelay || flight === 0;
  // (2) All there is; what precedes a FIN waits for nothing.
  if (length === unsent && (nagle || tcb.finQueued)) return true;
  // (3) A good part of a window that never was larger than a few segments.
  return nagle && length >= tcb.maxSndWnd >> 1;
}

/**
 * The persist timer has expired. With a window too small to be worth it: what fits (RFC 9293 3.8.6.2.1, (4)). With none:
 * one byte beyond it (3.8.6.1), the same one again until the peer takes it.
 */
function takeProbe(tcb: Tcb, seg: TcpSegment, flight: number, length: number, now: number): void {
  if (length > 0) {
    sendNew(tcb, seg, flight, length, false, now);
    return;
  }
  tcb.context.stats.tcpWindowProbes++;
  tcb.probing = true;
  tcb.retransmitAt = NEVER;
  takeText(tcb, seg, tcb.sndUna, 0, 1, false);
  if (flight === 0) tcb.sndNxt = seqAdd(tcb.sndNxt, 1);
  tcb.rttTiming = false;
  tcb.rtxNxt = tcb.sndNxt;
  tcb.rtxEnd = tcb.sndNxt;
  tcb.probeBackoff++;
  startPersistTimer(tcb, now);
}

/** RFC 9293 3.8.4: a segment without text, one below the window, that the peer must answer. */
function takeKeepAlive(tcb: Tcb, seg: TcpSegment): boolean {
  tcb.due &= ~DUE_KEEP_ALIVE;
  tcb.context.stats.tcpKeepAlives++;
  // The peer drops it as unacceptable, ACK and window included: what it is owed of these stays owed.
  header(tcb, seg, seqAdd(tcb.sndNxt, -1), ACK);
  seg.window = receiveWindow(tcb) >> tcb.rcvWindShift;
  return true;
}

function sendNew(
  tcb: Tcb,
  seg: TcpSegment,
  position: number,
  length: number,
  withFin: boolean,
  now: number,
): void {
  if (position === 0) tcb.unackedSince = now;
  takeText(tcb, seg, tcb.sndNxt, position, length, withFin);
  settleAck(tcb);
  advanceSent(tcb, length + (withFin ? 1 : 0));
  if (withFin) tcb.finSent = true;
  tcb.lastSentAt = now;
  if (!tcb.rttTiming) startRttMeasurement(tcb, now);
  startRetransmissionTimer(tcb, now);
}

/** Moves SND.NXT behind so many sequence numbers that are sent for the first time. */
function advanceSent(tcb: Tcb, sequenceLength: number): void {
  tcb.sndNxt = seqAdd(tcb.sndNxt, sequenceLength);
  tcb.rtxNxt = tcb.sndNxt;
  tcb.rtxEnd = tcb.sndNxt;
  // RFC 7661 4.1: in slow start a window that is half full is being used.
  const filled = flightSize(tcb);
  tcb.cwndLimited = (tcb.cwnd < tcb.ssthresh ? filled * 2 : filled + tcb.mss) >= tcb.cwnd;
}

/**
 * Text that is sent again, and a probe, do not settle what the peer is owed: where it has that text already, or no room
 * for it, it drops the segment with its ACK (RFC 9293 3.10.7.4, first).
 */
function takeText(
  tcb: Tcb,
  seg: TcpSegment,
  seq: number,
  position: number,
  length: number,
  withFin: boolean,
): void {
  header(tcb, seg, seq, ACK);
  seg.window = takeWindowField(tcb, tcb.rcvWindShift);
  seg.payloadOffset = position;
  seg.payloadLength = length;
  const mss = textRoom(tcb);
  if (length > mss) seg.segmentSize = mss;
  if (mss < tcb.mss) writeSack(tcb, seg, false);
  // RFC 9293 3.9.1.2: PSH marks the end of what the program has written so far.
  if (length > 0 && position + length === tcb.sendBuffer.length) seg.flags |= PSH;
  if (withFin) seg.flags |= FIN;
}

/** <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK> */
function takeAck(tcb: Tcb, seg: TcpSegment): boolean {
  header(tcb, seg, tcb.sndNxt, ACK);
  seg.window = takeWindowField(tcb, tcb.rcvWindShift);
  if (tcb.sack) writeSack(tcb, seg, true);
  settleAck(tcb);
  return true;
}

/** The segment being sent acknowledges all there is: no other one has to. */
function settleAck(tcb: Tcb): void {
  tcb.due &= ~DUE_ACK;
  tcb.delayedAckAt = NEVER;
  tcb.bytesSinceAck = 0;
}

function header(tcb: Tcb, seg: TcpSegment, seq: number, flags: number): void {
  seg.sourcePort = tcb.localPort;
  seg.destinationPort = tcb.remotePort;
  seg.seq = seq;
  seg.ack = flags & ACK ? tcb.rcvNxt : 0;
  seg.flags = flags;
  seg.urgent = 0;
  seg.payloadOffset = 0;
  seg.payloadLength = 0;
  seg.segmentSize = 0;
  resetTcpOptions(seg);
  if (flags & ACK) tcb.lastAckSent = tcb.rcvNxt;
  // RFC 7323 3.2; a SYN has them among its other options.
  if (tcb.timestamps && !(flags & SYN)) writeTimestamps(tcb, seg);
}

function startRttMeasurement(tcb: Tcb, now: number): void {
  tcb.rttTiming = true;
  tcb.rttSeq = tcb.sndNxt;
  tcb.rttStart = now;
}

/** RFC 6298 5.1. */
function startRetransmissionTimer(tcb: Tcb, now: number): void {
  if (tcb.retransmitAt !== NEVER) return;
  tcb.retransmitAt = now + tcb.rto;
  schedule(tcb);
}

/** RFC 9293 3.8.6.1: the first probe after one RTO, the next ones at twice the interval each. */
function startPersistTimer(tcb: Tcb, now: number): void {
  if (tcb.probeBackoff === 0 && !tcb.probing) tcb.unackedSince = now;
  const interval = tcb.rto * 2 ** Math.min(tcb.probeBackoff, 16);
  tcb.persistAt = now + Math.min(interval, tcb.context.tcp.maxRtoMs);
  schedule(tcb);
}
