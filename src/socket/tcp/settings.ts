import { requireCount, requireWhole, StackError } from "../../errors.ts";
import { checkToleratedLoss } from "./congestion/bbr.ts";
import type { CongestionControlName } from "./congestion/control.ts";
import { validateCongestionControl } from "./congestion/control-factory.ts";
import { MTU_PROBING, type MtuProbing } from "./mtu-probe.ts";
import { FEWEST_UNITS, LARGEST_BUFFER, windowShiftFor } from "./window.ts";

/**
 * What of TCP's behaviour a program may want otherwise. Times are in milliseconds, sizes in bytes. One record serves
 * all connections of a stack; tests make their own.
 */
export class TcpSettings {
  /**
   * Receive buffer of a new connection: the largest window offered. It grows with what the path turns out to carry, up to
   * `maxReceiveBuffer`. Whoever sets it and no maximum gets a buffer of this size and no other.
   */
  receiveBuffer = 256 * 1024;
  /**
   * Most that a receive buffer grows to: at most 1 GiB, which is what a window can say (RFC 7323 2.3). A path of R bytes a
   * second and T seconds there and back is filled by a window of R * T, and twice that while losses are repaired. No
   * connection is offered more than half of the stack's `memory`.
   */
  maxReceiveBuffer = 32 * 1024 * 1024;
  /** Send buffer of a new connection: bytes accepted and not acknowledged yet. It grows like the receive buffer. */
  sendBuffer = 256 * 1024;
  /** Most that a send buffer grows to, which it does with the congestion window; at most 1 GiB. */
  maxSendBuffer = 32 * 1024 * 1024;
  /** Timestamps are offered and answered (RFC 7323 3): 12 bytes of each segment, for PAWS and RTT of what was sent twice. */
  timestamps = true;
  /**
   * Segments without a timestamp are dropped where both sides have agreed on timestamps (RFC 7323 3.2). Some middleboxes
   * strip them: without this, such segments are taken, and PAWS does not protect against old ones.
   */
  requireTimestamps = true;
  /** Selective acknowledgments are offered and sent (RFC 2018, RFC 2883). */
  sack = true;
  /** Window scales are offered and answered (RFC 7323 2). Without them no window is larger than 65,535 bytes. */
  windowScale = true;
  /**
   * The window scale is that of `maxReceiveBuffer` also where the program has chosen a smaller buffer for a connection, which
   * may become larger later. Without this it is that of the chosen buffer, as Linux has it: windows are told more exactly.
   */
  wideWindowScale = true;
  /** Explicit congestion notification is offered and answered (RFC 3168); `"passive"`: answered, but not offered. */
  ecn: boolean | "passive" = true;
  /** How fast connections send: RFC 9438 (CUBIC), RFC 5681 (NewReno), or draft-ietf-ccwg-bbr. */
  congestionControl: CongestionControlName = "cubic";
  /**
   * BBR: the loss rate of a round trip, from 0 to below 1, that is not taken for congestion as long as round-trip times
   * show no queue; where they do, as much as the path has lost without one, up to this rate. 0 is what the draft says, for which 2 % is too much; a radio link loses more than that without being
   * congested. Ignoring losses is what made BBR's first version known.
   */
  bbrToleratedLoss = 0.3;
  /**
   * The largest segment that we announce and send (MSS: text and TCP options), from 88; what a path's or an interface's MTU
   * leaves is less than the default.
   */
  maxSegmentSize = 65_535;
  /**
   * The smallest MSS that a peer may push us to, from 48, which is 40 bytes of options and 8 of text, to 536. RFC 9293 names
   * no bound; one who asks for a byte at a time would make us send headers only.
   */
  minSegmentSize = 88;
  /**
   * The smallest path MTU, in bytes of an IP packet from 68, that ICMP messages or timeouts bring a connection down to. 552
   * is what Linux has: IPv4 guarantees 68 only (RFC 791), but an attacker who may say so makes ten packets of one.
   */
  minPathMtu = 552;
  /**
   * How connections find out what their path carries without ICMP (RFC 4821): `"blackhole"`, once a full-sized segment has
   * been sent again three times in vain; `"always"`, from the start, beginning with 1,024 bytes; `"off"`.
   */
  mtuProbing: MtuProbing = "blackhole";
  /** A connection that was idle for an RTO probes the path anew, in slow start (RFC 5681 4.1). */
  slowStartAfterIdle = true;
  /**
   * In slow start an ACK opens the window by a bounded number of segments: by two (RFC 3465 2.2), by eight where HyStart++ looks
   * after the queue (RFC 9406 4.3), by one after a timeout. Without this, by all that it says has arrived since the last one, as Linux does.
   */
  boundSlowStart = true;
  /**
   * When congestion is met, what is left is a part of what was under way (RFC 5681 3.1), or of the whole congestion window, as
   * Linux and RFC 9438 4.6 have it: a window does not grow here while it is not used.
   */
  reduceWindow: "flight" | "window" = "flight";
  /**
   * Nagle's algorithm (RFC 9293 3.7.4): `"classic"`, a short segment waits as long as anything is unacknowledged; `"minshall"`
   * (RFC 9293 A.3), as long as another short one is, so that the end of a long write does not wait.
   */
  nagle: "classic" | "minshall" = "classic";
  /**
   * Probes of a shut window: `"byte"`, with the next byte (RFC 9293 3.8.6.1); `"empty"`, with a sequence number below the
   * window and no text, as Linux does, where nothing is outstanding.
   */
  windowProbes: "byte" | "empty" = "byte";
  /** Maximum segment lifetime; TIME-WAIT lasts twice as long (RFC 9293 3.4.2 says 2 minutes, Linux 30 s). */
  mslMs = 30_000;
  /** RTO before the first measurement (RFC 6298 2.1). */
  initialRtoMs = 1_000;
  /**
   * Lower bound of RTO, and of how far it is above the smoothed round-trip time. RFC 6298 2.4 says 1 s; 200 ms is what
   * Linux has, and what keeps a lossy link usable.
   */
  minRtoMs = 200;
  /** Upper bound of RTO (RFC 6298 2.5). */
  maxRtoMs = 60_000;
  /** How long an ACK may wait for company (RFC 9293 3.8.6.3: below 500 ms). */
  delayedAckMs = 40;
  /**
   * So many segments are acknowledged at once at the beginning of a connection and after a loss, as the peer's window is
   * small then; 0 is none. A program that answers ends it.
   */
  quickAcks = 16;
  /** R2 for a SYN of ours: how long an active open is tried (RFC 9293 3.8.3: at least 3 minutes). */
  connectTimeoutMs = 180_000;
  /** R2 for a SYN-ACK: retransmissions before a half-open connection is given up. */
  synAckRetries = 5;
  /**
   * What answers a SYN when there are as many half-open connections as there may be: `true`, a SYN-ACK with a cookie, for
   * which nothing is remembered (RFC 4987 3.6); `false`, nothing. `"always"` answers every SYN so.
   */
  synCookies: boolean | "always" = true;
  /**
   * Most half-open connections of all listeners together, never more than half of the stack's sockets. A listener has at most
   * twice as many as its backlog, or 256.
   */
  maxHalfOpen = 4_096;
  /** R2 for data: how long they may stay unacknowledged (RFC 9293 3.8.3: at least 100 s; user timeout 5 minutes). */
  userTimeoutMs = 300_000;
  /** How long a connection that the program has closed waits in FIN-WAIT-2 for the peer's FIN. */
  finWait2Ms = 60_000;
  /**
   * R2 for a connection that the program has closed: how long the peer may acknowledge nothing of what is still to be
   * delivered, be it that it does not answer or keeps its window shut. Then it is reset, with ETIMEDOUT.
   */
  orphanTimeoutMs = 60_000;
  /**
   * Most connections that the program has closed and that are not over, those in TIME-WAIT left out. Beyond that, the one
   * whose peer has acknowledged nothing for longest is reset, with ENOBUFS. They never take more than half of `maxSockets`.
   */
  maxOrphans = 16_384;
  /** Most connections in TIME-WAIT; beyond that, the one that has been there longest is forgotten. */
  maxTimeWait = 32_768;
  /**
   * Of more connections than so many, those that are established, have nothing under way and were idle for a second or
   * longer are kept in a third of the memory, until something happens.
   */
  maxAwake = 8_192;
  /** Idle time before the first keep-alive probe, where keep-alive is on (RFC 9293 3.8.4: at least 2 hours). */
  keepAliveIdleMs = 7_200_000;
  keepAliveIntervalMs = 75_000;
  keepAliveProbes = 9;
  /**
   * RFC 5961 7: so many segments in a second that are not quite right are answered for each connection, and for all of the
   * stack's together about so many: the number varies, as one that is known would tell of other connections.
   */
  challengeAcksPerSecond = 10;
  challengeAcksPerSecondInAll = 1_000;
  /**
   * Ranges kept at most of text that arrived ahead of gaps, for each connection: each takes 8 bytes, and has a byte or more in
   * a page of the stack's memory.
   */
  outOfOrderRanges = 1_024;
  /**
   * How long a peer may leave text where it is: take neither all of it nor 16 KiB, be it by a window that is shut or tiny, or
   * by silence. Then the connection ends with ETIMEDOUT. 0 is for ever: RFC 9293 3.8.6.1 wants a window to be let shut.
   */
  stallTimeoutMs = 0;
  /** The same while the stack's memory is short and other connections wait for some: then the connection ends with ENOBUFS. */
  stallUnderPressureMs = 30_000;
}

const COUNTS = [
  "challengeAcksPerSecond",
  "challengeAcksPerSecondInAll",
  "outOfOrderRanges",
  "maxOrphans",
  "maxTimeWait",
  "maxHalfOpen",
] as const;

const OF_BYTES = " of bytes";

/**
 * The settings that `given` makes of the default ones.
 *
 * @throws StackError EINVAL
 */
export function tcpSettings(given: Partial<TcpSettings> = {}): TcpSettings {
  const settings = Object.assign(new TcpSettings(), given);
  // A size that a program has chosen is what it gets.
  if (given.receiveBuffer !== undefined)
    settings.maxReceiveBuffer = given.maxReceiveBuffer ?? given.receiveBuffer;
  if (given.sendBuffer !== undefined) settings.maxSendBuffer = given.maxSendBuffer ?? given.sendBuffer;
  for (const name of ["receiveBuffer", "maxReceiveBuffer", "sendBuffer", "maxSendBuffer"] as const) {
    requireWhole(name, settings[name], 1, LARGEST_BUFFER, OF_BYTES);
  }
  checkSegmentSize(settings.maxSegmentSize);
  requireWhole("minSegmentSize", settings.minSegmentSize, 48, 536, OF_BYTES);
  requireWhole("minPathMtu", settings.minPathMtu, 68, 65_535, OF_BYTES);
  if (!MTU_PROBING.includes(settings.mtuProbing)) {
    const names = MTU_PROBING.map((name) => `"${name}"`).join(", ");
    throw new StackError("EINVAL", `mtuProbing must be one of ${names}, not "${settings.mtuProbing}"`);
  }
  for (const name of COUNTS) requireCount(name, settings[name]);
  requireWhole("maxAwake", settings.maxAwake, 0, 1 << 24);
  for (const name of ["stallTimeoutMs", "stallUnderPressureMs"] as const)
    requireTimeOrNone(name, settings[name]);
  requireOneOf("reduceWindow", settings.reduceWindow, "flight", "window");
  requireOneOf("nagle", settings.nagle, "classic", "minshall");
  requireOneOf("windowProbes", settings.windowProbes, "byte", "empty");
  validateCongestionControl(settings.congestionControl);
  checkToleratedLoss(settings.bbrToleratedLoss);
  checkSynCookies(settings.synCookies);
  for (const name of ["orphanTimeoutMs", "finWait2Ms"] as const) requireTime(name, settings[name]);
  settings.receiveBuffer = Math.min(settings.receiveBuffer, settings.maxReceiveBuffer);
  settings.sendBuffer = Math.min(settings.sendBuffer, settings.maxSendBuffer);
  if (settings.receiveBuffer < settings.maxReceiveBuffer) {
    // The scale is that of the largest window: of a few of its units nothing would be left for the first one.
    const units = Math.min(
      FEWEST_UNITS << windowShiftFor(settings.maxReceiveBuffer),
      settings.maxReceiveBuffer,
    );
    settings.receiveBuffer = Math.max(settings.receiveBuffer, units);
  }
  return settings;
}

function requireOneOf(name: string, given: string, one: string, other: string): void {
  if (given === one || given === other) return;
  throw new StackError("EINVAL", `${name} must be "${one}" or "${other}", not "${given}"`);
}

function checkSynCookies(given: TcpSettings["synCookies"]): void {
  if (typeof given === "boolean" || given === "always") return;
  throw new StackError("EINVAL", `synCookies must be true, false or "always", not ${given}`);
}

function requireTimeOrNone(name: string, ms: number): void {
  if (ms >= 0) return;
  throw new StackError("EINVAL", `${name} must be a time in ms, 0 or more, not ${ms}`);
}

function requireTime(name: string, ms: number): void {
  if (ms > 0) return;
  throw new StackError("EINVAL", `${name} must be a time in ms above 0, not ${ms}`);
}

/**
 * A bound for the MSS, in bytes.
 *
 * @throws StackError EINVAL
 */
export function checkSegmentSize(bytes: number): number {
  requireWhole("maxSegmentSize", bytes, 88, 65_535, OF_BYTES);
  return bytes;
}
