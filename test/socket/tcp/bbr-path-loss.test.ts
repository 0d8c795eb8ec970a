import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Bbr } from "../../../src/socket/tcp/congestion/bbr.ts";
import {
  lossThreshold,
  notePathLoss,
  toleratedLoss,
} from "../../../src/socket/tcp/congestion/bbr-path-loss.ts";
import { BbrState, LOSS_THRESH } from "../../../src/socket/tcp/congestion/bbr-state.ts";
import { Bottleneck, mbit } from "../../support/bottleneck.ts";
import { plainTcb } from "../../support/congestion.ts";

/** Which losses BBR does not take for congestion, where the program tolerates some. */

setDefaultTimeout(30_000);

const tcb = plainTcb();
const { mss } = tcb;
const QUEUE_MS = 30;

/** The model of a path of 40 ms that has lost `lost` of 1,000 segments, `queueMs` behind a queue. */
function model(tolerated: number, lost: number, queueMs = 0): BbrState {
  const bbr = new BbrState(tolerated);
  bbr.minRttMs = 40;
  bbr.rttMs = 40 + queueMs;
  // In an order that forgets as much of the one as of the other.
  for (let i = 0; i < 100; i++) {
    notePathLoss(bbr, tcb, ((1_000 - lost) / 100) * mss, 0);
    notePathLoss(bbr, tcb, 0, (lost / 100) * mss);
  }
  return bbr;
}

/** The same, when there is a queue all at once. */
function queued(bbr: BbrState): BbrState {
  bbr.rttMs = bbr.minRttMs + QUEUE_MS;
  return bbr;
}

describe("what is tolerated", () => {
  test("without a queue: as much as the program says, and what chance adds to that", () => {
    expect(toleratedLoss(model(0.3, 0), tcb, 1e9 * mss)).toBeCloseTo(0.3, 3);
    expect(toleratedLoss(model(0.1, 0), tcb, 9 * mss)).toBeCloseTo(0.1 + 3 * 0.1, 3);
  });

  test("behind a queue: nothing that was not lost without one", () => {
    expect(toleratedLoss(queued(model(0.3, 0)), tcb, 100 * mss)).toBe(0);
    expect(lossThreshold(queued(model(0.3, 0)), tcb, 100 * mss)).toBe(LOSS_THRESH);
  });

  test("behind a queue: what the path loses without one, and what chance adds to that", () => {
    const bbr = queued(model(0.3, 100));
    // Of 10,000 segments hardly more than a tenth is lost by chance, of nine it may be four.
    expect(toleratedLoss(bbr, tcb, 10_000 * mss)).toBeCloseTo(0.1 + 3 * 0.003, 3);
    expect(toleratedLoss(bbr, tcb, 9 * mss)).toBeCloseTo(0.1 + 3 * 0.1, 3);
    expect(lossThreshold(bbr, tcb, 10_000 * mss)).toBeGreaterThan(0.1);
  });

  test("chance may exceed what the program tolerates, the rate may not", () => {
    expect(toleratedLoss(queued(model(0.2, 100)), tcb, 9 * mss)).toBeCloseTo(0.4, 2);
    expect(toleratedLoss(queued(model(0.05, 400)), tcb, 1e9 * mss)).toBeCloseTo(0.05, 3);
  });

  test("what is lost behind a queue is not taken for the path's", () => {
    expect(toleratedLoss(model(0.3, 100, QUEUE_MS), tcb, 100 * mss)).toBe(0);
  });

  test("a hundred segments must have told", () => {
    const bbr = new BbrState(0.3);
    bbr.minRttMs = bbr.rttMs = 40;
    notePathLoss(bbr, tcb, 80 * mss, 10 * mss);
    expect(toleratedLoss(queued(bbr), tcb, 1e9 * mss)).toBe(0);
    bbr.rttMs = 40;
    notePathLoss(bbr, tcb, 9 * mss, mss);
    expect(toleratedLoss(queued(bbr), tcb, 1e9 * mss)).toBeCloseTo(0.11, 3);
  });

  test("what was long ago is forgotten", () => {
    const bbr = model(0.3, 200);
    notePathLoss(bbr, tcb, 500 * mss, 0);
    for (let i = 0; i < 10; i++) notePathLoss(bbr, tcb, 500 * mss, 0);
    expect(toleratedLoss(queued(bbr), tcb, 1e9 * mss)).toBeLessThan(0.01);
  });

  test("nothing where the program tolerates nothing: the draft", () => {
    for (const bbr of [model(0, 100), queued(model(0, 100))]) {
      expect(toleratedLoss(bbr, tcb, 9 * mss)).toBe(0);
      expect(lossThreshold(bbr, tcb, 9 * mss)).toBe(LOSS_THRESH);
    }
  });
});

// A short path, on which each probe makes a queue that round-trip times show, and few segments make much of chance.
for (const loss of [0.03, 0.1]) {
  test(`a path of nine segments that loses ${loss * 100} %: nearly all that it lets through`, () => {
    let sum = 0;
    for (let seed = 1; seed <= 5; seed++) {
      const rate = mbit(10);
      const link = new Bottleneck({ rate, rttMs: 10, queue: 64 * 1024, loss, seed });
      const sender = link.add(new Bbr(0.3));
      link.run(3_000);
      const before = sender.tcb.delivered;
      link.run(10_000);
      sum += (sender.tcb.delivered - before) / 10_000 / rate / (1 - loss);
    }
    expect(sum / 5).toBeGreaterThan(0.95);
  });
}

test("a long path that loses 15 %: Startup does not end because many of its first segments are lost by chance", () => {
  const rate = mbit(10);
  for (let seed = 1; seed <= 100; seed++) {
    const link = new Bottleneck({ rate, rttMs: 200, queue: 256 * 1024, loss: 0.15, seed });
    const sender = link.add(new Bbr(0.3));
    link.run(4_000);
    // A Startup that ends at a tenth of the rate is at a quarter of it by then.
    expect(sender.tcb.delivered / 4_000 / rate).toBeGreaterThan(0.5);
  }
});
