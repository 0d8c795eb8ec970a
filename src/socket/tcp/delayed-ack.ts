import { NEVER } from "../../storage/deadline-heap.ts";
import { DUE_ACK, type Tcb } from "./tcb.ts";
import { schedule } from "./timers.ts";
import { ready } from "./transitions.ts";

/**
 * When to acknowledge: RFC 9293 3.8.6.3, RFC 5681 4.2.
 *
 * A peer whose congestion window is small sends more only when it is told that something has arrived. While that may be so,
 * at the beginning and after a loss, each segment is acknowledged at once: a quick ACK. Where the program answers what it
 * gets, its answers are the ACKs.
 */

/** As many as the program has asked for: Linux has 16. */
const MOST_QUICK_ACKS = 16;

/** The next segment that leaves, or one of its own, acknowledges what there is. */
export function acknowledgeNow(tcb: Tcb): void {
  tcb.due |= DUE_ACK;
  ready(tcb);
}

/**
 * RFC 9293 3.8.6.3: at least every second full-sized segment at once, all else within the delay.
 *
 * @param length bytes of one segment's text
 * @param count segments that have come, one behind the other
 */
export function acknowledgeSoon(tcb: Tcb, length: number, now: number, count = 1): void {
  if (length > tcb.longestText) tcb.longestText = Math.min(length, tcb.rcvMss);
  tcb.bytesSinceAck += count * length;
  const quick = Math.min(tcb.quickAcks, count);
  if (quick > 0) {
    tcb.quickAcks -= quick;
    tcb.context.stats.tcpQuickAcks += quick;
    acknowledgeNow(tcb);
  } else if (tcb.bytesSinceAck >= 2 * tcb.longestText) {
    acknowledgeNow(tcb);
  } else if (tcb.delayedAckAt === NEVER) {
    tcb.delayedAckAt = now + tcb.context.tcp.delayedAckMs;
    schedule(tcb);
  }
}

/** The peer has lost something, or was held up: its window is small again. */
export function startQuickAcks(tcb: Tcb): void {
  tcb.quickAcks = tcb.context.tcp.quickAcks;
}

/** The program wants its ACKs at once, with what it is owed already, or delayed; what happens may change that again. */
export function setQuickAck(tcb: Tcb, on: boolean): void {
  tcb.isInteractive = !on;
  if (!on) {
    tcb.quickAcks = 0;
    return;
  }
  tcb.quickAcks = MOST_QUICK_ACKS;
  if (tcb.bytesSinceAck > 0) acknowledgeNow(tcb);
}

/** Text has arrived after a silence: where that was long, the peer begins anew (RFC 5681 4.1). */
export function noteTextAfterSilence(tcb: Tcb, now: number): void {
  if (now - tcb.lastTextAt > tcb.rto && !tcb.isInteractive) startQuickAcks(tcb);
}

/** Text of ours leaves: soon after the peer's it is an answer, and the next ones may be waited for. */
export function noteAnswer(tcb: Tcb, now: number): void {
  if (now - tcb.lastTextAt > tcb.context.tcp.delayedAckMs) return;
  tcb.quickAcks = 0;
  tcb.isInteractive = true;
}

/** An ACK has waited in vain: no answer took it along. */
export function onDelayedAckTimeout(tcb: Tcb): void {
  tcb.delayedAckAt = NEVER;
  tcb.isInteractive = false;
  acknowledgeNow(tcb);
}
