import type { Capabilities, Device, DeviceEvent, Frame } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { type Random, randomBelow, seededRandom } from "../src/random.ts";
import { ETHERNET_HEADER_LENGTH, VLAN_TAG_LENGTH } from "../src/wire/ethernet.ts";
import { MUTATIONS, type Mutation, Mutator } from "./fuzz-mutate.ts";
import { descriptorsOf, wakeAtOf } from "./wait.ts";

export interface FuzzOptions {
  /** The same seed spoils the same frames in the same way; 1 unless told. */
  readonly seed?: number;
  /** The probability, 0 .. 1, that a received frame is spoiled; 0.1 unless told. */
  readonly rate?: number;
  /** The probability that a spoiled frame gets right checksums, and so past the first checks; 0.75 unless told. */
  readonly fixChecksums?: number;
  /** `true` where a spoiled frame arrives behind the frame itself, `false` (unless told) where it does in its place. */
  readonly beside?: boolean;
  /** Mutations of a frame, 1 to that many; 3 unless told. */
  readonly most?: number;
  /** The mutations that happen; all unless told. */
  readonly mutations?: readonly Mutation[];
}

/** What happened so far: frames, and how often each mutation was made. */
export interface FuzzCounts extends Readonly<Record<Mutation, number>> {
  /** Frames taken from the device beneath. */
  readonly received: number;
  /** Spoiled ones that were delivered. */
  readonly mutated: number;
  /** Those of them with right checksums. */
  readonly fixed: number;
}

export interface FuzzingDevice extends Device {
  readonly fuzzed: FuzzCounts;
}

class Counts implements FuzzCounts {
  received = 0;
  mutated = 0;
  fixed = 0;
  bits = 0;
  field = 0;
  length = 0;
  options = 0;
  truncate = 0;
  extend = 0;
  splice = 0;
  repeat = 0;
}

class Fuzz implements FuzzingDevice {
  readonly fuzzed = new Counts();
  readonly wait?: (timeoutMs: number) => boolean;
  readonly onEvent?: (callback: (event: DeviceEvent) => void) => void;
  readonly setRef?: (ref: boolean) => void;
  private readonly inner: Device;
  private readonly random: Random;
  private readonly mutator: Mutator;
  private readonly mutations: readonly Mutation[];
  private readonly rate: number;
  private readonly fixChecksums: number;
  private readonly beside: boolean;
  private readonly most: number;
  /** The mutator's frame is to be delivered by the next call. */
  private pending = false;
  /** The caller was told that there is nothing, and not yet called back. */
  private waiting = true;
  private closed = false;

  constructor(inner: Device, options: FuzzOptions) {
    this.inner = inner;
    this.random = seededRandom(options.seed ?? 1);
    this.mutations = options.mutations ?? MUTATIONS;
    this.rate = options.rate ?? 0.1;
    this.fixChecksums = options.fixChecksums ?? 0.75;
    this.beside = options.beside ?? false;
    this.most = options.most ?? 3;
    const { medium, mtu, maxSuperSegment } = inner.capabilities;
    const header = medium === "ip" ? 0 : ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH;
    this.mutator = new Mutator(this.random, medium, Math.max(mtu, maxSuperSegment) + header);
    if (inner.wait !== undefined) this.wait = (timeoutMs) => this.pending || inner.wait!(timeoutMs);
    if (inner.onEvent !== undefined) this.onEvent = (callback) => inner.onEvent!(callback);
    if (inner.setRef !== undefined) this.setRef = (ref) => inner.setRef!(ref);
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
    return wakeAtOf(this.inner);
  }

  receive(frame: Frame): boolean {
    if (this.closed) return false;
    if (this.pending) return this.deliver(frame);
    if (!this.inner.receive(frame)) {
      this.waiting = true;
      return false;
    }
    this.fuzzed.received++;
    const { mutator } = this;
    // Drawn first, so that what is spoiled does not depend on what the frames are.
    const chosen = this.chance(this.rate);
    if (!mutator.copy(frame)) return true;
    mutator.remember();
    if (chosen) this.spoil();
    if (!this.pending || this.beside) return true;
    return this.deliver(frame);
  }

  transmit(length: number): Frame | null {
    return this.inner.transmit(length);
  }

  commit(frame: Frame): void {
    this.inner.commit(frame);
  }

  onReadable(callback: () => void): void {
    this.inner.onReadable(() => {
      // The device beneath may have run dry, and call back, while this one still had a frame to deliver.
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
    this.pending = false;
    this.inner.close();
  }

  private chance(probability: number): boolean {
    return this.random.next() < probability * 0x1_0000_0000;
  }

  /** Spoils the mutator's copy of the frame. */
  private spoil(): void {
    const { mutator, fuzzed, random } = this;
    for (let count = 1 + randomBelow(random, this.most); count > 0; count--) {
      const mutation = this.mutations[randomBelow(random, this.mutations.length)];
      mutator.apply(mutation);
      fuzzed[mutation]++;
    }
    if (this.chance(this.fixChecksums)) {
      mutator.fixChecksums();
      fuzzed.fixed++;
    }
    fuzzed.mutated++;
    this.pending = true;
  }

  private deliver(frame: Frame): true {
    const spoiled = this.mutator.frame;
    this.pending = false;
    frame.bytes = spoiled.bytes;
    frame.offset = spoiled.offset;
    frame.length = spoiled.length;
    frame.checksumOffloaded = false;
    frame.segmentSize = spoiled.segmentSize;
    return true;
  }
}

/**
 * A device that spoils some of the frames that `device` receives: bits, fields and lengths, options, the end, parts of
 * earlier frames. Most get right checksums again, so that they reach the code behind the first checks. What is
 * transmitted passes untouched.
 *
 * For tests: a stack must neither throw nor stop for any of it. The same seed makes the same frames of the same ones.
 *
 * @param device the device to wrap; closing the wrapper closes it
 * @returns the wrapper, with counters of what happened in `fuzzed`
 * @throws StackError `EINVAL` where an option is out of its range
 *
 * @example
 * ```ts
 * const [left, right] = memoryPair();
 * const hostile = fuzz(right, { seed: 7, rate: 0.2 });
 * // ... hostile.fuzzed.mutated
 * ```
 */
export function fuzz(device: Device, options: FuzzOptions = {}): FuzzingDevice {
  for (const name of ["rate", "fixChecksums"] as const) {
    const value = options[name] ?? 0;
    if (value >= 0 && value <= 1) continue;
    throw new StackError("EINVAL", `${name} is ${value}; give a probability from 0 to 1.`);
  }
  const { most = 1, mutations = MUTATIONS } = options;
  if (!Number.isInteger(most) || most < 1 || most > 100) {
    throw new StackError("EINVAL", `most is ${most}; give a whole number from 1 to 100.`);
  }
  const unknown = mutations.find((name) => !MUTATIONS.includes(name));
  if (unknown !== undefined || mutations.length === 0) {
    throw new StackError(
      "EINVAL",
      `mutations is ${JSON.stringify(mutations)}; give one or more of ${MUTATIONS.join(", ")}.`,
    );
  }
  return new Fuzz(device, options);
}
