import { describe } from "bun:test";
import { established, scenario, segments } from "../../support/tcp.ts";

/** RFC 9293 3.8.6.3 and RFC 5681 4.2: when to send an ACK. The delay is 40 ms unless told. */

describe("SHLD-18: a delayed ACK", () => {
  scenario("MUST-40: waits for less than 0.5 s", () => {
    const s = established();
    s.receives({ length: 10 });
    s.sendsNothing({ until: 39.9 });
    s.sends({ ack: 11, at: 40 });
    s.sendsNothing({ for: 1_000 });
  });

  scenario("counts from the first segment that it is for", () => {
    const s = established();
    s.receives({ length: 1_000 });
    s.sendsNothing({ until: 30 });
    s.receives({ length: 10 });
    s.sendsNothing({ until: 39 });
    s.sends({ ack: 1_011, at: 40 });
    s.receives({ length: 10 });
    s.sendsNothing({ until: 79 });
    s.sends({ ack: 1_021, at: 80 });
  });

  scenario("the delay is a setting", () => {
    const s = established({ tcp: { delayedAckMs: 200 } });
    s.receives({ length: 10 });
    s.sendsNothing({ until: 199 });
    s.sends({ ack: 11, at: 200 });
  });

  scenario("is not needed any more when a segment with text took it along", () => {
    const s = established();
    s.receives({ length: 10 });
    s.sendsNothing({ until: 20 });
    s.writes(5);
    s.sends({ ack: 11, length: 5 });
    s.receives({ ack: 6 });
    s.sendsNothing({ for: 1_000 });
    // The next one waits its full time.
    s.receives({ length: 10 });
    s.sendsNothing({ for: 39 });
    s.sends({ ack: 21, after: 1 });
  });

  scenario("a retransmission is no way to send it: a peer that has that text drops it, ACK and all", () => {
    const s = established();
    s.writes(5);
    s.sends({ length: 5 });
    s.sendsNothing({ until: 190 });
    s.receives({ length: 10, ack: 1 });
    s.sends({ flags: "P.", seq: 1, ack: 11, length: 5, at: 200 });
    s.sends({ seq: 6, ack: 11, at: 230 });
    s.sendsNothing({ until: 599 });
  });

  scenario("nor is it for an ACK that is not to be delayed", () => {
    const s = established();
    s.receives({ length: 10 });
    s.sends({ ack: 11, at: 40 });
    s.writes(5);
    s.sends({ length: 5 });
    // The peer's text comes again as our timer expires: its side has not seen our ACK.
    s.receivesAt(240, { seq: 1, length: 10, ack: 1 });
    s.sends({ flags: "P.", seq: 1, ack: 11, length: 5 }, { seq: 6, ack: 11 });
  });

  scenario("nor is a window probe", () => {
    const s = established();
    s.receives({ length: 10 });
    s.sends({ ack: 11, at: 40 });
    s.receives({ win: 0 });
    s.win = 0;
    s.writes(5);
    s.receivesAt(240, { seq: 1, length: 10, ack: 1 });
    s.sends({ seq: 1, ack: 11, length: 1 }, { seq: 2, ack: 11 });
  });
});

describe("SHLD-19: an ACK for at least every second full-sized segment", () => {
  scenario("at once", () => {
    const s = established();
    for (let i = 0; i < 10; i++) {
      s.receives({ length: 1_460 });
      s.sendsNothing();
      s.receives({ length: 1_460 });
      s.sends({ ack: 1 + (i + 1) * 2_920 });
      s.reads(2_920);
    }
  });

  scenario("or 2*RMSS bytes of new data in smaller ones, once the peer has shown its size", () => {
    const s = established();
    s.receives(...segments(2, 1_460, 1));
    s.sends({ ack: 2_921 });
    for (let i = 0; i < 2; i++) s.receives({ length: 1_000 });
    s.receives({ length: 919 });
    s.sendsNothing();
    s.receives({ length: 1 });
    s.sends({ ack: 5_841 });
  });

  scenario(
    "a peer that sends smaller segments than we would take gets it for every second of its own",
    () => {
      const s = established();
      s.receives({ length: 500 });
      s.sendsNothing();
      s.receives({ length: 500 });
      s.sends({ ack: 1_001 });
      s.receives({ length: 500 });
      s.sendsNothing();
      s.receives({ length: 500 });
      s.sends({ ack: 2_001 });
    },
  );

  scenario("text larger than our MSS (a super-segment) counts as two", () => {
    const s = established({ mtu: 1_500 });
    s.receives({ length: 2_920 });
    s.sends({ ack: 2_921 });
  });

  scenario("however many arrive at once, one ACK will do", () => {
    const s = established();
    s.receives(...segments(9, 1_000, 1));
    s.sends({ ack: 9_001 });
    s.sendsNothing({ for: 1_000 });
  });
});

describe("RFC 5681 4.2: not delayed", () => {
  scenario("an ACK for a segment out of order", () => {
    const s = established();
    s.receives({ seq: 101, length: 100 });
    s.sends({ ack: 1 });
    s.receives({ seq: 201, length: 100 });
    s.sends({ ack: 1 });
  });

  scenario("one for each segment out of order, also when they come at once", () => {
    const s = established();
    s.receives(...segments(4, 100, 101));
    s.sends({ ack: 1 }, { ack: 1 }, { ack: 1 }, { ack: 1 });
  });

  scenario("but not for those whose gap was filled before an ACK could go out", () => {
    const s = established();
    s.receives(...segments(4, 100, 101), { seq: 1, length: 100 });
    s.sends({ ack: 501 });
    s.sendsNothing({ for: 1_000 });
  });

  scenario("nor for those of the first gap, when only that is filled", () => {
    const s = established();
    s.receives(...segments(3, 100, 101), { seq: 501, length: 100 }, { seq: 1, length: 100 });
    s.sends({ ack: 401 });
    s.receives({ seq: 601, length: 100 });
    s.sends({ ack: 401 });
  });

  scenario("an ACK for text that fills a gap, wholly or in part", () => {
    const s = established();
    s.receives({ seq: 1_001, length: 100 });
    s.sends({ ack: 1 });
    s.receives({ seq: 1, length: 300 });
    s.sends({ ack: 301 });
    s.receives({ seq: 301, length: 700 });
    s.sends({ ack: 1_101 });
  });

  scenario("an ACK for a FIN out of order", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 101 });
    s.sends({ ack: 1 });
    s.is("ESTABLISHED");
    s.receives({ flags: "F.", seq: 51, length: 50 });
    s.sends({ ack: 1 });
    s.receives({ seq: 1, length: 50 });
    s.sends({ ack: 102 });
    s.is("CLOSE_WAIT");
  });

  scenario("an ACK for a FIN", () => {
    const s = established();
    s.receives({ length: 10 });
    s.sendsNothing();
    s.receives({ flags: "F." });
    s.sends({ ack: 12 });
    s.sendsNothing({ for: 1_000 });
  });

  scenario("an ACK for text that was received before", () => {
    const s = established();
    s.receives({ length: 10 });
    s.receives({ seq: 1, length: 10 });
    s.sends({ ack: 11 });
    s.sendsNothing({ for: 1_000 });
  });
});

describe("nothing is acknowledged", () => {
  scenario("by an ACK of an ACK", () => {
    const s = established();
    s.receives({ seq: 1, ack: 1 });
    s.receives({ seq: 1, ack: 1, win: 100 });
    s.receives({ flags: "P.", seq: 1, ack: 1 });
    s.sendsNothing({ for: 10_000 });
  });
});
