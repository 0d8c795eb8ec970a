import type { Tcb } from "../tcb.ts";
import { resetFullBw } from "./bbr-full-pipe.ts";
import {
  advanceMaxBwFilter,
  inflight,
  inflightWithHeadroom,
  startRound,
  targetInflight,
} from "./bbr-model.ts";
import { lossThreshold } from "./bbr-path-loss.ts";
import { resetCongestionSignals, resetShortTermModel } from "./bbr-short-term.ts";
import {
  ACKS_INIT,
  ACKS_PROBE_FEEDBACK,
  ACKS_PROBE_STARTING,
  ACKS_PROBE_STOPPING,
  ACKS_REFILLING,
  type BbrState,
  isInProbeBw,
  PROBE_BW_CRUISE,
  PROBE_BW_DOWN,
  PROBE_BW_REFILL,
  PROBE_BW_UP,
} from "./bbr-state.ts";
import type { AckSample } from "./control.ts";

/**
 * BBR 5.3.3: the steady state. Again and again it sends faster for a while, to find out whether there is more, then
 * slower, to drain what that has queued, and then as fast as the path delivers.
 */

// 5.3.3.8: the wait between two probes.
const LEAST_WAIT_MS = 2_000;
const RANDOM_WAIT_MS = 1_000;
/** 5.3.3.8.2: rounds after which Reno would have found as much. */
const MOST_ROUNDS = 63;
const MOST_DOUBLINGS = 30;

/** 5.3.3.9. */
export function startProbeBwDown(bbr: BbrState, tcb: Tcb, now: number): void {
  resetCongestionSignals(bbr);
  bbr.probeUpAckedPerIncrease = Number.POSITIVE_INFINITY;
  pickProbeWait(bbr, tcb);
  bbr.cycleAt = now;
  bbr.ackPhase = ACKS_PROBE_STOPPING;
  startRound(bbr, tcb);
  bbr.state = PROBE_BW_DOWN;
}

/** 5.3.3.9. */
export function startProbeBwCruise(bbr: BbrState): void {
  bbr.state = PROBE_BW_CRUISE;
}

/** 5.3.3.9. */
export function startProbeBwRefill(bbr: BbrState, tcb: Tcb): void {
  resetShortTermModel(bbr);
  bbr.probeUpRounds = 0;
  bbr.probeUpAcked = 0;
  bbr.prevProbePrecautionary = false;
  bbr.ackPhase = ACKS_REFILLING;
  startRound(bbr, tcb);
  bbr.state = PROBE_BW_REFILL;
}

/** 5.3.3.9. */
function startProbeBwUp(bbr: BbrState, tcb: Tcb): void {
  bbr.ackPhase = ACKS_PROBE_STARTING;
  startRound(bbr, tcb);
  resetFullBw(bbr, bbr.deliveryRate);
  bbr.state = PROBE_BW_UP;
  raiseInflightLongtermSlope(bbr, tcb);
}

/** 5.3.3.9: UpdateProbeBWCyclePhase. */
export function updateProbeBwCyclePhase(bbr: BbrState, tcb: Tcb, ack: AckSample, now: number): void {
  if (!bbr.fullBwReached) return;
  if (adaptLongTermModel(bbr, tcb, ack)) return;
  if (bbr.state === PROBE_BW_DOWN || bbr.state === PROBE_BW_CRUISE) {
    if (isTimeToProbeBw(bbr, tcb, now)) startProbeBwRefill(bbr, tcb);
    else if (bbr.state === PROBE_BW_DOWN && isTimeToCruise(bbr, tcb)) startProbeBwCruise(bbr);
  } else if (bbr.state === PROBE_BW_REFILL) {
    if (!bbr.roundStart) return;
    bbr.isProbeSample = true;
    startProbeBwUp(bbr, tcb);
  } else if (bbr.state === PROBE_BW_UP && isTimeToGoDown(bbr, tcb, ack)) {
    bbr.prevProbeTooHigh = false;
    startProbeBwDown(bbr, tcb, now);
  }
}

/** 5.3.3.9: what the ACKs of a probe say of how much may be under way. Returns whether it has changed the state. */
function adaptLongTermModel(bbr: BbrState, tcb: Tcb, ack: AckSample): boolean {
  if (bbr.roundStart && bbr.ackPhase === ACKS_PROBE_STARTING) bbr.ackPhase = ACKS_PROBE_FEEDBACK;
  if (bbr.roundStart && bbr.ackPhase === ACKS_PROBE_STOPPING) {
    bbr.isProbeSample = false;
    bbr.ackPhase = ACKS_INIT;
    if (isInProbeBw(bbr)) {
      if (!ack.appLimited) advanceMaxBwFilter(bbr);
      // 5.3.3.6: the brief, cautious probe has done no harm.
      if (bbr.prevProbePrecautionary && !bbr.prevProbeTooHigh) {
        startProbeBwRefill(bbr, tcb);
        return true;
      }
    }
  }
  if (bbr.inflightLongterm === Number.POSITIVE_INFINITY) return false;
  if (isInflightTooHigh(bbr, tcb, ack.lostSince, ack.txPipe)) return false;
  if (ack.txPipe > bbr.inflightLongterm) bbr.inflightLongterm = ack.txPipe;
  if (bbr.state === PROBE_BW_UP) probeInflightLongtermUpward(bbr, tcb, ack);
  return false;
}

/** 5.5.10.2: of `txPipe` bytes under way when something was sent, too many have been lost since. */
export function isInflightTooHigh(bbr: BbrState, tcb: Tcb, lost: number, txPipe: number): boolean {
  if (lost > 0 && !tcb.sack) return true;
  return lost > txPipe * lossThreshold(bbr, tcb, txPipe);
}

/** 5.3.3.9: one more segment a round trip, then two, four, eight ... */
function raiseInflightLongtermSlope(bbr: BbrState, tcb: Tcb): void {
  const growth = 2 ** bbr.probeUpRounds;
  bbr.probeUpRounds = Math.min(bbr.probeUpRounds + 1, MOST_DOUBLINGS);
  bbr.probeUpAckedPerIncrease = Math.max(tcb.cwnd / growth, tcb.mss);
}

/** 5.3.3.9. */
function probeInflightLongtermUpward(bbr: BbrState, tcb: Tcb, ack: AckSample): void {
  if (!ack.cwndLimited || tcb.cwnd < Math.floor(bbr.inflightLongterm)) return;
  bbr.probeUpAcked += ack.delivered;
  if (bbr.probeUpAcked >= bbr.probeUpAckedPerIncrease) {
    const increases = Math.floor(bbr.probeUpAcked / bbr.probeUpAckedPerIncrease);
    bbr.probeUpAcked -= increases * bbr.probeUpAckedPerIncrease;
    bbr.inflightLongterm += increases * tcb.mss;
  }
  if (bbr.roundStart) raiseInflightLongtermSlope(bbr, tcb);
}

/** 5.3.3.8: by the clock, or when Reno would have found as much. */
function isTimeToProbeBw(bbr: BbrState, tcb: Tcb, now: number): boolean {
  if (now > bbr.cycleAt + bbr.probeWaitMs) return true;
  const renoRounds = targetInflight(bbr, tcb) / tcb.mss;
  return bbr.roundsSinceProbeUp >= Math.min(renoRounds, MOST_ROUNDS);
}

/** 5.3.3.8. */
function pickProbeWait(bbr: BbrState, tcb: Tcb): void {
  const { random } = tcb.context;
  bbr.roundsSinceProbeUp = random.next() & 1;
  bbr.probeWaitMs = LEAST_WAIT_MS + (random.next() / 2 ** 32) * RANDOM_WAIT_MS;
}

/** 5.3.3.9: what the probe has queued is drained, and there is room for others. */
function isTimeToCruise(bbr: BbrState, tcb: Tcb): boolean {
  if (tcb.pipe > inflightWithHeadroom(bbr, tcb)) return false;
  return tcb.pipe <= inflight(bbr, tcb, bbr.maxBw, 1);
}

/** 5.3.3.7 and 5.3.3.9. */
function isTimeToGoDown(bbr: BbrState, tcb: Tcb, ack: AckSample): boolean {
  if (bbr.prevProbeTooHigh && tcb.pipe >= bbr.inflightLongterm) {
    bbr.prevProbePrecautionary = true;
    return true;
  }
  if (ack.cwndLimited && tcb.cwnd >= Math.floor(bbr.inflightLongterm)) {
    // Not the path, the bound is what keeps the rate from growing.
    resetFullBw(bbr, bbr.deliveryRate);
    return false;
  }
  return bbr.fullBwNow;
}
