/** The bare calls: a device whose other end is a program that hands packets in and takes them out. */

import { type Capabilities, type Device, type DeviceEvent, Frame, type Medium } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { systemRandom } from "../src/random.ts";

import { ETHERNET_HEADER_LENGTH, localHardwareAddress, parseHardwareAddress } from "../src/wire/ethernet.ts";
import { copyBytes } from "./copy.ts";
import { memoryPair } from "./memory.ts";

/** What can be chosen about a packet device. */
export interface PacketDeviceOptions {
  /** What the packets start with: an IP header (`"ip"`, unless told) or an Ethernet header. */
  readonly medium?: Medium;
  /** Largest IP packet in bytes, 68 .. 65,535; 1,500 unless told. */
  readonly mtu?: number;
  /** Packets that wait in each direction, 1 .. 65,536; 256 unless told. */
  readonly queueLength?: number;
  /** Ethernet only: the stack's address on it; one of those that nobody is given, chosen at random, unless told. */
  readonly hardwareAddress?: string;
}

/** How many packets passed, and what became of the others. */
export interface PacketCounts {
  /** Packets that `push` took for the stack. */
  readonly pushed: number;
  /** Packets of the stack that were taken out. */
  readonly taken: number;
  /** Times that `push` returned `false`: the packet was lost unless it was pushed again. */
  readonly refused: number;
  /** Packets that are larger than the MTU allows, dropped. */
  readonly tooLarge: number;
  /** Packets that end before their header does, dropped. */
  readonly tooSmall: number;
}

/** A device over any source of packets; see {@link packetDevice}. */
export interface PacketDevice extends Device {
  readonly counts: PacketCounts;

  /**
   * Hands one packet in, which is copied. Returns `false` when the queue is full: then push it again after `onRoom` has
   * called back, or let it be lost. A packet that is too small or too large is dropped and counted, and nothing is wrong
   * with the next one: that is `true`.
   *
   * @param offset, length where the packet is, if it is not all of `bytes`
   */
  push(bytes: Uint8Array, offset?: number, length?: number): boolean;

  /** The oldest packet that the stack has sent, in an array of its own, or `null`. */
  take(): Uint8Array<ArrayBuffer> | null;

  /**
   * Moves the oldest packet that the stack has sent into `target` at `offset`, without allocating; returns its length, or
   * 0 when there is none.
   *
   * @throws StackError EMSGSIZE where `target` has less room than the largest packet may need (see `largest`)
   */
  takeInto(target: Uint8Array, offset?: number): number;

  /** Bytes of the largest packet that may be taken out or pushed, a link header included. */
  readonly largest: number;

  /**
   * Registers the one callback for "there may be a packet to take". It is called some time after `take` or `takeInto`
   * found none, and not again before they find none again.
   */
  onPacket(callback: () => void): void;

  /** Registers the one callback for "there may be room", called after `push` returned `false`. */
  onRoom(callback: () => void): void;

  /**
   * Tells the stack what has befallen the source: that it is down, or that its MTU has changed.
   *
   * @throws StackError EINVAL for an MTU above the one that the device was made with, or below 68
   */
  report(event: DeviceEvent): void;
}

const SMALLEST_MTU = 68;
/** Nothing shorter than an IPv4 header is a packet. */
const SMALLEST_IP_PACKET = 20;
/** Events that wait for somebody to register a callback. */
const MOST_EVENTS = 16;

class Counts implements PacketCounts {
  pushed = 0;
  taken = 0;
  refused = 0;
  tooLarge = 0;
  tooSmall = 0;
}

class MemoryPacketDevice implements PacketDevice {
  readonly counts = new Counts();
  readonly largest: number;
  private current: Capabilities;
  private readonly smallest: number;
  /** What the stack has. */
  private readonly inside: Device;
  /** What `push` and `take` use. */
  private readonly outside: Device;
  private readonly outgoing = new Frame(new Uint8Array(0));
  private readonly events: DeviceEvent[] = [];
  private onEventCallback: ((event: DeviceEvent) => void) | null = null;

  constructor(inside: Device, outside: Device) {
    this.inside = inside;
    this.outside = outside;
    this.current = inside.capabilities;
    const header = this.current.medium === "ethernet" ? ETHERNET_HEADER_LENGTH : 0;
    // An 802.1Q tag comes on top of the MTU.
    this.largest = this.current.mtu + (header > 0 ? header + 4 : 0);
    this.smallest = header > 0 ? header : SMALLEST_IP_PACKET;
  }

  get capabilities(): Capabilities {
    return this.current;
  }

  push(bytes: Uint8Array, offset = 0, length = bytes.length - offset): boolean {
    if (length < this.smallest) {
      this.counts.tooSmall++;
      return true;
    }
    if (length > this.largest) {
      this.counts.tooLarge++;
      return true;
    }
    const frame = this.outside.transmit(length);
    if (frame === null) {
      this.counts.refused++;
      return false;
    }
    copyBytes(bytes, offset, frame.bytes, frame.offset, length);
    this.outside.commit(frame);
    this.counts.pushed++;
    return true;
  }

  take(): Uint8Array<ArrayBuffer> | null {
    const { outgoing } = this;
    if (!this.outside.receive(outgoing)) return null;
    this.counts.taken++;
    const packet = new Uint8Array(outgoing.length);
    copyBytes(outgoing.bytes, outgoing.offset, packet, 0, outgoing.length);
    return packet;
  }

  takeInto(target: Uint8Array, offset = 0): number {
    if (target.length - offset < this.largest) {
      throw new StackError(
        "EMSGSIZE",
        `there is room for ${target.length - offset} bytes; a packet may have ${this.largest}`,
      );
    }
    const { outgoing } = this;
    if (!this.outside.receive(outgoing)) return 0;
    this.counts.taken++;
    copyBytes(outgoing.bytes, outgoing.offset, target, offset, outgoing.length);
    return outgoing.length;
  }

  onPacket(callback: () => void): void {
    this.outside.onReadable(callback);
  }

  onRoom(callback: () => void): void {
    this.outside.onWritable(callback);
  }

  report(event: DeviceEvent): void {
    if (event.type === "mtu") {
      const most = this.inside.capabilities.mtu;
      if (!Number.isInteger(event.mtu) || event.mtu < SMALLEST_MTU || event.mtu > most) {
        throw new StackError(
          "EINVAL",
          `mtu is ${event.mtu}; give a whole number from ${SMALLEST_MTU} to ${most}, which the device was made with`,
        );
      }
      this.current = Object.freeze({ ...this.current, mtu: event.mtu });
    }
    if (this.events.length === MOST_EVENTS) this.events.shift();
    this.events.push(event);
    queueMicrotask(() => this.deliverEvents());
  }

  private deliverEvents(): void {
    const callback = this.onEventCallback;
    if (callback === null) return;
    for (let event = this.events.shift(); event !== undefined; event = this.events.shift()) callback(event);
  }

  receive(frame: Frame): boolean {
    return this.inside.receive(frame);
  }

  transmit(length: number): Frame | null {
    return this.inside.transmit(length);
  }

  commit(frame: Frame): void {
    this.inside.commit(frame);
  }

  onReadable(callback: () => void): void {
    this.inside.onReadable(callback);
  }

  onWritable(callback: () => void): void {
    this.inside.onWritable(callback);
  }

  onEvent(callback: (event: DeviceEvent) => void): void {
    this.onEventCallback = callback;
    if (this.events.length > 0) queueMicrotask(() => this.deliverEvents());
  }

  close(): void {
    this.onEventCallback = null;
    this.inside.close();
  }
}

/**
 * A device whose frames a program hands in and takes out, one by one: for a VPN's decrypted packets, a tunnel of one's
 * own, a test. No privileges, no system calls; its memory is allocated here, and nothing for a packet. It works with
 * `open` and with a `Stack` alone.
 *
 * @throws StackError EINVAL where an option is out of its range
 *
 * @example
 * ```ts
 * const device = packetDevice({ mtu: 1_420 });
 * const host = await open({ device, addresses: ["10.0.0.2/24"] });
 * const reply = Promise.withResolvers<void>();
 * device.onPacket(reply.resolve);
 * device.take(); // null
 * device.push(echoRequest);
 * await reply.promise;
 * device.take()?.length; // 36
 * device.push(new Uint8Array(1_421)); // true
 * device.counts.tooLarge; // 1
 * await host.close();
 * ```
 */
export function packetDevice(options: PacketDeviceOptions = {}): PacketDevice {
  const { medium, mtu, queueLength, hardwareAddress } = options;
  if (hardwareAddress !== undefined && medium !== "ethernet") {
    throw new StackError("EINVAL", 'hardwareAddress is for medium: "ethernet" only');
  }
  const random = systemRandom();
  const ours =
    hardwareAddress === undefined
      ? localHardwareAddress(random.next(), random.next())
      : parseHardwareAddress(hardwareAddress);
  const [inside, outside] = memoryPair({
    ...(medium === undefined ? {} : { medium }),
    ...(mtu === undefined ? {} : { mtu }),
    ...(queueLength === undefined ? {} : { queueLength }),
    hardwareAddresses: [ours, ours],
  });
  return new MemoryPacketDevice(inside, outside);
}
