import type { Tcb } from "../tcb.ts";
import { updateMaxBw } from "./bbr-model.ts";
import { toleratedLoss } from "./bbr-path-loss.ts";
import { type BbrState, BETA, isProbingBw } from "./bbr-state.ts";
import type { AckSample } from "./control.ts";

/** BBR 5.5.10.3: outside of a probe a round trip with losses bounds it to what that round trip has delivered. */

/** 5.5.10.3. */
export function resetCongestionSignals(bbr: BbrState): void {
  bbr.lossInRound = false;
  bbr.lostInRound = 0;
  bbr.bwLatest = 0;
  bbr.inflightLatest = 0;
}

/** 5.5.10.3. */
export function resetShortTermModel(bbr: BbrState): void {
  bbr.bwShortterm = Number.POSITIVE_INFINITY;
  bbr.inflightShortterm = Number.POSITIVE_INFINITY;
}

/** 5.5.10.3: at the beginning of an ACK. */
export function updateLatestDeliverySignals(bbr: BbrState, tcb: Tcb, ack: AckSample): void {
  bbr.bwLatest = Math.max(bbr.bwLatest, bbr.deliveryRate);
  bbr.inflightLatest = Math.max(bbr.inflightLatest, ack.rateBytes);
  bbr.lossRoundStart = ack.priorDelivered >= bbr.lossRoundDelivered;
  if (bbr.lossRoundStart) bbr.lossRoundDelivered = tcb.delivered;
}

/** 5.5.10.3: at its end. */
export function advanceLatestDeliverySignals(bbr: BbrState, ack: AckSample): void {
  if (!bbr.lossRoundStart) return;
  bbr.bwLatest = bbr.deliveryRate;
  bbr.inflightLatest = ack.rateBytes;
}

/** 5.5.10.3. */
export function updateCongestionSignals(bbr: BbrState, tcb: Tcb, ack: AckSample): void {
  updateMaxBw(bbr, tcb, ack);
  if (!bbr.lossRoundStart) return;
  if (bbr.lossInRound && !isProbingBw(bbr) && exceedsTolerance(bbr, tcb)) adaptLowerBounds(bbr, tcb);
  bbr.lossInRound = false;
  bbr.lostInRound = 0;
}

function exceedsTolerance(bbr: BbrState, tcb: Tcb): boolean {
  // `lostInRound` is larger than anything where the network has said that it is congested.
  const bytes = bbr.lostInRound + bbr.inflightLatest;
  return bbr.lostInRound > toleratedLoss(bbr, tcb, bytes) * bytes;
}

/** 5.5.10.3: InitLowerBounds, and LossLowerBounds. */
function adaptLowerBounds(bbr: BbrState, tcb: Tcb): void {
  if (bbr.bwShortterm === Number.POSITIVE_INFINITY) bbr.bwShortterm = bbr.maxBw;
  if (bbr.inflightShortterm === Number.POSITIVE_INFINITY) bbr.inflightShortterm = tcb.cwnd;
  bbr.bwShortterm = Math.max(bbr.bwLatest, BETA * bbr.bwShortterm);
  bbr.inflightShortterm = Math.max(bbr.inflightLatest, BETA * bbr.inflightShortterm);
}
