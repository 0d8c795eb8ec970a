import { MAX_OPTIONS_LENGTH, type TcpSegment, TIMESTAMPS_LENGTH } from "../../wire/tcp.ts";
import type { SocketContext } from "../context.ts";
import type { Path } from "../routing.ts";
import { startRounds } from "./buffer-tuning.ts";
import { adoptEcn, offerEcn } from "./ecn.ts";
import { startSearch } from "./mtu-probe.ts";
import { adoptKnownPath } from "./path-mtu.ts";
import type { Tcb } from "./tcb.ts";
import { startTimestamps, writeTimestamps } from "./timestamps.ts";
import { ourWindowShift } from "./window.ts";

/** What the options of a SYN settle: RFC 9293 3.7.1 (MSS), RFC 7323 2 and 3 (window scale, timestamps). */

/** RFC 9293 3.7.1: where the peer names no MSS. */
export const DEFAULT_MSS_IPV4 = 536;
export const DEFAULT_MSS_IPV6 = 1220;

/** IP and TCP headers without options, in bytes. */
export function headerBytes(family: 4 | 6): number {
  return family === 4 ? 40 : 60;
}

/** The MSS that we announce on `path` unless a connection has its own bound, in bytes. */
export function announcedMss(context: SocketContext, path: Path, family: 4 | 6): number {
  return Math.min(path.mtu - headerBytes(family), path.maxSegmentSize, context.tcp.maxSegmentSize);
}

/** Options that we put into our SYN or SYN-ACK. */
export function writeSynOptions(tcb: Tcb, seg: TcpSegment): void {
  seg.mss = tcb.rcvMss;
  // RFC 7323 1.3: in a SYN-ACK only where the SYN had it; an active open offers it, and keeps -1 until it is answered.
  seg.windowScale = tcb.offersWindowScale ? ourWindowShift(tcb) : -1;
  seg.sackPermitted = tcb.sack;
  if (tcb.timestamps) writeTimestamps(tcb, seg);
  offerEcn(tcb, seg);
}

/** Settles Eff.snd.MSS, and with it how much text a super-segment has. */
export function setSendMss(tcb: Tcb, mss: number): void {
  tcb.mss = mss;
  const room = tcb.maxSuperSegment - headerBytes(tcb.remote.family) - MAX_OPTIONS_LENGTH;
  tcb.maxText = Math.max(Math.floor(room / mss), 1) * mss;
}

/** The program wants no segments with an MSS above `most`, in either direction: Linux's TCP_MAXSEG. No text has been sent. */
export function limitSegmentSize(tcb: Tcb, most: number): void {
  tcb.rcvMss = Math.min(tcb.rcvMss, most);
  const text = textWithin(tcb, most);
  if (tcb.mss > text) setSendMss(tcb, text);
}

/** Text that fits into a segment of at most `mss` bytes behind the options that every segment has (RFC 6691 2). */
export function textWithin(tcb: Tcb, mss: number): number {
  return tcb.timestamps ? mss - TIMESTAMPS_LENGTH : mss;
}

/** Takes over what the peer's SYN says. */
export function adoptSynOptions(tcb: Tcb, seg: TcpSegment, now: number): void {
  if (!seg.sackPermitted) tcb.sack = false;
  adoptEcn(tcb, seg);
  startTimestamps(tcb, seg, now);
  const peerMss = seg.mss === 0 ? (tcb.remote.family === 4 ? DEFAULT_MSS_IPV4 : DEFAULT_MSS_IPV6) : seg.mss;
  // Eff.snd.MSS: what the peer takes, and what fits our own MTU.
  const least = tcb.context.tcp.minSegmentSize;
  setSendMss(tcb, textWithin(tcb, Math.min(Math.max(peerMss, least), tcb.rcvMss)));
  if (seg.windowScale >= 0 && tcb.offersWindowScale) {
    tcb.sndWindShift = seg.windowScale;
    tcb.rcvWindShift = ourWindowShift(tcb);
  } else {
    tcb.offersWindowScale = false;
    tcb.sndWindShift = 0;
    tcb.rcvWindShift = 0;
  }
  adoptKnownPath(tcb, now);
  startSearch(tcb);
  startRounds(tcb, now);
}
