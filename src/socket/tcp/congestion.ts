import { seqGt } from "./seq.ts";
import { flightSize, type Tcb } from "./tcb.ts";

/** RFC 5681: slow start, congestion avoidance, and the windows after loss. */

/** RFC 6928: ten segments, but no more than 14,600 bytes unless two segments are longer. */
export function initialWindow(mss: number): number {
  return Math.min(10 * mss, Math.max(2 * mss, 14_600));
}

/** RFC 5681 3.1: the connection is established, nothing has been lost yet. */
export function startCongestionControl(tcb: Tcb): void {
  // RFC 5681 3.1: after a SYN or SYN-ACK was lost it is one segment.
  tcb.cwnd = tcb.backoff > 0 ? tcb.mss : initialWindow(tcb.mss);
  tcb.ssthresh = 0x7fffffff;
}

/** RFC 5681 3.1: `acked` new bytes were acknowledged outside of recovery. */
export function onNewDataAcked(tcb: Tcb, acked: number): void {
  // A window that is not used up proves nothing about the path (RFC 7661 4.2).
  if (!tcb.cwndLimited) return;
  if (tcb.cwnd < tcb.ssthresh) {
    // Equation 2, with RFC 3465's limit of two segments: the peer may acknowledge many segments at once. A
    // super-segment's segments arrive as one where they are not cut at all, and are acknowledged by one ACK. But of one
    // segment after a timeout: then an ACK may be for what had arrived long before (RFC 3465 2.3).
    const limit = Math.max(2 * tcb.mss, tcb.maxText);
    tcb.cwnd += Math.min(acked, seqGt(tcb.sndUna, tcb.recover) ? limit : tcb.mss);
    return;
  }
  // RFC 3465 2.1: one segment a window's worth of acknowledged bytes.
  tcb.bytesAcked += acked;
  if (tcb.bytesAcked >= tcb.cwnd) {
    tcb.bytesAcked -= tcb.cwnd;
    tcb.cwnd += tcb.mss;
  }
}

/** RFC 5681 equation 4, for `flight` bytes under way. */
export function reduceSsthresh(tcb: Tcb, flight: number): void {
  tcb.ssthresh = Math.max(flight >> 1, 2 * tcb.mss);
}

/** RFC 5681 3.1: the loss window. The caller has counted this timeout in `backoff`. */
export function onRetransmissionTimeout(tcb: Tcb): void {
  // A segment that times out again says nothing new: ssthresh is held.
  if (tcb.backoff === 1) reduceSsthresh(tcb, flightSize(tcb));
  tcb.cwnd = tcb.mss;
  tcb.cwndLimited = true; // What is sent again waits for it.
  tcb.bytesAcked = 0;
  tcb.duplicateAcks = 0;
  // RFC 6582 4.1: what is acknowledged twice below this was sent before the timeout.
  tcb.inRecovery = false;
  tcb.recover = tcb.sndNxt;
}

/** RFC 5681 4.1: after an idle time of one RTO the path is to be probed anew. */
export function restartAfterIdle(tcb: Tcb, now: number): void {
  if (flightSize(tcb) === 0 && now - tcb.lastSentAt > tcb.rto) {
    tcb.cwnd = Math.min(tcb.cwnd, initialWindow(tcb.mss));
  }
}
