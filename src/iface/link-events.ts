import type { SocketSet } from "../socket/socket-set.ts";
import { adoptInterfaceMtu } from "../socket/tcp/path-mtu.ts";
import { forgetBackoff } from "../socket/tcp/rto.ts";
import type { Tcb } from "../socket/tcp/tcb.ts";
import { schedule } from "../socket/tcp/timers.ts";
import { NEVER } from "../storage/deadline-heap.ts";
import type { Interface } from "./interface.ts";

/** Lets connections know what has become of the interface since the last poll: see `setMtu` and `setLink`. */
export function seeToLink(iface: Interface, sockets: SocketSet): void {
  if (iface.mtuChanged) {
    iface.mtuChanged = false;
    sockets.forEachConnection(iface, (tcb) => adoptInterfaceMtu(tcb, iface.mtu));
  }
  if (iface.linkCameUp) {
    iface.linkCameUp = false;
    const { now } = sockets.context;
    iface.link?.neighbours.doubtAll();
    iface.link?.detection.linkUp(now);
    sockets.forEachConnection(iface, (tcb) => tryNow(tcb, now));
  }
}

/** What waits for a timer has waited for the link. */
function tryNow(tcb: Tcb, now: number): void {
  if (tcb.retransmitAt === NEVER && tcb.persistAt === NEVER) return;
  forgetBackoff(tcb);
  if (tcb.retransmitAt !== NEVER) tcb.retransmitAt = now;
  if (tcb.persistAt !== NEVER) tcb.persistAt = now;
  schedule(tcb);
}
