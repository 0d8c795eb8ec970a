import { type Capabilities, type Device, type DeviceEvent, Frame, type Medium } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { read16, read32 } from "../src/wire/bytes.ts";
import {
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_ARP,
  parseHardwareAddress,
  VLAN_TAG_LENGTH,
} from "../src/wire/ethernet.ts";
import { type IpAddress, parseAddress } from "../src/wire/ip-address.ts";
import { findIp } from "../src/wire/offload.ts";
import { CaptureReader } from "./capture-reader.ts";
import { type ByteSource, bytesSource, fileSource } from "./capture-source.ts";
import { INBOUND, OUTBOUND } from "./pcapng.ts";
import { directionOf, FrameConverter, type LinkAddresses } from "./replay-frame.ts";
import { Alarm, sleep, type Timed } from "./timing.ts";
import { descriptorsOf, wakeAtOf } from "./wait.ts";

export interface ReplayOptions {
  /** How many times faster than it was captured; 1 unless told, `Infinity` for as fast as it is taken. */
  readonly speed?: number;
  /**
   * Milliseconds from any origin, in place of the system's clock. No timer is set then: look at `nextAt` to know when
   * `receive` will have something.
   */
  readonly clock?: () => number;
  /** Only packets that who captured them had received, or had transmitted; `"both"` unless told. Those of which the
   * capture does not say it (pcap files never do) are taken for either. */
  readonly direction?: "receive" | "transmit" | "both";
  /** Only packets to one of these IP addresses, and ARP that asks for one; all unless told. */
  readonly destination?: string | readonly string[];
  /** The hardware addresses of frames that are made of IP packets. Needed where the device is an Ethernet, and the
   * capture is not; the source's at least. */
  readonly link?: LinkAddresses;
  /** Fills in TCP and UDP checksums, which a capture on the sending machine often lacks; `false` unless told. */
  readonly completeChecksums?: boolean;
  /** Without a device beneath: what frames start with; `"ip"` unless told. */
  readonly medium?: Medium;
  /** Without a device beneath: the largest IP packet in bytes; 1,500 unless told. */
  readonly mtu?: number;
  /** Without a device beneath: the stack's address on an Ethernet; 02:00:00:00:00:01 unless told. */
  readonly hardwareAddress?: string;
  /** Told, once, when the last frame has been received. */
  readonly onEnd?: (counts: ReplayCounts) => void;
  /** Told, once, why a capture ends early: it is malformed, or cut off. A warning of the process unless given. */
  readonly onError?: (error: Error) => void;
}

/** What happened so far, in packets of the capture; and the frames that the stack has sent. */
export interface ReplayCounts {
  readonly read: number;
  /** Received by the stack. */
  readonly delivered: number;
  /** Left out because of `direction` or `destination`. */
  readonly filtered: number;
  /** Left out because they are not IP, and the device carries nothing else. */
  readonly notIp: number;
  /** Left out because the capture does not hold all of them. */
  readonly truncated: number;
  /** Left out because they are longer than any frame. */
  readonly tooLong: number;
  readonly sent: number;
}

export interface ReplayDevice extends Device, Timed {
  readonly replayed: ReplayCounts;
  /** Everything has been received. */
  readonly ended: boolean;
}

const DEFAULT_MTU = 1500;
const DEFAULT_HARDWARE_ADDRESS = "02:00:00:00:00:01";
/** Packets that are looked at in a row when none of them passes the filters: then somebody else gets a turn. */
const LOOKED_AT = 256;

class Counts implements ReplayCounts {
  read = 0;
  delivered = 0;
  filtered = 0;
  notIp = 0;
  truncated = 0;
  tooLong = 0;
  sent = 0;
}

class Replay implements ReplayDevice {
  readonly replayed = new Counts();
  readonly wait?: (timeoutMs: number) => boolean;
  readonly onEvent?: (callback: (event: DeviceEvent) => void) => void;
  private readonly inner: Device | null;
  private readonly own: Capabilities;
  private readonly reader: CaptureReader;
  private readonly converter: FrameConverter;
  private readonly options: ReplayOptions;
  private readonly speed: number;
  private readonly destinations: readonly IpAddress[];
  private readonly alarm: Alarm;
  private readonly sink: Frame;
  /** The converter's frame is one that was not received yet, and is due at `dueAt`. */
  private pending = false;
  private dueAt = 0;
  /** The time of the capture's first packet, and the time it is due. */
  private firstTime = Number.NaN;
  private startedAt = Number.NaN;
  private over = false;
  private endTold = false;
  private closed = false;
  /** The caller was told that there is nothing, and not yet called back. */
  private waiting = true;
  private readable: (() => void) | null = null;

  constructor(
    inner: Device | null,
    own: Capabilities,
    reader: CaptureReader,
    converter: FrameConverter,
    options: ReplayOptions,
  ) {
    this.inner = inner;
    this.own = own;
    this.reader = reader;
    this.converter = converter;
    this.options = options;
    this.speed = options.speed ?? 1;
    const { destination = [] } = options;
    this.destinations = (typeof destination === "string" ? [destination] : destination).map(parseAddress);
    this.alarm = new Alarm(options.clock, () => this.wake());
    this.sink = new Frame(new Uint8Array(inner === null ? this.largest() + 4 : 0));
    if (inner === null ? !this.alarm.simulated : inner.wait !== undefined) {
      this.wait = (timeoutMs) => this.waitFor(timeoutMs);
    }
    if (inner?.onEvent !== undefined) this.onEvent = (callback) => inner.onEvent!(callback);
    // So that what is wrong with the whole capture is told at once.
    this.seek();
  }

  get capabilities(): Capabilities {
    return this.inner?.capabilities ?? this.own;
  }

  /** What `waitForAny` waits for. */
  get descriptors(): readonly number[] | undefined {
    return this.inner === null ? [] : descriptorsOf(this.inner);
  }

  /** How long `waitForAny` waits at most. */
  get wakeAt(): number {
    const inner = this.inner === null ? Number.POSITIVE_INFINITY : wakeAtOf(this.inner);
    return this.alarm.simulated ? inner : Math.min(inner, this.nextAt);
  }

  get ended(): boolean {
    return this.over && !this.pending;
  }

  get nextAt(): number {
    if (this.pending) return Number.isNaN(this.startedAt) ? this.alarm.now() : this.dueAt;
    return this.over ? Number.POSITIVE_INFINITY : this.alarm.now();
  }

  receive(frame: Frame): boolean {
    if (this.closed) return false;
    if (Number.isNaN(this.startedAt)) this.start();
    if (!this.pending && !this.endTold) this.look();
    if (this.pending && this.alarm.now() >= this.dueAt) return this.deliver(frame);
    if (this.inner?.receive(frame)) return true;
    this.waiting = true;
    this.alarm.set(this.nextAt);
    return false;
  }

  transmit(length: number): Frame | null {
    if (this.inner !== null) return this.inner.transmit(length);
    if (length > this.largest()) {
      throw new StackError(
        "EMSGSIZE",
        `A frame of ${length} bytes does not fit this device, which carries ${this.largest()}; keep packets within its capabilities.mtu.`,
      );
    }
    const { sink } = this;
    sink.offset = this.own.medium === "ip" ? 0 : 2;
    sink.length = length;
    sink.checksumOffloaded = false;
    sink.segmentSize = 0;
    return sink;
  }

  commit(frame: Frame): void {
    this.replayed.sent++;
    this.inner?.commit(frame);
  }

  onReadable(callback: () => void): void {
    this.readable = callback;
    this.inner?.onReadable(() => this.wake());
    if (this.waiting) this.alarm.set(this.nextAt);
  }

  onWritable(callback: () => void): void {
    this.inner?.onWritable(callback);
  }

  /** The timer keeps the process running too. */
  setRef(ref: boolean): void {
    this.alarm.setRef(ref);
    this.inner?.setRef?.(ref);
  }

  advance(): void {
    if (this.isDue) this.wake();
  }

  close(): void {
    if (!this.closed) this.reader.close();
    this.closed = true;
    this.over = true;
    this.endTold = true;
    this.pending = false;
    this.alarm.clear();
    this.inner?.close();
  }

  private largest(): number {
    const { medium, mtu } = this.own;
    return medium === "ip" ? mtu : mtu + ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH;
  }

  private wake(): void {
    if (!this.waiting || this.readable === null) return;
    this.waiting = false;
    this.readable();
  }

  private waitFor(timeoutMs: number): boolean {
    if (this.isDue) return true;
    const limit = Math.min(timeoutMs, this.nextAt - this.alarm.now());
    if (this.inner === null) sleep(limit);
    else if (this.inner.wait!(limit)) return true;
    return this.isDue;
  }

  /** There is something to receive, or to look for. */
  private get isDue(): boolean {
    if (!this.pending) return !this.over;
    return Number.isNaN(this.startedAt) || this.alarm.now() >= this.dueAt;
  }

  /** The capture's first packet is due when frames are asked for the first time. */
  private start(): void {
    this.startedAt = this.alarm.now();
    this.setDue();
  }

  private setDue(): void {
    if (!this.pending) return;
    if (Number.isNaN(this.firstTime)) this.firstTime = this.reader.time;
    if (Number.isNaN(this.startedAt)) return;
    // Infinitely fast, everything is due at once; what was captured out of order stays in the order it is in.
    const after =
      this.speed === Number.POSITIVE_INFINITY ? 0 : (this.reader.time - this.firstTime) / this.speed;
    this.dueAt = Math.max(this.dueAt, this.startedAt + after);
  }

  private deliver(frame: Frame): true {
    const made = this.converter.frame;
    frame.bytes = made.bytes;
    frame.offset = made.offset;
    frame.length = made.length;
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    this.pending = false;
    this.replayed.delivered++;
    return true;
  }

  /** As {@link seek}, when the program runs already: an error is told, and ends the capture. */
  private look(): void {
    try {
      if (!this.over) this.seek();
    } catch (error) {
      this.over = true;
      const told = error instanceof Error ? error : new Error(String(error));
      const { onError = (problem: Error) => process.emitWarning(problem) } = this.options;
      queueMicrotask(() => onError(told));
    }
    if (!this.ended) return;
    this.endTold = true;
    const { onEnd } = this.options;
    if (onEnd !== undefined) queueMicrotask(() => onEnd(this.replayed));
  }

  /** Goes to the next packet that becomes a frame. */
  private seek(): void {
    const { reader, replayed } = this;
    for (let looked = 0; looked < LOOKED_AT; looked++) {
      if (!reader.next()) {
        this.over = true;
        return;
      }
      replayed.read++;
      if (this.isWrongWay()) {
        replayed.filtered++;
        continue;
      }
      const outcome = this.converter.convert(reader);
      if (outcome !== "frame") {
        replayed[outcome]++;
        continue;
      }
      if (!this.isForDestination()) {
        replayed.filtered++;
        continue;
      }
      this.pending = true;
      this.setDue();
      return;
    }
  }

  private isWrongWay(): boolean {
    const { direction = "both" } = this.options;
    if (direction === "both") return false;
    return directionOf(this.reader) === (direction === "receive" ? OUTBOUND : INBOUND);
  }

  private isForDestination(): boolean {
    const { destinations } = this;
    if (destinations.length === 0) return true;
    const { bytes, offset, length } = this.converter.frame;
    const isEthernet = this.capabilities.medium === "ethernet";
    if (isEthernet && length >= ETHERNET_HEADER_LENGTH + 28 && read16(bytes, offset + 12) === ETHERTYPE_ARP) {
      const target = read32(bytes, offset + ETHERNET_HEADER_LENGTH + 24);
      return destinations.some((address) => address.family === 4 && address.w3 === target);
    }
    const at = findIp(bytes, offset, length, isEthernet);
    return at >= 0 && destinations.some((address) => isDestination(bytes, at, offset + length, address));
  }
}

function isDestination(bytes: Uint8Array, at: number, end: number, address: IpAddress): boolean {
  if (bytes[at] >>> 4 !== address.family) return false;
  if (address.family === 4) return end - at >= 20 && read32(bytes, at + 16) === address.w3;
  return (
    end - at >= 40 &&
    read32(bytes, at + 24) === address.w0 &&
    read32(bytes, at + 28) === address.w1 &&
    read32(bytes, at + 32) === address.w2 &&
    read32(bytes, at + 36) === address.w3
  );
}

/**
 * A device that feeds a capture to the stack: its packets are received in the times between them, or faster.
 *
 * What the stack sends goes to `device`, and what that receives is received besides the capture. Without a device it
 * is counted, and gone. pcap (micro- and nanoseconds) and pcapng files of either byte order are read, in pieces. On an
 * IP device, Ethernet and "cooked" headers are taken off; the other way, `link` has the addresses to put there.
 *
 * @param device the device to wrap, or `null`; closing the wrapper closes it
 * @param source the capture: the name of a file, its bytes, or where to read them
 * @throws StackError `ENOENT` or `EACCES` where the file can't be read; `EINVAL` where it is no capture, or starts
 *   with packets that can't become frames, or where an option is out of its range
 *
 * @example
 * ```ts
 * const device = replay(null, "test/fixtures/ping.pcap", { speed: Infinity, destination: "10.0.0.1" });
 * const frame = new Frame(new Uint8Array(0));
 * let bytes = 0;
 * while (device.receive(frame)) bytes += frame.length;
 * bytes; // 252; three answers of 84
 * device.replayed.filtered; // 3; the requests, which are for another
 * ```
 */
export function replay(
  device: Device | null,
  source: string | Uint8Array | ByteSource,
  options: ReplayOptions = {},
): ReplayDevice {
  const { speed = 1, medium = "ip", mtu = DEFAULT_MTU } = options;
  if (!(speed > 0)) {
    throw new StackError(
      "EINVAL",
      `speed is ${speed}; give a number above 0, where 1 is as it was captured.`,
    );
  }
  if (!Number.isInteger(mtu) || mtu < 68 || mtu > 65_535) {
    throw new StackError("EINVAL", `mtu is ${mtu}; give a whole number from 68 to 65535.`);
  }
  const own: Capabilities = {
    medium,
    mtu,
    checksumOffload: false,
    maxSuperSegment: 0,
    ...(medium === "ethernet"
      ? { hardwareAddress: parseHardwareAddress(options.hardwareAddress ?? DEFAULT_HARDWARE_ADDRESS) }
      : {}),
  };
  const name = typeof source === "string" ? source : "in memory";
  const target = device?.capabilities ?? own;
  const converter = new FrameConverter(name, target, options.link, options.completeChecksums ?? false);
  const reader = new CaptureReader(sourceOf(source), name);
  try {
    return new Replay(device, own, reader, converter, options);
  } catch (error) {
    reader.close();
    throw error;
  }
}

function sourceOf(source: string | Uint8Array | ByteSource): ByteSource {
  if (typeof source === "string") return fileSource(source);
  return source instanceof Uint8Array ? bytesSource(source) : source;
}
