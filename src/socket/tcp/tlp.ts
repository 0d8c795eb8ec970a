import { NEVER } from "../../storage/deadline-heap.ts";
import { OPEN } from "./loss-recovery.ts";
import { explainsSilence } from "./path-mtu.ts";
import { seqGeq, seqGt } from "./seq.ts";
import { DUE_TAIL_PROBE, ESTABLISHED, type Tcb } from "./tcb.ts";
import { schedule } from "./timers.ts";
import { ready } from "./transitions.ts";
import { beforeUserTimeout } from "./user-timeout.ts";

/**
 * RFC 8985 7, tail loss probe: where the end of a flight is lost, nothing comes back that would tell. Its last segment, or
 * a new one, is sent long before the retransmission timer expires, and its ACK does.
 */

/** RFC 8985 7.2: TLP.max_ack_delay. */
const MAX_ACK_DELAY_MS = 200;
const PTO_BEFORE_RTT_MS = 1_000;
/** A peer on this machine, or beside it, that takes so long is not silent: its processor, or ours, has something else to do. */
const LEAST_PTO_MS = 10;
/** A timer is not finer than its clock. */
const GRANULARITY_MS = 2;

/** 7.2, 7.3: text was sent for the first time, or an ACK has come. */
export function scheduleProbe(tcb: Tcb, now: number): void {
  const { loss, sent } = tcb;
  const mayProbe =
    tcb.sack &&
    sent.pipe > 0 &&
    loss.phase === OPEN &&
    sent.sackedBytes === 0 &&
    !loss.probing &&
    !tcb.probing &&
    tcb.state >= ESTABLISHED;
  if (!mayProbe) {
    tcb.probeAt = NEVER;
    return;
  }
  let pto = tcb.srtt < 0 ? PTO_BEFORE_RTT_MS : Math.max(2 * tcb.srtt + GRANULARITY_MS, LEAST_PTO_MS);
  if (sent.pipe <= tcb.mss) pto += MAX_ACK_DELAY_MS;
  tcb.probeAt = Math.min(now + pto, tcb.retransmitAt);
  schedule(tcb);
}

/** 7.3: the PTO has expired. */
export function onProbeTimeout(tcb: Tcb, now: number): void {
  tcb.probeAt = NEVER;
  if (explainsSilence(tcb, now)) return;
  tcb.due |= DUE_TAIL_PROBE;
  // RFC 8985 7.3: the retransmission timer starts anew, behind the probe.
  tcb.retransmitAt = beforeUserTimeout(tcb, now + tcb.rto);
  ready(tcb);
}

/** The probe leaves; SND.NXT is behind it. */
export function noteProbeSent(tcb: Tcb, isNew: boolean): void {
  const { loss } = tcb;
  loss.probing = true;
  loss.probeEnd = tcb.sndNxt;
  loss.probeIsNew = isNew;
  tcb.context.stats.tcpTailProbes++;
}

/** 7.4.2: the peer reports that it got what ends at `end` twice. Was that the probe? Then nothing had been lost. */
export function isProbeReported(tcb: Tcb, end: number): boolean {
  const { loss } = tcb;
  if (!loss.probing || loss.probeIsNew || end !== loss.probeEnd) return false;
  loss.probing = false;
  return true;
}

/** 7.4.2: has an ACK shown that the probe has repaired a loss, which nothing else would tell of? */
export function probeHasRepaired(tcb: Tcb, ackNumber: number, advanced: boolean): boolean {
  const { loss } = tcb;
  const { ack } = tcb.context;
  if (!loss.probing || !seqGeq(ackNumber, loss.probeEnd)) return false;
  if (loss.probeIsNew) {
    loss.probing = false;
    return false;
  }
  if (seqGt(ackNumber, loss.probeEnd)) {
    loss.probing = false;
    return true;
  }
  // Both, the first and the probe, have arrived: the second one's ACK is a duplicate.
  if (!advanced && ack.delivered === 0) loss.probing = false;
  return false;
}
