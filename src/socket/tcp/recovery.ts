import { reduceSsthresh } from "./congestion.ts";
import { seqAdd, seqGt, seqLt } from "./seq.ts";
import { flightSize, type Tcb } from "./tcb.ts";

/** Fast retransmit and fast recovery: RFC 5681 3.2 as amended by RFC 6582 (NewReno). */

/** RFC 5681 3.2: so many duplicate ACKs mean that a segment was lost. */
export const DUPLICATE_THRESHOLD = 3;

/** A duplicate ACK in the sense of RFC 5681 2. */
export function onDuplicateAck(tcb: Tcb): void {
  tcb.duplicateAcks++;
  if (tcb.inRecovery) {
    // RFC 5681 3.2, step 4: another segment has left the network.
    tcb.cwnd += tcb.mss;
    return;
  }
  if (tcb.duplicateAcks !== DUPLICATE_THRESHOLD) return;
  // RFC 6582 3.2, step 2: the loss of this window is dealt with already.
  if (!seqGt(tcb.sndUna, tcb.recover)) return;
  // RFC 5681 3.2, step 2: what limited transmit has sent beyond the window is not counted.
  reduceSsthresh(tcb, Math.min(flightSize(tcb), tcb.cwnd));
  tcb.inRecovery = true;
  tcb.firstPartialAck = true;
  tcb.recover = tcb.sndNxt;
  tcb.cwnd = tcb.ssthresh + DUPLICATE_THRESHOLD * tcb.mss;
  tcb.context.stats.tcpFastRetransmissions++;
  retransmitFirst(tcb);
}

/**
 * An ACK of `acked` new bytes during recovery; SND.UNA has been advanced. Returns whether the retransmission timer is to
 * be restarted.
 */
export function onAckInRecovery(tcb: Tcb, acked: number): boolean {
  if (!seqGt(tcb.recover, tcb.sndUna)) {
    // RFC 6582 3.2, step 3, full acknowledgment.
    tcb.cwnd = Math.min(tcb.ssthresh, Math.max(flightSize(tcb), tcb.mss) + tcb.mss);
    tcb.inRecovery = false;
    tcb.duplicateAcks = 0;
    return true;
  }
  // Partial acknowledgment: the next hole was lost as well.
  retransmitFirst(tcb);
  tcb.cwnd = Math.max(tcb.cwnd - acked, tcb.mss);
  if (acked >= tcb.mss) tcb.cwnd += tcb.mss;
  const restart = tcb.firstPartialAck;
  tcb.firstPartialAck = false;
  return restart;
}

/** RFC 3042: the first two duplicate ACKs let a new segment out each, so that a third can come. */
export function limitedTransmit(tcb: Tcb): number {
  return tcb.inRecovery ? 0 : Math.min(tcb.duplicateAcks, DUPLICATE_THRESHOLD - 1) * tcb.mss;
}

function retransmitFirst(tcb: Tcb): void {
  // A timeout's retransmission that is still under way goes on behind it.
  if (!seqLt(tcb.rtxNxt, tcb.rtxEnd)) tcb.rtxEnd = seqAdd(tcb.sndUna, Math.min(tcb.mss, flightSize(tcb)));
  tcb.rtxNxt = tcb.sndUna;
  tcb.rttTiming = false;
}
