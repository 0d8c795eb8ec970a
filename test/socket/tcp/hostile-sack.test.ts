import { describe, expect, test } from "bun:test";
import { randomBelow, seededRandom } from "../../../src/random.ts";
import { processAck } from "../../../src/socket/tcp/ack.ts";
import { seqAdd } from "../../../src/socket/tcp/seq.ts";
import { ACK, TcpSegment } from "../../../src/wire/tcp.ts";
import { type Conversation, scenario } from "../../support/tcp.ts";
import { acks, block, flies, RTT_MS, sacks, segment, starts, withSack } from "../../support/tcp-recovery.ts";
import { checkScoreboard } from "../../support/tcp-scoreboard.ts";

/** Peers that tell nonsense, or much, or little at a time: what they get for it, and what it costs. */

describe("blocks at random", () => {
  test("leave the records consistent, and open no window", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed);
      const below = (n: number) => randomBelow(random, n);
      const s = withSack({
        memory: 8 << 20,
        iss: [0, 0x7fff_f000, -3_000][seed % 3],
        tcp: { congestionControl: seed % 2 ? "cubic" : "newreno" },
      });
      const written = 200_000;
      s.write(written);
      s.sent();
      for (let i = 0; i < 150; i++) {
        s.passes(below(3) === 0 ? below(RTT_MS) : 0);
        s.sent();
        const una = (s.tcb!.sndUna - s.iss) | 0;
        const nxt = (s.tcb!.sndNxt - s.iss) | 0;
        const span = nxt - una + 1;
        const place = () =>
          una + (below(10) === 0 ? below(0x7fff_ffff) - 0x4000_0000 : below(span + 200) - 100);
        const sack = Array.from({ length: below(5) }, (): [number, number] => {
          const from = place();
          return [from, below(3) === 0 ? place() : from + 1 + below(2_000)];
        });
        const ack = below(3) === 0 ? Math.min(una + below(span), nxt) : una;
        s.receives({ seq: 1, ack, sack });
        s.sent();
        checkScoreboard(s.tcb!);
        const { tcb } = s;
        expect(tcb!.cwnd).toBeLessThanOrEqual(10_000 + tcb!.delivered + 1_000);
        expect(tcb!.sent.count).toBeLessThanOrEqual(64 + (2 * (nxt - una)) / 1_000 + 2);
        if (s.host.stack.stats.tcpTimeouts === 0)
          expect(tcb!.delivered).toBeLessThanOrEqual((tcb!.sndNxt - tcb!.iss) | 0);
      }
    }
  });
});

describe("bytes SACKed one by one", () => {
  scenario("every second one: no more records than a few for each segment", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    for (let i = 2; i < 9_000; i += 8) {
      sacks(s, 1, [i, i + 1], [i + 2, i + 3], [i + 4, i + 5]);
      checkScoreboard(s.tcb!);
    }
    expect(s.tcb!.sent.count).toBeLessThanOrEqual(64 + 20 + 2);
    s.passes(1_000);
    s.sent();
    // It goes on all the same.
    acks(s, 10_001);
    expect(flies(s, 1_000)).toEqual(segment(11));
  });

  scenario("ACKs that are divided open the window by what they acknowledge", () => {
    const s = withSack();
    flies(s, 30_000);
    s.passes(RTT_MS);
    for (let i = 2; i <= 1_001; i++) acks(s, i);
    expect(s.socket.info().cwnd).toBe(11_000);
  });

  scenario("SACKs that are divided let out what they deliver", () => {
    const s = withSack();
    flies(s, 30_000);
    s.passes(RTT_MS);
    const sent: number[] = [];
    for (let i = 1_002; i <= 6_001; i++) sent.push(...sacks(s, 1, [1_001, i]));
    // 2,000 before the loss is found; half of the other 3,000 behind it, with what is sent again.
    expect(sent.length).toBeLessThanOrEqual(5);
    expect(s.tcb!.pipe).toBeLessThanOrEqual(10_000);
  });
});

describe("optimistic ACKs", () => {
  scenario("what was not sent cannot be acknowledged, nor SACKed", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    s.receives({ seq: 1, ack: 10_002 });
    starts(s);
    sacks(s, 1, [10_001, 11_001], [9_001, 10_002]);
    expect(s.tcb).toMatchObject({ delivered: 0, cwnd: 10_000, pipe: 10_000 });
  });

  scenario("SACKing everything but the first byte ends in a timeout, not in a loop", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    sacks(s, 1, [2, 10_001]);
    for (let i = 0; i < 20; i++) {
      s.passes(1_000);
      starts(s);
      sacks(s, 1, [2, 10_001]);
    }
    expect(s.tcb!.bytesRetransmitted).toBeLessThan(30);
    checkScoreboard(s.tcb!);
  });
});

describe("what an ACK costs does not grow with the flight", () => {
  /** So many segments are out, sent one after the other. */
  function flight(segments: number): Conversation {
    const buffer = segments * 1_000 + 100_000;
    const s = withSack({
      memory: 256 << 20,
      wscale: 14,
      tcp: { sendBuffer: buffer },
    });
    s.tcb!.cwnd = segments * 1_000;
    s.tcb!.lastSentAt = s.host.stack.sockets.context.now;
    s.writes(segments * 1_000);
    s.sent();
    expect(s.tcb!.pipe).toBe(segments * 1_000);
    s.passes(RTT_MS);
    s.sent();
    return s;
  }

  const seg = new TcpSegment();
  seg.flags = ACK;

  /** An ACK with a block of one segment, without what a test device costs. */
  function ack(s: Conversation, number: number, first: number, last: number): void {
    const tcb = s.tcb!;
    seg.seq = tcb.rcvNxt;
    seg.ack = seqAdd(s.iss, number);
    seg.window = tcb.sndWnd >> tcb.sndWindShift;
    seg.sackCount = 1;
    const [from, to] = block(first, last);
    seg.sackEdges[0] = seqAdd(s.iss, from);
    seg.sackEdges[1] = seqAdd(s.iss, to);
    processAck(tcb, seg, true, s.host.stack.sockets.context.now);
  }

  /** us for each ACK. */
  function measure(segments: number, order: (i: number) => number): number {
    const s = flight(segments);
    const count = segments >> 1;
    const start = performance.now();
    for (let i = 0; i < count; i++) {
      const number = order(i) * 2 + 2;
      ack(s, 1, number, number);
    }
    const us = ((performance.now() - start) * 1_000) / count;
    checkScoreboard(s.tcb!);
    expect(s.tcb!.sent.count).toBe(segments);
    return us;
  }

  const orders: [string, (count: number) => (i: number) => number][] = [
    ["every second segment is SACKed, from the first on", () => (i) => i],
    ["from the last on", (count) => (i) => count - 1 - i],
    ["alternately from both ends of a half", (count) => (i) => (i % 2 ? i >> 1 : (count >> 1) + (i >> 1))],
  ];
  for (const [what, order] of orders) {
    test(`${what}: 100 and 10,000 segments`, () => {
      measure(2_000, order(1_000));
      const few = Math.min(...[1, 2, 3].map(() => measure(100, order(50))));
      const many = Math.min(...[1, 2].map(() => measure(10_000, order(5_000))));
      expect(many).toBeLessThan(5 * few + 2);
    });
  }

  test("at random, from a peer that is not honest: at most so much", () => {
    const s = flight(10_000);
    for (let i = 2; i <= 10_000; i += 2) ack(s, 1, i, i);
    const random = seededRandom(1);
    const start = performance.now();
    for (let i = 0; i < 5_000; i++) {
      const number = 1 + 2 * randomBelow(random, 5_000);
      ack(s, 1, number, number);
    }
    expect((performance.now() - start) / 5_000).toBeLessThan(0.03);
    checkScoreboard(s.tcb!);
  });
});
