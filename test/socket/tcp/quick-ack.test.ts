import { describe, expect, test } from "bun:test";
import { TcpSettings } from "../../../src/index.ts";
import {
  type Conversation,
  established,
  type ScenarioOptions,
  scenario,
  segments,
} from "../../support/tcp.ts";

/** ACKs that are not delayed while the peer's window may be small: RFC 9293 3.8.6.3, RFC 5681 4.2. */

function quick(quickAcks = 4, options: ScenarioOptions = {}): Conversation {
  return established({ ...options, tcp: { quickAcks, ...options.tcp } });
}

/** Each of the next `count` segments is acknowledged at once, and the one behind them is not. */
function acknowledgesAtOnce(s: Conversation, count: number): void {
  for (let i = 0; i < count; i++) {
    s.receives({ length: 1_000 });
    s.sends({ ack: s.peerNxt });
  }
  s.receives({ length: 1_000 });
  s.sendsNothing({ for: 39 });
  s.sends({ ack: s.peerNxt, after: 1 });
  s.reads(s.socket.readableBytes);
}

describe("at the beginning", () => {
  scenario("so many segments are acknowledged at once, each", () => {
    const s = quick(4);
    acknowledgesAtOnce(s, 4);
    expect(s.host.stack.stats.tcpQuickAcks).toBe(4);
  });

  scenario("however short they are: a peer with Nagle's algorithm waits for it", () => {
    const s = quick();
    s.receives({ length: 10 });
    s.sends({ ack: 11 });
  });

  scenario("segments that come together are acknowledged by one ACK", () => {
    const s = quick();
    s.receives(...segments(3, 1_000, 1));
    s.sends({ ack: 3_001 });
    s.sendsNothing({ for: 1_000 });
  });

  scenario("SHLD-19: behind them, every second one at least", () => {
    const s = quick(2);
    acknowledgesAtOnce(s, 2);
    s.receives({ length: 1_000 });
    s.sendsNothing();
    s.receives({ length: 1_000 });
    s.sends({ ack: s.peerNxt });
  });

  scenario("none where it is turned off", () => acknowledgesAtOnce(quick(0), 0));

  test("16 unless told", () => expect(new TcpSettings().quickAcks).toBe(16));
});

describe("an answer ends it", () => {
  scenario("that comes soon after the text: from then on answers take the ACKs along", () => {
    const s = quick();
    s.receives({ length: 10 });
    s.sends({ ack: 11 });
    s.passes(10);
    s.writes(20);
    s.sends({ length: 20, ack: 11 });
    s.receives({ length: 10, ack: 21 });
    s.sendsNothing({ for: 30 });
    s.writes(20);
    s.sends({ length: 20, ack: 21 });
    // Also after a silence.
    s.receives({ ack: 41 });
    s.passes(10_000);
    s.receives({ length: 10, ack: 41 });
    s.sendsNothing({ for: 30 });
  });

  scenario("not one that comes late", () => {
    const s = quick();
    s.receives({ length: 10 });
    s.sends({ ack: 11 });
    s.passes(41);
    s.writes(20);
    s.sends({ length: 20 });
    s.receives({ length: 10, ack: 21 });
    s.sends({ ack: 21 });
  });

  scenario("nor a question: what is asked for comes after it", () => {
    const s = quick();
    s.writes(20);
    s.sends({ length: 20 });
    s.receives({ length: 1_000, ack: 21 });
    s.sends({ ack: 1_001 });
  });

  scenario("nor for ever: an ACK that waits in vain shows that there are no more answers", () => {
    const s = quick();
    s.receives({ length: 10 });
    s.sends({ ack: 11 });
    s.writes(20);
    s.sends({ length: 20, ack: 11 });
    s.receives({ length: 10, ack: 21 });
    s.sends({ ack: 21, after: 40 });
    s.passes(1_001);
    s.receives({ length: 10, ack: 21 });
    s.sends({ ack: 31 });
  });
});

describe("they begin again", () => {
  /** The first ones are used up. */
  function later(): Conversation {
    const s = quick(2);
    acknowledgesAtOnce(s, 2);
    return s;
  }

  scenario("when a gap was filled", () => {
    const s = later();
    s.receives({ seq: 4_001, length: 1_000 });
    s.sends({ ack: 3_001 });
    s.receives({ seq: 3_001, length: 1_000 });
    s.sends({ ack: 5_001 });
    s.peerNxt = 5_001;
    // One of them was that ACK, which is not delayed anyway.
    acknowledgesAtOnce(s, 1);
  });

  scenario("when the peer sends again what has arrived: its timer has expired", () => {
    const s = later();
    s.receives({ seq: 2_001, length: 1_000 });
    s.sends({ ack: 3_001 });
    acknowledgesAtOnce(s, 2);
  });

  scenario("when the window was too small for a segment, and opens", () => {
    const s = quick(2, { tcp: { receiveBuffer: 4_000 } });
    for (let i = 0; i < 2; i++) {
      s.receives({ length: 1_000 });
      s.sends({ ack: s.peerNxt });
    }
    s.receives(...segments(2, 1_000, 2_001));
    s.sends({ ack: 4_001, win: 0 });
    s.reads(4_000);
    s.sends({ ack: 4_001, win: 4_000 });
    s.receives({ length: 1_000 });
    s.sends({ ack: 5_001 });
  });

  scenario("when the peer was silent for longer than an RTO: it starts slowly", () => {
    const s = later();
    s.passes(201);
    acknowledgesAtOnce(s, 2);
    s.passes(150);
    acknowledgesAtOnce(s, 0);
  });
});
