import { textRoom } from "./sack.ts";
import { seqGt } from "./seq.ts";
import { DUE_PUSH, type Tcb } from "./tcb.ts";

/** When a short segment is worth sending: RFC 9293 3.8.6.2.1 (silly-window avoidance), with 3.7.4 (Nagle's algorithm). */

/** D is `unsent`, U lets `length` bytes go; `flight` bytes are not acknowledged. */
export function isWorthSending(tcb: Tcb, length: number, unsent: number, flight: number): boolean {
  // (1) A maximum-sized segment.
  if (length >= textRoom(tcb)) return true;
  const nagle = flight === 0 || tcb.noDelay || (tcb.due & DUE_PUSH) !== 0 || mayFollowFull(tcb);
  // (2) All there is; what precedes a FIN waits for nothing.
  if (length === unsent && (nagle || tcb.finQueued)) return true;
  // (3) A good part of a window that never was larger than a few segments.
  return nagle && length >= tcb.maxSndWnd >> 1;
}

/** RFC 9293 A.3: what is unacknowledged are full-sized segments. */
function mayFollowFull(tcb: Tcb): boolean {
  return tcb.context.tcp.nagle === "minshall" && !seqGt(tcb.sent.shortEnd, tcb.sndUna);
}

/** Text of so many bytes has just been sent for the first time. */
export function noteShort(tcb: Tcb, length: number): void {
  if (length % tcb.mss !== 0) tcb.sent.shortEnd = tcb.sndNxt;
}
