import { StackError } from "../../errors.ts";
import { ACK, MOST_SACK_BLOCKS, SYN, type TcpSegment } from "../../wire/tcp.ts";
import { phaseName, type RecoveryPhase } from "./info.ts";
import { seqDiff } from "./seq.ts";
import { STATE_NAMES, type Tcb, type TcpState } from "./tcb.ts";

/**
 * A record of what a connection has done: segments sent and received, and what changed with them. Sequence numbers count
 * from the initial ones, modulo 2^32; windows are in bytes; `atMs` is a time that the stack was polled with.
 */
export type TcpTraceEvent =
  | (TraceSegment & { readonly event: "sent" | "received" })
  | { readonly atMs: number; readonly event: "state"; readonly state: TcpState }
  | { readonly atMs: number; readonly event: "window"; readonly cwnd: number; readonly ssthresh: number }
  | { readonly atMs: number; readonly event: "recovery"; readonly phase: RecoveryPhase }
  /** The retransmission timer has expired, so many times in a row. */
  | { readonly atMs: number; readonly event: "timeout"; readonly backoff: number; readonly rtoMs: number };

export interface TraceSegment {
  readonly atMs: number;
  /** The sender's sequence number, and what it acknowledges of the other side; `null` without the ACK flag. */
  readonly seq: number;
  readonly ack: number | null;
  /** Bytes of text. */
  readonly length: number;
  /** Bits as in a TCP header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128. */
  readonly flags: number;
  readonly window: number;
  /** Blocks of a SACK option, each from its first sequence number to the one behind its last. */
  readonly sack: readonly (readonly [number, number])[];
}

const SENT = 0;
const RECEIVED = 1;
const STATE = 2;
const WINDOW = 3;
const RECOVERY = 4;
const TIMEOUT = 5;

const FIELDS = 6;
const MOST_EVENTS = 1 << 24;
const PHASES: readonly RecoveryPhase[] = ["open", "recovery", "timeout"];

/**
 * The last events of one connection, in a ring that is made at once: recording allocates nothing, and a connection without
 * a trace does no more than to see that there is none. Made by `TcpSocket.startTrace`.
 */
export class TcpTrace {
  /** Events kept. */
  readonly capacity: number;
  private readonly tcb: Tcb;
  private readonly at: Float64Array;
  private readonly kind: Uint8Array;
  private readonly fields: Float64Array;
  private readonly blocks: Int32Array;
  private next = 0;
  private total = 0;
  // What was recorded last.
  private state: number;
  private cwnd: number;
  private ssthresh: number;
  private phase: number;
  private backoff: number;

  /** @throws StackError EINVAL */
  constructor(tcb: Tcb, capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MOST_EVENTS) {
      throw new StackError("EINVAL", `a trace keeps 1 to ${MOST_EVENTS} events, not ${capacity}`);
    }
    this.tcb = tcb;
    this.capacity = capacity;
    this.at = new Float64Array(capacity);
    this.kind = new Uint8Array(capacity);
    this.fields = new Float64Array(capacity * FIELDS);
    this.blocks = new Int32Array(capacity * MOST_SACK_BLOCKS * 2);
    this.state = tcb.state;
    this.cwnd = tcb.cwnd;
    this.ssthresh = tcb.ssthresh;
    this.phase = tcb.loss.phase;
    this.backoff = tcb.backoff;
  }

  /** Events that the ring had no room for any more: the oldest ones. */
  get dropped(): number {
    return Math.max(this.total - this.capacity, 0);
  }

  /** The events that are kept, the oldest first. */
  events(): TcpTraceEvent[] {
    const count = Math.min(this.total, this.capacity);
    const first = (this.next - count + this.capacity) % this.capacity;
    return Array.from({ length: count }, (_, i) => this.read((first + i) % this.capacity));
  }

  /** Forgets what was recorded. */
  clear(): void {
    this.total = 0;
  }

  /** A segment arrives, and has not been looked at. */
  received(seg: TcpSegment, now: number): void {
    this.segment(RECEIVED, seg, this.tcb.sndWindShift, now);
  }

  /** A segment leaves. */
  sent(seg: TcpSegment, now: number): void {
    this.segment(SENT, seg, this.tcb.rcvWindShift, now);
    this.changes(now);
  }

  /** Something was done: records what is otherwise than before. */
  changes(now: number): void {
    const { tcb } = this;
    const { phase } = tcb.loss;
    if (tcb.backoff > this.backoff) this.put(TIMEOUT, now, tcb.backoff, tcb.rto);
    this.backoff = tcb.backoff;
    if (tcb.state !== this.state) this.put(STATE, now, tcb.state, 0);
    this.state = tcb.state;
    if (phase !== this.phase) this.put(RECOVERY, now, PHASES.indexOf(phaseName(tcb)), 0);
    this.phase = phase;
    if (tcb.cwnd === this.cwnd && tcb.ssthresh === this.ssthresh) return;
    this.cwnd = tcb.cwnd;
    this.ssthresh = tcb.ssthresh;
    this.put(WINDOW, now, tcb.cwnd, tcb.ssthresh);
  }

  private segment(kind: number, seg: TcpSegment, shift: number, now: number): void {
    const place = this.put(kind, now, seg.seq, seg.ack);
    const at = place * FIELDS + 2;
    this.fields[at] = seg.payloadLength;
    this.fields[at + 1] = seg.flags;
    this.fields[at + 2] = seg.flags & SYN ? seg.window : seg.window << shift;
    this.fields[at + 3] = seg.sackCount;
    const edges = place * MOST_SACK_BLOCKS * 2;
    for (let i = 0; i < 2 * seg.sackCount; i++) this.blocks[edges + i] = seg.sackEdges[i];
  }

  /** Records an event with its first two fields; returns its place. */
  private put(kind: number, now: number, first: number, second: number): number {
    const place = this.next;
    this.next = place + 1 === this.capacity ? 0 : place + 1;
    this.total++;
    this.kind[place] = kind;
    this.at[place] = now;
    this.fields[place * FIELDS] = first;
    this.fields[place * FIELDS + 1] = second;
    return place;
  }

  private read(place: number): TcpTraceEvent {
    const atMs = this.at[place];
    const [first, second] = this.fields.subarray(place * FIELDS);
    switch (this.kind[place]) {
      case STATE:
        return { atMs, event: "state", state: STATE_NAMES[first] };
      case WINDOW:
        return { atMs, event: "window", cwnd: first, ssthresh: second };
      case RECOVERY:
        return { atMs, event: "recovery", phase: PHASES[first] };
      case TIMEOUT:
        return { atMs, event: "timeout", backoff: first, rtoMs: second };
      case SENT:
        return { event: "sent", ...this.readSegment(place, this.tcb.iss, this.tcb.irs) };
      default:
        return { event: "received", ...this.readSegment(place, this.tcb.irs, this.tcb.iss) };
    }
  }

  private readSegment(place: number, from: number, to: number): TraceSegment {
    const [seq, ack, length, flags, window, blocks] = this.fields.subarray(place * FIELDS);
    const edges = this.blocks.subarray(place * MOST_SACK_BLOCKS * 2);
    const sack = Array.from(
      { length: blocks },
      (_, i) => [sinceInitial(edges[2 * i], to), sinceInitial(edges[2 * i + 1], to)] as const,
    );
    return {
      atMs: this.at[place],
      seq: sinceInitial(seq, from),
      ack: flags & ACK ? sinceInitial(ack, to) : null,
      length,
      flags,
      window,
      sack,
    };
  }
}

function sinceInitial(seq: number, initial: number): number {
  return seqDiff(seq, initial) >>> 0;
}
