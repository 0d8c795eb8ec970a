import { BY_PEER, limitedMs } from "../limits.ts";
import type { Tcb } from "../tcb.ts";
import { hasQueue } from "./bbr-path-loss.ts";
import { type BbrState, STARTUP } from "./bbr-state.ts";
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

/** 5.3.1.2. Any ACK of a round may show that the rate has grown: the first one may be the one behind a loss. */
export function checkFullBwReached(bbr: BbrState, tcb: Tcb, ack: AckSample): void {
  const isHeldBack = bbr.roundStart && noteHeldBack(bbr, tcb);
  if (bbr.fullBwNow || ack.appLimited || bbr.deliveryRate === 0) return;
  if (bbr.deliveryRate >= bbr.fullBw * GROWTH) {
    resetFullBw(bbr, bbr.deliveryRate);
    return;
  }
  if (!bbr.roundStart || isHeldBack) return;
  bbr.fullBwCount++;
  if (bbr.fullBwCount < ROUNDS) return;
  bbr.fullBwNow = true;
  bbr.fullBwReached = true;
}

/**
 * Not the draft's: in Startup, did the peer's window hold text back, in this round or the one that this round's ACKs are for?
 * A peer whose buffer grows with what arrives, and that has a gap to wait for, keeps a sender below its pace for some rounds
 * that say nothing of the pipe. Unless round-trip times show that it is full.
 */
function noteHeldBack(bbr: BbrState, tcb: Tcb): boolean {
  const heldMs = limitedMs(tcb, BY_PEER, tcb.limitedByPeerMs);
  const isHeldBack = heldMs > bbr.heldMsBefore;
  bbr.heldMsBefore = bbr.heldMs;
  bbr.heldMs = heldMs;
  return isHeldBack && bbr.state === STARTUP && !hasQueue(bbr);
}
