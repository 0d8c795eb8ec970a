import { IntervalSet, NO_INTERVALS } from "../../storage/interval-set.ts";
import { MAX_OPTIONS_LENGTH, MOST_SACK_BLOCKS, type TcpSegment, TIMESTAMPS_LENGTH } from "../../wire/tcp.ts";
import { seqAdd, seqDiff } from "./seq.ts";
import type { Tcb } from "./tcb.ts";

/** The receiver's side of SACK: RFC 2018 3 and 4, and RFC 2883 (D-SACK). */

/** A block is two sequence numbers; the option has kind, length and two bytes of padding. */
const BLOCK_LENGTH = 8;
const OPTION_LENGTH = 4;
/** Most connections never report anything. */
const NOTHING_RECENT = new Int32Array(0);

/**
 * What the peer is to be told of in the next ACKs, beside what IntervalSet knows: where text arrived lately, the last
 * first, and what arrived twice.
 */
export class SackReport {
  /** Sequence numbers in the blocks that were reported, or changed, last. */
  recent = NOTHING_RECENT;
  count = 0;
  /** What arrived twice, [from, to), while `duplicate`. */
  duplicate = false;
  duplicateFrom = 0;
  duplicateTo = 0;

  /** RFC 2018 4: the block that the segment just received belongs to comes first. */
  note(seq: number): void {
    if (this.recent === NOTHING_RECENT) this.recent = new Int32Array(MOST_SACK_BLOCKS);
    this.recent.copyWithin(1, 0, MOST_SACK_BLOCKS - 1);
    this.recent[0] = seq;
    if (this.count < MOST_SACK_BLOCKS) this.count++;
  }

  /** RFC 2883 4: reported once. */
  noteDuplicate(seq: number, length: number): void {
    this.duplicate = true;
    this.duplicateFrom = seq;
    this.duplicateTo = seqAdd(seq, length);
  }
}

/** What connections have that have never had anything to report. */
export const NOTHING_TO_REPORT = new SackReport();

/** The connection's own report: most never need one. */
export function reportOf(tcb: Tcb): SackReport {
  if (tcb.sackReport === NOTHING_TO_REPORT) tcb.sackReport = new SackReport();
  return tcb.sackReport;
}

/** The connection's own set of what arrived ahead of a gap: most never have one. */
export function gapsOf(tcb: Tcb): IntervalSet {
  if (tcb.outOfOrder === NO_INTERVALS) {
    tcb.outOfOrder = new IntervalSet(tcb.context.tcp.outOfOrderRanges);
  }
  return tcb.outOfOrder;
}

/** Text that fits into the next segment: Eff.snd.MSS without the blocks it carries, which take half of it at most. */
export function textRoom(tcb: Tcb): number {
  const { count } = tcb.outOfOrder;
  if (!tcb.sack || count === 0) return tcb.mss;
  const blocks = Math.min(count, mostBlocks(tcb, tcb.mss >> 1));
  return blocks > 0 ? tcb.mss - OPTION_LENGTH - BLOCK_LENGTH * blocks : tcb.mss;
}

/** Blocks for which there is place among the other options and in `room` bytes. */
function mostBlocks(tcb: Tcb, room: number): number {
  const place = Math.min(MAX_OPTIONS_LENGTH - (tcb.timestamps ? TIMESTAMPS_LENGTH : 0), room);
  return Math.min(Math.floor((place - OPTION_LENGTH) / BLOCK_LENGTH), MOST_SACK_BLOCKS);
}

/**
 * Puts the blocks into `seg`: what arrived twice, if that is to be reported (only in a segment without text, which has
 * room for it), then those that text arrived in lately, then others.
 */
export function writeSack(tcb: Tcb, seg: TcpSegment, isBare: boolean): void {
  const { outOfOrder, sackReport } = tcb;
  // Where there is no text, the options may have its room, and no more: the MTU may be small.
  const most = mostBlocks(tcb, isBare ? tcb.mss : tcb.mss >> 1);
  if (isBare && most > 1 && sackReport.duplicate) {
    put(seg, sackReport.duplicateFrom, sackReport.duplicateTo);
    sackReport.duplicate = false;
    // RFC 2883 4 (3): where that is part of a larger block, the block comes next, and it may be any of the ranges.
    const range = outOfOrder.find(seqDiff(sackReport.duplicateFrom, tcb.rcvNxt));
    if (range !== -1) putRange(tcb, seg, range, true);
  }
  for (let i = 0; i < sackReport.count && seg.sackCount < most; i++) {
    const range = outOfOrder.find(seqDiff(sackReport.recent[i], tcb.rcvNxt));
    if (range !== -1) putRange(tcb, seg, range);
  }
  for (let range = 0; range < outOfOrder.count && seg.sackCount < most; range++) putRange(tcb, seg, range);
  if (outOfOrder.count === 0) sackReport.count = 0;
}

/** Puts a range in unless it is there already; what arrived twice may well be a whole range. */
function putRange(tcb: Tcb, seg: TcpSegment, range: number, again = false): void {
  const from = seqAdd(tcb.rcvNxt, tcb.outOfOrder.start(range));
  const to = seqAdd(tcb.rcvNxt, tcb.outOfOrder.end(range));
  for (let i = again ? 1 : 0; i < seg.sackCount; i++) {
    if (seg.sackEdges[2 * i] === from && seg.sackEdges[2 * i + 1] === to) return;
  }
  put(seg, from, to);
}

function put(seg: TcpSegment, from: number, to: number): void {
  seg.sackEdges[2 * seg.sackCount] = from;
  seg.sackEdges[2 * seg.sackCount + 1] = to;
  seg.sackCount++;
}
