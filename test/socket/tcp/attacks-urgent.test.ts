import { describe, expect } from "bun:test";
import { established, scenario } from "../../support/tcp.ts";

/** RFC 9293 3.8.5, RFC 6093: urgent text is text in line. The pointer says nothing that the stream depends on. */

describe("the urgent pointer never breaks the stream", () => {
  scenario("wherever it points, with text and without, in order and not, all text arrives once", () => {
    const s = established();
    let seq = 1;
    for (const urgent of [0, 1, 9, 10, 11, 0x7fff, 0x8000, 0xffff]) {
      s.receives({ flags: "PU.", seq, length: 10, urgent });
      s.sent();
      s.receives({ flags: "U.", seq: seq + 10, urgent });
      s.sent();
      seq += 10;
    }
    for (const [at, length] of [
      [10, 10],
      [-20, 20],
      [-5, 15],
    ]) {
      s.receives({ flags: "U.", seq: seq + at, length, urgent: 3 });
      s.sent();
    }
    seq += 20;
    s.reads(seq - 1);
    s.readsNothing();
    s.receives({ flags: "FU.", seq, urgent: 0xffff });
    s.sends({ ack: seq + 1 });
    s.readsEnd();
    expect(s.host.stack.stats.tcpUrgentIgnored).toBe(19);
  });

  scenario("not where sequence number and pointer wrap", () => {
    const s = established({ irs: 0xffff_fff0 });
    s.receives({ flags: "U.", seq: 1, length: 40, urgent: 0xffff });
    s.sends({ ack: 41, at: 40 });
    s.reads(40);
  });

  scenario("nor while the window is 0: an ACK, and the byte comes again", () => {
    const s = established({ tcp: { receiveBuffer: 1_000 } });
    s.receives({ length: 1_000 });
    s.sent();
    s.passes(40);
    s.sent();
    s.receives({ flags: "U.", seq: 1_001, length: 1, urgent: 1 });
    s.sends({ ack: 1_001, win: 0 });
    s.reads(1_000);
    s.sends({ ack: 1_001, win: 1_000 });
    s.receives({ flags: "U.", seq: 1_001, length: 1, urgent: 1 });
    s.reads(1);
  });

  scenario("a trace shows who says URG", () => {
    const s = established();
    const trace = s.socket.startTrace(16);
    s.receives({ flags: "U.", seq: 1, length: 1, urgent: 1 });
    const received = trace.events().find(({ event }) => event === "received");
    expect(received).toMatchObject({ flags: 0x30, length: 1 });
    s.passes(40);
    s.sent();
  });
});
