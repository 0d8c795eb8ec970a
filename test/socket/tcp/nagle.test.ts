import { describe, expect } from "bun:test";
import { established, scenario } from "../../support/tcp.ts";

/** RFC 9293 3.7.4: the Nagle algorithm. */

describe('nagle: "minshall"', () => {
  const tcp = { nagle: "minshall" as const };

  scenario("the end of a long write does not wait for the full-sized segments before it", () => {
    const s = established({ mss: 1_000, tcp });
    s.writes(2_300);
    s.sends({ flags: ".", length: 1_000 }, { flags: ".", length: 1_000 }, { flags: "P.", length: 300 });
  });

  scenario("but what is short waits for what is short", () => {
    const s = established({ mss: 1_000, tcp });
    s.writes(2_300);
    s.sends({ length: 1_000 }, { length: 1_000 }, { length: 300 });
    s.writes(10);
    s.receives({ ack: 2_001 });
    s.sendsNothing();
    s.receives({ ack: 2_301 });
    s.sends({ flags: "P.", seq: 2_301, length: 10 });
  });
});

describe("if there is unacknowledged data, user data are buffered", () => {
  scenario("until the outstanding data have been acknowledged", () => {
    const s = established();
    s.writes(100);
    s.sends({ flags: "P.", seq: 1, length: 100 });
    s.writes(1);
    s.writes(2);
    s.writes(3);
    s.sendsNothing({ for: 100 });
    s.receives({ ack: 101 });
    s.sends({ flags: "P.", seq: 101, length: 6 });
  });

  scenario("or until a full-sized segment can be sent", () => {
    const s = established({ mss: 1_000 });
    s.writes(100);
    s.sends({ seq: 1, length: 100 });
    for (let i = 0; i < 9; i++) s.writes(100);
    s.sendsNothing();
    s.writes(150);
    s.sends({ flags: ".", seq: 101, length: 1_000 });
    s.receives({ ack: 1_101 });
    s.sends({ flags: "P.", seq: 1_101, length: 50 });
  });

  scenario("all outstanding data: a part is not enough", () => {
    const s = established();
    s.writes(100);
    s.sends({ length: 100 });
    s.writes(10);
    s.receives({ ack: 60 });
    s.sendsNothing();
    s.receives({ ack: 101 });
    s.sends({ seq: 101, length: 10 });
  });

  scenario("the tail of a large write waits as well", () => {
    const s = established({ mss: 1_000 });
    s.writes(2_300);
    s.sends({ flags: ".", length: 1_000 }, { flags: ".", length: 1_000 });
    s.receives({ ack: 1_001 });
    s.sendsNothing();
    s.receives({ ack: 2_001 });
    s.sends({ flags: "P.", seq: 2_001, length: 300 });
  });

  scenario("with nothing outstanding nothing waits", () => {
    const s = established();
    for (let i = 0; i < 5; i++) {
      s.writes(1);
      s.sends({ flags: "P.", seq: 1 + i, length: 1 });
      s.receives({ ack: 2 + i });
    }
  });

  scenario("what precedes a FIN waits for nothing: there is no more to wait for", () => {
    const s = established();
    s.writes(100);
    s.sends({ length: 100 });
    s.writes(10);
    s.shutdown();
    s.sends({ flags: "FP.", seq: 101, length: 10 });
  });
});

describe("MUST-17: there must be a way to disable it on an individual connection", () => {
  scenario("then short segments go out at once", () => {
    const s = established();
    expect(s.socket.noDelay).toBe(false);
    s.socket.noDelay = true;
    for (let i = 0; i < 5; i++) {
      s.writes(10);
      s.sends({ flags: "P.", seq: 1 + i * 10, length: 10 });
    }
  });

  scenario("from the start", () => {
    const s = established({ noDelay: true });
    expect(s.socket.noDelay).toBe(true);
    s.writes(1);
    s.sends({ length: 1 });
    s.writes(1);
    s.sends({ length: 1 });
  });

  scenario("what waited goes out when it is disabled", () => {
    const s = established();
    s.writes(100);
    s.sends({ length: 100 });
    s.writes(10);
    s.sendsNothing();
    s.socket.noDelay = true;
    s.host.run();
    s.sends({ flags: "P.", seq: 101, length: 10 });
  });

  scenario("and enabled again", () => {
    const s = established({ noDelay: true });
    s.socket.noDelay = false;
    s.writes(10);
    s.sends({ length: 10 });
    s.writes(10);
    s.sendsNothing();
  });

  scenario("the windows hold all the same", () => {
    const s = established({ noDelay: true, win: 25 });
    s.writes(10);
    s.sends({ length: 10 });
    s.writes(10);
    s.sends({ length: 10 });
    s.writes(10);
    // Five bytes would fit, which are less than half of the window (3.8.6.2.1).
    s.sendsNothing({ for: 199 });
  });
});
