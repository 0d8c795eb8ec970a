import type { Device, Frame } from "../src/device.ts";
import { formatPacket } from "../src/wire/print.ts";
import { type Observer, observe } from "./observe.ts";

export interface TraceOptions {
  /** Milliseconds, with fractions, from any origin. Where it is given, a line starts with the seconds since the first. */
  readonly clock?: () => number;
}

const ETHERNET_HEADER = 14;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;

/** "In " and "Out" are what tcpdump prints for a capture on several interfaces. */
type Direction = "In " | "Out";

class Printer implements Observer {
  private readonly print: (line: string) => void;
  private readonly clock: (() => number) | null;
  private readonly hasLinkHeader: boolean;
  private firstAt = Number.NaN;

  constructor(print: (line: string) => void, hasLinkHeader: boolean, options: TraceOptions) {
    this.print = print;
    this.hasLinkHeader = hasLinkHeader;
    this.clock = options.clock ?? null;
  }

  received(frame: Frame): void {
    this.line("In ", frame);
  }

  sending(frame: Frame): void {
    this.line("Out", frame);
  }

  closing(): void {}

  private line(direction: Direction, frame: Frame): void {
    const packet = this.hasLinkHeader
      ? formatEthernet(frame.bytes, frame.offset, frame.length)
      : formatPacket(frame.bytes, frame.offset, frame.length);
    this.print(`${this.time()}${direction} ${packet}`);
  }

  private time(): string {
    if (this.clock === null) return "";
    const now = this.clock();
    if (Number.isNaN(this.firstAt)) this.firstAt = now;
    return `${((now - this.firstAt) / 1000).toFixed(6).padStart(10)} `;
  }
}

function formatEthernet(bytes: Uint8Array, offset: number, length: number): string {
  if (length < ETHERNET_HEADER) return `Ethernet, truncated, length ${length}`;
  const type = (bytes[offset + 12] << 8) | bytes[offset + 13];
  if (type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6) {
    return formatPacket(bytes, offset + ETHERNET_HEADER, length - ETHERNET_HEADER);
  }
  return `ethertype 0x${type.toString(16).padStart(4, "0")}, length ${length}`;
}

/**
 * A device that prints a line for every frame that `device` carries, as tcpdump would.
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
