import { initialWindow } from "../congestion.ts";
import type { Tcb } from "../tcb.ts";
import { bdpMultiple, inflightWithHeadroom, minPipeCwnd, quantizationBudget } from "./bbr-model.ts";
import {
  type BbrState,
  CWND_GAIN,
  isInProbeBw,
  PACING_GAIN,
  PROBE_BW_CRUISE,
  PROBE_RTT,
  STARTUP,
} from "./bbr-state.ts";
import type { AckSample } from "./control.ts";

/** BBR 5.6: what follows from the model for the pace and for the window. */

/** 5.6.2: it sends a little slower than the path delivers, so that queues shrink. */
const PACING_MARGIN = 0.99;
/** 5.6.2: the round-trip time to begin with where none is known, in ms. */
const NOMINAL_RTT_MS = 1;
/** Not the draft's: a pace at which a round trip's samples still come in, a segment a second. */
const LEAST_SEGMENTS_PER_MS = 0.001;
const LARGEST_WINDOW = 0x7fffffff;

/** 5.6.2: InitPacingRate. */
export function initPacingRate(tcb: Tcb): void {
  const rttMs = tcb.srtt > 0 ? tcb.srtt : NOMINAL_RTT_MS;
  tcb.pacingRate = (PACING_GAIN[STARTUP] * tcb.cwnd) / rttMs;
}

/** 5.6.2. */
export function setPacingRate(bbr: BbrState, tcb: Tcb): void {
  if (!bbr.hasSeenRtt && tcb.srtt > 0) {
    bbr.hasSeenRtt = true;
    initPacingRate(tcb);
  }
  setPacingRateWithGain(bbr, tcb, PACING_GAIN[bbr.state]);
}

/** 5.6.2. */
export function setPacingRateWithGain(bbr: BbrState, tcb: Tcb, gain: number): void {
  if (bbr.bw === 0) return;
  const rate = Math.max(gain * bbr.bw * PACING_MARGIN, LEAST_SEGMENTS_PER_MS * tcb.mss);
  if (bbr.fullBwReached || rate > tcb.pacingRate) tcb.pacingRate = rate;
}

/** 5.6.4.6. */
export function setCwnd(bbr: BbrState, tcb: Tcb, ack: AckSample): void {
  const max = maxInflight(bbr, tcb);
  let cwnd = tcb.cwnd;
  if (bbr.fullBwReached) cwnd = Math.min(cwnd + ack.delivered, max);
  else if (cwnd < max || tcb.delivered < initialWindow(tcb.mss)) cwnd += ack.delivered;
  applyCwnd(bbr, tcb, cwnd);
}

/** 5.6.4.2: UpdateMaxInflight. */
function maxInflight(bbr: BbrState, tcb: Tcb): number {
  const bdp = bdpMultiple(bbr, tcb, bbr.bw, CWND_GAIN[bbr.state]);
  return quantizationBudget(bbr, tcb, bdp + Math.max(bbr.extraAcked, bbr.lastExtraAcked));
}

/** 5.6.4.6: the window becomes `cwnd`, within the bounds of 5.6.4.5 and 5.6.4.7. */
function applyCwnd(bbr: BbrState, tcb: Tcb, cwnd: number): void {
  const least = minPipeCwnd(tcb);
  let bounded = Math.max(Math.min(cwnd, LARGEST_WINDOW), least);
  if (bbr.state === PROBE_RTT) bounded = Math.min(bounded, probeRttCwnd(bbr, tcb));
  tcb.cwnd = Math.floor(Math.min(bounded, Math.max(modelCap(bbr, tcb), least)));
}

/** 5.6.4.7. */
function modelCap(bbr: BbrState, tcb: Tcb): number {
  if (bbr.state === PROBE_RTT || bbr.state === PROBE_BW_CRUISE) {
    return Math.min(inflightWithHeadroom(bbr, tcb), bbr.inflightShortterm);
  }
  return isInProbeBw(bbr) ? Math.min(bbr.inflightLongterm, bbr.inflightShortterm) : bbr.inflightShortterm;
}

/** 5.6.4.5. */
export function probeRttCwnd(bbr: BbrState, tcb: Tcb): number {
  return Math.max(bdpMultiple(bbr, tcb, bbr.bw, CWND_GAIN[PROBE_RTT]), minPipeCwnd(tcb));
}

/** 5.6.4.4: the last window that neither recovery nor ProbeRTT had a part in. */
export function saveCwnd(bbr: BbrState, tcb: Tcb): void {
  if (!bbr.inRecovery && bbr.state !== PROBE_RTT) bbr.priorCwnd = tcb.cwnd;
  else bbr.priorCwnd = Math.max(bbr.priorCwnd, tcb.cwnd);
}

/** 5.6.4.4, with the bounds that the model has now. */
export function restoreCwnd(bbr: BbrState, tcb: Tcb): void {
  applyCwnd(bbr, tcb, Math.max(tcb.cwnd, bbr.priorCwnd));
}
