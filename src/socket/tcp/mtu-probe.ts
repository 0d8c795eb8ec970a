import { PATH_MTU_AGE_MS } from "../path-mtus.ts";
import { OPEN } from "./loss-recovery.ts";
import { headerBytes } from "./options.ts";
import { type PathMtu, packetOverhead, packetSize, pathOf, setPacketSize } from "./path-mtu.ts";
import { loseFirst, loseOversized } from "./scoreboard.ts";
import { seqAdd, seqDiff, seqGeq, seqLeq } from "./seq.ts";
import { flightSize, type Tcb } from "./tcb.ts";
import { ready } from "./transitions.ts";

/**
 * RFC 4821, as RFC 8899 has it for others: what a path carries is found out by sending it. Where full-sized segments time
 * out again and again, they become smaller without anybody's word. Where a path may carry more than it is sent, a larger
 * segment of the text that is to be sent anyway goes out now and then; that it is lost says nothing about congestion.
 */

/** When connections look for what their path carries: never; when full-sized segments do not get through; always. */
export type MtuProbing = "off" | "blackhole" | "always";

export const MTU_PROBING: readonly MtuProbing[] = ["off", "blackhole", "always"];

/** RFC 4821 7.2: text and options of segments that get through nearly everywhere. */
const BASE_MSS = 1_024;
/** R1 of RFC 9293 3.8.3: so many retransmissions in vain are no accident. */
const BLACK_HOLE_RETRANSMISSIONS = 3;
/** A search that has come so close, in bytes, is over. */
const CLOSE_ENOUGH = 8;
/** Segments behind a probe, so that their ACKs tell of its loss. */
const FOLLOWERS = 3;
/** Rounds without a result that count as one. */
const MOST_INCONCLUSIVE = 3;

/** Nothing larger is tried now. */
export const NO_PROBE = 0;
/** A larger segment would be, had the window room for it: it will when more is acknowledged. */
export const PROBE_WAITS = -1;

/** The MSS has been settled: who always searches starts from below. */
export function startSearch(tcb: Tcb): void {
  if (tcb.context.tcp.mtuProbing !== "always") return;
  const base = BASE_MSS + headerBytes(tcb.remote.family);
  // Where others have learned something, that is where to begin.
  if (packetSize(tcb) <= base || tcb.path !== null) return;
  pathOf(tcb);
  setPacketSize(tcb, base);
}

/**
 * RFC 4821 7.7: the retransmission timer has expired, `tcb.backoff` times in a row, the last time for what is sent next.
 * Where that fills a segment, it may be too large: it is sent in smaller ones.
 */
export function suspectBlackHole(tcb: Tcb, now: number): void {
  const { tcp, stats } = tcb.context;
  onLossAroundProbe(tcb, now);
  if (tcp.mtuProbing === "off" || tcb.backoff <= BLACK_HOLE_RETRANSMISSIONS) return;
  if (Math.min(tcb.sendBuffer.length, flightSize(tcb)) < tcb.mss) return;
  const size = packetSize(tcb);
  const headers = headerBytes(tcb.remote.family);
  const mss = size - headers;
  const smaller = Math.max(headers + (mss > BASE_MSS ? BASE_MSS : mss >> 1), tcp.minPathMtu);
  if (smaller >= size) return;
  const path = pathOf(tcb);
  path.high = size;
  path.isFirst = true;
  // RTO has been backed off for what was not congestion.
  path.nextAt = now + tcp.initialRtoMs;
  setPacketSize(tcb, smaller);
  stats.tcpBlackHoles++;
}

/**
 * Text of a larger segment to be sent now, `NO_PROBE`, or `PROBE_WAITS`. `unsent` bytes wait, `window` is what the peer and
 * `usable` what congestion control lets go.
 */
export function probeLength(tcb: Tcb, unsent: number, window: number, usable: number, now: number): number {
  const { path, loss, sent } = tcb;
  if (path === null || path.probeSize > 0 || now < path.nextAt) return NO_PROBE;
  if (loss.phase !== OPEN || sent.sackedBytes > 0 || tcb.outOfOrder.count > 0) return NO_PROBE;
  if (tcb.context.tcp.mtuProbing === "off") {
    // RFC 1191 6.3: without probes, all of it is tried at once.
    becomeLarger(tcb, path, path.most, now);
    return NO_PROBE;
  }
  if (path.high - packetSize(tcb) < CLOSE_ENOUGH) startRound(tcb, path);
  const length = nextSize(tcb, path) - packetOverhead(tcb);
  if (length <= tcb.mss) return NO_PROBE;
  const needed = length + FOLLOWERS * tcb.mss;
  if (unsent < needed || window < needed || tcb.cwnd < needed) return NO_PROBE;
  if (usable >= length) return length;
  return sent.pipe > 0 ? PROBE_WAITS : NO_PROBE;
}

/** The search begins anew: the path may have changed. */
function startRound(tcb: Tcb, path: PathMtu): void {
  path.high = path.most;
  path.isFirst = true;
  if (path.high <= packetSize(tcb)) path.nextAt = Number.POSITIVE_INFINITY;
}

function nextSize(tcb: Tcb, path: PathMtu): number {
  const low = packetSize(tcb);
  return path.isFirst ? path.high : low + ((path.high - low + 1) >> 1);
}

/** A probe with `length` bytes of text leaves; SND.NXT is behind it. */
export function noteMtuProbe(tcb: Tcb, length: number): void {
  const { path, sent } = tcb;
  if (path === null) return;
  const seq = seqAdd(tcb.sndNxt, -length);
  path.probeSize = length + packetOverhead(tcb);
  path.probeSeq = seq;
  path.probeEnd = tcb.sndNxt;
  path.probeEndAt = tcb.bytesSent + seqDiff(tcb.sndNxt, tcb.sndUna);
  // A record of its own, so that its loss is told from that of what was sent with it.
  const { transmissions } = tcb.context;
  if (transmissions.seq[sent.tail] !== seq) sent.split(sent.tail, seq);
  tcb.context.stats.tcpMtuProbes++;
}

/** SND.UNA has moved on. */
export function onAckForProbe(tcb: Tcb, now: number): void {
  const { path } = tcb;
  if (path === null || path.probeSize === 0 || tcb.bytesSent < path.probeEndAt) return;
  tcb.context.stats.tcpMtuProbesArrived++;
  becomeLarger(tcb, path, path.probeSize, now);
}

/** Packets of `size` bytes get through, or are taken to. */
function becomeLarger(tcb: Tcb, path: PathMtu, size: number, now: number): void {
  const isKnown = path.probeSize > 0;
  path.probeSize = 0;
  path.isFirst = false;
  path.inconclusive = 0;
  setPacketSize(tcb, size);
  // It has just arrived.
  if (isKnown) tcb.fullSizedAt = 0;
  goOn(tcb, path, now);
}

/** When the next probe goes out: soon, or when the path may have changed. */
function goOn(tcb: Tcb, path: PathMtu, now: number): void {
  const { pathMtus } = tcb.context;
  const size = packetSize(tcb);
  if (path.high - size >= CLOSE_ENOUGH) {
    path.nextAt = now + tcb.rto;
    return;
  }
  if (size >= path.most) {
    path.nextAt = Number.POSITIVE_INFINITY;
    pathMtus.forget(tcb.remote);
    return;
  }
  path.nextAt = now + PATH_MTU_AGE_MS;
  pathMtus.learn(tcb.remote, size, now);
}

/** Is this record, which is found lost, the probe, or a part of it? Then that is all there is to it. */
export function isLostProbe(tcb: Tcb, record: number): boolean {
  const { path } = tcb;
  if (path === null || path.probeSize === 0) return false;
  const { transmissions } = tcb.context;
  return seqGeq(transmissions.seq[record], path.probeSeq) && seqLeq(transmissions.end[record], path.probeEnd);
}

/** Packets of the probe's size do not get through. The caller has noted its text as lost. */
export function onProbeLost(tcb: Tcb, now: number): void {
  const { path } = tcb;
  if (path !== null) fail(tcb, path, path.probeSize - 1, now);
}

function fail(tcb: Tcb, path: PathMtu, high: number, now: number): void {
  path.probeSize = 0;
  path.high = Math.max(high, packetSize(tcb));
  path.isFirst = false;
  path.inconclusive = 0;
  goOn(tcb, path, now);
  ready(tcb);
}

/** Without SACK: the peer asks for the first segment outstanding again and again. Was that the probe? Then it is sent again. */
export function repairsProbe(tcb: Tcb, now: number): boolean {
  const { path } = tcb;
  if (path === null || path.probeSize === 0 || tcb.sndUna !== path.probeSeq) return false;
  loseFirst(tcb, seqDiff(path.probeEnd, path.probeSeq));
  onProbeLost(tcb, now);
  return true;
}

/** A router says that the probe, which segment `seq` is, was too large: it names what is not. Returns whether it was that. */
export function isProbeRefused(tcb: Tcb, seq: number, quotedLength: number, mtu: number): boolean {
  const { path } = tcb;
  if (path === null || path.probeSize === 0 || seq !== path.probeSeq) return false;
  if (quotedLength !== path.probeSize || mtu >= path.probeSize || mtu < packetSize(tcb)) return false;
  loseOversized(tcb, seq, tcb.mss, path.probeEnd);
  fail(tcb, path, mtu, tcb.context.now);
  path.isFirst = true;
  return true;
}

/** Losses around a probe leave open what has become of it: it is tried again, but not for ever. */
export function onLossAroundProbe(tcb: Tcb, now: number): void {
  const { path } = tcb;
  if (path === null || path.probeSize === 0) return;
  if (++path.inconclusive >= MOST_INCONCLUSIVE) {
    fail(tcb, path, path.probeSize - 1, now);
    return;
  }
  path.probeSize = 0;
  path.nextAt = now + tcb.rto;
}
