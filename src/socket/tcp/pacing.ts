import { NEVER } from "../../storage/deadline-heap.ts";
import type { Tcb } from "./tcb.ts";
import { ready } from "./transitions.ts";

/** Text goes no faster than the congestion control's `pacingRate`: draft-ietf-ccwg-bbr 5.6.2. */

/** What is paced goes in bursts of so many ms: no timer is much finer. */
const GRANULARITY_MS = 1;
/** So much of the time in which nothing was sent may be used later, at once. */
const CREDIT_MS = 4;
/** What a later timer has cost is made up for at twice the pace, up to so much. */
const MOST_BEHIND_MS = 50;

/** Is it time for the next segment? */
export function mayGo(tcb: Tcb, now: number): boolean {
  // What is due soon goes at once.
  return tcb.pacingRate === Number.POSITIVE_INFINITY || tcb.nextSendAt <= now + GRANULARITY_MS;
}

/** `length` bytes of text leave, new or again. */
export function notePaced(tcb: Tcb, length: number, now: number): void {
  if (tcb.pacingRate === Number.POSITIVE_INFINITY) return;
  const interval = length / tcb.pacingRate;
  const earliest = now - CREDIT_MS;
  // It was not the pace that held it back: there was nothing to send, or no window.
  if (tcb.nextSendAt < earliest) tcb.behindMs = 0;
  const gain = Math.min(tcb.behindMs, interval / 2);
  tcb.behindMs -= gain;
  tcb.nextSendAt = Math.max(tcb.nextSendAt, earliest) + interval - gain;
}

/**
 * What was paced may go on. A timer is late by a ms or two, and by more where the processor has others to serve. On a path that
 * is no faster than the pace, what that has held back would be lost for good.
 */
export function onPaceTimeout(tcb: Tcb, now: number): void {
  tcb.paceAt = NEVER;
  const earliest = now - CREDIT_MS;
  if (tcb.nextSendAt < earliest) {
    tcb.behindMs = Math.min(tcb.behindMs + earliest - tcb.nextSendAt, MOST_BEHIND_MS);
    tcb.nextSendAt = earliest;
  }
  ready(tcb);
}
