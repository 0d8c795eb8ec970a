import { MOST_SACK_BLOCKS, type TcpSegment } from "../../wire/tcp.ts";
import { noteDelivery, noteSending } from "./delivery-rate.ts";
import { noteOriginalDelivered } from "./frto.ts";
import { onSegmentDelivered } from "./rack.ts";
import { seqAdd, seqDiff, seqGeq, seqGt, seqLeq, seqLt } from "./seq.ts";
import { flightSize, type Tcb } from "./tcb.ts";
import { IN_FLIGHT, NONE, SACKED } from "./transmissions.ts";
import { onDuplicateReport } from "./undo.ts";

/**
 * What the peer has of what was sent: the scoreboard of RFC 6675 3 and 4. An ACK costs what it newly tells, whatever is
 * under way: what was sent together is one record, and so is what was SACKed side by side.
 */

/** Records that a flight of segments shorter than the MSS may have, at least. */
const CUTS_FOR_SURE = 64;

/** Notes `length` sequence numbers from SND.NXT on as sent; `false` where there is no record to note them in. */
export function noteSent(tcb: Tcb, length: number, now: number): boolean {
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  const { tail } = sent;
  const continues = tail !== NONE && tail === sent.youngest;
  if (continues && transmissions.sentAt[tail] === now && transmissions.resent[tail] === 0) {
    sent.extend(tail, length);
    transmissions.pipe[tail] = sent.pipe;
    return true;
  }
  const record = sent.append(tcb.sndNxt, length);
  if (record !== NONE) {
    noteSending(tcb, record, now);
    return true;
  }
  if (!continues) return false;
  // Now nobody knows when a part of it was sent: it is not measured by.
  sent.extend(tail, length);
  transmissions.sentAt[tail] = now;
  transmissions.resent[tail] = 1;
  return true;
}

/** Notes that the first `length` sequence numbers of the lowest lost record are sent again. */
export function noteResent(tcb: Tcb, length: number, now: number): void {
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  const record = sent.lowestLost;
  if (length < transmissions.length(record)) {
    const end = seqAdd(transmissions.seq[record], length);
    if (sent.split(record, end) === NONE && !makeDo(tcb, record, end)) {
      noteAgain(tcb, transmissions.prev[record], now);
      return;
    }
  }
  sent.markInFlight(record);
  noteAgain(tcb, record, now);
  const before = transmissions.prev[record];
  if (before === NONE || before !== transmissions.earlier[record]) return;
  if (transmissions.resent[before] === 1 && transmissions.sentAt[before] === now) sent.merge(before, record);
}

function noteAgain(tcb: Tcb, record: number, now: number): void {
  tcb.context.transmissions.resent[record] = 1;
  noteSending(tcb, record, now);
}

/**
 * There is no record for what of a lost one, behind `end`, is not sent again yet. Lost records that touch make do with one;
 * or what is sent joins the record before. Returns whether `record` is what is sent, and not the one before it. Where neither
 * is possible, all of it counts as sent: what is not comes up as lost once more.
 */
function makeDo(tcb: Tcb, record: number, end: number): boolean {
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  tcb.context.stats.tcpNoRecord++;
  sent.mergeLost();
  if (sent.split(record, end) !== NONE) return true;
  const before = transmissions.prev[record];
  if (before === NONE || transmissions.fate[before] !== IN_FLIGHT) return true;
  sent.giveToPrevious(record, seqDiff(end, transmissions.seq[record]));
  return false;
}

/** Notes that the last `length` sequence numbers before SND.NXT, which are in flight, are sent once more. */
export function noteTailResent(tcb: Tcb, length: number, now: number): void {
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  let { tail } = sent;
  if (length < transmissions.length(tail)) {
    const cut = sent.split(tail, seqAdd(transmissions.end[tail], -length));
    if (cut !== NONE) tail = cut;
  }
  sent.markInFlight(tail);
  noteAgain(tcb, tail, now);
}

/** SND.UNA moves on to `ack`. */
export function acknowledge(tcb: Tcb, ack: number, now: number): void {
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  let head = sent.head;
  while (head !== NONE && seqLeq(transmissions.end[head], ack)) {
    if (transmissions.fate[head] !== SACKED) deliver(tcb, head, transmissions.end[head], now);
    sent.removeHead();
    head = sent.head;
  }
  if (head === NONE || !seqLt(transmissions.seq[head], ack)) return;
  if (transmissions.fate[head] !== SACKED) deliver(tcb, head, ack, now);
  sent.trim(head, ack);
}

/** RFC 2018 5, RFC 6675 4 (Update): takes in the blocks of an ACK, whose acknowledgment number has been taken in. */
export function takeSackBlocks(tcb: Tcb, seg: TcpSegment, now: number): void {
  const { sackEdges, sackCount } = seg;
  const { loss } = tcb;
  let first = 0;
  if (isDuplicateReport(tcb, seg)) {
    onDuplicateReport(tcb, sackEdges[0], sackEdges[1]);
    first = 1;
  }
  loss.knownBlocks ??= new Int32Array(2 * MOST_SACK_BLOCKS);
  // From the lowest on: what is delivered below what was delivered before was overtaken, and blocks come in any order.
  let done = 0;
  let isAll = true;
  for (let i = first; i < sackCount; i++) {
    let lowest = -1;
    for (let j = first; j < sackCount; j++) {
      if (done & (1 << j)) continue;
      if (lowest === -1 || seqLt(sackEdges[2 * j], sackEdges[2 * lowest])) lowest = j;
    }
    done |= 1 << lowest;
    const from = sackEdges[2 * lowest];
    const to = sackEdges[2 * lowest + 1];
    // What was never sent, or has been acknowledged, is no news; a block that wraps is nonsense.
    if (!seqLt(from, to) || seqLt(from, tcb.sndUna) || seqGt(to, tcb.sndNxt)) continue;
    if (!isKnown(tcb, from, to) && !sackRange(tcb, from, to, now)) isAll = false;
  }
  // What was left out is news when it comes again.
  loss.knownCount = isAll ? sackCount - first : 0;
  for (let i = 0; i < 2 * loss.knownCount; i++) loss.knownBlocks[i] = sackEdges[2 * first + i];
}

/** RFC 2883 4: the first block is below the acknowledgment number, or within the second one. */
function isDuplicateReport(tcb: Tcb, seg: TcpSegment): boolean {
  const { sackEdges } = seg;
  if (!seqLt(sackEdges[0], sackEdges[1])) return false;
  if (seqLt(sackEdges[0], seg.ack)) return seqLeq(sackEdges[1], seg.ack) && seqLeq(seg.ack, tcb.sndNxt);
  return seg.sackCount > 1 && seqGeq(sackEdges[0], sackEdges[2]) && seqLeq(sackEdges[1], sackEdges[3]);
}

/** The last ACK had the same block: receivers repeat their blocks (RFC 2018 4). */
function isKnown(tcb: Tcb, from: number, to: number): boolean {
  const { knownBlocks, knownCount } = tcb.loss;
  if (knownBlocks === null) return false;
  for (let i = 0; i < knownCount; i++) {
    if (knownBlocks[2 * i] === from && knownBlocks[2 * i + 1] === to) return true;
  }
  return false;
}

/**
 * May records be cut where a block begins or ends? There are few more of them than segments, lest a peer that SACKs every
 * second byte take those of others.
 */
function mayCut(tcb: Tcb): boolean {
  return tcb.sent.count < CUTS_FOR_SURE + (2 * flightSize(tcb)) / tcb.mss;
}

/**
 * [from, to) lies in the flight. Where there are no more records, a record that it cuts is left out. Returns whether all of
 * it is SACKed now.
 */
function sackRange(tcb: Tcb, from: number, to: number, now: number): boolean {
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  let record = sent.find(from);
  let isAll = record !== NONE;
  while (record !== NONE && seqLt(transmissions.seq[record], to)) {
    const next = transmissions.next[record];
    if (transmissions.fate[record] === SACKED) {
      record = next;
      continue;
    }
    if (seqLt(transmissions.seq[record], from)) {
      const behind = mayCut(tcb) ? sent.split(record, from) : NONE;
      if (behind === NONE) isAll = false;
      record = behind === NONE ? next : behind;
      continue;
    }
    if (seqGt(transmissions.end[record], to) && (!mayCut(tcb) || sent.split(record, to) === NONE))
      return false;
    deliver(tcb, record, transmissions.end[record], now);
    record = transmissions.next[sent.markSacked(record)];
  }
  return isAll;
}

/** The peer has a record's text up to `end`: so we learn now. */
function deliver(tcb: Tcb, record: number, end: number, now: number): void {
  const { ack, transmissions } = tcb.context;
  const length = seqDiff(end, transmissions.seq[record]);
  tcb.delivered += length;
  ack.delivered += length;
  noteDelivery(tcb, record, end, now);
  noteOriginalDelivered(tcb, record, end);
  onSegmentDelivered(tcb, record, end, now);
}

/** RFC 2018 8: the peer may forget what it has SACKed. All of the flight that is not under way counts as lost. */
export function forgetSacked(tcb: Tcb): void {
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  for (let record = sent.head; record !== NONE; record = transmissions.next[record]) {
    if (transmissions.fate[record] === SACKED) sent.markLost(record);
  }
}

/** RFC 5681 3.1, RFC 6675 5.1: all that is in flight counts as lost. */
export function loseFlight(tcb: Tcb): void {
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  tcb.lost += sent.pipe;
  // In the order of sequence numbers, in which the list of the lost is.
  for (let record = sent.head; record !== NONE; record = transmissions.next[record]) {
    if (transmissions.fate[record] === IN_FLIGHT) sent.markLost(record);
  }
}

/**
 * What was sent in packets that were too large is to be sent again: of what is in flight from `from` up to `to`, all that was
 * not in segments of `most` bytes for sure. It is no loss by congestion, and is not counted as one. Returns how much that is.
 */
export function loseOversized(tcb: Tcb, from: number, most: number, to = tcb.sndNxt): number {
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  let bytes = 0;
  for (let record = sent.head; record !== NONE; record = transmissions.next[record]) {
    if (transmissions.fate[record] !== IN_FLIGHT || transmissions.length(record) <= most) continue;
    if (!seqLt(from, transmissions.end[record]) || !seqLt(transmissions.seq[record], to)) continue;
    if (seqLt(transmissions.seq[record], from)) {
      // What comes before has gone through. Where there is no record for it, it is sent again as well.
      const behind = sent.split(record, from);
      if (behind !== NONE) continue;
    }
    if (seqLt(to, transmissions.end[record])) sent.split(record, to);
    bytes += transmissions.length(record);
    sent.markLost(record);
  }
  return bytes;
}

/** The first `length` bytes of the flight are lost, where the peer says no more than that it waits for them. */
export function loseFirst(tcb: Tcb, length: number): void {
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  const { head } = sent;
  if (head === NONE || transmissions.fate[head] !== IN_FLIGHT) return;
  if (transmissions.length(head) > length) sent.split(head, seqAdd(transmissions.seq[head], length));
  tcb.lost += transmissions.length(head);
  sent.markLost(head);
}

/** What was found lost, and has not been sent again, is under way after all. */
export function regainLost(tcb: Tcb): void {
  const { sent } = tcb;
  const { transmissions } = tcb.context;
  let record = sent.highestLost;
  let higher = NONE;
  while (record !== NONE) {
    const lower = transmissions.earlier[record];
    tcb.lost = Math.max(tcb.lost - transmissions.length(record), 0);
    sent.markUnderWayAgain(record, higher);
    higher = record;
    record = lower;
  }
}

/** Does the peer say that it has SACKed what it waits for? Then it has forgotten it (RFC 2018 8). */
export function isReneging(tcb: Tcb): boolean {
  const { head } = tcb.sent;
  return head !== NONE && tcb.context.transmissions.fate[head] === SACKED;
}
