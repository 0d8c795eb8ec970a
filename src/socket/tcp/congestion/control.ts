import type { Tcb } from "../tcb.ts";

/** The congestion controls there are: RFC 9438, RFC 5681, draft-ietf-ccwg-bbr. */
export type CongestionControlName = "cubic" | "newreno" | "bbr";

/** What one ACK has told. One record serves all connections of a stack: it is valid during the call. */
export class AckSample {
  /** Bytes by which SND.UNA has advanced. */
  acked = 0;
  /** Bytes that the peer has for the first time, as far as we know: acknowledged, or SACKed. */
  delivered = 0;
  /** Bytes of which this ACK has shown that they were lost. */
  lost = 0;
  /** Bytes under way before the ACK: RFC 6675's pipe. */
  priorPipe = 0;
  /** Round-trip time in ms of what was sent last, once, and has now been delivered; -1 where there is none. */
  rttMs = -1;
  /** The window was used in this round trip: only then may it grow (RFC 7661). */
  cwndLimited = false;

  // The delivery-rate sample (draft-ietf-ccwg-bbr 4.1), of what was sent last of all that has now been delivered.
  /** Bytes delivered within `rateMs`; -1 where the ACK has delivered nothing. */
  rateBytes = -1;
  /** The longer of the time that sending them, and that acknowledging them took, in ms. */
  rateMs = 0;
  /** `tcb.delivered` when it was sent. */
  priorDelivered = 0;
  /** The program did not have enough to send. */
  appLimited = false;
  /** Bytes under way when it was sent, itself included. */
  txPipe = 0;
  /** Bytes found lost since it was sent. */
  lostSince = 0;

  // For loss recovery.
  /** Text was delivered that was sent once, before loss was found last; that was sent more than once. */
  originalDelivered = false;
  resentDelivered = false;
  /** The peer reports, by D-SACK, that it got something twice. */
  duplicateReported = false;
}

/** What has been found lost: one stretch of text that was sent at one time. Valid during the call. */
export class LossSample {
  /** Its length in bytes. */
  length = 0;
  /** Bytes under way when it was sent, itself included. */
  txPipe = 0;
  /** `tcb.delivered` when it was sent. */
  priorDelivered = 0;
  /** Bytes found lost since it was sent, itself included. */
  lostSince = 0;
  appLimited = false;
}

/** Makes `ack` one that has told nothing, with `pipe` bytes under way. */
export function resetAckSample(ack: AckSample, pipe: number): void {
  ack.acked = 0;
  ack.delivered = 0;
  ack.lost = 0;
  ack.priorPipe = pipe;
  ack.rttMs = -1;
  ack.cwndLimited = false;
  ack.rateBytes = -1;
  ack.rateMs = 0;
  ack.priorDelivered = 0;
  ack.appLimited = false;
  ack.txPipe = 0;
  ack.lostSince = 0;
  ack.originalDelivered = false;
  ack.resentDelivered = false;
  ack.duplicateReported = false;
}

/**
 * How fast a connection sends: one object for each connection, from the handshake on. It decides on `tcb.cwnd`,
 * `tcb.ssthresh` and `tcb.pacingRate`; what is lost, and what is sent again, is decided elsewhere.
 */
export interface CongestionControl {
  readonly name: CongestionControlName;
  /**
   * It sets `tcb.cwnd` in recovery and after a timeout as well, by `onAck`. Otherwise that is done for it: by
   * proportional rate reduction (RFC 9937) towards the `tcb.ssthresh` of `onCongestion`, and from one segment on
   * after a timeout.
   */
  readonly controlsRecovery: boolean;

  /** The handshake is complete; `tcb.cwnd` is the initial window, `tcb.srtt` may be -1. */
  start(tcb: Tcb, now: number): void;

  /** `length` bytes leave, which are in `tcb.pipe` already. `idle`: nothing was under way before. */
  onSend(tcb: Tcb, length: number, idle: boolean, now: number): void;

  /**
   * An ACK has delivered something, and `tcb` is as it is afterwards. Outside of recovery, or in it where the control
   * says `controlsRecovery`.
   */
  onAck(tcb: Tcb, ack: AckSample, now: number): void;

  /** Something was found lost. Comes before `onCongestion`, and before the `onAck` of the same ACK. */
  onLoss(tcb: Tcb, loss: LossSample, now: number): void;

  /**
   * The path is congested: a loss was found outside of recovery, or the peer echoes congestion experienced (`ecn`).
   * Sets `tcb.ssthresh`. What it changes can be taken back by `undo`.
   */
  onCongestion(tcb: Tcb, ecn: boolean, now: number): void;

  /** All that was under way when the loss was found has been acknowledged; `tcb.cwnd` is what it goes on with. */
  onRecovered(tcb: Tcb, now: number): void;

  /**
   * The retransmission timer has expired; `tcb.pipe` is still what was under way. Sets `tcb.ssthresh`, unless it is not
   * the first time for this text (`again`).
   */
  onTimeout(tcb: Tcb, again: boolean, now: number): void;

  /** Nothing had been lost (RFC 5682, RFC 4015): `tcb.cwnd` and `tcb.ssthresh` are again what they were. */
  undo(tcb: Tcb, now: number): void;

  /** The program sends again after an idle time longer than an RTO (RFC 5681 4.1). */
  onRestart(tcb: Tcb, idleMs: number, now: number): void;
}
