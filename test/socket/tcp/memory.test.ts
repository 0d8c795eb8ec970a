import { describe, expect } from "bun:test";
import { READABLE, WRITABLE } from "../../../src/index.ts";
import { established, scenario, segments, synReceived, synSent } from "../../support/tcp.ts";

/** Connections share one pool of pages: what happens when it runs low, and that nobody is forgotten when it does not. */

describe("a program that writes", () => {
  scenario("gets fewer bytes taken when there are no pages, and an event when there are again", () => {
    const s = established();
    const giveBack = s.host.leavePages(0);
    expect(s.write(100)).toBe(0);
    s.sendsNothing({ for: 10_000 });
    s.wasToldOf(0);
    giveBack();
    s.host.run();
    s.wasToldOf(WRITABLE);
    s.writes(100);
    s.sends({ length: 100 });
  });

  scenario("is told once, not at every poll, and by one page as well as by many", () => {
    const s = established();
    s.host.leavePages(0);
    expect(s.write(100)).toBe(0);
    const { pool } = s.host.stack.sockets.context;
    let told = 0;
    s.socket.handler = (events) => {
      told++;
      expect(events).toBe(WRITABLE);
    };
    for (let i = 0; i < pool.pageCount; i++) pool.give(i);
    for (let i = 0; i < 20; i++) s.host.run();
    expect(told).toBe(1);
  });

  scenario("may be told in vain when another one was faster, and is told again", () => {
    const s = established();
    const giveBack = s.host.leavePages(0);
    expect(s.write(100)).toBe(0);
    giveBack();
    const again = s.host.leavePages(0);
    s.host.run();
    expect(s.write(100)).toBe(0);
    again();
    s.host.run();
    s.writes(100);
    s.sends({ length: 100 });
  });

  scenario(
    "whose send buffer is full is not told before the peer has acknowledged, whatever the pool has",
    () => {
      const s = established({ tcp: { sendBuffer: 2_000 }, noDelay: true });
      s.receives({ win: 0 });
      s.win = 0;
      expect(s.write(3_000)).toBe(2_000);
      const giveBack = s.host.leavePages(1);
      s.receives({ length: 100, ack: 1 }, { length: 100, ack: 1 });
      s.sends({ ack: 201 });
      giveBack();
      s.host.run();
      s.wasToldOf(READABLE);
      s.host.run();
      s.wasToldOf(0);
    },
  );
});

describe("counters", () => {
  scenario("of what connections do", () => {
    const s = synReceived();
    s.receives({ seq: 1, ack: 1 });
    s.accepts();
    s.receives({ seq: -5 });
    s.sends({ ack: 1 });
    s.writes(10);
    s.sends({ length: 10 });
    s.sends({ flags: "P.", seq: 1, length: 10, at: 200 });
    s.receives({ flags: "R", seq: 1 });
    const { stats } = s.host.stack;
    expect(stats).toMatchObject({
      tcpTimeouts: 1,
      tcpRetransmissions: 1,
      tcpPassiveOpens: 1,
      tcpActiveOpens: 0,
      tcpUnacceptable: 1,
      tcpResetsReceived: 1,
    });
    s.host.stack.sockets.connect({ address: "10.0.0.2", port: 9 }).abort();
    expect(stats.tcpActiveOpens).toBe(1);
    const t = synSent();
    t.sends({ flags: "S", seq: 0, at: 1_000 });
    t.receives({ flags: "R.", seq: 0, ack: 1 });
    expect(t.host.stack.stats).toMatchObject({
      tcpActiveOpens: 1,
      tcpResetsReceived: 1,
      tcpRetransmissions: 1,
    });
  });
});

describe("a window that was cut down", () => {
  scenario("is opened when pages come back, without a read", () => {
    const s = established({ tcp: { receiveBuffer: 60_000 } });
    const giveBack = s.host.leavePages(2);
    s.receives(...segments(40, 1_460, 1));
    // What does not fit is dropped; the peer still has the window it was offered.
    s.sent();
    s.reads(s.socket.readableBytes);
    s.sent();
    giveBack();
    s.host.run();
    s.passes(40);
    s.sent();
    expect(s.socket.info().rcvWnd).toBeGreaterThan(59_000 - 1_460);
  });

  scenario("a stack that waits for pages does not ask to be polled", () => {
    const s = established({ tcp: { receiveBuffer: 60_000 } });
    s.host.leavePages(2);
    s.receives(...segments(4, 1_460, 1));
    s.sent();
    s.reads(5_840);
    s.sent();
    expect(s.write(50_000)).toBeLessThan(50_000);
    s.sent();
    for (let i = 0; i < 10; i++) s.host.run();
    const { nextDeadline } = s.host.stack;
    expect(nextDeadline.call(s.host.stack, 0)).toBeGreaterThan(777_000);
  });
});
