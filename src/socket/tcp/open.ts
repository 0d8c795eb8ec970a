import { cloneAddress, type IpAddress } from "../../wire/ip-address.ts";
import type { TcpSegment } from "../../wire/tcp.ts";
import type { SocketContext } from "../context.ts";
import type { Path } from "../routing.ts";
import type { ListenQueue } from "./listen-queue.ts";
import { adoptSynOptions, headerBytes } from "./options.ts";
import { seqAdd, seqLeq } from "./seq.ts";
import { DUE_SYN, SYN_RECEIVED, SYN_SENT, Tcb } from "./tcb.ts";
import { expireIn } from "./timers.ts";
import { ready } from "./transitions.ts";

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
  connectTimeoutMs: number,
): Tcb {
  const tcb = open(context, ends, path, index);
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
  previous: Tcb | null,
): Tcb {
  const ends = {
    local: cloneAddress(seg.destination),
    localPort: seg.destinationPort,
    remote: cloneAddress(seg.source),
    remotePort: seg.sourcePort,
  };
  const tcb = open(context, ends, path, index);
  // RFC 9293 3.6.1, MAY-2: the new ISS is beyond all that the connection in TIME-WAIT has sent.
  if (previous !== null && seqLeq(tcb.iss, previous.sndNxt))
    setIss(tcb, seqAdd(previous.sndNxt, REOPENING_STEP));
  tcb.state = SYN_RECEIVED;
  tcb.irs = seg.seq;
  tcb.rcvNxt = seqAdd(seg.seq, 1);
  tcb.rcvAdv = tcb.rcvNxt;
  tcb.offersWindowScale = seg.windowScale >= 0;
  adoptSynOptions(tcb, seg, context.now);
  listen.addHalfOpen(tcb);
  context.stats.tcpPassiveOpens++;
  ready(tcb);
  return tcb;
}

function open(context: SocketContext, ends: Endpoints, path: Path, index: number): Tcb {
  const tcb = new Tcb(context);
  tcb.index = index;
  tcb.local = ends.local;
  tcb.localPort = ends.localPort;
  tcb.remote = ends.remote;
  tcb.remotePort = ends.remotePort;
  tcb.ready = path.ready;
  tcb.maxSuperSegment = path.maxSuperSegment;
  const mss = path.mtu - headerBytes(ends.remote.family);
  tcb.rcvMss = Math.min(mss, path.maxSegmentSize, context.tcp.maxSegmentSize);
  const { local, localPort, remote, remotePort } = ends;
  setIss(tcb, context.isn.next(local, localPort, remote, remotePort, context.now));
  tcb.tsOffset = context.isn.timestampOffset(local, localPort, remote, remotePort);
  tcb.unackedSince = context.now;
  tcb.due = DUE_SYN;
  context.flows.add(tcb.local, tcb.localPort, tcb.remote, tcb.remotePort, index);
  return tcb;
}

function setIss(tcb: Tcb, iss: number): void {
  tcb.iss = iss;
  tcb.sndUna = iss;
  tcb.sndNxt = iss;
}
