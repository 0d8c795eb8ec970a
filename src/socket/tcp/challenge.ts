import { type Random, randomBelow } from "../../random.ts";
import { acknowledgeNow } from "./delayed-ack.ts";
import type { Tcb } from "./tcb.ts";

const SECOND_MS = 1_000;

/**
 * RFC 5961 7: what all connections of a stack together may answer in a second.
 *
 * A limit that is shared and known is a side channel: whoever makes connections of his own use it up sees by what is missing
 * whether another one has been challenged (CVE-2016-5696). So each second has another limit, drawn anew, from half of what
 * is configured to one and a half of it.
 */
export class ChallengeBudget {
  private readonly perSecond: number;
  private readonly random: Random;
  private endsAt = Number.NEGATIVE_INFINITY;
  private left = 0;

  constructor(perSecond: number, random: Random) {
    this.perSecond = perSecond;
    this.random = random;
  }

  /** Takes one out; `false` where there are no more before the second is over. */
  take(now: number): boolean {
    if (now >= this.endsAt) {
      this.endsAt = now + SECOND_MS;
      this.left = Math.ceil(this.perSecond / 2) + randomBelow(this.random, this.perSecond);
    }
    if (this.left === 0) return false;
    this.left--;
    return true;
  }
}

/**
 * RFC 5961 3.2, 4.2 and 5.2: answers a segment that is not quite right by <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, as far as the
 * limits allow.
 */
export function challengeAck(tcb: Tcb, now: number): void {
  if (!mayChallenge(tcb, now)) return;
  tcb.context.stats.tcpChallengeAcks++;
  acknowledgeNow(tcb);
}

/** Is one more answer to a dubious segment within the connection's limit, and within the stack's? */
export function mayChallenge(tcb: Tcb, now: number): boolean {
  const { stats, tcp, challenges } = tcb.context;
  if (now - tcb.challengeWindowStart >= SECOND_MS) {
    tcb.challengeWindowStart = now;
    tcb.challengeCount = 0;
  }
  if (tcb.challengeCount >= tcp.challengeAcksPerSecond || !challenges.take(now)) {
    stats.tcpChallengeAcksRateLimited++;
    return false;
  }
  tcb.challengeCount++;
  return true;
}
