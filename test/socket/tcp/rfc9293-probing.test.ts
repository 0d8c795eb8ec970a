import { describe, expect } from "bun:test";
import { FINISHED, WRITABLE } from "../../../src/index.ts";
import { established, scenario } from "../../support/tcp.ts";

/** RFC 9293 3.8.6.1, zero-window probing, and 3.8.6, windows that shrink. RTO is 200 ms here. */

/** A connection whose peer's window is shut. */
function shut(options = {}) {
  const s = established(options);
  s.receives({ win: 0 });
  s.win = 0;
  return s;
}

describe('windowProbes: "empty"', () => {
  scenario("probes lie below the window, and the first text goes when it opens", () => {
    const s = shut({ tcp: { windowProbes: "empty" } });
    s.writes(10);
    for (const at of [200, 600, 1_400]) {
      s.sends({ flags: ".", seq: 0, ack: 1, length: 0, at });
      s.receives({ ack: 1 });
    }
    s.receives({ ack: 1, win: 1_000 });
    s.sends({ flags: "P.", seq: 1, length: 10 });
  });
});

describe("MUST-36: probing of zero windows", () => {
  scenario("SHLD-29: the first probe after one RTO; SHLD-30: then at twice the interval each", () => {
    const s = shut();
    s.writes(10);
    for (const at of [200, 600, 1_400, 3_000, 6_200]) {
      s.sends({ flags: ".", seq: 1, ack: 1, length: 1, at });
      s.receives({ ack: 1 });
    }
  });

  scenario("also of a window that has never been open", () => {
    const s = established({ win: 0 });
    s.writes(10);
    s.sends({ flags: ".", seq: 1, length: 1, at: 200 });
    s.receives({ ack: 1 });
    s.sendsNothing({ until: 599 });
    s.sends({ flags: ".", seq: 1, length: 1, at: 600 });
  });

  scenario("the interval is a minute at most", () => {
    const s = shut();
    s.writes(10);
    let last = 0;
    for (let i = 0; i < 20; i++) {
      s.host.moveTo(s.now + 70_000, () => s.host.outbox.length > 0);
      const interval = s.now - last;
      expect(interval).toBeLessThanOrEqual(60_000);
      if (i > 10) expect(interval).toBe(60_000);
      last = s.now;
      s.sends({ seq: 1, length: 1 });
      s.receives({ ack: 1 });
    }
  });

  scenario("MUST-37: as long as probes are answered, the connection stays open", () => {
    const s = shut();
    s.writes(10);
    while (s.now < 3 * 300_000) {
      s.host.moveTo(s.now + 70_000, () => s.host.outbox.length > 0);
      s.sends({ seq: 1, length: 1 });
      s.receives({ ack: 1 });
    }
    s.is("ESTABLISHED");
    s.receives({ ack: 1, win: 65_535 });
    s.sends({ seq: 1, length: 1 });
  });

  scenario("unanswered probes end it after the user timeout", () => {
    const s = shut();
    s.writes(10);
    s.passes(299_999);
    for (const { seg } of s.sent()) expect(seg.payloadLength).toBe(1);
    s.is("ESTABLISHED");
    s.passes(61_000);
    const sent = s.sent();
    expect(sent[sent.length - 1].seg.flags).toBe(0x14);
    s.failedWith("ETIMEDOUT");
  });

  scenario("a program that has closed does not hold the connection open for a window that stays shut", () => {
    const s = shut();
    s.writes(10);
    s.close();
    for (let i = 0; i < 40 && !s.socket.isClosed; i++) {
      s.host.moveTo(s.now + 70_000, () => s.host.outbox.length > 0);
      s.sent();
      if (!s.socket.isClosed) s.receives({ ack: 1 });
    }
    s.failedWith("ETIMEDOUT");
    expect(s.now).toBe(60_000);
    expect(s.socket.unacknowledgedBytes).toBe(10);
  });

  scenario("a probe is no text that was sent: neither timeout nor loss window follows", () => {
    const s = shut();
    s.writes(10);
    s.sends({ length: 1, at: 200 });
    s.sendsNothing({ until: 599 });
    s.sends({ seq: 1, length: 1, at: 600 });
    expect(s.socket.info()).toMatchObject({ cwnd: 14_600, ssthresh: null, rtoMs: 200 });
    expect(s.host.stack.stats).toMatchObject({ tcpTimeouts: 0, tcpWindowProbes: 2 });
  });
});

describe("the window opens", () => {
  scenario("a probe that was not taken is sent again at once, and the rest follows", () => {
    const s = shut({ noDelay: true });
    s.writes(10);
    s.sends({ length: 1, at: 200 });
    s.receives({ ack: 1 });
    s.receives({ ack: 1, win: 1_000 });
    s.sends({ seq: 1, length: 1 }, { flags: "P.", seq: 2, length: 9 });
    s.receives({ ack: 11, win: 1_000 });
    s.sendsNothing({ for: 1_000_000 });
  });

  scenario("before the first probe: nothing was lost", () => {
    const s = shut();
    s.writes(10);
    s.receives({ ack: 1, win: 1_000 });
    s.sends({ flags: "P.", seq: 1, length: 10 });
    s.receives({ ack: 11, win: 1_000 });
    s.sendsNothing({ for: 1_000_000 });
  });

  scenario("the next zero window is probed after one RTO again", () => {
    const s = shut();
    s.writes(10);
    s.sends({ length: 1, at: 200 });
    s.sends({ seq: 1, length: 1, at: 600 });
    s.receives({ ack: 2, win: 1_000 });
    s.sends({ flags: "P.", seq: 2, length: 9 });
    s.receives({ ack: 11, win: 0 });
    s.writes(10);
    s.sends({ seq: 11, length: 1, at: 800 });
    s.sends({ seq: 11, length: 1, at: 1_200 });
  });

  scenario(
    "the rest waits for the ACK of that byte (Nagle), also when the next probe would have been due",
    () => {
      const s = shut();
      s.writes(10);
      s.sends({ length: 1, at: 200 });
      s.passes(100);
      s.receives({ ack: 1, win: 1_000 });
      s.sends({ seq: 1, length: 1 });
      s.sends({ seq: 1, length: 1, at: 500 });
      s.sendsNothing({ until: 899 });
      s.receives({ ack: 2, win: 1_000 });
      s.sends({ flags: "P.", seq: 2, length: 9 });
    },
  );

  scenario("no probe follows, though one was due already", () => {
    const s = shut();
    s.writes(2);
    s.sends({ seq: 1, length: 1, at: 200 });
    // The next probe is due, and cannot go out before the window has opened.
    s.host.device.room = 0;
    s.passes(400);
    s.receives({ ack: 1, win: 1_000 });
    s.host.device.room = 100;
    s.host.run();
    s.sends({ seq: 1, length: 1 });
    s.receives({ ack: 2, win: 1_000 });
    s.sends({ flags: "P.", seq: 2, length: 1 });
    s.receives({ ack: 3, win: 1_000 });
    s.sendsNothing({ for: 1_000_000 });
  });

  scenario("by the ACK of the probe", () => {
    const s = shut();
    s.writes(10);
    s.sends({ length: 1, at: 200 });
    s.receives({ ack: 2, win: 1_000 });
    s.sends({ flags: "P.", seq: 2, length: 9 });
    s.sends({ flags: "P.", seq: 2, length: 9, at: 400 });
    s.receives({ ack: 11, win: 1_000 });
    s.sendsNothing({ for: 1_000_000 });
  });

  scenario("what is sent again then is timed: it may be lost", () => {
    const s = shut();
    s.writes(10);
    s.sends({ length: 1, at: 200 });
    s.receives({ ack: 1, win: 1_000 });
    s.sends({ seq: 1, length: 1 });
    s.sends({ seq: 1, length: 1, at: 400 });
    s.receives({ ack: 2, win: 1_000 });
    s.sends({ flags: "P.", seq: 2, length: 9 });
  });
});

describe("the peer takes the probe's byte and stays shut", () => {
  scenario("the next byte is the next probe", () => {
    const s = shut();
    s.writes(5);
    s.sends({ seq: 1, length: 1, at: 200 });
    s.receives({ ack: 2 });
    s.sends({ seq: 2, length: 1, at: 600 });
    // That is progress: the intervals do not go on growing.
    s.receives({ ack: 3 });
    s.sends({ seq: 3, length: 1, at: 1_000 });
    s.receives({ ack: 3 });
    s.sends({ seq: 3, length: 1, at: 1_400 });
  });

  scenario("until there is none", () => {
    const s = shut();
    s.writes(2);
    s.sends({ seq: 1, length: 1, at: 200 });
    s.receives({ ack: 2 });
    s.host.moveTo(10_000, () => s.host.outbox.length > 0);
    s.sends({ flags: "P.", seq: 2, length: 1 });
    s.receives({ ack: 3 });
    s.sendsNothing({ for: 1_000_000 });
    s.wasToldOf(0);
  });
});

describe("the byte of the probe is the last one", () => {
  scenario(
    "it is sent again until it is acknowledged: the answer may be lost, and so may a window update",
    () => {
      const s = shut();
      s.writes(1);
      for (const at of [200, 600, 1_400, 3_000]) s.sends({ flags: "P.", seq: 1, length: 1, at });
      s.receives({ ack: 1 });
      s.sends({ flags: "P.", seq: 1, length: 1, at: 6_200 });
      s.receives({ ack: 2, win: 65_535 });
      s.sendsNothing({ for: 1_000_000 });
      s.writes(5);
      s.sends({ seq: 2, length: 5 });
    },
  );

  scenario("with a FIN behind it", () => {
    const s = shut();
    s.writes(1);
    s.shutdown();
    s.host.moveTo(1_000, () => s.host.outbox.length > 0);
    const acked = () => s.tcb !== null && s.socket.state !== "FIN_WAIT_1";
    // The peer takes nothing for a while, then all.
    for (let i = 0; i < 5; i++) {
      s.sent();
      s.receives({ ack: 1 });
      s.host.moveTo(s.now + 70_000, () => s.host.outbox.length > 0);
    }
    expect(acked()).toBe(false);
    s.sent();
    s.receives({ ack: 2, win: 1_000 });
    s.sent();
    s.host.moveTo(s.now + 70_000, () => s.host.outbox.length > 0);
    s.sent();
    s.receives({ ack: 3, win: 1_000 });
    s.is("FIN_WAIT_2");
    s.wasToldOf(FINISHED);
  });
});

describe("what is written while the window is shut", () => {
  scenario("is taken up to the send buffer's limit, and sent when the window opens", () => {
    const s = shut({ tcp: { sendBuffer: 2_000 } });
    expect(s.write(3_000)).toBe(2_000);
    s.sends({ seq: 1, length: 1, at: 200 });
    s.receives({ ack: 1, win: 65_535 });
    s.sends({ seq: 1, length: 1 }, { seq: 2, length: 1_460 });
    s.receives({ ack: 1_462, win: 65_535 });
    s.wasToldOf(WRITABLE);
    s.sends({ flags: "P.", seq: 1_462, length: 539 });
  });
});

describe("MUST-34: the peer shrinks its window", () => {
  scenario("SHLD-15: no new text; SHLD-16: old text is sent again normally", () => {
    const s = established({ mss: 1_000 });
    s.writes(3_000);
    s.sends({ length: 1_000 }, { length: 1_000 }, { length: 1_000 });
    s.writes(2_000);
    s.sends({ length: 1_000 }, { length: 1_000 });
    // 5,000 are under way, and 1,500 of these is what the window now has room for.
    s.receives({ ack: 1_001, win: 1_500 });
    s.writes(1_000);
    s.sendsNothing({ for: 199 });
    s.sends({ seq: 1_001, length: 1_000, after: 1 });
    s.receives({ ack: 5_001, win: 1_500 });
    s.sends({ flags: "P.", seq: 5_001, length: 1_000 });
  });

  scenario("SHLD-17: the connection does not time out for what lies beyond the right edge", () => {
    const s = established({ mss: 1_000 });
    s.writes(2_000);
    s.sends({ length: 1_000 }, { length: 1_000 });
    s.receives({ ack: 1, win: 0 });
    while (s.now < 2 * 300_000) {
      s.host.moveTo(s.now + 70_000, () => s.host.outbox.length > 0);
      expect(s.sent().length).toBeGreaterThan(0);
      s.receives({ ack: 1, win: 0 });
    }
    s.is("ESTABLISHED");
  });

  scenario("MUST-35: shrunk to zero, with everything acknowledged, it is probed", () => {
    const s = established({ mss: 1_000 });
    s.writes(1_000);
    s.sends({ length: 1_000 });
    s.receives({ ack: 1_001, win: 0 });
    s.writes(500);
    s.sends({ seq: 1_001, length: 1, at: 200 });
  });
});

describe("our window is shut", () => {
  scenario("a probe's byte is not taken; the ACK states the window", () => {
    const s = established({ tcp: { receiveBuffer: 1_000 } });
    s.receives({ length: 1_000 });
    s.sends({ ack: 1_001, win: 0, at: 40 });
    for (let i = 0; i < 5; i++) {
      s.receives({ seq: 1_001, length: 1 });
      s.sends({ ack: 1_001, win: 0 });
    }
    s.reads(1_000);
    s.sends({ ack: 1_001, win: 1_000 });
    s.receives({ seq: 1_001, length: 1 });
    s.reads(1);
  });

  scenario("MUST-66: ACKs, RSTs and URG of segments are processed all the same", () => {
    const s = established({ tcp: { receiveBuffer: 1_000 } });
    s.writes(10);
    s.sends({ length: 10 });
    s.receives({ length: 1_000, ack: 1 });
    s.sends({ ack: 1_001, win: 0, at: 40 });
    s.receives({ flags: "U.", seq: 1_001, length: 1, ack: 11, urgent: 1 });
    s.sends({ ack: 1_001, win: 0 });
    expect(s.socket.unacknowledgedBytes).toBe(0);
    s.receives({ flags: "R", seq: 1_002 });
    s.sendsNothing();
    s.receives({ flags: "R", seq: 1_001 });
    s.failedWith("ECONNRESET");
  });

  scenario("probes of the peer are no duplicate ACKs: they carry data (RFC 5681 2)", () => {
    const s = established({ tcp: { receiveBuffer: 1_000 } });
    s.receives({ length: 1_000 });
    s.sends({ ack: 1_001, win: 0, at: 40 });
    s.writes(100);
    s.sends({ length: 100 });
    for (let i = 0; i < 4; i++) {
      s.receives({ seq: 1_001, length: 1, ack: 1 });
      s.sends({ ack: 1_001, win: 0 });
    }
  });
});
