import { PAGE_SIZE } from "../../storage/buffer-pool.ts";
import { seqAdd, seqDiff, seqMax } from "./seq.ts";
import { mayReceive, type Tcb } from "./tcb.ts";

/** The receive window: RFC 9293 3.8.6, RFC 7323 2. */

/** The most that a window field can say, in units of the scale. */
export const LARGEST_FIELD = 0xffff;
const LARGEST_SHIFT = 14;
/** The largest window that the field can name: 65,535 units of 2^14 bytes, and a buffer of one unit more. */
export const LARGEST_BUFFER = 2 ** 30;
/** Of the scale, in a receive buffer. */
export const FEWEST_UNITS = 4;

/** The smallest shift with which a window field can name `bytes` (RFC 7323 2.3). */
export function windowShiftFor(bytes: number): number {
  const units = Math.ceil(bytes / LARGEST_FIELD);
  return units <= 1 ? 0 : Math.min(32 - Math.clz32(units - 1), LARGEST_SHIFT);
}

/**
 * The shift that we offer: that of the largest window there may be. Where the program has chosen a buffer that is only a few
 * units of it, a smaller one: nothing would be left of the first window.
 */
export function ourWindowShift(tcb: Tcb): number {
  const { receiveBuffer } = tcb.tuning;
  const { wideWindowScale, maxReceiveBuffer } = tcb.context.tcp;
  const isFixed = receiveBuffer > 0 && !wideWindowScale;
  let shift = windowShiftFor(isFixed ? receiveBuffer : Math.max(maxReceiveBuffer, receiveBuffer));
  while (receiveBuffer > 0 && shift > 0 && FEWEST_UNITS << shift > receiveBuffer) shift--;
  return shift;
}

/** RCV.WND: what the peer may still send (RFC 9293 3.3.1). A FIN is taken even when it is 0, and then lies beyond it. */
export function receiveWindow(tcb: Tcb): number {
  return Math.max(seqDiff(tcb.rcvAdv, tcb.rcvNxt), 0);
}

/**
 * The window field of a segment about to be sent; moves the right edge that the peer is told.
 *
 * The field counts units of 2^shift bytes and is rounded up: rounding down would move the right edge back as RCV.NXT
 * moves on by other amounts. Where the rounding would reach beyond the buffer it is rounded down after all: the edge
 * told moves back by less than a unit, and the largest one ever told is honoured (RFC 7323 2.4).
 */
export function takeWindowField(tcb: Tcb, shift: number): number {
  const current = receiveWindow(tcb);
  const wanted = offerable(tcb);
  // Small steps are for data: the SYN, whose window has no scale, may have told too little, and a FIN takes no room. A window
  // that is shut stays so.
  const isFree = current > 0 && (tcb.bytesReceived === 0 || tcb.finReceived);
  const window = wanted - current >= smallestStep(tcb) || (isFree && wanted > current) ? wanted : current;
  let field = Math.min((window + (1 << shift) - 1) >> shift, LARGEST_FIELD);
  const room = tcb.receiveBuffer.limit - tcb.receiveBuffer.length;
  if (field << shift > room) field = window >> shift;
  tcb.rcvAdv = seqMax(tcb.rcvAdv, seqAdd(tcb.rcvNxt, field << shift));
  return field;
}

/**
 * Is the window worth a segment of its own, now that the program has read, or the pool has pages again? At once where
 * the peer may be waiting for it; else not before a good part of the buffer has become free, since every update costs
 * the peer work.
 */
export function needsWindowUpdate(tcb: Tcb): boolean {
  if (!mayReceive(tcb)) return false;
  const current = receiveWindow(tcb);
  const gain = offerable(tcb) - current;
  if (gain < smallestStep(tcb)) return false;
  return current < tcb.rcvMss || gain >= largestWindow(tcb) >> 2;
}

/** RFC 9293 3.8.6.2.2: the right edge moves by at least this much, or not at all. */
function smallestStep(tcb: Tcb): number {
  return Math.min(largestWindow(tcb) >> 1, tcb.rcvMss);
}

/** What the buffer has room for, or, without a window scale, the field. */
function largestWindow(tcb: Tcb): number {
  const roundedUp = (1 << tcb.rcvWindShift) - 1;
  return Math.min(tcb.receiveBuffer.limit - roundedUp, LARGEST_FIELD << tcb.rcvWindShift);
}

function offerable(tcb: Tcb): number {
  // Without a window scale the buffer may be larger than any window that can be offered.
  const room = tcb.receiveBuffer.limit - ((1 << tcb.rcvWindShift) - 1) - tcb.receiveBuffer.length;
  const free = Math.min(room, largestWindow(tcb));
  const share = poolShare(tcb);
  if (share >= free) return Math.max(free, 0);
  // Where the window is as large as that of a new connection, the next ACK is early enough to say that it may be larger.
  if (share < tcb.context.tcp.receiveBuffer) tcb.context.starved.push(tcb.index);
  // But as long as there is a page, a window that is worth opening: two ends whose text waits for each other's windows, in the
  // rest of their pools, would wait for ever. What comes and finds the page taken is sent again.
  const least = tcb.context.pool.freePages > 0 ? Math.min(free, smallestStep(tcb)) : 0;
  return Math.max(share, least);
}

/**
 * The part of the pool that one connection may be offered: a quarter of what is left, so that nobody has it all when it
 * runs low; and half of a pool of which little is used, for a path that needs it.
 */
export function poolShare(tcb: Tcb): number {
  const { freePages, pageCount } = tcb.context.pool;
  return Math.max(freePages / 4, freePages - pageCount / 2) * PAGE_SIZE;
}
