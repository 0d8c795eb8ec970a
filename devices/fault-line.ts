/** One direction of a faulty link: what becomes of each frame, and the frames that are on their way. */

import type { Frame, Medium } from "../src/device.ts";
import { type Random, randomBelow, seededRandom } from "../src/random.ts";
import { completeChecksum } from "../src/wire/offload.ts";
import type { Fate, FaultOptions } from "./fault.ts";
import { FrameQueue } from "./frame-queue.ts";

export type Direction = "receive" | "transmit";

/** What happened so far, in frames of both directions. */
export class Counts {
  received = 0;
  sent = 0;
  dropped = 0;
  duplicated = 0;
  swapped = 0;
  reordered = 0;
  corrupted = 0;
  queueDropped = 0;
  overflowed = 0;
}

const DEFAULT_QUEUE = 262_144;
const DEFAULT_DISTANCE = 3;
/** Nothing tells that no frame will follow a sent one; so it waits that long to be overtaken, ms. */
const OVERTAKING_MS = 10;

export class Line {
  private readonly direction: Direction;
  private readonly medium: Medium;
  private readonly counts: Counts;
  private readonly random: Random;
  private readonly script: ((index: number, direction: Direction) => Fate) | null;
  /** Upper ends, in 0 .. 1, of the stretches of a random number that mean each fate. */
  private readonly dropBelow: number;
  private readonly duplicateBelow: number;
  private readonly swapBelow: number;
  private readonly corruptBelow: number;
  private readonly reorderBelow: number;
  private readonly delay: number;
  private readonly jitter: number;
  private readonly bytesPerMs: number;
  private readonly queueLimit: number;
  private readonly distance: number;
  private readonly lateBy: number;
  /** Frames take time, or wait to be overtaken: somebody has to tell the time. */
  readonly timed: boolean;
  /** Every frame takes time, so that none passes straight through. */
  private readonly slow: boolean;
  private readonly overtaking: number;
  /** In order; `due` is when they arrive, and `need` 1 for the last copy of a frame. */
  private readonly queue: FrameQueue;
  /** Overtaken by others: `need` is how many must have arrived, or they arrive when `due`. */
  private readonly late: FrameQueue;
  private index = 0;
  /** Frames put on their way, and arrived, without those that are overtaken; of the copies the last one counts. */
  private started = 0;
  private arrived = 0;
  /** When the frames before have all gone out at the line's rate, and when the last of them arrives. */
  private freeAt = Number.NEGATIVE_INFINITY;
  private lastAt = Number.NEGATIVE_INFINITY;

  constructor(direction: Direction, medium: Medium, counts: Counts, budget: number, options: FaultOptions) {
    this.direction = direction;
    this.medium = medium;
    this.counts = counts;
    // The directions have fates of their own.
    const seed = options.seed ?? 1;
    this.random = seededRandom(direction === "receive" ? seed : ~seed);
    this.script = options.script ?? null;
    this.dropBelow = options.drop ?? 0;
    this.duplicateBelow = this.dropBelow + (options.duplicate ?? 0);
    this.swapBelow = this.duplicateBelow + (options.swap ?? 0);
    this.corruptBelow = this.swapBelow + (options.corrupt ?? 0);
    this.reorderBelow = this.corruptBelow + (options.reorder ?? 0);
    this.delay = options.delayMs ?? 0;
    this.jitter = options.jitterMs ?? 0;
    this.bytesPerMs = (options.rate ?? Number.POSITIVE_INFINITY) / 1000;
    this.queueLimit = options.queue ?? DEFAULT_QUEUE;
    this.distance = options.reorderDistance ?? DEFAULT_DISTANCE;
    this.lateBy = options.reorderMs ?? 0;
    this.slow = isSlow(options);
    const overtakes = this.script !== null || (options.swap ?? 0) > 0 || (options.reorder ?? 0) > 0;
    this.overtaking = direction === "transmit" && overtakes ? OVERTAKING_MS : 0;
    this.timed = this.slow || this.lateBy > 0 || this.overtaking > 0;
    this.queue = new FrameQueue(Math.floor((budget * 3) / 4));
    this.late = new FrameQueue(Math.floor(budget / 4));
  }

  /**
   * Decides about a frame that comes at `now`. `true` where it passes, maybe changed; `false` where it is lost, or
   * arrives later, as a copy.
   */
  admit(frame: Frame, now: number): boolean {
    const { counts } = this;
    if (this.direction === "receive") counts.received++;
    else counts.sent++;
    const fate = this.draw(this.index++);
    if (fate === "drop") {
      counts.dropped++;
      return false;
    }
    if (fate === "corrupt" && !this.corrupt(frame)) return false;
    const at = this.slow ? this.arrivalOf(frame, now) : now;
    if (at === Number.POSITIVE_INFINITY) {
      counts.queueDropped++;
      return false;
    }
    if ((fate === "swap" || fate === "reorder") && this.hold(frame, at, fate)) return false;
    if (!this.slow) {
      // The copy follows at once; the first of the two is the frame itself.
      if (fate === "duplicate" && this.queue.push(frame, Number.NEGATIVE_INFINITY, 1)) {
        counts.duplicated++;
        this.started++;
      } else {
        this.started++;
        this.arrived++;
      }
      return true;
    }
    const twice = fate === "duplicate";
    if (!this.queue.push(frame, at, twice ? 0 : 1)) {
      counts.overflowed++;
      return false;
    }
    this.started++;
    if (!twice) return false;
    if (this.queue.push(frame, at, 1)) counts.duplicated++;
    else this.arrived++;
    return false;
  }

  /**
   * The queue whose first frame has arrived by `now`, or `null`. With `alone`, nothing is coming that could overtake
   * what waits for that.
   */
  ready(now: number, alone: boolean): FrameQueue | null {
    const { queue, late } = this;
    if (late.size > 0 && this.isLateReady(now, alone)) return late;
    return queue.size > 0 && queue.due <= now ? queue : null;
  }

  /** Takes the first frame out of a queue that was ready. */
  take(from: FrameQueue, frame: Frame): void {
    if (from === this.queue && from.need === 1) this.arrived++;
    from.take(frame);
  }

  /** The frame taken last is not needed any more. */
  release(): void {
    this.queue.release();
    this.late.release();
  }

  /** When a frame arrives next, in ms of the clock; `Infinity` where none is on its way. */
  get nextAt(): number {
    const { queue, late } = this;
    let at = queue.size > 0 ? queue.due : Number.POSITIVE_INFINITY;
    if (late.size > 0 && (queue.size === 0 || late.need === Number.POSITIVE_INFINITY))
      at = Math.min(at, late.due);
    return at;
  }

  clear(): void {
    this.queue.clear();
    this.late.clear();
  }

  private isLateReady(now: number, alone: boolean): boolean {
    const { queue, late } = this;
    if (late.need === Number.POSITIVE_INFINITY) return late.due <= now;
    return this.arrived >= late.need || (alone && queue.size === 0 && late.due <= now);
  }

  private draw(index: number): Fate {
    if (this.script !== null) return this.script(index, this.direction);
    const drawn = this.random.next() / 0x1_0000_0000;
    if (drawn < this.dropBelow) return "drop";
    if (drawn < this.duplicateBelow) return "duplicate";
    if (drawn < this.swapBelow) return "swap";
    if (drawn < this.corruptBelow) return "corrupt";
    return drawn < this.reorderBelow ? "reorder" : "deliver";
  }

  /** When the frame arrives at the other end; never before the one in front of it. `Infinity` where it is lost. */
  private arrivalOf(frame: Frame, now: number): number {
    // Drawn for each, lost or not, so that the fates of others don't depend on the time.
    const drawn = this.jitter > 0 ? (this.random.next() / 0x1_0000_0000) * this.jitter : 0;
    let at = now;
    if (this.bytesPerMs !== Number.POSITIVE_INFINITY) {
      const start = Math.max(now, this.freeAt);
      const waiting = (start - now) * this.bytesPerMs;
      if (waiting > 0 && waiting + frame.length > this.queueLimit) return Number.POSITIVE_INFINITY;
      this.freeAt = start + frame.length / this.bytesPerMs;
      at = this.freeAt;
    }
    this.lastAt = Math.max(this.lastAt, at + this.delay + drawn);
    return this.lastAt;
  }

  /** Keeps a frame that others are to overtake; `false` where that is not possible. */
  private hold(frame: Frame, at: number, fate: "swap" | "reorder"): boolean {
    const { counts, late } = this;
    // Two swaps in a row are one.
    if (fate === "swap" && late.size > 0) return false;
    const byTime = fate === "reorder" && this.lateBy > 0;
    const need = byTime ? Number.POSITIVE_INFINITY : this.started + (fate === "swap" ? 1 : this.distance);
    if (!late.push(frame, at + (byTime ? this.lateBy : this.overtaking), need)) return false;
    if (fate === "swap") counts.swapped++;
    else counts.reordered++;
    return true;
  }

  /**
   * Changes one byte. `false` where the frame is lost instead: the segments that a device cuts from a super-segment
   * get their checksums from it, so nobody would notice, and one that is noticed is as good as lost.
   *
   * The Internet checksum is a sum modulo 65,535 of 16-bit words. Another value in one byte moves that sum by
   * 1 .. 255, or by 256 times as much, which is 65,280 at most: never by a multiple of 65,535. So it is always
   * caught, where the byte is one that a checksum covers and does not say how much the checksum covers.
   */
  private corrupt(frame: Frame): boolean {
    const { bytes, offset, length } = frame;
    if (length === 0) return true;
    this.counts.corrupted++;
    const at = offset + randomBelow(this.random, length);
    const change = 1 + randomBelow(this.random, 255);
    if (this.direction === "transmit" && frame.segmentSize > 0) return false;
    // Where the device vouches for the checksum, the stack would not look.
    if (frame.checksumOffloaded) {
      completeChecksum(bytes, offset, length, this.medium);
      frame.checksumOffloaded = false;
    }
    bytes[at] ^= change;
    return true;
  }
}

/** Whether frames take time to arrive. */
export function isSlow({ delayMs = 0, jitterMs = 0, rate }: FaultOptions): boolean {
  return delayMs > 0 || jitterMs > 0 || rate !== undefined;
}
