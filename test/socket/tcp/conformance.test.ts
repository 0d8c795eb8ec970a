import { describe } from "bun:test";
import { type Conversation, listening, type ScenarioOptions, scenario, synSent } from "../../support/tcp.ts";

/**
 * Eight scripts that packetdrill has run against other stacks, in the words of this folder. Sequence numbers, times and
 * windows are the scripts' own; where these admit a range, ours is in it.
 */

/** The first lines of nearly all of them. */
function accepted(options: ScenarioOptions = {}): Conversation {
  const s = listening(options);
  s.passes(100);
  s.receives({
    flags: "S",
    seq: 0,
    win: 65_535,
    ...(options.mss === null ? {} : { mss: options.mss ?? 1_460 }),
  });
  s.sends({ flags: "S.", seq: 0, ack: 1, after: 0 });
  s.passes(100);
  s.receives({ flags: ".", seq: 1, ack: 1, win: 65_535 });
  s.accepts();
  s.host.run();
  s.events = 0;
  return s;
}

describe("conformance scripts", () => {
  scenario("backlog", () => {
    const s = listening({ backlog: 1 });
    s.passes(100);
    s.receives({ flags: "S", seq: 0, win: 65_535, mss: 1_460 });
    s.sends({ flags: "S.", seq: 0, ack: 1, after: 0 });
    s.passes(100);
    s.acceptsNothing();
    s.passes(100);
    // The SYN again is answered again, by the same ISN.
    s.receives({ flags: "S", seq: 0, win: 65_535, mss: 1_460 });
    s.sends({ flags: "S.", seq: 0, ack: 1, after: 0 });
    s.passes(100);
    s.receives({ flags: ".", seq: 1, ack: 1, win: 65_535 });
    s.accepts();
  });

  scenario("delayed-ack", () => {
    const s = accepted({ mss: 1_000 });
    s.passes(100);
    s.receives({ flags: "P.", seq: 1, length: 10, ack: 1 });
    // One small segment: within 500 ms.
    s.sends({ seq: 1, ack: 11, after: 40 });
    s.passes(600);
    // A hole, and the hole is filled: at once.
    s.receives({ flags: "P.", seq: 1_011, length: 1_000, ack: 1 });
    s.sends({ seq: 1, ack: 11, after: 0 });
    s.receives({ flags: "P.", seq: 11, length: 1_000, ack: 1 });
    s.sends({ seq: 1, ack: 2_011, after: 0 });
  });

  scenario("half-close", () => {
    const s = accepted();
    s.shutdown();
    s.sends({ flags: "F.", seq: 1, ack: 1, after: 0 });
    s.passes(100);
    s.receives({ flags: ".", seq: 1, ack: 2 });
    s.writeFails("EPIPE");
    s.passes(100);
    s.receives({ flags: "P.", seq: 1, length: 1_000, ack: 2 });
    s.sends({ seq: 2, ack: 1_001, after: 40 });
    s.reads(1_000);
    s.passes(100);
    s.receives({ flags: "F.", seq: 1_001, ack: 2 });
    s.sends({ seq: 2, ack: 1_002, after: 0 });
    s.readsEnd();
    // TIME-WAIT: a retransmitted FIN is acknowledged again.
    s.passes(100);
    s.receives({ flags: "F.", seq: 1_001, ack: 2 });
    s.sends({ seq: 2, ack: 1_002, after: 0 });
  });

  scenario("keepalive", () => {
    const s = accepted();
    s.socket.setKeepAlive(1_000, 1_000, 2);
    s.sends({ flags: ".", seq: 0, ack: 1, after: 1_000 });
    s.passes(100);
    s.receives({ flags: ".", seq: 1, ack: 1 });
    s.sends({ flags: ".", seq: 0, ack: 1, after: 1_000 });
    s.sends({ flags: ".", seq: 0, ack: 1, after: 1_000 });
    s.sends({ flags: "R.", seq: 1, ack: 1, after: 1_000 });
    s.readFails("ETIMEDOUT");
  });

  scenario("nagle", () => {
    const s = accepted({ mss: 1_000 });
    s.writes(100);
    s.sends({ flags: "P.", seq: 1, length: 100, ack: 1, after: 0 });
    s.writes(100);
    s.passes(100);
    s.receives({ flags: ".", seq: 1, ack: 101 });
    s.sends({ flags: "P.", seq: 101, length: 100, ack: 1, after: 0 });
    s.socket.noDelay = true;
    s.writes(100);
    s.sends({ flags: "P.", seq: 201, length: 100, ack: 1, after: 0 });
    s.passes(100);
    s.receives({ flags: ".", seq: 1, ack: 301 });
  });

  scenario("reassembly-overlap", () => {
    const s = accepted();
    s.passes(100);
    s.receives({ seq: 101, length: 100, ack: 1 });
    s.sends({ seq: 1, ack: 1, after: 0 });
    s.receives({ seq: 301, length: 100, ack: 1 });
    s.sends({ seq: 1, ack: 1, after: 0 });
    s.receives({ seq: 151, length: 200, ack: 1 });
    s.sends({ seq: 1, ack: 1, after: 0 });
    s.receives({ seq: 1, length: 150, ack: 1 });
    s.sends({ seq: 1, ack: 401, after: 0 });
    s.reads(400);
    s.receives({ seq: 1, length: 100, ack: 1 });
    s.sends({ seq: 1, ack: 401, after: 0 });
  });

  scenario("rto-backoff", () => {
    const s = accepted({ mss: 1_000 });
    s.writes(500);
    s.sends({ flags: "P.", seq: 1, length: 500, ack: 1, after: 0 });
    // The handshake took 100 ms, so RTO is 300.
    s.sends({ flags: "P.", seq: 1, length: 500, ack: 1, after: 300 });
    s.sends({ flags: "P.", seq: 1, length: 500, ack: 1, after: 600 });
    s.sends({ flags: "P.", seq: 1, length: 500, ack: 1, after: 1_200 });
    s.passes(100);
    s.receives({ flags: ".", seq: 1, ack: 501 });
    s.sendsNothing({ for: 10_000 });
  });

  scenario("simultaneous-open", () => {
    const s = synSent();
    s.passes(100);
    s.receives({ flags: "S", seq: 0, win: 65_535, mss: 1_000 });
    s.sends({ flags: "S.", seq: 0, ack: 1, after: 0 });
    s.passes(100);
    s.receives({ flags: "S.", seq: 0, ack: 1, win: 65_535, mss: 1_000 });
    s.sends({ seq: 1, ack: 1, after: 0 });
    s.writes(10);
    s.sends({ flags: "P.", seq: 1, length: 10, ack: 1, after: 0 });
    s.passes(100);
    s.receives({ flags: ".", seq: 1, ack: 11 });
    s.sendsNothing({ for: 10_000 });
  });
});
