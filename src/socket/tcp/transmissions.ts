import { seqAdd, seqDiff } from "./seq.ts";

/** No record. */
export const NONE = -1;

// What has become of a record's text, as far as we know: `TransmissionPool.fate`.
export const IN_FLIGHT = 0;
/** Found lost, and not sent again yet. */
export const LOST = 1;
/** The peer has it (RFC 2018), and may still forget it. */
export const SACKED = 2;

/** Steps of a search that are not worth a hint, and so many that no honest peer asks for them. */
const SHORT_WAY = 4;
const LONGEST_WAY = 500;

/** Records that each connection may have whatever others use: what is sent, and what is to be sent again. */
const RESERVED = 2;

/**
 * Where the connections of a stack note what they have sent and the peer has not acknowledged. One record is one stretch
 * of sequence numbers that was sent at one time: a burst of many segments is one, until a part of it is lost. All are made
 * when the stack is. Where they run out, a record covers what was sent at several times: no worse than a stack that
 * times one segment a window.
 */
export class TransmissionPool {
  readonly seq: Int32Array;
  readonly end: Int32Array;
  readonly fate: Uint8Array;
  /** It was sent more than once: RTT cannot be measured by it (Karn). */
  readonly resent: Uint8Array;
  /** When it was sent last, in ms. */
  readonly sentAt: Float64Array;
  // Its neighbours in sequence, and in the list of its fate: by time where it is in flight, by sequence where it is lost.
  readonly next: Int32Array;
  readonly prev: Int32Array;
  readonly later: Int32Array;
  readonly earlier: Int32Array;
  // The connection's state when it was sent, for delivery-rate samples.
  readonly delivered: Float64Array;
  readonly deliveredAt: Float64Array;
  readonly firstSentAt: Float64Array;
  readonly lost: Float64Array;
  readonly pipe: Float64Array;
  readonly appLimited: Uint8Array;

  /** Records beyond those that are reserved, and how many of them are free. */
  private spare: number;
  /** Chain of records given back, by `next`; behind `touched` none has been used yet. */
  private free = NONE;
  private touched = 0;

  /** @param spare records that connections may have beyond the two that each of `maxSockets` has for sure */
  constructor(maxSockets: number, spare: number) {
    const capacity = RESERVED * maxSockets + spare;
    this.spare = spare;
    this.seq = new Int32Array(capacity);
    this.end = new Int32Array(capacity);
    this.fate = new Uint8Array(capacity);
    this.resent = new Uint8Array(capacity);
    this.sentAt = new Float64Array(capacity);
    this.next = new Int32Array(capacity);
    this.prev = new Int32Array(capacity);
    this.later = new Int32Array(capacity);
    this.earlier = new Int32Array(capacity);
    this.delivered = new Float64Array(capacity);
    this.deliveredAt = new Float64Array(capacity);
    this.firstSentAt = new Float64Array(capacity);
    this.lost = new Float64Array(capacity);
    this.pipe = new Float64Array(capacity);
    this.appLimited = new Uint8Array(capacity);
  }

  /** Takes a record for a connection that has `count`; `NONE` where it may have no more. */
  take(count: number): number {
    if (count >= RESERVED) {
      if (this.spare === 0) return NONE;
      this.spare--;
    }
    const record = this.free;
    if (record === NONE) return this.touched++;
    this.free = this.next[record];
    return record;
  }

  /** Takes back a record of a connection that has `count` with it. */
  give(record: number, count: number): void {
    if (count > RESERVED) this.spare++;
    this.next[record] = this.free;
    this.free = record;
  }

  length(record: number): number {
    return seqDiff(this.end[record], this.seq[record]);
  }

  /** Lets `copy` say of its text's sending what `record` says. */
  copySending(record: number, copy: number): void {
    this.fate[copy] = this.fate[record];
    this.resent[copy] = this.resent[record];
    this.sentAt[copy] = this.sentAt[record];
    this.delivered[copy] = this.delivered[record];
    this.deliveredAt[copy] = this.deliveredAt[record];
    this.firstSentAt[copy] = this.firstSentAt[record];
    this.lost[copy] = this.lost[record];
    this.pipe[copy] = this.pipe[record];
    this.appLimited[copy] = this.appLimited[record];
  }
}

/**
 * The records of one connection, which cover SND.UNA to SND.NXT: all in the order of their sequence numbers, those in
 * flight in the order in which they were sent, and those that are lost in the order in which they are to be sent again.
 */
export class Transmissions {
  head = NONE;
  tail = NONE;
  /** In flight: the one sent first, and last. */
  oldest = NONE;
  youngest = NONE;
  /** Lost: the lowest and the highest. */
  lowestLost = NONE;
  highestLost = NONE;
  count = 0;
  /** Where `find` has ended after a long way, and where a lost record was put last. */
  private hint = NONE;
  private lostHint = NONE;
  /** Bytes in flight (RFC 6675's pipe), found lost and not sent again, and SACKed. */
  pipe = 0;
  lostBytes = 0;
  sackedBytes = 0;
  /** The most of `pipe` in this round trip, which lasts until SND.UNA reaches `roundEnd`. */
  mostInRound = 0;
  roundEnd = 0;
  /** Behind the last short segment: Minshall's algorithm asks whether it is acknowledged. */
  shortEnd = 0;
  private readonly pool: TransmissionPool;

  constructor(pool: TransmissionPool) {
    this.pool = pool;
  }

  /** The record that holds sequence number `seq`, of the flight, or `NONE`: also where the way to it is too long. */
  find(seq: number): number {
    const { pool } = this;
    let record = this.start(seq);
    for (let steps = 0; record !== NONE; steps++) {
      const isBefore = seqDiff(seq, pool.seq[record]) < 0;
      const isFound = !isBefore && seqDiff(seq, pool.end[record]) < 0;
      // What is near the head or the tail needs no hint: it stays where retransmissions arrive, while new text does too.
      if (steps > SHORT_WAY && (isFound || steps === LONGEST_WAY)) this.hint = record;
      if (isFound) return record;
      if (steps === LONGEST_WAY) return NONE;
      record = isBefore ? pool.prev[record] : pool.next[record];
    }
    return NONE;
  }

  /** Where the way to `seq` is short: peers tell of the highest text, of what lies behind the last they told of, or of the first. */
  private start(seq: number): number {
    const { head, tail, hint } = this;
    if (head === NONE) return NONE;
    const fromHead = this.distance(head, seq);
    const fromTail = this.distance(tail, seq);
    if (hint !== NONE && this.distance(hint, seq) < Math.min(fromHead, fromTail)) return hint;
    return fromTail < fromHead ? tail : head;
  }

  /** How far `seq` is from a record; 0 within it. */
  private distance(record: number, seq: number): number {
    const below = seqDiff(this.pool.seq[record], seq);
    return below > 0 ? below : Math.max(seqDiff(seq, this.pool.end[record]) + 1, 0);
  }

  /** Puts a new record for `length` bytes from `seq` on, which are in flight, behind all others; `NONE` if there is none. */
  append(seq: number, length: number): number {
    const { pool } = this;
    const record = pool.take(this.count);
    if (record === NONE) return NONE;
    this.count++;
    pool.seq[record] = seq;
    pool.end[record] = seqAdd(seq, length);
    pool.prev[record] = this.tail;
    pool.next[record] = NONE;
    if (this.tail === NONE) this.head = record;
    else pool.next[this.tail] = record;
    this.tail = record;
    pool.fate[record] = IN_FLIGHT;
    pool.resent[record] = 0;
    this.putYoungest(record);
    return record;
  }

  /** Lets `record`, which is in flight, end `length` bytes later. */
  extend(record: number, length: number): void {
    this.pool.end[record] = seqAdd(this.pool.end[record], length);
    this.pipe += length;
  }

  /** Cuts `record` at `seq`, which lies within it; returns the new record behind the cut, or `NONE` if there is none. */
  split(record: number, seq: number): number {
    const { pool } = this;
    const behind = pool.take(this.count);
    if (behind === NONE) return NONE;
    this.count++;
    pool.copySending(record, behind);
    pool.seq[behind] = seq;
    pool.end[behind] = pool.end[record];
    pool.end[record] = seq;
    const next = pool.next[record];
    pool.prev[behind] = record;
    pool.next[behind] = next;
    pool.next[record] = behind;
    if (next === NONE) this.tail = behind;
    else pool.prev[next] = behind;
    if (pool.fate[record] !== SACKED) this.chainBehind(record, behind);
    return behind;
  }

  /** Lets a record begin at `seq`, which lies within it: what is before has been acknowledged. */
  trim(record: number, seq: number): void {
    this.tally(this.pool.fate[record], -seqDiff(seq, this.pool.seq[record]));
    this.pool.seq[record] = seq;
  }

  /** The record is in flight, sent last of all. */
  markInFlight(record: number): void {
    this.leaveList(record);
    this.pool.fate[record] = IN_FLIGHT;
    this.putYoungest(record);
  }

  markLost(record: number): void {
    this.leaveList(record);
    this.pool.fate[record] = LOST;
    this.putLost(record);
  }

  /**
   * A lost record is in flight after all, sent when it was.
   *
   * @param near a record in flight that was sent at about that time, or `NONE`: about the time of the oldest
   */
  markUnderWayAgain(record: number, near: number): void {
    const { pool } = this;
    const at = pool.sentAt[record];
    this.leaveList(record);
    pool.fate[record] = IN_FLIGHT;
    this.pipe += pool.length(record);
    let behind = near === NONE ? this.oldest : near;
    while (behind !== NONE && pool.sentAt[behind] < at) behind = pool.later[behind];
    let before = behind === NONE ? this.youngest : pool.earlier[behind];
    while (before !== NONE && pool.sentAt[before] >= at) {
      behind = before;
      before = pool.earlier[before];
    }
    pool.earlier[record] = before;
    pool.later[record] = behind;
    if (before === NONE) this.oldest = record;
    else pool.later[before] = record;
    if (behind === NONE) this.youngest = record;
    else pool.earlier[behind] = record;
  }

  /**
   * The peer has the record's text. SACKed records that touch become one: what a peer has of a long flight is few ranges.
   * Returns the record that the text is in now.
   */
  markSacked(record: number): number {
    const { pool } = this;
    this.leaveList(record);
    pool.fate[record] = SACKED;
    this.sackedBytes += pool.length(record);
    const next = pool.next[record];
    if (next !== NONE && pool.fate[next] === SACKED) this.merge(record, next);
    const prev = pool.prev[record];
    if (prev === NONE || pool.fate[prev] !== SACKED) return record;
    this.merge(prev, record);
    return prev;
  }

  /** Takes the first record out: it has been acknowledged. */
  removeHead(): void {
    this.leaveList(this.head);
    this.unlink(this.head);
  }

  /** Forgets all records. */
  clear(): void {
    while (this.head !== NONE) this.removeHead();
  }

  /** Appends what lies behind `record` in sequence to it; their fates and sendings are alike. */
  merge(record: number, behind: number): void {
    const { pool } = this;
    pool.end[record] = pool.end[behind];
    if (pool.fate[behind] !== SACKED) this.leaveChain(behind);
    this.unlink(behind);
  }

  /**
   * Makes one record of lost ones that touch, so that there are records for what is sent of them. When it was sent, and how
   * often, is then known less well: as if all had been sent with the last, and more than once where that is so of one.
   */
  mergeLost(): void {
    const { pool } = this;
    for (let record = this.head; record !== NONE; ) {
      const next = pool.next[record];
      if (next === NONE || pool.fate[record] !== LOST || pool.fate[next] !== LOST) {
        record = next;
        continue;
      }
      pool.sentAt[record] = Math.max(pool.sentAt[record], pool.sentAt[next]);
      pool.resent[record] |= pool.resent[next];
      this.merge(record, next);
    }
  }

  /** Gives the first `length` bytes of a lost record to the one before it, which is in flight, sent last of all. */
  giveToPrevious(record: number, length: number): void {
    const { pool } = this;
    const previous = pool.prev[record];
    this.trim(record, seqAdd(pool.seq[record], length));
    this.extend(previous, length);
    this.markInFlight(previous);
  }

  private unlink(record: number): void {
    const { pool } = this;
    const prev = pool.prev[record];
    const next = pool.next[record];
    if (prev === NONE) this.head = next;
    else pool.next[prev] = next;
    if (next === NONE) this.tail = prev;
    else pool.prev[next] = prev;
    if (this.hint === record) this.hint = prev === NONE ? next : prev;
    pool.give(record, this.count);
    this.count--;
  }

  private leaveList(record: number): void {
    const { pool } = this;
    const fate = pool.fate[record];
    this.tally(fate, -pool.length(record));
    if (fate !== SACKED) this.leaveChain(record);
  }

  private tally(fate: number, bytes: number): void {
    if (fate === IN_FLIGHT) this.pipe += bytes;
    else if (fate === LOST) this.lostBytes += bytes;
    else this.sackedBytes += bytes;
  }

  private leaveChain(record: number): void {
    const { pool } = this;
    const earlier = pool.earlier[record];
    const later = pool.later[record];
    const lost = pool.fate[record] === LOST;
    if (record === this.lostHint) this.lostHint = earlier === NONE ? later : earlier;
    if (earlier !== NONE) pool.later[earlier] = later;
    else if (lost) this.lowestLost = later;
    else this.oldest = later;
    if (later !== NONE) pool.earlier[later] = earlier;
    else if (lost) this.highestLost = earlier;
    else this.youngest = earlier;
  }

  /** Puts `behind` into the list that `record` is in, next to it. */
  private chainBehind(record: number, behind: number): void {
    const { pool } = this;
    const later = pool.later[record];
    pool.earlier[behind] = record;
    pool.later[behind] = later;
    pool.later[record] = behind;
    if (later !== NONE) pool.earlier[later] = behind;
    else if (pool.fate[record] === LOST) this.highestLost = behind;
    else this.youngest = behind;
  }

  private putYoungest(record: number): void {
    const { pool } = this;
    this.pipe += pool.length(record);
    pool.earlier[record] = this.youngest;
    pool.later[record] = NONE;
    if (this.youngest === NONE) this.oldest = record;
    else pool.later[this.youngest] = record;
    this.youngest = record;
  }

  /** By sequence, so that what the peer waits for is sent first. */
  private putLost(record: number): void {
    const { pool } = this;
    const seq = pool.seq[record];
    this.lostBytes += pool.length(record);
    let before = this.startLost(seq);
    while (before !== NONE && seqDiff(seq, pool.seq[before]) < 0) before = pool.earlier[before];
    let behind = before === NONE ? this.lowestLost : pool.later[before];
    while (behind !== NONE && seqDiff(seq, pool.seq[behind]) > 0) {
      before = behind;
      behind = pool.later[behind];
    }
    pool.earlier[record] = before;
    pool.later[record] = behind;
    if (before === NONE) this.lowestLost = record;
    else pool.later[before] = record;
    if (behind === NONE) this.highestLost = record;
    else pool.earlier[behind] = record;
    this.lostHint = record;
  }

  /** Where the way to `seq` is short among what is lost: what is found lost together lies side by side. */
  private startLost(seq: number): number {
    const { lowestLost, highestLost, lostHint, pool } = this;
    if (lowestLost === NONE || seqDiff(seq, pool.seq[lowestLost]) < 0) return NONE;
    const fromHighest = Math.abs(seqDiff(seq, pool.seq[highestLost]));
    const fromHint = Math.abs(seqDiff(seq, pool.seq[lostHint]));
    if (fromHint < fromHighest && fromHint < seqDiff(seq, pool.seq[lowestLost])) return lostHint;
    return fromHighest < seqDiff(seq, pool.seq[lowestLost]) ? highestLost : lowestLost;
  }
}
