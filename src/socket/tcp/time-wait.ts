import { ACK, RST, SYN, type TcpSegment } from "../../wire/tcp.ts";
import { seqDiff, seqGt } from "./seq.ts";
import { type Tcb, TIME_WAIT } from "./tcb.ts";

/**
 * RFC 9293 3.6.1, MAY-2, RFC 1122 4.2.2.13, RFC 6191 2: may a segment open a connection in TIME-WAIT again? It may not where
 * it might be an old one, of the connection that is over or of one before.
 *
 * Timestamps tell best: a later one is a later SYN's, an earlier one an old one's, whatever the sequence number is. Without
 * the old connection's, a SYN that offers them is as good: nothing of the old one can be taken for the new one's, since
 * PAWS wants a timestamp in all of it. Else the sequence number has to be beyond what was received.
 */
export function mayReopen(tcb: Tcb, seg: TcpSegment): boolean {
  if (tcb.state !== TIME_WAIT || (seg.flags & (SYN | ACK | RST)) !== SYN) return false;
  const isBeyond = seqGt(seg.seq, tcb.rcvNxt);
  if (!seg.hasTimestamp || !tcb.context.tcp.timestamps) return isBeyond;
  if (!tcb.timestamps) return true;
  const later = seqDiff(seg.tsVal, tcb.tsRecent);
  return later > 0 || (later === 0 && isBeyond);
}
