import { NEVER } from "../../storage/deadline-heap.ts";
import { ACK, ECE, SYN, type TcpSegment } from "../../wire/tcp.ts";
import { timeIn } from "../context.ts";
import { noteRoom } from "./buffer-tuning.ts";
import { challengeAck } from "./challenge.ts";
import { resetAckSample } from "./congestion/control.ts";
import { isWindowUsed } from "./congestion/window-use.ts";
import { finishSample } from "./delivery-rate.ts";
import { keepEchoMark, obeyEcho } from "./ecn.ts";
import { OPEN } from "./loss-recovery.ts";
import { onAckForProbe } from "./mtu-probe.ts";
import { noteOrphanProgress } from "./orphans.ts";
import { endIfStalled, isShut, noteTextTaken, stopAsking } from "./pressure.ts";
import { noteMinRtt } from "./rack.ts";
import { onAckNews } from "./recovery.ts";
import { onRttSample } from "./rto.ts";
import { acknowledge, loseFlight, takeSackBlocks } from "./scoreboard.ts";
import { seqAdd, seqDiff, seqGeq, seqGt, seqLeq, seqLt } from "./seq.ts";
import { CLOSED, DUE_PROBE, flightSize, SYN_RECEIVED, type Tcb, TIME_WAIT } from "./tcb.ts";
import { schedule } from "./timers.ts";
import { rttByTimestamp } from "./timestamps.ts";
import { scheduleProbe } from "./tlp.ts";
import { enterClosed, enterEstablished, onOurFinAcked, ready } from "./transitions.ts";
import { beforeUserTimeout } from "./user-timeout.ts";

/** The segment is dropped; nothing of it is processed further. */
export const STOP = 0;
/** The segment is dropped, and answered by <SEQ=SEG.ACK><CTL=RST>. */
export const STOP_AND_RESET = 1;
/** Its text and FIN are processed next. */
export const GO_ON = 2;

export type AckVerdict = typeof STOP | typeof STOP_AND_RESET | typeof GO_ON;

/**
 * RFC 9293 3.10.7.4, fifth: check the ACK field.
 *
 * @param isBare the segment came without text and FIN, also without any that the receive window has cut off
 */
export function processAck(tcb: Tcb, seg: TcpSegment, isBare: boolean, now: number): AckVerdict {
  if (!(seg.flags & ACK)) return STOP;
  if (tcb.state === SYN_RECEIVED) {
    if (seqLeq(seg.ack, tcb.sndUna) || seqGt(seg.ack, tcb.sndNxt)) return STOP_AND_RESET;
    // The accept queue is full: as if the ACK had been lost. Our SYN-ACK, sent again, will ask for it.
    if (tcb.listen !== null && !tcb.listen.mayComplete) {
      tcb.context.stats.tcpListenOverflow++;
      return STOP;
    }
    if (tcb.listen?.isAtLimit) {
      tcb.context.stats.tcpConnectionsRefused++;
      enterClosed(tcb, "ECONNREFUSED");
      return STOP_AND_RESET;
    }
    setSendWindow(tcb, seg);
    onHandshakeAcked(tcb, seg, now);
    tcb.listen?.promote(tcb);
  }
  // RFC 5961 5.2: (SND.UNA - MAX.SND.WND) =< SEG.ACK =< SND.NXT, or an ACK goes back.
  if (seqGt(seg.ack, tcb.sndNxt) || seqLt(seg.ack, seqAdd(tcb.sndUna, -tcb.maxSndWnd))) {
    challengeAck(tcb, now);
    return STOP;
  }
  if (tcb.state === TIME_WAIT) return GO_ON;
  const acked = seqDiff(seg.ack, tcb.sndUna);
  if (acked >= 0) {
    if (acked > 0 || mayTell(tcb, seg)) takeNews(tcb, seg, acked, isBare);
    if (seg.flags & ECE) obeyEcho(tcb, seg, now);
    updateSendWindow(tcb, seg, now);
  } else if (tcb.sack && seg.sackCount > 0) {
    // It was overtaken: what it tells of arrivals is still true.
    takeNews(tcb, seg, 0, isBare);
  }
  if (endIfStalled(tcb, now)) return STOP;
  // RFC 9293 3.10.7.4: the state that an acknowledged FIN leads to.
  if (tcb.finSent && tcb.sndUna === tcb.sndNxt) onOurFinAcked(tcb, now);
  schedule(tcb);
  return tcb.state === CLOSED ? STOP : GO_ON;
}

/** Our SYN has been acknowledged: SYN-SENT or SYN-RECEIVED to ESTABLISHED. */
export function onHandshakeAcked(tcb: Tcb, seg: TcpSegment, now: number): void {
  // Only the SYN counts here: what else the segment acknowledges is processed in ESTABLISHED.
  tcb.sndUna = seqAdd(tcb.iss, 1);
  measureHandshake(tcb, seg, now);
  enterEstablished(tcb);
  tcb.lastHeardAt = now;
  if (tcb.keepAliveIdleMs > 0) tcb.keepAliveAt = now + tcb.keepAliveIdleMs;
  ready(tcb);
  schedule(tcb);
}

function measureHandshake(tcb: Tcb, seg: TcpSegment, now: number): void {
  if (tcb.rttTiming) noteMinRtt(tcb, now - tcb.rttStart, now);
  const ms = tcb.rttTiming ? now - tcb.rttStart : rttByTimestamp(tcb, seg, now);
  tcb.rttTiming = false;
  if (ms >= 0) onRttSample(tcb, ms);
}

/** SND.WND, SND.WL1, SND.WL2 <- the segment's. A SYN's window is not scaled (RFC 7323 2.2). */
export function setSendWindow(tcb: Tcb, seg: TcpSegment): void {
  tcb.sndWnd = scaledWindow(tcb, seg);
  tcb.sndWl1 = seg.seq;
  tcb.sndWl2 = seg.ack;
  if (tcb.sndWnd > tcb.maxSndWnd) tcb.maxSndWnd = tcb.sndWnd;
}

function scaledWindow(tcb: Tcb, seg: TcpSegment): number {
  return seg.flags & SYN ? seg.window : seg.window << tcb.sndWindShift;
}

/** May an ACK tell something that acknowledges nothing? What arrived twice is told of when all else has been said, too. */
function mayTell(tcb: Tcb, seg: TcpSegment): boolean {
  return flightSize(tcb) > 0 || seg.sackCount > 0 || tcb.loss.probing;
}

/** SEG.ACK =< SND.NXT: what the ACK tells of what was sent. */
function takeNews(tcb: Tcb, seg: TcpSegment, acked: number, isBare: boolean): void {
  const { sent } = tcb;
  // What was sent in this poll is not acknowledged in no time.
  const now = timeIn(tcb.context);
  const { ack } = tcb.context;
  const duplicate = seg.ack === tcb.sndUna && isBare && isDuplicate(tcb, seg);
  resetAckSample(ack, sent.pipe);
  ack.acked = acked;
  ack.cwndLimited = isWindowUsed(tcb);
  if (acked > 0) {
    advance(tcb, seg.ack, acked, now);
    if (tcb.path !== null) onAckForProbe(tcb, now);
  }
  if (tcb.sack && seg.sackCount > 0) takeSackBlocks(tcb, seg, now);
  if (acked === 0 && ack.delivered === 0 && !duplicate && !ack.duplicateReported) return;
  finishSample(tcb);
  measureRtt(tcb, seg, acked, now);
  const restartTimer = onAckNews(tcb, seg.ack, acked, duplicate, now);
  if (acked > 0) {
    // A mark of loss that stayed behind would seem to lie ahead after 2^31 bytes, and end fast retransmit.
    if (tcb.loss.phase === OPEN && seqGt(seg.ack, tcb.recover)) tcb.recover = seqAdd(seg.ack, -1);
    keepEchoMark(tcb);
    // RFC 6298 5.2 and 5.3.
    if (flightSize(tcb) === 0) tcb.retransmitAt = NEVER;
    else if (restartTimer && !tcb.probing) tcb.retransmitAt = beforeUserTimeout(tcb, now + tcb.rto);
  }
  scheduleProbe(tcb, now);
  ready(tcb);
}

/** SND.UNA moves on by `acked`. */
function advance(tcb: Tcb, ackNumber: number, acked: number, now: number): void {
  tcb.sndUna = ackNumber;
  acknowledge(tcb, ackNumber, now);
  const text = Math.min(acked, tcb.sendBuffer.length);
  tcb.sendBuffer.drop(text);
  tcb.bytesSent += text;
  if (text > 0) noteTextTaken(tcb, now);
  tcb.backoff = 0;
  tcb.probeBackoff = 0;
  tcb.unackedSince = now;
  tcb.softError = null; // The path works again.
  noteOrphanProgress(tcb, now);
  if (tcb.writeBlocked && text > 0) noteRoom(tcb, text);
}

/**
 * RFC 6298 3: once a round-trip time, by the clock of what was sent once. While losses are repaired, by whatever was sent
 * once and is SACKed; else by timestamps: they are coarser, and tell which sending has been answered of what was sent more
 * than once (RFC 7323 4.1).
 */
function measureRtt(tcb: Tcb, seg: TcpSegment, acked: number, now: number): void {
  if (tcb.rttTiming) {
    if (acked === 0 || !seqGeq(seg.ack, tcb.rttSeq)) return;
    tcb.rttTiming = false;
    onRttSample(tcb, now - tcb.rttStart);
    return;
  }
  const { rttMs } = tcb.context.ack;
  const known = tcb.sack && tcb.loss.phase !== OPEN && rttMs >= 0;
  const ms = known ? rttMs : acked > 0 ? rttByTimestamp(tcb, seg, now) : -1;
  if (ms >= 0) onRttSample(tcb, ms);
}

/** RFC 5681 2, DUPLICATE ACKNOWLEDGMENT; the caller knows that it is bare (b, c) and equals SND.UNA (d). */
function isDuplicate(tcb: Tcb, seg: TcpSegment): boolean {
  // The answer to a tail probe may be a duplicate after all has been acknowledged (RFC 8985 7.4.2).
  if (flightSize(tcb) === 0 && !tcb.loss.probing) return false;
  return !tcb.probing && scaledWindow(tcb, seg) === tcb.sndWnd;
}

/** RFC 9293 3.10.7.4, fifth: an old segment does not change the window. */
function updateSendWindow(tcb: Tcb, seg: TcpSegment, now: number): void {
  // The peer answers, so its window may stay shut for ever (RFC 9293 3.8.6.1): as long as the program is there to care.
  if ((tcb.sndWnd === 0 || tcb.probing) && !tcb.receiveClosed) tcb.unackedSince = now;
  if (!(seqLt(tcb.sndWl1, seg.seq) || (tcb.sndWl1 === seg.seq && seqLeq(tcb.sndWl2, seg.ack)))) return;
  const before = tcb.sndWnd;
  setSendWindow(tcb, seg);
  if (tcb.sndWnd <= before) return;
  if (tcb.probing) endProbing(tcb);
  ready(tcb);
  // What the program could not write while the window was shut.
  if (tcb.writeBlocked && tcb.sendBuffer.length < tcb.sendBuffer.limit && !isShut(tcb)) stopAsking(tcb);
}

/** The window has opened: a probe that the peer could not take is lost, and is sent again at once. */
function endProbing(tcb: Tcb): void {
  tcb.probing = false;
  tcb.probeBackoff = 0;
  tcb.persistAt = NEVER;
  tcb.due &= ~DUE_PROBE;
  loseFlight(tcb);
}
