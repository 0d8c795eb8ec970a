import type { BbrState } from "./bbr-state.ts";
import type { AckSample } from "./control.ts";

/** BBR 5.3.1.2: is the pipe full? In Startup and in ProbeBW_UP a faster pace brings more, until it does not. */

/** By how much the rate must grow, and how many rounds it may fail to. */
const GROWTH = 1.25;
const ROUNDS = 3;

/** 5.3.1.2: the question is put anew; growth counts from `rate` on. */
export function resetFullBw(bbr: BbrState, rate = 0): void {
  bbr.fullBw = rate;
  bbr.fullBwCount = 0;
  bbr.fullBwNow = false;
}

/** 5.3.1.2. */
export function checkFullBwReached(bbr: BbrState, ack: AckSample): void {
  if (bbr.fullBwNow || !bbr.roundStart || ack.appLimited || bbr.deliveryRate === 0) return;
  if (bbr.deliveryRate >= bbr.fullBw * GROWTH) {
    resetFullBw(bbr, bbr.deliveryRate);
    return;
  }
  bbr.fullBwCount++;
  if (bbr.fullBwCount < ROUNDS) return;
  bbr.fullBwNow = true;
  bbr.fullBwReached = true;
}
