import { NEVER } from "../../storage/deadline-heap.ts";
import type { SocketContext } from "../context.ts";
import { resetAckSample } from "./congestion/control.ts";
import { onCorkTimeout } from "./cork.ts";
import { onDelayedAckTimeout } from "./delayed-ack.ts";
import { startFrto } from "./frto.ts";
import { AFTER_TIMEOUT, OPEN, RECOVERY } from "./loss-recovery.ts";
import { suspectBlackHole } from "./mtu-probe.ts";
import { onPaceTimeout } from "./pacing.ts";
import { explainsSilence } from "./path-mtu.ts";
import { askForWindow, endIfStalled } from "./pressure.ts";
import { detectLosses } from "./rack.ts";
import { onLossByTimer } from "./recovery.ts";
import { backOff } from "./rto.ts";
import { forgetSacked, isReneging, loseFlight } from "./scoreboard.ts";
import { seqLt } from "./seq.ts";
import {
  CLOSED,
  DUE_KEEP_ALIVE,
  DUE_PROBE,
  DUE_SYN,
  DUE_TAIL_PROBE,
  FIN_WAIT_2,
  flightSize,
  SYN_RECEIVED,
  SYN_SENT,
  type Tcb,
  TIME_WAIT,
} from "./tcb.ts";
import { onProbeTimeout } from "./tlp.ts";
import { abandon, enterClosed, ready } from "./transitions.ts";
import { expectUndo } from "./undo.ts";
import { adviseAtR1, beforeUserTimeout, isSilentTooLong, isTimedOut } from "./user-timeout.ts";

/**
 * Tells the deadline heap when the connection has to be looked at next. A deadline that moved later is left where it
 * is: the retransmission timer moves with every ACK, and looking once too early costs less than sifting each time.
 */
export function schedule(tcb: Tcb): void {
  // Its one deadline is known by its place among the others, see `runTimeWaits`.
  if (tcb.state === TIME_WAIT) return;
  const at = nextDeadline(tcb);
  if (at < tcb.context.deadlines.deadlineOf(tcb.index)) tcb.context.deadlines.set(tcb.index, at);
}

/** Lets `expireAt` be so many ms from now; or behind the next poll: a user call may come long after the last one. */
export function expireIn(tcb: Tcb, ms: number): void {
  const { context } = tcb;
  if (context.isPolling) {
    tcb.expireInMs = 0;
    tcb.expireAt = context.now + ms;
    schedule(tcb);
    return;
  }
  tcb.expireInMs = ms;
  context.deadlines.set(tcb.index, 0);
}

/**
 * Ends the connections whose TIME-WAIT is over. As it lasts equally long for all, they are over in the order in which they came:
 * none has a place in the heap, which there may be many more of them than of others.
 */
export function runTimeWaits(context: SocketContext): void {
  if (context.timeWaitAt > context.now) return;
  const { timeWait, now } = context;
  let { oldest } = timeWait;
  for (; oldest !== null && oldest.expireAt <= now; oldest = timeWait.oldest) {
    enterClosed(oldest, null);
    oldest.trace?.changes(now);
  }
  context.timeWaitAt = oldest === null ? NEVER : oldest.expireAt;
}

/** Runs what is due of a connection whose deadline has come, and sets its next one. */
export function runTimers(tcb: Tcb, now: number): void {
  if (tcb.expireInMs > 0) {
    tcb.expireAt = now + tcb.expireInMs;
    tcb.expireInMs = 0;
  }
  // RFC 9293 3.10.8, in an order that lets the end of a connection win over work for it.
  if (tcb.expireAt <= now) onExpiry(tcb);
  if (tcb.reorderAt <= now) onReorderingTimeout(tcb, now);
  if (tcb.probeAt <= now) onProbeTimeout(tcb, now);
  if (tcb.state !== CLOSED && tcb.retransmitAt <= now) onRetransmissionTimeout(tcb, now);
  if (tcb.paceAt <= now) onPaceTimeout(tcb, now);
  if (tcb.state !== CLOSED && tcb.persistAt <= now) onPersistTimeout(tcb, now);
  if (tcb.state !== CLOSED && tcb.keepAliveAt <= now) onKeepAliveTimeout(tcb, now);
  if (tcb.state !== CLOSED && tcb.delayedAckAt <= now) onDelayedAckTimeout(tcb);
  if (tcb.corkAt <= now) onCorkTimeout(tcb);
  tcb.trace?.changes(now);
  if (tcb.index !== -1) {
    const at = tcb.state === CLOSED ? NEVER : nextDeadline(tcb);
    tcb.context.deadlines.set(tcb.index, at);
  }
}

function nextDeadline(tcb: Tcb): number {
  let at = tcb.retransmitAt;
  if (tcb.reorderAt < at) at = tcb.reorderAt;
  if (tcb.probeAt < at) at = tcb.probeAt;
  if (tcb.paceAt < at) at = tcb.paceAt;
  if (tcb.persistAt < at) at = tcb.persistAt;
  if (tcb.delayedAckAt < at) at = tcb.delayedAckAt;
  if (tcb.corkAt < at) at = tcb.corkAt;
  if (tcb.keepAliveAt < at) at = tcb.keepAliveAt;
  if (tcb.expireAt < at) at = tcb.expireAt;
  return at;
}

function onExpiry(tcb: Tcb): void {
  const { orphans, stats } = tcb.context;
  tcb.expireAt = NEVER;
  // The peer has acknowledged our FIN and never sent its own; nobody would read what it still may send.
  if (tcb.state === FIN_WAIT_2) {
    stats.tcpOrphansTimedOut++;
    enterClosed(tcb, null);
  } else if (tcb.state === SYN_SENT) enterClosed(tcb, tcb.softError ?? "ETIMEDOUT");
  // The peer has acknowledged nothing for `orphanTimeoutMs`, and nobody but us waits for it.
  else if (orphans.has(tcb)) {
    stats.tcpOrphansTimedOut++;
    abandon(tcb, tcb.softError ?? "ETIMEDOUT");
  }
}

/** RFC 9293 3.10.8, RETRANSMISSION TIMEOUT, and RFC 6298 5.4-5.7. */
function onRetransmissionTimeout(tcb: Tcb, now: number): void {
  const { stats, tcp } = tcb.context;
  stats.tcpTimeouts++;
  tcb.rttTiming = false; // Karn: what is sent twice is not measured (RFC 6298 3).
  if (tcb.state === SYN_RECEIVED && !tcb.activeOpen && tcb.backoff >= tcp.synAckRetries) {
    enterClosed(tcb, "ETIMEDOUT");
    return;
  }
  if (endIfStalled(tcb, now)) return;
  if (tcb.state !== SYN_SENT && isTimedOut(tcb, now)) {
    abandon(tcb, tcb.softError ?? "ETIMEDOUT");
    return;
  }
  if (explainsSilence(tcb, now)) return;
  backOff(tcb);
  adviseAtR1(tcb);
  tcb.retransmitAt = beforeUserTimeout(tcb, now + tcb.rto);
  if (tcb.state === SYN_SENT || tcb.state === SYN_RECEIVED) {
    tcb.due |= DUE_SYN;
  } else {
    suspectBlackHole(tcb, now);
    loseAll(tcb, now);
  }
  ready(tcb);
}

/** RFC 5681 3.1: what is outstanding counts as lost, and the window is the loss window. */
function loseAll(tcb: Tcb, now: number): void {
  const { loss } = tcb;
  // A segment that times out again says nothing new; nor does one that is being repaired already.
  const known = loss.phase !== OPEN && seqLt(tcb.sndUna, tcb.recover);
  const again = tcb.backoff > 1 || (known && loss.phase === RECOVERY);
  resetAckSample(tcb.context.ack, tcb.sent.pipe); // It is not an ACK that tells of it.
  tcb.control.onTimeout(tcb, again, now);
  if (!again) expectUndo(tcb);
  loseFlight(tcb);
  if (isReneging(tcb)) forgetSacked(tcb);
  tcb.cwnd = tcb.mss;
  tcb.cwndLimited = true; // What is sent again waits for it.
  startFrto(tcb, known);
  loss.phase = AFTER_TIMEOUT;
  loss.duplicateAcks = 0;
  loss.probing = false;
  tcb.reorderAt = NEVER;
  tcb.probeAt = NEVER;
  tcb.due &= ~DUE_TAIL_PROBE;
  // RFC 6582 4.1: what is acknowledged twice below this was sent before the timeout.
  tcb.recover = tcb.sndNxt;
}

/** RFC 8985 6.2, step 5: what might have been overtaken was not. */
function onReorderingTimeout(tcb: Tcb, now: number): void {
  if (detectLosses(tcb, now) === 0) return;
  onLossByTimer(tcb, now);
  ready(tcb);
}

/** RFC 9293 3.8.6.1 (zero-window probe) and 3.8.6.2.1 (the override timeout of silly-window avoidance). */
function onPersistTimeout(tcb: Tcb, now: number): void {
  tcb.persistAt = NEVER;
  if (tcb.sendBuffer.length === 0) {
    askForWindow(tcb, now);
    return;
  }
  if (endIfStalled(tcb, now)) return;
  // The peer has answered probes as long as `unackedSince` moves: then it may keep its window shut for ever.
  if (isTimedOut(tcb, now)) {
    abandon(tcb, tcb.softError ?? "ETIMEDOUT");
    return;
  }
  tcb.due |= DUE_PROBE;
  ready(tcb);
}

/** RFC 9293 3.8.4. */
function onKeepAliveTimeout(tcb: Tcb, now: number): void {
  const idleUntil = tcb.lastHeardAt + tcb.keepAliveIdleMs;
  if (now < idleUntil && tcb.keepAlivesUnanswered === 0) {
    tcb.keepAliveAt = idleUntil;
    return;
  }
  if (flightSize(tcb) > 0) {
    // Retransmission finds out by itself whether the peer is there.
    tcb.keepAliveAt = now + tcb.keepAliveIdleMs;
    return;
  }
  if (isSilentTooLong(tcb, now)) {
    abandon(tcb, tcb.softError ?? "ETIMEDOUT");
    return;
  }
  tcb.keepAlivesUnanswered++;
  tcb.keepAliveAt = now + tcb.keepAliveIntervalMs;
  tcb.due |= DUE_KEEP_ALIVE;
  ready(tcb);
}
