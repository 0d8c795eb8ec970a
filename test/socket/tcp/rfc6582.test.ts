import { describe, expect } from "bun:test";
import { type Conversation, established, scenario, segments } from "../../support/tcp.ts";

/** RFC 5681 3.2 and RFC 6582 (fast retransmit and fast recovery, NewReno), RFC 3042 (limited transmit). MSS is 1,000. */

const wide = { mss: 1_000, wscale: 7 };

/** Ten segments are out: a full initial window. `more` bytes are queued behind them. */
function inFlight(more = 0, options = {}): Conversation {
  const s = established({ ...wide, ...options });
  s.writes(10_000 + more);
  expect(s.sent()).toHaveLength(10);
  return s;
}

/** So many duplicate ACKs arrive, one after the other; returns the sequence numbers of what is sent. */
function duplicates(s: Conversation, count: number, ack = 1): number[] {
  const sent: number[] = [];
  for (let i = 0; i < count; i++) {
    s.receives({ ack });
    for (const { seg } of s.sent()) sent.push((seg.seq - s.iss) | 0);
  }
  return sent;
}

/** As if so many bytes more had been sent and acknowledged. */
function skip(s: Conversation, bytes: number): void {
  const tcb = s.tcb!;
  for (const name of ["sndUna", "sndNxt", "sndWl2"] as const) tcb[name] = (tcb[name] + bytes) | 0;
  s.iss += bytes;
}

describe("RFC 3042: limited transmit", () => {
  scenario("the first two duplicate ACKs let one new segment out each; cwnd is not changed", () => {
    const s = inFlight(10_000);
    s.receives({ ack: 1 });
    s.sends({ seq: 10_001, length: 1_000 });
    s.receives({ ack: 1 });
    s.sends({ seq: 11_001, length: 1_000 });
    expect(s.socket.info()).toMatchObject({ cwnd: 10_000, ssthresh: null });
  });

  scenario("not beyond the peer's window", () => {
    const s = established({ mss: 1_000, win: 11_000 });
    s.writes(20_000);
    expect(s.sent()).toHaveLength(10);
    s.receives({ ack: 1 });
    s.sends({ seq: 10_001, length: 1_000 });
    s.receives({ ack: 1 });
    s.sendsNothing();
  });

  scenario("an ACK of new data ends it", () => {
    const s = inFlight(10_000);
    expect(duplicates(s, 1)).toEqual([10_001]);
    s.receives({ ack: 1_001 });
    // 10,000 and the 1,000 acknowledged, where 10,000 are in flight.
    s.sends({ seq: 11_001, length: 1_000 });
  });
});

describe("RFC 5681 3.2: fast retransmit", () => {
  scenario("steps 2 and 3: at the third, ssthresh = FlightSize / 2, cwnd = ssthresh + 3 * SMSS", () => {
    const s = inFlight();
    expect(duplicates(s, 2)).toEqual([]);
    s.receives({ ack: 1 });
    s.sends({ seq: 1, length: 1_000 });
    expect(s.socket.info()).toMatchObject({ ssthresh: 5_000, cwnd: 8_000, retransmissions: 1 });
    expect(s.host.stack.stats).toMatchObject({ tcpFastRetransmissions: 1, tcpTimeouts: 0 });
  });

  scenario("step 2: what limited transmit has sent MUST NOT be included in FlightSize", () => {
    const s = inFlight(10_000);
    expect(duplicates(s, 3)).toEqual([10_001, 11_001, 1]);
    expect(s.socket.info()).toMatchObject({ ssthresh: 5_000, cwnd: 8_000, flightSize: 12_000 });
  });

  scenario("step 4: each further one inflates cwnd by SMSS; step 5: which may let new text out", () => {
    const s = inFlight(10_000);
    expect(duplicates(s, 3)).toEqual([10_001, 11_001, 1]);
    expect(duplicates(s, 4)).toEqual([]);
    expect(s.socket.info().cwnd).toBe(12_000);
    s.receives({ ack: 1 });
    s.sends({ seq: 12_001, length: 1_000 });
    s.receives({ ack: 1 });
    s.sends({ seq: 13_001, length: 1_000 });
  });

  scenario("less than a segment is outstanding: that is sent again", () => {
    const s = established(wide);
    s.writes(500);
    s.sends({ length: 500 });
    expect(duplicates(s, 2)).toEqual([]);
    s.receives({ ack: 1 });
    s.sends({ flags: "P.", seq: 1, length: 500 });
    expect(s.socket.info().ssthresh).toBe(2_000);
  });

  scenario("a FIN is outstanding as well", () => {
    const s = established(wide);
    s.writes(500);
    s.sends({ length: 500 });
    s.shutdown();
    s.sends({ flags: "F.", seq: 501 });
    expect(duplicates(s, 2)).toEqual([]);
    s.receives({ ack: 1 });
    s.sends({ flags: "FP.", seq: 1, length: 500 });
  });
});

describe("RFC 5681 2: what a duplicate ACK is", () => {
  scenario("(a) there must be outstanding data", () => {
    const s = established(wide);
    expect(duplicates(s, 5)).toEqual([]);
    expect(s.host.stack.stats.tcpFastRetransmissions).toBe(0);
    s.writes(2_000);
    s.sends({ length: 1_000 }, { length: 1_000 });
    expect(duplicates(s, 2)).toEqual([]);
    expect(duplicates(s, 1)).toEqual([1]);
  });

  scenario("(b) it carries no data", () => {
    const s = inFlight();
    s.receives(...segments(6, 10, 1).map((segment) => ({ ...segment, ack: 1 })));
    s.sends({ ack: 61 });
    expect(s.host.stack.stats.tcpFastRetransmissions).toBe(0);
  });

  scenario("(c) it has no SYN and no FIN", () => {
    const s = inFlight();
    expect(duplicates(s, 2)).toEqual([]);
    s.receives({ flags: "F.", ack: 1 });
    s.sends({ ack: 2 });
    expect(duplicates(s, 1)).toEqual([1]);
  });

  scenario("(d) it acknowledges what is the greatest so far", () => {
    const s = inFlight();
    s.receives({ ack: 2_001 });
    expect(duplicates(s, 5, 1_001)).toEqual([]);
  });

  scenario("(e) its window is that of the last segment", () => {
    const s = inFlight();
    for (let win = 60_000; win > 59_990; win--) s.receives({ ack: 1, win });
    s.sendsNothing();
  });
});

describe("RFC 6582 3.2: fast recovery", () => {
  /** Segments 1 and 4 of ten were lost, and three duplicate ACKs have come. */
  function recovering(more = 0): Conversation {
    const s = inFlight(more);
    expect(duplicates(s, 3).pop()).toBe(1);
    return s;
  }

  scenario("step 3, full acknowledgment: cwnd = min(ssthresh, max(FlightSize, SMSS) + SMSS)", () => {
    const s = recovering();
    duplicates(s, 6);
    s.receives({ ack: 10_001 });
    expect(s.socket.info()).toMatchObject({ cwnd: 2_000, ssthresh: 5_000 });
    s.sendsNothing({ for: 10_000 });
  });

  scenario("full acknowledgment with much in flight: ssthresh", () => {
    const s = recovering(20_000);
    expect(duplicates(s, 11)).toEqual([12_001, 13_001, 14_001, 15_001, 16_001, 17_001, 18_001]);
    s.receives({ ack: 12_001 });
    expect(s.socket.info().cwnd).toBe(5_000);
    // 7,000 are in flight, more than that.
    s.sendsNothing();
  });

  scenario("the recovery ends: duplicates after it are counted anew", () => {
    const s = recovering(20_000);
    s.receives({ ack: 12_001 });
    s.sends({ seq: 12_001, length: 1_000 }, { seq: 13_001, length: 1_000 });
    // One segment for each of the first two, by limited transmit.
    expect(duplicates(s, 1, 12_001)).toEqual([14_001]);
    expect(duplicates(s, 1, 12_001)).toEqual([15_001]);
    expect(s.host.stack.stats.tcpFastRetransmissions).toBe(1);
  });

  scenario("partial acknowledgment: the next hole is sent again, and cwnd is deflated", () => {
    const s = recovering();
    duplicates(s, 5);
    expect(s.socket.info().cwnd).toBe(13_000);
    s.receives({ ack: 3_001 });
    s.sends({ seq: 3_001, length: 1_000 });
    // 13,000 less the 3,000 acknowledged, and one segment more as at least one was.
    expect(s.socket.info().cwnd).toBe(11_000);
    s.receives({ ack: 10_001 });
    expect(s.socket.info().cwnd).toBe(2_000);
    expect(s.host.stack.stats).toMatchObject({ tcpFastRetransmissions: 1, tcpTimeouts: 0 });
  });

  scenario("a partial acknowledgment of less than a segment adds none back", () => {
    const s = recovering();
    s.receives({ ack: 501 });
    s.sends({ seq: 501, length: 500 });
    expect(s.socket.info().cwnd).toBe(7_500);
  });

  scenario("one hole after the other, each by a partial acknowledgment", () => {
    const s = recovering();
    for (let ack = 1_001; ack < 10_000; ack += 1_000) {
      s.receives({ ack });
      s.sends({ seq: ack, length: 1_000 });
    }
    s.receives({ ack: 10_001 });
    s.sendsNothing({ for: 10_000 });
  });

  scenario("the first partial acknowledgment resets the retransmission timer, the next ones do not", () => {
    const s = recovering();
    s.passes(100);
    s.receives({ ack: 3_001 });
    s.sends({ seq: 3_001, length: 1_000 });
    s.sendsNothing({ until: 250 });
    s.receives({ ack: 5_001 });
    s.sends({ seq: 5_001, length: 1_000 });
    s.sendsNothing({ until: 299 });
    s.sends({ seq: 5_001, length: 1_000, at: 300 });
    expect(s.host.stack.stats.tcpTimeouts).toBe(1);
  });
});

describe("RFC 6582 3.2, step 2: the variable recover", () => {
  scenario("duplicates that do not cover more than recover are of the loss that was dealt with", () => {
    const s = inFlight(20_000);
    duplicates(s, 3);
    s.receives({ ack: 12_001 });
    s.sent();
    expect(duplicates(s, 5, 12_001)).not.toContain(12_001);
    expect(s.host.stack.stats.tcpFastRetransmissions).toBe(1);
  });

  scenario("beyond recover another loss is dealt with", () => {
    const s = inFlight(30_000);
    duplicates(s, 3);
    s.receives({ ack: 12_001 });
    s.sent();
    s.receives({ ack: 13_001 });
    s.sent();
    expect(duplicates(s, 3, 13_001)).toContain(13_001);
    expect(s.host.stack.stats.tcpFastRetransmissions).toBe(2);
  });

  scenario("recover does not stay behind: after 2^31 bytes it would seem to lie ahead", () => {
    const s = established(wide);
    for (let i = 0; i < 3; i++) {
      s.writes(1_000);
      s.sends({ length: 1_000 });
      s.receives({});
      skip(s, 2 ** 30);
    }
    s.writes(10_000);
    expect(s.sent()).toHaveLength(10);
    // In slow start an ACK still opens cwnd by two segments.
    s.receives({ ack: 6_001 });
    expect(s.socket.info().cwnd).toBe(12_000);
    expect(duplicates(s, 3, 6_001)).toEqual([6_001]);
  });

  scenario("4.1: after a timeout, duplicates caused by its retransmissions are no loss", () => {
    const s = inFlight();
    s.sends({ seq: 1, length: 1_000, at: 200 });
    expect(duplicates(s, 5)).toEqual([]);
    s.receives({ ack: 10_001 });
    s.writes(5_000);
    s.sends({ seq: 10_001, length: 1_000 }, { seq: 11_001, length: 1_000 });
    expect(duplicates(s, 5, 10_001)).not.toContain(10_001);
    expect(s.host.stack.stats.tcpFastRetransmissions).toBe(0);
  });

  scenario("a timeout ends the recovery", () => {
    const s = inFlight();
    expect(duplicates(s, 3)).toEqual([1]);
    s.sends({ seq: 1, length: 1_000, at: 200 });
    expect(s.socket.info()).toMatchObject({ cwnd: 1_000, ssthresh: 5_000 });
    expect(duplicates(s, 5)).toEqual([]);
    expect(s.socket.info().cwnd).toBe(1_000);
    s.receives({ ack: 3_001 });
    // Slow start, not a partial acknowledgment.
    expect(s.socket.info().cwnd).toBe(2_000);
    s.sends({ seq: 3_001, length: 1_000 }, { seq: 4_001, length: 1_000 });
  });

  scenario("the retransmission of a fast retransmit is not measured (Karn)", () => {
    const s = inFlight(0, { rttMs: 100 });
    expect(duplicates(s, 3)).toEqual([1]);
    s.passes(50);
    s.receives({ ack: 10_001 });
    expect(s.socket.info()).toMatchObject({ srttMs: 100, rttvarMs: 50 });
  });
});
