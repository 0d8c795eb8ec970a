import { StackError } from "../../errors.ts";
import { growSendBuffer } from "./buffer-tuning.ts";
import { acknowledgeNow, startQuickAcks } from "./delayed-ack.ts";
import { orphan } from "./orphans.ts";
import { lackPages, mayBuffer, noteFirstText, startAsking } from "./pressure.ts";
import {
  CLOSE_WAIT,
  CLOSED,
  type Consumer,
  ESTABLISHED,
  flightSize,
  SYN_SENT,
  type Tcb,
  TIME_WAIT,
} from "./tcb.ts";
import { callConsumer } from "./text.ts";
import { schedule } from "./timers.ts";
import { abandon, enterAfterOurClose, enterClosed, ready } from "./transitions.ts";
import { withinNotSentLimit } from "./tuning.ts";
import { needsWindowUpdate, receiveWindow } from "./window.ts";

/** The user calls of RFC 9293 3.10.2 to 3.10.5: SEND, RECEIVE, CLOSE and ABORT. OPEN is in open.ts. */

/** What `receive` returns behind the last byte. */
export const END_OF_STREAM = -1;

/**
 * RFC 9293 3.10.2, SEND: takes as many bytes as the send buffer has room for and returns how many. When these are not
 * all, a WRITABLE event follows.
 *
 * @throws StackError EPIPE after `shutdown`, else the error that ended the connection
 */
export function send(tcb: Tcb, source: Uint8Array, offset: number, length: number): number {
  if (tcb.finQueued || tcb.state === CLOSED) throw sendError(tcb);
  if (tcb.sendBuffer.length === 0) noteFirstText(tcb);
  const allowed = withinNotSentLimit(tcb, length);
  const most = mayBuffer(tcb) ? allowed : 0;
  let taken = tcb.sendBuffer.append(source, offset, most);
  if (taken < most && growSendBuffer(tcb, flightSize(tcb))) {
    taken += tcb.sendBuffer.append(source, offset + taken, most - taken);
  }
  if (taken < length) {
    tcb.writeBlocked = true;
    // Nothing of ours is under way whose ACK would make room: what is missing is pages of the pool.
    if (taken < allowed && tcb.sendBuffer.length < tcb.sendBuffer.limit) {
      tcb.context.starved.push(tcb.index);
      lackPages(tcb.context);
    }
    if (most === 0 && tcb.sendBuffer.length === 0) startAsking(tcb);
  }
  if (taken > 0) ready(tcb);
  return taken;
}

function sendError(tcb: Tcb): StackError {
  if (tcb.error !== null) return connectionError(tcb);
  if (tcb.finQueued) {
    return new StackError(
      "EPIPE",
      "the connection's writing side is closed: write before shutdown() or close()",
    );
  }
  return new StackError("EPIPE", "the connection is closed: open another one");
}

/** What ended the connection, as an error with the connection's name. */
export function connectionError(tcb: Tcb): StackError {
  const code = tcb.error ?? "ENOTCONN";
  const name = `${tcb.local}:${tcb.localPort} - ${tcb.remote}:${tcb.remotePort}`;
  const lost = tcb.undelivered > 0 ? `; bytes that it has not acknowledged: ${tcb.undelivered}` : "";
  return new StackError(code, `${describe(code)} (${name})${lost}`);
}

function describe(code: string): string {
  switch (code) {
    case "ECONNREFUSED":
      return "connection refused: nobody listens on the peer's port";
    case "ECONNRESET":
      return "connection reset by the peer";
    case "ETIMEDOUT":
      return "connection timed out: the peer does not answer";
    case "EHOSTUNREACH":
      return "no route to the peer's host";
    case "ENETUNREACH":
      return "no route to the peer's network";
    case "EPROTO":
      return "a router finds fault with the packets to the peer";
    case "ECONNABORTED":
      return "connection aborted by this program";
    case "ENOBUFS":
      return "connection given up: memory is short and the peer takes nothing, or more than maxOrphans were closed";
    default:
      return "connection closed";
  }
}

/**
 * RFC 9293 3.10.3, RECEIVE: moves bytes that have arrived in order to `target`, and returns how many: 0 when there are
 * none yet, `END_OF_STREAM` when the peer has closed and everything has been read.
 *
 * @throws StackError the error that ended the connection
 */
export function receive(tcb: Tcb, target: Uint8Array, offset: number, length: number): number {
  const buffer = tcb.receiveBuffer;
  const count = Math.min(length, buffer.length);
  if (count > 0) {
    buffer.copyTo(0, target, offset, count);
    taken(tcb, count);
    return count;
  }
  return buffer.length > 0 ? 0 : nothingToRead(tcb);
}

/** RECEIVE without a copy: shows what has arrived in order to `consumer`, a page or a frame at a time, until it leaves some. */
export function consume(tcb: Tcb, consumer: Consumer): number {
  const buffer = tcb.receiveBuffer;
  if (buffer.length === 0) return nothingToRead(tcb);
  let total = 0;
  while (buffer.length > 0) {
    const length = buffer.firstLength;
    const count = callConsumer(consumer, buffer.memory, buffer.firstAt, length);
    // The consumer may have ended the connection, and with it the buffer.
    if (buffer.length < count) break;
    taken(tcb, count);
    total += count;
    if (count < length) break;
  }
  return total;
}

/** The program has no more use for the first `count` bytes. */
function taken(tcb: Tcb, count: number): void {
  tcb.receiveBuffer.drop(count);
  if (!needsWindowUpdate(tcb)) return;
  // A window that was too small has held the peer up.
  if (receiveWindow(tcb) < tcb.rcvMss) startQuickAcks(tcb);
  acknowledgeNow(tcb);
}

function nothingToRead(tcb: Tcb): number {
  if (tcb.error !== null) throw connectionError(tcb);
  return atEnd(tcb) ? END_OF_STREAM : 0;
}

/** Has everything been read that the peer will ever send? */
export function atEnd(tcb: Tcb): boolean {
  return (tcb.finReceived || tcb.receiveClosed || tcb.state === CLOSED) && tcb.receiveBuffer.length === 0;
}

/** RFC 9293 3.10.4, CLOSE, in its half-close form: a FIN follows what was written; receiving goes on. */
export function shutdown(tcb: Tcb): void {
  if (tcb.finQueued || tcb.state === CLOSED) return;
  tcb.finQueued = true;
  if (tcb.state === ESTABLISHED || tcb.state === CLOSE_WAIT) {
    enterAfterOurClose(tcb);
    ready(tcb);
  }
}

/**
 * RFC 9293 3.10.4, CLOSE, by a program that will not read any more. What was written is still delivered; what was
 * received and not read makes it a reset, so that the peer knows of the loss (RFC 9293 3.6.1).
 */
export function close(tcb: Tcb): void {
  if (tcb.receiveClosed) return;
  tcb.receiveClosed = true;
  if (tcb.state === SYN_SENT) {
    // "Return error: closing responses to any queued SENDs."
    enterClosed(tcb, tcb.sendBuffer.length > 0 ? "ECONNABORTED" : null);
    return;
  }
  const unread = tcb.receiveBuffer.length > 0 || tcb.outOfOrder.count > 0;
  tcb.receiveBuffer.clear();
  tcb.outOfOrder.clear();
  if (unread && tcb.state !== TIME_WAIT && tcb.state !== CLOSED) {
    abandon(tcb, "ECONNABORTED");
    return;
  }
  shutdown(tcb);
  orphan(tcb);
}

/** RFC 9293 3.10.5, ABORT: a reset instead of an orderly end. */
export function abort(tcb: Tcb): void {
  tcb.receiveClosed = true;
  // "CLOSING, LAST-ACK, TIME-WAIT: respond with ok and delete the TCB": both sides have said their last word.
  if (tcb.finSent && tcb.finReceived) enterClosed(tcb, "ECONNABORTED");
  else abandon(tcb, "ECONNABORTED");
  tcb.receiveBuffer.clear();
}

/** RFC 9293 3.8.4: keep-alive; `idleMs` 0 turns it off. */
export function setKeepAlive(tcb: Tcb, idleMs: number, intervalMs: number, probes: number): void {
  tcb.keepAliveIdleMs = idleMs;
  tcb.keepAliveIntervalMs = intervalMs;
  tcb.keepAliveCount = probes;
  tcb.keepAlivesUnanswered = 0;
  tcb.keepAliveAt = Number.POSITIVE_INFINITY;
  if (idleMs > 0 && tcb.state >= ESTABLISHED && tcb.state !== TIME_WAIT) {
    tcb.keepAliveAt = tcb.lastHeardAt + idleMs;
    schedule(tcb);
  }
}
