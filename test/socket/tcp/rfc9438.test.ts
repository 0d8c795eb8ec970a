import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createCongestionControl } from "../../../src/socket/tcp/congestion/control-factory.ts";
import { Cubic } from "../../../src/socket/tcp/congestion/cubic.ts";
import { Bottleneck, mbit } from "../../support/bottleneck.ts";
import { Driver } from "../../support/congestion.ts";

/** RFC 9438: CUBIC. Windows in segments of 1,000 bytes, K and t in seconds, as in the RFC's formulas. */

// Minutes of simulated time, on machines that have other things to do as well.
setDefaultTimeout(30_000);

const MSS = 1_000;

/** In congestion avoidance after a reduction from `segments`, whose W_max that is. */
function reducedFrom(segments: number): Driver {
  const d = new Driver(new Cubic(), { mss: MSS });
  d.tcb.cwnd = segments * MSS;
  d.reduces();
  return d;
}

/** Round trips until the time since `start` is at least `ms`. */
function runUntil(d: Driver, ms: number, rttMs: number): void {
  while (d.now < ms) d.round(rttMs);
}

describe("4.6: multiplicative decrease", () => {
  test("ssthresh = flight size * 0.7, and W_max is the window", () => {
    const d = reducedFrom(100);
    expect(d.tcb.ssthresh).toBe(70 * MSS);
    expect(d.tcb.cwnd).toBe(70 * MSS);
  });

  test("flight size is what is under way, not the window, when the window was not used", () => {
    const d = new Driver(new Cubic(), { mss: MSS });
    d.tcb.cwnd = 100 * MSS;
    d.sends(40 * MSS);
    d.control.onCongestion(d.tcb, false, d.now);
    expect(d.tcb.ssthresh).toBe(28 * MSS);
  });

  test("it is the window when that was used up: the ACK that shows the loss may have acknowledged half of it", () => {
    const d = new Driver(new Cubic(), { mss: MSS });
    d.tcb.cwnd = 100 * MSS;
    d.tcb.cwndLimited = true;
    d.sends(50 * MSS);
    d.control.onCongestion(d.tcb, false, d.now);
    expect(d.tcb.ssthresh).toBe(70 * MSS);
  });

  test("what was sent beyond the window is not counted", () => {
    const d = new Driver(new Cubic(), { mss: MSS });
    d.tcb.cwnd = 100 * MSS;
    d.sends(140 * MSS);
    d.control.onCongestion(d.tcb, false, d.now);
    expect(d.tcb.ssthresh).toBe(70 * MSS);
  });

  test("never below two segments", () => {
    expect(reducedFrom(2).tcb.ssthresh).toBe(2 * MSS);
  });

  test("congestion experienced counts as much as a loss", () => {
    const d = new Driver(new Cubic(), { mss: MSS });
    d.tcb.cwnd = 100 * MSS;
    d.reduces(true);
    expect(d.tcb.ssthresh).toBe(70 * MSS);
  });
});

describe("4.2: W_cubic(t) = C * (t - K)^3 + W_max", () => {
  // cbrt((1,000 - 700) / 0.4) = 9.0856 s. A round trip so long that Reno is far behind.
  const K = 9_085.6;

  test("the window is back at W_max after K", () => {
    const d = reducedFrom(1_000);
    runUntil(d, K - 500, 100);
    expect(d.tcb.cwnd / MSS).toBeLessThan(1_000);
    expect(d.tcb.cwnd / MSS).toBeGreaterThan(999);
    runUntil(d, K + 500, 100);
    expect(d.tcb.cwnd / MSS).toBeGreaterThanOrEqual(999.9);
    expect(d.tcb.cwnd / MSS).toBeLessThan(1_001);
  });

  // By hand: 0.4 * (t - 9.0856)^3 + 1,000.
  for (const [t, window] of [
    [2, 857.7],
    [4, 947.4],
    [6, 988.2],
    [9, 1_000],
    [12, 1_009.9],
    [15, 1_082.8],
    [18, 1_283.3],
  ]) {
    test(`${t} s after the reduction from 1,000 segments: ${window}`, () => {
      const d = reducedFrom(1_000);
      runUntil(d, t * 1_000, 100);
      expect(Math.abs(d.tcb.cwnd / MSS - window)).toBeLessThan(0.01 * window);
    });
  }

  test("concave below W_max, convex above", () => {
    const d = reducedFrom(1_000);
    const gains: number[] = [];
    for (let t = 2_000; t <= 16_000; t += 2_000) {
      const before = d.tcb.cwnd;
      runUntil(d, t, 100);
      gains.push(d.tcb.cwnd - before);
    }
    // The first four of two seconds each lie before K.
    for (let i = 1; i < 4; i++) expect(gains[i]).toBeLessThan(gains[i - 1]);
    for (let i = 6; i < 8; i++) expect(gains[i]).toBeGreaterThan(gains[i - 1]);
  });

  test("the time is what counts, not the round trips", () => {
    const near = reducedFrom(1_000);
    const far = reducedFrom(1_000);
    runUntil(near, 15_000, 100);
    runUntil(far, 15_000, 250);
    expect(Math.abs(near.tcb.cwnd - far.tcb.cwnd)).toBeLessThan(0.02 * near.tcb.cwnd);
  });

  test("the window goes towards where the curve is a round trip later", () => {
    const d = reducedFrom(1_000);
    d.round(500);
    // W_cubic is 700 at 0 s, 746.9 at 0.5 s and 788.3 at 1 s; at t alone it would lag behind, below 720.
    expect(d.tcb.cwnd / MSS).toBeGreaterThan(730);
    expect(d.tcb.cwnd / MSS).toBeLessThan(788.3);
  });

  test("at most half as much again in a round trip", () => {
    const d = reducedFrom(10);
    d.round(100);
    d.fills();
    // The window is used, and its ACKs are a minute late: the curve is at 80,000 segments.
    d.now += 60_000;
    const before = d.tcb.cwnd;
    d.round(100);
    expect(d.tcb.cwnd).toBeGreaterThan(1.45 * before);
    expect(d.tcb.cwnd).toBeLessThan(1.51 * before + MSS);
  });
});

describe("4.3: Reno-friendly region", () => {
  test("3 * (1 - 0.7) / (1 + 0.7) = 0.529 segments a round trip, up to the window before", () => {
    const d = reducedFrom(100);
    // K = 4.217 s; at 10 ms W_est passes the curve at once.
    const before = d.tcb.cwnd;
    for (let i = 0; i < 20; i++) d.round(10);
    expect((d.tcb.cwnd - before) / MSS).toBeGreaterThan(9.5);
    expect((d.tcb.cwnd - before) / MSS).toBeLessThan(11.5);
  });

  test("a whole segment a round trip above it", () => {
    const d = reducedFrom(100);
    while (d.tcb.cwnd < 104 * MSS) d.round(1);
    const before = d.tcb.cwnd;
    for (let i = 0; i < 20; i++) d.round(1);
    expect((d.tcb.cwnd - before) / MSS).toBeGreaterThan(19);
    expect((d.tcb.cwnd - before) / MSS).toBeLessThan(20.5);
  });

  test("on a short path with losses it gets what Reno gets", () => {
    const goodput = (name: "cubic" | "newreno") => {
      let sum = 0;
      for (let seed = 1; seed <= 8; seed++) {
        const link = new Bottleneck({ rate: mbit(1_000), rttMs: 2, queue: 1e6, loss: 0.005, seed });
        const sender = link.add(createCongestionControl(name));
        link.run(10_000);
        sum += sender.goodput;
      }
      return sum;
    };
    const ratio = goodput("cubic") / goodput("newreno");
    expect(ratio).toBeGreaterThan(0.85);
    expect(ratio).toBeLessThan(1.4);
  });

  test("on a long fat path with losses it gets more", () => {
    const goodput = (name: "cubic" | "newreno") => {
      let sum = 0;
      for (let seed = 1; seed <= 4; seed++) {
        const link = new Bottleneck({ rate: mbit(500), rttMs: 200, queue: 3e6, loss: 2e-5, seed });
        const sender = link.add(createCongestionControl(name));
        link.run(60_000);
        sum += sender.goodput;
      }
      return sum;
    };
    expect(goodput("cubic") / goodput("newreno")).toBeGreaterThan(1.3);
  });
});

describe("4.7: fast convergence", () => {
  test("a reduction below the last W_max aims at 0.85 of the window", () => {
    const d = reducedFrom(1_000);
    // 700 is below 1,000: W_max = 700 * 0.85 = 595, cwnd = 490, K = cbrt(105 / 0.4) = 6.4 s.
    d.reduces();
    expect(d.tcb.cwnd).toBe(490 * MSS);
    const start = d.now;
    while (d.now - start < 6_400) d.round(100);
    expect(Math.abs(d.tcb.cwnd / MSS - 595)).toBeLessThan(2);
  });

  test("one above it aims at the window itself", () => {
    const d = reducedFrom(500);
    runUntil(d, 13_000, 100);
    const before = d.tcb.cwnd;
    expect(before).toBeGreaterThan(510 * MSS);
    d.reduces();
    const start = d.now;
    const k = 1_000 * Math.cbrt((0.3 * before) / MSS / 0.4);
    while (d.now - start < k) d.round(100);
    expect(Math.abs(d.tcb.cwnd - before)).toBeLessThan(0.005 * before);
  });
});

describe("4.8: timeout", () => {
  test("ssthresh is 0.7 of the flight; where slow start ends, the curve begins flat", () => {
    const d = new Driver(new Cubic(), { mss: MSS });
    d.tcb.cwnd = 1_000 * MSS;
    d.fills();
    d.timesOut();
    expect(d.tcb.ssthresh).toBe(700 * MSS);
    d.tcb.recover = d.tcb.sndUna;
    d.tcb.sent.pipe = 0;
    while (d.tcb.cwnd < d.tcb.ssthresh) d.round(100);
    const start = d.now;
    const from = d.tcb.cwnd;
    // K = 0: 0.4 * 5^3 = 50 segments in 5 s, where the way back to 1,000 would have been 240 by then.
    while (d.now - start < 5_000) d.round(100);
    expect((d.tcb.cwnd - from) / MSS).toBeGreaterThan(45);
    expect((d.tcb.cwnd - from) / MSS).toBeLessThan(58);
  });

  test("the same text's next timeout holds ssthresh", () => {
    const d = new Driver(new Cubic(), { mss: MSS });
    d.tcb.cwnd = 100 * MSS;
    d.fills();
    d.timesOut();
    d.timesOut(true);
    expect(d.tcb.ssthresh).toBe(70 * MSS);
  });
});

function timesOutFull(d: Driver): void {
  d.fills();
  d.timesOut();
}

describe("4.9: nothing had been lost", () => {
  for (const [what, reduce] of [
    ["fast retransmit", (d: Driver) => d.reduces()],
    ["timeout", timesOutFull],
  ] as const) {
    test(`after a ${what} cwnd, ssthresh and the curve are as before`, () => {
      const d = reducedFrom(1_000);
      const untouched = reducedFrom(1_000);
      runUntil(d, 5_000, 100);
      runUntil(untouched, 5_000, 100);
      const { cwnd, ssthresh } = d.tcb;
      reduce(d);
      d.control.undo(d.tcb, d.now);
      d.tcb.recover = d.tcb.sndUna - 1;
      expect(d.tcb).toMatchObject({ cwnd, ssthresh });
      runUntil(d, 15_000, 100);
      runUntil(untouched, 15_000, 100);
      expect(Math.abs(d.tcb.cwnd - untouched.tcb.cwnd)).toBeLessThan(0.01 * untouched.tcb.cwnd);
    });
  }

  test("a second time there is nothing to take back", () => {
    const d = reducedFrom(100);
    d.control.undo(d.tcb, d.now);
    d.tcb.cwnd = 50 * MSS;
    d.control.undo(d.tcb, d.now);
    expect(d.tcb.cwnd).toBe(50 * MSS);
  });
});

describe("5.8: t does not include times in which the window was not used", () => {
  test("ACKs of a program that writes little", () => {
    const d = reducedFrom(1_000);
    runUntil(d, 1_000, 100);
    const before = d.tcb.cwnd;
    for (let i = 0; i < 200; i++) {
      d.sends(MSS);
      d.now += 100;
      d.acks(MSS, { cwndLimited: false });
    }
    expect(d.tcb.cwnd).toBe(before);
    const start = d.now;
    while (d.now - start < 1_000) d.round(100);
    // 2 s of use: 857.7. With the 20 s between it would be far above W_max.
    expect(d.tcb.cwnd / MSS).toBeGreaterThan(840);
    expect(d.tcb.cwnd / MSS).toBeLessThan(870);
  });

  test("a pause shorter than an RTO", () => {
    const d = reducedFrom(1_000);
    runUntil(d, 1_000, 100);
    d.acks(d.tcb.pipe);
    d.now += 10_000;
    const start = d.now;
    while (d.now - start < 1_000) d.round(100);
    expect(d.tcb.cwnd / MSS).toBeLessThan(870);
  });

  test("a restart after idle: slow start up to 3/4 of the window, then on towards W_max", () => {
    const d = reducedFrom(1_000);
    runUntil(d, 4_000, 100);
    const before = d.tcb.cwnd;
    d.acks(d.tcb.pipe);
    d.now += 60_000;
    d.control.onRestart(d.tcb, 60_000, d.now);
    expect(d.tcb.cwnd).toBe(10 * MSS);
    expect(d.tcb.ssthresh).toBe(Math.max(Math.floor(0.75 * before), 700 * MSS));
    while (d.tcb.cwnd < d.tcb.ssthresh) d.round(100);
    const start = d.now;
    const k = 1_000 * Math.cbrt((1_000 - d.tcb.cwnd / MSS) / 0.4);
    while (d.now - start < k) d.round(100);
    expect(Math.abs(d.tcb.cwnd / MSS - 1_000)).toBeLessThan(3);
  });
});
