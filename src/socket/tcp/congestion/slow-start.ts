import { initialWindow } from "../congestion.ts";
import { seqGt } from "../seq.ts";
import { flightSize, type Tcb } from "../tcb.ts";
import type { AckSample } from "./control.ts";

/** What the controls have in common that begin with slow start: RFC 5681 3.1, with RFC 3465, RFC 2861 and RFC 7661. */

/** RFC 5681 3.1: "arbitrarily high" before congestion was met first. No window is larger. */
export const INITIAL_SSTHRESH = 0x7fffffff;

/** RFC 3465 2.2: how many segments' worth of ACK may open the window at once. */
const APPROPRIATE_BYTES = 2;

/** The window is below ssthresh: it grows exponentially. */
export function inSlowStart(tcb: Tcb): boolean {
  return tcb.cwnd < tcb.ssthresh;
}

/** No congestion has been met yet: nothing is known of how much the path takes. */
export function inInitialSlowStart(tcb: Tcb): boolean {
  return tcb.ssthresh === INITIAL_SSTHRESH;
}

/**
 * RFC 5681 equation 2, with RFC 3465's limit: by how much an ACK opens the window.
 *
 * @param segments how many segments' worth one ACK may count for
 */
export function slowStartIncrease(tcb: Tcb, ack: AckSample, segments = APPROPRIATE_BYTES): number {
  const { acked } = ack;
  // Linux: what was SACKed before it was acknowledged opens nothing, then or now.
  if (!tcb.context.tcp.boundSlowStart) return acked > 0 ? ack.delivered : 0;
  // RFC 3465 2.3: after a timeout an ACK may be for what had arrived long before.
  if (!seqGt(tcb.sndUna, tcb.recover)) return Math.min(acked, tcb.mss);
  // A super-segment's segments arrive as one where they are not cut at all, and are acknowledged by one ACK.
  return Math.min(acked, Math.max(segments * tcb.mss, tcb.maxText));
}

/** cwnd + `increase`, which may have a fraction; kept whole, and within what a window can be. */
export function grow(tcb: Tcb, increase: number): void {
  tcb.cwnd = Math.min(Math.floor(tcb.cwnd + increase), INITIAL_SSTHRESH);
}

/**
 * What was under way when congestion was met: RFC 5681's FlightSize, before the ACK that shows it took some away, and without
 * what limited transmit or a late finding has let out beyond the window; or the window.
 */
export function bytesAtCongestion(tcb: Tcb): number {
  if (tcb.context.tcp.reduceWindow === "window") return tcb.cwnd;
  return Math.min(flightSize(tcb) + tcb.context.ack.acked, tcb.cwnd);
}

/**
 * RFC 5681 4.1: after an idle time of an RTO the path is to be probed anew. What was known of it stays in ssthresh, as
 * RFC 2861 3.1 has it.
 */
export function restartWindow(tcb: Tcb): void {
  tcb.ssthresh = Math.max(tcb.ssthresh, Math.floor(0.75 * tcb.cwnd));
  tcb.cwnd = Math.min(tcb.cwnd, initialWindow(tcb.mss));
}
