import type { Capabilities, Device, DeviceEvent, Frame } from "../src/device.ts";
import { descriptorsOf, wakeAtOf } from "./wait.ts";

/** Sees the frames that pass. Its methods are called in the way of each frame. */
export interface Observer {
  /** A frame that is about to be handed to the stack; only valid during the call. */
  received(frame: Frame): void;
  /** A frame that is about to be sent: afterwards the other end may have written over it. */
  sending(frame: Frame): void;
  /** What has befallen the device, before the stack is told; only where the stack has asked to be. */
  event?(event: DeviceEvent): void;
  /** The device is about to be closed. */
  closing(): void;
}

class Observed implements Device {
  readonly wait?: (timeoutMs: number) => boolean;
  readonly onEvent?: (callback: (event: DeviceEvent) => void) => void;
  readonly setRef?: (ref: boolean) => void;
  private readonly inner: Device;
  private readonly observer: Observer;

  constructor(inner: Device, observer: Observer) {
    this.inner = inner;
    this.observer = observer;
    if (inner.wait !== undefined) this.wait = (timeoutMs) => inner.wait!(timeoutMs);
    if (inner.setRef !== undefined) this.setRef = (ref) => inner.setRef!(ref);
    if (inner.onEvent !== undefined) {
      this.onEvent = (callback) => {
        inner.onEvent!((event) => {
          observer.event?.(event);
          callback(event);
        });
      };
    }
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
    if (!this.inner.receive(frame)) return false;
    this.observer.received(frame);
    return true;
  }

  transmit(length: number): Frame | null {
    return this.inner.transmit(length);
  }

  commit(frame: Frame): void {
    this.observer.sending(frame);
    this.inner.commit(frame);
  }

  onReadable(callback: () => void): void {
    this.inner.onReadable(callback);
  }

  onWritable(callback: () => void): void {
    this.inner.onWritable(callback);
  }

  close(): void {
    try {
      this.observer.closing();
    } finally {
      this.inner.close();
    }
  }
}

/** A device that shows `observer` every frame that `device` carries, in both directions, and otherwise is the same. */
export function observe(device: Device, observer: Observer): Device {
  return new Observed(device, observer);
}
