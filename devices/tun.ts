import { openTunTap, type TunTapCounts, type TunTapDevice, type TunTapOptions } from "./linux/tun-tap.ts";

/** How the interface is to be; everything is optional. */
export type TunOptions = TunTapOptions;

/** How many frames passed, and how many did not. */
export type TunCounts = TunTapCounts;

/** A TUN interface of Linux: what the kernel routes there is received, and what is transmitted the kernel receives. */
export type TunDevice = TunTapDevice;

/**
 * Opens a TUN interface, sets it up and brings it up. It disappears at `close()` and at the end of the process, unless
 * it was made persistent before (`ip tuntap add dev tun7 mode tun user somebody`); such a one its owner may open
 * without privileges, if it is set up already the way that is asked for.
 *
 * @param options see {@link TunOptions}
 * @throws StackError with the reason and what to do about it: `ENOENT` or `ENODEV` (no TUN driver), `EPERM` or
 *   `EACCES` (no privileges), `EBUSY` (another program has the interface), `EINVAL` (a bad option), `ENOTSUP` (not Linux)
 *
 * @example
 * ```ts
 * const device = openTun({ hostAddress: "192.168.69.100/24" });
 * console.log(device.name); // tun0
 * ```
 */
export function openTun(options: TunOptions = {}): TunDevice {
  return openTunTap("tun", options, undefined);
}
