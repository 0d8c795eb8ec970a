import { StackError } from "../src/errors.ts";
import { systemRandom } from "../src/random.ts";
import {
  formatHardwareAddress,
  HARDWARE_ADDRESS_LENGTH,
  localHardwareAddress,
  parseHardwareAddress,
} from "../src/wire/ethernet.ts";
import { openTunTap, type TunTapCounts, type TunTapDevice, type TunTapOptions } from "./linux/tun-tap.ts";

/** How the interface is to be; everything is optional. */
export interface TapOptions extends TunTapOptions {
  /**
   * The hardware address of the stack's end, as text or as six bytes; a random one that is locally administered unless
   * told. The kernel's end has one of its own.
   */
  readonly hardwareAddress?: string | Uint8Array;
}

/** How many frames passed, and how many did not. */
export type TapCounts = TunTapCounts;

/** A TAP interface of Linux: an Ethernet cable with the kernel at the other end. */
export type TapDevice = TunTapDevice;

/**
 * Opens a TAP interface, sets it up and brings it up. It lives as long as that of `openTun` does.
 *
 * @param options see {@link TapOptions}
 * @throws StackError as `openTun` does, and `EINVAL` for what is no hardware address
 *
 * @example
 * ```ts
 * const device = openTap({ hostAddress: "192.168.69.100/24", hardwareAddress: "02:00:00:00:69:01" });
 * console.log(device.capabilities.medium); // ethernet
 * ```
 */
export function openTap(options: TapOptions = {}): TapDevice {
  return openTunTap("tap", options, hardwareAddressOf(options.hardwareAddress));
}

function hardwareAddressOf(given: string | Uint8Array | undefined): Uint8Array {
  if (given === undefined) {
    const random = systemRandom();
    return localHardwareAddress(random.next(), random.next());
  }
  if (typeof given !== "string" && given.length !== HARDWARE_ADDRESS_LENGTH) {
    throw new StackError("EINVAL", `hardwareAddress has ${given.length} bytes; give six of them, or text.`);
  }
  // The text's check is the address's check.
  return parseHardwareAddress(typeof given === "string" ? given : formatHardwareAddress(given));
}
