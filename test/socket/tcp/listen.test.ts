import { describe, expect } from "bun:test";
import { ACCEPTABLE, StackError } from "../../../src/index.ts";
import { LISTENING_PORT, listening, scenario, synReceived } from "../../support/tcp.ts";
import { formatFlags } from "../../support/tcp-segment.ts";

/** RFC 9293 3.10.1 to 3.10.8 for LISTEN. */

describe("3.10.7.2, SEGMENT ARRIVES", () => {
  scenario("first: an incoming RST should be ignored", () => {
    const s = listening();
    s.receives({ flags: "R", seq: 10 });
    s.receives({ flags: "R.", seq: 10, ack: 20 });
    s.receives({ flags: "SR", seq: 10 });
    s.sendsNothing();
    s.is("CLOSED");
  });

  scenario("second: any acknowledgment is bad: <SEQ=SEG.ACK><CTL=RST>", () => {
    const s = listening();
    s.receives({ flags: ".", seq: 10, ack: 20 });
    s.sends({ flags: "R", seq: 20 });
    s.receives({ flags: "S.", seq: 10, ack: 20 });
    s.sends({ flags: "R", seq: 20 });
    s.receives({ flags: "F.", seq: 10, ack: 20 });
    s.sends({ flags: "R", seq: 20 });
  });

  scenario("third: a SYN is answered by <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>", () => {
    const s = listening();
    s.receives({ flags: "S", seq: 0, mss: 1_000 });
    s.sends({ flags: "S.", seq: 0, ack: 1, mss: 1_460, win: 65_535 });
    s.is("SYN_RECEIVED");
  });

  scenario("third: text and FIN of the SYN are not acknowledged, so the peer sends them again", () => {
    const s = listening();
    s.receives({ flags: "SF", seq: 0, length: 100 });
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    s.receives({ seq: 1, ack: 1, length: 100, flags: "F." });
    s.sends({ seq: 1, ack: 102 });
    s.accepts();
    s.is("CLOSE_WAIT");
    s.reads(100);
    s.readsEnd();
  });

  scenario("fourth: other control or text is dropped", () => {
    const s = listening();
    s.receives({ flags: "F", seq: 10 });
    s.receives({ flags: "P", seq: 10, length: 5 });
    s.receives({ flags: "", seq: 10 });
    s.sendsNothing();
    s.is("CLOSED");
  });

  scenario("each SYN of another peer is a connection of its own", () => {
    const s = listening();
    const t = s.from(5_001);
    s.receives({ flags: "S", seq: 0 });
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    t.receives({ flags: "S", seq: 0 });
    t.sends({ flags: "S.", seq: 0, ack: 1 });
    t.receives({ seq: 1, ack: 1 });
    s.receives({ seq: 1, ack: 1 });
    // RFC 9293 3.9.1.1: in the order in which the handshakes were completed.
    t.accepts();
    s.accepts();
    s.acceptsNothing();
  });
});

describe("the listener", () => {
  scenario("tells of a connection when its handshake is complete, not before", () => {
    const s = listening();
    let told = 0;
    s.listener!.handler = (events) => {
      told |= events;
    };
    s.receives({ flags: "S", seq: 0 });
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    expect(told).toBe(0);
    s.acceptsNothing();
    s.receives({ seq: 1, ack: 1 });
    expect(told).toBe(ACCEPTABLE);
    s.accepts();
    s.is("ESTABLISHED");
  });

  scenario("3.10.4, CLOSE: the port is closed", () => {
    const s = listening();
    s.listener!.close();
    s.listener!.close();
    s.receives({ flags: "S", seq: 0 });
    s.sends({ flags: "R.", rawSeq: 0, ack: 1 });
    expect(s.host.stack.sockets.size).toBe(0);
  });

  scenario("CLOSE resets what was not accepted, half-open or complete, and leaves what was", () => {
    const s = synReceived();
    const t = s.from(5_001);
    const u = s.from(5_002);
    t.receives({ flags: "S", seq: 0 }, { seq: 1, ack: 1 });
    t.sent();
    u.receives({ flags: "S", seq: 0 });
    u.sends({ flags: "S.", seq: 0, ack: 1 });
    t.receives({ seq: 1, ack: 1 });
    u.receives({ seq: 1, ack: 1 });
    t.accepts();
    s.listener!.close();
    s.host.run();
    const resets = s.sent().map(({ seg }) => [seg.destinationPort, formatFlags(seg.flags)]);
    expect(resets).toEqual([
      [s.peerPort, "R."],
      [u.peerPort, "R."],
    ]);
    t.is("ESTABLISHED");
    t.receives({ length: 3 });
    t.reads(3);
  });

  scenario(
    "MUST-42: a port may be listened on while a connection of the same port is in SYN-RECEIVED",
    () => {
      const s = synReceived();
      s.listener!.close();
      s.host.run();
      s.sends({ flags: "R.", seq: 1, ack: 1 });
      s.listener = s.host.stack.sockets.listen({ port: LISTENING_PORT });
      s.receives({ flags: "S", seq: 0 });
      s.sends({ flags: "S.", seq: 0, ack: 1 });
    },
  );

  scenario("MUST-41: a second passive OPEN of the port is an error, and does not touch the first", () => {
    const s = listening();
    expect(() => s.host.stack.sockets.listen({ port: LISTENING_PORT })).toThrow(StackError);
    s.receives({ flags: "S", seq: 0 });
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    expect(s.host.stack.sockets.size).toBe(2);
  });
});
