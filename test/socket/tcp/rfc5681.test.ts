import { describe, expect } from "bun:test";
import { type Conversation, established, scenario } from "../../support/tcp.ts";

/** RFC 5681: slow start, congestion avoidance, the loss window, restart after idle; the initial window: `rfc6928`. */

// MSS 1,000 and a peer's window that is never in the way.
const wide = { mss: 1_000, wscale: 7 };

function cwnd(s: Conversation): number {
  return s.socket.info().cwnd;
}

/** Lets the stack send what it may; returns how many bytes of text that were. */
function flush(s: Conversation): number {
  return s.sent().reduce((sum, { seg }) => sum + seg.payloadLength, 0);
}

describe("3.1: slow start", () => {
  scenario("each ACK of N new bytes opens cwnd by N", () => {
    const s = established(wide);
    s.writes(100_000);
    expect(flush(s)).toBe(10_000);
    s.receives({ ack: 1_001 });
    expect(cwnd(s)).toBe(11_000);
    s.sends({ length: 1_000 }, { length: 1_000 });
    s.receives({ ack: 1_501 });
    expect(cwnd(s)).toBe(11_500);
  });

  scenario("but by two segments at most, however much it acknowledges (RFC 3465)", () => {
    const s = established(wide);
    s.writes(100_000);
    flush(s);
    s.receives({ ack: 10_001 });
    expect(cwnd(s)).toBe(12_000);
    expect(flush(s)).toBe(12_000);
  });

  scenario("an ACK of nothing new opens nothing", () => {
    const s = established(wide);
    s.writes(10_000);
    flush(s);
    s.receives({ ack: 1 });
    s.receives({ ack: 1, win: 60_000 });
    expect(cwnd(s)).toBe(10_000);
  });

  scenario("a window that is not used does not grow (RFC 7661)", () => {
    const s = established(wide);
    for (let i = 0; i < 20; i++) {
      s.writes(100);
      s.sends({ length: 100 });
      s.receives({});
    }
    expect(cwnd(s)).toBe(10_000);
  });

  scenario("more than half full is used, in slow start, until it is twice what was under way", () => {
    const s = established(wide);
    s.writes(5_000);
    flush(s);
    s.receives({ ack: 5_001 });
    expect(cwnd(s)).toBe(10_000);
    s.writes(6_000);
    flush(s);
    s.receives({ ack: 7_001 });
    expect(cwnd(s)).toBe(12_000);
    s.receives({ ack: 9_001 });
    s.receives({ ack: 11_001 });
    expect(cwnd(s)).toBe(12_000);
  });

  scenario("what counts is the most of a round trip, not what was sent last", () => {
    const s = established(wide);
    s.writes(9_000);
    flush(s);
    s.receives({ ack: 8_001 });
    const grown = cwnd(s);
    expect(grown).toBeGreaterThan(10_000);
    s.writes(1_000);
    expect(flush(s)).toBe(1_000);
    s.receives({ ack: 9_001 });
    expect(cwnd(s)).toBeGreaterThan(grown);
  });

  scenario("the peer's window is not cwnd's: what it holds back does not open cwnd", () => {
    const s = established({ mss: 1_000, win: 4_000 });
    s.writes(20_000);
    for (let i = 0; i < 5; i++) {
      expect(flush(s)).toBe(4_000);
      s.receives({});
    }
    expect(cwnd(s)).toBe(10_000);
  });

  scenario("the minimum of cwnd and the peer's window governs", () => {
    const s = established({ mss: 1_000, win: 3_000 });
    s.writes(20_000);
    expect(flush(s)).toBe(3_000);
    s.receives({ ack: 1, win: 60_000 });
    expect(flush(s)).toBe(7_000);
  });
});

/** A connection with ssthresh at 5,000, past its loss: cwnd 1,000, nothing outstanding. */
function afterTimeout(): Conversation {
  const s = established(wide);
  s.writes(10_000);
  flush(s);
  s.passes(200);
  s.sends({ seq: 1, length: 1_000 });
  s.receives({ ack: 10_001 });
  return s;
}

describe("3.1: the retransmission timer detects loss", () => {
  scenario("ssthresh = max(FlightSize / 2, 2 * SMSS), and cwnd is the loss window: one segment", () => {
    const s = established(wide);
    s.writes(10_000);
    flush(s);
    s.sends({ seq: 1, length: 1_000, at: 200 });
    expect(s.socket.info()).toMatchObject({ cwnd: 1_000, ssthresh: 5_000 });
  });

  scenario("2 * SMSS is the least", () => {
    const s = established(wide);
    s.writes(3_000);
    flush(s);
    s.sends({ seq: 1, length: 1_000, at: 200 });
    expect(s.socket.info()).toMatchObject({ cwnd: 1_000, ssthresh: 2_000 });
  });

  scenario("a segment that was sent again already: ssthresh is held constant", () => {
    const s = established(wide);
    s.writes(10_000);
    flush(s);
    s.sends({ seq: 1, length: 1_000, at: 200 });
    s.sends({ seq: 1, length: 1_000, at: 600 });
    s.sends({ seq: 1, length: 1_000, at: 1_400 });
    expect(s.socket.info()).toMatchObject({ cwnd: 1_000, ssthresh: 5_000 });
  });

  scenario("another segment that times out after that one has arrived: ssthresh is set anew", () => {
    const s = established(wide);
    s.writes(10_000);
    flush(s);
    s.sends({ seq: 1, length: 1_000, at: 200 });
    s.receives({ ack: 2_001 });
    flush(s);
    s.passes(400);
    expect(s.sent()).toHaveLength(1);
    // 8,000 were in flight.
    expect(s.socket.info()).toMatchObject({ cwnd: 1_000, ssthresh: 4_000 });
  });

  scenario("3.1: the rest is sent again in slow start from one segment", () => {
    const s = established(wide);
    s.writes(10_000);
    flush(s);
    s.sends({ seq: 1, length: 1_000, at: 200 });
    s.receives({ ack: 1_001 });
    s.sends({ seq: 1_001, length: 1_000 }, { seq: 2_001, length: 1_000 });
    s.receives({ ack: 2_001 });
    s.sends({ seq: 3_001, length: 1_000 }, { seq: 4_001, length: 1_000 });
    s.receives({ ack: 3_001 });
    s.sends({ seq: 5_001, length: 1_000 }, { seq: 6_001, length: 1_000 });
    expect(cwnd(s)).toBe(4_000);
    expect(s.socket.info().retransmissions).toBe(7);
  });

  scenario("also where the window had not been full before", () => {
    const s = established(wide);
    s.writes(3_000);
    flush(s);
    s.sends({ seq: 1, length: 1_000, at: 200 });
    s.receives({ ack: 1_001 });
    s.sends({ seq: 1_001, length: 1_000 }, { flags: "P.", seq: 2_001, length: 1_000 });
  });

  scenario(
    "RFC 3465 2.3: then an ACK opens cwnd by one segment: it may be for what had arrived before",
    () => {
      const s = afterTimeout();
      expect(cwnd(s)).toBe(2_000);
    },
  );

  scenario("nothing new is sent before all that was outstanding has been sent again or acknowledged", () => {
    const s = established(wide);
    s.writes(10_000);
    flush(s);
    s.sends({ seq: 1, length: 1_000, at: 200 });
    // There is no new text by which F-RTO (RFC 5682) could ask whether that was spurious; then there is.
    s.receives({ ack: 4_001 });
    s.sends({ seq: 4_001, length: 1_000 }, { seq: 5_001, length: 1_000 });
    s.writes(10_000);
    s.receives({ ack: 10_001 });
    s.sends({ seq: 10_001, length: 1_000 }, { seq: 11_001, length: 1_000 }, { seq: 12_001, length: 1_000 });
  });

  scenario("what the peer's ACK skips is not sent again", () => {
    const s = established(wide);
    s.writes(10_000);
    flush(s);
    s.sends({ seq: 1, length: 1_000, at: 200 });
    s.receives({ ack: 9_501 });
    s.sends({ flags: "P.", seq: 9_501, length: 500 });
    s.receives({ ack: 10_001 });
    s.sendsNothing({ for: 1_000_000 });
  });
});

describe("3.1: congestion avoidance", () => {
  /** cwnd has reached ssthresh, 5,000. */
  function avoiding(): Conversation {
    const s = afterTimeout();
    s.writes(200_000);
    while (cwnd(s) < 5_000) {
      flush(s);
      s.receives({});
    }
    flush(s);
    return s;
  }

  scenario("cwnd >= ssthresh: one segment for each window's worth of bytes acknowledged", () => {
    const s = avoiding();
    const acknowledge = () => {
      s.receives({ ack: 1 + s.socket.info().bytesSent + 500 });
      flush(s);
    };
    // Up to the next step; from there on a whole window is to be counted.
    let window = cwnd(s);
    expect(window).toBeLessThanOrEqual(6_000);
    for (let acked = 0; cwnd(s) === window; acked += 500) {
      expect(acked).toBeLessThan(window);
      acknowledge();
    }
    for (let step = 0; step < 3; step++) {
      window += 1_000;
      for (let acked = 0; acked < window; acked += 500) {
        expect(cwnd(s)).toBe(window);
        acknowledge();
      }
    }
    expect(cwnd(s)).toBe(window + 1_000);
  });

  scenario("a window that is not used does not grow", () => {
    const s = avoiding();
    const before = cwnd(s);
    // What was queued goes on, window by window; then single bytes do nothing.
    while (s.socket.unacknowledgedBytes > 0) {
      flush(s);
      s.receives({});
    }
    flush(s);
    const full = cwnd(s);
    expect(full).toBeGreaterThan(before);
    for (let i = 0; i < 200; i++) {
      s.writes(100);
      flush(s);
      s.receives({});
    }
    expect(cwnd(s)).toBe(full);
  });
});

describe("4.1: restarting idle connections", () => {
  /** cwnd has grown to `to` bytes at least. */
  function grown(to: number): Conversation {
    const s = established(wide);
    while (cwnd(s) < to) {
      s.writes(cwnd(s));
      flush(s);
      s.receives({});
    }
    return s;
  }

  scenario("after more than one RTO without sending, cwnd is set to no more than IW", () => {
    const s = grown(20_000);
    s.passes(201);
    s.writes(100_000);
    expect(flush(s)).toBe(10_000);
  });

  scenario("not after less", () => {
    const s = grown(20_000);
    const before = cwnd(s);
    s.passes(200);
    s.writes(100_000);
    expect(flush(s)).toBe(before);
  });

  scenario("not where cwnd is smaller already", () => {
    const s = afterTimeout();
    s.passes(10_000);
    s.writes(100_000);
    expect(flush(s)).toBe(2_000);
  });

  scenario("what is in flight is not idle", () => {
    const s = grown(20_000);
    s.writes(15_000);
    flush(s);
    s.passes(150);
    s.receives({ ack: 1 + s.socket.info().bytesSent + 1_000 });
    s.passes(150);
    s.writes(100_000);
    expect(flush(s)).toBeGreaterThan(0);
    expect(cwnd(s)).toBeGreaterThan(20_000);
  });
});
