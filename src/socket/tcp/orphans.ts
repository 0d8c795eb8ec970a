import { FIN_WAIT_2, SYN_SENT, type Tcb, TIME_WAIT } from "./tcb.ts";
import { expireIn } from "./timers.ts";
import { abandon } from "./transitions.ts";

/**
 * Orphans: connections that the program has closed and that are not over, because the peer has not acknowledged everything
 * or not closed its side. Nobody would notice were they never to end, so they are limited in number and in time: a peer
 * that goes on without getting on, be it that it is silent, keeps its window shut or never closes, costs no more than that.
 */

/** The program will neither write nor read any more: the connection counts as an orphan until it is over or in TIME-WAIT. */
export function orphan(tcb: Tcb): void {
  const { orphans, tcp, stats } = tcb.context;
  if (tcb.index === -1 || orphans.has(tcb) || !mayBeOrphan(tcb)) return;
  orphans.touch(tcb);
  expireIn(tcb, tcb.state === FIN_WAIT_2 ? tcp.finWait2Ms : tcp.orphanTimeoutMs);
  const { oldest } = orphans;
  if (orphans.size <= tcp.maxOrphans || oldest === null) return;
  stats.tcpOrphansReset++;
  abandon(oldest, "ENOBUFS");
}

function mayBeOrphan(tcb: Tcb): boolean {
  return tcb.state > SYN_SENT && tcb.state !== TIME_WAIT;
}

/** The peer has acknowledged something: an orphan gets its time anew, and others will have to go before it. */
export function noteOrphanProgress(tcb: Tcb, now: number): void {
  const { orphans, tcp } = tcb.context;
  if (!orphans.has(tcb)) return;
  orphans.touch(tcb);
  tcb.expireAt = now + tcp.orphanTimeoutMs;
}
