import { resetAckSample } from "./congestion/control.ts";
import { askFrto } from "./frto.ts";
import { AFTER_TIMEOUT, OPEN, RECOVERY } from "./loss-recovery.ts";
import { onLossAroundProbe, repairsProbe } from "./mtu-probe.ts";
import { onAckForPrr, startPrr } from "./prr.ts";
import { countRecovery, DUPLICATE_THRESHOLD, detectLosses, endReorderRound } from "./rack.ts";
import { loseFirst } from "./scoreboard.ts";
import { seqDiff, seqGeq, seqGt } from "./seq.ts";
import { flightSize, type Tcb } from "./tcb.ts";
import { probeHasRepaired } from "./tlp.ts";
import { expectUndo, undo, wasSpurious } from "./undo.ts";

/**
 * Fast retransmit and fast recovery: RFC 5681 3.2, as RFC 6675 has them with SACK and RFC 6582 (NewReno) without. What
 * is lost RACK says, or the duplicate ACKs; how the window comes down, RFC 9937 or the congestion control.
 */

/**
 * An ACK has been taken into the records and `context.ack`.
 *
 * @param acked bytes by which SND.UNA has advanced
 * @param duplicate it is a duplicate ACK in the sense of RFC 5681 2
 * @returns whether the retransmission timer is to be restarted
 */
export function onAckNews(
  tcb: Tcb,
  ackNumber: number,
  acked: number,
  duplicate: boolean,
  now: number,
): boolean {
  const { loss, control } = tcb;
  const { ack } = tcb.context;
  const advanced = acked > 0;
  if (advanced) endReorderRound(tcb);
  // RFC 6675 2: with SACK, one that tells of nothing new is none.
  if (duplicate && (!tcb.sack || ack.delivered > 0)) loss.duplicateAcks++;
  const over = seqGeq(tcb.sndUna, tcb.recover);
  const wasRepairing = loss.phase === RECOVERY;
  if (wasSpurious(tcb) || (loss.phase === AFTER_TIMEOUT && askFrto(tcb, advanced, over))) undo(tcb, now);
  if (loss.phase !== OPEN && over) endPhase(tcb, now);
  if (tcb.sack && ack.delivered > 0) ack.lost = detectLosses(tcb, now);
  const wasOpen = loss.phase === OPEN;
  let restartTimer = true;
  if (tcb.sack) {
    if (wasOpen && ack.lost > 0) enterRecovery(tcb, now);
    else if (wasOpen && probeHasRepaired(tcb, ackNumber, advanced)) reduceForProbe(tcb, now);
  } else if (wasOpen || loss.phase === AFTER_TIMEOUT) {
    if (duplicate) onDuplicateAck(tcb, now);
  } else {
    restartTimer = onAckInRecovery(tcb, acked, duplicate);
  }
  if (advanced && loss.phase !== RECOVERY) loss.duplicateAcks = 0;
  if (ack.delivered === 0) return restartTimer;
  if (loss.phase === RECOVERY && !control.controlsRecovery) {
    // Without SACK the window is inflated instead (RFC 6582).
    if (tcb.sack) onAckForPrr(tcb, advanced);
  } else if (control.controlsRecovery || !wasRepairing) {
    // Where it is not the control's, the ACK that ends a recovery has set the window.
    control.onAck(tcb, ack, now);
  }
  return restartTimer;
}

/** RACK has found losses as time went by, not by an ACK. */
export function onLossByTimer(tcb: Tcb, now: number): void {
  if (tcb.loss.phase !== OPEN) return;
  resetAckSample(tcb.context.ack, tcb.sent.pipe);
  enterRecovery(tcb, now);
  if (!tcb.control.controlsRecovery) tcb.cwnd = tcb.sent.pipe + tcb.mss;
}

/** Bytes that count against the congestion window. */
export function underWay(tcb: Tcb): number {
  // RFC 6582: without SACK the window is inflated by what has left the network, instead.
  if (tcb.sack || tcb.loss.phase !== RECOVERY) return tcb.sent.pipe;
  if (!tcb.control.controlsRecovery) return flightSize(tcb);
  return Math.max(tcb.sent.pipe - Math.min(tcb.loss.duplicateAcks * tcb.mss, mostThatLeft(tcb)), 0);
}

/**
 * RFC 5681 3.2, step 4: a peer may send any number of duplicate ACKs, but no more can have left the network than was out when
 * the loss was found, and is sent in a round trip of the recovery.
 */
function mostThatLeft(tcb: Tcb): number {
  const inOneRound = tcb.control.controlsRecovery ? tcb.cwnd : tcb.ssthresh;
  return seqDiff(tcb.recover, tcb.sndUna) + inOneRound;
}

/**
 * RFC 3042: the first two duplicate ACKs let a new segment out each, so that a third can come. With SACK, they do so by
 * themselves: what they report is not under way any more.
 */
export function limitedTransmit(tcb: Tcb): number {
  const { loss } = tcb;
  if (tcb.sack || loss.phase === RECOVERY) return 0;
  return Math.min(loss.duplicateAcks, DUPLICATE_THRESHOLD - 1) * tcb.mss;
}

/** RFC 6675 5, step 4; RFC 5681 3.2, step 2. Something is known to be lost. */
function enterRecovery(tcb: Tcb, now: number): void {
  const { loss } = tcb;
  onLossAroundProbe(tcb, now);
  expectUndo(tcb);
  tcb.control.onCongestion(tcb, false, now);
  loss.phase = RECOVERY;
  tcb.recover = tcb.sndNxt;
  tcb.rttTiming = false;
  loss.probing = false;
  tcb.context.stats.tcpFastRetransmissions++;
  if (tcb.sack) startPrr(tcb);
}

/** All that was outstanding when loss was found has been acknowledged. */
function endPhase(tcb: Tcb, now: number): void {
  const { loss } = tcb;
  const { phase } = loss;
  loss.phase = OPEN;
  loss.duplicateAcks = 0;
  if (phase === RECOVERY && !tcb.control.controlsRecovery) {
    // RFC 9937 6; RFC 6582 3.2, step 3, full acknowledgment.
    tcb.cwnd = tcb.sack ? tcb.ssthresh : Math.min(tcb.ssthresh, Math.max(flightSize(tcb), tcb.mss) + tcb.mss);
  }
  countRecovery(tcb);
  tcb.control.onRecovered(tcb, now);
}

/** RFC 8985 7.4.1: the probe was sent again what was lost: the window is reduced as for any loss, with nothing left to repair. */
function reduceForProbe(tcb: Tcb, now: number): void {
  const { control } = tcb;
  control.onCongestion(tcb, false, now);
  if (!control.controlsRecovery) tcb.cwnd = tcb.ssthresh;
  control.onRecovered(tcb, now);
}

/** RFC 5681 3.2: a duplicate ACK of a peer without SACK, outside of recovery. */
function onDuplicateAck(tcb: Tcb, now: number): void {
  const { loss, control } = tcb;
  if (loss.duplicateAcks !== DUPLICATE_THRESHOLD) return;
  // RFC 6582 3.2, step 2: the loss of this window is dealt with already.
  if (!seqGt(tcb.sndUna, tcb.recover)) return;
  if (repairsProbe(tcb, now)) {
    loss.duplicateAcks = 0;
    return;
  }
  enterRecovery(tcb, now);
  loss.firstPartialAck = true;
  if (!control.controlsRecovery) tcb.cwnd = tcb.ssthresh + DUPLICATE_THRESHOLD * tcb.mss;
  loseFirst(tcb, tcb.mss);
}

/** An ACK during recovery, of a peer without SACK. Returns whether the retransmission timer is to be restarted. */
function onAckInRecovery(tcb: Tcb, acked: number, duplicate: boolean): boolean {
  const { loss, control } = tcb;
  if (acked === 0) {
    // RFC 5681 3.2, step 4: another segment has left the network.
    const hasLeft = duplicate && loss.duplicateAcks * tcb.mss <= mostThatLeft(tcb);
    if (hasLeft && !control.controlsRecovery) tcb.cwnd += tcb.mss;
    return false;
  }
  // RFC 6582 3.2, step 3, partial acknowledgment: the next hole was lost as well.
  loseFirst(tcb, tcb.mss);
  loss.duplicateAcks = 0;
  if (!control.controlsRecovery) {
    tcb.cwnd = Math.max(tcb.cwnd - acked, tcb.mss);
    if (acked >= tcb.mss) tcb.cwnd += tcb.mss;
  }
  const restart = loss.firstPartialAck;
  loss.firstPartialAck = false;
  return restart;
}
