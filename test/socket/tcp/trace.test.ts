import { describe, expect, test } from "bun:test";
import { StackError, type TcpTrace } from "../../../src/index.ts";
import {
  type Conversation,
  established,
  type ScenarioOptions,
  scenario,
  segments,
} from "../../support/tcp.ts";

/** The event trace of a connection, from which a time-sequence graph can be drawn. */

function traced(capacity = 1_000, options: ScenarioOptions = {}): { s: Conversation; trace: TcpTrace } {
  const s = established({ rttMs: 100, mss: 1_000, ...options });
  return { s, trace: s.socket.startTrace(capacity) };
}

/** Events without their times and flags, in short. */
const lines = (trace: TcpTrace) =>
  trace.events().map((event) => {
    switch (event.event) {
      case "sent":
      case "received":
        return `${event.event} ${event.seq}+${event.length} ack ${event.ack}`;
      case "state":
        return event.state;
      case "window":
        return `cwnd ${event.cwnd}`;
      case "recovery":
        return event.phase;
      default:
        return `timeout ${event.backoff}`;
    }
  });

describe("what is recorded", () => {
  scenario("segments as they are sent and as they arrive, with the sequence numbers of their senders", () => {
    const { s, trace } = traced();
    s.writes(10);
    s.sends({ length: 10 });
    s.receives({ ack: 11, seq: 1, length: 20, win: 5_000 });
    s.sends({ ack: 21, after: 40 });
    expect(lines(trace)).toEqual(["sent 1+10 ack 1", "received 1+20 ack 11", "sent 11+0 ack 21"]);
    const [sent, received, ack] = trace.events();
    expect(sent).toMatchObject({ flags: 0x18, sack: [] });
    expect(received).toMatchObject({ flags: 0x10, window: 5_000 });
    expect(ack.atMs - received.atMs).toBe(40);
  });

  scenario("each segment of a burst, and of what header prediction would take", () => {
    const { s, trace } = traced(1_000, { win: 60_000 });
    s.receives(...segments(3, 1_000, 1));
    s.sends({ ack: 3_001 });
    s.writes(5_500);
    s.sent();
    const sent = trace.events().filter(({ event }) => event === "sent");
    const received = trace.events().filter(({ event }) => event === "received");
    expect([received.length, sent.length]).toEqual([3, 6]);
  });

  scenario("windows in bytes, and SACK blocks", () => {
    const options = { tcp: { sack: true }, peerSack: true, wscale: 7 };
    const { s, trace } = traced(1_000, options);
    s.writes(3_000);
    s.sent();
    s.receives({ ack: 1, sack: [[1_001, 2_001]], win: 100 });
    s.sent();
    s.receives({ seq: 101, length: 100 });
    s.sent();
    const events = trace.events();
    expect(events.find(({ event }) => event === "received")).toMatchObject({
      window: 12_800,
      sack: [[1_001, 2_001]],
    });
    expect(events.findLast(({ event }) => event === "sent")).toMatchObject({
      window: s.socket.info().rcvWnd,
      sack: [[101, 201]],
    });
  });

  scenario("a timeout, what it does, and how it ends", () => {
    const { s, trace } = traced();
    s.writes(1_000);
    s.sends({ length: 1_000 });
    s.sends({ seq: 1, length: 1_000, at: 300, flags: "P." });
    s.receives({ ack: 1_001 });
    expect(lines(trace)).toEqual([
      "sent 1+1000 ack 1",
      "timeout 1",
      "timeout",
      "cwnd 1000",
      "sent 1+1000 ack 1",
      "received 1+0 ack 1001",
      "open",
      "cwnd 2000",
    ]);
    expect(trace.events()[1]).toMatchObject({ rtoMs: 600 });
  });

  scenario("changes of state, to the end", () => {
    const { s, trace } = traced();
    s.shutdown();
    s.sends({ flags: "F.", seq: 1 });
    s.receives({ ack: 2 });
    s.receives({ flags: "F.", ack: 2 });
    s.sends({ ack: 2 });
    s.passes(60_000);
    expect(lines(trace).filter((line) => /^[A-Z_0-9]+$/.test(line))).toEqual([
      "FIN_WAIT_1",
      "FIN_WAIT_2",
      "TIME_WAIT",
      "CLOSED",
    ]);
  });
});

describe("the ring", () => {
  scenario("keeps the last events", () => {
    const { s, trace } = traced(4);
    for (let i = 0; i < 5; i++) {
      s.receives({ length: 1_000 }, { length: 1_000 });
      s.sends({ ack: s.peerNxt });
    }
    expect(lines(trace)).toEqual([
      "sent 1+0 ack 8001",
      "received 8001+1000 ack 1",
      "received 9001+1000 ack 1",
      "sent 1+0 ack 10001",
    ]);
    expect(trace.dropped).toBe(11);
    trace.clear();
    expect(trace.events()).toEqual([]);
    s.receives({ length: 1_000 });
    expect(lines(trace)).toEqual(["received 10001+1000 ack 1"]);
  });

  scenario("records nothing more when it is stopped", () => {
    const { s, trace } = traced();
    s.writes(10);
    s.sent();
    s.socket.stopTrace();
    s.receives({ ack: 11 });
    expect(lines(trace)).toEqual(["sent 1+10 ack 1"]);
  });

  test.each([0, -1, 1.5, 2 ** 25])("of %p events is refused", (capacity) => {
    const s = established();
    expect(() => s.socket.startTrace(capacity)).toThrow(StackError);
  });
});
