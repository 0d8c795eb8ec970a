import type { ErrorCode } from "../../errors.ts";
import { isProbeRefused } from "./mtu-probe.ts";
import { onPacketTooLarge } from "./path-mtu.ts";
import { seqGeq, seqLt } from "./seq.ts";
import { SYN_SENT, type Tcb } from "./tcb.ts";
import { enterClosed } from "./transitions.ts";

/**
 * RFC 9293 3.9.2.2: an ICMP message says that the segment with sequence number `seq` did not arrive.
 *
 * Only what is in flight counts (RFC 5927 4.1). A hard error ends an attempt to connect. For a connection, also one that a
 * peer has half opened, it is a soft one (RFC 5927 5.2): it is kept, and named should the connection time out.
 */
export function onIcmpError(tcb: Tcb, seq: number, error: ErrorCode, hard: boolean): void {
  if (!seqGeq(seq, tcb.sndUna) || !seqLt(seq, tcb.sndNxt)) {
    tcb.context.stats.tcpErrorsIgnored++;
    return;
  }
  if (hard && tcb.state === SYN_SENT) enterClosed(tcb, error);
  else tcb.softError = error;
}

/** The same of one that was too large: `quotedLength` bytes with its headers, for a link that carries `nextHopMtu`. */
export function onFragmentationNeeded(tcb: Tcb, seq: number, quotedLength: number, nextHopMtu: number): void {
  if (isProbeRefused(tcb, seq, quotedLength, nextHopMtu)) return;
  onPacketTooLarge(tcb, seq, quotedLength, nextHopMtu);
}
