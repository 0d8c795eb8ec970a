import type { CongestionControlName } from "./congestion/control.ts";
import { createCongestionControl } from "./congestion/control-factory.ts";
import { flightSize, type Tcb } from "./tcb.ts";

/** Where congestion controls begin, and begin anew: RFC 6928, RFC 5681 4.1. How they go on, they know: `congestion/`. */

/** RFC 6928: ten segments, but no more than 14,600 bytes unless two segments are longer. */
export function initialWindow(mss: number): number {
  return Math.min(10 * mss, Math.max(2 * mss, 14_600));
}

/** The program wants this control for the connection, which is not established yet. */
export function chooseControl(tcb: Tcb, name: CongestionControlName): void {
  if (tcb.control.name !== name) {
    tcb.control = createCongestionControl(name, tcb.context.tcp.bbrToleratedLoss);
  }
}

/** RFC 5681 3.1: the connection is established, nothing has been lost yet. */
export function startCongestionControl(tcb: Tcb, now: number): void {
  // RFC 5681 3.1: after a SYN or SYN-ACK was lost it is one segment. After two, as RFC 6928 2 recommends: with an initial
  // RTO of a second the first one may only have been late.
  tcb.cwnd = tcb.backoff > 1 ? tcb.mss : initialWindow(tcb.mss);
  tcb.sent.roundEnd = tcb.sndUna;
  tcb.control.start(tcb, now);
}

/** RFC 5681 4.1: after an idle time of one RTO the path is to be probed anew. */
export function restartAfterIdle(tcb: Tcb, now: number): void {
  if (!tcb.context.tcp.slowStartAfterIdle) return;
  const idleMs = now - tcb.lastSentAt;
  if (flightSize(tcb) === 0 && idleMs > tcb.rto) tcb.control.onRestart(tcb, idleMs, now);
}
