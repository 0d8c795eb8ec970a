import { seqGt } from "./seq.ts";
import type { Tcb } from "./tcb.ts";
import { NONE } from "./transmissions.ts";

/**
 * Delivery-rate samples: draft-ietf-ccwg-bbr 4.1. How fast the path delivers is what was delivered from the sending of a
 * segment to its acknowledgment, over the time that took.
 */

/** 4.1.2.2: notes with a record that is about to be sent how things stand. `pipe` has its bytes already. */
export function noteSending(tcb: Tcb, record: number, now: number): void {
  const { loss, sent } = tcb;
  const { transmissions } = tcb.context;
  if (sent.pipe === transmissions.length(record)) {
    // Nothing was under way: the time before is nobody's.
    loss.firstSentAt = now;
    loss.deliveredAt = now;
  }
  transmissions.sentAt[record] = now;
  transmissions.firstSentAt[record] = loss.firstSentAt;
  transmissions.deliveredAt[record] = loss.deliveredAt;
  transmissions.delivered[record] = tcb.delivered;
  transmissions.lost[record] = tcb.lost;
  transmissions.pipe[record] = sent.pipe;
  transmissions.appLimited[record] = tcb.appLimitedUntil > 0 ? 1 : 0;
}

/** 4.1.2.3: a record has been delivered up to `end`; `tcb.delivered` has its bytes already. */
export function noteDelivery(tcb: Tcb, record: number, end: number, now: number): void {
  const { ack, transmissions } = tcb.context;
  const { loss } = tcb;
  loss.deliveredAt = now;
  const sentAt = transmissions.sentAt[record];
  // The sample is of what was sent last.
  if (ack.rateBytes >= 0) {
    if (sentAt < loss.sampleSentAt) return;
    if (sentAt === loss.sampleSentAt && !seqGt(end, loss.sampleEnd)) return;
  }
  loss.sampleSentAt = sentAt;
  loss.sampleEnd = end;
  loss.firstSentAt = sentAt;
  ack.rateBytes = 0;
  ack.priorDelivered = transmissions.delivered[record];
  ack.appLimited = transmissions.appLimited[record] === 1;
  ack.txPipe = transmissions.pipe[record];
  ack.lostSince = transmissions.lost[record];
  const sending = sentAt - transmissions.firstSentAt[record];
  const acknowledging = now - transmissions.deliveredAt[record];
  ack.rateMs = Math.max(sending, acknowledging);
}

/** 4.1.2.4: the ACK has been taken in. */
export function finishSample(tcb: Tcb): void {
  const { ack } = tcb.context;
  if (tcb.appLimitedUntil > 0 && tcb.delivered > tcb.appLimitedUntil) tcb.appLimitedUntil = 0;
  if (ack.rateBytes < 0) return;
  ack.rateBytes = tcb.delivered - ack.priorDelivered;
  // What was found lost, and was not, is taken back meanwhile.
  ack.lostSince = Math.max(tcb.lost - ack.lostSince, 0);
  // Faster than any round trip: what was sent again was acknowledged for its first sending.
  if (ack.rateMs < tcb.loss.minRttMs) {
    ack.rateBytes = -1;
    return;
  }
  if (ack.rateMs > 0) tcb.deliveryRate = ack.rateBytes / ack.rateMs;
}

/** 4.1.2.4: the program has nothing more to send while the path could take it. */
export function noteAppLimited(tcb: Tcb): void {
  const { sent } = tcb;
  if (sent.pipe >= tcb.cwnd || sent.lowestLost !== NONE) return;
  tcb.appLimitedUntil = Math.max(tcb.delivered + sent.pipe, 1);
}
