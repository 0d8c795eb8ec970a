import { flightSize, type Tcb } from "../tcb.ts";
import type { AckSample, CongestionControl, LossSample } from "./control.ts";
import { HyStart, hystartBegin, hystartDivisor, hystartOnAck } from "./hystart.ts";
import {
  bytesAtCongestion,
  grow,
  INITIAL_SSTHRESH,
  inInitialSlowStart,
  inSlowStart,
  restartWindow,
  slowStartIncrease,
} from "./slow-start.ts";

/** RFC 5681: slow start, then a segment more every round trip; half of it when congestion is met. */
export class NewReno implements CongestionControl {
  readonly name = "newreno";
  readonly controlsRecovery = false;
  private readonly hystart: HyStart | null;
  /** Bytes acknowledged that have not yet grown cwnd in congestion avoidance (RFC 3465 2.1). */
  private bytesAcked = 0;
  /** cwnd and ssthresh before the last reduction; 0 when there is none to take back. */
  private undoCwnd = 0;
  private undoSsthresh = 0;

  /** @param hystart the initial slow start ends before the queue overflows (RFC 9406) */
  constructor(hystart = true) {
    this.hystart = hystart ? new HyStart() : null;
  }

  start(tcb: Tcb): void {
    tcb.ssthresh = INITIAL_SSTHRESH;
    tcb.pacingRate = Number.POSITIVE_INFINITY;
    if (this.hystart !== null) hystartBegin(this.hystart, tcb);
  }

  onSend(_tcb: Tcb, _length: number, _idle: boolean, _now: number): void {}

  /** RFC 5681 3.1. */
  onAck(tcb: Tcb, ack: AckSample, _now: number): void {
    if (inSlowStart(tcb)) {
      this.slowStart(tcb, ack);
    } else if (ack.cwndLimited) {
      // RFC 3465 2.1: one segment a window's worth of acknowledged bytes.
      this.bytesAcked += Math.min(ack.acked, tcb.cwnd);
      if (this.bytesAcked < tcb.cwnd) return;
      this.bytesAcked -= tcb.cwnd;
      grow(tcb, tcb.mss);
    }
  }

  private slowStart(tcb: Tcb, ack: AckSample): void {
    let divisor = 1;
    if (this.hystart !== null && inInitialSlowStart(tcb)) {
      if (hystartOnAck(this.hystart, tcb, ack.rttMs)) {
        tcb.ssthresh = tcb.cwnd;
        return;
      }
      divisor = hystartDivisor(this.hystart);
    }
    if (ack.cwndLimited) grow(tcb, slowStartIncrease(tcb, ack) / divisor);
  }

  onLoss(_tcb: Tcb, _loss: LossSample, _now: number): void {}

  /** RFC 5681 equation 4; RFC 3168 6.1.2 asks the same for ECN. */
  onCongestion(tcb: Tcb, _ecn: boolean, _now: number): void {
    this.undoCwnd = tcb.cwnd;
    this.undoSsthresh = tcb.ssthresh;
    tcb.ssthresh = Math.max(bytesAtCongestion(tcb) >> 1, 2 * tcb.mss);
    this.bytesAcked = 0;
  }

  onRecovered(_tcb: Tcb, _now: number): void {}

  onTimeout(tcb: Tcb, again: boolean, now: number): void {
    // RFC 5681 3.1: a segment that times out again says nothing new, ssthresh is held.
    if (again) return;
    this.onCongestion(tcb, false, now);
    if (tcb.context.tcp.reduceWindow === "window") return;
    tcb.ssthresh = Math.max(flightSize(tcb) >> 1, 2 * tcb.mss);
  }

  /** RFC 4015 3.2, without its pacing of what follows: the path has shown that it takes that much. */
  undo(tcb: Tcb): void {
    if (this.undoCwnd === 0) return;
    tcb.cwnd = Math.max(tcb.cwnd, this.undoCwnd);
    tcb.ssthresh = this.undoSsthresh;
    this.undoCwnd = 0;
  }

  onRestart(tcb: Tcb): void {
    restartWindow(tcb);
    this.bytesAcked = 0;
  }
}
