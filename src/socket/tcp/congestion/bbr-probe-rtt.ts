import type { Tcb } from "../tcb.ts";
import { startRound } from "./bbr-model.ts";
import { probeRttCwnd, restoreCwnd, saveCwnd } from "./bbr-output.ts";
import { startProbeBwCruise, startProbeBwDown } from "./bbr-probe-bw.ts";
import { resetShortTermModel } from "./bbr-short-term.ts";
import { enterStartup } from "./bbr-startup.ts";
import { ACKS_PROBE_STOPPING, type BbrState, PROBE_RTT } from "./bbr-state.ts";
import type { AckSample } from "./control.ts";

/** BBR 5.3.4 and 5.5.7: the round-trip time of the path without its queues, for which they are emptied now and then. */

// 5.3.4.1 and 5.5.7.2.
const PROBE_RTT_INTERVAL_MS = 5_000;
const PROBE_RTT_DURATION_MS = 200;
const MIN_RTT_FILTER_MS = 10_000;

/** 5.3.4.3. */
export function updateMinRtt(bbr: BbrState, ack: AckSample, now: number): void {
  bbr.probeRttExpired = now > bbr.probeRttMinAt + PROBE_RTT_INTERVAL_MS;
  if (ack.rttMs >= 0 && (ack.rttMs < bbr.probeRttMinMs || bbr.probeRttExpired)) {
    bbr.probeRttMinMs = ack.rttMs;
    bbr.probeRttMinAt = now;
  }
  if (bbr.probeRttMinMs < bbr.minRttMs || now > bbr.minRttAt + MIN_RTT_FILTER_MS) {
    bbr.minRttMs = bbr.probeRttMinMs;
    bbr.minRttAt = bbr.probeRttMinAt;
  }
}

/** 5.3.4.3. */
export function checkProbeRtt(bbr: BbrState, tcb: Tcb, ack: AckSample, now: number): void {
  if (bbr.state !== PROBE_RTT && bbr.probeRttExpired && !bbr.idleRestart) enterProbeRtt(bbr, tcb);
  if (bbr.state === PROBE_RTT) handleProbeRtt(bbr, tcb, now);
  if (ack.delivered > 0) bbr.idleRestart = false;
}

function enterProbeRtt(bbr: BbrState, tcb: Tcb): void {
  // The window is saved before the state is ProbeRTT: it is the last one that is not.
  saveCwnd(bbr, tcb);
  bbr.state = PROBE_RTT;
  bbr.probeRttDoneAt = 0;
  bbr.ackPhase = ACKS_PROBE_STOPPING;
  startRound(bbr, tcb);
}

/** 5.3.4.3. */
function handleProbeRtt(bbr: BbrState, tcb: Tcb, now: number): void {
  // MarkConnectionAppLimited: the rates of this time say nothing of the path.
  tcb.appLimitedUntil = Math.max(tcb.delivered + tcb.pipe, 1);
  if (bbr.probeRttDoneAt === 0) {
    if (tcb.pipe > probeRttCwnd(bbr, tcb)) return;
    bbr.probeRttDoneAt = now + PROBE_RTT_DURATION_MS;
    bbr.probeRttRoundDone = false;
    startRound(bbr, tcb);
    return;
  }
  if (bbr.roundStart) bbr.probeRttRoundDone = true;
  if (bbr.probeRttRoundDone) checkProbeRttDone(bbr, tcb, now);
}

/** 5.3.4.3, and ExitProbeRTT of 5.3.4.4. */
export function checkProbeRttDone(bbr: BbrState, tcb: Tcb, now: number): void {
  if (bbr.probeRttDoneAt === 0 || now <= bbr.probeRttDoneAt) return;
  bbr.probeRttMinAt = now;
  resetShortTermModel(bbr);
  if (bbr.fullBwReached) {
    startProbeBwDown(bbr, tcb, now);
    startProbeBwCruise(bbr);
  } else {
    enterStartup(bbr);
  }
  restoreCwnd(bbr, tcb);
}
