import { seqGt } from "../seq.ts";
import type { Tcb } from "../tcb.ts";

/**
 * HyStart++, RFC 9406: slow start ends when round-trip times rise, before the queue is full. As they may have risen for
 * another reason, the window then still grows for a few rounds, at a quarter of the pace (conservative slow start).
 */

// RFC 9406 4.3.
const MIN_RTT_THRESH_MS = 4;
const MAX_RTT_THRESH_MS = 16;
const MIN_RTT_DIVISOR = 8;
const RTT_SAMPLES = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;

/** RFC 9406 4.3: L, for senders that do not pace. */
export const HYSTART_SEGMENTS = 8;

export class HyStart {
  /** SND.NXT when the round began. */
  windowEnd = 0;
  lastRoundMinRttMs = Number.POSITIVE_INFINITY;
  currentRoundMinRttMs = Number.POSITIVE_INFINITY;
  /** Round-trip times measured in this round. */
  samples = 0;
  /** Conservative slow start: the round-trip time that led there; Infinity in slow start. */
  cssBaselineMinRttMs = Number.POSITIVE_INFINITY;
  cssRounds = 0;
}

/** What slow start's growth is divided by. */
export function hystartDivisor(hystart: HyStart): number {
  return hystart.cssBaselineMinRttMs < Number.POSITIVE_INFINITY ? CSS_GROWTH_DIVISOR : 1;
}

/** The first round begins. */
export function hystartBegin(hystart: HyStart, tcb: Tcb): void {
  hystart.windowEnd = tcb.sndNxt;
}

/**
 * RFC 9406 4.2, for an ACK in the initial slow start.
 *
 * @param rttMs the ACK's round-trip time, negative where it has none
 * @returns whether slow start is over
 */
export function hystartOnAck(hystart: HyStart, tcb: Tcb, rttMs: number): boolean {
  const inCss = hystart.cssBaselineMinRttMs < Number.POSITIVE_INFINITY;
  // Beyond it, so that an ACK of all there is does not begin a round that has nothing under way.
  if (seqGt(tcb.sndUna, hystart.windowEnd)) {
    hystart.windowEnd = tcb.sndNxt;
    hystart.lastRoundMinRttMs = hystart.currentRoundMinRttMs;
    hystart.currentRoundMinRttMs = Number.POSITIVE_INFINITY;
    hystart.samples = 0;
    if (inCss && ++hystart.cssRounds >= CSS_ROUNDS) return true;
  }
  if (rttMs < 0) return false;
  if (rttMs < hystart.currentRoundMinRttMs) hystart.currentRoundMinRttMs = rttMs;
  if (++hystart.samples < RTT_SAMPLES) return false;
  if (inCss) {
    // It was not our queue: slow start goes on.
    if (hystart.currentRoundMinRttMs < hystart.cssBaselineMinRttMs) {
      hystart.cssBaselineMinRttMs = Number.POSITIVE_INFINITY;
    }
  } else if (hystart.currentRoundMinRttMs >= hystart.lastRoundMinRttMs + threshold(hystart)) {
    hystart.cssBaselineMinRttMs = hystart.currentRoundMinRttMs;
    hystart.cssRounds = 0;
  }
  return false;
}

/** By how much the round-trip time of a round must exceed that of the round before; Infinity before there was one. */
function threshold(hystart: HyStart): number {
  const part = hystart.lastRoundMinRttMs / MIN_RTT_DIVISOR;
  return Math.max(MIN_RTT_THRESH_MS, Math.min(part, MAX_RTT_THRESH_MS));
}
