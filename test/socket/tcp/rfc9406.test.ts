import { describe, expect, test } from "bun:test";
import { Cubic } from "../../../src/socket/tcp/congestion/cubic.ts";
import { NewReno } from "../../../src/socket/tcp/congestion/newreno.ts";
import { INITIAL_SSTHRESH } from "../../../src/socket/tcp/congestion/slow-start.ts";
import { Bottleneck, mbit } from "../../support/bottleneck.ts";
import { Driver } from "../../support/congestion.ts";

/** RFC 9406: HyStart++. */

const MSS = 1_000;
const controls = [
  ["cubic", () => new Cubic()],
  ["newreno", () => new NewReno()],
] as const;

for (const [name, create] of controls) {
  const driver = () => new Driver(create(), { mss: MSS });
  const inSlowStart = (d: Driver) => d.tcb.ssthresh === INITIAL_SSTHRESH;

  /** By how much a round at this round-trip time opens the window. */
  const growth = (d: Driver, rttMs: number) => {
    const before = d.tcb.cwnd;
    d.round(rttMs);
    return d.tcb.cwnd / before;
  };

  describe(`4.2, ${name}`, () => {
    test("while the round-trip time stays, the window doubles", () => {
      const d = driver();
      for (let i = 0; i < 8; i++) expect(growth(d, 100)).toBe(2);
    });

    test("RttThresh is an eighth of the last round's minimum: 12.5 ms of 100", () => {
      const d = driver();
      d.round(100);
      expect(growth(d, 112)).toBe(2);
      // The eighth sample of the round decides: from there on a quarter.
      const e = driver();
      e.round(100);
      expect(growth(e, 112.5)).toBeLessThan(1.8);
      expect(growth(e, 112.5)).toBeCloseTo(1.25, 1);
    });

    test("at least 4 ms, at most 16 ms", () => {
      const short = driver();
      short.round(10);
      expect(growth(short, 13.9)).toBe(2);
      const long = driver();
      long.round(400);
      long.round(416);
      expect(growth(long, 416)).toBeCloseTo(1.25, 1);
    });

    test("fewer than eight samples in a round decide nothing", () => {
      const d = driver();
      d.tcb.cwnd = 7 * MSS;
      d.round(100);
      d.tcb.cwnd = 7 * MSS;
      expect(growth(d, 200)).toBe(2);
    });

    test("one late sample does not either: the minimum counts", () => {
      const d = driver();
      d.round(100);
      d.fills();
      for (let i = 0; i < 20; i++) d.acks(MSS, { rttMs: i === 3 ? 100 : 500 });
      expect(growth(d, 100)).toBe(2);
    });

    test("conservative slow start lasts five rounds, the one it began in included", () => {
      const d = driver();
      d.round(100);
      for (let round = 1; round <= 5; round++) {
        expect(inSlowStart(d)).toBe(true);
        d.round(150);
      }
      // The sixth round's first ACK ends it.
      expect(inSlowStart(d)).toBe(true);
      d.round(150);
      expect(inSlowStart(d)).toBe(false);
      expect(growth(d, 150)).toBeLessThan(1.05);
    });

    test("round-trip times that fall back end it: slow start goes on", () => {
      const d = driver();
      d.round(100);
      d.round(150);
      d.round(150);
      d.round(100);
      for (let i = 0; i < 6; i++) {
        expect(growth(d, 100)).toBeGreaterThan(1.99);
        expect(inSlowStart(d)).toBe(true);
      }
    });

    test("only in the initial slow start", () => {
      const d = driver();
      d.tcb.cwnd = 400 * MSS;
      d.fills();
      d.timesOut();
      d.tcb.recover = d.tcb.iss;
      d.tcb.sent.pipe = 0;
      d.tcb.cwnd = 20 * MSS;
      d.round(100);
      expect(growth(d, 200)).toBe(2);
    });

    test("with a deep queue slow start ends before anything is lost", () => {
      const rate = mbit(100);
      // Rising times are seen a round late, and conservative slow start still trebles the window.
      const link = new Bottleneck({ rate, rttMs: 40, queue: 14 * rate * 40 });
      const sender = link.add(create());
      link.run(3_000);
      expect(sender.losses).toBe(0);
      expect(inSlowStart({ tcb: sender.tcb } as Driver)).toBe(false);
      // It has found the path: not less than is needed to fill it.
      expect(sender.tcb.cwnd).toBeGreaterThan(0.9 * rate * 40);
    });
  });
}

test("4.3: L is 8 for cubic", () => {
  const d = new Driver(new Cubic(), { mss: MSS });
  d.fills();
  d.acks(10 * MSS, { rttMs: 100 });
  expect(d.tcb.cwnd).toBe(18 * MSS);
});

test("newreno without it goes on until something is lost", () => {
  const rate = mbit(100);
  const link = new Bottleneck({ rate, rttMs: 40, queue: 14 * rate * 40 });
  const sender = link.add(new NewReno(false));
  link.run(3_000);
  expect(sender.losses).toBeGreaterThan(0);
});
