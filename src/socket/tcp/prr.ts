import { flightSize, type Tcb } from "./tcb.ts";

/**
 * RFC 9937, proportional rate reduction: during recovery the window comes down to ssthresh in proportion to what is
 * delivered, so that sending neither stops nor bursts.
 */

/** 6: recovery begins with the ACK in `context.ack`. */
export function startPrr(tcb: Tcb): void {
  const { loss, sent } = tcb;
  loss.prrDelivered = 0;
  loss.prrOut = 0;
  // What was outstanding before this ACK, without what had been SACKed by then.
  loss.recoverFlight = flightSize(tcb) - sent.sackedBytes + tcb.context.ack.delivered;
}

/** 6: an ACK during recovery. `advanced`: SND.UNA has. */
export function onAckForPrr(tcb: Tcb, advanced: boolean): void {
  const { loss, sent } = tcb;
  const { delivered, lost } = tcb.context.ack;
  loss.prrDelivered += delivered;
  let count: number;
  if (sent.pipe > tcb.ssthresh) {
    const share = Math.ceil((loss.prrDelivered * tcb.ssthresh) / Math.max(loss.recoverFlight, 1));
    count = share - loss.prrOut;
  } else {
    // The slow-start reduction bound where the ACK says that losses are over, packet conservation where it does not.
    count = Math.max(loss.prrDelivered - loss.prrOut, delivered);
    if (advanced && lost === 0) count += tcb.mss;
    count = Math.min(tcb.ssthresh - sent.pipe, count);
  }
  // The fast retransmit goes out whatever the reckoning says.
  if (loss.prrOut === 0) count = Math.max(count, tcb.mss);
  tcb.cwnd = sent.pipe + Math.max(count, 0);
}
