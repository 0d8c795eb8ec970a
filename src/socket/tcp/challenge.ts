import { acknowledgeNow } from "./delayed-ack.ts";
import type { Tcb } from "./tcb.ts";

/** RFC 5961 7: so many in a second; more than a peer that is in doubt needs, less than an attacker can use. */
const PER_SECOND = 10;

/**
 * RFC 5961 3.2, 4.2 and 5.2: answers a segment that is not quite right by <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>. The limit
 * is each connection's own: a shared one would tell an attacker of other connections.
 */
export function challengeAck(tcb: Tcb, now: number): void {
  const { stats } = tcb.context;
  if (now - tcb.challengeWindowStart >= 1_000) {
    tcb.challengeWindowStart = now;
    tcb.challengeCount = 0;
  }
  if (tcb.challengeCount >= PER_SECOND) {
    stats.tcpChallengeAcksRateLimited++;
    return;
  }
  tcb.challengeCount++;
  stats.tcpChallengeAcks++;
  acknowledgeNow(tcb);
}
