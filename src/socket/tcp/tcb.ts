import type { ErrorCode } from "../../errors.ts";
import { NEVER } from "../../storage/deadline-heap.ts";
import { type IntervalSet, NO_INTERVALS } from "../../storage/interval-set.ts";
import type { ReadyQueue } from "../../storage/ready-queue.ts";
import { StreamBuffer } from "../../storage/stream-buffer.ts";
import { ANY_IPV4, type IpAddress } from "../../wire/ip-address.ts";
import type { SocketContext } from "../context.ts";
import type { CongestionControl } from "./congestion/control.ts";
import { createCongestionControl } from "./congestion/control-factory.ts";
import { INITIAL_SSTHRESH } from "./congestion/slow-start.ts";
import { BY_NOTHING, type Limit } from "./limits.ts";
import type { ListenQueue } from "./listen-queue.ts";
import { LossRecovery } from "./loss-recovery.ts";
import type { PathMtu } from "./path-mtu.ts";
import type { RestingConnection } from "./resting.ts";
import { NOTHING_TO_REPORT, type SackReport } from "./sack.ts";
import { seqDiff } from "./seq.ts";
import type { TcpTrace } from "./trace.ts";
import { Transmissions } from "./transmissions.ts";
import { type Tuning, UNTUNED } from "./tuning.ts";

/** The states of RFC 9293 3.3.2, numbered so that "synchronized" and "FIN received" are comparisons. */
export const CLOSED = 0;
export const LISTEN = 1;
export const SYN_SENT = 2;
export const SYN_RECEIVED = 3;
export const ESTABLISHED = 4;
export const FIN_WAIT_1 = 5;
export const FIN_WAIT_2 = 6;
export const CLOSE_WAIT = 7;
export const CLOSING = 8;
export const LAST_ACK = 9;
export const TIME_WAIT = 10;

export type TcpState =
  | "CLOSED"
  | "LISTEN"
  | "SYN_SENT"
  | "SYN_RECEIVED"
  | "ESTABLISHED"
  | "FIN_WAIT_1"
  | "FIN_WAIT_2"
  | "CLOSE_WAIT"
  | "CLOSING"
  | "LAST_ACK"
  | "TIME_WAIT";

export const STATE_NAMES: readonly TcpState[] = [
  "CLOSED",
  "LISTEN",
  "SYN_SENT",
  "SYN_RECEIVED",
  "ESTABLISHED",
  "FIN_WAIT_1",
  "FIN_WAIT_2",
  "CLOSE_WAIT",
  "CLOSING",
  "LAST_ACK",
  "TIME_WAIT",
];

// What the connection is to send as soon as the device takes it, besides data: bits of `tcb.due`.
export const DUE_SYN = 1;
export const DUE_ACK = 2;
export const DUE_RST = 4;
export const DUE_PROBE = 8;
export const DUE_KEEP_ALIVE = 16;
export const DUE_TAIL_PROBE = 32;
/** What is written goes out, also where it fills no segment. */
export const DUE_PUSH = 64;

/** Sees bytes where they are; returns how many of the `length` at `offset` it has no more use for. */
export type Consumer = (bytes: Uint8Array, offset: number, length: number) => number;

/** The program's socket: what it holds changes as the connection rests and wakes, see `resting.ts`. */
export interface TcbHolder {
  hold(block: Tcb | RestingConnection): void;
}

/**
 * The transmission control block of one connection: RFC 9293 3.3.1, and what the later RFCs add. Only the functions
 * of this folder change it.
 *
 * The send buffer starts at SND.UNA (behind the SYN) and ends where the program's last accepted byte is; a FIN follows
 * it in sequence space. The receive buffer starts at the first byte that the program has not read.
 */
export class Tcb {
  readonly context: SocketContext;
  /** Place in the socket set, -1 when released. */
  index = -1;
  state = CLOSED;

  local: IpAddress = ANY_IPV4;
  localPort = 0;
  remote: IpAddress = ANY_IPV4;
  remotePort = 0;
  /** The interface's queue of sockets that have something to send. */
  ready: ReadyQueue | null = null;
  /** The listener's queue this connection came from, up to TIME-WAIT. */
  listen: ListenQueue | null = null;
  /** The program's socket, once it has one. */
  holder: TcbHolder | null = null;
  /** The SYN was ours: a refusal is told to the program. */
  activeOpen = false;

  /** Our SYN offers, or our SYN-ACK answers, a window scale (RFC 7323 1.3). */
  offersWindowScale = true;

  // Send sequence variables.
  iss = 0;
  sndUna = 0;
  sndNxt = 0;
  sndWnd = 0;
  sndWl1 = 0;
  sndWl2 = 0;
  /** MAX.SND.WND, the largest window the peer has offered (RFC 5961 5, RFC 9293 3.8.6.2.1). */
  maxSndWnd = 0;
  /** Shift that the peer applies to its windows (RFC 7323 2). */
  sndWindShift = 0;
  /** Largest payload we send: Eff.snd.MSS (RFC 9293 3.7.1). */
  mss = 536;
  /** Largest IP packet that the device cuts into segments, or 0. */
  maxSuperSegment = 0;
  /** Bytes of the stream that are acknowledged once a segment of `mss` has been: it gets through, then (RFC 5927 7.2). */
  fullSizedAt = Number.POSITIVE_INFINITY;
  /** Most text handed to the device at once: a multiple of `mss`, more than one where the device cuts. */
  maxText = 536;
  readonly sendBuffer: StreamBuffer;
  /** The program will send nothing more: a FIN goes behind the buffered bytes. */
  finQueued = false;
  finSent = false;

  // Receive sequence variables.
  irs = 0;
  rcvNxt = 0;
  /** Right edge of the window offered: RCV.NXT + RCV.WND. It never moves back. */
  rcvAdv = 0;
  /** Shift that we apply to the windows we offer. */
  rcvWindShift = 0;
  /** Largest segment we accept, as told to the peer. */
  rcvMss = 536;
  readonly receiveBuffer: StreamBuffer;
  /** What arrived ahead of RCV.NXT, as distances from it: see `gapsOf`. */
  outOfOrder: IntervalSet = NO_INTERVALS;
  /** The peer's FIN has been reached. */
  finReceived = false;
  /** Sequence number of a FIN that arrived ahead of a gap; meaningful while `finPending`. */
  finSeq = 0;
  finPending = false;
  /** The program does not read any more (`close`): arriving text is answered by a reset. */
  receiveClosed = false;

  /** Our SYN permits SACK; once the peer's is there: both sides do (RFC 2018 2). */
  sack: boolean;
  /** See `reportOf`. */
  sackReport: SackReport = NOTHING_TO_REPORT;

  /** RFC 3168: bits of `ecn.ts`. */
  ecn = 0;

  // Timestamps: RFC 7323 3 to 5.
  /** Our SYN offers them; once the peer's is there: both sides send them in every segment. */
  timestamps: boolean;
  /** What our clock, in ms, is ahead of the time that polls tell. */
  tsOffset = 0;
  /** TS.Recent, what we echo, and when it came, in ms. */
  tsRecent = 0;
  tsRecentAt = 0;
  /** Last.ACK.sent */
  lastAckSent = 0;

  // What is to be sent.
  due = 0;
  /** Duplicate ACKs owed, one for each segment that arrived out of order (RFC 5681 4.2). */
  duplicateAcksDue = 0;
  /** Bytes received since our last ACK. */
  bytesSinceAck = 0;
  /** Longest text of one segment seen so far: what "full-sized" means for this peer (RFC 9293 3.8.6.3). */
  longestText = 0;
  /** Nagle's algorithm is off (RFC 9293 3.7.4). */
  noDelay = false;

  /** What is outstanding, and what has become of it: RFC 6675 3, RFC 8985. */
  readonly sent: Transmissions;
  readonly loss = new LossRecovery();
  /** RFC 6298. `srtt` is negative before the first measurement. */
  srtt = -1;
  rttvar = 0;
  rto: number;
  /** The sequence number whose ACK ends the measurement under way (RFC 6298 3), while `rttTiming`. */
  rttSeq = 0;
  rttStart = 0;
  rttTiming = false;
  /** Consecutive timeouts. */
  backoff = 0;
  /** When the oldest unacknowledged byte was sent first, or the peer was heard of last in between; for R2. */
  unackedSince = 0;

  // Congestion control: RFC 5681.
  control: CongestionControl;
  cwnd = 0;
  ssthresh = INITIAL_SSTHRESH;
  /** SND.NXT when loss was found last (RFC 6582 3, RFC 6675 5): recovery lasts until that has been acknowledged. */
  recover = 0;
  /** The window was full in this round trip: only one that is used may grow (RFC 9293 3.8.2, RFC 7661). */
  cwndLimited = false;
  lastSentAt = 0;
  /** Bytes per ms that the connection sends at most; without a limit where nothing paces it. */
  pacingRate = Number.POSITIVE_INFINITY;
  /** Bytes that the peer has received, and that were found lost, since the connection was opened. */
  delivered = 0;
  lost = 0;
  /** `delivered` at which what was sent while the program had too little to send is through; 0 where it never had. */
  appLimitedUntil = 0;
  /** Bytes per ms: the last delivery-rate sample. */
  deliveryRate = 0;
  /** What paces the connection lets the next segment go at this time, in ms. */
  nextSendAt = 0;
  /** ms of sending at this pace that late timers have cost, and that are made up for bit by bit. */
  behindMs = 0;

  // Zero-window probing: RFC 9293 3.8.6.1.
  probing = false;
  probeBackoff = 0;

  // Keep-alive: RFC 9293 3.8.4. An idle time of 0 is off.
  keepAliveIdleMs = 0;
  keepAliveIntervalMs = 0;
  keepAliveCount = 0;
  keepAlivesUnanswered = 0;
  lastHeardAt = 0;

  // Deadlines in ms.
  retransmitAt = NEVER;
  /** RFC 8985: the reordering timer, and the PTO. */
  reorderAt = NEVER;
  probeAt = NEVER;
  /** Text waits for `nextSendAt`. */
  paceAt = NEVER;
  persistAt = NEVER;
  delayedAckAt = NEVER;
  keepAliveAt = NEVER;
  /** End of TIME-WAIT, of FIN-WAIT-2 without a reader, or of an active open. */
  expireAt = NEVER;
  /** Set by a user call, which does not know the time: the next poll makes `expireAt` of it. 0: nothing to start. */
  expireInMs = 0;

  // Challenge ACKs of the current second: RFC 5961 7.
  challengeWindowStart = 0;
  challengeCount = 0;

  // For the program.
  /** A write was cut short: the program is to be told when there is room. */
  writeBlocked = false;
  events = 0;
  handler: ((events: number) => void) | null = null;
  /** Is shown text that arrives in order while nothing waits to be read. */
  consumer: Consumer | null = null;
  /** Why the connection ended, when not by the book. */
  error: ErrorCode | null = null;
  /** Bytes that were written and that the peer had not acknowledged when it ended. */
  undelivered = 0;
  /** Reported when the connection times out: an ICMP message that is no reason to give up (RFC 9293 3.9.2.2). */
  softError: ErrorCode | null = null;
  bytesSent = 0;
  bytesReceived = 0;
  retransmissions = 0;
  bytesRetransmitted = 0;
  openedAt = 0;

  // Fields of what few segments need stand last: the engine reads the first sixty or so of an object faster.

  // ACKs: see `delayed-ack.ts`.
  /** Segments that are still to be acknowledged at once, each. */
  quickAcks: number;
  /** The program answers what it gets. */
  isInteractive = false;
  /** When the last text in order came, in ms. */
  lastTextAt = Number.NEGATIVE_INFINITY;

  // Growth of the receive buffer: what arrives in a round of the path.
  /** The path's round-trip time in ms as a receiver sees it; negative before the first round. */
  rcvRttMs = -1;
  /** When the round began, and, as it did, RCV.NXT + RCV.WND, our timestamp, and what the program had taken in all. */
  rcvRoundAt = 0;
  rcvRoundEdge = 0;
  rcvRoundTimestamp = 0;
  rcvRoundTaken = 0;

  /** What the path carries, where that is less than `mss` once was, or is to be found out. */
  path: PathMtu | null = null;

  /** What fills no segment waits for more text, until this time in ms: see `cork.ts`. */
  corked = false;
  corkAt = NEVER;
  /** R2 in ms; 0 for that of all connections. */
  userTimeoutMs = 0;
  /** What the program has set for this connection. */
  tuning: Tuning = UNTUNED;

  /** When the peer took a page's worth of text last, in ms, and how many bytes it had taken then: see `pressure.ts`. */
  progressAt = 0;
  progressBytes = 0;

  /** Records what happens, where the program wants to see it. */
  trace: TcpTrace | null = null;
  segmentsSent = 0;
  segmentsReceived = 0;
  /** What holds text back, since when, and how long each has: see `limits.ts`. */
  limit: Limit = BY_NOTHING;
  limitSince = 0;
  limitedByCongestionMs = 0;
  limitedByPeerMs = 0;
  limitedByBufferMs = 0;

  constructor(context: SocketContext) {
    this.context = context;
    const settings = context.tcp;
    // Writers that took the last page would starve the receivers, whose ACKs are what gives pages back: two ends that
    // both write would then wait for each other for ever.
    this.sendBuffer = new StreamBuffer(context.pool, settings.sendBuffer, context.pool.reserve);
    this.receiveBuffer = new StreamBuffer(context.pool, settings.receiveBuffer);
    this.rto = settings.initialRtoMs;
    this.sent = new Transmissions(context.transmissions);
    this.control = createCongestionControl(settings.congestionControl, settings.bbrToleratedLoss);
    this.quickAcks = settings.quickAcks;
    this.sack = settings.sack;
    this.timestamps = settings.timestamps;
  }

  /** RFC 6675: bytes that are under way, as far as we know. */
  get pipe(): number {
    return this.sent.pipe;
  }
}

/** Both sides' sequence numbers are known (RFC 9293 3.3.2). */
export function isSynchronized(tcb: Tcb): boolean {
  return tcb.state >= ESTABLISHED;
}

/** The peer may still send text: no FIN has been received. */
export function mayReceive(tcb: Tcb): boolean {
  return tcb.state === ESTABLISHED || tcb.state === FIN_WAIT_1 || tcb.state === FIN_WAIT_2;
}

/** Bytes sent and not acknowledged, a SYN or FIN included. */
export function flightSize(tcb: Tcb): number {
  return seqDiff(tcb.sndNxt, tcb.sndUna);
}
