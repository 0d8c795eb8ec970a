/** A worker's part of a device that several share: each has a queue of its own, and hands over what is for others. */

import type { Capabilities, Device, DeviceEvent, Frame } from "../src/device.ts";
import type { WorkerPlace } from "../src/wire/worker-share.ts";
import { HandOver } from "./hand-over.ts";
import { type Libc, libc } from "./linux/libc.ts";
import { POLLIN, PollSet } from "./linux/poll.ts";
import { Readiness } from "./linux/readiness.ts";
import { ANYONE, EVERYONE, neighbourOwner, packetOwner } from "./packet-owner.ts";
import { descriptorsOf, type Pollable, wakeAtOf } from "./wait.ts";
import type { WorkerLine } from "./worker-share.ts";

/** So many frames for others in a row, and the stack is to do something else first. */
const MOST_AT_ONCE = 64;

export class WorkerDevice implements Device {
  readonly handOver: HandOver;
  readonly onEvent?: (callback: (event: DeviceEvent) => void) => void;
  private readonly c: Libc = libc();
  private readonly inner: Device & Pollable;
  private readonly line: WorkerLine;
  private readonly index: number;
  private readonly count: number;
  private readonly bell: number;
  private readonly rings: Readiness;
  private readonly pollSet = new PollSet();
  /** What an eventfd is read into and counted up by. */
  private readonly counter = new Uint8Array(8);
  private readonly one = new Uint8Array(new BigUint64Array([1n]).buffer);
  private readable: (() => void) | null = null;
  /** Others may have given something. */
  private rung = false;
  private closed = false;

  constructor(inner: Device, line: WorkerLine, { index, count }: WorkerPlace) {
    this.inner = inner;
    this.line = line;
    this.index = index;
    this.count = count;
    this.bell = line.bells[index];
    this.rings = new Readiness(this.bell);
    this.handOver = new HandOver(line.memory, index, count);
    if (inner.onEvent !== undefined) this.onEvent = (callback) => inner.onEvent?.(callback);
  }

  /** The group of packet sockets that the device is in; -1 for none. */
  get fanoutGroup(): number {
    return (this.inner as { fanoutGroup?: number }).fanoutGroup ?? -1;
  }

  get capabilities(): Capabilities {
    return this.inner.capabilities;
  }

  get descriptors(): readonly number[] | undefined {
    const own = descriptorsOf(this.inner);
    return own === undefined || this.closed ? own : [...own, this.bell];
  }

  get wakeAt(): number {
    return wakeAtOf(this.inner);
  }

  receive(frame: Frame): boolean {
    if (this.closed) return false;
    for (let passed = 0; passed < MOST_AT_ONCE; passed++) {
      if (!this.inner.receive(frame)) return this.takeGiven(frame);
      if (this.isOurs(frame)) return true;
    }
    // The device has said nothing of being empty, and will not call back.
    setImmediate(() => this.readable?.());
    return false;
  }

  /** Whether a frame is for us; gives it to whom it is for, too. */
  private isOurs(frame: Frame): boolean {
    const { bytes, offset, length } = frame;
    const owner = this.line.divided
      ? neighbourOwner(bytes, offset, length)
      : packetOwner(bytes, offset, length, this.inner.capabilities.medium, this.count);
    if (owner === ANYONE || owner === this.index) return true;
    if (owner === EVERYONE) {
      for (let to = 0; to < this.count; to++) if (to !== this.index) this.give(to, frame);
      return true;
    }
    this.give(owner, frame);
    return false;
  }

  private give(to: number, frame: Frame): void {
    if (this.handOver.give(to, frame)) this.c.write(this.line.bells[to], this.one, 8);
  }

  private takeGiven(frame: Frame): boolean {
    if (!this.rung) return false;
    if (this.handOver.take(frame)) return true;
    this.rung = false;
    this.rings.rest();
    return false;
  }

  /** The bell counts from nothing again; what was given before that is found. */
  private answer(): void {
    this.c.read(this.bell, this.counter, 8);
    this.rung = true;
  }

  transmit(length: number): Frame | null {
    return this.inner.transmit(length);
  }

  commit(frame: Frame): void {
    this.inner.commit(frame);
  }

  onReadable(callback: () => void): void {
    if (this.closed) return;
    this.readable = callback;
    this.inner.onReadable(callback);
    const isBackground = true;
    this.rings.watch(() => {
      this.answer();
      callback();
    }, isBackground);
  }

  onWritable(callback: () => void): void {
    this.inner.onWritable(callback);
  }

  setRef(ref: boolean): void {
    this.inner.setRef?.(ref);
  }

  wait(timeoutMs: number): boolean {
    if (this.closed) return false;
    if (this.look()) return true;
    this.pollSet.clear();
    this.pollSet.add(this.bell, POLLIN);
    for (const descriptor of descriptorsOf(this.inner) ?? []) this.pollSet.add(descriptor, POLLIN);
    this.pollSet.wait(Math.min(timeoutMs, this.wakeAt - performance.now()));
    const isGiven = this.pollSet.found(0) !== 0;
    if (isGiven) this.answer();
    return this.inner.wait?.(0) === true || isGiven;
  }

  private look(): boolean {
    if (!this.handOver.isWaiting) return false;
    this.answer();
    return true;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.readable = null;
    this.rings.close();
    this.inner.close();
  }
}
