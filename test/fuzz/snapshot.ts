import { STATE_NAMES, type Tcb } from "../../src/socket/tcp/tcb.ts";

/** What of a connection no segment may change that is not the peer's. */
const FIELDS: readonly (readonly [string, (tcb: Tcb) => number])[] = [
  ["state", (tcb) => tcb.state],
  ["sndUna", (tcb) => tcb.sndUna],
  ["sndNxt", (tcb) => tcb.sndNxt],
  ["sndWnd", (tcb) => tcb.sndWnd],
  ["sndWl1", (tcb) => tcb.sndWl1],
  ["sndWl2", (tcb) => tcb.sndWl2],
  ["maxSndWnd", (tcb) => tcb.maxSndWnd],
  ["mss", (tcb) => tcb.mss],
  ["rcvNxt", (tcb) => tcb.rcvNxt],
  ["finReceived", (tcb) => Number(tcb.finReceived)],
  ["finPending", (tcb) => Number(tcb.finPending)],
  ["outOfOrder", (tcb) => tcb.outOfOrder.count],
  ["sendBuffer", (tcb) => tcb.sendBuffer.length],
  ["receiveBuffer", (tcb) => tcb.receiveBuffer.length],
  ["tsRecent", (tcb) => tcb.tsRecent],
  ["tsRecentAt", (tcb) => tcb.tsRecentAt],
  ["ecn", (tcb) => tcb.ecn],
  ["cwnd", (tcb) => tcb.cwnd],
  ["ssthresh", (tcb) => tcb.ssthresh],
  ["pipe", (tcb) => tcb.sent.pipe],
  ["lostBytes", (tcb) => tcb.sent.lostBytes],
  ["sackedBytes", (tcb) => tcb.sent.sackedBytes],
  ["lossPhase", (tcb) => tcb.loss.phase],
  ["duplicateAcks", (tcb) => tcb.loss.duplicateAcks],
  ["delivered", (tcb) => tcb.delivered],
  ["srtt", (tcb) => tcb.srtt],
  ["rto", (tcb) => tcb.rto],
  ["backoff", (tcb) => tcb.backoff],
  ["retransmitAt", (tcb) => tcb.retransmitAt],
  ["persistAt", (tcb) => tcb.persistAt],
  ["unackedSince", (tcb) => tcb.unackedSince],
  ["error", (tcb) => Number(tcb.error !== null)],
  ["softError", (tcb) => Number(tcb.softError !== null)],
];

/** What an old segment of the peer's may change, and so whoever hits the last window. */
const FIELDS_OF_THE_HEARD: typeof FIELDS = [
  ["expireAt", (tcb) => tcb.expireAt],
  ["lastHeardAt", (tcb) => tcb.lastHeardAt],
  ["keepAliveAt", (tcb) => tcb.keepAliveAt],
  ["keepAlivesUnanswered", (tcb) => tcb.keepAlivesUnanswered],
];

const ALL = [...FIELDS, ...FIELDS_OF_THE_HEARD];

/** A connection as it was, to be compared with what it is. */
export class Snapshot {
  private readonly values = new Float64Array(ALL.length);

  take(tcb: Tcb): void {
    for (let i = 0; i < ALL.length; i++) this.values[i] = ALL[i][1](tcb);
  }

  /**
   * The name of the first field that is not as it was, with both values, or `null`.
   *
   * @param heard something that may be the peer's has come in between
   */
  difference(tcb: Tcb, heard: boolean): readonly [name: string, change: string] | null {
    const count = heard ? FIELDS.length : ALL.length;
    for (let i = 0; i < count; i++) {
      const value = ALL[i][1](tcb);
      if (value === this.values[i]) continue;
      const name = ALL[i][0];
      const show = (each: number) => (name === "state" ? STATE_NAMES[each] : String(each));
      return [name, `${show(this.values[i])} became ${show(value)}`];
    }
    return null;
  }
}
