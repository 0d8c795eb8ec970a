import { describe, expect } from "bun:test";
import { established, scenario } from "../../support/tcp.ts";

/** RFC 5961: robustness to blind in-window attacks. What every state does is in the files of the states. */

describe("3.2: the RST bit", () => {
  scenario("only the exact sequence number resets, wherever in the window the others are", () => {
    const s = established();
    for (const seq of [2, 3, 1_000, 32_768, 65_535]) {
      s.receives({ flags: "R", seq });
      s.sends({ seq: 1, ack: 1 });
    }
    s.is("ESTABLISHED");
    s.receives({ flags: "R", seq: 1 });
    s.failedWith("ECONNRESET");
  });

  scenario("the peer that meant it answers the challenge by a reset that is exact", () => {
    const s = established();
    s.receives({ length: 100 });
    s.sends({ ack: 101, at: 40 });
    s.receives({ flags: "R", seq: 151 });
    s.sends({ ack: 101 });
    s.receives({ flags: "R", seq: 101 });
    s.failedWith("ECONNRESET");
  });

  scenario("RCV.NXT moves with what arrives: an old reset is none any more", () => {
    const s = established();
    s.receives({ length: 1_460 }, { length: 1_460 });
    s.sends({ ack: 2_921 });
    s.receives({ flags: "R", seq: 1 });
    s.sendsNothing();
    s.is("ESTABLISHED");
  });

  scenario("text ahead of a gap does not move it", () => {
    const s = established();
    s.receives({ seq: 101, length: 100 });
    s.sends({ ack: 1 });
    s.receives({ flags: "R", seq: 201 });
    s.sends({ ack: 1 });
    s.receives({ flags: "R", seq: 1 });
    s.failedWith("ECONNRESET");
  });
});

describe("4.2: the SYN bit", () => {
  scenario("a challenge ACK, irrespective of the sequence number", () => {
    const s = established();
    for (const seq of [0, 1, 2, 65_535, 65_536, 1_000_000, -1_000_000]) {
      s.receives({ flags: "S", seq });
      s.sends({ seq: 1, ack: 1 });
    }
    s.is("ESTABLISHED");
  });
});

describe("5.2: the ACK field", () => {
  scenario("text with an ACK out of ((SND.UNA - MAX.SND.WND) .. SND.NXT) is not taken", () => {
    const s = established({ win: 1_000 });
    s.receives({ seq: 1, ack: 1 - 1_001, length: 10 });
    s.sends({ seq: 1, ack: 1 });
    s.receives({ seq: 1, ack: 2, length: 10 });
    s.sends({ seq: 1, ack: 1 });
    s.readsNothing();
    s.receives({ seq: 1, ack: 1 - 1_000, length: 10 });
    s.reads(10);
  });

  scenario("MAX.SND.WND is the largest window the peer ever offered, subject to scaling", () => {
    const s = established({ win: 1_000, wscale: 2 });
    s.receives({ win: 500 });
    s.receives({ win: 100 });
    s.receives({ seq: 1, ack: 1 - 4_001, length: 10 });
    s.sends({ seq: 1, ack: 1 });
    s.receives({ seq: 1, ack: 1 - 4_000, length: 10 });
    s.reads(10);
  });
});

describe("7: ACK throttling", () => {
  scenario("ten challenge ACKs a second", () => {
    const s = established();
    for (let i = 0; i < 10; i++) {
      s.receives({ flags: "R", seq: 1_000 });
      s.sends({ seq: 1, ack: 1 });
      s.passes(50);
    }
    for (let i = 0; i < 5; i++) s.receives({ flags: "S", seq: 5 });
    s.sendsNothing({ until: 999 });
    s.receives({ flags: "R", seq: 1_000 });
    s.receives({ seq: 500_000 });
    s.receives({ seq: 1, ack: 5 });
    s.sendsNothing({ until: 1_000 });
    s.receives({ flags: "R", seq: 1_000 });
    s.sends({ seq: 1, ack: 1 });
    expect(s.host.stack.stats).toMatchObject({ tcpChallengeAcks: 11, tcpChallengeAcksRateLimited: 8 });
  });

  scenario("each connection has a limit of its own: a shared one would tell of other connections", () => {
    const s = established({ passive: true });
    const t = s.from(5_001);
    t.receives(t.syn("S"));
    t.sends({ flags: "S." });
    t.receives({ seq: 1, ack: 1 });
    for (let i = 0; i < 20; i++) {
      s.receives({ flags: "R", seq: 1_000 });
      if (i < 10) s.sends({ ack: 1 });
    }
    t.receives({ flags: "R", seq: 1_000 });
    t.sends({ ack: 1 });
  });

  scenario("the limit does not hold back the ACK of text or of a FIN that comes again", () => {
    const s = established();
    s.receives({ length: 10 });
    s.sends({ ack: 11, at: 40 });
    for (let i = 0; i < 30; i++) {
      s.receives({ seq: 1, length: 10 });
      s.sends({ ack: 11 });
    }
  });
});
