import { describe, expect, test } from "bun:test";
import { NewReno } from "../../../src/socket/tcp/congestion/newreno.ts";
import { Driver } from "../../support/congestion.ts";

/** RFC 5681 as a congestion control by itself; `rfc5681` has the same through the whole stack. */

const MSS = 1_000;

function newReno(): Driver {
  return new Driver(new NewReno(), { mss: MSS });
}

/** In congestion avoidance after a reduction from `segments`. */
function reducedFrom(segments: number): Driver {
  const d = newReno();
  d.tcb.cwnd = segments * MSS;
  d.reduces();
  return d;
}

describe("3.1: slow start", () => {
  test("each ACK opens the window by what it acknowledges, by two segments at most (RFC 3465)", () => {
    const d = newReno();
    d.fills();
    d.acks(400);
    expect(d.tcb.cwnd).toBe(10_400);
    d.acks(2 * MSS);
    expect(d.tcb.cwnd).toBe(12_400);
    d.acks(7 * MSS);
    expect(d.tcb.cwnd).toBe(14_400);
  });

  test("or by one super-segment, which one ACK is for", () => {
    const d = newReno();
    d.tcb.maxText = 9 * MSS;
    d.fills();
    d.acks(10 * MSS);
    expect(d.tcb.cwnd).toBe(19_000);
  });

  test("by one segment only, of what had been sent before a timeout", () => {
    const d = newReno();
    d.tcb.cwnd = 40 * MSS;
    d.fills();
    d.timesOut();
    d.acks(8 * MSS);
    expect(d.tcb.cwnd).toBe(2 * MSS);
  });

  test("a window that is not used does not grow", () => {
    const d = newReno();
    for (let i = 0; i < 50; i++) {
      d.sends(MSS);
      d.acks(MSS, { cwndLimited: false });
    }
    expect(d.tcb.cwnd).toBe(10 * MSS);
  });
});

describe("3.1: congestion avoidance", () => {
  test("a segment a round trip (RFC 3465 2.1)", () => {
    const d = reducedFrom(40);
    for (let i = 1; i <= 10; i++) {
      d.round(50);
      expect(d.tcb.cwnd).toBe((20 + i) * MSS);
    }
  });

  test("however the ACKs are cut", () => {
    const d = reducedFrom(40);
    d.fills();
    for (let i = 0; i < 40; i++) d.acks(500);
    expect(d.tcb.cwnd).toBe(21 * MSS);
    d.fills();
    d.acks(21 * MSS);
    expect(d.tcb.cwnd).toBe(22 * MSS);
  });

  test("what is acknowledged beyond a window's worth counts for the next segment", () => {
    const d = reducedFrom(40);
    d.acks(19 * MSS);
    d.acks(2 * MSS);
    expect(d.tcb.cwnd).toBe(21 * MSS);
    d.acks(20 * MSS);
    expect(d.tcb.cwnd).toBe(22 * MSS);
  });
});

describe("3.1: ssthresh = max(FlightSize / 2, 2 * SMSS)", () => {
  for (const [segments, ssthresh] of [
    [40, 20],
    [5, 2.5],
    [3, 2],
    [1, 2],
  ]) {
    test(`${segments} segments under way: ${ssthresh}`, () => {
      expect(reducedFrom(segments).tcb.ssthresh).toBe(ssthresh * MSS);
    });
  }

  test("also for congestion experienced (RFC 3168 6.1.2)", () => {
    const d = newReno();
    d.tcb.cwnd = 40 * MSS;
    d.reduces(true);
    expect(d.tcb.ssthresh).toBe(20 * MSS);
  });

  test("after a timeout slow start goes up to it", () => {
    const d = newReno();
    d.tcb.cwnd = 40 * MSS;
    d.fills();
    d.timesOut();
    d.timesOut(true);
    expect(d.tcb).toMatchObject({ cwnd: MSS, ssthresh: 20 * MSS });
    d.tcb.recover = d.tcb.iss;
    d.tcb.sent.pipe = 0;
    d.round(50);
    d.round(50);
    d.round(50);
    d.round(50);
    expect(d.tcb.cwnd).toBe(16 * MSS);
    d.round(50);
    // 4 more in slow start, then avoidance.
    expect(d.tcb.cwnd).toBeLessThanOrEqual(21 * MSS);
  });
});

describe("4.1: restart after idle", () => {
  test("from the initial window, with what was known in ssthresh (RFC 2861)", () => {
    const d = reducedFrom(200);
    d.control.onRestart(d.tcb, 5_000, 5_000);
    expect(d.tcb).toMatchObject({ cwnd: 10 * MSS, ssthresh: 100 * MSS });
    while (d.tcb.cwnd < 190 * MSS) d.round(50);
    d.control.onRestart(d.tcb, 5_000, d.now + 5_000);
    expect(d.tcb).toMatchObject({ cwnd: 10 * MSS, ssthresh: 142_500 });
  });

  test("a window below the initial one stays", () => {
    const d = reducedFrom(8);
    d.control.onRestart(d.tcb, 5_000, 5_000);
    expect(d.tcb.cwnd).toBe(4 * MSS);
  });
});
