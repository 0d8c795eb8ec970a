import type { Capabilities, Device, Frame } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { type Random, randomBelow, seededRandom } from "../src/random.ts";

/** What becomes of a received frame. */
export type Fate = "deliver" | "drop" | "duplicate" | "swap" | "corrupt";

/** Probabilities are 0 .. 1 a received frame, 0 unless told, and add up to 1 at most: a frame has one fate. */
export interface FaultOptions {
  /** The same seed has the same faults befall the same frames; 1 unless told. */
  readonly seed?: number;
  /** The frame is lost. */
  readonly drop?: number;
  /** The frame arrives twice, one right behind the other. */
  readonly duplicate?: number;
  /** The frame arrives after the next one; alone where no next one is there. */
  readonly swap?: number;
  /** One byte of the frame arrives changed. */
  readonly corrupt?: number;
  /** Decides in place of the probabilities: the fate of the frame that is received as number `index`, from 0. */
  readonly script?: (index: number) => Fate;
}

/** What happened so far, in frames. */
export interface FaultCounts {
  /** Frames taken from the device beneath, whatever became of them. */
  readonly received: number;
  readonly dropped: number;
  readonly duplicated: number;
  readonly swapped: number;
  readonly corrupted: number;
}

export interface FaultyDevice extends Device {
  readonly faults: FaultCounts;
}

class Counts implements FaultCounts {
  received = 0;
  dropped = 0;
  duplicated = 0;
  swapped = 0;
  corrupted = 0;
}

/** Room for a frame that is delivered later than it was received. */
class Kept {
  readonly bytes: Uint8Array;
  offset = 0;
  length = 0;
  checksumOffloaded = false;
  segmentSize = 0;
  full = false;

  constructor(size: number) {
    // 3 bytes more, so that the copy can lie as the original does: the IP header on a multiple of four.
    this.bytes = new Uint8Array(new ArrayBuffer(size + 3));
  }

  /** `false` where the frame is larger than any that was announced. */
  keep(frame: Frame): boolean {
    this.offset = frame.offset & 3;
    if (this.offset + frame.length > this.bytes.length) return false;
    this.bytes.set(frame.bytes.subarray(frame.offset, frame.offset + frame.length), this.offset);
    this.length = frame.length;
    this.checksumOffloaded = frame.checksumOffloaded;
    this.segmentSize = frame.segmentSize;
    this.full = true;
    return true;
  }

  release(frame: Frame): true {
    this.full = false;
    frame.bytes = this.bytes;
    frame.offset = this.offset;
    frame.length = this.length;
    frame.checksumOffloaded = this.checksumOffloaded;
    frame.segmentSize = this.segmentSize;
    return true;
  }
}

class Faults implements FaultyDevice {
  readonly faults = new Counts();
  readonly capabilities: Capabilities;
  readonly wait?: (timeoutMs: number) => boolean;
  private readonly inner: Device;
  private readonly random: Random;
  private readonly script: ((index: number) => Fate) | null;
  /** Upper ends, in 0 .. 1, of the stretches of a random number that mean each fate. */
  private readonly dropBelow: number;
  private readonly duplicateBelow: number;
  private readonly swapBelow: number;
  private readonly corruptBelow: number;
  /** Delivered by the next call, whatever comes. */
  private readonly duplicate: Kept;
  /** Delivered behind the next frame; where one is kept between two calls, that one was delivered. */
  private readonly swapped: Kept;
  /** The caller was told that there is nothing, and not yet called back. */
  private waiting = true;
  private closed = false;

  constructor(inner: Device, options: FaultOptions, random: Random) {
    this.inner = inner;
    this.capabilities = inner.capabilities;
    this.random = random;
    this.script = options.script ?? null;
    this.dropBelow = options.drop ?? 0;
    this.duplicateBelow = this.dropBelow + (options.duplicate ?? 0);
    this.swapBelow = this.duplicateBelow + (options.swap ?? 0);
    this.corruptBelow = this.swapBelow + (options.corrupt ?? 0);
    const linkHeader = 18;
    const size = Math.max(inner.capabilities.mtu, inner.capabilities.maxSuperSegment) + linkHeader;
    this.duplicate = new Kept(size);
    this.swapped = new Kept(size);
    if (inner.wait !== undefined) {
      this.wait = (timeoutMs) => this.duplicate.full || this.swapped.full || inner.wait!(timeoutMs);
    }
  }

  receive(frame: Frame): boolean {
    if (this.duplicate.full) return this.duplicate.release(frame);
    if (this.swapped.full) return this.swapped.release(frame);
    while (!this.closed && this.inner.receive(frame)) {
      const fate = this.draw(this.faults.received++);
      if (fate === "drop") {
        this.faults.dropped++;
        continue;
      }
      if (fate === "swap" && !this.swapped.full && this.swapped.keep(frame)) {
        this.faults.swapped++;
        continue;
      }
      if (fate === "duplicate" && this.duplicate.keep(frame)) this.faults.duplicated++;
      if (fate === "corrupt") this.corrupt(frame);
      return true;
    }
    // Nothing came that the swapped frame could have let pass: it goes alone. The next call asks the device beneath
    // again before it says that there is nothing, so no wake-up is missed.
    if (this.swapped.full) return this.swapped.release(frame);
    this.waiting = true;
    return false;
  }

  transmit(length: number): Frame | null {
    return this.inner.transmit(length);
  }

  commit(frame: Frame): void {
    this.inner.commit(frame);
  }

  onReadable(callback: () => void): void {
    this.inner.onReadable(() => {
      // The device beneath may have run dry, and call back, while this one still had a kept frame to deliver.
      if (!this.waiting) return;
      this.waiting = false;
      callback();
    });
  }

  onWritable(callback: () => void): void {
    this.inner.onWritable(callback);
  }

  close(): void {
    this.closed = true;
    this.duplicate.full = false;
    this.swapped.full = false;
    this.inner.close();
  }

  private draw(index: number): Fate {
    if (this.script !== null) {
      const fate = this.script(index);
      if (fate === "corrupt") refuseOffload(this.capabilities);
      return fate;
    }
    const drawn = this.random.next() / 0x1_0000_0000;
    if (drawn < this.dropBelow) return "drop";
    if (drawn < this.duplicateBelow) return "duplicate";
    if (drawn < this.swapBelow) return "swap";
    if (drawn < this.corruptBelow) return "corrupt";
    return "deliver";
  }

  /**
   * The Internet checksum is a sum modulo 65,535 of 16-bit words. Another value in one byte moves that sum by
   * 1 .. 255, or by 256 times as much, which is 65,280 at most: never by a multiple of 65,535. So it is always
   * caught, where the byte is one that a checksum covers and does not say how much the checksum covers.
   */
  private corrupt(frame: Frame): void {
    if (frame.length === 0) return;
    const at = frame.offset + randomBelow(this.random, frame.length);
    frame.bytes[at] ^= 1 + randomBelow(this.random, 255);
    this.faults.corrupted++;
  }
}

function refuseOffload(capabilities: Capabilities): void {
  if (capabilities.checksumOffload) {
    throw new StackError(
      "EINVAL",
      "Frames of a device that vouches for checksums can't be corrupted: nobody would notice. Open the device without checksum offload.",
    );
  }
}

/**
 * A device that loses, repeats, swaps and garbles what `device` receives, the same way for the same seed.
 *
 * What is transmitted passes untouched; to have faults in both directions of a memory pair, wrap both ends. No frame
 * that was not dropped is ever stuck: `receive` says that there is none only when nothing is kept back.
 *
 * @param device the device to wrap; closing the wrapper closes it
 * @returns the wrapper, with counters of what happened in `faults`
 * @throws StackError `EINVAL` where a probability is not in 0 .. 1, all together exceed 1, or frames are to be
 *   corrupted although `device` vouches for their checksums
 *
 * @example
 * ```ts
 * const [left, right] = memoryPair();
 * const lossy = fault(right, { seed: 7, drop: 0.01, swap: 0.02 });
 * // ... lossy.faults.dropped
 * ```
 */
export function fault(device: Device, options: FaultOptions): FaultyDevice {
  let sum = 0;
  for (const name of ["drop", "duplicate", "swap", "corrupt"] as const) {
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
  if ((options.corrupt ?? 0) > 0) refuseOffload(device.capabilities);
  return new Faults(device, options, seededRandom(options.seed ?? 1));
}
