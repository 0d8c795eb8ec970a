import { type Random, seededRandom } from "../../src/random.ts";
import { AckSample, type CongestionControl, LossSample } from "../../src/socket/tcp/congestion/control.ts";
import { seqAdd, seqGeq } from "../../src/socket/tcp/seq.ts";
import type { Tcb } from "../../src/socket/tcp/tcb.ts";
import { plainTcb } from "./congestion.ts";

/**
 * Senders over one bottleneck, in simulated time: what a congestion control sees of a connection, without the stack
 * around it. Each sender has segments of one size, a peer that acknowledges every second one at once (or one alone
 * after 40 ms) and tells exactly what has arrived, and takes as lost what three later ones have overtaken.
 */

const DELAYED_ACK_MS = 40;
const MIN_RTO_MS = 200;
const OVERTAKEN = 3;

export interface Path {
  /** Bytes per ms. */
  rate: number;
  /** Round-trip time without a queue, in ms. */
  rttMs: number;
  /** What the queue holds, in bytes. */
  queue: number;
  /** Probability that a segment is lost on the way. */
  loss?: number;
  /** Segments that find a longer queue than that are marked, in bytes. */
  markAbove?: number;
  seed?: number;
}

/** Mbit/s as bytes per ms. */
export function mbit(rate: number): number {
  return rate * 125;
}

/** What one segment, sent once, carries along. */
class Transmission {
  /** How many were sent before. */
  readonly index: number;
  readonly segment: number;
  readonly sentAt: number;
  deliveredAt = 0;
  firstSentAt = 0;
  delivered = 0;
  lost = 0;
  appLimited = false;
  pipe = 0;
  marked = false;
  settled = false;

  constructor(index: number, segment: number, sentAt: number) {
    this.index = index;
    this.segment = segment;
    this.sentAt = sentAt;
  }
}

/** The link: a queue of bytes behind a rate. */
export class Bottleneck {
  readonly path: Path;
  readonly senders: Sender[] = [];
  now = 0;
  /** Called after each event. */
  onEvent: () => void = () => {};
  private readonly random: Random;
  /** When the last byte queued leaves. */
  private clearAt = 0;

  constructor(path: Path) {
    this.path = { ...path };
    this.random = seededRandom(path.seed ?? 1);
  }

  /** Bytes in the queue. */
  get queued(): number {
    return Math.max(0, this.clearAt - this.now) * this.path.rate;
  }

  add(control: CongestionControl, options: SenderOptions = {}): Sender {
    const sender = new Sender(this, control, options);
    this.senders.push(sender);
    return sender;
  }

  /** When the last byte of a segment that comes now leaves the link; -1 when it is dropped. */
  accept(bytes: number): number {
    const lost = this.path.loss !== undefined && this.random.next() / 2 ** 32 < this.path.loss;
    if (this.queued > this.path.queue) return -1;
    this.clearAt = Math.max(this.clearAt, this.now) + bytes / this.path.rate;
    return lost ? -1 : this.clearAt;
  }

  /** Time passes. */
  run(ms: number): void {
    const end = this.now + ms;
    for (const sender of this.senders) sender.pump();
    while (true) {
      let next: Sender | null = null;
      let at = end;
      for (const sender of this.senders) {
        const due = sender.nextEventAt();
        if (due <= at) {
          at = due;
          next = sender;
        }
      }
      this.now = Math.max(at, this.now);
      if (next === null) return;
      next.handle();
      this.onEvent();
    }
  }
}

export interface SenderOptions {
  mss?: number;
  /** Bytes per ms that the program writes at most. */
  supply?: number;
  seed?: number;
  /** Nothing is sent before. */
  startAt?: number;
}

export class Sender {
  readonly tcb: Tcb;
  readonly control: CongestionControl;
  readonly ack = new AckSample();
  readonly loss = new LossSample();
  /** Bytes that arrived in order. */
  goodput = 0;
  sentBytes = 0;
  losses = 0;
  congestions = 0;
  timeouts = 0;
  inRecovery = false;
  lastRttMs = 0;
  /** The program may send only while this is set. */
  enabled = true;

  private readonly link: Bottleneck;
  private readonly mss: number;
  private readonly supply: number;
  private readonly startAt: number;
  private started = false;
  private written = 0;

  // Transmissions in the order they were sent; those before `settledTo` are settled.
  private log: Transmission[] = [];
  private settledTo = 0;
  private transmissions = 0;
  /** Indices of those that have arrived last. */
  private readonly latest: number[] = new Array(OVERTAKEN).fill(-1);
  private readonly lostSegments: number[] = [];
  private nextSegment = 0;
  private unaSegment = 0;
  private readonly arrived = new Set<number>();

  // ACKs on their way: of all transmissions up to an index of `arrivals`.
  private arrivals: Transmission[] = [];
  private acks: { at: number; upTo: number }[] = [];
  private ackHead = 0;
  private arrivalHead = 0;
  private pendingAckAt = Number.POSITIVE_INFINITY;
  private receiverNext = 0;
  private readonly receiverHolds = new Set<number>();

  private firstSentAt = 0;
  private deliveredAt = 0;
  private nextSendAt = 0;
  private paced = false;
  private rtoAt = Number.POSITIVE_INFINITY;
  private rttvar = 0;
  private backoff = 0;
  private recoverSegment = 0;
  private timeoutSegment = 0;
  private markedUntil = -1;
  private cwndLimited = false;
  private lastSentAt = 0;

  constructor(link: Bottleneck, control: CongestionControl, options: SenderOptions) {
    this.link = link;
    this.control = control;
    this.mss = options.mss ?? 1_448;
    this.supply = options.supply ?? Number.POSITIVE_INFINITY;
    this.startAt = options.startAt ?? 0;
    this.tcb = plainTcb({ mss: this.mss, seed: options.seed ?? 1 });
    // The handshake has measured the path.
    this.tcb.srtt = link.path.rttMs;
    this.rttvar = link.path.rttMs / 2;
  }

  nextEventAt(): number {
    if (!this.started) return this.startAt;
    return Math.min(this.ackAt(), this.rtoAt, this.paced ? this.nextSendAt : Number.POSITIVE_INFINITY);
  }

  private ackAt(): number {
    return this.ackHead < this.acks.length ? this.acks[this.ackHead].at : this.pendingAckAt;
  }

  handle(): void {
    const { now } = this.link;
    if (!this.started) {
      this.started = true;
      this.control.start(this.tcb, now);
    } else if (this.ackAt() <= now) this.receiveAck();
    else if (this.rtoAt <= now) this.timeout();
    this.pump();
  }

  /** Sends what the windows and the pacing let out. */
  pump(): void {
    const { tcb, link, mss } = this;
    const { now } = link;
    tcb.context.now = now;
    if (!this.started) return;
    this.paced = false;
    if (this.enabled && this.isIdleTooLong(now)) {
      this.control.onRestart(tcb, now - this.lastSentAt, now);
      this.lastSentAt = now;
    }
    while (true) {
      const again = this.lostSegments.length > 0;
      if (!again && !this.hasText(now)) {
        this.cwndLimited = false;
        tcb.appLimitedUntil = Math.max(tcb.delivered + tcb.pipe, 1);
        if (this.enabled && this.supply < Number.POSITIVE_INFINITY) this.wakeForText(now);
        return;
      }
      if (tcb.pipe + mss > tcb.cwnd && tcb.pipe > 0) {
        this.cwndLimited = true;
        return;
      }
      if (now < this.nextSendAt && tcb.pacingRate < Number.POSITIVE_INFINITY) {
        this.paced = true;
        return;
      }
      this.send(again ? (this.lostSegments.shift() as number) : this.nextSegment++, again, now);
    }
  }

  private isIdleTooLong(now: number): boolean {
    return (
      this.tcb.pipe === 0 && this.sentBytes > 0 && now - this.lastSentAt > this.rto() && this.hasText(now)
    );
  }

  private hasText(now: number): boolean {
    if (!this.enabled) return false;
    return this.supply === Number.POSITIVE_INFINITY || this.supply * now - this.written >= this.mss;
  }

  /** An event at the time when the program has written another segment. */
  private wakeForText(now: number): void {
    this.paced = true;
    this.nextSendAt = Math.max(now, this.nextSendAt, (this.written + this.mss) / this.supply) + 1e-6;
  }

  private send(segment: number, again: boolean, now: number): void {
    const { tcb, mss } = this;
    const idle = tcb.pipe === 0;
    if (idle) this.firstSentAt = this.deliveredAt = now;
    if (!again) {
      tcb.sndNxt = seqAdd(tcb.sndNxt, mss);
      this.written += mss;
    }
    tcb.sent.pipe += mss;
    this.control.onSend(tcb, mss, idle, now);
    const sent = new Transmission(this.transmissions++, segment, now);
    sent.firstSentAt = this.firstSentAt;
    sent.deliveredAt = this.deliveredAt;
    sent.delivered = tcb.delivered;
    sent.lost = tcb.lost;
    sent.pipe = tcb.pipe;
    sent.appLimited = tcb.appLimitedUntil > 0;
    this.log.push(sent);
    this.sentBytes += mss;
    this.lastSentAt = now;
    // What holds everything back has another chance.
    if (segment === this.unaSegment || this.rtoAt === Number.POSITIVE_INFINITY) this.rtoAt = now + this.rto();
    this.nextSendAt = Math.max(now, this.nextSendAt) + mss / tcb.pacingRate;
    this.transmit(sent);
  }

  private transmit(sent: Transmission): void {
    const { path } = this.link;
    const marked = path.markAbove !== undefined && this.link.queued > path.markAbove;
    const leavesAt = this.link.accept(this.mss);
    if (leavesAt < 0) return;
    sent.marked = marked;
    const at = leavesAt + path.rttMs;
    this.arrivals.push(sent);
    const inOrder = sent.segment === this.receiverNext;
    const hadGap = this.receiverHolds.size > 0;
    if (sent.segment >= this.receiverNext) this.receiverHolds.add(sent.segment);
    while (this.receiverHolds.delete(this.receiverNext)) this.receiverNext++;
    // The one that was waiting has been acknowledged alone by then.
    if (this.pendingAckAt < at) this.acknowledge(this.pendingAckAt, this.arrivals.length - 1);
    if (inOrder && !hadGap && this.pendingAckAt === Number.POSITIVE_INFINITY) {
      this.pendingAckAt = at + DELAYED_ACK_MS;
    } else {
      this.acknowledge(at, this.arrivals.length);
    }
  }

  private acknowledge(at: number, upTo: number): void {
    this.acks.push({ at, upTo });
    this.pendingAckAt = Number.POSITIVE_INFINITY;
  }

  private receiveAck(): void {
    const { tcb, ack, link } = this;
    const { now } = link;
    let upTo = this.arrivals.length;
    if (this.ackHead < this.acks.length) upTo = this.acks[this.ackHead++].upTo;
    else this.pendingAckAt = Number.POSITIVE_INFINITY;
    tcb.context.now = now;
    ack.acked = ack.delivered = ack.lost = 0;
    ack.priorPipe = tcb.pipe;
    ack.rttMs = -1;
    ack.rateBytes = -1;
    ack.cwndLimited = this.cwndLimited;
    let newest: Transmission | null = null;
    let marked = false;
    while (this.arrivalHead < upTo) {
      const sent = this.arrivals[this.arrivalHead++];
      marked ||= sent.marked;
      this.latest.shift();
      this.latest.push(sent.index);
      // Sent again in vain.
      if (!sent.settled) tcb.sent.pipe -= this.mss;
      sent.settled = true;
      if (sent.segment < this.unaSegment || this.arrived.has(sent.segment)) continue;
      this.arrived.add(sent.segment);
      ack.delivered += this.mss;
      newest = sent;
    }
    while (this.arrived.delete(this.unaSegment)) {
      this.unaSegment++;
      ack.acked += this.mss;
    }
    tcb.sndUna = seqAdd(tcb.sndUna, ack.acked);
    this.goodput += ack.acked;
    tcb.delivered += ack.delivered;
    if (newest !== null) this.sampleRate(newest, now);
    if (!this.inRecovery && seqGeq(tcb.sndUna, seqAdd(tcb.recover, 2))) tcb.recover = seqAdd(tcb.sndUna, -1);
    this.findLosses(now);
    if (marked && this.unaSegment > this.markedUntil) this.react(now);
    this.finishRecovery(now);
    if (ack.acked > 0) {
      this.backoff = 0;
      this.rtoAt = tcb.pipe > 0 || this.lostSegments.length > 0 ? now + this.rto() : Number.POSITIVE_INFINITY;
    }
    if (ack.delivered > 0 && (!this.inRecovery || this.control.controlsRecovery)) {
      this.control.onAck(tcb, ack, now);
    }
    if (tcb.appLimitedUntil > 0 && tcb.delivered > tcb.appLimitedUntil) tcb.appLimitedUntil = 0;
    this.compact();
  }

  /** draft-ietf-ccwg-bbr 4.1.2.3; RFC 6298. */
  private sampleRate(newest: Transmission, now: number): void {
    const { tcb, ack } = this;
    ack.rateBytes = tcb.delivered - newest.delivered;
    ack.rateMs = Math.max(newest.sentAt - newest.firstSentAt, now - newest.deliveredAt);
    ack.priorDelivered = newest.delivered;
    ack.appLimited = newest.appLimited;
    ack.txPipe = newest.pipe;
    ack.lostSince = tcb.lost - newest.lost;
    this.firstSentAt = newest.sentAt;
    this.deliveredAt = now;
    const rtt = now - newest.sentAt;
    ack.rttMs = this.lastRttMs = rtt;
    this.rttvar = 0.75 * this.rttvar + 0.25 * Math.abs(tcb.srtt - rtt);
    tcb.srtt = 0.875 * tcb.srtt + 0.125 * rtt;
  }

  /** What was sent before three that have arrived, and has not, is lost. */
  private findLosses(now: number): void {
    for (; this.settledTo < this.log.length; this.settledTo++) {
      const sent = this.log[this.settledTo];
      if (sent.settled) continue;
      if (sent.index >= this.latest[0]) return;
      this.markLost(sent, now);
    }
  }

  private markLost(sent: Transmission, now: number): void {
    const { tcb, mss, loss, control } = this;
    sent.settled = true;
    tcb.sent.pipe -= mss;
    if (sent.segment < this.unaSegment || this.arrived.has(sent.segment)) return;
    tcb.lost += mss;
    this.losses++;
    this.ack.lost += mss;
    this.toSendAgain(sent.segment);
    loss.length = mss;
    loss.txPipe = sent.pipe;
    loss.priorDelivered = sent.delivered;
    loss.lostSince = tcb.lost - sent.lost;
    loss.appLimited = sent.appLimited;
    control.onLoss(tcb, loss, now);
    if (this.inRecovery || this.unaSegment < this.timeoutSegment) return;
    this.inRecovery = true;
    this.recoverSegment = this.nextSegment;
    tcb.recover = tcb.sndNxt;
    this.congestions++;
    control.onCongestion(tcb, false, now);
    if (!control.controlsRecovery) tcb.cwnd = tcb.ssthresh;
  }

  /** What is missing first goes out first. */
  private toSendAgain(segment: number): void {
    const { lostSegments } = this;
    const isLast = lostSegments.length === 0 || segment > lostSegments[lostSegments.length - 1];
    lostSegments.push(segment);
    if (!isLast) lostSegments.sort((a, b) => a - b);
  }

  /** RFC 3168: once a window. */
  private react(now: number): void {
    const { tcb, control } = this;
    this.markedUntil = this.nextSegment;
    if (this.inRecovery) return;
    this.congestions++;
    control.onCongestion(tcb, true, now);
    if (!control.controlsRecovery) tcb.cwnd = tcb.ssthresh;
  }

  private finishRecovery(now: number): void {
    if (!this.inRecovery || this.unaSegment < this.recoverSegment) return;
    this.inRecovery = false;
    if (!this.control.controlsRecovery) this.tcb.cwnd = this.tcb.ssthresh;
    this.control.onRecovered(this.tcb, now);
  }

  private rto(): number {
    return Math.max(this.tcb.srtt + 4 * this.rttvar, this.tcb.srtt + MIN_RTO_MS) * 2 ** this.backoff;
  }

  private timeout(): void {
    const { tcb, control, link } = this;
    const { now } = link;
    this.timeouts++;
    control.onTimeout(tcb, this.backoff > 0, now);
    this.backoff++;
    this.inRecovery = false;
    this.timeoutSegment = this.nextSegment;
    tcb.recover = tcb.sndNxt;
    for (; this.settledTo < this.log.length; this.settledTo++) {
      if (!this.log[this.settledTo].settled) this.markLost(this.log[this.settledTo], now);
    }
    if (!control.controlsRecovery) tcb.cwnd = tcb.mss;
    this.rtoAt = now + this.rto();
    // What waits for its turn does not hold this one back.
    this.nextSendAt = now;
  }

  /** Forgets what is over, so that long runs stay small. */
  private compact(): void {
    if (this.settledTo > 4_096) {
      this.log = this.log.slice(this.settledTo);
      this.settledTo = 0;
    }
    if (this.ackHead > 4_096) {
      this.acks = this.acks.slice(this.ackHead);
      this.ackHead = 0;
    }
    if (this.arrivalHead > 4_096) {
      const gone = this.arrivalHead;
      this.arrivals = this.arrivals.slice(gone);
      this.arrivalHead = 0;
      for (let i = this.ackHead; i < this.acks.length; i++) this.acks[i].upTo -= gone;
    }
  }
}
