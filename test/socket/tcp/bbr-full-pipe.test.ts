import { describe, expect, test } from "bun:test";
import { checkFullBwReached } from "../../../src/socket/tcp/congestion/bbr-full-pipe.ts";
import { BbrState, PROBE_BW_UP } from "../../../src/socket/tcp/congestion/bbr-state.ts";
import { AckSample } from "../../../src/socket/tcp/congestion/control.ts";
import { plainTcb } from "../../support/congestion.ts";

/** BBR 5.3.1.2: three rounds in which the rate has not grown show that the pipe is full, unless the peer's window did that. */

/** A path of 100 ms in Startup, that has delivered ten bytes a ms in the first round. */
function startup() {
  const bbr = new BbrState(0.3);
  const tcb = plainTcb();
  bbr.minRttMs = bbr.rttMs = 100;
  bbr.roundStart = true;
  const round = (rate: number, heldMs = 0) => {
    bbr.deliveryRate = rate;
    tcb.limitedByPeerMs += heldMs;
    checkFullBwReached(bbr, tcb, new AckSample());
    return bbr.fullBwReached;
  };
  round(10);
  return { bbr, round };
}

describe("the pipe", () => {
  test("is full after three rounds without growth", () => {
    const { round } = startup();
    expect([round(12), round(12), round(12)]).toEqual([false, false, true]);
  });

  test("is not said to be where the peer's window has held text back, in this round or the one before", () => {
    const { round } = startup();
    for (let i = 0; i < 10; i++) expect(round(12, i % 2 === 0 ? 30 : 0)).toBe(false);
    expect([round(12), round(12), round(12)]).toEqual([false, false, true]);
  });

  test("what grows nevertheless counts", () => {
    const { bbr, round } = startup();
    round(20, 30);
    expect(bbr.fullBw).toBe(20);
  });

  test("is not full where any ACK of the round shows growth, and the first one, behind a loss, none", () => {
    const { bbr, round } = startup();
    for (let rate = 12; rate < 100; rate *= 1.3) {
      bbr.roundStart = true;
      expect(round(2)).toBe(false);
      bbr.roundStart = false;
      expect(round(rate * 1.3)).toBe(false);
    }
  });

  test("is not counted to be full but by rounds", () => {
    const { bbr, round } = startup();
    bbr.roundStart = false;
    for (let ack = 0; ack < 10; ack++) expect(round(12)).toBe(false);
  });

  test("is, where round-trip times show a queue, whoever holds text back", () => {
    const { bbr, round } = startup();
    bbr.rttMs = 150;
    expect([round(12, 30), round(12, 30), round(12, 30)]).toEqual([false, false, true]);
  });

  test("and where it is a probe that finds no more: that ends", () => {
    const { bbr, round } = startup();
    bbr.state = PROBE_BW_UP;
    expect([round(12, 30), round(12, 30), round(12, 30)]).toEqual([false, false, true]);
  });
});
