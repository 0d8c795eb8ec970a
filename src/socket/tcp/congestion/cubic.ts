import type { Tcb } from "../tcb.ts";
import type { AckSample, CongestionControl, LossSample } from "./control.ts";
import { HYSTART_SEGMENTS, HyStart, hystartBegin, hystartDivisor, hystartOnAck } from "./hystart.ts";
import {
  bytesAtCongestion,
  grow,
  INITIAL_SSTHRESH,
  inInitialSlowStart,
  inSlowStart,
  restartWindow,
  slowStartIncrease,
} from "./slow-start.ts";
import { isWindowProven } from "./window-use.ts";

// RFC 9438 4.1 and 4.6: C in segments per s^3, and what of the window a reduction leaves.
const C = 0.4;
const BETA = 0.7;
/** RFC 9438 4.3: so fast a flow that reduces to `BETA` gets as much as Reno, which halves. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);

/** No stage of congestion avoidance is under way. */
const NONE = -1;

/**
 * CUBIC, RFC 9438: in congestion avoidance the window is a function of the time since the last reduction, steep far
 * from the window at which there was congestion, and flat near it. Windows are in bytes, where the RFC counts segments.
 */
export class Cubic implements CongestionControl {
  readonly name = "cubic";
  readonly controlsRecovery = false;
  private readonly hystart = new HyStart();
  /** Where the curve is flat. */
  private wMax = 0;
  /** cwnd before the last reduction. */
  private cwndPrior = 0;
  /** When this stage of congestion avoidance began, later by the time that does not count; NONE outside of one. */
  private epochAt = NONE;
  /** K, in ms: how long after that the curve is flat. */
  private kMs = 0;
  /** The window that Reno would have. */
  private wEst = 0;
  /** What cwnd is to grow by, while it is less than a byte. */
  private fraction = 0;
  private lastAckAt = 0;

  // Before the last reduction (RFC 9438 4.9); `undoCwnd` is 0 when there is none to take back.
  private undoCwnd = 0;
  private undoSsthresh = 0;
  private undoWMax = 0;
  private undoCwndPrior = 0;
  private undoKMs = 0;
  private undoWEst = 0;
  /** How long that stage had lasted; NONE when it was slow start. */
  private undoElapsedMs = NONE;

  start(tcb: Tcb, now: number): void {
    tcb.ssthresh = INITIAL_SSTHRESH;
    tcb.pacingRate = Number.POSITIVE_INFINITY;
    this.lastAckAt = now;
    hystartBegin(this.hystart, tcb);
  }

  onSend(_tcb: Tcb, _length: number, idle: boolean, now: number): void {
    // While nothing was under way the window was not tried.
    if (idle) this.skipTime(now);
  }

  onAck(tcb: Tcb, ack: AckSample, now: number): void {
    if (inSlowStart(tcb)) {
      this.slowStart(tcb, ack);
    } else if (ack.cwndLimited) {
      this.congestionAvoidance(tcb, Math.min(ack.acked, tcb.cwnd), now);
    } else {
      this.skipTime(now);
    }
    this.lastAckAt = now;
  }

  /** RFC 9438 4.10. */
  private slowStart(tcb: Tcb, ack: AckSample): void {
    this.epochAt = NONE;
    if (!inInitialSlowStart(tcb)) {
      if (ack.cwndLimited) grow(tcb, slowStartIncrease(tcb, ack));
      return;
    }
    if (hystartOnAck(this.hystart, tcb, ack.rttMs)) {
      tcb.ssthresh = tcb.cwnd;
    } else if (ack.cwndLimited) {
      grow(tcb, slowStartIncrease(tcb, ack, HYSTART_SEGMENTS) / hystartDivisor(this.hystart));
    }
  }

  /** RFC 9438 4.2 to 4.5, for `acked` bytes. */
  private congestionAvoidance(tcb: Tcb, acked: number, now: number): void {
    if (this.epochAt === NONE) this.beginEpoch(tcb, now);
    const { cwnd, mss } = tcb;
    const t = now - this.epochAt;
    // 4.3: where Reno would be by now. Above the window of the last reduction it gains no more than Reno does.
    const alpha = this.wEst >= this.cwndPrior ? 1 : ALPHA;
    this.wEst = Math.min(this.wEst + (alpha * mss * acked) / cwnd, INITIAL_SSTHRESH);
    if (this.wCubic(mss, t) < this.wEst) {
      if (this.wEst > cwnd) grow(tcb, this.wEst - cwnd);
      return;
    }
    // 4.4 and 4.5: what the curve will be a round trip from now is reached by then, at most half as much again.
    const target = Math.min(this.wCubic(mss, t + Math.max(tcb.srtt, 0)), 1.5 * cwnd);
    if (target <= cwnd) return;
    const increase = ((target - cwnd) * acked) / cwnd + this.fraction;
    grow(tcb, increase);
    this.fraction = increase - Math.floor(increase);
  }

  /** RFC 9438 4.2, equation 1. */
  private wCubic(mss: number, t: number): number {
    const seconds = (t - this.kMs) / 1_000;
    return C * mss * seconds * seconds * seconds + this.wMax;
  }

  /** RFC 9438 4.2: congestion avoidance begins, or begins again. */
  private beginEpoch(tcb: Tcb, now: number): void {
    const { cwnd, mss } = tcb;
    this.epochAt = now;
    this.wEst = cwnd;
    this.fraction = 0;
    if (cwnd < this.wMax) {
      this.kMs = 1_000 * Math.cbrt((this.wMax - cwnd) / (C * mss));
      return;
    }
    // 4.8 and 4.10: after a timeout, or a slow start without loss, nothing is known of what lies above.
    this.kMs = 0;
    this.wMax = cwnd;
    if (this.cwndPrior === 0) this.cwndPrior = cwnd;
  }

  /** RFC 9438 5.8: times in which the program did not use the window up are not part of t. */
  private skipTime(now: number): void {
    if (this.epochAt !== NONE) this.epochAt += now - this.lastAckAt;
    this.lastAckAt = now;
  }

  onLoss(_tcb: Tcb, _loss: LossSample, _now: number): void {}

  /** RFC 9438 4.6 and 4.7. Congestion experienced counts as much as a loss. */
  onCongestion(tcb: Tcb, _ecn: boolean, now: number): void {
    const { cwnd, mss } = tcb;
    this.save(tcb, now);
    // Fast convergence: who has not come back to where it was leaves room for others.
    this.wMax = cwnd < this.wMax ? (cwnd * (1 + BETA)) / 2 : cwnd;
    this.cwndPrior = cwnd;
    this.epochAt = NONE;
    tcb.ssthresh = Math.max(Math.round(windowInUse(tcb) * BETA), 2 * mss);
  }

  onRecovered(_tcb: Tcb, now: number): void {
    this.lastAckAt = now;
  }

  /** RFC 9438 4.8. */
  onTimeout(tcb: Tcb, again: boolean, now: number): void {
    if (!again) this.onCongestion(tcb, false, now);
    // What comes after slow start begins where that ends.
    this.wMax = 0;
    this.epochAt = NONE;
  }

  private save(tcb: Tcb, now: number): void {
    this.undoCwnd = tcb.cwnd;
    this.undoSsthresh = tcb.ssthresh;
    this.undoWMax = this.wMax;
    this.undoCwndPrior = this.cwndPrior;
    this.undoKMs = this.kMs;
    this.undoWEst = this.wEst;
    this.undoElapsedMs = this.epochAt === NONE ? NONE : now - this.epochAt;
  }

  /** RFC 9438 4.9: all is as before. The time since then is not part of t: the window did not follow the curve. */
  undo(tcb: Tcb, now: number): void {
    if (this.undoCwnd === 0) return;
    tcb.cwnd = Math.max(tcb.cwnd, this.undoCwnd);
    tcb.ssthresh = this.undoSsthresh;
    this.wMax = this.undoWMax;
    this.cwndPrior = this.undoCwndPrior;
    this.kMs = this.undoKMs;
    this.wEst = this.undoWEst;
    this.epochAt = this.undoElapsedMs === NONE ? NONE : now - this.undoElapsedMs;
    this.lastAckAt = now;
    this.undoCwnd = 0;
  }

  /** The path is tried again by slow start; the curve begins anew where that ends. */
  onRestart(tcb: Tcb, _idleMs: number, now: number): void {
    restartWindow(tcb);
    this.epochAt = NONE;
    this.lastAckAt = now;
  }
}

/**
 * RFC 9438 4.6: what is under way; or the window, as that section allows where the window cannot have grown beyond its use.
 * The ACK that shows a loss has often just acknowledged half of a small window.
 */
function windowInUse(tcb: Tcb): number {
  return isWindowProven(tcb) ? tcb.cwnd : bytesAtCongestion(tcb);
}
