import { type Capabilities, type Device, Frame } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { type Cidr, formatCidr, parseCidr } from "../src/wire/ip-address.ts";
import {
  EACCES,
  EAGAIN,
  EBADFD,
  EBUSY,
  EEXIST,
  EINTR,
  EINVAL,
  ENODEV,
  ENOENT,
  EPERM,
  errnoCode,
  errnoName,
} from "./linux/errno.ts";
import { cString, type Libc, libc } from "./linux/libc.ts";
import { RouteSocket } from "./linux/netlink.ts";
import { Readiness } from "./linux/readiness.ts";
import {
  IFF_NO_PI,
  IFF_TUN,
  interfaceName,
  interfaceNameProblem,
  packInterfaceRequest,
  TUN_PATH,
  TUNSETIFF,
} from "./linux/tun-ioctl.ts";

export interface TunOptions {
  /** 1 .. 15 characters; `%d` in it becomes the first free number. `tun0`, `tun1`, ... unless told. */
  readonly name?: string;
  /** The address that the kernel gets on the interface, with its prefix: `"192.168.69.100/24"`. None unless told. */
  readonly hostAddress?: string | Cidr;
  /** Largest IP packet in bytes, 68 .. 65,535; 1,500 unless told. */
  readonly mtu?: number;
  /** Packets that the kernel keeps for us to read before it drops (`txqueuelen`); the kernel's 500 unless told. */
  readonly queueLength?: number;
}

/** How many frames passed, and how many did not. */
export interface TunCounts {
  readonly received: number;
  readonly transmitted: number;
  /** Frames that the kernel did not take: its queue was full, or the interface is down or gone. */
  readonly transmitErrors: number;
  readonly receiveErrors: number;
  /** The name of the error met last, such as `EIO` for an interface that is down; empty where there was none. */
  readonly lastError: string;
}

/** A TUN interface of Linux: what the kernel routes there is received, and what is transmitted the kernel receives. */
export interface TunDevice extends Device {
  readonly name: string;
  readonly counts: TunCounts;
  wait(timeoutMs: number): boolean;
}

const O_RDWR = 0x2;
const O_NONBLOCK = 0x800;
const O_CLOEXEC = 0x80000;

/**
 * Where frames begin in the buffers. A multiple of four, with room in front for the 10 or 12 bytes of a virtio-net
 * header: IFF_VNET_HDR would be one flag at TUNSETIFF, a read or write that starts that much earlier, and a decoded
 * header in `checksumOffloaded` and `segmentSize`.
 */
const FRAME_AT = 16;
/** Any IP packet: the interface's MTU may be raised by others while we have it open. */
const LARGEST_PACKET = 65535;

class Counts implements TunCounts {
  received = 0;
  transmitted = 0;
  transmitErrors = 0;
  receiveErrors = 0;
  lastErrno = 0;

  get lastError(): string {
    return this.lastErrno === 0 ? "" : errnoName(this.lastErrno);
  }
}

class Tun implements TunDevice {
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly counts = new Counts();
  private readonly c: Libc = libc();
  private readonly fd: number;
  private readonly readiness: Readiness;
  private readonly incoming: Uint8Array;
  private readonly outgoing: Frame;
  /** The parts of both that the system calls fill and read: a typed array passes its address along by itself. */
  private readonly incomingPacket: Uint8Array;
  private readonly outgoingPacket: Uint8Array;
  private lent = false;
  private closed = false;
  /** The interface was deleted; nothing will ever come again. */
  private gone = false;

  constructor(fd: number, name: string, mtu: number) {
    this.fd = fd;
    this.name = name;
    this.capabilities = Object.freeze({ medium: "ip", mtu, checksumOffload: false, maxSuperSegment: 0 });
    this.readiness = new Readiness(fd);
    this.incoming = new Uint8Array(new ArrayBuffer(FRAME_AT + LARGEST_PACKET + 1));
    this.incomingPacket = this.incoming.subarray(FRAME_AT);
    this.outgoing = new Frame(new Uint8Array(new ArrayBuffer(FRAME_AT + mtu)));
    this.outgoing.offset = FRAME_AT;
    this.outgoingPacket = this.outgoing.bytes.subarray(FRAME_AT);
  }

  receive(frame: Frame): boolean {
    if (this.closed || this.gone) return false;
    let length = this.c.read(this.fd, this.incomingPacket, LARGEST_PACKET);
    if (length <= 0) {
      if (!this.waits() || !this.readiness.watched) return false;
      // A frame that came after the read above and before the descriptor was armed sends no signal: look again.
      this.readiness.arm();
      length = this.c.read(this.fd, this.incomingPacket, LARGEST_PACKET);
      if (length <= 0) {
        this.waits();
        return false;
      }
      this.readiness.disarm();
    }
    this.counts.received++;
    frame.bytes = this.incoming;
    frame.offset = FRAME_AT;
    frame.length = length;
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    return true;
  }

  /** After a read that failed: whether another one may bring something. */
  private waits(): boolean {
    const errno = this.c.errno();
    if (errno === EAGAIN || errno === EINTR) return true;
    this.counts.receiveErrors++;
    this.counts.lastErrno = errno;
    if (errno === EBADFD) {
      this.gone = true;
      // Nothing is left to wait for, and so no reason to keep the process running.
      this.readiness.close();
    }
    return !this.gone;
  }

  transmit(length: number): Frame | null {
    if (length > this.capabilities.mtu) {
      throw new StackError(
        "EMSGSIZE",
        `A packet of ${length} bytes exceeds the MTU of ${this.name}, which is ${this.capabilities.mtu}.`,
      );
    }
    this.lent = true;
    const frame = this.outgoing;
    frame.length = length;
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    return frame;
  }

  commit(frame: Frame): void {
    if (!this.lent || this.closed) return;
    this.lent = false;
    if (this.c.write(this.fd, this.outgoingPacket, frame.length) >= 0) {
      this.counts.transmitted++;
      return;
    }
    // A network may lose a packet, and this one did: whoever sent it has a timer for that.
    this.counts.transmitErrors++;
    this.counts.lastErrno = this.c.errno();
  }

  onReadable(callback: () => void): void {
    if (this.closed || this.gone) return;
    this.readiness.watch(callback);
    // A program that waits before it has asked for the first frame is to be called, too. Frames that lie there
    // already send no signal, so it is called once for nothing or for them.
    this.readiness.arm();
    setImmediate(() => this.readiness.fireIfArmed());
  }

  /** Never needed: a write to a TUN interface takes the packet or loses it at once. */
  onWritable(_callback: () => void): void {}

  wait(timeoutMs: number): boolean {
    if (this.closed) return false;
    return this.readiness.poll(timeoutMs);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.readiness.close();
    this.c.close(this.fd);
  }
}

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
  const mtu = checkRange("mtu", options.mtu ?? 1500, 68, LARGEST_PACKET);
  const queueLength = options.queueLength;
  if (queueLength !== undefined) checkRange("queueLength", queueLength, 1, 1_000_000);
  const { hostAddress } = options;
  const address = typeof hostAddress === "string" ? parseCidr(hostAddress) : hostAddress;
  const wantedName = options.name ?? "";
  const problem = wantedName === "" ? null : interfaceNameProblem(wantedName);
  if (problem !== null) {
    throw new StackError(
      "EINVAL",
      `The interface name "${wantedName}" ${problem}; a name has 1 to 15 bytes, without spaces, "/" and ":".`,
    );
  }

  const c = libc();
  const fd = c.open(cString(TUN_PATH), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) throw openError(c.errno());
  try {
    const request = packInterfaceRequest(wantedName, IFF_TUN | IFF_NO_PI);
    if (c.ioctl(fd, TUNSETIFF, request) < 0) throw attachError(c.errno(), wantedName);
    const name = interfaceName(request);
    setUp(c.if_nametoindex(cString(name)), name, mtu, queueLength, address);
    return new Tun(fd, name, mtu);
  } catch (error) {
    c.close(fd);
    throw error;
  }
}

/** Changes only what differs, so that an interface that was prepared by an administrator needs no privileges. */
function setUp(
  index: number,
  name: string,
  mtu: number,
  queueLength: number | undefined,
  address: Cidr | undefined,
): void {
  const routes = new RouteSocket();
  try {
    const now = routes.settings(index);
    if (now.mtu !== mtu)
      check(routes.change(index, { mtu }), name, `set the MTU to ${mtu} (it is ${now.mtu})`);
    if (queueLength !== undefined && now.queueLength !== queueLength) {
      check(routes.change(index, { queueLength }), name, `set the queue length to ${queueLength}`);
    }
    if (address !== undefined && !routes.hasAddress(index, address)) {
      const errno = routes.addAddress(index, address);
      if (errno !== EEXIST) check(errno, name, `add the address ${formatCidr(address)}`);
    }
    if (!now.up) check(routes.change(index, { up: true }), name, "bring it up");
  } finally {
    routes.close();
  }
}

function check(errno: number, name: string, action: string): void {
  if (errno === 0) return;
  const advice =
    errno === EPERM || errno === EACCES
      ? "Run as root or grant CAP_NET_ADMIN, or let an administrator set the interface up like that beforehand."
      : "Choose another value, or set the interface up with ip(8) and leave the option out.";
  throw new StackError(errnoCode(errno), `Could not ${action} on ${name} (${errnoName(errno)}). ${advice}`);
}

function openError(errno: number): StackError {
  const code = errnoCode(errno);
  if (errno === ENOENT || errno === ENODEV) {
    return new StackError(
      code,
      `There is no ${TUN_PATH}: load the driver with "modprobe tun", or start the container with --device ${TUN_PATH}.`,
    );
  }
  if (errno === EPERM || errno === EACCES) {
    return new StackError(
      code,
      `${TUN_PATH} may not be opened: run as root or grant CAP_NET_ADMIN, or use the memory device, which needs no privileges.`,
    );
  }
  return new StackError(code, `${TUN_PATH} could not be opened (${errnoName(errno)}).`);
}

function attachError(errno: number, name: string): StackError {
  const code = errnoCode(errno);
  const which = name === "" ? "A TUN interface" : `The TUN interface ${name}`;
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
    return new StackError(code, `${which} exists, but as another kind of interface: choose another name.`);
  }
  return new StackError(code, `${which} could not be opened (${errnoName(errno)}).`);
}

function checkRange(name: string, value: number, low: number, high: number): number {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new StackError("EINVAL", `${name} is ${value}; give a whole number from ${low} to ${high}.`);
  }
  return value;
}
