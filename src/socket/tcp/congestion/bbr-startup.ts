import type { Tcb } from "../tcb.ts";
import { bdpMultiple, inflight } from "./bbr-model.ts";
import { isInflightTooHigh, startProbeBwDown } from "./bbr-probe-bw.ts";
import { type BbrState, DRAIN, STARTUP } from "./bbr-state.ts";
import type { AckSample } from "./control.ts";

/** BBR 5.3.1 and 5.3.2: twice as fast every round trip, until the pipe is full; then what that has queued is drained. */

/** 5.3.1.3: so many losses in a round trip are not noise. */
const FULL_LOSS_COUNT = 6;
/** 5.3.2: the bandwidth was overestimated if draining takes longer. */
const DRAIN_ROUNDS = 3;

/** 5.3.1.1. */
export function enterStartup(bbr: BbrState): void {
  bbr.state = STARTUP;
}

/** 5.3.1.1. */
export function checkStartupDone(bbr: BbrState, tcb: Tcb, ack: AckSample): void {
  if (bbr.state === STARTUP) checkStartupHighLoss(bbr, tcb, ack);
  if (bbr.state === STARTUP && bbr.fullBwReached) enterDrain(bbr);
}

/** 5.3.1.3. */
function checkStartupHighLoss(bbr: BbrState, tcb: Tcb, ack: AckSample): void {
  if (ack.lost > 0) bbr.lossEventsInRound++;
  if (bbr.inRecovery && hasHighLoss(bbr, tcb, ack)) leaveStartupByCongestion(bbr, tcb);
  if (bbr.lossRoundStart) bbr.lossEventsInRound = 0;
}

function hasHighLoss(bbr: BbrState, tcb: Tcb, ack: AckSample): boolean {
  // Without SACK one loss a round trip is all that can be seen.
  if (!tcb.sack) return bbr.lossEventsInRound > 0;
  if (!bbr.lossRoundStart || bbr.lossEventsInRound < FULL_LOSS_COUNT) return false;
  return isInflightTooHigh(bbr, tcb, ack.lostSince, ack.txPipe);
}

/** 5.3.1.3: what was delivered in the last round trip is safe to have under way. */
export function leaveStartupByCongestion(bbr: BbrState, tcb: Tcb): void {
  bbr.undoState = STARTUP;
  bbr.fullBwNow = true;
  bbr.fullBwReached = true;
  bbr.inflightLongterm = Math.max(bdpMultiple(bbr, tcb, bbr.bw, 1), bbr.inflightLatest);
}

/** 5.3.2. */
function enterDrain(bbr: BbrState): void {
  bbr.state = DRAIN;
  bbr.drainStartRound = bbr.roundCount;
}

/** 5.3.2; EnterProbeBW of 5.3.3.9 is all there is to ProbeBW_DOWN. */
export function checkDrainDone(bbr: BbrState, tcb: Tcb, now: number): void {
  if (bbr.state !== DRAIN) return;
  const drained = tcb.pipe <= inflight(bbr, tcb, bbr.bw, 1);
  if (drained || bbr.roundCount > bbr.drainStartRound + DRAIN_ROUNDS) startProbeBwDown(bbr, tcb, now);
}
