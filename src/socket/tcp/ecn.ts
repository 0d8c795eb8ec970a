import { ECN_CE, ECN_ECT_0 } from "../../wire/ipv4.ts";
import { ACK, CWR, ECE, RST, SYN, type TcpSegment } from "../../wire/tcp.ts";
import { OPEN } from "./loss-recovery.ts";
import { seqAdd, seqGt } from "./seq.ts";
import type { Tcb } from "./tcb.ts";

/** RFC 3168, explicit congestion notification: routers mark packets instead of dropping them, and the sender slows down. */

// Bits of `tcb.ecn`.
/** Both sides' SYNs agree. */
const ECN_AGREED = 1;
/** A marked packet has come: every ACK says so until the peer has slowed down. */
const ECHO_DUE = 2;
/** We have slowed down: the next new text says so. */
const CWR_DUE = 4;

export function isEcnAgreed(tcb: Tcb): boolean {
  return (tcb.ecn & ECN_AGREED) !== 0;
}

/** 6.1.1: what our SYN, or SYN-ACK, says. A SYN that goes unanswered may have met somebody who takes offence: the next one does without. */
export function offerEcn(tcb: Tcb, seg: TcpSegment): void {
  if (seg.flags & ACK) {
    if (tcb.ecn & ECN_AGREED) seg.flags |= ECE;
  } else if (tcb.context.tcp.ecn === true && tcb.backoff === 0) {
    seg.flags |= ECE | CWR;
  }
}

/** 6.1.1: the peer's SYN, or its SYN-ACK, has come. */
export function adoptEcn(tcb: Tcb, seg: TcpSegment): void {
  const wanted = seg.flags & ACK ? ECE : ECE | CWR;
  const isSetup = (seg.flags & (ECE | CWR)) === wanted;
  // A SYN that crosses ours is answered without: both sides would have to know of the other's.
  const { ecn } = tcb.context.tcp;
  const possible = seg.flags & ACK ? tcb.backoff === 0 && ecn === true : !tcb.activeOpen;
  if (ecn && isSetup && possible) tcb.ecn = ECN_AGREED;
  tcb.loss.ecnReducedUntil = tcb.iss;
}

/** 6.1.3, the receiver: a segment that is acceptable has come. */
export function noteMark(tcb: Tcb, seg: TcpSegment): void {
  if (tcb.ecn === 0) return;
  if (seg.flags & CWR) tcb.ecn &= ~ECHO_DUE;
  if (seg.ecn !== ECN_CE || seg.payloadLength === 0) return;
  tcb.ecn |= ECHO_DUE;
  tcb.context.stats.tcpCongestionExperienced++;
}

/** 6.1.2, the sender: an ACK has come. Once a window, and not beside a loss, ECE is answered as a loss would be. */
export function obeyEcho(tcb: Tcb, seg: TcpSegment, now: number): void {
  if (!(seg.flags & ECE) || tcb.ecn === 0 || tcb.loss.phase !== OPEN) return;
  if (!seqGt(seg.ack, tcb.loss.ecnReducedUntil)) return;
  tcb.loss.ecnReducedUntil = tcb.sndNxt;
  tcb.ecn |= CWR_DUE;
  tcb.context.stats.tcpCongestionEchoes++;
  const { control } = tcb;
  control.onCongestion(tcb, true, now);
  if (!control.controlsRecovery) tcb.cwnd = Math.max(tcb.ssthresh, tcb.mss);
}

/** The mark would lie ahead after 2^31 bytes. */
export function keepEchoMark(tcb: Tcb): void {
  if (tcb.ecn !== 0 && seqGt(tcb.sndUna, tcb.loss.ecnReducedUntil)) {
    tcb.loss.ecnReducedUntil = seqAdd(tcb.sndUna, -1);
  }
}

/** 6.1.2: new text may be marked; the first after slowing down says so. Text that is sent again, and bare ACKs, may not (6.1.4, 6.1.5). */
export function markNewText(tcb: Tcb, seg: TcpSegment): void {
  if (tcb.ecn === 0 || seg.payloadLength === 0) return;
  seg.ecn = ECN_ECT_0;
  if (!(tcb.ecn & CWR_DUE)) return;
  tcb.ecn &= ~CWR_DUE;
  seg.flags |= CWR;
}

/** Is the next new text to say that we have slowed down? It is one segment then: a device that cuts would say it in each. */
export function saysSlower(tcb: Tcb): boolean {
  return (tcb.ecn & CWR_DUE) !== 0;
}

/** 6.1.3: every ACK says that a marked packet has come. */
export function writeEcho(tcb: Tcb, seg: TcpSegment): void {
  if (tcb.ecn & ECHO_DUE && !(seg.flags & (SYN | RST))) seg.flags |= ECE;
}
