import { describe } from "bun:test";
import { established, listening, type ScenarioOptions, scenario, synSent } from "../../support/tcp.ts";

/** RFC 2018, the receiver's side, and RFC 2883 3 and 4: what ACKs tell of text ahead of a gap, and of text that came twice. */

const open = (options: ScenarioOptions = {}) =>
  established({ peerSack: true, ...options, tcp: { sack: true, ...options.tcp } });

describe("RFC 2018 2: the SACK-permitted option", () => {
  scenario("is in a SYN, and in no other segment", () => {
    const s = synSent({ tcp: { sack: true } });
    s.receives({ flags: "R.", seq: 0, ack: 1 });
    const again = s.from(80);
    again.use(s.host.stack.sockets.connect({ address: "10.0.0.2", port: 80 }));
    s.host.run();
    again.sends({ flags: "S", seq: 0, sackPermitted: true });
  });

  scenario("is in a SYN-ACK where the SYN had it", () => {
    const s = listening({ tcp: { sack: true }, peerSack: true });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", sackPermitted: true });
  });

  scenario("is in no SYN-ACK else", () => {
    const s = listening({ tcp: { sack: true } });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", sackPermitted: false });
  });

  scenario("without it no SACK is sent", () => {
    const s = established({ tcp: { sack: true } });
    s.receives({ seq: 1_001, length: 1_000 });
    s.sends({ ack: 1, sack: [] });
  });
});

describe("RFC 2018 4: the blocks", () => {
  scenario("the first one is that of the segment that caused the ACK", () => {
    const s = open();
    s.receives({ seq: 1_001, length: 1_000 });
    s.sends({ ack: 1, sack: [[1_001, 2_001]] });
    s.receives({ seq: 5_001, length: 1_000 });
    s.sends({
      ack: 1,
      sack: [
        [5_001, 6_001],
        [1_001, 2_001],
      ],
    });
    s.receives({ seq: 3_001, length: 1_000 });
    s.sends({
      ack: 1,
      sack: [
        [3_001, 4_001],
        [5_001, 6_001],
        [1_001, 2_001],
      ],
    });
    s.receives({ seq: 2_001, length: 1_000 });
    s.sends({
      ack: 1,
      sack: [
        [1_001, 4_001],
        [5_001, 6_001],
      ],
    });
  });

  scenario("there are four at most, and the last reported are repeated", () => {
    const s = open();
    for (let i = 1; i <= 11; i += 2) {
      s.receives({ seq: i * 1_000 + 1, length: 1_000 });
      s.sent();
    }
    s.receives({ seq: 13_001, length: 1_000 });
    s.sends({
      ack: 1,
      sack: [13, 11, 9, 7].map((i) => [i * 1_000 + 1, i * 1_000 + 1_001]) as [number, number][],
    });
  });

  scenario("with timestamps three", () => {
    const s = open({ tcp: { timestamps: true }, peerClock: 5 });
    for (let i = 1; i <= 5; i += 2) {
      s.receives({ seq: i * 1_000 + 1, length: 1_000 });
      s.sent();
    }
    s.receives({ seq: 7_001, length: 1_000 });
    s.sends({
      ack: 1,
      sack: [
        [7_001, 8_001],
        [5_001, 6_001],
        [3_001, 4_001],
      ],
    });
  });

  scenario("what is acknowledged is in none; with the last gap they end", () => {
    const s = open();
    s.receives({ seq: 1_001, length: 1_000 }, { seq: 3_001, length: 1_000 });
    s.sent();
    s.receives({ seq: 1, length: 1_000 });
    s.sends({ ack: 2_001, sack: [[3_001, 4_001]] });
    s.receives({ seq: 2_001, length: 1_000 });
    s.sends({ ack: 4_001, sack: [] });
    s.receives({ seq: 4_001, length: 1_000 });
    s.sends({ after: 40, ack: 5_001, sack: [] });
  });

  scenario("text of ours carries them, and is shorter for it", () => {
    const s = open();
    s.receives({ seq: 1_001, length: 1_000 });
    s.sends({ ack: 1, sack: [[1_001, 2_001]] });
    s.writes(3_000);
    s.sends({ length: 1_448, sack: [[1_001, 2_001]] }, { length: 1_448, sack: [[1_001, 2_001]] });
    s.receives({ seq: 1, length: 1_000, ack: 2_897 });
    s.sends({ length: 104, ack: 2_001, sack: [] });
  });
});

describe("RFC 2883: D-SACK", () => {
  scenario("of what fills a gap and comes again with it, the first piece is reported", () => {
    const s = open({ mss: 1_000 });
    for (const seq of [1_001, 2_001, 4_001, 7_001]) {
      s.receives({ seq, length: 1_000 });
      s.sent();
    }
    s.receives({ seq: 1, length: 6_000 });
    s.sends({
      ack: 6_001,
      sack: [
        [1_001, 3_001],
        [7_001, 8_001],
      ],
    });
  });

  scenario("of what begins in a gap and reaches into a range, the part that was there", () => {
    const s = open({ mss: 1_000 });
    s.receives({ seq: 2_001, length: 1_000 });
    s.sent();
    s.receives({ seq: 1_001, length: 1_500 });
    s.sends({
      ack: 1,
      sack: [
        [2_001, 2_501],
        [1_001, 3_001],
      ],
    });
  });

  scenario("4.1.1: a segment that came twice", () => {
    const s = open();
    s.receives({ seq: 1, length: 1_000 });
    s.receives({ seq: 1, length: 1_000 });
    s.sends({ ack: 1_001, sack: [[1, 1_001]] });
    s.receives({ length: 1_000 });
    s.receives({ length: 1_000 });
    s.sends({ ack: 3_001, sack: [] });
  });

  scenario("4.1.2: while text is missing, the block of that follows", () => {
    const s = open();
    s.receives({ seq: 1, length: 1_000 });
    s.receives({ seq: 2_001, length: 1_000 });
    s.sends({ ack: 1_001, sack: [[2_001, 3_001]] });
    s.receives({ seq: 1, length: 1_000 });
    s.sends({
      ack: 1_001,
      sack: [
        [1, 1_001],
        [2_001, 3_001],
      ],
    });
  });

  scenario("4.2: part of a larger block ahead of the gap", () => {
    const s = open();
    s.receives({ seq: 2_001, length: 1_000 }, { seq: 3_001, length: 1_000 });
    s.sent();
    s.receives({ seq: 3_001, length: 1_000 });
    s.sends({
      ack: 1,
      sack: [
        [3_001, 4_001],
        [2_001, 4_001],
      ],
    });
  });

  scenario("a whole block ahead of the gap", () => {
    const s = open();
    s.receives({ seq: 2_001, length: 1_000 });
    s.sends({ ack: 1, sack: [[2_001, 3_001]] });
    s.receives({ seq: 2_001, length: 1_000 });
    s.sends({
      ack: 1,
      sack: [
        [2_001, 3_001],
        [2_001, 3_001],
      ],
    });
    s.receives({ seq: 5_001, length: 1_000 });
    s.sends({
      ack: 1,
      sack: [
        [5_001, 6_001],
        [2_001, 3_001],
      ],
    });
  });

  scenario("the part of a segment that is not new", () => {
    const s = open();
    s.receives({ seq: 1, length: 1_000 });
    s.receives({ seq: 501, length: 1_000 });
    s.sends({ after: 40, ack: 1_501, sack: [[501, 1_001]] });
  });
});
