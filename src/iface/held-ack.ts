import { mayBeSuperseded, receiveAck } from "../socket/tcp/input.ts";
import { seqGeq, seqGt, seqLeq } from "../socket/tcp/seq.ts";
import type { Tcb } from "../socket/tcp/tcb.ts";
import { read16, read32 } from "../wire/bytes.ts";
import { ACK, TCP_HEADER_LENGTH, type TcpSegment } from "../wire/tcp.ts";

const TS_VAL_AT = TCP_HEADER_LENGTH + 4;
const TS_ECR_AT = TCP_HEADER_LENGTH + 8;

/**
 * A bare ACK that TCP is told of when its batch ends, or when anything else comes. Until then one that acknowledges more may
 * take its place: ACKs are cumulative, so it is as if the network had lost the first one, which it may. A sender that fills a
 * fast path gets an ACK for every other segment, tens of them in a batch.
 */
export class HeldAck {
  /** ACKs that have come, of which the last one is left; 0 where none is held. */
  count = 0;
  private mayGiveWay = false;
  private ack = 0;
  private window = 0;
  private hasTimestamp = false;
  private tsVal = 0;
  private tsEcr = 0;

  /** Holds a segment that `isNextAck` is true of. */
  hold(tcb: Tcb, seg: TcpSegment): void {
    this.count = 1;
    this.mayGiveWay = mayBeSuperseded(tcb);
    this.ack = seg.ack;
    this.window = seg.window;
    this.hasTimestamp = seg.hasTimestamp;
    this.tsVal = seg.tsVal;
    this.tsEcr = seg.tsEcr;
  }

  /** May the ACK in the TCP header at `tcp`, which is like this one but for what it acknowledges and when, take its place? */
  givesWayTo(tcb: Tcb, bytes: Uint8Array, tcp: number): boolean {
    if (!this.mayGiveWay) return false;
    const ack = read32(bytes, tcp + 8);
    if (!seqGt(ack, this.ack) || !seqLeq(ack, tcb.sndNxt)) return false;
    return !this.hasTimestamp || seqGeq(read32(bytes, tcp + TS_VAL_AT), this.tsVal);
  }

  /** Puts the ACK in the TCP header at `tcp` in its place. */
  replace(bytes: Uint8Array, tcp: number): void {
    this.count++;
    this.ack = read32(bytes, tcp + 8);
    this.window = read16(bytes, tcp + 14);
    if (!this.hasTimestamp) return;
    this.tsVal = read32(bytes, tcp + TS_VAL_AT);
    this.tsEcr = read32(bytes, tcp + TS_ECR_AT);
  }

  /** Tells TCP of it, in `seg`. */
  release(tcb: Tcb, seg: TcpSegment): void {
    const { count } = this;
    this.count = 0;
    seg.seq = tcb.rcvNxt;
    seg.ack = this.ack;
    seg.flags = ACK;
    seg.ecn = 0;
    seg.window = this.window;
    seg.payloadLength = 0;
    seg.sackCount = 0;
    seg.hasTimestamp = this.hasTimestamp;
    seg.tsVal = this.tsVal;
    seg.tsEcr = this.tsEcr;
    const { context } = tcb;
    context.stats.tcpSegmentsReceived += count;
    receiveAck(tcb, seg, count, context.now);
  }
}
