import { type Capabilities, type Device, type DeviceEvent, Frame } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { ETHERNET_HEADER_LENGTH, VLAN_TAG_LENGTH } from "../src/wire/ethernet.ts";
import { Counts, isSlow, Line } from "./fault-line.ts";
import { Alarm, type Timed } from "./timing.ts";
import { descriptorsOf, wakeAtOf } from "./wait.ts";

/** What becomes of a frame. */
export type Fate = "deliver" | "drop" | "duplicate" | "swap" | "reorder" | "corrupt";

/**
 * Probabilities are 0 .. 1 a frame, 0 unless told, and add up to 1 at most: a frame has one fate. A super-segment is
 * one frame: it is lost, repeated and delayed as a whole.
 */
export interface FaultOptions {
  /** The same seed has the same faults befall the same frames; 1 unless told. */
  readonly seed?: number;
  /** Which frames are meant: those the stack receives, sends, or all; `"receive"` unless told. */
  readonly direction?: "receive" | "transmit" | "both";
  /** The frame is lost. */
  readonly drop?: number;
  /** The frame arrives twice, one right behind the other. */
  readonly duplicate?: number;
  /** The frame arrives after the next one; alone where no next one is there. */
  readonly swap?: number;
  /** The frame is overtaken by the next `reorderDistance` frames, or arrives `reorderMs` later than it would. */
  readonly reorder?: number;
  /** Frames that overtake; 3 unless told. Fewer do where no more come. */
  readonly reorderDistance?: number;
  /** In place of a distance: ms that the frame is late by, while others pass. */
  readonly reorderMs?: number;
  /** One byte of the frame arrives changed. A super-segment that is sent is lost instead. */
  readonly corrupt?: number;
  /** Every frame arrives that many ms after it was sent; 0 unless told. */
  readonly delayMs?: number;
  /** And up to so many ms more, drawn for each frame; none overtakes another by it. 0 unless told. */
  readonly jitterMs?: number;
  /** Bytes a second that the link carries, headers included; unlimited unless told. */
  readonly rate?: number;
  /** Bytes that may wait for their turn on a link with a `rate`; what comes then is lost. 262,144 unless told. */
  readonly queue?: number;
  /** Bytes of memory for the frames that are on their way, for each direction. What does not fit is lost, and counted.
   * 4 MiB for a link that takes time and eight of the largest frames for others, unless told. */
  readonly buffer?: number;
  /** Decides in place of the probabilities: the fate of frame number `index`, from 0, of a direction. */
  readonly script?: (index: number, direction: "receive" | "transmit") => Fate;
  /**
   * Milliseconds from any origin, in place of the system's clock. No timer is set then: look at `nextAt`, and call
   * `advance` when that time has come.
   */
  readonly clock?: () => number;
}

/** What happened so far, in frames; of both directions, where both are meant. */
export interface FaultCounts {
  /** Frames taken from the device beneath, whatever became of them. */
  readonly received: number;
  /** Frames that the stack has sent, whatever became of them. */
  readonly sent: number;
  readonly dropped: number;
  readonly duplicated: number;
  readonly swapped: number;
  readonly reordered: number;
  readonly corrupted: number;
  /** Lost because the queue in front of a link with a `rate` was full. */
  readonly queueDropped: number;
  /** Lost because `buffer` was full. */
  readonly overflowed: number;
}

export interface FaultyDevice extends Device, Timed {
  readonly faults: FaultCounts;
}

const DEFAULT_SLOW_BUFFER = 4 * 1024 * 1024;
/** Frames that are lost or delayed in a row, within one call of `receive`. */
const MAX_IN_A_ROW = 1_024;

class Faults implements FaultyDevice {
  readonly faults = new Counts();
  readonly wait?: (timeoutMs: number) => boolean;
  readonly onEvent?: (callback: (event: DeviceEvent) => void) => void;
  private readonly inner: Device;
  /** `null` for a direction in which frames pass untouched. */
  private readonly incoming: Line | null;
  private readonly outgoing: Line | null;
  private readonly alarm: Alarm;
  /** A frame of a line, on its way to the device beneath. */
  private readonly leaving = new Frame(new Uint8Array(0));
  private readable: (() => void) | null = null;
  private writable: (() => void) | null = null;
  /** The caller was told that there is nothing, and not yet called back. */
  private waiting = true;
  /** The caller was told that there is no room, and not yet called back. */
  private refused = false;
  /** The device beneath had no room for a frame of the outgoing line. */
  private blocked = false;
  /** There may be more to take from the device beneath. */
  private more = false;
  private closed = false;

  constructor(inner: Device, options: FaultOptions, budget: number) {
    this.inner = inner;
    const { direction = "receive" } = options;
    const { medium } = inner.capabilities;
    const { faults } = this;
    this.incoming = direction === "transmit" ? null : new Line("receive", medium, faults, budget, options);
    this.outgoing = direction === "receive" ? null : new Line("transmit", medium, faults, budget, options);
    this.alarm = new Alarm(options.clock, () => this.advance());
    if (inner.wait !== undefined) this.wait = (timeoutMs) => this.waitFor(timeoutMs);
    if (inner.onEvent !== undefined) this.onEvent = (callback) => inner.onEvent!(callback);
    if (this.outgoing !== null) inner.onWritable(() => this.onRoom());
  }

  /** Asked for each time: the MTU may change while the device is open. */
  get capabilities(): Capabilities {
    return this.inner.capabilities;
  }

  /** What `waitForAny` waits for. */
  get descriptors(): readonly number[] | undefined {
    return descriptorsOf(this.inner);
  }

  /** How long `waitForAny` waits at most. */
  get wakeAt(): number {
    const inner = wakeAtOf(this.inner);
    return this.alarm.simulated ? inner : Math.min(inner, this.nextAt);
  }

  get nextAt(): number {
    if (this.more) return this.alarm.now();
    const incoming = this.incoming?.nextAt ?? Number.POSITIVE_INFINITY;
    const outgoing = this.blocked ? Number.POSITIVE_INFINITY : this.outgoing?.nextAt;
    return Math.min(incoming, outgoing ?? Number.POSITIVE_INFINITY);
  }

  receive(frame: Frame): boolean {
    if (this.closed) return false;
    const { incoming } = this;
    if (incoming === null) {
      if (this.inner.receive(frame)) return true;
      this.waiting = true;
      return false;
    }
    incoming.release();
    const now = this.nowFor(incoming);
    this.more = false;
    for (let inARow = 0; ; inARow++) {
      if (this.takeReady(incoming, frame, now, false)) return true;
      if (inARow === MAX_IN_A_ROW) {
        this.more = true;
        break;
      }
      if (!this.inner.receive(frame)) break;
      if (incoming.admit(frame, now)) return true;
    }
    // Nothing came that could have overtaken what waits for that: it goes alone. The next call asks the device beneath
    // again before it says that there is nothing, so no wake-up is missed.
    if (!this.more && this.takeReady(incoming, frame, now, true)) return true;
    this.waiting = true;
    this.alarm.set(this.nextAt);
    return false;
  }

  transmit(length: number): Frame | null {
    const { outgoing } = this;
    if (outgoing !== null) this.sendReady(outgoing);
    const frame = this.inner.transmit(length);
    if (frame === null) this.refused = true;
    return frame;
  }

  commit(frame: Frame): void {
    const { outgoing } = this;
    if (outgoing === null || this.closed) {
      this.inner.commit(frame);
      return;
    }
    if (outgoing.admit(frame, this.nowFor(outgoing))) this.inner.commit(frame);
    this.sendReady(outgoing);
    this.alarm.set(this.nextAt);
  }

  onReadable(callback: () => void): void {
    this.readable = callback;
    this.inner.onReadable(() => this.wake());
  }

  onWritable(callback: () => void): void {
    this.writable = callback;
    this.inner.onWritable(() => this.onRoom());
  }

  /** The timer keeps the process running too. */
  setRef(ref: boolean): void {
    this.alarm.setRef(ref);
    this.inner.setRef?.(ref);
  }

  advance(): void {
    if (this.closed) return;
    const { incoming, outgoing } = this;
    if (outgoing !== null) this.sendReady(outgoing);
    if (incoming !== null && (this.more || incoming.nextAt <= this.nowFor(incoming))) this.wake();
    this.alarm.set(this.waiting ? this.nextAt : (outgoing?.nextAt ?? Number.POSITIVE_INFINITY));
  }

  close(): void {
    this.closed = true;
    this.alarm.clear();
    this.incoming?.clear();
    this.outgoing?.clear();
    this.inner.close();
  }

  /** A line on which nothing takes time is not worth asking the clock. */
  private nowFor(line: Line): number {
    return line.timed ? this.alarm.now() : 0;
  }

  private takeReady(line: Line, frame: Frame, now: number, alone: boolean): boolean {
    const queue = line.ready(now, alone);
    if (queue === null) return false;
    line.take(queue, frame);
    return true;
  }

  /** Sends what has come to the end of its delay. */
  private sendReady(line: Line): void {
    const { leaving } = this;
    this.blocked = false;
    for (;;) {
      const queue = line.ready(this.nowFor(line), true);
      if (queue === null) return;
      const frame = this.lend(queue.length);
      if (frame === null && this.blocked) return;
      line.take(queue, leaving);
      if (frame === null) this.faults.dropped++;
      else this.send(frame);
      line.release();
    }
  }

  /** A frame of the device beneath; `null` where it has no room (then it is `blocked`), or can't carry that any more. */
  private lend(length: number): Frame | null {
    const { medium, mtu, maxSuperSegment } = this.capabilities;
    const header = medium === "ip" ? 0 : ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH;
    if (length > Math.max(mtu, maxSuperSegment) + header) return null;
    const frame = this.inner.transmit(length);
    this.blocked = frame === null;
    return frame;
  }

  private send(frame: Frame): void {
    const { bytes, offset, length, checksumOffloaded, segmentSize } = this.leaving;
    frame.bytes.set(bytes.subarray(offset, offset + length), frame.offset);
    frame.checksumOffloaded = checksumOffloaded;
    frame.segmentSize = segmentSize;
    this.inner.commit(frame);
  }

  private onRoom(): void {
    if (this.closed) return;
    if (this.outgoing !== null) {
      this.sendReady(this.outgoing);
      this.alarm.set(this.nextAt);
    }
    if (!this.refused) return;
    this.refused = false;
    this.writable?.();
  }

  private wake(): void {
    // The device beneath may have run dry, and call back, while this one still had a kept frame to deliver.
    if (!this.waiting || this.readable === null) return;
    this.waiting = false;
    this.readable();
  }

  private waitFor(timeoutMs: number): boolean {
    const { incoming, outgoing, alarm } = this;
    const until = alarm.now() + timeoutMs;
    for (;;) {
      if (outgoing !== null) this.sendReady(outgoing);
      if (incoming !== null && (this.more || incoming.ready(this.nowFor(incoming), true) !== null))
        return true;
      // In simulated time, nobody moves the clock while this waits.
      const { nextAt } = this;
      if (alarm.simulated || nextAt === Number.POSITIVE_INFINITY) return this.inner.wait!(timeoutMs);
      const now = alarm.now();
      if (this.inner.wait!(Math.max(0, Math.min(until, nextAt) - now))) return true;
      if (alarm.now() >= until) return (incoming?.nextAt ?? Number.POSITIVE_INFINITY) <= alarm.now();
    }
  }
}

/**
 * A device between which and the stack frames are lost, repeated, put out of order, garbled, delayed and throttled,
 * the same way for the same seed.
 *
 * That is what befalls received frames; `direction` has it befall sent ones too, or instead. No frame that was not lost
 * is ever stuck. What is on its way when the device is closed is lost.
 *
 * @param device the device to wrap; closing the wrapper closes it
 * @returns the wrapper, with counters of what happened in `faults`
 * @throws StackError `EINVAL` where a probability is not in 0 .. 1, all together exceed 1, or another option is out of
 *   its range
 *
 * @example
 * ```ts
 * const [left, right] = memoryPair();
 * const lossy = fault(right, { seed: 7, drop: 0.01, swap: 0.02, delayMs: 20, direction: "both" });
 * // ... lossy.faults.dropped
 * ```
 */
export function fault(device: Device, options: FaultOptions): FaultyDevice {
  checkProbabilities(options);
  for (const name of ["delayMs", "jitterMs", "reorderMs", "queue"] as const) {
    const value = options[name];
    if (value === undefined || (value >= 0 && value < Number.POSITIVE_INFINITY)) continue;
    throw new StackError("EINVAL", `${name} is ${value}; give a number from 0.`);
  }
  const { rate, reorderDistance } = options;
  if (rate !== undefined && !(rate > 0)) {
    throw new StackError("EINVAL", `rate is ${rate}; give bytes a second, more than 0, or leave it out.`);
  }
  if (reorderDistance !== undefined && !(Number.isInteger(reorderDistance) && reorderDistance >= 1)) {
    throw new StackError("EINVAL", `reorderDistance is ${reorderDistance}; give a whole number from 1.`);
  }
  return new Faults(device, options, bufferSize(device.capabilities, options));
}

function checkProbabilities(options: FaultOptions): void {
  let sum = 0;
  for (const name of ["drop", "duplicate", "swap", "reorder", "corrupt"] as const) {
    const probability = options[name] ?? 0;
    if (!(probability >= 0 && probability <= 1)) {
      throw new StackError("EINVAL", `${name} is ${probability}; give a probability from 0 to 1.`);
    }
    sum += probability;
  }
  // Probabilities that add up to 1 on paper may exceed it by a rounding error.
  if (sum > 1 + 1e-9) {
    throw new StackError(
      "EINVAL",
      `The probabilities add up to ${sum}; a frame has one fate, so keep them within 1.`,
    );
  }
}

function bufferSize({ mtu, maxSuperSegment }: Capabilities, options: FaultOptions): number {
  const largest = Math.max(mtu, maxSuperSegment) + ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH + 8;
  const smallest = 8 * largest;
  const { buffer } = options;
  if (buffer === undefined) return isSlow(options) ? Math.max(DEFAULT_SLOW_BUFFER, smallest) : smallest;
  if (!Number.isInteger(buffer) || buffer < smallest || buffer > 2 ** 30) {
    throw new StackError(
      "EINVAL",
      `buffer is ${buffer}; give a whole number of bytes from ${smallest}, which is eight of this device's largest frames, to ${2 ** 30}.`,
    );
  }
  return buffer;
}
