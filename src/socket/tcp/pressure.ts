import { PAGE_SIZE } from "../../storage/buffer-pool.ts";
import { NEVER } from "../../storage/deadline-heap.ts";
import { ReadyQueue } from "../../storage/ready-queue.ts";
import type { SocketContext } from "../context.ts";
import { WRITABLE } from "../events.ts";
import { CLOSED, DUE_KEEP_ALIVE, isSynchronized, Tcb } from "./tcb.ts";
import { abandon, ready, signal } from "./transitions.ts";

/**
 * What peers may make a stack keep: they can leave what was written to them where it is, by a window that is shut or tiny or
 * by saying nothing, and they can send text ahead of gaps that they never fill. RFC 9293 3.8.6.1 lets a window be shut for
 * ever, and that holds as long as there is memory for it. When there is not, it is taken back from who has made no use of it.
 */

/** A window of less is as good as shut: RFC 9293 3.7.1's default MSS, below which text is mostly headers. */
const SMALL_WINDOW = 536;
/** While pages are missing and none could be taken back, so long, in ms, until the next look. */
const LOOK_AGAIN_MS = 1_000;

/** Who holds pages that might be taken back. */
export class Pressure {
  /** Connections that have, or had, text that is not acknowledged; and those with text ahead of a gap. */
  readonly writers: ReadyQueue;
  readonly gapped: ReadyQueue;
  /** When pages are to be taken back, in ms. */
  relieveAt = NEVER;

  constructor(maxSockets: number) {
    this.writers = new ReadyQueue(maxSockets);
    this.gapped = new ReadyQueue(maxSockets);
  }
}

/** Somebody has not got a page that is needed. */
export function lackPages(context: SocketContext): void {
  if (context.pressure.relieveAt === NEVER) context.pressure.relieveAt = context.now;
}

/** May the program write? While half of the pool is in use, a peer that takes nothing gets nothing more put by. */
export function mayBuffer(tcb: Tcb): boolean {
  const { pool } = tcb.context;
  return pool.freePages > pool.pageCount >> 1 || !isShut(tcb);
}

/** Is the peer's window shut, or so small that it might as well be? */
export function isShut(tcb: Tcb): boolean {
  return tcb.sndWnd < SMALL_WINDOW && tcb.sndWnd < tcb.mss && isSynchronized(tcb);
}

/**
 * The program may not write before the window opens, and the segment that opens it may get lost. Nothing is buffered that a
 * window probe (RFC 9293 3.8.6.1) could be made of: a segment without text asks, as keep-alive's does.
 */
export function startAsking(tcb: Tcb): void {
  if (tcb.persistAt !== NEVER) return;
  askLater(tcb, tcb.context.now);
}

/** The persist timer has expired, and there is no text: asks for the window, where that is still to know. */
export function askForWindow(tcb: Tcb, now: number): void {
  if (!tcb.writeBlocked || !isShut(tcb)) return;
  tcb.probeBackoff++;
  tcb.due |= DUE_KEEP_ALIVE;
  ready(tcb);
  askLater(tcb, now);
}

function askLater(tcb: Tcb, now: number): void {
  const { maxRtoMs } = tcb.context.tcp;
  tcb.persistAt = now + Math.min(tcb.rto * 2 ** Math.min(tcb.probeBackoff, 16), maxRtoMs);
  if (tcb.persistAt < tcb.context.deadlines.deadlineOf(tcb.index)) {
    tcb.context.deadlines.set(tcb.index, tcb.persistAt);
  }
}

/** The window is open again, for what the program could not write. */
export function stopAsking(tcb: Tcb): void {
  tcb.writeBlocked = false;
  if (tcb.sendBuffer.length === 0) {
    tcb.persistAt = NEVER;
    tcb.probeBackoff = 0;
  }
  signal(tcb, WRITABLE);
}

/** The program has written, and nothing was left of what it had written before. */
export function noteFirstText(tcb: Tcb): void {
  noteProgress(tcb, tcb.context.now);
  tcb.context.pressure.writers.push(tcb.index);
}

/** The peer has acknowledged text: a page's worth is progress, and so is the last of it; a byte now and then is not. */
export function noteTextTaken(tcb: Tcb, now: number): void {
  if (tcb.sendBuffer.length === 0 || tcb.bytesSent - tcb.progressBytes >= PAGE_SIZE) noteProgress(tcb, now);
}

function noteProgress(tcb: Tcb, now: number): void {
  tcb.progressAt = now;
  tcb.progressBytes = tcb.bytesSent;
}

/** Has the peer left text that it could have taken for so long, in ms? */
function isStalledFor(tcb: Tcb, ms: number, now: number): boolean {
  return tcb.sendBuffer.length > 0 && now - tcb.progressAt >= ms;
}

/** Ends a connection that has made no progress for `stallTimeoutMs`; returns whether it has. */
export function endIfStalled(tcb: Tcb, now: number): boolean {
  const { stallTimeoutMs } = tcb.context.tcp;
  if (stallTimeoutMs === 0 || !isStalledFor(tcb, stallTimeoutMs, now)) return false;
  tcb.context.stats.tcpStalledDropped++;
  abandon(tcb, "ETIMEDOUT");
  return true;
}

/**
 * Takes pages back until half of the pool is free: first from text ahead of gaps, which its peers send again (RFC 2018 8),
 * then by ending connections that have made no progress for `stallUnderPressureMs`, where others wait for what they hold.
 *
 * @param sockets by number
 */
export function relieve(context: SocketContext, sockets: { get(index: number): unknown }, now: number): void {
  const { pressure, pool, starved } = context;
  pressure.relieveAt = NEVER;
  const enough = pool.pageCount >> 1;
  for (let count = pressure.gapped.size; count > 0 && pool.freePages < enough; count--) {
    const tcb = sockets.get(pressure.gapped.shift());
    if (tcb instanceof Tcb && tcb.outOfOrder.count > 0) discardOutOfOrder(tcb);
  }
  for (let count = pressure.writers.size; count > 0 && pool.freePages < enough; count--) {
    const index = pressure.writers.shift();
    const tcb = sockets.get(index);
    if (!(tcb instanceof Tcb) || tcb.state === CLOSED || tcb.sendBuffer.length === 0) continue;
    if (isStalledFor(tcb, context.tcp.stallUnderPressureMs, now) && starved.hasOther(index)) {
      context.stats.tcpStalledDropped++;
      abandon(tcb, "ENOBUFS");
    } else {
      pressure.writers.push(index);
    }
  }
  if (pool.freePages <= pool.reserve && starved.size > 0) pressure.relieveAt = now + LOOK_AGAIN_MS;
}

function discardOutOfOrder(tcb: Tcb): void {
  tcb.context.stats.tcpOutOfOrderDiscarded++;
  tcb.outOfOrder.clear();
  tcb.receiveBuffer.discardAhead();
}
