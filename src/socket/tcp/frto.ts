import { seqGt } from "./seq.ts";
import { flightSize, type Tcb } from "./tcb.ts";

/**
 * RFC 5682, F-RTO: was a timeout spurious? Only the first segment is sent again. If what was sent before the timeout arrives,
 * and not as an answer to that, nothing had been lost but time.
 */

// `LossRecovery.frto`.
const NOT_ASKING = 0;
/** Step 1: the first segment is sent again; an ACK is waited for. */
const FIRST_RESENT = 1;
/** Step 2b: the ACK let new text go. The next ACK tells. */
const NEW_TEXT_SENT = 2;

/**
 * Step 1: the retransmission timer has expired. `repairing`: while losses were being repaired, which were real; then
 * nothing is asked. Where it expires again, and nothing was heard in between, the question stays.
 */
export function startFrto(tcb: Tcb, repairing: boolean): void {
  const { loss } = tcb;
  if (loss.frto !== FIRST_RESENT) loss.frto = repairing ? NOT_ASKING : FIRST_RESENT;
}

/** Does what was lost wait for the ACK of new text (step 2b)? */
export function sendsNewOnly(tcb: Tcb): boolean {
  return tcb.loss.frto === NEW_TEXT_SENT;
}

/** There is nothing to ask any more: what was lost, if anything was, is sent again. */
export function giveUpFrto(tcb: Tcb): void {
  tcb.loss.frto = NOT_ASKING;
}

/** A record has been delivered up to `end`, which was sent once, or more than once. */
export function noteOriginalDelivered(tcb: Tcb, record: number, end: number): void {
  const { ack, transmissions } = tcb.context;
  if (transmissions.resent[record] === 1) ack.resentDelivered = true;
  // What was sent after the timeout says nothing.
  else if (!seqGt(end, tcb.recover)) ack.originalDelivered = true;
}

/**
 * An ACK after the timeout. `advanced`: it acknowledges something new; `over`: all that was outstanding at the timeout.
 * Returns whether the timeout was spurious.
 */
export function askFrto(tcb: Tcb, advanced: boolean, over: boolean): boolean {
  const { loss, context } = tcb;
  const { ack } = context;
  if (loss.frto === NOT_ASKING) return false;
  // Step 3b, and RFC 5682 3, with SACK: what was sent once, before the timeout, has arrived. Without SACK, it may have
  // arrived long ago, and was only waiting for what was sent again.
  if (ack.originalDelivered && (tcb.sack || !ack.resentDelivered)) {
    loss.frto = NOT_ASKING;
    return true;
  }
  if (loss.frto === FIRST_RESENT && advanced && !over && canSendNew(tcb)) {
    loss.frto = NEW_TEXT_SENT;
    return false;
  }
  // Steps 2a and 3a: the loss was real.
  if (loss.frto === FIRST_RESENT || ack.delivered > 0 || !advanced) loss.frto = NOT_ASKING;
  return false;
}

function canSendNew(tcb: Tcb): boolean {
  const flight = flightSize(tcb);
  return tcb.sendBuffer.length > flight && tcb.sndWnd > flight;
}
