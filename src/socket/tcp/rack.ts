import { NEVER } from "../../storage/deadline-heap.ts";
import { OPEN } from "./loss-recovery.ts";
import { isLostProbe, onProbeLost } from "./mtu-probe.ts";
import { seqGeq, seqGt, seqLt } from "./seq.ts";
import type { Tcb } from "./tcb.ts";
import { schedule } from "./timers.ts";
import { NONE } from "./transmissions.ts";

/**
 * RFC 8985 3 to 6, RACK: what was sent before something that has arrived, and by more than reordering explains, is lost.
 */

/** RFC 5681 3.2: so many duplicate ACKs, or SACKed segments, mean that a segment was lost. */
export const DUPLICATE_THRESHOLD = 3;
/** RFC 8985 6.2, step 1: the minimum is of the last minutes, as paths change. */
const MIN_RTT_MS = 300_000;
/** RFC 8985 6.2, step 4: recoveries for which a window that was widened stays so. */
const RECOVERIES = 16;
/** Times are sums of fractions: this is none. */
const TOLERANCE_MS = 1e-6;

/** RFC 8985 6.2, steps 1 to 3: a record's text has been delivered up to `end`, as this ACK tells for the first time. */
export function onSegmentDelivered(tcb: Tcb, record: number, end: number, now: number): void {
  const { loss } = tcb;
  const { ack, transmissions } = tcb.context;
  const sentAt = transmissions.sentAt[record];
  const resent = transmissions.resent[record] === 1;
  const rttMs = now - sentAt;
  if (!resent) {
    if (ack.rttMs < 0 || rttMs < ack.rttMs) ack.rttMs = rttMs;
    noteMinRtt(tcb, rttMs, now);
  }
  // Step 3: it was overtaken.
  if (seqGt(end, loss.fack)) loss.fack = end;
  else if (!resent && seqLt(end, loss.fack)) loss.reorderingSeen = true;
  // Step 2. A round trip shorter than any other is the first sending's, which had not been lost.
  if (resent && rttMs < loss.minRttMs) return;
  loss.rackRttMs = rttMs;
  if (!isSentAfter(sentAt, end, loss.rackSentAt, loss.rackEnd)) return;
  loss.rackSentAt = sentAt;
  loss.rackEnd = end;
}

/** Step 1, with the round-trip time of what was sent once. */
export function noteMinRtt(tcb: Tcb, rttMs: number, now: number): void {
  const { loss } = tcb;
  if (rttMs > loss.minRttMs && now - loss.minRttAt <= MIN_RTT_MS) return;
  loss.minRttMs = rttMs;
  loss.minRttAt = now;
}

function isSentAfter(at: number, end: number, otherAt: number, otherEnd: number): boolean {
  return at > otherAt || (at === otherAt && seqGt(end, otherEnd));
}

/**
 * RFC 8985 6.2, step 5: finds what is lost, and sets the timer for what might be. Each record is looked at when it is lost;
 * beyond that, one. Returns how many bytes are lost.
 */
export function detectLosses(tcb: Tcb, now: number): number {
  const { loss, sent, control } = tcb;
  const { transmissions, loss: sample } = tcb.context;
  const window = reorderingWindow(tcb);
  let lost = 0;
  tcb.reorderAt = NEVER;
  let record = sent.oldest;
  while (record !== NONE) {
    const sentAt = transmissions.sentAt[record];
    if (!isSentAfter(loss.rackSentAt, loss.rackEnd, sentAt, transmissions.end[record])) break;
    const at = sentAt + loss.rackRttMs + window;
    if (at - now > TOLERANCE_MS) {
      tcb.reorderAt = at;
      schedule(tcb);
      break;
    }
    const later = transmissions.later[record];
    if (isLostProbe(tcb, record)) {
      sent.markLost(record);
      onProbeLost(tcb, now);
      record = later;
      continue;
    }
    const length = transmissions.length(record);
    lost += length;
    tcb.lost += length;
    sample.length = length;
    sample.txPipe = transmissions.pipe[record];
    sample.priorDelivered = transmissions.delivered[record];
    sample.lostSince = Math.max(tcb.lost - transmissions.lost[record], length);
    sample.appLimited = transmissions.appLimited[record] === 1;
    sent.markLost(record);
    control.onLoss(tcb, sample, now);
    record = later;
  }
  return lost;
}

/** RFC 8985 6.2, step 4. */
function reorderingWindow(tcb: Tcb): number {
  const { loss, sent } = tcb;
  if (!loss.reorderingSeen) {
    if (loss.phase !== OPEN) return 0;
    // RFC 6675 4, IsLost: the bytes of so many segments are more than those of one less.
    if (sent.sackedBytes > (DUPLICATE_THRESHOLD - 1) * tcb.mss) return 0;
    if (loss.duplicateAcks >= DUPLICATE_THRESHOLD) return 0;
  }
  if (loss.minRttMs === Number.POSITIVE_INFINITY) return 0;
  return Math.min((loss.reorderMultiplier * loss.minRttMs) / 4, Math.max(tcb.srtt, 0));
}

/** Step 4: the peer reports that it got something twice: too little was allowed for reordering. Once a round trip. */
export function widenReorderingWindow(tcb: Tcb): void {
  const { loss } = tcb;
  endReorderRound(tcb);
  if (loss.inReorderRound) return;
  loss.inReorderRound = true;
  loss.reorderRoundEnd = tcb.sndNxt;
  loss.reorderMultiplier++;
  loss.reorderPersist = RECOVERIES;
}

/** SND.UNA has moved on. */
export function endReorderRound(tcb: Tcb): void {
  const { loss } = tcb;
  if (loss.inReorderRound && seqGeq(tcb.sndUna, loss.reorderRoundEnd)) loss.inReorderRound = false;
}

/** Step 4: a recovery is over. */
export function countRecovery(tcb: Tcb): void {
  const { loss } = tcb;
  if (loss.reorderPersist > 0 && --loss.reorderPersist === 0) loss.reorderMultiplier = 1;
}

/** RFC 8985 6.3: RACK starts with the connection. */
export function startRack(tcb: Tcb, now: number): void {
  tcb.loss.fack = tcb.sndUna;
  tcb.loss.rackSentAt = now;
  tcb.loss.rackEnd = tcb.sndUna;
}
