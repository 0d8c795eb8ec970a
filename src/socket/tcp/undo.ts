import { giveUpFrto } from "./frto.ts";
import { OPEN } from "./loss-recovery.ts";
import { widenReorderingWindow } from "./rack.ts";
import { forgetBackoff } from "./rto.ts";
import { regainLost } from "./scoreboard.ts";
import { seqDiff, seqGeq } from "./seq.ts";
import type { Tcb } from "./tcb.ts";
import { isProbeReported } from "./tlp.ts";

/** Losses that were none: told by D-SACK (RFC 2883, as RFC 3708 uses it) or F-RTO, answered as RFC 4015 says. */

/** A phase of recovery begins: what it is about may prove not to have been lost. */
export function expectUndo(tcb: Tcb): void {
  const { loss } = tcb;
  loss.undoPossible = true;
  loss.undoMarker = tcb.sndUna;
  loss.undoBytes = 0;
  loss.resent = false;
}

/** `length` bytes are sent again. */
export function noteForUndo(tcb: Tcb, length: number): void {
  tcb.loss.undoBytes += length;
  tcb.loss.resent = true;
}

/** RFC 2883 4: the peer got [from, to) twice. */
export function onDuplicateReport(tcb: Tcb, from: number, to: number): void {
  const { loss, context } = tcb;
  const length = seqDiff(to, from);
  // What was never sent, or so long ago that nobody keeps it: nothing to learn from.
  if (length > tcb.maxSndWnd || !seqGeq(tcb.sndNxt, to)) return;
  context.stats.tcpDuplicateReports++;
  context.ack.duplicateReported = true;
  // More than was ever sent twice: the network has doubled it.
  if (loss.reportedBytes + length > tcb.bytesRetransmitted) return;
  loss.reportedBytes += length;
  if (isProbeReported(tcb, to)) return;
  widenReorderingWindow(tcb);
  if (loss.undoPossible && seqGeq(from, loss.undoMarker)) loss.undoBytes -= length;
}

/** Has all that was sent again arrived twice? Then nothing of it had been lost. */
export function wasSpurious(tcb: Tcb): boolean {
  const { loss } = tcb;
  return loss.undoPossible && loss.resent && loss.undoBytes <= 0;
}

/** Goes on as if nothing had been lost. */
export function undo(tcb: Tcb, now: number): void {
  const { loss } = tcb;
  tcb.context.stats.tcpSpuriousRecoveries++;
  loss.undoPossible = false;
  giveUpFrto(tcb);
  loss.phase = OPEN;
  loss.duplicateAcks = 0;
  regainLost(tcb);
  tcb.control.undo(tcb, now);
  forgetBackoff(tcb);
}
