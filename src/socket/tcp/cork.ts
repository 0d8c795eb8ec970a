import { NEVER } from "../../storage/deadline-heap.ts";
import { DUE_PUSH, flightSize, type Tcb } from "./tcb.ts";
import { schedule } from "./timers.ts";
import { ready } from "./transitions.ts";

/**
 * A cork: full-sized segments go, and what is shorter waits for more text, as Linux's TCP_CORK has it. For a program that
 * writes what belongs together in pieces. The wait ends with the cork, with a FIN, or after 200 ms.
 */

const CORK_MS = 200;

/** Is text that fills no segment to wait for more? */
export function isCorked(tcb: Tcb, now: number): boolean {
  if (!tcb.corked || tcb.finQueued || tcb.due & DUE_PUSH) return false;
  if (tcb.corkAt === NEVER) {
    tcb.corkAt = now + CORK_MS;
    schedule(tcb);
  }
  return true;
}

/** The text has waited long enough. */
export function onCorkTimeout(tcb: Tcb): void {
  tcb.context.stats.tcpCorkTimeouts++;
  push(tcb);
}

export function setCorked(tcb: Tcb, corked: boolean): void {
  tcb.corked = corked;
  if (!corked) push(tcb);
}

/** RFC 9293 3.7.4: Nagle's algorithm off or on. Turning it off lets out what waits, also for a cork. */
export function setNoDelay(tcb: Tcb, noDelay: boolean): void {
  tcb.noDelay = noDelay;
  if (noDelay) push(tcb);
}

/** What was written is to go, short as it may be: Nagle's algorithm does not hold it back either. */
function push(tcb: Tcb): void {
  tcb.corkAt = NEVER;
  if (tcb.index === -1 || tcb.sendBuffer.length <= flightSize(tcb)) return;
  tcb.due |= DUE_PUSH;
  ready(tcb);
}
