import { StackError } from "../../../errors.ts";
import type { Tcb } from "../tcb.ts";
import { checkFullBwReached } from "./bbr-full-pipe.ts";
import {
  handleCongestionExperienced,
  handleLoss,
  handleSpuriousLoss,
  saveStateUponLoss,
} from "./bbr-loss.ts";
import { boundBwForModel, takeDeliveryRate, updateAckAggregation } from "./bbr-model.ts";
import {
  initPacingRate,
  restoreCwnd,
  saveCwnd,
  setCwnd,
  setPacingRate,
  setPacingRateWithGain,
} from "./bbr-output.ts";
import { notePathLoss } from "./bbr-path-loss.ts";
import { updateProbeBwCyclePhase } from "./bbr-probe-bw.ts";
import { checkProbeRtt, checkProbeRttDone, updateMinRtt } from "./bbr-probe-rtt.ts";
import {
  advanceLatestDeliverySignals,
  updateCongestionSignals,
  updateLatestDeliverySignals,
} from "./bbr-short-term.ts";
import { checkDrainDone, checkStartupDone } from "./bbr-startup.ts";
import { BbrState, isInProbeBw, PROBE_RTT } from "./bbr-state.ts";
import type { AckSample, CongestionControl, LossSample } from "./control.ts";
import { INITIAL_SSTHRESH } from "./slow-start.ts";

/**
 * BBR version 3, draft-ietf-ccwg-bbr-06: it sends at the rate that the path delivers, and keeps no more under way than
 * that rate fills it with. Both are measured; a loss matters as far as it tells of either.
 */
export class Bbr implements CongestionControl {
  readonly name = "bbr";
  readonly controlsRecovery = true;
  private readonly state: BbrState;

  /**
   * @param toleratedLoss the loss rate of a round trip, from 0 to below 1, that is not taken for congestion as long as
   *   round-trip times show no queue; 0 is the draft
   * @throws StackError EINVAL when it is not
   */
  constructor(toleratedLoss = 0) {
    this.state = new BbrState(checkToleratedLoss(toleratedLoss));
  }

  /** 5.2.1. */
  start(tcb: Tcb, now: number): void {
    const bbr = this.state;
    tcb.ssthresh = INITIAL_SSTHRESH;
    if (tcb.srtt >= 0) bbr.minRttMs = bbr.probeRttMinMs = tcb.srtt;
    bbr.minRttAt = bbr.probeRttMinAt = bbr.extraAckedStart = now;
    bbr.hasSeenRtt = tcb.srtt > 0;
    initPacingRate(tcb);
  }

  /** 5.2.2 and 5.4.1: HandleRestartFromIdle. */
  onSend(tcb: Tcb, _length: number, idle: boolean, now: number): void {
    if (!idle || !isAppLimited(tcb)) return;
    const bbr = this.state;
    bbr.idleRestart = true;
    bbr.extraAckedStart = now;
    if (isInProbeBw(bbr)) setPacingRateWithGain(bbr, tcb, 1);
    else if (bbr.state === PROBE_RTT) checkProbeRttDone(bbr, tcb, now);
  }

  /** 5.2.3. */
  onAck(tcb: Tcb, ack: AckSample, now: number): void {
    const bbr = this.state;
    if (ack.rttMs >= 0) bbr.rttMs = ack.rttMs;
    notePathLoss(bbr, tcb, ack.delivered, 0);
    if (ack.rateBytes >= 0) {
      takeDeliveryRate(bbr, ack);
      updateLatestDeliverySignals(bbr, tcb, ack);
      updateCongestionSignals(bbr, tcb, ack);
      updateAckAggregation(bbr, tcb, ack, now);
      checkFullBwReached(bbr, tcb, ack);
      checkStartupDone(bbr, tcb, ack);
      checkDrainDone(bbr, tcb, now);
      updateProbeBwCyclePhase(bbr, tcb, ack, now);
      updateMinRtt(bbr, ack, now);
      checkProbeRtt(bbr, tcb, ack, now);
      advanceLatestDeliverySignals(bbr, ack);
      boundBwForModel(bbr);
    }
    setPacingRate(bbr, tcb);
    setCwnd(bbr, tcb, ack);
  }

  /** 5.2.4. */
  onLoss(tcb: Tcb, loss: LossSample, now: number): void {
    handleLoss(this.state, tcb, loss, now);
  }

  /** 5.6.4.4: OnEnterFastRecovery; `ssthresh` is nothing to BBR. */
  onCongestion(tcb: Tcb, ecn: boolean, now: number): void {
    const bbr = this.state;
    if (ecn) {
      handleCongestionExperienced(bbr, tcb, now);
      return;
    }
    // The loss that led here has saved the rest, and may have changed it.
    saveCwnd(bbr, tcb);
    bbr.inRecovery = true;
  }

  /** 5.6.4.4. */
  onRecovered(tcb: Tcb, _now: number): void {
    this.state.inRecovery = false;
    restoreCwnd(this.state, tcb);
  }

  /** 5.6.4.4: OnEnterRTO. All that was under way counts as lost, so one segment is all that goes out. */
  onTimeout(tcb: Tcb, again: boolean, _now: number): void {
    const bbr = this.state;
    if (!again && !bbr.lossInRound) saveStateUponLoss(bbr, tcb);
    else saveCwnd(bbr, tcb);
    bbr.inRecovery = true;
    tcb.cwnd = tcb.mss;
  }

  /** 5.2.5. */
  undo(tcb: Tcb, _now: number): void {
    this.state.inRecovery = false;
    handleSpuriousLoss(this.state, tcb);
  }

  /** 5.4.1: the pace is what keeps a restart from being a burst; `onSend` sets it. */
  onRestart(_tcb: Tcb, _idleMs: number, _now: number): void {}
}

/** 4.1.2.3: what was sent while the program had too little to send is not through yet, or has just come through. */
function isAppLimited(tcb: Tcb): boolean {
  return tcb.appLimitedUntil > 0 && tcb.delivered <= tcb.appLimitedUntil;
}

/** @throws StackError EINVAL */
export function checkToleratedLoss(toleratedLoss: number): number {
  if (toleratedLoss >= 0 && toleratedLoss < 1) return toleratedLoss;
  throw new StackError("EINVAL", `the tolerated loss must be from 0 to below 1, not ${toleratedLoss}`);
}
