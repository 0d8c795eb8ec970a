import type { Tcb } from "./tcb.ts";

/** RFC 6298: computing the retransmission timer. Times are in ms; the clock granularity G is 1 ms. */

const GRANULARITY_MS = 1;
/** RFC 6298 5.7: RTO after a handshake that had to be retransmitted. */
const RTO_AFTER_SYN_TIMEOUT_MS = 3_000;

/** RFC 6298 2.2 and 2.3: takes a measured round-trip time into SRTT, RTTVAR and RTO. */
export function onRttSample(tcb: Tcb, rttMs: number): void {
  if (tcb.srtt < 0) {
    tcb.srtt = rttMs;
    tcb.rttvar = rttMs / 2;
  } else {
    tcb.rttvar += (Math.abs(tcb.srtt - rttMs) - tcb.rttvar) / 4;
    tcb.srtt += (rttMs - tcb.srtt) / 8;
  }
  setRto(tcb, measuredRto(tcb));
}

function measuredRto(tcb: Tcb): number {
  // On a steady path RTTVAR vanishes, and RTO would come down to SRTT, where the first ACK that the peer delays is a
  // timeout. With a second as its lower bound (2.4) that does not happen below a second; with less, the bound is put
  // under the variance instead, as Linux does.
  return tcb.srtt + Math.max(GRANULARITY_MS, tcb.context.tcp.minRtoMs, 4 * tcb.rttvar);
}

/** RFC 6298 5.5: doubles RTO after a timeout. */
export function backOff(tcb: Tcb): void {
  tcb.backoff++;
  setRto(tcb, tcb.rto * 2);
}

/** RFC 6298 5.7: a handshake that was retransmitted cannot be measured, so data start with 3 s. */
export function onHandshakeDone(tcb: Tcb): void {
  if (tcb.srtt < 0 && tcb.backoff > 0) setRto(tcb, RTO_AFTER_SYN_TIMEOUT_MS);
  tcb.backoff = 0;
}

/** What kept segments from arriving was not the network's load: RTO is again what the measurements say. */
export function forgetBackoff(tcb: Tcb): void {
  tcb.backoff = 0;
  tcb.probeBackoff = 0;
  setRto(tcb, tcb.srtt < 0 ? tcb.context.tcp.initialRtoMs : measuredRto(tcb));
}

function setRto(tcb: Tcb, rtoMs: number): void {
  const { minRtoMs, maxRtoMs } = tcb.context.tcp;
  tcb.rto = Math.min(Math.max(rtoMs, minRtoMs), maxRtoMs);
}
