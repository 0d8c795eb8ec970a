/** Opening and setting up the kernel's end of a TUN or TAP device, at first and after the interface was made again. */

import type { Pointer } from "bun:ffi";
import { StackError } from "../../src/errors.ts";
import { type Cidr, formatCidr } from "../../src/wire/ip-address.ts";
import { EACCES, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, EPERM, errnoCode, errnoName } from "./errno.ts";
import { cString, libc } from "./libc.ts";
import type { Link, RouteSocket } from "./netlink.ts";
import {
  IFF_MULTI_QUEUE,
  IFF_NO_PI,
  IFF_TAP,
  IFF_TUN,
  IFF_VNET_HDR,
  interfaceName,
  packInterfaceRequest,
  TUN_F_CSUM,
  TUN_F_TSO_ECN,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_USO4,
  TUN_F_USO6,
  TUN_PATH,
  TUNGETFEATURES,
  TUNGETIFF,
  TUNSETIFF,
  TUNSETOFFLOAD,
  TUNSETVNETHDRSZ,
  TUNSETVNETLE,
} from "./tun-ioctl.ts";
import { VNET_HEADER_LENGTH } from "./vnet-header.ts";

/** What the driver calls the two kinds of interfaces. */
export type TunKind = "tun" | "tap";

/** How the kernel's end is to be. */
export interface KernelSettings {
  readonly multiQueue: boolean;
  readonly mtu: number;
  readonly queueLength: number | undefined;
  readonly address: Cidr | undefined;
}

const O_RDWR = 0x2;
const O_NONBLOCK = 0x800;
const O_CLOEXEC = 0x80000;

const TSO = TUN_F_TSO4 | TUN_F_TSO6;
const USO = TUN_F_USO4 | TUN_F_USO6;

/** From everything to nothing: the first that the kernel takes is it. UDP since Linux 6.2, the rest since 2.6.27. */
const OFFLOADS = [
  TUN_F_CSUM | TSO | TUN_F_TSO_ECN | USO,
  TUN_F_CSUM | TSO | TUN_F_TSO_ECN,
  TUN_F_CSUM | TSO,
  TUN_F_CSUM,
  0,
];

/** Whether those of `OFFLOADS` that were granted mean that the kernel computes checksums, and cuts TCP segments. */
export function completesChecksums(offload: number): boolean {
  return (offload & TUN_F_CSUM) !== 0;
}

export function cutsSegments(offload: number): boolean {
  return (offload & TSO) === TSO;
}

/**
 * A descriptor of the driver that is not attached to an interface yet. It belongs to the network namespace that the
 * thread is in, for good.
 */
export function openDriver(): number {
  const c = libc();
  const fd = c.open(cString(TUN_PATH), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0) return fd;
  const errno = c.errno();
  const code = errnoCode(errno);
  if (errno === ENOENT || errno === ENODEV) {
    throw new StackError(
      code,
      `There is no ${TUN_PATH}: load the driver with "modprobe tun", or start the container with --device ${TUN_PATH}.`,
    );
  }
  if (errno === EPERM || errno === EACCES) {
    throw new StackError(
      code,
      `${TUN_PATH} may not be opened: run as root or grant CAP_NET_ADMIN, or use the memory device, which needs no privileges.`,
    );
  }
  throw new StackError(code, `${TUN_PATH} could not be opened (${errnoName(errno)}).`);
}

/** Whether the driver can put a virtio-net header in front of frames. */
export function hasVnetHeaders(fd: number): boolean {
  const features = new Uint32Array(1);
  return libc().ioctl(fd, TUNGETFEATURES, features) >= 0 && (features[0] & IFF_VNET_HDR) !== 0;
}

/**
 * Attaches the descriptor to the interface `name`, which is made where it does not exist (for an empty name, with one
 * that the kernel chooses). Returns the error number, 0 for success, and the name.
 */
export function attach(
  fd: number,
  kind: TunKind,
  name: string,
  vnet: boolean,
  multiQueue: boolean,
): { errno: number; name: string } {
  const c = libc();
  const flags =
    (kind === "tun" ? IFF_TUN : IFF_TAP) |
    IFF_NO_PI |
    (vnet ? IFF_VNET_HDR : 0) |
    (multiQueue ? IFF_MULTI_QUEUE : 0);
  const request = packInterfaceRequest(name, flags);
  if (c.ioctl(fd, TUNSETIFF, request) < 0) return { errno: c.errno(), name };
  return { errno: 0, name: interfaceName(request) };
}

/** Whether the descriptor is attached to an interface, wherever that is. */
export function isAttached(fd: number): boolean {
  return libc().ioctl(fd, TUNGETIFF, packInterfaceRequest("", 0)) >= 0;
}

/**
 * Agrees with the kernel on what it may leave to us, and returns that. A persistent interface remembers what was agreed
 * on with the program before, so nothing is taken for granted.
 */
export function agreeOnOffload(fd: number, vnet: boolean): number {
  const c = libc();
  if (vnet) {
    c.ioctl(fd, TUNSETVNETHDRSZ, new Int32Array([VNET_HEADER_LENGTH]));
    c.ioctl(fd, TUNSETVNETLE, new Int32Array([1]));
  }
  for (const offload of vnet ? OFFLOADS : [0]) {
    if (c.ioctl(fd, TUNSETOFFLOAD, offload as Pointer) >= 0) return offload;
  }
  return 0;
}

/** What the kernel gives a TUN and a TAP interface: another length was somebody's choice. */
const KERNELS_QUEUE_LENGTHS = [500, 1000];
/**
 * Unless told: so many flows may have a packet or some of them on the way to us at a time. In a shorter queue a thousand of
 * them leave each other less than a segment, and wait for their retransmission timers most of the time.
 */
const QUEUE_LENGTH = 8192;

/** Changes only what differs, so that an interface that was prepared by an administrator needs no privileges. */
export function configure(routes: RouteSocket, link: Link, wanted: KernelSettings): void {
  const { index, name } = link;
  const { mtu, queueLength, address } = wanted;
  if (link.mtu !== mtu) {
    check(routes.change(index, { mtu }), name, `set the MTU to ${mtu} (it is ${link.mtu})`);
  }
  if (queueLength !== undefined && link.queueLength !== queueLength) {
    check(routes.change(index, { queueLength }), name, `set the queue length to ${queueLength}`);
  }
  if (queueLength === undefined && KERNELS_QUEUE_LENGTHS.includes(link.queueLength)) {
    // Who may not do that, has the kernel's.
    routes.change(index, { queueLength: QUEUE_LENGTH });
  }
  if (address !== undefined && !routes.hasAddress(index, address)) {
    const errno = routes.addAddress(index, address);
    if (errno !== EEXIST) check(errno, name, `add the address ${formatCidr(address)}`);
  }
  if (!link.up) check(routes.change(index, { up: true }), name, "bring it up");
}

function check(errno: number, name: string, action: string): void {
  if (errno === 0) return;
  const advice =
    errno === EPERM || errno === EACCES
      ? "Run as root or grant CAP_NET_ADMIN, or let an administrator set the interface up like that beforehand."
      : "Choose another value, or set the interface up with ip(8) and leave the option out.";
  throw new StackError(errnoCode(errno), `Could not ${action} on ${name} (${errnoName(errno)}). ${advice}`);
}

/** Why the interface could not be attached to. */
export function attachError(errno: number, kind: TunKind, name: string, multiQueue: boolean): StackError {
  const code = errnoCode(errno);
  const what = kind.toUpperCase();
  const which = name === "" ? `A ${what} interface` : `The ${what} interface ${name}`;
  if (errno === EBUSY) {
    return new StackError(code, `${which} is held by another program: end that, or choose another name.`);
  }
  if (errno === EPERM || errno === EACCES) {
    return new StackError(
      code,
      `${which} may not be opened: run as root or grant CAP_NET_ADMIN, or use the memory device, which needs no privileges.`,
    );
  }
  if (errno === EINVAL) {
    const queues = multiQueue
      ? `, or for one program only: choose another name, or make it with "ip tuntap add dev ${name} mode ${kind} multi_queue".`
      : ", or for several queues: choose another name.";
    return new StackError(code, `${which} exists, but as another kind of interface${queues}`);
  }
  return new StackError(code, `${which} could not be opened (${errnoName(errno)}).`);
}
