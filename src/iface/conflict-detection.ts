import type { Random } from "../random.ts";
import { NEVER } from "../storage/deadline-heap.ts";

/**
 * How much time an interface takes to find out whether somebody else has its addresses (RFC 5227): none, about 200 ms, or
 * the 4 to 7 seconds of the RFC.
 */
export type ConflictDetectionMode = "off" | "fast" | "rfc5227";

/** Whether the interface's addresses are being probed, may be used, or belong to somebody else. */
export type InterfaceState = "probing" | "ready" | "conflict";

/** RFC 5227 1.1. Times in ms. */
interface Timing {
  /** PROBE_WAIT: longest wait before the first probe. */
  readonly probeWait: number;
  /** PROBE_MIN and PROBE_MAX: from one probe to the next. */
  readonly probeMin: number;
  readonly probeMax: number;
  /** ANNOUNCE_WAIT: from the last probe to the first announcement. */
  readonly announceWait: number;
}

const RFC_TIMING: Timing = { probeWait: 1_000, probeMin: 1_000, probeMax: 2_000, announceWait: 2_000 };
/** Scaled down to what hosts on one link, which answer within a millisecond, need. */
const FAST_TIMING: Timing = { probeWait: 20, probeMin: 45, probeMax: 65, announceWait: 80 };

/** PROBE_NUM. */
const PROBES = 3;
/** ANNOUNCE_NUM and ANNOUNCE_INTERVAL. */
const ANNOUNCEMENTS = 2;
const ANNOUNCE_INTERVAL_MS = 2_000;
/** DEFEND_INTERVAL. */
const DEFEND_INTERVAL_MS = 10_000;

/** What is to be sent for each address now: see `step`. */
export const NOTHING = 0;
export const SEND_PROBE = 1;
export const SEND_ANNOUNCEMENT = 2;

/** RFC 5227: when to probe and announce an interface's addresses, and how often to defend them. It sends nothing itself. */
export class ConflictDetection {
  readonly mode: ConflictDetectionMode;
  state: InterfaceState;
  /** When there is something to do, in ms. */
  deadline: number;
  private readonly timing: Timing;
  private readonly random: Random;
  private started = false;
  private probes = PROBES;
  private announcements = ANNOUNCEMENTS;
  private defendedAt = -Infinity;

  constructor(mode: ConflictDetectionMode, random: Random) {
    this.mode = mode;
    this.random = random;
    this.timing = mode === "rfc5227" ? RFC_TIMING : FAST_TIMING;
    this.state = mode === "off" ? "ready" : "probing";
    this.deadline = mode === "off" ? NEVER : 0;
  }

  /** What to send at `now`, where the deadline has come. The first announcement makes the state `"ready"` (2.3). */
  step(now: number): typeof NOTHING | typeof SEND_PROBE | typeof SEND_ANNOUNCEMENT {
    const { probeWait, probeMin, probeMax, announceWait } = this.timing;
    if (!this.started) {
      this.started = true;
      this.deadline = now + this.between(0, probeWait);
      return NOTHING;
    }
    if (this.probes > 0) {
      this.probes--;
      this.deadline = now + (this.probes > 0 ? this.between(probeMin, probeMax) : announceWait);
      return SEND_PROBE;
    }
    this.state = "ready";
    this.announcements--;
    this.deadline = this.announcements > 0 ? now + ANNOUNCE_INTERVAL_MS : NEVER;
    return SEND_ANNOUNCEMENT;
  }

  /** 2.1.1: somebody has an address of ours, or wants to have it. Nothing more is sent. */
  giveUp(): void {
    this.state = "conflict";
    this.deadline = NEVER;
  }

  /**
   * 2.4: somebody has begun to use an address that we use. Returns whether to say that it is ours, and to report it: once
   * in an interval, for two hosts that defend themselves without end would fill the link (2.4, b and c).
   */
  mayDefend(now: number): boolean {
    if (now - this.defendedAt < DEFEND_INTERVAL_MS) return false;
    this.defendedAt = now;
    return true;
  }

  /** The link is down: whatever would be sent now, nobody would hear. */
  linkDown(): void {
    this.deadline = NEVER;
  }

  /** The link works again: addresses that were being probed are from the beginning, those in use announced (2.1, 2.3). */
  linkUp(now: number): void {
    if (this.state === "conflict" || this.mode === "off") return;
    if (this.state === "probing") {
      this.started = false;
      this.probes = PROBES;
    }
    this.announcements = ANNOUNCEMENTS;
    this.deadline = now;
  }

  private between(least: number, most: number): number {
    return least + (this.random.next() / 0x100000000) * (most - least);
  }
}
