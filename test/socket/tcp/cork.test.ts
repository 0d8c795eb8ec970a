import { describe, expect } from "bun:test";
import { type Conversation, established, type ScenarioOptions, scenario } from "../../support/tcp.ts";

/** Corks: full-sized segments go, the rest waits for more text. */

function corked(options: ScenarioOptions = {}): Conversation {
  const s = established({ mss: 1_000, ...options });
  s.socket.corked = true;
  return s;
}

function uncork(s: Conversation): void {
  s.socket.corked = false;
  s.host.run();
}

describe("a cork", () => {
  scenario("holds back what fills no segment, with nothing in flight and Nagle's algorithm off", () => {
    const s = corked({ noDelay: true });
    s.writes(100);
    s.writes(200);
    s.sendsNothing({ for: 199 });
    uncork(s);
    s.sends({ flags: "P.", seq: 1, length: 300 });
  });

  scenario("lets full segments go, and keeps the rest", () => {
    const s = corked();
    s.writes(600);
    s.writes(600);
    s.sends({ flags: ".", seq: 1, length: 1_000 });
    s.sendsNothing({ for: 10 });
    s.writes(1_800);
    s.sends({ flags: ".", seq: 1_001, length: 1_000 }, { seq: 2_001, length: 1_000 });
  });

  scenario("where the device cuts super-segments as well", () => {
    const s = corked({ offload: true, noDelay: true });
    s.writes(2_500);
    s.sends({ flags: ".", seq: 1, length: 2_000, cutInto: 1_000 });
    uncork(s);
    s.sends({ flags: "P.", seq: 2_001, length: 500 });
  });

  scenario("ends: what waits goes at once, past Nagle's algorithm", () => {
    const s = corked();
    s.writes(1_300);
    s.sends({ length: 1_000 });
    uncork(s);
    s.sends({ flags: "P.", seq: 1_001, length: 300 });
    // Which then holds again.
    s.writes(10);
    s.sendsNothing({ for: 10 });
    s.receives({ ack: 1_301 });
    s.sends({ seq: 1_301, length: 10 });
  });

  scenario("with nothing to wait ends without a trace", () => {
    const s = corked();
    uncork(s);
    s.writes(100);
    s.sends({ length: 100 });
    s.writes(10);
    s.sendsNothing({ for: 10 });
  });

  scenario("holds for 200 ms, counted from the first text that waits", () => {
    const s = corked();
    s.passes(1_000);
    s.writes(100);
    s.passes(150);
    s.writes(100);
    s.sendsNothing({ for: 49 });
    s.sends({ flags: "P.", seq: 1, length: 200, after: 1 });
    expect(s.host.stack.stats.tcpCorkTimeouts).toBe(1);
    s.receives({ ack: 201 });
    // And the next for 200 ms again.
    s.writes(50);
    s.sendsNothing({ for: 199 });
    s.sends({ seq: 201, length: 50, after: 1 });
  });

  scenario("a timeout that finds no window open does not spin", () => {
    const s = corked();
    s.receives({ win: 0 });
    s.win = 0;
    s.writes(50);
    s.passes(210);
    s.sent();
    s.receives({ win: 1_000, ack: 2 });
    s.sends({ seq: 2, length: 49, flags: "P.", after: 200 });
  });

  scenario("SHUTDOWN lets everything go, with the FIN", () => {
    const s = corked();
    s.writes(100);
    s.shutdown();
    s.sends({ flags: "FP.", seq: 1, length: 100 });
  });

  scenario("text is sent again and acknowledged as without", () => {
    const s = corked();
    s.writes(1_000);
    s.sends({ length: 1_000 });
    s.sends({ flags: "P.", seq: 1, length: 1_000, at: 200 });
    s.receives({ length: 10, ack: 1_001 });
    s.writes(10);
    s.sends({ ack: 11, seq: 1_001, after: 40 });
  });

  scenario("is forgotten when the connection ends", () => {
    const s = corked();
    s.writes(10);
    s.abort();
    s.sends({ flags: "R." });
    expect(s.host.isQuiet).toBe(true);
    s.socket.corked = false;
    s.socket.corked = true;
  });
});

describe("noDelay, changed on a live connection", () => {
  scenario("on: what Nagle's algorithm held back goes at once", () => {
    const s = established();
    s.writes(10);
    s.sends({ length: 10 });
    s.writes(20);
    s.sendsNothing({ for: 10 });
    s.socket.noDelay = true;
    s.host.run();
    s.sends({ flags: "P.", seq: 11, length: 20 });
    s.writes(5);
    s.sends({ length: 5 });
  });

  scenario("off: it holds again", () => {
    const s = established({ noDelay: true });
    s.writes(10);
    s.sends({ length: 10 });
    s.socket.noDelay = false;
    s.writes(20);
    s.sendsNothing({ for: 10 });
    expect(s.socket.noDelay).toBe(false);
  });

  scenario("on, under a cork: what waits goes, and what follows waits", () => {
    const s = corked();
    s.writes(10);
    s.socket.noDelay = true;
    s.host.run();
    s.sends({ length: 10 });
    s.writes(10);
    s.sendsNothing({ for: 100 });
  });
});
