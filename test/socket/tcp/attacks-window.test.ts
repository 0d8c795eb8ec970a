import { describe, expect } from "bun:test";
import type { CongestionControlName } from "../../../src/socket/tcp/congestion/control.ts";
import { type Conversation, type ScenarioOptions, scenario } from "../../support/tcp.ts";
import { acks, flies, RTT_MS, sacks, withoutSack, withSack } from "../../support/tcp-recovery.ts";

/** A receiver that lies to get more than its share: Savage et al., and what came after. Segments have 1,000 bytes. */

const MSS = 1_000;
const INITIAL_WINDOW = 10 * MSS;
const CONTROLS: readonly CongestionControlName[] = ["newreno", "cubic", "bbr"];

function options(congestionControl: CongestionControlName, more: ScenarioOptions = {}): ScenarioOptions {
  return { memory: 16 << 20, ...more, tcp: { congestionControl, maxSendBuffer: 4 << 20, ...more.tcp } };
}

/** `rounds` round trips of a peer that sends so many ACKs for each segment; returns cwnd. */
function download(s: Conversation, rounds: number, each: number): number {
  s.write(200_000);
  s.sent();
  for (let round = 0; round < rounds; round++) {
    const { sndUna, sndNxt } = s.tcb!;
    const from = (sndUna - s.iss) | 0;
    const flight = (sndNxt - sndUna) | 0;
    const pieces = (flight / MSS) * each;
    s.passes(RTT_MS);
    s.sent();
    for (let i = 1; i <= pieces; i++) {
      s.receives({ seq: 1, ack: from + Math.floor((flight * i) / pieces) });
      s.sent();
    }
  }
  return s.tcb!.cwnd;
}

for (const control of CONTROLS) {
  describe(`${control}: ACK division`, () => {
    for (const [title, open] of [
      ["with SACK", withSack],
      ["without", withoutSack],
    ] as const) {
      scenario(`${title}: fifty ACKs for each segment open the window no further than one`, () => {
        const honest = download(open(options(control)), 3, 1);
        const divided = download(open(options(control)), 3, 50);
        expect(divided).toBeLessThanOrEqual(honest + MSS);
      });
    }
  });

  describe(`${control}: optimistic ACKs`, () => {
    scenario("of what was not sent are refused, and open nothing", () => {
      const s = withSack(options(control));
      flies(s, 100_000);
      const { cwnd, sndNxt } = s.tcb!;
      for (let i = 1; i <= 1_000; i++) {
        s.receives({ seq: 1, ack: ((sndNxt - s.iss) | 0) + i });
        s.sent();
      }
      expect(s.tcb!).toMatchObject({ cwnd, delivered: 0, sndNxt });
    });

    scenario("of what was sent just now count for what was sent, and no more", () => {
      const s = withSack(options(control, { wscale: 14 }));
      s.write(1_000_000);
      s.sent();
      for (let i = 0; i < 6; i++) {
        s.passes(1);
        s.sent();
        const sent = (s.tcb!.sndNxt - s.iss) | 0;
        s.receives({ seq: 1, ack: sent });
        s.sent();
        expect(s.tcb!.cwnd).toBeLessThanOrEqual(INITIAL_WINDOW + 3 * sent);
        expect(s.tcb!.pipe).toBeLessThanOrEqual(s.tcb!.cwnd + 3 * MSS);
      }
    });
  });

  describe(`${control}: duplicate ACKs without end`, () => {
    scenario("without SACK: what they let out is bounded", () => {
      const s = withoutSack(options(control));
      flies(s, 100_000);
      s.passes(RTT_MS);
      s.sent();
      let sent = 0;
      for (let i = 0; i < 5_000; i++) {
        sent += acks(s, 1).length;
        // What is paced gets its time, and the retransmission timer does not expire.
        s.passes(0.03);
        sent += s.sent().length;
      }
      expect(s.host.stack.stats.tcpTimeouts).toBe(0);
      expect(sent).toBeLessThanOrEqual(30);
      expect(s.tcb!.cwnd).toBeLessThanOrEqual(3 * INITIAL_WINDOW);
    });

    scenario("with SACK: those that tell nothing let out nothing", () => {
      const s = withSack(options(control));
      flies(s, 100_000);
      s.passes(RTT_MS);
      s.sent();
      let sent = 0;
      for (let i = 0; i < 2_000; i++) sent += acks(s, 1).length;
      expect(sent).toBe(0);
      for (let i = 0; i < 2_000; i++) sent += sacks(s, 1, [2_001, 3_001]).length;
      expect(sent).toBeLessThanOrEqual(3);
      expect(s.tcb!.cwnd).toBeLessThanOrEqual(INITIAL_WINDOW + 2 * MSS);
    });
  });

  describe(`${control}: D-SACK lies`, () => {
    scenario(
      "what is reported as received twice takes back losses, and gives no more than was there before",
      () => {
        const s = withSack(options(control));
        flies(s, 100_000);
        s.passes(RTT_MS);
        s.sent();
        const { cwnd } = s.tcb!;
        sacks(s, 1, [1_001, 10_001]);
        for (let i = 0; i < 500; i++) {
          sacks(s, 1, [1, 1_001], [1, 10_001]);
          sacks(s, 1, [-1_000, 1]);
        }
        expect(s.tcb!.cwnd).toBeLessThanOrEqual(cwnd + 10 * MSS);
        expect(s.tcb!.loss.reportedBytes).toBeLessThanOrEqual(s.tcb!.bytesRetransmitted);
      },
    );

    scenario("the window for reordering stays within a round trip, however often it is widened", () => {
      const s = withSack(options(control));
      s.tcb!.loss.reorderMultiplier = 1_000_000;
      s.tcb!.loss.reorderingSeen = true;
      flies(s, 10_000);
      s.passes(RTT_MS);
      s.sent();
      s.receives({ seq: 1, ack: 1, sack: [[1_001, 10_001]] });
      s.sent();
      const { sent, lost } = s.tcb!;
      expect([sent.pipe, lost]).toEqual([MSS, 0]);
      s.passes(RTT_MS + 1);
      expect(s.sent().map(({ seg }) => (seg.seq - s.iss) | 0)).toContain(1);
    });
  });

  describe(`${control}: timestamp lies`, () => {
    scenario("echoes of what was never sent, or long ago, leave RTT and RTO within bounds", () => {
      const s = withSack(options(control, { peerClock: 1_000, tcp: { timestamps: true } }));
      let acked = 1;
      s.write(200_000);
      s.sent();
      for (const echo of [0, 1, -1, 0x7fff_ffff, -0x8000_0000, 1_000_000, 150, 300, 90]) {
        s.passes(RTT_MS);
        s.sent();
        acked += 500;
        s.receives({ seq: 1, ack: acked, ts: [1_000_000 + s.now, echo] });
        s.sent();
        const { srttMs, minRttMs, rtoMs, cwnd } = s.socket.info();
        expect(srttMs).toBeGreaterThanOrEqual(0);
        expect(srttMs).toBeLessThanOrEqual(s.host.age);
        expect(minRttMs).toBeGreaterThanOrEqual(RTT_MS);
        expect(rtoMs).toBeGreaterThanOrEqual(200);
        expect(rtoMs).toBeLessThanOrEqual(60_000);
        expect(cwnd).toBeLessThanOrEqual(INITIAL_WINDOW + acked);
      }
    });
  });

  describe(`${control}: ECN lies`, () => {
    scenario("a mark in every ACK slows down once a round trip, not to nothing", () => {
      const s = withSack(options(control, { peerEcn: true, tcp: { ecn: true } }));
      s.write(200_000);
      s.sent();
      for (let round = 0; round < 20; round++) {
        const { sndUna, sndNxt } = s.tcb!;
        const from = (sndUna - s.iss) | 0;
        const flight = (sndNxt - sndUna) | 0;
        s.passes(RTT_MS);
        s.sent();
        const before = s.host.stack.stats.tcpCongestionEchoes;
        for (let at = MSS; at <= flight; at += MSS) {
          s.receives({ flags: "E.", seq: 1, ack: from + at });
          s.sent();
        }
        expect(s.host.stack.stats.tcpCongestionEchoes - before).toBeLessThanOrEqual(2);
        expect(s.tcb!.cwnd).toBeGreaterThanOrEqual(MSS);
      }
      expect(s.tcb!.bytesSent).toBeGreaterThan(20 * MSS);
    });
  });
}
