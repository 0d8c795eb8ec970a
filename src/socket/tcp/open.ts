import { cloneAddress, type IpAddress } from "../../wire/ip-address.ts";
import type { TcpSegment } from "../../wire/tcp.ts";
import type { SocketContext } from "../context.ts";
import type { Path } from "../routing.ts";
import type { CongestionControlName } from "./congestion/control.ts";
import type { ListenQueue } from "./listen-queue.ts";
import { adoptSynOptions, announcedMss } from "./options.ts";
import { seqAdd, seqLeq } from "./seq.ts";
import { cookieWindow } from "./syn-cookie.ts";
import { DUE_SYN, SYN_RECEIVED, SYN_SENT, Tcb } from "./tcb.ts";
import { expireIn } from "./timers.ts";
import { ready } from "./transitions.ts";
import { applyTuning, type Tuning, type TuningOptions, UNTUNED } from "./tuning.ts";

/** What a program may say of a connection that it opens. */
export interface ConnectOptions extends TuningOptions {
  readonly address: string | IpAddress;
  readonly port: number;
  /** By default the address of the interface that leads there. */
  readonly localAddress?: string | IpAddress;
  /** By default one chosen by RFC 6056. */
  readonly localPort?: number;
  /** Nagle's algorithm off from the start. */
  readonly noDelay?: boolean;
  /** R2 for the SYN, in ms: how long the attempt goes on; the stack's `connectTimeoutMs` by default. */
  readonly connectTimeout?: number;
  /**
   * R2 for data, in ms: how long the peer may leave something unacknowledged; by default, and where it is 0, the stack's
   * `userTimeoutMs`. It bounds `connectTimeout` as well. See `TcpSocket.setUserTimeout`.
   */
  readonly userTimeout?: number;
  /**
   * The largest MSS, in bytes from 88: what is announced to the peer, and text with options that is sent; Linux's
   * TCP_MAXSEG. By default the stack's `maxSegmentSize`, which it cannot exceed, nor what the MTU leaves.
   */
  readonly maxSegmentSize?: number;
  /** How fast the connection sends: `"cubic"`, `"newreno"` or `"bbr"`; the stack's `congestionControl` by default. */
  readonly congestionControl?: CongestionControlName;
}

/** Both ends of a connection. */
export interface Endpoints {
  readonly local: IpAddress;
  readonly localPort: number;
  readonly remote: IpAddress;
  readonly remotePort: number;
}

/** How far the ISS of a reopened connection is ahead of the old one: more than a window without scale. */
const REOPENING_STEP = 65_537;

/** RFC 9293 3.10.1, active OPEN: a SYN is due, the state is SYN-SENT. The caller enters it into the socket set. */
export function openActive(
  context: SocketContext,
  ends: Endpoints,
  path: Path,
  index: number,
  tuning: Tuning,
  connectTimeoutMs: number,
): Tcb {
  const tcb = open(context, ends, path, index, tuning);
  tcb.activeOpen = true;
  tcb.state = SYN_SENT;
  expireIn(tcb, connectTimeoutMs);
  context.stats.tcpActiveOpens++;
  ready(tcb);
  return tcb;
}

/**
 * RFC 9293 3.10.7.2, third: a SYN for a listener. A SYN-ACK is due, the state is SYN-RECEIVED.
 *
 * @param previous the connection in TIME-WAIT whose place it takes, or `null`
 */
export function openPassive(
  context: SocketContext,
  seg: TcpSegment,
  path: Path,
  index: number,
  listen: ListenQueue,
  tuning: Tuning,
  previous: Tcb | null,
): Tcb {
  const tcb = open(context, endsOf(context, seg), path, index, tuning);
  // RFC 9293 3.6.1, MAY-2: the new ISS is beyond all that the connection in TIME-WAIT has sent.
  if (previous !== null && seqLeq(tcb.iss, previous.sndNxt))
    setIss(tcb, seqAdd(previous.sndNxt, REOPENING_STEP));
  receiveSyn(tcb, seg, listen);
  ready(tcb);
  return tcb;
}

/**
 * A SYN was answered by a cookie, which `seg` acknowledges: the state is SYN-RECEIVED, as if the connection had been there all
 * the time, and `seg` is to be processed in it.
 *
 * @param syn what is known of the SYN
 */
export function openByCookie(
  context: SocketContext,
  seg: TcpSegment,
  syn: TcpSegment,
  path: Path,
  index: number,
  listen: ListenQueue,
): Tcb {
  // The window scale was told by the cookie, which knew of no tuning.
  const tcb = open(context, endsOf(context, seg), path, index, UNTUNED);
  setIss(tcb, seqAdd(seg.ack, -1));
  receiveSyn(tcb, syn, listen);
  tcb.sndNxt = seg.ack;
  tcb.lastAckSent = tcb.rcvNxt;
  tcb.rcvAdv = seqAdd(tcb.rcvNxt, cookieWindow(context));
  tcb.openedAt = context.now;
  tcb.due = 0;
  return tcb;
}

function receiveSyn(tcb: Tcb, syn: TcpSegment, listen: ListenQueue): void {
  const { context } = tcb;
  tcb.state = SYN_RECEIVED;
  tcb.irs = syn.seq;
  tcb.rcvNxt = seqAdd(syn.seq, 1);
  tcb.rcvAdv = tcb.rcvNxt;
  if (syn.windowScale < 0) tcb.offersWindowScale = false;
  adoptSynOptions(tcb, syn, context.now);
  listen.addHalfOpen(tcb);
  context.stats.tcpPassiveOpens++;
}

/** The ends of the connection that a segment of the peer's belongs to. */
function endsOf(context: SocketContext, seg: TcpSegment): Endpoints {
  return {
    local: context.addresses.keep(seg.destination),
    localPort: seg.destinationPort,
    remote: cloneAddress(seg.source),
    remotePort: seg.sourcePort,
  };
}

function open(context: SocketContext, ends: Endpoints, path: Path, index: number, tuning: Tuning): Tcb {
  const tcb = new Tcb(context);
  tcb.index = index;
  tcb.local = ends.local;
  tcb.localPort = ends.localPort;
  tcb.remote = ends.remote;
  tcb.remotePort = ends.remotePort;
  tcb.ready = path.ready;
  tcb.maxSuperSegment = path.maxSuperSegment;
  tcb.rcvMss = announcedMss(context, path, ends.remote.family);
  applyTuning(tcb, tuning);
  const { local, localPort, remote, remotePort } = ends;
  setIss(tcb, context.isn.next(local, localPort, remote, remotePort, context.now));
  tcb.tsOffset = context.isn.timestampOffset(local, localPort, remote, remotePort);
  tcb.unackedSince = context.now;
  tcb.offersWindowScale = context.tcp.windowScale;
  tcb.due = DUE_SYN;
  context.flows.add(tcb.local, tcb.localPort, tcb.remote, tcb.remotePort, index);
  return tcb;
}

function setIss(tcb: Tcb, iss: number): void {
  tcb.iss = iss;
  tcb.sndUna = iss;
  tcb.sndNxt = iss;
}
