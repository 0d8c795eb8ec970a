import { StackError } from "../../errors.ts";
import type { TcpSegment } from "../../wire/tcp.ts";
import { FIN, URG } from "../../wire/tcp.ts";
import { READABLE } from "../events.ts";
import { noteText } from "./buffer-tuning.ts";
import { acknowledgeNow, acknowledgeSoon, noteTextAfterSilence, startQuickAcks } from "./delayed-ack.ts";
import { lackPages } from "./pressure.ts";
import { DUPLICATE_THRESHOLD } from "./rack.ts";
import { gapsOf, reportOf } from "./sack.ts";
import { seqAdd, seqDiff } from "./seq.ts";
import { CLOSED, type Consumer, mayReceive, type Tcb, TIME_WAIT } from "./tcb.ts";
import { schedule } from "./timers.ts";
import { abandon, enterTimeWait, onPeerFin, ready, signal } from "./transitions.ts";

/**
 * RFC 9293 3.10.7.4, sixth to eighth: the URG bit, the segment text and the FIN bit. The segment has been trimmed to
 * the receive window.
 */
export function processTextAndFin(tcb: Tcb, seg: TcpSegment, bytes: Uint8Array, now: number): void {
  // Sixth. The urgent pointer is not acted on: urgent text is delivered in line, as RFC 6093 5 recommends.
  if (seg.flags & URG) tcb.context.stats.tcpUrgentIgnored++;
  // Seventh.
  if (seg.payloadLength > 0 && mayReceive(tcb)) {
    if (tcb.receiveClosed) {
      // RFC 9293 3.6.1: the program will never read this; the peer is told that it is lost.
      abandon(tcb, "ECONNABORTED");
      return;
    }
    receiveText(tcb, seg, bytes, now);
  }
  // Eighth.
  if (seg.flags & FIN) receiveFin(tcb, seqAdd(seg.seq, seg.payloadLength), now);
}

/** Seventh, the segment text. */
export function receiveText(tcb: Tcb, seg: TcpSegment, bytes: Uint8Array, now: number): void {
  const { stats } = tcb.context;
  const { receiveBuffer } = tcb;
  const distance = seqDiff(seg.seq, tcb.rcvNxt);
  const outOfOrder = distance > 0 ? gapsOf(tcb) : tcb.outOfOrder;
  if (distance > 0) {
    stats.tcpOutOfOrder++;
    // RFC 5681 4.2: the peer learns of the gap by a duplicate ACK for each segment behind it, not delayed. A
    // super-segment was several; what exceeds the number that tells the peer of a loss would tell it nothing more.
    const segments = seg.segmentSize === 0 ? 1 : Math.ceil(seg.payloadLength / seg.segmentSize);
    tcb.duplicateAcksDue += Math.min(segments, DUPLICATE_THRESHOLD);
    ready(tcb);
    const { pool } = tcb.context;
    if (!outOfOrder.hasRoomFor(distance, distance + seg.payloadLength) || pool.freePages <= pool.reserve) {
      stats.tcpNoBuffer++;
      return;
    }
  }
  const position = receiveBuffer.length + distance;
  const shown = position === 0 && outOfOrder.count === 0 ? show(tcb, seg, bytes) : 0;
  if (shown !== -1) keepText(tcb, seg, bytes, now, distance, shown);
}

/**
 * The same for text behind other text of the same poll, to which nothing is to be said but that it has arrived: no gap and no
 * FIN is known.
 */
export function receiveMoreText(tcb: Tcb, seg: TcpSegment, bytes: Uint8Array, now: number): void {
  const shown = tcb.receiveBuffer.length === 0 ? show(tcb, seg, bytes) : 0;
  if (shown === -1) return;
  if (shown < seg.payloadLength) {
    keepText(tcb, seg, bytes, now, 0, shown);
    return;
  }
  takeStored(tcb, shown, seg.tsEcr, now, shown);
  acknowledgeSoon(tcb, shown, now);
}

/** Stores what the program has not taken, which begins `distance` behind RCV.NXT, and notes what has arrived. */
function keepText(
  tcb: Tcb,
  seg: TcpSegment,
  bytes: Uint8Array,
  now: number,
  distance: number,
  shown: number,
): void {
  const { stats } = tcb.context;
  const { outOfOrder, receiveBuffer } = tcb;
  const position = receiveBuffer.length + distance;
  const at = seg.payloadOffset + shown;
  const rest = seg.payloadLength - shown;
  let stored = shown;
  if (rest > 0) stored += receiveBuffer.lend(position, bytes, at, rest);
  if (stored < seg.payloadLength && distance === 0 && outOfOrder.count > 0) {
    // The pool is empty, and what fills the gap must not wait for pages that only it can free: the text behind the gap
    // is given up. The peer sends again what was not acknowledged.
    outOfOrder.clear();
    receiveBuffer.discardAhead();
    stats.tcpNoBuffer++;
    acknowledgeNow(tcb);
    stored = receiveBuffer.store(position, bytes, seg.payloadOffset, seg.payloadLength);
  }
  if (stored < seg.payloadLength) {
    // The pool is empty. The peer sends again what is not acknowledged.
    stats.tcpNoBuffer++;
    lackPages(tcb.context);
    seg.payloadLength = stored;
    seg.flags &= ~FIN;
    acknowledgeNow(tcb);
    if (stored === 0) return;
  }
  if (distance > 0) {
    noteOutOfOrder(tcb, seg.seq, distance, stored);
    return;
  }
  let advance = stored;
  noteTextAfterSilence(tcb, now);
  tcb.lastTextAt = now;
  if (outOfOrder.count > 0) {
    noteKnown(tcb, seg.seq, 0, stored);
    advance = outOfOrder.takeFrom(stored);
    outOfOrder.shift(advance);
    // RFC 5681 4.2: text that fills a gap, wholly or in part, is acknowledged at once.
    acknowledgeNow(tcb);
    startQuickAcks(tcb);
  }
  if (tcb.duplicateAcksDue > 0) {
    // RFC 9293 MUST-59: what was to say "there is a gap here" would now come behind the ACK that moves on from it.
    tcb.duplicateAcksDue = 0;
    acknowledgeNow(tcb);
  }
  takeStored(tcb, advance, seg.tsEcr, now, shown);
  if (advance > shown) signal(tcb, READABLE);
  acknowledgeSoon(tcb, stored, now);
  if (tcb.finPending && tcb.finSeq === tcb.rcvNxt) receiveFin(tcb, tcb.finSeq, now);
}

/** The next `length` bytes are there, in the receive buffer but for the first `shown`, and no gap is before them. */
export function takeStored(tcb: Tcb, length: number, tsEcr: number, now: number, shown = 0): void {
  tcb.receiveBuffer.advance(length - shown);
  tcb.rcvNxt = seqAdd(tcb.rcvNxt, length);
  tcb.bytesReceived += length;
  noteText(tcb, tsEcr, now);
}

/** Text ahead of a gap, which the next ACKs tell the peer of. */
function noteOutOfOrder(tcb: Tcb, seq: number, distance: number, length: number): void {
  const { outOfOrder } = tcb;
  noteKnown(tcb, seq, distance, length);
  if (outOfOrder.count === 0) tcb.context.pressure.gapped.push(tcb.index);
  outOfOrder.add(distance, distance + length);
  reportOf(tcb).note(seq);
}

/** RFC 2883 4.2: what of the text at `distance` from RCV.NXT was there before; of several pieces, the first. */
function noteKnown(tcb: Tcb, seq: number, distance: number, length: number): void {
  const { outOfOrder } = tcb;
  const known = outOfOrder.firstBeyond(distance);
  if (known === outOfOrder.count) return;
  const from = Math.max(outOfOrder.start(known), distance);
  const to = Math.min(outOfOrder.end(known), distance + length);
  if (from < to) reportOf(tcb).noteDuplicate(seqAdd(seq, from - distance), to - from);
}

/**
 * Lets the program's consumer have the next text before it is buffered. Returns how many bytes it took, or -1 where it has
 * ended the connection, or will not read the rest.
 */
function show(tcb: Tcb, seg: TcpSegment, bytes: Uint8Array): number {
  const { consumer } = tcb;
  if (consumer === null) return 0;
  const count = callConsumer(consumer, bytes, seg.payloadOffset, seg.payloadLength);
  // RFC 9293 3.6.1: the peer is told of text that nobody will read.
  if (tcb.receiveClosed && count < seg.payloadLength) abandon(tcb, "ECONNABORTED");
  if (tcb.state !== CLOSED) return count;
  seg.flags &= ~FIN;
  return -1;
}

/** @throws StackError EINVAL */
export function callConsumer(consumer: Consumer, bytes: Uint8Array, offset: number, length: number): number {
  const count = consumer(bytes, offset, length);
  if (count >= 0 && count <= length) return count;
  throw new StackError("EINVAL", `the consumer took ${count} of ${length} bytes: return 0 to ${length}`);
}

function receiveFin(tcb: Tcb, finSeq: number, now: number): void {
  if (tcb.finReceived) {
    // Beyond the first FIN there is nothing; in TIME-WAIT its retransmission restarts the timeout.
    acknowledgeNow(tcb);
    if (tcb.state === TIME_WAIT) {
      enterTimeWait(tcb, now);
      schedule(tcb);
    }
    return;
  }
  if (seqDiff(finSeq, tcb.rcvNxt) > 0) {
    // Behind a gap: remembered, and reached when the gap is filled. The peer learns of the gap at once (RFC 5681 4.2).
    tcb.finPending = true;
    tcb.finSeq = finSeq;
    acknowledgeNow(tcb);
    return;
  }
  tcb.finPending = false;
  if (tcb.outOfOrder.count > 0) {
    // Behind the FIN there is nothing: what claims to be there need not be kept.
    tcb.outOfOrder.clear();
    tcb.receiveBuffer.discardAhead();
  }
  tcb.rcvNxt = seqAdd(tcb.rcvNxt, 1);
  acknowledgeNow(tcb);
  onPeerFin(tcb, now);
  schedule(tcb);
}
