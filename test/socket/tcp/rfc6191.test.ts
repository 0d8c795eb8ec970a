import { describe, expect } from "bun:test";
import { type Conversation, established, LISTENING_PORT, PEER_PORT, scenario } from "../../support/tcp.ts";

/** RFC 6191: a connection in TIME-WAIT makes room for one whose SYN has a later timestamp. */

const PEER_CLOCK = 7_000_000;

/** TIME-WAIT of a connection to our listener, where the peer's last timestamp was PEER_CLOCK + 500. */
function served(timestamps: boolean): Conversation {
  const s = established({
    passive: true,
    tcp: { timestamps: true },
    ...(timestamps ? { peerClock: PEER_CLOCK } : {}),
  });
  s.passes(500);
  s.receives({ length: 100 });
  s.sent();
  s.reads(100);
  s.sent();
  s.shutdown();
  s.sends({ flags: "F." });
  s.receives({ flags: "F.", ack: 2 });
  s.sends({ ack: 102 });
  s.is("TIME_WAIT");
  return s;
}

function syn(s: Conversation, seq: number, tsVal: number | null): void {
  // The new connection begins before the old one's end: what is watched of one conversation does not hold of both.
  s.host.onEmitted = () => {};
  s.receives({ flags: "S", seq, ts: tsVal === null ? null : [tsVal, 0] });
}

function isReopened(s: Conversation, seq: number): void {
  const [answer] = s.sent();
  expect((answer.seg.ack - s.irs) | 0).toBe(seq + 1);
  expect(s.host.stateOf(LISTENING_PORT, PEER_PORT)).toBe("SYN_RECEIVED");
  s.failedWith(null);
}

function isRefused(s: Conversation): void {
  s.sends({ seq: 2, ack: 102 });
  s.is("TIME_WAIT");
}

describe("2: the connection had timestamps", () => {
  scenario("a later one reopens it, also where the sequence number is below", () => {
    for (const seq of [50, 102, 103]) {
      const s = served(true);
      syn(s, seq, PEER_CLOCK + 501);
      isReopened(s, seq);
    }
  });

  scenario("the same one does where the sequence number is beyond", () => {
    const s = served(true);
    syn(s, 102, PEER_CLOCK + 500);
    isRefused(s);
    syn(s, 103, PEER_CLOCK + 500);
    isReopened(s, 103);
  });

  scenario("an earlier one is an old SYN's, wherever its sequence number is", () => {
    const s = served(true);
    syn(s, 10_000, PEER_CLOCK + 499);
    isRefused(s);
    syn(s, 50, PEER_CLOCK);
    isRefused(s);
  });

  scenario("without one, the sequence number decides", () => {
    const s = served(true);
    syn(s, 102, null);
    isRefused(s);
    syn(s, 103, null);
    isReopened(s, 103);
  });
});

describe("2: the connection had none", () => {
  scenario("a SYN with one reopens it: PAWS keeps the old connection's segments out", () => {
    const s = served(false);
    syn(s, 50, 1);
    isReopened(s, 50);
    // An old segment, which has no timestamp, is not taken for the new connection's.
    s.receives({ seq: 51, ack: 1, length: 10 });
    s.nothingMore();
    expect(s.host.stack.stats.tcpWithoutTimestamp).toBe(1);
  });

  scenario("without one, RFC 1122 4.2.2.13: the sequence number decides", () => {
    const s = served(false);
    syn(s, 102, null);
    isRefused(s);
    syn(s, 103, null);
    isReopened(s, 103);
  });

  scenario("where we take no timestamps, the one in a SYN says nothing", () => {
    const s = established({ passive: true });
    s.shutdown();
    s.sends({ flags: "F." });
    s.receives({ flags: "F.", ack: 2 });
    s.sends({ ack: 2 });
    s.receives({ flags: "S", seq: 1, ts: [1_000_000, 0] });
    s.sends({ seq: 2, ack: 2 });
    s.is("TIME_WAIT");
  });
});
