import type { ErrorCode } from "../../errors.ts";
import { NEVER } from "../../storage/deadline-heap.ts";
import { CLOSED_EVENT, CONNECTED, FINISHED, READABLE, WRITABLE } from "../events.ts";
import { startCongestionControl } from "./congestion.ts";
import { BY_NOTHING, noteLimit } from "./limits.ts";
import { noteOrphanProgress } from "./orphans.ts";
import { startRack } from "./rack.ts";
import { onHandshakeDone } from "./rto.ts";
import {
  CLOSE_WAIT,
  CLOSED,
  CLOSING,
  DUE_RST,
  ESTABLISHED,
  FIN_WAIT_1,
  FIN_WAIT_2,
  LAST_ACK,
  SYN_SENT,
  type Tcb,
  TIME_WAIT,
} from "./tcb.ts";

/** The changes of state of RFC 9293 3.3.2 (figure 5), with what each starts and stops. */

/** Queues the connection: it may have something to send. */
export function ready(tcb: Tcb): void {
  tcb.ready?.push(tcb.index);
}

/** Notes an event that the program is told of at the end of the poll. */
export function signal(tcb: Tcb, event: number): void {
  tcb.events |= event;
  if (tcb.index !== -1) tcb.context.signalled.push(tcb.index);
}

/** The handshake is complete: SYN-SENT or SYN-RECEIVED to ESTABLISHED, or further where a FIN is queued. */
export function enterEstablished(tcb: Tcb): void {
  tcb.state = ESTABLISHED;
  tcb.expireAt = NEVER;
  noteOrphanProgress(tcb, tcb.context.now);
  tcb.retransmitAt = NEVER;
  startCongestionControl(tcb, tcb.context.now);
  onHandshakeDone(tcb);
  startRack(tcb, tcb.context.now);
  tcb.recover = tcb.iss;
  tcb.sent.shortEnd = tcb.iss;
  signal(tcb, CONNECTED | WRITABLE);
  // RFC 9293 3.10.4: a CLOSE in SYN-SENT or SYN-RECEIVED was queued until now.
  if (tcb.finQueued) enterAfterOurClose(tcb);
}

/** RFC 9293 3.10.4: the program has closed its side; the FIN follows the buffered bytes. */
export function enterAfterOurClose(tcb: Tcb): void {
  if (tcb.state === ESTABLISHED) tcb.state = FIN_WAIT_1;
  else if (tcb.state === CLOSE_WAIT) tcb.state = LAST_ACK;
}

/** RFC 9293 3.10.7.4, fifth: our FIN has been acknowledged. */
export function onOurFinAcked(tcb: Tcb, now: number): void {
  if (tcb.state === FIN_WAIT_1) {
    signal(tcb, FINISHED);
    tcb.state = FIN_WAIT_2;
    // Nobody reads: the peer's FIN is all that is waited for, and not for ever.
    if (tcb.receiveClosed) {
      tcb.expireInMs = 0;
      tcb.expireAt = now + tcb.context.tcp.finWait2Ms;
    }
  } else if (tcb.state === CLOSING) {
    signal(tcb, FINISHED);
    enterTimeWait(tcb, now);
  } else if (tcb.state === LAST_ACK) {
    signal(tcb, FINISHED);
    enterClosed(tcb, null);
  }
}

/** RFC 9293 3.10.7.4, eighth: the peer's FIN has been reached in sequence. */
export function onPeerFin(tcb: Tcb, now: number): void {
  tcb.finReceived = true;
  signal(tcb, READABLE);
  if (tcb.state === ESTABLISHED) tcb.state = CLOSE_WAIT;
  else if (tcb.state === FIN_WAIT_1) tcb.state = CLOSING;
  else if (tcb.state === FIN_WAIT_2) enterTimeWait(tcb, now);
}

/**
 * RFC 9293 3.10.7.4, eighth: starts or restarts the 2 MSL timeout, and turns off the other timers. Where there are more than
 * `maxTimeWait`, the one that has been there longest is over.
 */
export function enterTimeWait(tcb: Tcb, now: number): void {
  const { context } = tcb;
  const { timeWait, tcp, stats } = context;
  settleAccounts(tcb);
  tcb.state = TIME_WAIT;
  tcb.expireAt = now + 2 * tcp.mslMs;
  if (timeWait.size === 0) context.timeWaitAt = tcb.expireAt;
  timeWait.touch(tcb);
  const { oldest } = timeWait;
  if (timeWait.size <= tcp.maxTimeWait || oldest === null) return;
  stats.tcpTimeWaitRecycled++;
  enterClosed(oldest, null);
}

function stopSending(tcb: Tcb): void {
  tcb.retransmitAt = NEVER;
  tcb.reorderAt = NEVER;
  tcb.probeAt = NEVER;
  tcb.paceAt = NEVER;
  tcb.persistAt = NEVER;
}

/**
 * Deletes the connection: whoever has it sees CLOSED and `error`. What was received in order before an orderly end may
 * still be read; after an error both buffers are flushed (RFC 9293 3.10.7.4, second).
 */
export function enterClosed(tcb: Tcb, error: ErrorCode | null): void {
  if (tcb.state === CLOSED) return;
  const { context } = tcb;
  // In TIME-WAIT all has been done but to forget the connection, of which nothing is in the processor's cache any more.
  if (tcb.state === TIME_WAIT) {
    context.timeWait.remove(tcb);
    if (error !== null) tcb.receiveBuffer.clear();
  } else {
    settleAccounts(tcb);
    if (error !== null || tcb.receiveClosed) tcb.receiveBuffer.clear();
    else tcb.receiveBuffer.discardAhead();
    tcb.outOfOrder.clear();
  }
  tcb.state = CLOSED;
  tcb.error = error;
  tcb.due &= DUE_RST;
  tcb.duplicateAcksDue = 0;
  context.flows.delete(tcb.index);
  context.awake.remove(tcb.index);
  signal(tcb, CLOSED_EVENT | READABLE | WRITABLE);
}

/** Nothing more is to be sent, and nobody waits for anything: ends the timers, and takes the connection out of all lists. */
function settleAccounts(tcb: Tcb): void {
  const { deadlines, orphans, now } = tcb.context;
  stopSending(tcb);
  tcb.delayedAckAt = NEVER;
  tcb.corkAt = NEVER;
  tcb.keepAliveAt = NEVER;
  tcb.expireInMs = 0;
  tcb.expireAt = NEVER;
  deadlines.set(tcb.index, NEVER);
  noteLimit(tcb, BY_NOTHING, now);
  tcb.undelivered = tcb.sendBuffer.length;
  tcb.sendBuffer.clear();
  tcb.sent.clear();
  orphans.remove(tcb);
  tcb.listen?.remove(tcb);
}

/** Gives the connection up with an error, and tells a peer that may still know it by a reset. */
export function abandon(tcb: Tcb, error: ErrorCode): void {
  if (tcb.state !== SYN_SENT && tcb.state !== TIME_WAIT && tcb.state !== CLOSED) {
    tcb.due |= DUE_RST;
    ready(tcb);
  }
  enterClosed(tcb, error);
}
