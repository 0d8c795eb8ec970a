import { describe, expect } from "bun:test";
import { established, listening, scenario, segments } from "../../support/tcp.ts";

/** RFC 9293 3.8.6: managing the window, and 3.8.6.2, avoiding silly windows on both sides. */

describe("3.8.6: the window offered", () => {
  scenario("is what the buffer has room for: its right edge stays where it is as text arrives", () => {
    const s = established({ tcp: { receiveBuffer: 10_000 } });
    s.receives({ length: 1_000 }, { length: 1_000 });
    s.sends({ ack: 2_001, win: 8_000 });
    s.receives({ length: 1_460 }, { length: 1_460 });
    s.sends({ ack: 4_921, win: 5_080 });
  });

  scenario("is 0 when the buffer is full, and text beyond it is not stored", () => {
    const s = established({ tcp: { receiveBuffer: 2_000 } });
    s.receives({ seq: 1, length: 1_000 }, { seq: 1_001, length: 1_400 });
    s.sends({ ack: 2_001, win: 0 });
    s.reads(2_000);
    s.readsNothing();
    s.sends({ ack: 2_001, win: 2_000 });
  });

  scenario("SHLD-14: does not shrink, also when the pool runs low meanwhile", () => {
    const s = established({ tcp: { receiveBuffer: 60_000 } });
    s.receives({ length: 10 }, { length: 10 });
    s.sends({ ack: 21, win: 59_980 });
    s.host.leavePages(1);
    s.receives({ length: 10 }, { length: 10 });
    s.sends({ ack: 41, win: 59_960 });
  });

  scenario("a connection made when the pool runs low offers a quarter of what is left", () => {
    const s = listening({ tcp: { receiveBuffer: 60_000 } });
    const giveBack = s.host.leavePages(4);
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", win: 16_384 });
    s.receives({ seq: 1, ack: 1 });
    s.accepts();
    // When pages come back the peer is told, without a read.
    giveBack();
    s.host.run();
    s.sends({ ack: 1, win: 60_000 });
  });
});

describe("RFC 7323 2.4: rounding by the window scale", () => {
  // Units of 4 bytes.
  const scaled = { tcp: { receiveBuffer: 131_072 }, wscale: 0 };

  scenario("whatever arrives, no more is offered than the buffer holds", () => {
    const s = established(scaled);
    for (let i = 0; i < 50; i++) {
      s.receives({ length: 1 }, { length: 1 });
      s.sends({ ack: 3 + 2 * i });
    }
    s.receives({ length: 1 }, { length: 1 });
    const [last] = s.sent();
    expect(102 + last.seg.window * 4).toBeLessThanOrEqual(131_072);
  });

  scenario("a segment in a window that was ever offered is honoured, to the byte", () => {
    const s = established(scaled);
    // 131,072 were offered by the handshake's ACK; then two bytes arrive, and the field is rounded down.
    s.receives({ seq: 1, length: 1 }, { seq: 2, length: 1 });
    s.sends({ ack: 3 });
    const window = s.socket.info().rcvWnd;
    expect(window).toBe(131_070);
    s.receives({ seq: 3 + window - 10, length: 10 });
    s.sends({ ack: 3 });
    expect(s.host.stack.stats).toMatchObject({ tcpOutOfOrder: 1, tcpUnacceptable: 0 });
  });

  scenario("the whole window can be used, and every byte comes out", () => {
    const s = established(scaled);
    s.receives({ seq: 1, length: 1 });
    for (let at = 2; at < 131_073; at += 1_460) {
      s.receives({ seq: at, length: Math.min(1_460, 131_073 - at) });
      s.sent();
    }
    s.passes(40);
    s.sent();
    expect(s.socket.readableBytes).toBe(131_072);
    s.reads(131_072);
    s.sent();
  });
});

describe("RFC 7323 2.4: the window after a read", () => {
  scenario("is rounded to what has room behind what was not read", () => {
    for (const count of [50_001, 50_002, 50_003, 50_004]) {
      const s = established({ tcp: { receiveBuffer: 131_072 }, wscale: 0 });
      for (let at = 1; at < 131_073; at += 1_460) {
        s.receives({ seq: at, length: Math.min(1_460, 131_073 - at) });
        s.sent();
      }
      s.passes(40);
      s.sent();
      s.reads(count);
      const [update] = s.sent();
      expect(update.seg.window * 4).toBeLessThanOrEqual(count);
      expect(update.seg.window * 4).toBeGreaterThan(count - 8);
    }
  });
});

describe("3.8.6.2.2: when to send a window update", () => {
  scenario("the right edge moves by min(RCV.BUFF / 2, MSS) at least", () => {
    const s = established({ tcp: { receiveBuffer: 10_000 } });
    s.receives(...segments(10, 1_000, 1));
    s.sends({ ack: 10_001, win: 0 });
    s.reads(1_000);
    s.sendsNothing();
    s.reads(459);
    s.sendsNothing();
    s.reads(1);
    s.sends({ ack: 10_001, win: 1_460 });
  });

  scenario("beyond that, not before a quarter of the buffer is free: each update costs the peer work", () => {
    const s = established({ tcp: { receiveBuffer: 10_000 } });
    s.receives(...segments(10, 1_000, 1));
    s.sends({ ack: 10_001, win: 0 });
    s.reads(1_460);
    s.sends({ win: 1_460 });
    s.reads(2_499);
    s.sendsNothing();
    s.reads(1);
    s.sends({ ack: 10_001, win: 3_960 });
  });

  scenario("with a buffer smaller than two segments: half of it", () => {
    const s = established({ tcp: { receiveBuffer: 1_000 } });
    s.receives({ length: 1_000 });
    s.sends({ ack: 1_001, win: 0, at: 40 });
    s.reads(499);
    s.sendsNothing();
    s.reads(1);
    s.sends({ win: 500 });
  });

  scenario("ACKs do not move the edge in small steps either", () => {
    const s = established({ tcp: { receiveBuffer: 10_000 } });
    s.receives(...segments(2, 500, 1));
    s.reads(1_000);
    s.sends({ ack: 1_001, win: 9_000 });
    s.receives(...segments(2, 200, 1_001), ...segments(3, 200, 1_401));
    s.reads(1_000);
    s.sends({ ack: 2_001, win: 8_000 });
  });

  scenario("no update after the peer's FIN: it will send nothing more", () => {
    const s = established({ tcp: { receiveBuffer: 1_000 } });
    s.receives({ flags: "F.", length: 1_000 });
    s.sends({ ack: 1_002 });
    s.reads(1_000);
    s.sendsNothing({ for: 1_000 });
  });
});

describe("3.8.6.2.1: when to send data", () => {
  scenario("(1) a maximum-sized segment", () => {
    const s = established({ mss: 1_000 });
    s.writes(500);
    s.sends({ length: 500 });
    s.writes(999);
    s.sendsNothing();
    s.writes(1);
    s.sends({ seq: 501, length: 1_000 });
  });

  scenario("(3) at least half of the largest window that the peer ever offered", () => {
    const s = established({ mss: 1_460, win: 1_000 });
    s.writes(5_000);
    s.sends({ flags: ".", seq: 1, length: 1_000 });
    s.receives({ ack: 1_001, win: 500 });
    s.sends({ flags: ".", seq: 1_001, length: 500 });
    s.receives({ ack: 1_501, win: 499 });
    s.sendsNothing({ for: 199 });
    // (4) The override timeout occurs.
    s.sends({ flags: ".", seq: 1_501, length: 499, after: 1 });
    s.receives({ ack: 2_000, win: 1_000 });
    s.sends({ flags: ".", seq: 2_000, length: 1_000 });
  });

  scenario("(3) not while anything is in flight", () => {
    const s = established({ mss: 1_460, win: 1_000 });
    s.writes(5_000);
    s.sends({ flags: ".", seq: 1, length: 1_000 });
    s.receives({ ack: 301, win: 1_000 });
    s.sendsNothing({ for: 199 });
  });

  scenario("(2) everything there is, if the window has room", () => {
    const s = established({ mss: 1_460 });
    s.writes(100);
    s.sends({ flags: "P.", length: 100 });
    s.receives({ ack: 101, win: 50 });
    s.writes(50);
    s.sends({ flags: "P.", length: 50 });
  });

  scenario("the override does not wait for ever: it is armed for each small window anew", () => {
    const s = established({ mss: 1_460, win: 10_000 });
    s.receives({ win: 10 });
    s.writes(100);
    let seq = 1;
    for (let i = 0; i < 5; i++) {
      s.sends({ seq, length: 10, after: 200 });
      seq += 10;
      s.receives({ ack: seq, win: 10 });
    }
  });

  scenario("the override timer is forgotten when a larger window lets the text go", () => {
    const s = established({ mss: 1_460, win: 10_000 });
    s.receives({ win: 10 });
    s.writes(100);
    s.sendsNothing({ for: 100 });
    s.receives({ win: 10_000 });
    s.sends({ flags: "P.", seq: 1, length: 100 });
    s.sendsNothing({ for: 199 });
    s.sends({ seq: 1, length: 100, flags: "P.", after: 1 });
  });

  scenario("never beyond the right edge of the window", () => {
    const s = established({ mss: 1_000, win: 3_500 });
    s.writes(10_000);
    s.sends({ length: 1_000 }, { length: 1_000 }, { length: 1_000 });
    s.receives({ ack: 1_001, win: 2_500 });
    s.sendsNothing();
    s.receives({ ack: 1_001, win: 3_000 });
    s.sends({ seq: 3_001, length: 1_000 });
  });

  scenario("PSH marks the end of what was written (3.9.1.2)", () => {
    const s = established({ mss: 1_000 });
    s.writes(2_000);
    s.sends({ flags: ".", length: 1_000 }, { flags: "P.", length: 1_000 });
  });
});
