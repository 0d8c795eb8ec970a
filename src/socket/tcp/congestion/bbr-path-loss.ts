import type { Tcb } from "../tcb.ts";
import { type BbrState, LOSS_THRESH } from "./bbr-state.ts";

/**
 * Not the draft's: which losses are not taken for congestion. A queue that overflows has been long before, and round-trip
 * times show it; what is lost while they do not was lost by other causes. How much of that a path loses is remembered,
 * so that a queue, which each probe makes, does not turn the same losses into congestion.
 */

// By how much round-trip times exceed the shortest where there is a queue: what HyStart++ goes by (RFC 9406 4.3).
const LEAST_QUEUE_MS = 4;
const MOST_QUEUE_MS = 16;
const QUEUE_DIVISOR = 8;
/** Segments that must have come through, or not, before a loss rate is known; older ones count for half. */
const LEAST_SEGMENTS = 100;
const MOST_SEGMENTS = 1_000;
/** Chance alone exceeds a rate by so many standard deviations once in hundreds of round trips. */
const DEVIATIONS = 3;

/** Do round-trip times show a queue? */
export function hasQueue(bbr: BbrState): boolean {
  const thresholdMs = Math.max(LEAST_QUEUE_MS, Math.min(bbr.minRttMs / QUEUE_DIVISOR, MOST_QUEUE_MS));
  return bbr.rttMs - bbr.minRttMs > thresholdMs;
}

/** So many bytes have come through, or have been lost. What is told of while there is a queue says nothing. */
export function notePathLoss(bbr: BbrState, tcb: Tcb, delivered: number, lost: number): void {
  if (bbr.toleratedLoss === 0 || hasQueue(bbr)) return;
  bbr.quietDelivered += delivered;
  bbr.quietLost += lost;
  if (bbr.quietDelivered + bbr.quietLost < MOST_SEGMENTS * tcb.mss) return;
  bbr.quietDelivered /= 2;
  bbr.quietLost /= 2;
}

/** The loss rate of the path without a queue, at most what is tolerated; 0 where it is not known. */
function pathLoss(bbr: BbrState, tcb: Tcb): number {
  const total = bbr.quietDelivered + bbr.quietLost;
  return total < LEAST_SEGMENTS * tcb.mss ? 0 : Math.min(bbr.quietLost / total, bbr.toleratedLoss);
}

/**
 * The loss rate that is not taken for congestion, among so many bytes: what the path loses anyway, or what is tolerated where
 * there is no queue, and what chance adds to that. A Startup that ends for six losses among its first 25 segments takes
 * a minute to make up for it.
 */
export function toleratedLoss(bbr: BbrState, tcb: Tcb, bytes: number): number {
  if (bbr.toleratedLoss === 0) return 0;
  const rate = hasQueue(bbr) ? pathLoss(bbr, tcb) : bbr.toleratedLoss;
  const segments = Math.max(bytes / tcb.mss, 1);
  return rate + DEVIATIONS * Math.sqrt((rate * (1 - rate)) / segments);
}

/** 2.7, or what is tolerated where that is more. */
export function lossThreshold(bbr: BbrState, tcb: Tcb, bytes: number): number {
  return Math.max(LOSS_THRESH, toleratedLoss(bbr, tcb, bytes));
}
