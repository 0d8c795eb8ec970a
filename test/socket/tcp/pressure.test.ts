import { describe, expect, test } from "bun:test";
import { StackError, WRITABLE } from "../../../src/index.ts";
import { tcpSettings } from "../../../src/socket/tcp/settings.ts";
import {
  type Conversation,
  established,
  PEER_PORT,
  type ScenarioOptions,
  scenario,
} from "../../support/tcp.ts";

/** Peers that take nothing, little, or leave gaps: what that may cost, and who pays when memory is short. */

/** As many pages as tests can count: 16, of which 4 are for text that can be read at once. */
const SMALL = { memory: 16 << 14, passive: true } as const;

function another(s: Conversation, port: number, options: ScenarioOptions = {}): Conversation {
  const t = s.from(port, options);
  t.receives(t.syn("S"));
  t.sends({ flags: "S." });
  t.receives({ seq: 1, ack: 1 });
  t.accepts();
  s.host.run();
  t.events = 0;
  return t;
}

function pool(s: Conversation) {
  return s.host.stack.sockets.context.pool;
}

describe("a window that is shut", () => {
  scenario("gets text put by while half of the memory is free, and no more then", () => {
    const s = established(SMALL);
    s.receives({ win: 0 });
    s.win = 0;
    const giveBack = s.host.leavePages(9);
    expect(s.write(100)).toBe(100);
    expect(s.write(100)).toBe(0);
    expect(pool(s).freePages).toBe(8);
    giveBack();
    s.host.run();
    expect(s.events & WRITABLE).toBe(WRITABLE);
    expect(s.write(100)).toBe(100);
  });

  scenario("others may write all the same", () => {
    const s = established(SMALL);
    s.receives({ win: 0 });
    s.host.leavePages(8);
    expect(s.write(100)).toBe(0);
    const t = another(s, PEER_PORT + 1);
    t.writes(100);
    t.sends({ length: 100 });
  });

  scenario(
    "with nothing put by it is asked for, by segments without text, and the answer lets the program go on",
    () => {
      const s = established({ ...SMALL, rttMs: 100 });
      s.receives({ win: 0 });
      s.win = 0;
      s.host.leavePages(8);
      expect(s.write(100)).toBe(0);
      const { rtoMs } = s.socket.info();
      s.sends({ seq: 0, ack: 1, at: rtoMs });
      s.receives({ seq: 1, ack: 1, win: 0 });
      s.sends({ seq: 0, ack: 1, at: 3 * rtoMs });
      s.wasToldOf(0);
      s.receives({ seq: 1, ack: 1, win: 5_000 });
      s.wasToldOf(WRITABLE);
      s.writes(100);
      s.sends({ seq: 1, length: 100 });
      s.receives({ ack: 101 });
      s.sendsNothing({ for: 100_000 });
    },
  );

  scenario("one byte is as good as shut, a segment is not, however small it is", () => {
    const s = established({ ...SMALL, mss: 300 });
    s.host.leavePages(8);
    s.receives({ win: 1 });
    expect(s.write(100)).toBe(0);
    s.receives({ win: 300 });
    expect(s.write(100)).toBe(100);
    s.sends({ length: 100 });
  });
});

describe("stallTimeoutMs", () => {
  const tcp = { stallTimeoutMs: 60_000 };

  scenario("ends a connection whose peer answers every probe, and takes nothing", () => {
    const s = established({ tcp });
    s.receives({ win: 0 });
    s.writes(100);
    answersFor(s, 59_000, 0);
    s.is("ESTABLISHED");
    answersFor(s, 61_000, 0);
    s.failedWith("ETIMEDOUT");
    expect(s.host.stack.stats.tcpStalledDropped).toBe(1);
  });

  scenario("also one whose peer takes a byte now and then", () => {
    const s = established({ tcp });
    s.receives({ win: 1 });
    s.writes(10_000);
    answersFor(s, 130_000, 1);
    s.failedWith("ETIMEDOUT");
    expect(s.host.stack.stats.tcpStalledDropped).toBe(1);
  });

  scenario("not one that is slow, and gets somewhere", () => {
    const s = established({ tcp, win: 16_384 });
    s.writes(100_000);
    for (let acked = 512; acked < 60_000; acked += 512) {
      s.passes(1_000);
      s.sent();
      s.receives({ ack: 1 + acked });
      s.sent();
    }
    expect(s.now).toBeGreaterThan(100_000);
    s.is("ESTABLISHED");
  });

  scenario("0 is for ever: RFC 9293 3.8.6.1", () => {
    const s = established();
    s.receives({ win: 0 });
    s.writes(100);
    answersFor(s, 3_600_000, 0);
    s.is("ESTABLISHED");
  });

  /** The peer acknowledges what comes, `taking` bytes at most of each segment, and its window stays as it is. */
  function answersFor(s: Conversation, until: number, taking: number): void {
    while (s.now < until && s.socket.state === "ESTABLISHED") {
      s.passes(1_000);
      for (const { seg } of s.sent()) {
        if (seg.payloadLength === 0) continue;
        const seq = (seg.seq - s.iss) | 0;
        s.receives({ seq: 1, ack: seq + Math.min(taking, seg.payloadLength), win: taking });
        s.host.outbox.length = 0;
      }
    }
    s.sent();
  }
});

describe("stallUnderPressureMs", () => {
  const tcp = { stallUnderPressureMs: 5_000 };

  scenario("the connection that has stalled longest makes room for one that may send", () => {
    const s = established({ ...SMALL, tcp });
    const stalled = [s, ...[1, 2].map((i) => another(s, PEER_PORT + i))];
    const others = s.host.leavePages(7);
    for (const t of stalled) {
      t.writes(100);
      t.sends({ length: 100 });
      t.passes(1_000);
      s.host.outbox.length = 0;
    }
    const client = another(s, PEER_PORT + 9);
    expect(client.write(100)).toBe(0);
    s.passes(1_900);
    s.host.outbox.length = 0;
    expect(client.write(100)).toBe(0);
    client.wasToldOf(0);
    s.passes(1_200);
    s.host.outbox.length = 0;
    stalled[0].failedWith("ENOBUFS");
    stalled[1].is("ESTABLISHED");
    expect(client.events & WRITABLE).toBe(WRITABLE);
    expect(client.write(100)).toBe(100);
    expect(s.host.stack.stats.tcpStalledDropped).toBe(1);
    expect(() => s.socket.write(new Uint8Array(1))).toThrow(/memory is short/);
    others();
  });

  scenario("nobody is ended for memory that only it waits for", () => {
    const s = established({ ...SMALL, tcp, win: 16_384 });
    s.host.leavePages(5);
    // All that there is, and more is wanted.
    expect(s.write(20_000)).toBe(16_384);
    s.passes(60_000);
    s.is("ESTABLISHED");
    // But it makes room for another one.
    s.host.outbox.length = 0;
    const t = another(s, PEER_PORT + 1);
    expect(t.write(100)).toBe(0);
    s.passes(1_000);
    s.failedWith("ENOBUFS");
    s.host.outbox.length = 0;
    expect(t.events & WRITABLE).toBe(WRITABLE);
  });

  scenario("nobody is ended while there is memory, however long it takes", () => {
    const s = established({ ...SMALL, tcp });
    s.writes(100);
    s.passes(100_000);
    s.sent();
    s.is("ESTABLISHED");
  });
});

describe("text ahead of a gap", () => {
  scenario("leaves a quarter of the memory to text that can be read", () => {
    const s = established(SMALL);
    s.host.leavePages(5);
    s.receives({ seq: 101, length: 100 });
    s.sends({ ack: 1 });
    s.receives({ seq: 20_001, length: 100 });
    s.sends({ ack: 1 });
    expect(pool(s).freePages).toBe(4);
    expect(s.host.stack.stats.tcpNoBuffer).toBe(1);
    s.receives({ seq: 1, length: 100 });
    s.sends({ ack: 201 });
    s.reads(200);
  });

  scenario("is given up for whoever lacks a page, and taken when it comes again", () => {
    const s = established(SMALL);
    s.receives({ seq: 101, length: 100 }, { seq: 20_001, length: 100 });
    s.sends({ ack: 1 }, { ack: 1 });
    const t = another(s, PEER_PORT + 1);
    s.host.leavePages(4);
    expect(t.write(100)).toBe(0);
    s.host.run();
    expect(s.host.stack.stats.tcpOutOfOrderDiscarded).toBe(1);
    expect(pool(s).freePages).toBe(6);
    expect(t.events & WRITABLE).toBe(WRITABLE);
    s.receives({ seq: 1, length: 100 });
    s.sends({ ack: 101, at: 40 });
    s.receives({ seq: 101, length: 100 });
    s.sends({ ack: 201, at: 80 });
    s.reads(200);
  });

  scenario("no more ranges than outOfOrderRanges", () => {
    const s = established({ tcp: { outOfOrderRanges: 3 } });
    for (let i = 0; i < 10; i++) {
      s.receives({ seq: 11 + 20 * i, length: 1 });
      s.sends({ ack: 1 });
    }
    expect(s.socket.info().outOfOrderRanges).toBe(3);
    expect(s.host.stack.stats.tcpNoBuffer).toBe(7);
    s.receives({ seq: 1, length: 60 });
    s.sends({ ack: 61 });
  });

  scenario("what claims to be behind a FIN goes when that is reached", () => {
    const s = established();
    s.receives({ seq: 11, length: 10 }, { flags: "F.", seq: 11 });
    s.sent();
    s.receives({ seq: 30_001, length: 10 });
    s.sent();
    s.receives({ seq: 1, length: 10 });
    s.sent();
    s.reads(s.socket.readableBytes);
    s.sent();
    s.receives({ flags: "F.", seq: 21 });
    s.sent();
    s.is("CLOSE_WAIT");
    s.reads(s.socket.readableBytes);
    expect(pool(s).freePages).toBe(pool(s).pageCount);
  });
});

test("settings are checked", () => {
  for (const bad of [
    { stallTimeoutMs: -1 },
    { stallUnderPressureMs: Number.NaN },
    { outOfOrderRanges: 0 },
    { challengeAcksPerSecond: 1.5 },
    { challengeAcksPerSecondInAll: 0 },
  ]) {
    expect(() => tcpSettings(bad)).toThrow(StackError);
  }
});
