import { ECN_CE } from "../../wire/ipv4.ts";
import { ACK, FIN, PSH, RST, SYN, type TcpSegment, tcpSequenceLength } from "../../wire/tcp.ts";
import { GO_ON, onHandshakeAcked, processAck, STOP_AND_RESET, setSendWindow } from "./ack.ts";
import { challengeAck, mayChallenge } from "./challenge.ts";
import { inSlowStart } from "./congestion/slow-start.ts";
import { isWindowUsed } from "./congestion/window-use.ts";
import { acknowledgeNow, acknowledgeSoon, startQuickAcks } from "./delayed-ack.ts";
import { noteMark } from "./ecn.ts";
import { OPEN } from "./loss-recovery.ts";
import { adoptSynOptions } from "./options.ts";
import { reportOf } from "./sack.ts";
import { seqAdd, seqDiff, seqGeq, seqGt, seqLeq, seqLt } from "./seq.ts";
import {
  CLOSED,
  CLOSING,
  DUE_SYN,
  ESTABLISHED,
  LAST_ACK,
  SYN_RECEIVED,
  SYN_SENT,
  type Tcb,
  TIME_WAIT,
} from "./tcb.ts";
import { processTextAndFin, receiveMoreText, receiveText, takeStored } from "./text.ts";
import { schedule } from "./timers.ts";
import { isEchoedNext, isFromThePast, lacksTimestamps, noteTimestamp } from "./timestamps.ts";
import { enterClosed, enterTimeWait, ready } from "./transitions.ts";
import { receiveWindow } from "./window.ts";

/**
 * RFC 9293 3.10.7.3 and 3.10.7.4, SEGMENT ARRIVES, for a connection that exists. `bytes` holds the segment's text.
 *
 * Returns whether the segment is to be answered by a reset, which the caller makes from the segment alone (3.5.2).
 */
export function segmentArrives(tcb: Tcb, seg: TcpSegment, bytes: Uint8Array, now: number): boolean {
  if (isNextText(tcb, seg)) {
    receiveNextText(tcb, seg, bytes, now);
    return false;
  }
  tcb.segmentsReceived++;
  const { trace } = tcb;
  if (trace === null) return processSegment(tcb, seg, bytes, now);
  trace.received(seg, now);
  const isAnsweredByReset = processSegment(tcb, seg, bytes, now);
  trace.changes(now);
  return isAnsweredByReset;
}

function processSegment(tcb: Tcb, seg: TcpSegment, bytes: Uint8Array, now: number): boolean {
  if (tcb.state === CLOSED) return false;
  if (tcb.state === SYN_SENT) return inSynSent(tcb, seg, bytes, now);
  if (tcb.state === SYN_RECEIVED && !beforeSynReceived(tcb, seg, now)) return false;
  if (lacksTimestamps(tcb, seg)) {
    tcb.context.stats.tcpWithoutTimestamp++;
    return false;
  }
  // RFC 7323 5.3: PAWS comes before the sequence number.
  if (isFromThePast(tcb, seg, now)) {
    tcb.context.stats.tcpFromThePast++;
    onUnacceptable(tcb, seg, now);
    return false;
  }
  // First: the sequence number.
  if (!isAcceptable(tcb, seg)) {
    onUnacceptable(tcb, seg, now);
    return false;
  }
  // Second: the RST bit.
  if (seg.flags & RST) {
    onReset(tcb, seg, now);
    return false;
  }
  // Third, security, has no users (RFC 9293 A.1). Fourth: the SYN bit.
  if (seg.flags & SYN) {
    onSynInConnection(tcb, seg, now);
    return false;
  }
  const isBare = tcpSequenceLength(seg) === 0;
  const isEchoed = isEchoedNext(tcb, seg);
  const isCut = trimToWindow(tcb, seg);
  // Fifth: the ACK field.
  const verdict = processAck(tcb, seg, isBare, now);
  if (verdict !== GO_ON) return verdict === STOP_AND_RESET;
  // Not before its ACK is known to be right: a timestamp of somebody who guesses would have PAWS refuse the peer's.
  if (isEchoed) noteTimestamp(tcb, seg, now);
  noteMark(tcb, seg);
  onHeard(tcb, now);
  // Text outside of the window, such as a window probe's, is answered by an ACK that states the window; behind a FIN there
  // is none.
  if (isCut && !tcb.finReceived) acknowledgeNow(tcb);
  // Sixth to eighth: URG, text and FIN.
  if (seg.payloadLength > 0 || seg.flags & ~(ACK | PSH)) processTextAndFin(tcb, seg, bytes, now);
  return false;
}

/**
 * Header prediction: what nearly every segment of a bulk transfer is, the next text of a peer to whom we send nothing.
 * All the steps of 3.10.7.4 come down to taking the text; each condition here is one that lets a step do nothing.
 */
export function isNextText(tcb: Tcb, seg: TcpSegment): boolean {
  return (
    isUsual(tcb, seg) &&
    seg.ack === tcb.sndUna &&
    seg.window << tcb.sndWindShift === tcb.sndWnd &&
    tcb.sndWnd > 0 &&
    seg.payloadLength > 0 &&
    seg.payloadLength <= receiveWindow(tcb)
  );
}

/** What both predictions ask of a segment: nothing is in it, or known of the connection, that another step looks at. */
function isUsual(tcb: Tcb, seg: TcpSegment): boolean {
  return (
    seg.seq === tcb.rcvNxt &&
    tcb.state === ESTABLISHED &&
    (seg.flags & ~PSH) === ACK &&
    seg.ecn !== ECN_CE &&
    seg.sackCount === 0 &&
    tcb.trace === null &&
    (!tcb.timestamps || (seg.hasTimestamp && seqLeq(tcb.tsRecent, seg.tsVal)))
  );
}

/** Takes a segment that is the next text. */
export function receiveNextText(tcb: Tcb, seg: TcpSegment, bytes: Uint8Array, now: number): void {
  tcb.segmentsReceived++;
  tcb.sndWl1 = seg.seq;
  tcb.sndWl2 = seg.ack;
  if (isEchoedNext(tcb, seg)) noteTimestamp(tcb, seg, now);
  onHeard(tcb, now);
  receiveText(tcb, seg, bytes, now);
}

/**
 * Header prediction: what nearly every segment is to whom sends in bulk, a bare ACK of more than the one before. Of the steps
 * of 3.10.7.4 only the fifth has anything to do.
 */
export function isNextAck(tcb: Tcb, seg: TcpSegment): boolean {
  return (
    isUsual(tcb, seg) && seqGt(seg.ack, tcb.sndUna) && seqLeq(seg.ack, tcb.sndNxt) && seg.payloadLength === 0
  );
}

/**
 * May such a one be left out where another comes right behind it? Not while a loss is repaired or looked for, nor where the
 * congestion window grows by the ACK, and HyStart++ counts its round-trip times.
 */
export function mayBeSuperseded(tcb: Tcb): boolean {
  const { phase, probing } = tcb.loss;
  return phase === OPEN && !probing && !(inSlowStart(tcb) && isWindowUsed(tcb));
}

/** Takes the last of `count` such ACKs, which has superseded the others. */
export function receiveAck(tcb: Tcb, seg: TcpSegment, count: number, now: number): void {
  tcb.segmentsReceived += count;
  const isEchoed = isEchoedNext(tcb, seg);
  if (processAck(tcb, seg, true, now) !== GO_ON) return;
  if (isEchoed) noteTimestamp(tcb, seg, now);
  onHeard(tcb, now);
}

/** Does text that follows in the same batch leave nothing to decide but when to acknowledge it? The last one was next text. */
export function mayLeadTrain(tcb: Tcb): boolean {
  return (
    tcb.state === ESTABLISHED &&
    tcb.trace === null &&
    tcb.outOfOrder.count === 0 &&
    tcb.duplicateAcksDue === 0 &&
    !tcb.finPending
  );
}

/** Takes a segment that is next text behind one that was, and like it but that it brings what comes next. */
export function receiveFollower(tcb: Tcb, seg: TcpSegment, bytes: Uint8Array, now: number): void {
  tcb.segmentsReceived++;
  tcb.sndWl1 = seg.seq;
  receiveMoreText(tcb, seg, bytes, now);
}

/**
 * Takes `count` segments of `length` bytes each, which are next text behind one that led them, and like it: their text is in
 * the receive buffer already, behind what is in order. One by one they would have come to the same.
 *
 * @param tsEcr their timestamps' echo
 */
export function receiveTrain(tcb: Tcb, count: number, length: number, tsEcr: number, now: number): void {
  tcb.segmentsReceived += count;
  tcb.sndWl1 = seqAdd(tcb.rcvNxt, (count - 1) * length);
  takeStored(tcb, count * length, tsEcr, now);
  acknowledgeSoon(tcb, length, now, count);
}

/** RFC 9293 3.10.7.3. */
function inSynSent(tcb: Tcb, seg: TcpSegment, bytes: Uint8Array, now: number): boolean {
  // First: the ACK bit.
  if (seg.flags & ACK && (seqLeq(seg.ack, tcb.iss) || seqGt(seg.ack, tcb.sndNxt))) return !(seg.flags & RST);
  // Second: the RST bit. Without an ACK nothing shows that it answers our SYN.
  if (seg.flags & RST) {
    if (seg.flags & ACK) {
      tcb.context.stats.tcpResetsReceived++;
      enterClosed(tcb, "ECONNREFUSED");
    }
    return false;
  }
  // Fourth: the SYN bit. Fifth: neither.
  if (!(seg.flags & SYN)) return false;
  const offered = receiveWindow(tcb);
  tcb.irs = seg.seq;
  tcb.rcvNxt = seqAdd(seg.seq, 1);
  tcb.rcvAdv = seqAdd(tcb.rcvNxt, offered);
  adoptSynOptions(tcb, seg, now);
  setSendWindow(tcb, seg);
  if (!(seg.flags & ACK)) {
    // Simultaneous open (3.5, figure 7). Text that came along is sent again by the peer.
    tcb.state = SYN_RECEIVED;
    tcb.unackedSince = now;
    tcb.due |= DUE_SYN;
    ready(tcb);
    return false;
  }
  onHandshakeAcked(tcb, seg, now);
  acknowledgeNow(tcb);
  // "If there are other controls or text in the segment, then continue processing at the sixth step."
  stripSyn(seg);
  trimToWindow(tcb, seg);
  if (seg.payloadLength > 0 || seg.flags & FIN) processTextAndFin(tcb, seg, bytes, now);
  return false;
}

/**
 * What SYN-RECEIVED does before the sequence check: the peer's SYN again. Alone it asks for our SYN-ACK, which must have
 * been lost; with an ACK, where we have sent a SYN of our own, it is the other half of a simultaneous open and completes
 * the handshake. Returns whether the segment is to be processed further.
 */
function beforeSynReceived(tcb: Tcb, seg: TcpSegment, now: number): boolean {
  if (!(seg.flags & SYN) || seg.flags & RST || seg.seq !== tcb.irs) return true;
  if (!(seg.flags & ACK)) {
    if (!mayChallenge(tcb, now)) return false;
    tcb.due |= DUE_SYN;
    ready(tcb);
    return false;
  }
  if (!tcb.activeOpen) return true;
  stripSyn(seg);
  seg.window >>= tcb.sndWindShift; // A SYN's window is not scaled.
  // RFC 9293 3.5.2, group 2: any other ACK gets a reset, and nothing else.
  if (seg.ack === tcb.sndNxt) acknowledgeNow(tcb);
  return true;
}

function stripSyn(seg: TcpSegment): void {
  seg.flags &= ~SYN;
  seg.seq = seqAdd(seg.seq, 1);
}

/** RFC 9293 3.10.7.4, first, and table 6: does any of the segment lie in the receive window? */
function isAcceptable(tcb: Tcb, seg: TcpSegment): boolean {
  const length = tcpSequenceLength(seg);
  const window = receiveWindow(tcb);
  const distance = seqDiff(seg.seq, tcb.rcvNxt);
  if (length === 0) return window === 0 ? distance === 0 : distance >= 0 && distance < window;
  // "Special allowance should be made to accept valid ACKs, URGs, and RSTs": their text is trimmed away.
  if (window === 0) return distance === 0;
  return distance < window && distance + length > 0;
}

/**
 * RFC 9293 3.10.7.4, first: an ACK goes back, unless the segment is a reset. Text or a FIN that comes again shows that our ACK
 * was lost; all else might be a loop of ACKs, or somebody who guesses, and is answered as far as the limits allow.
 */
function onUnacceptable(tcb: Tcb, seg: TcpSegment, now: number): void {
  tcb.context.stats.tcpUnacceptable++;
  if (seg.flags & RST) return;
  const isRecent = !(seg.flags & SYN) && isFromTheLastWindow(tcb, seg);
  if (isRecent) onHeard(tcb, now);
  if (!isRecent || (seg.payloadLength === 0 && !(seg.flags & FIN))) {
    challengeAck(tcb, now);
    return;
  }
  // RFC 2883 4.1.1: all of it arrived before.
  if (seg.payloadLength > 0) reportOf(tcb).noteDuplicate(seg.seq, seg.payloadLength);
  if (tcb.state === TIME_WAIT && seg.flags & FIN && endOf(seg) === tcb.rcvNxt) {
    enterTimeWait(tcb, now);
    schedule(tcb);
  }
  acknowledgeNow(tcb);
  startQuickAcks(tcb);
}

/** One past the segment's last sequence number. */
function endOf(seg: TcpSegment): number {
  return seqAdd(seg.seq, tcpSequenceLength(seg));
}

/**
 * Does the segment lie before RCV.NXT, where the peer may believe the edge to be? That is a window's length at most. Or, where the
 * window is shut, behind the byte that the peer has probed it with, and counts as sent?
 */
function isFromTheLastWindow(tcb: Tcb, seg: TcpSegment): boolean {
  const distance = seqDiff(seg.seq, tcb.rcvNxt);
  const length = tcpSequenceLength(seg);
  if (distance < 0) return distance >= -tcb.receiveBuffer.limit && distance + length <= 0;
  return distance === 1 && length === 0 && receiveWindow(tcb) === 0;
}

/** RFC 9293 3.10.7.4, second, with RFC 5961 3.2: only the exact sequence number resets. */
function onReset(tcb: Tcb, seg: TcpSegment, now: number): void {
  if (tcb.state === TIME_WAIT) {
    // RFC 1337 3, (F1): it may be the answer to an ACK of ours to an old segment. TIME-WAIT lasts its time.
    tcb.context.stats.tcpTimeWaitResetsIgnored++;
    return;
  }
  if (seg.seq !== tcb.rcvNxt) {
    challengeAck(tcb, now);
    return;
  }
  tcb.context.stats.tcpResetsReceived++;
  if (tcb.state === SYN_RECEIVED) {
    // A passive open goes back to LISTEN: the listener never left it, the half-open connection goes.
    enterClosed(tcb, tcb.activeOpen ? "ECONNREFUSED" : "ECONNRESET");
  } else if (tcb.state === CLOSING || tcb.state === LAST_ACK) {
    // Both sides had closed; but text that was never acknowledged may be lost.
    enterClosed(tcb, tcb.sendBuffer.length > 0 ? "ECONNRESET" : null);
  } else {
    enterClosed(tcb, "ECONNRESET");
  }
}

/** RFC 9293 3.10.7.4, fourth, with RFC 5961 4.2. Where only the text behind it is in the window, the SYN is old. */
function onSynInConnection(tcb: Tcb, seg: TcpSegment, now: number): void {
  if (tcb.state === SYN_RECEIVED && !tcb.activeOpen && seqGeq(seg.seq, tcb.rcvNxt)) {
    enterClosed(tcb, "ECONNRESET");
    return;
  }
  challengeAck(tcb, now);
}

/**
 * "Reconstruct the segment to contain just the new data": cuts off what lies outside of the receive window. Returns whether
 * there was anything behind its right edge. A FIN there needs no room, and stays where all text before it does.
 */
function trimToWindow(tcb: Tcb, seg: TcpSegment): boolean {
  if (seqLt(seg.seq, tcb.rcvNxt)) {
    const old = seqDiff(tcb.rcvNxt, seg.seq);
    const cut = Math.min(old, seg.payloadLength);
    if (cut > 0) reportOf(tcb).noteDuplicate(seg.seq, cut);
    seg.seq = seqAdd(seg.seq, cut);
    seg.payloadOffset += cut;
    seg.payloadLength -= cut;
  }
  const beyond = seqDiff(seqAdd(seg.seq, seg.payloadLength), tcb.rcvAdv);
  if (beyond <= 0) return false;
  seg.payloadLength = Math.max(seg.payloadLength - beyond, 0);
  seg.flags &= ~FIN;
  return true;
}

/** The peer is alive: keep-alive starts anew. */
function onHeard(tcb: Tcb, now: number): void {
  tcb.lastHeardAt = now;
  if (tcb.keepAlivesUnanswered > 0) {
    tcb.keepAlivesUnanswered = 0;
    tcb.keepAliveAt = now + tcb.keepAliveIdleMs;
    schedule(tcb);
  }
}
