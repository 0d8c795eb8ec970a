import type { Random } from "../../random.ts";
import { copyAddress } from "../../wire/ip-address.ts";
import { ACK, CWR, ECE, resetTcpOptions, SYN, TcpSegment } from "../../wire/tcp.ts";
import type { SocketContext } from "../context.ts";
import type { Path } from "../routing.ts";
import { keyedSipHash, putAddresses, type SipHash } from "../siphash.ts";
import { announcedMss, DEFAULT_MSS_IPV4, DEFAULT_MSS_IPV6 } from "./options.ts";
import { seqAdd, seqDiff, seqGt } from "./seq.ts";
import { timestampClock } from "./timestamps.ts";
import { LARGEST_FIELD, windowShiftFor } from "./window.ts";

/**
 * RFC 4987 3.6, SYN cookies: a SYN is answered without anything being remembered. What has to be known of it when the ACK
 * comes is in our initial sequence number, which that acknowledges: bits 0 to 2 say the MSS, bit 3 whether the period in
 * which it was made has an odd number, and the rest is a keyed hash of both ends, the peer's initial sequence number, the
 * period and the MSS. Window scale, SACK and ECN stand in the low bits of our timestamp, which the peer echoes: where it has
 * none, there are none of these either.
 *
 * Of 2^32 acknowledgment numbers 16 fit at any time: who cannot see our SYN-ACK needs 2^28 guesses for one connection.
 */

/** How long a cookie counts as new, in ms. It is taken in this period and the next one. */
const PERIOD_MS = 64_000;
/** No cookie is taken so long after it was made, in ms. */
const LIFETIME_MS = 2 * PERIOD_MS;

/**
 * What is remembered of the peer's MSS: the largest of these that is not larger. Ethernet's, and those of PPPoE and IPv6, of
 * tunnels, of jumbo frames, the two defaults, and the least that is believed at all.
 */
const MSS_VALUES = Int32Array.of(88, 536, 1_220, 1_300, 1_400, 1_440, 1_460, 8_960);
const MSS_MASK = 7;
const ODD_PERIOD = 8;
const HASH_MASK = ~15;

// The low bits of the timestamp.
const SCALE_MASK = 15;
/** No shift of 15 exists: the SYN had no window scale. */
const NO_SCALE = 15;
const SACK_PERMITTED = 16;
const ECN_SETUP = 32;
const OPTIONS_MASK = 63;

/** Makes cookies and knows them again. */
export class SynCookies {
  private readonly random: Random;
  /** Made when the first cookie is: few stacks ever send one. */
  private hash: SipHash | null = null;
  private readonly words = new Int32Array(11);
  /** What is known of the SYN that was answered by the cookie found last. */
  readonly syn = new TcpSegment();

  constructor(random: Random) {
    this.random = random;
  }

  /**
   * Our initial sequence number for the connection that the SYN `seg` asks for.
   *
   * @param mss what the SYN says, in bytes
   * @param now ms
   */
  make(seg: TcpSegment, mss: number, now: number): number {
    let index = MSS_VALUES.length - 1;
    while (index > 0 && MSS_VALUES[index] > mss) index--;
    return this.cookie(seg, seg.seq, index, Math.floor(now / PERIOD_MS));
  }

  /**
   * The MSS that the peer named, in bytes, where `seg` acknowledges a cookie of ours that is not too old; else 0.
   *
   * @param now ms
   */
  check(seg: TcpSegment, now: number): number {
    const given = seqAdd(seg.ack, -1);
    const index = given & MSS_MASK;
    const current = Math.floor(now / PERIOD_MS);
    const isOdd = (given & ODD_PERIOD) !== 0;
    const period = (current & 1) === (isOdd ? 1 : 0) ? current : current - 1;
    return this.cookie(seg, seqAdd(seg.seq, -1), index, period) === given ? MSS_VALUES[index] : 0;
  }

  private cookie(seg: TcpSegment, irs: number, index: number, period: number): number {
    const { words } = this;
    const { source, destination } = seg;
    words[0] = (seg.destinationPort << 16) | seg.sourcePort;
    words[1] = irs;
    words[2] = (period << 3) | index;
    // The hash takes most of the time of a cookie.
    const count = putAddresses(words, 3, destination, source);
    this.hash ??= keyedSipHash(this.random);
    return (this.hash.hash(words, count) & HASH_MASK) | (period & 1 ? ODD_PERIOD : 0) | index;
  }
}

/** Until when ACKs are looked at for cookies, in ms, where one is sent now. */
export function cookiesEnd(now: number): number {
  return now + LIFETIME_MS;
}

/** RFC 9293 3.10.7.2, third, without a control block: makes `answer` the SYN-ACK to `seg`, with a cookie. */
export function answerByCookie(
  context: SocketContext,
  seg: TcpSegment,
  path: Path,
  answer: TcpSegment,
): void {
  const { tcp, now } = context;
  const { family } = seg.source;
  const mss = seg.mss === 0 ? (family === 4 ? DEFAULT_MSS_IPV4 : DEFAULT_MSS_IPV6) : seg.mss;
  copyAddress(seg.destination, answer.source);
  copyAddress(seg.source, answer.destination);
  answer.sourcePort = seg.destinationPort;
  answer.destinationPort = seg.sourcePort;
  answer.seq = context.cookies.make(seg, mss, now);
  answer.ack = seqAdd(seg.seq, 1);
  answer.flags = SYN | ACK;
  answer.window = cookieWindow(context);
  answer.urgent = 0;
  answer.ecn = 0;
  answer.payloadLength = 0;
  answer.segmentSize = 0;
  resetTcpOptions(answer);
  answer.mss = announcedMss(context, path, family);
  if (!tcp.timestamps || !seg.hasTimestamp) return;
  const { windowScale } = seg;
  const isEcn = tcp.ecn && (seg.flags & (ECE | CWR)) === (ECE | CWR);
  if (windowScale >= 0 && tcp.windowScale) answer.windowScale = windowShiftFor(tcp.maxReceiveBuffer);
  answer.sackPermitted = tcp.sack && seg.sackPermitted;
  if (isEcn) answer.flags |= ECE;
  answer.hasTimestamp = true;
  answer.tsEcr = seg.tsVal;
  const options =
    (windowScale >= 0 ? windowScale : NO_SCALE) |
    (answer.sackPermitted ? SACK_PERMITTED : 0) |
    (isEcn ? ECN_SETUP : 0);
  const clock = clockOf(context, seg);
  answer.tsVal = (clock & ~OPTIONS_MASK) | options;
  // No timestamp of the connection's may be later than the next one.
  if (seqGt(answer.tsVal, clock)) answer.tsVal = seqAdd(answer.tsVal, -(OPTIONS_MASK + 1));
}

/**
 * The SYN that was answered by the cookie which `seg` acknowledges, as far as it is known, or `null` where there is no such
 * cookie. It is valid until the next call.
 */
export function synOfCookie(context: SocketContext, seg: TcpSegment): TcpSegment | null {
  const { tcp, cookies, now } = context;
  const mss = cookies.check(seg, now);
  if (mss === 0) return null;
  const { syn } = cookies;
  resetTcpOptions(syn);
  syn.flags = SYN;
  syn.seq = seqAdd(seg.seq, -1);
  syn.mss = mss;
  if (!tcp.timestamps || !seg.hasTimestamp) return syn;
  // What we have not sent in that time is no echo, and would say anything.
  const age = seqDiff(clockOf(context, seg), seg.tsEcr);
  if (age < 0 || age > LIFETIME_MS + OPTIONS_MASK) return null;
  const scale = seg.tsEcr & SCALE_MASK;
  syn.hasTimestamp = true;
  syn.tsVal = seg.tsVal;
  if (scale !== NO_SCALE) syn.windowScale = scale;
  syn.sackPermitted = (seg.tsEcr & SACK_PERMITTED) !== 0;
  if (seg.tsEcr & ECN_SETUP) syn.flags |= ECE | CWR;
  return syn;
}

/** The window that a SYN-ACK with a cookie offers, in bytes: it is not scaled, and the same for all. */
export function cookieWindow(context: SocketContext): number {
  return Math.min(context.tcp.receiveBuffer, LARGEST_FIELD);
}

/** What our timestamp clock shows to the peer that has sent `seg`. */
function clockOf(context: SocketContext, seg: TcpSegment): number {
  const { destination, destinationPort, source, sourcePort } = seg;
  const offset = context.isn.timestampOffset(destination, destinationPort, source, sourcePort);
  return timestampClock(offset, context.now);
}
