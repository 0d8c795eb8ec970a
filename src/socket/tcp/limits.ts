import type { Tcb } from "./tcb.ts";

/** What keeps a connection from sending more, and for how long it has: `TcpInfo.limited`. */

/** Nothing, or the program has no more. */
export const BY_NOTHING = 0;
/** The congestion window, or the pace that congestion control has set. */
export const BY_CONGESTION = 1;
/** The peer's window. */
export const BY_PEER = 2;
/** The send buffer: all of it is under way, and the program would have more. */
export const BY_BUFFER = 3;

export type Limit = typeof BY_NOTHING | typeof BY_CONGESTION | typeof BY_PEER | typeof BY_BUFFER;

/** From now on, `limit` is what holds text back. */
export function noteLimit(tcb: Tcb, limit: Limit, now: number): void {
  if (tcb.limit === limit) return;
  const ms = now - tcb.limitSince;
  if (tcb.limit === BY_CONGESTION) tcb.limitedByCongestionMs += ms;
  else if (tcb.limit === BY_PEER) tcb.limitedByPeerMs += ms;
  else if (tcb.limit === BY_BUFFER) tcb.limitedByBufferMs += ms;
  tcb.limit = limit;
  tcb.limitSince = now;
}

/** Everything written is under way, or acknowledged. */
export function noteAllSent(tcb: Tcb, flight: number, now: number): void {
  noteLimit(tcb, tcb.writeBlocked && flight > 0 ? BY_BUFFER : BY_NOTHING, now);
}

/** So long, in ms, `limit` has held text back, until now. */
export function limitedMs(tcb: Tcb, limit: Limit, before: number): number {
  return tcb.limit === limit ? before + tcb.context.now - tcb.limitSince : before;
}
