import { initialWindow } from "../congestion.ts";
import type { Tcb } from "../tcb.ts";
import { type BbrState, HEADROOM, MIN_PIPE_SEGMENTS, PROBE_BW_UP } from "./bbr-state.ts";
import type { AckSample } from "./control.ts";

/** BBR's model of the path: how fast it delivers, how long it takes, and what follows for how much may be under way. */

/** 5.5.9: rounds for which a degree of aggregation is remembered; it is kept for half of them up to all of them. */
const EXTRA_ACKED_ROUNDS = 10;
/** 5.6.3. */
const MOST_SENT_AT_ONCE = 64 * 1024;
/** Rounding makes a sample's interval shorter than the round-trip time that it was taken over, at times. */
const ROUNDING = 1 - 1e-9;

/** 5.5.1. */
export function startRound(bbr: BbrState, tcb: Tcb): void {
  bbr.nextRoundDelivered = tcb.delivered;
}

/** 5.5.1, for an ACK with a sample. */
function updateRound(bbr: BbrState, tcb: Tcb, ack: AckSample): void {
  bbr.roundStart = ack.priorDelivered >= bbr.nextRoundDelivered;
  if (!bbr.roundStart) return;
  startRound(bbr, tcb);
  bbr.roundCount++;
  bbr.roundsSinceProbeUp++;
}

/** 4.1.2.3: the delivery rate that an ACK shows; none over less than a round trip. */
export function takeDeliveryRate(bbr: BbrState, ack: AckSample): void {
  const leastMs = bbr.minRttMs < Number.POSITIVE_INFINITY ? bbr.minRttMs * ROUNDING : 0;
  const reliable = ack.rateMs > 0 && ack.rateMs >= leastMs;
  bbr.deliveryRate = reliable && ack.rateBytes > 0 ? ack.rateBytes / ack.rateMs : 0;
}

/** 5.5.5. */
export function updateMaxBw(bbr: BbrState, tcb: Tcb, ack: AckSample): void {
  updateRound(bbr, tcb, ack);
  const rate = bbr.deliveryRate;
  // 5.5.4: a program that has little to send proves that a rate is possible, never that a higher one is not.
  if (rate === 0 || (ack.appLimited && rate < bbr.maxBw)) return;
  if (rate > bbr.cycleMaxBw) bbr.cycleMaxBw = rate;
  bbr.maxBw = Math.max(bbr.cycleMaxBw, bbr.lastCycleMaxBw);
}

/** 5.5.6: a cycle of ProbeBW is over. */
export function advanceMaxBwFilter(bbr: BbrState): void {
  // A cycle without a sample forgets nothing.
  if (bbr.cycleMaxBw === 0) return;
  bbr.lastCycleMaxBw = bbr.cycleMaxBw;
  bbr.cycleMaxBw = 0;
}

/** 5.5.10.3. */
export function boundBwForModel(bbr: BbrState): void {
  bbr.bw = Math.min(bbr.maxBw, bbr.bwShortterm);
}

/** 5.5.9. */
export function updateAckAggregation(bbr: BbrState, tcb: Tcb, ack: AckSample, now: number): void {
  let expected = bbr.bw * (now - bbr.extraAckedStart);
  if (bbr.extraAckedDelivered <= expected) {
    bbr.extraAckedDelivered = 0;
    bbr.extraAckedStart = now;
    expected = 0;
  }
  bbr.extraAckedDelivered += ack.delivered;
  const extra = Math.min(bbr.extraAckedDelivered - expected, tcb.cwnd);
  // In Startup the last round is what counts.
  const span = bbr.fullBwReached ? EXTRA_ACKED_ROUNDS / 2 : 1;
  if (bbr.roundCount - bbr.extraAckedSince >= span) {
    bbr.lastExtraAcked = bbr.fullBwReached ? bbr.extraAcked : 0;
    bbr.extraAcked = 0;
    bbr.extraAckedSince = bbr.roundCount;
  }
  if (extra > bbr.extraAcked) bbr.extraAcked = extra;
}

/** 5.6.4.3: what may always be under way. */
export function minPipeCwnd(tcb: Tcb): number {
  return MIN_PIPE_SEGMENTS * tcb.mss;
}

/** 5.6.3: what is best handed to the device at once, in bytes; for any connection that is paced. */
export function sendQuantum(tcb: Tcb): number {
  return Math.max(Math.min(tcb.pacingRate, MOST_SENT_AT_ONCE), 2 * tcb.mss);
}

/** 5.6.4.2: `gain` times the bandwidth-delay product. */
export function bdpMultiple(bbr: BbrState, tcb: Tcb, bw: number, gain: number): number {
  if (bbr.minRttMs === Number.POSITIVE_INFINITY) return initialWindow(tcb.mss);
  return gain * bw * bbr.minRttMs;
}

/** 5.6.4.2: the same, with what offloads and a peer's delayed ACKs need (5.5.8.1). */
export function inflight(bbr: BbrState, tcb: Tcb, bw: number, gain: number): number {
  return quantizationBudget(bbr, tcb, bdpMultiple(bbr, tcb, bw, gain));
}

/** 5.6.4.2. */
export function quantizationBudget(bbr: BbrState, tcb: Tcb, cap: number): number {
  const budget = Math.max(cap, 3 * sendQuantum(tcb), minPipeCwnd(tcb));
  return bbr.state === PROBE_BW_UP ? budget + 2 * tcb.mss : budget;
}

/** 5.3.3.8: what it wants under way: the bandwidth-delay product, unless congestion has cut the window. */
export function targetInflight(bbr: BbrState, tcb: Tcb): number {
  return Math.min(bdpMultiple(bbr, tcb, bbr.bw, 1), tcb.cwnd);
}

/** 5.3.3.9: the most that was safe, less what is left to others. */
export function inflightWithHeadroom(bbr: BbrState, tcb: Tcb): number {
  if (bbr.inflightLongterm === Number.POSITIVE_INFINITY) return bbr.inflightLongterm;
  const headroom = Math.max(tcb.mss, HEADROOM * bbr.inflightLongterm);
  return Math.max(bbr.inflightLongterm - headroom, minPipeCwnd(tcb));
}
