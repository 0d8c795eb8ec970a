import type { CodelOptions } from "./line-options.ts";
import type { Packet, PacketQueue } from "./packet-pool.ts";

/** What CoDel does with a packet that it does not let pass. */
export interface CodelVerdicts {
  /** Marks it as one that met congestion; `false` where that cannot be done. */
  mark(packet: Packet): boolean;
  drop(packet: Packet): void;
}

/** RFC 8289 5.4: so soon after the last time, dropping goes on at the rate that was right then. */
const RECENT_INTERVALS = 16;

/**
 * CoDel (RFC 8289 5): as packets leave a queue, it looks how long they were in it. Where that was longer than the target for
 * a whole interval, it drops one, and then the next ones sooner and sooner until it is not.
 */
export class Codel {
  /** When the time in the queue will have been too long for an interval; 0 where it is not. */
  private firstAboveAt = 0;
  private dropping = false;
  private dropNextAt = 0;
  /** Packets dropped since dropping began, and what that was the last time. */
  private count = 0;
  private lastCount = 0;

  /**
   * Takes the next packet that may go out of `queue`, or `null`.
   *
   * @param largest bytes of the largest packet: a queue that holds no more than that is not long (4.4)
   */
  next(
    queue: PacketQueue,
    now: number,
    { targetMs, intervalMs, ecn }: Required<CodelOptions>,
    largest: number,
    verdicts: CodelVerdicts,
  ): Packet | null {
    let packet = queue.shift();
    let tooLate = this.isTooLate(packet, queue, now, targetMs, intervalMs, largest);
    if (this.dropping) {
      if (!tooLate) this.dropping = false;
      while (this.dropping && packet !== null && now >= this.dropNextAt) {
        this.count++;
        const marked = ecn && verdicts.mark(packet);
        if (!marked) {
          verdicts.drop(packet);
          packet = queue.shift();
          tooLate = this.isTooLate(packet, queue, now, targetMs, intervalMs, largest);
        }
        if (!tooLate) this.dropping = false;
        else this.dropNextAt = controlLaw(this.dropNextAt, intervalMs, this.count);
        if (marked) return packet;
      }
      return packet;
    }
    if (packet === null || !tooLate) return packet;
    if (!(ecn && verdicts.mark(packet))) {
      verdicts.drop(packet);
      packet = queue.shift();
      this.isTooLate(packet, queue, now, targetMs, intervalMs, largest);
    }
    this.dropping = true;
    const delta = this.count - this.lastCount;
    const isRecent = now - this.dropNextAt < RECENT_INTERVALS * intervalMs;
    this.count = delta > 1 && isRecent ? delta : 1;
    this.dropNextAt = controlLaw(now, intervalMs, this.count);
    this.lastCount = this.count;
    return packet;
  }

  /** 5.3: whether the time in the queue has been too long for an interval. */
  private isTooLate(
    packet: Packet | null,
    queue: PacketQueue,
    now: number,
    targetMs: number,
    intervalMs: number,
    largest: number,
  ): boolean {
    if (packet === null || now - packet.queuedAt < targetMs || queue.bytes <= largest) {
      this.firstAboveAt = 0;
      return false;
    }
    if (this.firstAboveAt === 0) {
      this.firstAboveAt = now + intervalMs;
      return false;
    }
    return now >= this.firstAboveAt;
  }
}

/** 5.2: the drop rate grows with the square root of the drops, to which TCP's throughput answers in proportion. */
function controlLaw(at: number, intervalMs: number, count: number): number {
  return at + intervalMs / Math.sqrt(count);
}
