import { seqGeq } from "../seq.ts";
import type { Tcb } from "../tcb.ts";
import { inSlowStart } from "./slow-start.ts";

/**
 * RFC 9293 3.8.2 and RFC 7661: a window that is not used says nothing of what the path takes, and must not grow. What
 * counts is the round trip's most, not what was sent last: a program that writes in bursts uses the window in each of them.
 */

/** New text has just been sent. */
export function noteWindowUse(tcb: Tcb): void {
  const { sent } = tcb;
  const { pipe } = sent;
  const isFull = pipe + tcb.mss > tcb.cwnd;
  const isRoundOver = seqGeq(tcb.sndUna, sent.roundEnd);
  if (!isFull && !isRoundOver && (tcb.cwndLimited || pipe <= sent.mostInRound)) return;
  tcb.cwndLimited = isFull;
  sent.mostInRound = pipe;
  sent.roundEnd = tcb.sndNxt;
}

/** May the window grow? RFC 7661 4.1: in slow start one that was half full has been tried. */
export function isWindowUsed(tcb: Tcb): boolean {
  return tcb.cwndLimited || (inSlowStart(tcb) && 2 * tcb.sent.mostInRound > tcb.cwnd);
}

/** Is the window no larger than its use lets it grow, which is to twice what was under way? */
export function isWindowProven(tcb: Tcb): boolean {
  return tcb.cwndLimited || (inSlowStart(tcb) && 2 * tcb.sent.mostInRound >= tcb.cwnd);
}
