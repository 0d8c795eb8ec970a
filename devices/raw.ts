import type { Device, DeviceEvent } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { formatHardwareAddress, sameHardwareAddress } from "../src/wire/ethernet.ts";
import type { Cidr, IpAddress } from "../src/wire/ip-address.ts";
import { LinkMonitor } from "./linux/link-monitor.ts";
import type { Link } from "./linux/netlink.ts";
import { checkNotKernels } from "./linux/packet-addresses.ts";
import { type Fanout, mediumProblem, type RawCounts, RawInterface } from "./linux/raw-interface.ts";
import { randomStationAddress, stationAddress } from "./linux/station-address.ts";
import { interfaceNameProblem } from "./linux/tun-ioctl.ts";

export { checkNotKernels, type Fanout, type RawCounts };

export interface RawOptions {
  /** The interface, which has to exist and to be up: the end of a veth pair, a macvlan, a network card. */
  readonly name: string;
  /**
   * The stack's own hardware address. A random one that is locally administered unless told; `"interface"` for the one
   * that the interface has. That is all that a macvlan delivers, and what it is given unless told.
   */
  readonly hardwareAddress?: string | Uint8Array;
  /** Whether frames to IPv4 and IPv6 groups are received, besides those to the stack and to everyone; not unless told. */
  readonly multicast?: boolean;
  /** Whether every frame that comes in is received, whomever it is for: for a bridge, or to listen. Not unless told. */
  readonly promiscuous?: boolean;
  /**
   * Addresses that the stack will have. Opening fails where the kernel has one of them itself, since it would reset the
   * stack's connections.
   */
  readonly addresses?: readonly (string | Cidr | IpAddress)[];
  /** Super-segments are cut and checksums completed by the kernel or by the network card; `true` unless told. */
  readonly offload?: boolean;
  /**
   * Frames through rings in shared memory instead of system calls. Unless told, whatever is faster: `false` with offload,
   * `true` without.
   */
  readonly ring?: boolean;
  /** Frames go to the driver without the interface's queue, and are lost where that is busy; `false` unless told. */
  readonly bypassQueue?: boolean;
  /** Bytes that may wait in the kernel, each way, 4,096 or more; 4 MiB unless told. */
  readonly bufferSize?: number;
  /** Frames are divided among several such devices on the interface; this one gets all unless told. See `startWorkers`. */
  readonly fanout?: Fanout;
}

/** An interface of Linux, shared with the kernel: frames to the stack's hardware address are received. */
export interface RawDevice extends Device {
  /** The interface's name; it follows a renaming. */
  readonly name: string;
  readonly counts: RawCounts;
  /** The group of sockets that it shares frames with; -1 for none. */
  readonly fanoutGroup: number;
  /** What poll(2) is to wait for; see `waitForAny`. */
  readonly descriptors: readonly number[];
  wait(timeoutMs: number): boolean;
  onEvent(callback: (event: DeviceEvent) => void): void;
}

const BUFFER_SIZE = 4 << 20;

/**
 * Opens an interface that exists, as a second station on its wire: the stack gets a hardware address of its own there,
 * and the interface is set to hear it (promiscuous mode, for as long as the device is open). The kernel keeps using the
 * interface as before, and nothing on it is changed. Frames of the kernel to the wire are not received: to talk to the
 * kernel of the same machine, take the other end of a veth pair, or a TAP interface.
 *
 * @param options see {@link RawOptions}
 * @throws StackError with the reason and what to do about it: `EPERM` (no privileges), `ENODEV` (no such interface),
 *   `ENETDOWN` (it is down), `ENOTSUP` (it has no Ethernet headers, or this is not Linux), `EADDRINUSE` (the kernel has
 *   one of the addresses), `EINVAL` (a bad option)
 *
 * @example
 * ```ts
 * const device = openRaw({ name: "veth1", addresses: ["192.168.69.1/24"] });
 * console.log(device.name); // veth1
 * ```
 */
export function openRaw(options: RawOptions): RawDevice {
  const { name } = options;
  const problem = interfaceNameProblem(name);
  if (problem !== null) {
    throw new StackError(
      "EINVAL",
      `The interface name "${name}" ${problem}; give the name of one that "ip link" shows.`,
    );
  }
  const bufferSize = options.bufferSize ?? BUFFER_SIZE;
  if (!Number.isInteger(bufferSize) || bufferSize < 4096 || bufferSize > 1 << 30) {
    throw new StackError("EINVAL", `bufferSize is ${bufferSize}; give a whole number from 4,096 to 2^30.`);
  }
  const given = options.hardwareAddress;
  const wanted = given === undefined || given === "interface" ? given : stationAddress(given);
  if (options.addresses !== undefined) checkNotKernels(options.addresses);

  const offload = options.offload !== false;
  const monitor = new LinkMonitor();
  try {
    const link = existingLink(monitor, name);
    monitor.follow(link);
    return new RawInterface(monitor, link, {
      hardwareAddress: hardwareAddressOn(link, wanted),
      multicast: options.multicast === true,
      promiscuous: options.promiscuous === true,
      offload,
      ring: options.ring ?? !offload,
      bypassQueue: options.bypassQueue === true,
      bufferSize,
      fanout: options.fanout ?? null,
    });
  } catch (error) {
    monitor.close();
    throw error;
  }
}

function existingLink(monitor: LinkMonitor, name: string): Link {
  const link = monitor.routes.link(name);
  if (link === null) {
    const names = monitor.routes.links().map((each) => each.name);
    throw new StackError(
      "ENODEV",
      `There is no interface ${name}; there are ${names.join(", ")}. Make it first, for example with "ip link add ${name} type veth peer name ${peerName(name)}".`,
    );
  }
  const problem = mediumProblem(link);
  if (problem !== null) throw problem;
  if (!link.up) {
    throw new StackError("ENETDOWN", `${name} is down: bring it up with "ip link set ${name} up".`);
  }
  return link;
}

/** A name for the other end that is not too long. */
function peerName(name: string): string {
  return `${name.slice(0, 10)}-peer`;
}

/** What is wished for, as far as the interface delivers frames to it. */
function hardwareAddressOn(link: Link, wanted: Uint8Array | "interface" | undefined): Uint8Array {
  const own = link.hardwareAddress;
  if (wanted === "interface" || (wanted === undefined && link.kind === "macvlan")) return own;
  if (wanted === undefined) return randomStationAddress();
  if (link.kind === "macvlan" && !sameHardwareAddress(wanted, 0, own, 0)) {
    throw new StackError(
      "EINVAL",
      `A macvlan delivers frames to its own address only, and that of ${link.name} is ${formatHardwareAddress(own)}: leave hardwareAddress out, or set the address with "ip link set ${link.name} address ${formatHardwareAddress(wanted)}".`,
    );
  }
  return wanted;
}
