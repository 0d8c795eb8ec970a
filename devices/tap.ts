import { randomStationAddress, stationAddress } from "./linux/station-address.ts";
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
  const { hardwareAddress: given } = options;
  return openTunTap("tap", options, given === undefined ? randomStationAddress() : stationAddress(given));
}
