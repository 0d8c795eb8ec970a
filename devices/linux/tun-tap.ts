import { type Capabilities, type Device, type DeviceEvent, Frame, type Medium } from "../../src/device.ts";
import { requireWhole, StackError } from "../../src/errors.ts";
import { ETHERNET_HEADER_LENGTH } from "../../src/wire/ethernet.ts";
import { frameMemory } from "../../src/wire/frame-memory.ts";
import { type Cidr, parseCidr } from "../../src/wire/ip-address.ts";
import { DeviceEvents } from "./device-events.ts";
import { EAGAIN, EBADFD, EBUSY, EFAULT, EINTR, errnoName } from "./errno.ts";
import { LARGEST_PACKET, LINK_HEADER, tooLong } from "./frame-size.ts";
import { type Libc, libc } from "./libc.ts";
import { type LinkListener, LinkMonitor } from "./link-monitor.ts";
import type { Link } from "./netlink.ts";
import { POLLIN, PollSet } from "./poll.ts";
import { Readiness } from "./readiness.ts";
import {
  agreeOnOffload,
  attach,
  attachError,
  completesChecksums,
  configure,
  cutsSegments,
  hasVnetHeaders,
  isAttached,
  type KernelSettings,
  openDriver,
  type TunKind,
} from "./tun-attach.ts";
import { interfaceNameProblem } from "./tun-ioctl.ts";
import { readVnetHeader, VNET_HEADER_LENGTH, writeVnetHeader } from "./vnet-header.ts";

/** What TUN and TAP have in common. */
export interface TunTapOptions {
  /** 1 .. 15 characters; `%d` in it becomes the first free number. `tun0`, `tun1`, ... or `tap0`, ... unless told. */
  readonly name?: string;
  /** The address that the kernel gets on the interface, with its prefix: `"192.168.69.100/24"`. None unless told. */
  readonly hostAddress?: string | Cidr;
  /** Largest IP packet in bytes, 68 .. 65,535, with TAP 68 .. 65,521; 1,500 unless told. */
  readonly mtu?: number;
  /**
   * Packets that the kernel keeps for us to read before it drops (`txqueuelen`). Unless told 8,192, where the interface has not
   * got another length than the kernel's 500 or 1,000 already.
   */
  readonly queueLength?: number;
  /**
   * Whether TCP and UDP checksums are left out between the kernel and us, and many segments go as one of up to 64 KiB;
   * `true` unless told. What the kernel does not know is left out; `capabilities` say what was agreed on.
   */
  readonly offload?: boolean;
  /**
   * Whether others may open the same interface, too, and each gets a queue of its own; `false` unless told. The kernel gives
   * a flow's packets to the queue that the flow's last packet was sent from, and where none was in the last three seconds,
   * to one that addresses and ports choose. See `startWorkers`.
   */
  readonly multiQueue?: boolean;
}

/** How many frames passed, and how many did not. */
export interface TunTapCounts {
  readonly received: number;
  readonly transmitted: number;
  /** Frames that the kernel did not take: the interface is down or gone, or there was no memory. */
  readonly transmitErrors: number;
  readonly receiveErrors: number;
  /** The name of the error met last, such as `EIO` for an interface that is down; empty where there was none. */
  readonly lastError: string;
}

/** An interface of Linux whose one end is the kernel's, and whose other end is this device. */
export interface TunTapDevice extends Device {
  /** The interface's name; it follows a renaming. */
  readonly name: string;
  readonly counts: TunTapCounts;
  /** What poll(2) is to wait for; see `waitForAny`. */
  readonly descriptors: readonly number[];
  wait(timeoutMs: number): boolean;
  onEvent(callback: (event: DeviceEvent) => void): void;
}

/** Where IP headers begin in the buffers: room for an Ethernet header and for a virtio-net header before that. */
const IP_AT = 32;
/** A system call that signals interrupt again and again is given up. */
const MAX_INTERRUPTIONS = 16;
/** An interface that was just made is held by whoever makes it; so often, at growing intervals, it is tried again. */
const MAX_ATTEMPTS = 10;

/** The kernel counts the Ethernet header of a TAP interface against the largest packet. */
const LARGEST_MTU = { tun: LARGEST_PACKET, tap: LARGEST_PACKET - ETHERNET_HEADER_LENGTH } as const;

const NOTHING: readonly number[] = [];

class Counts implements TunTapCounts {
  received = 0;
  transmitted = 0;
  transmitErrors = 0;
  receiveErrors = 0;
  lastErrno = 0;

  get lastError(): string {
    return this.lastErrno === 0 ? "" : errnoName(this.lastErrno);
  }
}

class TunTap implements TunTapDevice, LinkListener {
  capabilities: Capabilities;
  readonly counts = new Counts();
  private readonly c: Libc = libc();
  private readonly kind: TunKind;
  private readonly medium: Medium;
  private readonly fd: number;
  private readonly settings: KernelSettings;
  private readonly readiness: Readiness;
  private readonly monitor: LinkMonitor;
  private readonly events: DeviceEvents;
  private readonly pollSet = new PollSet();
  private readonly everything: readonly number[];
  private readonly newsOnly: readonly number[];
  private readonly frameAt: number;
  /** Bytes of the virtio-net header in front of each frame; 0 without offload. */
  private readonly vnet: number;
  private readonly incoming: Uint8Array;
  private readonly outgoing: Frame;
  /** The parts of both that the system calls fill and read: a typed array passes its address along by itself. */
  private readonly incomingPart: Uint8Array;
  private readonly outgoingPart: Uint8Array;
  /** The longest frame that is lent. It never shrinks: a sender may not have heard of a smaller MTU yet. */
  private largestFrame = 0;
  private lent = false;
  private closed = false;
  /** Frames pass. Not so between the removal of the interface and its return. */
  private attached = true;
  private attempts = 0;
  private retry: ReturnType<typeof setTimeout> | null = null;
  /** When an interface that was held is tried again: `waitForAny` blocks no longer, in ms of `performance.now()`. */
  wakeAt = Number.POSITIVE_INFINITY;
  /** The number of the interface that was reported as one that can't be had; 0 for none. */
  private refused = 0;

  constructor(
    kind: TunKind,
    fd: number,
    vnet: boolean,
    offload: number,
    settings: KernelSettings,
    monitor: LinkMonitor,
    hardwareAddress: Uint8Array | undefined,
  ) {
    this.kind = kind;
    this.medium = kind === "tun" ? "ip" : "ethernet";
    this.fd = fd;
    this.settings = settings;
    this.monitor = monitor;
    this.readiness = new Readiness(fd);
    this.events = new DeviceEvents(monitor, this);
    this.everything = [fd, monitor.descriptor];
    this.newsOnly = [monitor.descriptor];
    this.capabilities = {
      medium: this.medium,
      mtu: 0,
      checksumOffload: completesChecksums(offload),
      maxSuperSegment: cutsSegments(offload) ? LARGEST_PACKET : 0,
      ...(hardwareAddress === undefined ? {} : { hardwareAddress }),
    };
    this.vnet = vnet ? VNET_HEADER_LENGTH : 0;
    this.frameAt = kind === "tun" ? IP_AT : IP_AT - ETHERNET_HEADER_LENGTH;
    // For any IP packet: the interface's MTU may be raised by others while we have it open.
    const size = this.frameAt + LINK_HEADER + LARGEST_PACKET + 1;
    this.incoming = frameMemory(size);
    this.incomingPart = this.incoming.subarray(this.frameAt - this.vnet);
    this.outgoing = new Frame(frameMemory(size));
    this.outgoing.offset = this.frameAt;
    this.outgoingPart = this.outgoing.bytes.subarray(this.frameAt - this.vnet);
    this.setMtu(monitor.mtu);
  }

  get name(): string {
    return this.monitor.name;
  }

  /** Returns whether that is another one. */
  private setMtu(mtu: number): boolean {
    if (mtu === this.capabilities.mtu) return false;
    this.capabilities = Object.freeze({ ...this.capabilities, mtu });
    const linkHeader = this.kind === "tun" ? 0 : LINK_HEADER;
    const largestPacket = Math.max(mtu, this.capabilities.maxSuperSegment);
    this.largestFrame = Math.max(this.largestFrame, largestPacket + linkHeader);
    return true;
  }

  receive(frame: Frame): boolean {
    if (!this.attached) return false;
    const length = this.read() - this.vnet;
    if (length <= 0) {
      if (this.attached) this.readiness.rest();
      return false;
    }
    this.counts.received++;
    frame.bytes = this.incoming;
    frame.offset = this.frameAt;
    frame.length = length;
    if (this.vnet === 0) {
      frame.checksumOffloaded = false;
      frame.segmentSize = 0;
    } else {
      readVnetHeader(this.incoming, this.frameAt - VNET_HEADER_LENGTH, frame);
    }
    return true;
  }

  /** Reads into the buffer; 0 for nothing. */
  private read(): number {
    for (let i = 0; i < MAX_INTERRUPTIONS; i++) {
      const length = this.c.read(this.fd, this.incomingPart, this.incomingPart.length);
      if (length >= 0) return length;
      const errno = this.c.errno();
      if (errno === EINTR) continue;
      if (errno === EAGAIN) return 0;
      this.counts.receiveErrors++;
      this.counts.lastErrno = errno;
      // The interface is gone, or going. The kernel sends no signal for it, but the monitor gets news.
      if (errno === EBADFD || errno === EFAULT) this.detach();
      return 0;
    }
    return 0;
  }

  transmit(length: number): Frame | null {
    if (length > this.largestFrame) {
      throw tooLong(this.name, length, this.capabilities.mtu, this.largestFrame);
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
    let errno = EBADFD;
    if (this.attached) {
      if (this.vnet !== 0) {
        writeVnetHeader(this.outgoing.bytes, this.frameAt - VNET_HEADER_LENGTH, frame, this.medium);
      }
      errno = this.write(this.vnet + frame.length);
    }
    if (errno === 0) {
      this.counts.transmitted++;
      return;
    }
    // A network may lose a packet, and this one did: whoever sent it has a timer for that.
    this.counts.transmitErrors++;
    this.counts.lastErrno = errno;
  }

  private write(length: number): number {
    for (let i = 0; i < MAX_INTERRUPTIONS; i++) {
      if (this.c.write(this.fd, this.outgoingPart, length) >= 0) return 0;
      const errno = this.c.errno();
      if (errno !== EINTR) return errno;
    }
    return EINTR;
  }

  onReadable(callback: () => void): void {
    if (this.closed) return;
    this.readiness.watch(callback);
    if (!this.attached) this.readiness.pause();
    this.events.watch();
  }

  /** Never needed: a write takes the frame or loses it at once. */
  onWritable(_callback: () => void): void {}

  setRef(ref: boolean): void {
    this.readiness.setRef(ref);
  }

  onEvent(callback: (event: DeviceEvent) => void): void {
    if (!this.closed) this.events.listen(callback);
  }

  get descriptors(): readonly number[] {
    if (this.closed) return NOTHING;
    return this.attached ? this.everything : this.newsOnly;
  }

  wait(timeoutMs: number): boolean {
    const until = performance.now() + timeoutMs;
    const toldBefore = this.events.told;
    for (let now = 0; !this.closed; ) {
      now = performance.now();
      if (now >= this.wakeAt) this.tryAgain();
      const descriptors = this.descriptors;
      this.pollSet.clear();
      for (const descriptor of descriptors) this.pollSet.add(descriptor, POLLIN);
      this.pollSet.wait(timeoutMs <= 0 ? 0 : Math.min(until, this.wakeAt) - now);
      const isReadable = this.attached && (this.pollSet.found(0) & POLLIN) !== 0;
      const isBroken = this.attached && !isReadable && this.pollSet.found(0) !== 0;
      if (this.pollSet.found(descriptors.length - 1) !== 0) this.monitor.look(this);
      if (isReadable && this.attached) return true;
      if (isBroken) this.detach();
      // The program may have something to do about what it was just told.
      if (this.events.told !== toldBefore || performance.now() >= until) return false;
    }
    return false;
  }

  linkUp(): void {
    this.events.emit({ type: "up" });
  }

  linkDown(): void {
    this.events.emit({ type: "down" });
  }

  linkMtu(mtu: number): void {
    if (this.setMtu(mtu)) this.events.emit({ type: "mtu", mtu });
  }

  linkRemoved(): void {
    if (isAttached(this.fd)) {
      const sentence = `${this.name} was moved to another network namespace. Its frames still pass, but what happens to it there is not noticed; open it again from there.`;
      this.events.emit({ type: "error", error: new StackError("ENODEV", sentence) });
      return;
    }
    this.detach();
    this.events.emit({ type: "removed" });
  }

  /** There is an interface of the name again, whoever made it. */
  linkAppeared(link: Link): void {
    if (this.closed || isAttached(this.fd)) return;
    const { errno, name } = attach(this.fd, this.kind, link.name, this.vnet !== 0, this.settings.multiQueue);
    if (errno === 0) {
      this.attempts = 0;
      this.refused = 0;
      // Where it vanished meanwhile, this has made it anew, and it is another one; or it has vanished again.
      const taken = this.monitor.ask(name);
      if (taken !== null) this.takeUp(taken ?? link);
    } else if (this.refused === link.index) {
      // It was said already, and once is enough.
    } else if (errno === EBUSY && this.attempts < MAX_ATTEMPTS) {
      if (this.wakeAt === Number.POSITIVE_INFINITY) this.tryLater(2 ** this.attempts++);
    } else {
      this.attempts = 0;
      this.refused = link.index;
      this.events.emit({
        type: "error",
        error: attachError(errno, this.kind, link.name, this.settings.multiQueue),
      });
    }
  }

  private takeUp(link: Link): void {
    agreeOnOffload(this.fd, this.vnet !== 0);
    let problem: StackError | null = null;
    try {
      configure(this.monitor.routes, link, this.settings);
    } catch (error) {
      if (!(error instanceof StackError)) throw error;
      problem = error;
    }
    const now = this.monitor.ask(link.index) ?? link;
    this.monitor.follow(now);
    this.attached = true;
    this.readiness.resume();
    if (problem !== null) this.events.emit({ type: "error", error: problem });
    this.linkMtu(now.mtu);
    if (now.up) this.linkUp();
  }

  private tryLater(ms: number): void {
    this.wakeAt = performance.now() + ms;
    this.retry = setTimeout(() => this.tryAgain(), ms);
    this.retry.unref();
  }

  private tryAgain(): void {
    if (this.retry !== null) clearTimeout(this.retry);
    this.wakeAt = Number.POSITIVE_INFINITY;
    this.monitor.compare(this);
  }

  private detach(): void {
    this.attached = false;
    this.readiness.pause();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.attached = false;
    if (this.retry !== null) clearTimeout(this.retry);
    this.wakeAt = Number.POSITIVE_INFINITY;
    this.readiness.close();
    this.events.close();
    this.monitor.close();
    this.c.close(this.fd);
  }
}

/** Opens an interface and sets it up; see `openTun` and `openTap` for what can go wrong. */
export function openTunTap(
  kind: TunKind,
  options: TunTapOptions,
  hardwareAddress: Uint8Array | undefined,
): TunTapDevice {
  const { mtu = 1500, queueLength, hostAddress } = options;
  requireWhole("mtu", mtu, 68, LARGEST_MTU[kind]);
  if (queueLength !== undefined) requireWhole("queueLength", queueLength, 1, 1_000_000);
  const address = typeof hostAddress === "string" ? parseCidr(hostAddress) : hostAddress;
  const wantedName = options.name ?? "";
  const problem = wantedName === "" ? null : interfaceNameProblem(wantedName);
  if (problem !== null) {
    throw new StackError(
      "EINVAL",
      `The interface name "${wantedName}" ${problem}; a name has 1 to 15 bytes, without spaces, "/" and ":".`,
    );
  }

  const multiQueue = options.multiQueue === true;
  const settings: KernelSettings = { multiQueue, mtu, queueLength, address };
  const fd = openDriver();
  let monitor: LinkMonitor | null = null;
  try {
    const vnet = options.offload !== false && hasVnetHeaders(fd);
    const { errno, name } = attach(fd, kind, wantedName, vnet, multiQueue);
    if (errno !== 0) throw attachError(errno, kind, wantedName, multiQueue);
    const offload = agreeOnOffload(fd, vnet);
    monitor = new LinkMonitor();
    configure(monitor.routes, existing(monitor, name), settings);
    monitor.follow(existing(monitor, name));
    return new TunTap(kind, fd, vnet, offload, settings, monitor, hardwareAddress);
  } catch (error) {
    monitor?.close();
    libc().close(fd);
    throw error;
  }
}

function existing(monitor: LinkMonitor, name: string): Link {
  const link = monitor.routes.link(name);
  if (link !== null) return link;
  throw new StackError("ENODEV", `${name} was removed while it was being opened; try again.`);
}
