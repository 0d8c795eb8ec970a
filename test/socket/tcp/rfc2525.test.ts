import { describe, expect } from "bun:test";
import {
  type Conversation,
  established,
  finWait1,
  finWait2,
  scenario,
  synReceived,
} from "../../support/tcp.ts";

/** RFC 2525 2.16 and 2.17, RFC 1122 4.2.2.13: what a CLOSE tells the peer, and when. */

interface Unread {
  readonly state: string;
  readonly open: () => Conversation;
  /** SND.NXT and RCV.NXT. */
  readonly seq: number;
  readonly ack: number;
}

/** Every state in which something may be unread, each with ten bytes that are. */
const UNREAD: readonly Unread[] = [
  { state: "ESTABLISHED", open: () => arrives(established(), {}), seq: 1, ack: 11 },
  { state: "FIN_WAIT_1", open: () => arrives(finWait1(), { ack: 1 }), seq: 2, ack: 11 },
  { state: "FIN_WAIT_2", open: () => arrives(finWait2(), { ack: 2 }), seq: 2, ack: 11 },
  { state: "CLOSE_WAIT", open: () => arrives(established(), { flags: "F." }), seq: 1, ack: 12 },
  { state: "CLOSING", open: () => arrives(finWait1(), { flags: "F.", ack: 1 }), seq: 2, ack: 12 },
  {
    state: "LAST_ACK",
    open: () => {
      const s = arrives(established(), { flags: "F." });
      s.shutdown();
      s.sends({ flags: "F.", seq: 1, ack: 12 });
      return s;
    },
    seq: 2,
    ack: 12,
  },
];

function arrives(s: Conversation, segment: { flags?: string; ack?: number }): Conversation {
  s.receives({ length: 10, ...segment });
  s.sent();
  return s;
}

describe("2.17: failure to RST on close with data pending", () => {
  for (const { state, open, seq, ack } of UNREAD) {
    scenario(`${state}: CLOSE with text unread is a reset, no FIN, and the program learns of it`, () => {
      const s = open();
      s.is(state as "ESTABLISHED");
      s.close();
      s.sends({ flags: "R.", seq, ack });
      s.failedWith("ECONNABORTED");
      s.sendsNothing({ for: 1_000_000 });
    });
  }

  scenario(
    "what the program had written and the peer had not acknowledged is lost with it, and counted",
    () => {
      const s = established();
      s.writes(300);
      s.sent();
      s.receives({ length: 10, ack: 101 });
      s.sent();
      s.close();
      s.sends({ flags: "R.", seq: 301, ack: 11 });
      s.failedWith("ECONNABORTED");
      expect(s.socket.unacknowledgedBytes).toBe(200);
      expect(s.socket.error?.message).toContain("bytes that it has not acknowledged: 200");
    },
  );

  scenario("text that arrives after CLOSE: likewise", () => {
    const s = established();
    s.writes(300);
    s.sent();
    s.close();
    s.sends({ flags: "F.", seq: 301, ack: 1 });
    s.receives({ length: 10, ack: 101 });
    s.sends({ flags: "R.", seq: 302, ack: 1 });
    s.failedWith("ECONNABORTED");
    expect(s.socket.unacknowledgedBytes).toBe(200);
  });

  scenario(
    "the peer's FIN alone is no text, and neither is what is beyond the window or was there before",
    () => {
      const s = established();
      s.receives({ length: 10 });
      s.reads(10);
      s.close();
      s.sends({ flags: "F.", seq: 1, ack: 11 });
      s.receives({ seq: 1, length: 10, ack: 2 });
      s.sends({ seq: 2, ack: 11 });
      s.receives({ seq: 11 + s.socket.info().rcvWnd, length: 10, ack: 2 });
      s.sends({ seq: 2, ack: 11 });
      s.receives({ flags: "F.", seq: 11, ack: 2 });
      s.sends({ seq: 2, ack: 12 });
      s.is("TIME_WAIT");
    },
  );
});

describe("a reset goes where the peer takes it: to the edge of its window at most", () => {
  scenario("where a window probe is on the way", () => {
    const s = established();
    s.receives({ win: 0 });
    s.win = 0;
    s.writes(100);
    s.sends({ seq: 1, length: 1, at: 200 });
    s.abort();
    s.sends({ flags: "R.", seq: 1, ack: 1 });
  });

  scenario("where the window was full when the FIN went out", () => {
    const s = established({ win: 100 });
    s.writes(100);
    s.sends({ flags: "P.", seq: 1, length: 100 });
    s.shutdown();
    s.sends({ flags: "F.", seq: 101 });
    s.receives({ ack: 101, win: 0 });
    s.abort();
    s.sends({ flags: "R.", seq: 101, ack: 1 });
  });

  scenario("a SYN needs no room", () => {
    const s = synReceived({ win: 0, passive: false });
    s.abort();
    s.sends({ flags: "R.", seq: 1, ack: 1 });
  });

  scenario("SND.NXT, where that lies within", () => {
    const s = established({ win: 200 });
    s.writes(150);
    s.sent();
    s.abort();
    s.sends({ flags: "R.", seq: 151, ack: 1 });
  });
});

describe("2.16: failure to send FIN notification promptly", () => {
  scenario("a FIN does not wait for Nagle's algorithm, a cork, or an ACK", () => {
    const s = established();
    s.writes(100);
    s.sends({ flags: "P.", seq: 1, length: 100 });
    s.socket.corked = true;
    s.writes(50);
    s.close();
    s.sends({ flags: "FP.", seq: 101, length: 50 });
  });

  scenario("it waits where the window does not let all text go, and goes with the last of it", () => {
    const s = established({ win: 100 });
    s.writes(150);
    s.sends({ seq: 1, length: 100 });
    s.close();
    s.sendsNothing({ for: 100 });
    s.receives({ ack: 101, win: 100 });
    s.sends({ flags: "FP.", seq: 101, length: 50 });
  });
});
