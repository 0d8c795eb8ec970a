import type { Device, DeviceEvent } from "../device.ts";
import { StackError } from "../errors.ts";
import type { Interface } from "../iface/interface.ts";
import { quiet } from "./pending.ts";
import type { Pump } from "./pump.ts";
import { callLater } from "./runtime.ts";

/** Is told what befalls a device of the host. */
export type OnDeviceEvent = (event: DeviceEvent, device: Device) => void;

/** One interface of a host: what befalls its device goes to the stack, and then to the program. */
export class Attachment {
  readonly iface: Interface;
  private readonly pump: Pump;
  private readonly tell: OnDeviceEvent;
  private readonly opening = Promise.withResolvers<void>();

  constructor(iface: Interface, pump: Pump, tell: OnDeviceEvent) {
    this.iface = iface;
    this.pump = pump;
    this.tell = tell;
    quiet(this.opening.promise);
    iface.onStateChange = () => this.checkState();
    iface.onConflict = (error) => this.report({ type: "error", error });
    iface.device.onEvent?.((event) => this.onEvent(event));
    pump.watch(iface.device);
    this.checkState();
  }

  /** Resolves when the addresses may be used; rejects when another station has one of them. */
  get ready(): Promise<void> {
    return this.opening.promise;
  }

  private checkState(): void {
    const { state, conflict } = this.iface;
    if (state === "probing") return;
    this.pump.runtime.programIsDue();
    if (state === "ready") this.opening.resolve();
    else this.opening.reject(conflict);
  }

  private onEvent(event: DeviceEvent): void {
    this.apply(event);
    this.pump.wake();
    this.report(event);
  }

  private apply(event: DeviceEvent): void {
    switch (event.type) {
      case "up":
        this.iface.setLink(true);
        return;
      case "down":
      case "removed":
        this.iface.setLink(false);
        return;
      case "mtu":
        this.setMtu(event.mtu);
    }
  }

  private setMtu(mtu: number): void {
    try {
      this.iface.setMtu(mtu);
    } catch (error) {
      if (!(error instanceof StackError)) throw error;
      this.report({ type: "error", error });
    }
  }

  /** In a later turn of the event loop, as this may run within a poll. */
  private report(event: DeviceEvent): void {
    callLater(this.pump.runtime, () => this.tell(event, this.iface.device));
  }
}
