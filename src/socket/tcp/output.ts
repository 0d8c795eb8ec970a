import { NEVER } from "../../storage/deadline-heap.ts";
import { ACK, FIN, PSH, RST, resetTcpOptions, SYN, type TcpSegment } from "../../wire/tcp.ts";
import { noteWindowUse } from "./congestion/window-use.ts";
import { restartAfterIdle } from "./congestion.ts";
import { isCorked } from "./cork.ts";
import { noteAnswer } from "./delayed-ack.ts";
import { noteAppLimited } from "./delivery-rate.ts";
import { markNewText, saysSlower, writeEcho } from "./ecn.ts";
import { giveUpFrto, sendsNewOnly } from "./frto.ts";
import { BY_CONGESTION, BY_NOTHING, BY_PEER, noteAllSent, noteLimit } from "./limits.ts";
import { OPEN, RECOVERY } from "./loss-recovery.ts";
import { NO_PROBE, noteMtuProbe, PROBE_WAITS, probeLength } from "./mtu-probe.ts";
import { isWorthSending, noteShort } from "./nagle.ts";
import { writeSynOptions } from "./options.ts";
import { mayGo, notePaced } from "./pacing.ts";
import { limitedTransmit, underWay } from "./recovery.ts";
import { textRoom, writeSack } from "./sack.ts";
import { noteResent, noteSent, noteTailResent } from "./scoreboard.ts";
import { seqAdd, seqDiff, seqGt } from "./seq.ts";
import {
  CLOSED,
  DUE_ACK,
  DUE_KEEP_ALIVE,
  DUE_PROBE,
  DUE_PUSH,
  DUE_RST,
  DUE_SYN,
  DUE_TAIL_PROBE,
  flightSize,
  SYN_RECEIVED,
  SYN_SENT,
  type Tcb,
} from "./tcb.ts";
import { schedule } from "./timers.ts";
import { writeTimestamps } from "./timestamps.ts";
import { noteProbeSent, scheduleProbe } from "./tlp.ts";
import { IN_FLIGHT, NONE } from "./transmissions.ts";
import { noteForUndo } from "./undo.ts";
import { beforeUserTimeout } from "./user-timeout.ts";
import { receiveWindow, takeWindowField } from "./window.ts";

/** The type of service but for its ECN bits (RFC 2474 3). */
const DSCP_MASK = 0xfc;

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
    if (tcb.due & DUE_TAIL_PROBE && takeTailProbe(tcb, seg, now)) return true;
    if (takeText(tcb, seg, now)) return true;
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
  const { loss } = tcb;
  if (tcb.due !== 0 || tcb.duplicateAcksDue > 0 || loss.duplicateAcks > 0) return 0;
  if (loss.phase !== OPEN || tcb.probing || tcb.maxText > tcb.mss) return 0;
  if (tcb.pacingRate !== Number.POSITIVE_INFINITY || tcb.trace !== null) return 0;
  const flight = flightSize(tcb);
  const usable = Math.min(tcb.sndWnd - flight, tcb.cwnd - tcb.sent.pipe);
  // One byte stays for `nextSegment`, which knows of what comes with the last one: PSH, FIN.
  const unsent = tcb.sendBuffer.length - flight - 1;
  return Math.max(Math.floor(Math.min(usable, unsent) / tcb.mss), 0);
}

/** Counts so many followers as sent. RTT and RTO are being measured by the segment they follow. */
export function countFollowers(tcb: Tcb, count: number, now: number): void {
  if (count === 0) return;
  const length = count * tcb.mss;
  // The record of the segment they follow, which was sent at the same time, has room for any.
  noteSent(tcb, length, now);
  advanceSent(tcb, length);
  tcb.segmentsSent += count;
  tcb.control.onSend(tcb, length, false, now);
  scheduleProbe(tcb, now);
}

/** RFC 9293 3.10.5: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>, the last segment of an aborted connection. */
function takeReset(tcb: Tcb, seg: TcpSegment): boolean {
  tcb.due &= ~DUE_RST;
  header(tcb, seg, resetSeq(tcb), RST | ACK);
  seg.window = 0;
  tcb.context.stats.tcpResetsSent++;
  // The socket number could not be given back while this was due.
  tcb.context.signalled.push(tcb.index);
  return true;
}

/**
 * SND.NXT; or the edge of the peer's window, where a probe or a FIN that it has no room for has taken SND.NXT beyond: it would
 * drop a reset there.
 */
function resetSeq(tcb: Tcb): number {
  const edge = seqAdd(tcb.sndUna, tcb.sndWnd);
  // A SYN needs no room.
  return seqGt(tcb.sndNxt, edge) && tcb.sndUna !== tcb.iss ? edge : tcb.sndNxt;
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

/** Text that is to be sent again, or for the first time: RFC 6675 4, NextSeg. */
function takeText(tcb: Tcb, seg: TcpSegment, now: number): boolean {
  if (tcb.sent.lowestLost === NONE) return takeNewText(tcb, seg, now);
  if (sendsNewOnly(tcb)) {
    if (takeNewText(tcb, seg, now)) return true;
    // Some is out, or waits for its time: the ACK of it tells what is next.
    if (tcb.sndNxt !== tcb.recover || tcb.paceAt !== NEVER) return false;
    // The peer's window, or Nagle's algorithm, lets none go.
    giveUpFrto(tcb);
  }
  return takeRetransmission(tcb, seg, now);
}

/** The lowest text that was found lost, and a FIN behind it. */
function takeRetransmission(tcb: Tcb, seg: TcpSegment, now: number): boolean {
  const { sent, loss } = tcb;
  const { transmissions } = tcb.context;
  const lost = sent.lowestLost;
  const position = seqDiff(transmissions.seq[lost], tcb.sndUna);
  const range = transmissions.length(lost);
  const first = position === 0;
  const allowed = tcb.cwnd - underWay(tcb);
  // What the peer waits for is sent whatever the window says.
  const length = resendable(tcb, Math.min(range, tcb.sendBuffer.length - position), allowed, first);
  if (length < 0 || isPaced(tcb, now)) return false;
  const withFin = tcb.finSent && length < range && position + length === tcb.sendBuffer.length;
  const sequenceLength = length + (withFin ? 1 : 0);
  putText(tcb, seg, transmissions.seq[lost], position, length, withFin);
  const idle = sent.pipe === 0;
  noteResent(tcb, sequenceLength, now);
  noteForUndo(tcb, sequenceLength);
  loss.prrOut += sequenceLength;
  countSending(tcb, length, idle, now);
  countSentAgain(tcb, length);
  if (tcb.probing) return true;
  // RFC 6675 5.1: what the peer waits for has just been sent.
  if (tcb.sack && position === 0 && loss.phase === RECOVERY) tcb.retransmitAt = NEVER;
  startRetransmissionTimer(tcb, now);
  return true;
}

function countSentAgain(tcb: Tcb, length: number): void {
  tcb.rttTiming = false; // Karn: what is sent twice is not measured (RFC 6298 3).
  tcb.retransmissions++;
  tcb.bytesRetransmitted += length;
  tcb.context.stats.tcpRetransmissions++;
}

/** How much of `range` lost bytes goes into the next segment; -1 for nothing. */
function resendable(tcb: Tcb, range: number, allowed: number, first: boolean): number {
  const mss = textRoom(tcb);
  const most = tcb.maxText > tcb.mss ? Math.floor(tcb.maxText / tcb.mss) * mss : mss;
  const length = Math.min(range, most, Math.max(allowed, mss));
  const whole = length <= mss ? length : length - (length % mss);
  return first || whole <= allowed ? whole : -1;
}

/** Text that has not been sent, or a FIN alone. */
function takeNewText(tcb: Tcb, seg: TcpSegment, now: number): boolean {
  if (tcb.finSent) return false;
  const flight = flightSize(tcb);
  const unsent = tcb.sendBuffer.length - flight;
  if (unsent === 0) {
    if (tcb.due & DUE_PROBE && flight > 0) {
      // The last probe's byte was all there is: it is sent again as long as it is not acknowledged.
      tcb.due &= ~DUE_PROBE;
      takeProbe(tcb, seg, flight, 0, now);
      return true;
    }
    tcb.due &= ~(DUE_PROBE | DUE_PUSH);
    if (tcb.finQueued) return sendNew(tcb, seg, flight, 0, true, now);
    noteAppLimited(tcb);
    noteAllSent(tcb, flight, now);
    return false;
  }
  restartAfterIdle(tcb, now);
  const congestion = tcb.cwnd + limitedTransmit(tcb) - underWay(tcb);
  const length = sendable(tcb, unsent, Math.min(tcb.sndWnd - flight, congestion));
  if (tcb.due & DUE_PROBE) {
    tcb.due &= ~DUE_PROBE;
    takeProbe(tcb, seg, flight, length, now);
    return true;
  }
  if (length > 0 && length < textRoom(tcb) && isCorked(tcb, now)) return false;
  if (length <= 0 || !isWorthSending(tcb, length, unsent, flight)) {
    // Only the peer's window can hold text back while nothing is in flight: its update may get lost.
    if (flight === 0 && tcb.persistAt === NEVER) startPersistTimer(tcb, now);
    if (length === unsent) {
      noteAppLimited(tcb);
      noteLimit(tcb, BY_NOTHING, now);
    } else {
      noteLimit(tcb, congestion < tcb.sndWnd - flight ? BY_CONGESTION : BY_PEER, now);
    }
    return false;
  }
  if (isPaced(tcb, now)) {
    noteLimit(tcb, BY_CONGESTION, now);
    return false;
  }
  tcb.persistAt = NEVER;
  if (tcb.path !== null) {
    const probe = probeLength(tcb, unsent, tcb.sndWnd - flight, congestion, now);
    if (probe === PROBE_WAITS) return false;
    if (probe !== NO_PROBE) return sendMtuProbe(tcb, seg, flight, probe, now);
  }
  return sendNew(tcb, seg, flight, length, tcb.finQueued && length === unsent, now);
}

/** RFC 4821 7.5: one segment that is larger than the others. */
function sendMtuProbe(tcb: Tcb, seg: TcpSegment, flight: number, length: number, now: number): boolean {
  if (!sendNew(tcb, seg, flight, length, false, now)) return false;
  seg.segmentSize = 0;
  noteMtuProbe(tcb, length);
  return true;
}

/** RFC 8985 7.3: new text if there is any and the peer has room for it, whatever the congestion window says; else the last one. */
function takeTailProbe(tcb: Tcb, seg: TcpSegment, now: number): boolean {
  tcb.due &= ~DUE_TAIL_PROBE;
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  const flight = flightSize(tcb);
  // Between the timer and the device, an ACK may have come.
  if (flight === 0 || tcb.probing || tcb.loss.phase !== OPEN) return false;
  const unsent = tcb.sendBuffer.length - flight;
  const room = Math.min(tcb.sndWnd - flight, textRoom(tcb));
  if (!tcb.finSent && unsent > 0 && room >= Math.min(unsent, textRoom(tcb))) {
    const length = Math.min(unsent, room);
    if (!sendNew(tcb, seg, flight, length, tcb.finQueued && length === unsent, now)) return false;
    noteProbeSent(tcb, true);
    return true;
  }
  const { tail } = sent;
  if (transmissions.fate[tail] !== IN_FLIGHT) return false;
  const sequenceLength = Math.min(transmissions.length(tail), textRoom(tcb) + (tcb.finSent ? 1 : 0));
  const length = sequenceLength - (tcb.finSent ? 1 : 0);
  const seq = seqAdd(tcb.sndNxt, -sequenceLength);
  putText(tcb, seg, seq, seqDiff(seq, tcb.sndUna), length, tcb.finSent);
  noteTailResent(tcb, sequenceLength, now);
  countSentAgain(tcb, length);
  noteProbeSent(tcb, false);
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
  const length = Math.min(unsent, usable, saysSlower(tcb) ? mss : most);
  if (length <= mss) return length;
  if (length === unsent && (tcb.finQueued || (tcb.noDelay && !tcb.corked))) return length;
  return length - (length % mss);
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
  if (flight === 0 && tcb.context.tcp.windowProbes === "empty") {
    putUnacceptable(tcb, seg);
    tcb.probeBackoff++;
    startPersistTimer(tcb, now);
    return;
  }
  tcb.probing = true;
  tcb.retransmitAt = NEVER;
  tcb.probeAt = NEVER;
  putText(tcb, seg, tcb.sndUna, 0, 1, false);
  if (flight === 0) {
    noteSent(tcb, 1, now);
    tcb.sndNxt = seqAdd(tcb.sndNxt, 1);
  } else {
    noteTailResent(tcb, 1, now);
  }
  tcb.rttTiming = false;
  tcb.probeBackoff++;
  startPersistTimer(tcb, now);
}

/** RFC 9293 3.8.4: a segment without text, one below the window, that the peer must answer. */
function takeKeepAlive(tcb: Tcb, seg: TcpSegment): boolean {
  tcb.due &= ~DUE_KEEP_ALIVE;
  tcb.context.stats.tcpKeepAlives++;
  putUnacceptable(tcb, seg);
  return true;
}

/** The peer drops it, ACK and window included, and answers: what it is owed of these stays owed. */
function putUnacceptable(tcb: Tcb, seg: TcpSegment): void {
  header(tcb, seg, seqAdd(tcb.sndNxt, -1), ACK);
  seg.window = receiveWindow(tcb) >> tcb.rcvWindShift;
}

function sendNew(
  tcb: Tcb,
  seg: TcpSegment,
  position: number,
  length: number,
  withFin: boolean,
  now: number,
): boolean {
  const sequenceLength = length + (withFin ? 1 : 0);
  const idle = position === 0;
  if (!noteSent(tcb, sequenceLength, now)) return false;
  if (idle) tcb.unackedSince = now;
  putText(tcb, seg, tcb.sndNxt, position, length, withFin);
  markNewText(tcb, seg);
  settleAck(tcb);
  if (tcb.quickAcks > 0) noteAnswer(tcb, now);
  advanceSent(tcb, sequenceLength);
  noteShort(tcb, length);
  if (withFin) tcb.finSent = true;
  tcb.loss.prrOut += sequenceLength;
  countSending(tcb, length, idle, now);
  // While losses are repaired, the records tell more.
  if (!tcb.rttTiming && !(tcb.sack && tcb.loss.phase !== OPEN)) startRttMeasurement(tcb, now);
  startRetransmissionTimer(tcb, now);
  scheduleProbe(tcb, now);
  return true;
}

/** Text leaves, new or again. */
function countSending(tcb: Tcb, length: number, idle: boolean, now: number): void {
  tcb.lastSentAt = now;
  tcb.control.onSend(tcb, length, idle, now);
  notePaced(tcb, length, now);
}

/** Is it too early for the next segment? Then the pacing timer runs. */
function isPaced(tcb: Tcb, now: number): boolean {
  if (mayGo(tcb, now)) return false;
  tcb.paceAt = tcb.nextSendAt;
  schedule(tcb);
  return true;
}

/** Moves SND.NXT behind so many sequence numbers that are sent for the first time. */
function advanceSent(tcb: Tcb, sequenceLength: number): void {
  tcb.sndNxt = seqAdd(tcb.sndNxt, sequenceLength);
  noteWindowUse(tcb);
}

/**
 * Text that is sent again, and a probe, do not settle what the peer is owed: where it has that text already, or no room
 * for it, it drops the segment with its ACK (RFC 9293 3.10.7.4, first).
 */
function putText(
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
  if (length >= mss && tcb.fullSizedAt === Number.POSITIVE_INFINITY) {
    tcb.fullSizedAt = tcb.bytesSent + position + mss;
  }
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
  seg.ecn = 0;
  seg.dscp = tcb.tuning.typeOfService & DSCP_MASK;
  seg.ttl = tcb.tuning.timeToLive;
  resetTcpOptions(seg);
  tcb.segmentsSent++;
  if (flags & ACK) tcb.lastAckSent = tcb.rcvNxt;
  if (tcb.ecn !== 0) writeEcho(tcb, seg);
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
  tcb.retransmitAt = beforeUserTimeout(tcb, now + tcb.rto);
  schedule(tcb);
}

/** RFC 9293 3.8.6.1: the first probe after one RTO, the next ones at twice the interval each. */
function startPersistTimer(tcb: Tcb, now: number): void {
  if (tcb.probeBackoff === 0 && !tcb.probing) tcb.unackedSince = now;
  const interval = tcb.rto * 2 ** Math.min(tcb.probeBackoff, 16);
  tcb.persistAt = beforeUserTimeout(tcb, now + Math.min(interval, tcb.context.tcp.maxRtoMs));
  schedule(tcb);
}
