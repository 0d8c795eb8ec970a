import type { Tcb } from "../tcb.ts";
import { resetFullBw } from "./bbr-full-pipe.ts";
import { targetInflight } from "./bbr-model.ts";
import { restoreCwnd, saveCwnd } from "./bbr-output.ts";
import { lossThreshold, notePathLoss } from "./bbr-path-loss.ts";
import { isInflightTooHigh, startProbeBwDown, startProbeBwRefill } from "./bbr-probe-bw.ts";
import { enterStartup, leaveStartupByCongestion } from "./bbr-startup.ts";
import {
  type BbrState,
  BETA,
  isProbingBw,
  PROBE_BW_UP,
  PROBE_RTT,
  STARTUP,
  UNDO_NOTHING,
} from "./bbr-state.ts";
import type { LossSample } from "./control.ts";

/** BBR 5.5.10 and 5.5.11: what a loss tells of how much the path takes, and how that is taken back. */

/** 5.5.10.2. */
function noteLoss(bbr: BbrState, tcb: Tcb): void {
  if (bbr.lossInRound) return;
  bbr.lossRoundDelivered = tcb.delivered;
  saveStateUponLoss(bbr, tcb);
  bbr.lossInRound = true;
}

/** 5.5.10.2: HandleLostPacket. */
export function handleLoss(bbr: BbrState, tcb: Tcb, loss: LossSample, now: number): void {
  noteLoss(bbr, tcb);
  bbr.lostInRound += loss.length;
  notePathLoss(bbr, tcb, 0, loss.length);
  if (!bbr.isProbeSample || !isInflightTooHigh(bbr, tcb, loss.lostSince, loss.txPipe)) return;
  handleInflightTooHigh(bbr, tcb, inflightAtLoss(bbr, tcb, loss), loss.appLimited, now);
}

/** 5.5.10.2: at how much under way, within this stretch, did losses exceed the threshold? */
function inflightAtLoss(bbr: BbrState, tcb: Tcb, loss: LossSample): number {
  const threshold = lossThreshold(bbr, tcb, loss.txPipe);
  const before = loss.txPipe - loss.length;
  const lostBefore = loss.lostSince - loss.length;
  return before + Math.max(0, (threshold * before - lostBefore) / (1 - threshold));
}

/** 5.5.10.2. */
function handleInflightTooHigh(
  bbr: BbrState,
  tcb: Tcb,
  txPipe: number,
  appLimited: boolean,
  now: number,
): void {
  bbr.prevProbeTooHigh = true;
  bbr.isProbeSample = false;
  if (!appLimited) bbr.inflightLongterm = Math.max(txPipe, targetInflight(bbr, tcb) * BETA);
  if (bbr.state !== PROBE_BW_UP) return;
  bbr.undoState = PROBE_BW_UP;
  startProbeBwDown(bbr, tcb, now);
}

/**
 * 3.7: the draft says that congestion experienced must be taken for congestion, and not how. Here it is the network's
 * own word that what is under way is too much: it ends a probe as too many losses do, and counts as a round with losses
 * otherwise, however many of those are tolerated.
 */
export function handleCongestionExperienced(bbr: BbrState, tcb: Tcb, now: number): void {
  noteLoss(bbr, tcb);
  bbr.lostInRound = Number.MAX_VALUE;
  if (bbr.state === STARTUP) leaveStartupByCongestion(bbr, tcb);
  else if (bbr.isProbeSample || isProbingBw(bbr)) handleInflightTooHigh(bbr, tcb, tcb.pipe, false, now);
}

/** 5.5.11.1. */
export function saveStateUponLoss(bbr: BbrState, tcb: Tcb): void {
  saveCwnd(bbr, tcb);
  bbr.undoState = UNDO_NOTHING;
  bbr.undoBwShortterm = bbr.bwShortterm;
  bbr.undoInflightShortterm = bbr.inflightShortterm;
  bbr.undoInflightLongterm = bbr.inflightLongterm;
}

/** 5.5.11.2: HandleSpuriousLossDetection. */
export function handleSpuriousLoss(bbr: BbrState, tcb: Tcb): void {
  bbr.lossInRound = false;
  bbr.lostInRound = 0;
  resetFullBw(bbr);
  bbr.bwShortterm = Math.max(bbr.bwShortterm, bbr.undoBwShortterm);
  bbr.inflightShortterm = Math.max(bbr.inflightShortterm, bbr.undoInflightShortterm);
  bbr.inflightLongterm = Math.max(bbr.inflightLongterm, bbr.undoInflightLongterm);
  if (bbr.undoState === STARTUP && bbr.state !== STARTUP) {
    bbr.fullBwReached = false;
    if (bbr.state !== PROBE_RTT) enterStartup(bbr);
  } else if (bbr.undoState === PROBE_BW_UP && bbr.state !== PROBE_BW_UP && bbr.state !== PROBE_RTT) {
    startProbeBwRefill(bbr, tcb);
  }
  bbr.undoState = UNDO_NOTHING;
  restoreCwnd(bbr, tcb);
}
