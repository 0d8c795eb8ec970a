import { StackError } from "../../errors.ts";
import { NEVER } from "../../storage/deadline-heap.ts";
import { SYN_SENT, type Tcb } from "./tcb.ts";
import { schedule } from "./timers.ts";

/**
 * When a peer that does not answer is given up: RFC 9293 3.8.3 (R1 and R2), RFC 1122 4.2.3.5. RFC 5482 calls R2 the user
 * timeout; we do not tell the peer of it.
 */

/** R1, SHLD-10: after so many retransmissions the way there is doubted, in case a neighbour on it is gone. */
const R1_RETRANSMISSIONS = 3;

/** R2: has the peer been silent, with something to acknowledge, for as long as this connection may wait? */
export function isTimedOut(tcb: Tcb, now: number): boolean {
  return now - tcb.unackedSince >= (tcb.userTimeoutMs || tcb.context.tcp.userTimeoutMs);
}

/** A timer that is to run at `at` is not to outlast a timeout that the program has set, nor `stallTimeoutMs`. */
export function beforeUserTimeout(tcb: Tcb, at: number): number {
  const { stallTimeoutMs } = tcb.context.tcp;
  const until = tcb.userTimeoutMs > 0 ? Math.min(at, tcb.unackedSince + tcb.userTimeoutMs) : at;
  if (stallTimeoutMs === 0 || tcb.sendBuffer.length === 0) return until;
  return Math.min(until, tcb.progressAt + stallTimeoutMs);
}

/** MUST-20: the retransmission timer has expired, `tcb.backoff` times in a row. */
export function adviseAtR1(tcb: Tcb): void {
  if (tcb.backoff !== R1_RETRANSMISSIONS) return;
  tcb.context.stats.tcpPathsDoubted++;
  tcb.context.routing.doubt(tcb.remote);
}

/**
 * Keep-alive: has the peer, where the program has set a timeout, not answered for that long? Without one the number of
 * questions counts.
 */
export function isSilentTooLong(tcb: Tcb, now: number): boolean {
  if (tcb.userTimeoutMs === 0) return tcb.keepAlivesUnanswered >= tcb.keepAliveCount;
  return tcb.keepAlivesUnanswered > 0 && now - tcb.lastHeardAt >= tcb.userTimeoutMs;
}

/**
 * MUST-21: R2 of this connection, for what is under way already as well; 0 is that of all connections.
 *
 * @throws StackError EINVAL
 */
export function setUserTimeout(tcb: Tcb, ms: number): void {
  tcb.userTimeoutMs = checkUserTimeout(ms);
  if (tcb.state === SYN_SENT || ms === 0) return;
  if (tcb.retransmitAt !== NEVER) tcb.retransmitAt = beforeUserTimeout(tcb, tcb.retransmitAt);
  if (tcb.persistAt !== NEVER) tcb.persistAt = beforeUserTimeout(tcb, tcb.persistAt);
  schedule(tcb);
}

/** @throws StackError EINVAL */
export function checkUserTimeout(ms: number): number {
  if (ms >= 0 && ms < NEVER) return ms;
  throw new StackError("EINVAL", `userTimeout must be a number of ms, 0 for the stack's own, not ${ms}`);
}
