import { describe, expect } from "bun:test";
import { CLOSED_EVENT, READABLE, WRITABLE } from "../../../src/index.ts";
import { established, scenario, synSent } from "../../support/tcp.ts";

/** RFC 6298: computing TCP's retransmission timer. */

describe("2: the basic algorithm", () => {
  scenario("(2.1) until a measurement has been made, RTO is 1 second", () => {
    const s = synSent();
    expect(s.socket.info()).toMatchObject({ rtoMs: 1_000, srttMs: null });
    s.sends({ flags: "S", seq: 0, at: 1_000 });
  });

  scenario("(2.2) first measurement R: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 * RTTVAR", () => {
    const s = established({ rttMs: 100 });
    expect(s.socket.info()).toMatchObject({ srttMs: 100, rttvarMs: 50, rtoMs: 300 });
  });

  scenario("(2.3) the next one R': RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R'|, SRTT = 7/8 SRTT + 1/8 R'", () => {
    const s = established({ rttMs: 100 });
    s.writes(10);
    s.sends({ length: 10 });
    s.passes(200);
    s.receives({ ack: 11 });
    expect(s.socket.info()).toMatchObject({ rttvarMs: 62.5, srttMs: 112.5, rtoMs: 362.5 });
    s.writes(10);
    s.sends({ length: 10 });
    s.passes(32.5);
    s.receives({ ack: 21 });
    expect(s.socket.info()).toMatchObject({ rttvarMs: 66.875, srttMs: 102.5, rtoMs: 370 });
  });

  scenario("(2.3) a round trip without a delay is a measurement as well", () => {
    const s = established();
    expect(s.socket.info()).toMatchObject({ srttMs: 0, rttvarMs: 0 });
    s.writes(10);
    s.sends({ length: 10 });
    s.passes(80);
    s.receives({ ack: 11 });
    expect(s.socket.info()).toMatchObject({ srttMs: 10, rttvarMs: 20 });
  });

  scenario("(2.4) RTO has a lower bound", () => {
    expect(established().socket.info()).toMatchObject({ srttMs: 0, rtoMs: 200 });
    expect(established({ tcp: { minRtoMs: 1_000 } }).socket.info().rtoMs).toBe(1_000);
  });

  scenario(
    "(2.4) which lies above SRTT, lest an ACK that the peer delays be a timeout on a steady path",
    () => {
      const s = established({ rttMs: 500 });
      let seq = 1;
      for (let i = 0; i < 60; i++) {
        s.writes(1);
        s.sends({ seq, length: 1 });
        s.passes(500);
        s.receives({ ack: ++seq });
      }
      expect(s.socket.info().rtoMs).toBeCloseTo(700, 6);
      s.writes(1);
      s.sends({ seq, length: 1 });
      s.sendsNothing({ for: 699 });
    },
  );

  scenario("(2.5) and an upper one of at least 60 seconds", () => {
    const s = established({ rttMs: 900, tcp: { maxRtoMs: 2_000 } });
    expect(s.socket.info()).toMatchObject({ srttMs: 900, rtoMs: 2_000 });
  });

  scenario("the clock granularity G keeps RTO above SRTT when the variance vanishes", () => {
    const s = established({ rttMs: 400, tcp: { minRtoMs: 0 } });
    let seq = 1;
    for (let i = 0; i < 60; i++) {
      s.writes(1);
      s.sends({ seq, length: 1 });
      s.passes(400);
      s.receives({ ack: ++seq });
    }
    expect(s.socket.info().rtoMs).toBeCloseTo(401, 6);
  });
});

describe("3: taking RTT samples", () => {
  scenario("Karn: MUST NOT be made using segments that were retransmitted", () => {
    const s = established({ rttMs: 100 });
    s.writes(10);
    s.sends({ length: 10 });
    s.sends({ seq: 1, length: 10, flags: "P.", at: 300 });
    s.passes(50);
    s.receives({ ack: 11 });
    expect(s.socket.info()).toMatchObject({ srttMs: 100, rttvarMs: 50 });
  });

  scenario("nor of what was sent before the timeout and acknowledged with it", () => {
    const s = established({ rttMs: 100, mss: 100 });
    s.writes(300);
    s.sends({ length: 100 }, { length: 100 }, { length: 100 });
    s.sends({ seq: 1, length: 100, at: 300 });
    s.receives({ ack: 301 });
    expect(s.socket.info()).toMatchObject({ srttMs: 100, rttvarMs: 50 });
  });

  scenario("a SYN that was sent again is not measured", () => {
    const s = synSent();
    s.sends({ flags: "S", seq: 0, at: 1_000 });
    s.passes(100);
    s.receives(s.syn("S."));
    s.sends({ ack: 1 });
    expect(s.socket.info().srttMs).toBeNull();
  });

  scenario("nor a SYN-ACK", () => {
    const s = established({ passive: true, rttMs: 60 });
    expect(s.socket.info().srttMs).toBe(60);
    const t = s.from(5_001);
    t.receives(t.syn("S"));
    t.sends({ flags: "S.", seq: 0 });
    t.receives(t.syn("S"));
    t.sends({ flags: "S.", seq: 0 });
    t.passes(30);
    t.receives({ seq: 1, ack: 1 });
    t.accepts();
    expect(t.socket.info().srttMs).toBeNull();
  });

  scenario("at least one a round trip: from the first segment timed until it is acknowledged", () => {
    const s = established({ rttMs: 100, mss: 100 });
    s.writes(100);
    s.sends({ length: 100 });
    s.passes(40);
    s.writes(100);
    s.sends({ length: 100 });
    s.passes(60);
    s.receives({ ack: 101 });
    expect(s.socket.info()).toMatchObject({ srttMs: 100, rttvarMs: 37.5 });
    // The second one was not timed.
    s.passes(100);
    s.receives({ ack: 201 });
    expect(s.socket.info()).toMatchObject({ srttMs: 100, rttvarMs: 37.5 });
  });

  scenario("an ACK of a part of the timed segment does not end the measurement", () => {
    const s = established({ rttMs: 100 });
    s.writes(100);
    s.sends({ length: 100 });
    s.passes(100);
    s.receives({ ack: 51 });
    expect(s.socket.info().rttvarMs).toBe(50);
    s.passes(100);
    s.receives({ ack: 101 });
    expect(s.socket.info().srttMs).toBe(112.5);
  });
});

describe("5: managing the RTO timer", () => {
  scenario("(5.1) a packet is sent and the timer is not running: it expires after RTO", () => {
    const s = established({ rttMs: 100 });
    s.writes(10);
    s.sends({ length: 10 });
    s.sends({ flags: "P.", seq: 1, length: 10, at: 300 });
  });

  scenario("(5.1) sending more does not restart it", () => {
    const s = established({ rttMs: 100, mss: 100 });
    s.writes(100);
    s.sends({ length: 100 });
    s.sendsNothing({ until: 250 });
    s.writes(100);
    s.sends({ length: 100 });
    s.sends({ seq: 1, length: 100, at: 300 });
  });

  scenario("(5.2) all outstanding data have been acknowledged: it is turned off", () => {
    const s = established({ rttMs: 100 });
    s.writes(10);
    s.sends({ length: 10 });
    s.receives({ ack: 11 });
    s.sendsNothing({ for: 1_000_000 });
    expect(s.host.isQuiet).toBe(true);
  });

  scenario("(5.3) an ACK of new data restarts it: RTO from now", () => {
    const s = established({ rttMs: 100, mss: 100, tcp: { minRtoMs: 300 } });
    s.writes(200);
    s.sends({ length: 100 }, { length: 100 });
    s.passes(100);
    s.receives({ ack: 101 });
    expect(s.socket.info().rtoMs).toBe(400);
    s.sendsNothing({ until: 499 });
    s.sends({ flags: "P.", seq: 101, length: 100, at: 500 });
  });

  scenario("(5.3) a duplicate ACK does not", () => {
    const s = established({ rttMs: 100 });
    s.writes(10);
    s.sends({ length: 10 });
    s.passes(200);
    s.receives({ ack: 1 });
    s.sends({ flags: "P.", seq: 1, length: 10, at: 300 });
  });

  scenario("(5.4) the earliest segment that has not been acknowledged is sent again", () => {
    const s = established({ rttMs: 100, mss: 100 });
    s.writes(300);
    s.sends({ length: 100 }, { length: 100 }, { length: 100 });
    s.receives({ ack: 101 });
    s.passes(1_000);
    const [again] = s.sent();
    expect((again.seg.seq - s.iss) | 0).toBe(101);
  });

  scenario("(5.5) RTO <- RTO * 2, and (5.6) the timer starts with that, up to the bound", () => {
    const s = established({ rttMs: 100 });
    s.writes(10);
    s.sends({ length: 10 });
    let at = 0;
    let rto = 300;
    for (let i = 0; i < 10; i++) {
      at += rto;
      s.sends({ flags: "P.", seq: 1, length: 10, at });
      rto = Math.min(rto * 2, 60_000);
      expect(s.socket.info().rtoMs).toBe(rto);
    }
  });

  scenario("the backed-off value is kept until new data are acknowledged without retransmission", () => {
    const s = established({ rttMs: 100 });
    s.writes(10);
    s.sends({ length: 10 });
    s.sends({ seq: 1, length: 10, at: 300 });
    s.receives({ ack: 11 });
    expect(s.socket.info().rtoMs).toBe(600);
    s.writes(10);
    s.sends({ seq: 11, length: 10 });
    s.passes(100);
    s.receives({ ack: 21 });
    expect(s.socket.info().rtoMs).toBe(300);
  });

  scenario("(5.7) the SYN timed out: RTO is 3 seconds when data transmission begins", () => {
    const s = synSent();
    s.sends({ flags: "S", seq: 0, at: 1_000 });
    s.sends({ flags: "S", seq: 0, at: 3_000 });
    s.writes(10);
    s.receives(s.syn("S."));
    s.sends({ seq: 1, length: 10 });
    expect(s.socket.info().rtoMs).toBe(3_000);
    s.sends({ flags: "P.", seq: 1, length: 10, at: 6_000 });
    s.sends({ flags: "P.", seq: 1, length: 10, at: 12_000 });
  });

  scenario("(5.7) not where nothing timed out", () => {
    const s = established({ rttMs: 900 });
    expect(s.socket.info().rtoMs).toBe(2_700);
  });
});

describe("RFC 9293 3.8.3: connection failures", () => {
  scenario(
    "SHLD-11: R2 is at least 100 seconds; then the connection is closed and the program is told",
    () => {
      const s = established({ rttMs: 100 });
      s.writes(10);
      s.sends({ length: 10 });
      s.passes(299_000);
      const tries = s.sent().length;
      expect(tries).toBeGreaterThan(8);
      s.is("ESTABLISHED");
      s.wasToldOf(0);
      s.passes(60_000);
      const sent = s.sent();
      expect(sent[sent.length - 1].seg.flags).toBe(0x14);
      s.failedWith("ETIMEDOUT");
      s.wasToldOf(CLOSED_EVENT | READABLE | WRITABLE);
      s.readFails("ETIMEDOUT");
      s.writeFails("ETIMEDOUT");
      expect(s.socket.error?.message).toMatch(/does not answer/);
      s.sendsNothing({ for: 1_000_000 });
    },
  );

  scenario("R2 counts from the oldest unacknowledged byte: progress starts it anew", () => {
    const s = established({ rttMs: 100, mss: 100, tcp: { userTimeoutMs: 10_000 } });
    s.writes(1_000);
    s.sent();
    for (let ack = 101; ack < 900; ack += 100) {
      s.passes(8_000);
      s.sent();
      s.receives({ ack });
      s.sent();
    }
    s.is("ESTABLISHED");
    s.passes(40_000);
    s.sent();
    s.failedWith("ETIMEDOUT");
  });

  scenario("a pause without anything outstanding does not count", () => {
    const s = established({ rttMs: 100, tcp: { userTimeoutMs: 1_000 } });
    s.sendsNothing({ for: 100_000 });
    s.writes(10);
    s.sends({ length: 10 });
    s.sends({ seq: 1, length: 10, flags: "P.", after: 300 });
    s.sends({ seq: 1, length: 10, flags: "P.", after: 600 });
    s.sends({ flags: "R.", seq: 11, after: 1_200 });
    s.failedWith("ETIMEDOUT");
  });
});
