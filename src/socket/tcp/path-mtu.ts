import { NEVER } from "../../storage/deadline-heap.ts";
import { TIMESTAMPS_LENGTH } from "../../wire/tcp.ts";
import { PATH_MTU_AGE_MS, plateauBelow } from "../path-mtus.ts";
import { initialWindow } from "./congestion.ts";
import { giveUpFrto } from "./frto.ts";
import { OPEN } from "./loss-recovery.ts";
import { headerBytes, setSendMss } from "./options.ts";
import { loseOversized } from "./scoreboard.ts";
import { seqDiff, seqGeq, seqLt } from "./seq.ts";
import { ESTABLISHED, flightSize, type Tcb } from "./tcb.ts";
import { ready } from "./transitions.ts";
import { NONE, SACKED } from "./transmissions.ts";

/**
 * RFC 1191: what routers say of packets that are too large, believed as far as RFC 5927 7 lets it. Sizes are those of IP
 * packets, in bytes; `tcb.mss` is what they leave for text.
 */

/** IPv4's smallest MTU (RFC 791): a router that names less, or none, says that it does not know. */
const SMALLEST_MTU = 68;
/** Plateaus between 1,500 and 552 bytes: more links that are smaller than the one before no path has. */
const BELIEVED_AT_ONCE = 5;
/** Of a connection that has proven nothing yet. */
const NOTHING = -1;

/** What a connection knows of its path beside the MSS; made where a packet was too large, or to find out whether one is. */
export class PathMtu {
  /** The largest packet that our interface and the peer's MSS allow. */
  most: number;

  // RFC 5927 7.2: a claim that waits for its segment to time out. `claimAt` is where that begins in the stream.
  claimMtu = 0;
  claimAt = NOTHING;
  /** Messages that were believed at once. */
  believed = 0;

  // RFC 4821, see `mtu-probe.ts`: the largest packet that may still get through, when to try, and what is being tried.
  high: number;
  nextAt = 0;
  /** The round of the search begins: the largest is tried first. */
  isFirst = true;
  /** Rounds in which the fate of the probe could not be told. */
  inconclusive = 0;
  /** Size of the packet that is out as a probe, or 0, and its text. */
  probeSize = 0;
  probeSeq = 0;
  probeEnd = 0;
  /** Where its text ends in the stream. */
  probeEndAt = 0;

  constructor(most: number) {
    this.most = most;
    this.high = most;
  }
}

/** Bytes of every packet with text that are not text. */
export function packetOverhead(tcb: Tcb): number {
  return headerBytes(tcb.remote.family) + (tcb.timestamps ? TIMESTAMPS_LENGTH : 0);
}

/** The largest packet that the connection sends. */
export function packetSize(tcb: Tcb): number {
  return tcb.mss + packetOverhead(tcb);
}

/** What is known of the path, which has to be remembered from now on. */
export function pathOf(tcb: Tcb): PathMtu {
  tcb.path ??= new PathMtu(packetSize(tcb));
  return tcb.path;
}

/** From now on packets have at most `size` bytes. Whether these get through is not proven. */
export function setPacketSize(tcb: Tcb, size: number): void {
  setSendMss(tcb, size - packetOverhead(tcb));
  tcb.fullSizedAt = Number.POSITIVE_INFINITY;
}

/** The MSS has been settled: a path that is known to carry less bounds it. */
export function adoptKnownPath(tcb: Tcb, now: number): void {
  const { pathMtus } = tcb.context;
  const known = pathMtus.find(tcb.remote, now);
  if (known >= packetSize(tcb)) return;
  const path = pathOf(tcb);
  path.nextAt = pathMtus.agesAt(tcb.remote, now);
  setPacketSize(tcb, known);
}

/** The interface carries packets of `mtu` bytes only. */
export function adoptInterfaceMtu(tcb: Tcb, mtu: number): void {
  const { path } = tcb;
  if (path !== null) {
    path.most = Math.min(path.most, mtu);
    path.high = Math.min(path.high, mtu);
  }
  if (packetSize(tcb) > mtu) setPacketSize(tcb, mtu);
}

/** Has a segment of the present size been acknowledged? Then the path has carried it. */
function isProven(tcb: Tcb): boolean {
  return tcb.bytesSent >= tcb.fullSizedAt;
}

/**
 * "Fragmentation needed": a router says that it could not send on the packet of `quotedLength` bytes in which our segment
 * `seq` was, over a link that carries `nextHopMtu`, or that it does not know of (RFC 1191 4).
 *
 * It has to quote a segment that is in flight and that the peer has not reported, and a packet larger than what it says is
 * possible (RFC 5927 7.2). It never raises anything, and lowers nothing below `minPathMtu`. As long as no segment of this
 * size has arrived it is believed at once, a few times. Afterwards it contradicts what was seen, and is believed when its
 * segment times out: an attacker who guesses right changes nothing as long as data get through.
 */
export function onPacketTooLarge(tcb: Tcb, seq: number, quotedLength: number, nextHopMtu: number): void {
  const { stats, tcp, now } = tcb.context;
  const current = packetSize(tcb);
  const claimed = nextHopMtu < SMALLEST_MTU ? plateauBelow(Math.min(quotedLength, current)) : nextHopMtu;
  if (!isInFlight(tcb, seq) || quotedLength <= claimed) {
    stats.tcpPathMtuIgnored++;
    return;
  }
  // One message comes for each packet: all but the first say what is known by now.
  const mtu = Math.max(claimed, tcp.minPathMtu);
  if (mtu >= current) return;
  const path = pathOf(tcb);
  if (isProven(tcb) || ++path.believed > BELIEVED_AT_ONCE) {
    path.claimMtu = mtu;
    path.claimAt = tcb.bytesSent + seqDiff(seq, tcb.sndUna);
    return;
  }
  believe(tcb, mtu, seq, now);
}

/** The connection is synchronized, the segment was sent, and is not known to have arrived. */
function isInFlight(tcb: Tcb, seq: number): boolean {
  if (tcb.state < ESTABLISHED || !seqGeq(seq, tcb.sndUna) || !seqLt(seq, tcb.sndNxt)) return false;
  const record = tcb.sent.find(seq);
  return record === NONE || tcb.context.transmissions.fate[record] !== SACKED;
}

/**
 * Nothing has come back for as long as the retransmission timer, or the one for the tail loss probe, runs. Does a claim
 * about what is in flight explain it? Then it is believed, and the time that has passed was not congestion's.
 */
export function explainsSilence(tcb: Tcb, now: number): boolean {
  const { path } = tcb;
  if (path === null || path.claimAt === NOTHING) return false;
  const isUnderWay = path.claimAt >= tcb.bytesSent && path.claimAt < tcb.bytesSent + flightSize(tcb);
  const { claimMtu } = path;
  path.claimAt = NOTHING;
  return isUnderWay && claimMtu < packetSize(tcb) && believe(tcb, claimMtu, tcb.sndUna, now);
}

/** Packets become smaller; what was sent from `seq` on in larger ones is sent again. Returns whether there was any. */
function believe(tcb: Tcb, mtu: number, seq: number, now: number): boolean {
  const { stats, pathMtus } = tcb.context;
  const path = pathOf(tcb);
  path.claimAt = NOTHING;
  path.probeSize = 0;
  path.high = path.most;
  path.isFirst = true;
  path.nextAt = now + PATH_MTU_AGE_MS;
  setPacketSize(tcb, mtu);
  stats.tcpPathMtuDecreases++;
  pathMtus.learn(tcb.remote, mtu, now);
  return sendAgain(tcb, seq);
}

/**
 * RFC 1191 6.5: what was too large is sent again at once, and is no loss by congestion: the window is what it was. But no
 * ACKs are under way any more that would let so much go, so it is reached in slow start.
 */
function sendAgain(tcb: Tcb, seq: number): boolean {
  // The byte that probes a closed window was not too large, and what was before has been lost with that window.
  if (tcb.probing || loseOversized(tcb, seq, tcb.mss) === 0) return false;
  const { loss, control } = tcb;
  if (!control.controlsRecovery) {
    if (loss.phase === OPEN) tcb.ssthresh = Math.max(tcb.ssthresh, tcb.cwnd);
    tcb.cwnd = Math.min(tcb.cwnd, initialWindow(tcb.mss));
    tcb.cwndLimited = true;
  }
  // What arrives now says nothing about a timeout or a loss before.
  giveUpFrto(tcb);
  loss.undoPossible = false;
  // It starts with what is sent next.
  tcb.retransmitAt = NEVER;
  tcb.probeAt = NEVER;
  ready(tcb);
  return true;
}
