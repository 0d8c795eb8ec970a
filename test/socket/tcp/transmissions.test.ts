import { describe, expect, test } from "bun:test";
import { randomBelow, seededRandom } from "../../../src/random.ts";
import { seqAdd, seqDiff } from "../../../src/socket/tcp/seq.ts";
import {
  IN_FLIGHT,
  LOST,
  NONE,
  SACKED,
  TransmissionPool,
  Transmissions,
} from "../../../src/socket/tcp/transmissions.ts";
import { checkRecords, spareRecords } from "../../support/tcp-scoreboard.ts";

/** The records of what is outstanding, against a plain model: an array with the fate of each byte. */

interface Byte {
  fate: number;
  sentAt: number;
}

/** Records and model side by side; every operation is done to both, and then they are compared. */
class Pair {
  readonly pool: TransmissionPool;
  readonly sent: Transmissions;
  readonly bytes: Byte[] = [];
  una: number;
  now = 1;

  constructor(pool: TransmissionPool, una: number) {
    this.pool = pool;
    this.sent = new Transmissions(pool);
    this.una = una;
  }

  sends(length: number): boolean {
    const { sent, pool } = this;
    const record = sent.append(seqAdd(this.una, this.bytes.length), length);
    if (record === NONE) return false;
    pool.sentAt[record] = this.now;
    for (let i = 0; i < length; i++) this.bytes.push({ fate: IN_FLIGHT, sentAt: this.now });
    return true;
  }

  /** More goes out together with what went out last. */
  extends(length: number): boolean {
    const { sent, pool } = this;
    if (sent.tail === NONE || sent.tail !== sent.youngest) return false;
    sent.extend(sent.tail, length);
    for (let i = 0; i < length; i++) this.bytes.push({ fate: IN_FLIGHT, sentAt: pool.sentAt[sent.tail] });
    return true;
  }

  /** A record that begins at `from` and ends at `to`, of what was sent at one time; `NONE` where there is none to be had. */
  cut(from: number, to: number): number {
    const { sent, pool } = this;
    let record = sent.find(seqAdd(this.una, from));
    if (seqDiff(pool.seq[record], this.una) < from) record = sent.split(record, seqAdd(this.una, from));
    if (record === NONE) return NONE;
    if (seqDiff(pool.end[record], this.una) > to && sent.split(record, seqAdd(this.una, to)) === NONE)
      return NONE;
    return record;
  }

  /** Does `act` to the record that [from, to) begins with; the model's bytes of it become so. */
  marks(from: number, to: number, fate: number, act: (record: number) => void): boolean {
    if (this.bytes[from].fate === SACKED) return false;
    const record = this.cut(from, to);
    if (record === NONE) return false;
    const end = seqDiff(this.pool.end[record], this.una);
    act(record);
    for (let i = from; i < end; i++) this.bytes[i].fate = fate;
    return true;
  }

  resends(length: number): boolean {
    const { sent, pool } = this;
    const record = sent.lowestLost;
    if (record === NONE) return false;
    if (length < pool.length(record) && sent.split(record, seqAdd(pool.seq[record], length)) === NONE)
      return false;
    const from = seqDiff(pool.seq[record], this.una);
    const to = seqDiff(pool.end[record], this.una);
    sent.markInFlight(record);
    pool.sentAt[record] = this.now;
    for (let i = from; i < to; i++) this.bytes[i] = { fate: IN_FLIGHT, sentAt: this.now };
    return true;
  }

  acknowledges(length: number): void {
    const { sent, pool } = this;
    this.una = seqAdd(this.una, length);
    this.bytes.splice(0, length);
    while (sent.head !== NONE && seqDiff(pool.end[sent.head], this.una) <= 0) sent.removeHead();
    if (sent.head !== NONE && seqDiff(this.una, pool.seq[sent.head]) > 0) sent.trim(sent.head, this.una);
  }

  compares(): void {
    const { sent, pool, bytes } = this;
    checkRecords(sent, pool);
    let at = 0;
    for (let record = sent.head; record !== NONE; record = pool.next[record]) {
      expect(seqDiff(pool.seq[record], this.una)).toBe(at);
      for (let i = 0; i < pool.length(record); i++, at++) {
        if (pool.fate[record] !== bytes[at].fate) throw new Error(`byte ${at}: ${pool.fate[record]}`);
        const { sentAt } = bytes[at];
        if (bytes[at].fate !== SACKED && !Number.isNaN(sentAt) && pool.sentAt[record] !== sentAt)
          throw new Error(`byte ${at} was sent at ${sentAt}, not ${pool.sentAt[record]}`);
      }
    }
    expect(at).toBe(bytes.length);
    const count = (fate: number) => bytes.filter((byte) => byte.fate === fate).length;
    expect([sent.pipe, sent.lostBytes, sent.sackedBytes]).toEqual([
      count(IN_FLIGHT),
      count(LOST),
      count(SACKED),
    ]);
  }
}

/** All in flight is lost, and what was SACKed is too where the peer `forgets`. */
function losesAll({ sent, pool }: { sent: Transmissions; pool: TransmissionPool }, forgets: boolean): void {
  for (let record = sent.head; record !== NONE; record = pool.next[record]) {
    if (pool.fate[record] === IN_FLIGHT || (forgets && pool.fate[record] === SACKED)) sent.markLost(record);
  }
}

/** One operation of many. */
function step(pair: Pair, random: ReturnType<typeof seededRandom>): void {
  const { sent, bytes } = pair;
  const below = (n: number) => randomBelow(random, n);
  if (below(3) > 0) pair.now += 1 + below(5);
  const length = bytes.length;
  if (length === 0 || (length < 400 && below(4) === 0)) {
    pair.sends(1 + below(60));
    return;
  }
  const from = below(length);
  const to = from + 1 + below(Math.min(length - from, 30));
  const kind = below(12);
  if (kind === 0) pair.extends(1 + below(20));
  else if (kind < 4) pair.marks(from, to, SACKED, (record) => sent.markSacked(record));
  else if (kind < 7) pair.marks(from, to, LOST, (record) => sent.markLost(record));
  else if (kind < 9) pair.resends(1 + below(25));
  else if (kind === 9) pair.acknowledges(1 + below(Math.min(length, 40)));
  else if (kind === 10) {
    if (bytes[from].fate === LOST)
      pair.marks(from, to, IN_FLIGHT, (record) => sent.markUnderWayAgain(record, NONE));
  } else if (below(10) === 0) {
    const forgets = below(2) === 0;
    losesAll(pair, forgets);
    for (const byte of bytes) {
      // What was SACKed side by side is one record: when it was sent is not known any more.
      if (byte.fate === SACKED && forgets) byte.sentAt = Number.NaN;
      if (byte.fate === IN_FLIGHT || forgets) byte.fate = LOST;
    }
  }
}

describe("what the records say is what a plain model says", () => {
  const places = [0, 0x7fff_ff80, 0xffff_ff80];

  test("with records in plenty", () => {
    for (let seed = 1; seed <= 15; seed++) {
      const random = seededRandom(seed);
      const pool = new TransmissionPool(1, 1_000);
      const pair = new Pair(pool, places[seed % 3] | 0);
      for (let i = 0; i < 400; i++) {
        step(pair, random);
        pair.compares();
      }
      pair.sent.clear();
      checkRecords(pair.sent, pool);
      expect(pair.sent).toMatchObject({ pipe: 0, lostBytes: 0, sackedBytes: 0, count: 0 });
      expect(spareRecords(pool)).toBe(1_000);
    }
  });

  test("with few, for which several connections compete", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = seededRandom(seed);
      const spare = randomBelow(random, 6);
      const pool = new TransmissionPool(3, spare);
      const pairs = places.map((una) => new Pair(pool, una | 0));
      for (let i = 0; i < 600; i++) {
        const pair = pairs[randomBelow(random, 3)];
        step(pair, random);
        pair.compares();
      }
      for (const { sent } of pairs) sent.clear();
      expect(spareRecords(pool)).toBe(spare);
    }
  });
});

describe("the pool", () => {
  test("each connection has two records whatever the others have", () => {
    const pool = new TransmissionPool(2, 1);
    const [a, b] = [new Transmissions(pool), new Transmissions(pool)];
    expect([a.append(0, 10), a.append(10, 10), a.append(20, 10)]).not.toContain(NONE);
    expect(a.append(30, 10)).toBe(NONE);
    expect([b.append(0, 10), b.append(10, 10)]).not.toContain(NONE);
    expect(b.append(20, 10)).toBe(NONE);
    expect(b.split(b.head, 5)).toBe(NONE);
    a.removeHead();
    expect(b.split(b.head, 5)).not.toBe(NONE);
    expect(a.append(30, 10)).toBe(NONE);
  });
});

describe("the way to a place does not grow with the number of records", () => {
  /** Makes `count` records of ten bytes, and SACKs every second one. */
  function alternating(count: number): { sent: Transmissions; pool: TransmissionPool } {
    const pool = new TransmissionPool(1, count);
    const sent = new Transmissions(pool);
    for (let i = 0; i < count; i++) pool.sentAt[sent.append(i * 10, 10)] = i;
    for (let i = 1; i < count; i += 2) sent.markSacked(sent.find(i * 10));
    return { sent, pool };
  }

  /** ms for what happens to the records of a long flight, in the orders that hurt. */
  function measure(count: number): number {
    const { sent, pool } = alternating(count);
    const start = performance.now();
    for (let round = 0; round < 3; round++) {
      losesAll({ sent, pool }, round === 1);
      // The half that was sent again is lost again, while the other waits; and all of it is under way after all.
      for (let i = 0; i < count / 4; i++) sent.markInFlight(sent.lowestLost);
      while (sent.oldest !== NONE) sent.markLost(sent.oldest);
      for (let i = 0; i < count / 4; i++) sent.markInFlight(sent.lowestLost);
      while (sent.youngest !== NONE) sent.markLost(sent.youngest);
      for (let near = NONE; sent.highestLost !== NONE; ) {
        const record = sent.highestLost;
        sent.markUnderWayAgain(record, near);
        near = record;
      }
    }
    return performance.now() - start;
  }

  test("of 40,000 records that are lost and sent again", () => {
    measure(1_000);
    expect(measure(40_000)).toBeLessThan(1_000);
  });

  test("what is far from all that peers tell of is left out", () => {
    const count = 200_000;
    const { sent } = alternating(count);
    const random = seededRandom(1);
    const start = performance.now();
    for (let i = 0; i < 3_000; i++) sent.find(randomBelow(random, count * 10));
    expect(performance.now() - start).toBeLessThan(400);
    expect(sent.find(0)).toBe(sent.head);
    expect(sent.find(count * 10 - 1)).toBe(sent.tail);
  });

  test("news of retransmissions and of new text in turn", () => {
    const count = 40_000;
    const { sent } = alternating(count);
    const start = performance.now();
    for (let i = 0; i < count / 4; i++) {
      sent.find((count / 2 + i) * 10);
      sent.find((count - 1) * 10);
    }
    expect(performance.now() - start).toBeLessThan(200);
  });
});
