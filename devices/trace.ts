import type { Device, DeviceEvent, Frame } from "../src/device.ts";
import { formatPacket } from "../src/wire/print.ts";
import { formatEthernet } from "../src/wire/print-ethernet.ts";
import { type Observer, observe } from "./observe.ts";

export interface TraceOptions {
  /** Milliseconds, with fractions, from any origin. Where it is given, a line starts with the seconds since the first. */
  readonly clock?: () => number;
  /** Ethernet: lines show hardware addresses, EtherType and VLAN tags, as with tcpdump's `-e`. */
  readonly linkHeaders?: boolean;
}

/** "In " and "Out" are what tcpdump prints for a capture on several interfaces; "---" is no frame at all. */
type Direction = "In " | "Out" | "---";

class Printer implements Observer {
  private readonly print: (line: string) => void;
  private readonly clock: (() => number) | null;
  private readonly hasLinkHeader: boolean;
  private readonly linkHeaders: boolean;
  private firstAt = Number.NaN;

  constructor(print: (line: string) => void, hasLinkHeader: boolean, options: TraceOptions) {
    this.print = print;
    this.hasLinkHeader = hasLinkHeader;
    this.clock = options.clock ?? null;
    this.linkHeaders = options.linkHeaders ?? false;
  }

  received(frame: Frame): void {
    this.line("In ", this.format(frame));
  }

  sending(frame: Frame): void {
    this.line("Out", this.format(frame));
  }

  event(event: DeviceEvent): void {
    this.line("---", formatEvent(event));
  }

  closing(): void {}

  private format({ bytes, offset, length }: Frame): string {
    return this.hasLinkHeader
      ? formatEthernet(bytes, offset, length, this.linkHeaders)
      : formatPacket(bytes, offset, length);
  }

  private line(direction: Direction, text: string): void {
    this.print(`${this.time()}${direction} ${text}`);
  }

  private time(): string {
    if (this.clock === null) return "";
    const now = this.clock();
    if (Number.isNaN(this.firstAt)) this.firstAt = now;
    return `${((now - this.firstAt) / 1000).toFixed(6).padStart(10)} `;
  }
}

function formatEvent(event: DeviceEvent): string {
  if (event.type === "mtu") return `device: mtu ${event.mtu}`;
  return event.type === "error" ? `device: ${event.error.message}` : `device: ${event.type}`;
}

/**
 * A device that prints a line for every frame that `device` carries, as `tcpdump -n -S` would, and for what befalls
 * the device (its link goes down, its MTU changes) where the stack has asked to be told. A super-segment is one line.
 *
 * @param device the device to wrap; closing the wrapper closes it
 * @param print gets one line, without a line feed
 *
 * @example
 * ```ts
 * const device = trace(openTun(), console.log, { clock: () => performance.now() });
 * //   0.000000 In  IP 192.168.69.100 > 192.168.69.1: ICMP echo request, id 7, seq 1, length 64
 * ```
 */
export function trace(device: Device, print: (line: string) => void, options: TraceOptions = {}): Device {
  const hasLinkHeader = device.capabilities.medium === "ethernet";
  return observe(device, new Printer(print, hasLinkHeader, options));
}
