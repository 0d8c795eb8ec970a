import type { Capabilities, Device, DeviceEvent, Frame } from "../../src/device.ts";
import { StackError } from "../../src/errors.ts";
import { formatHardwareAddress, sameHardwareAddress } from "../../src/wire/ethernet.ts";
import { frameFilter, incomingFilter } from "./bpf.ts";
import { EAGAIN, EINTR, ENOBUFS, errnoCode, errnoName } from "./errno.ts";
import type { LinkListener, LinkMonitor } from "./link-monitor.ts";
import type { Link } from "./netlink.ts";
import { LARGEST_PACKET, LARGEST_SUPER_SEGMENT, LINK_HEADER, type PacketIo } from "./packet-io.ts";
import { PacketMessages } from "./packet-messages.ts";
import { PacketRing } from "./packet-ring.ts";
import { PacketSocket } from "./packet-socket.ts";
import { POLLIN, PollSet } from "./poll.ts";
import { Readiness } from "./readiness.ts";

/** How many frames passed, and how many did not. */
export interface RawCounts {
  readonly received: number;
  /** Frames that the kernel took. */
  readonly transmitted: number;
  /** Frames that it did not take: the interface is down or gone, or its queue was full for too long. */
  readonly transmitErrors: number;
  readonly receiveErrors: number;
  /** Frames for us that found no room in the socket's buffer or ring. */
  readonly dropped: number;
  /** The name of the error met last, such as `ENETDOWN`; empty where there was none. */
  readonly lastError: string;
}

/** What a raw device is to be, with nothing left open. */
export interface PacketSettings {
  readonly hardwareAddress: Uint8Array;
  readonly multicast: boolean;
  readonly promiscuous: boolean;
  readonly offload: boolean;
  readonly ring: boolean;
  readonly bypassQueue: boolean;
  readonly bufferSize: number;
}

/** After so long a frame is offered again to an interface that had no room, in ms. */
const RETRY_MS = 1;
/** So often; then its queue has stood still, and the frame is lost. */
const MAX_RETRIES = 200;
/** A call that errors come from again and again is given up for now. */
const MAX_ERRORS = 16;

class Counts implements RawCounts {
  received = 0;
  transmitted = 0;
  transmitErrors = 0;
  receiveErrors = 0;
  lastErrno = 0;
  private drops = 0;
  private readonly socket: PacketSocket;

  constructor(socket: PacketSocket) {
    this.socket = socket;
  }

  get dropped(): number {
    // The kernel begins anew each time that it is asked.
    this.drops += this.socket.takeDrops();
    return this.drops;
  }

  get lastError(): string {
    return this.lastErrno === 0 ? "" : errnoName(this.lastErrno);
  }
}

/** A packet socket on an interface, as a device. */
export class PacketInterface implements Device, LinkListener {
  capabilities: Capabilities;
  readonly counts: Counts;
  private readonly settings: PacketSettings;
  private readonly socket: PacketSocket;
  private readonly io: PacketIo;
  private readonly monitor: LinkMonitor;
  private readonly readiness: Readiness;
  private readonly news: Readiness;
  private readonly pollSet = new PollSet();
  readonly descriptors: readonly number[];
  /** The longest frame that is lent. It never shrinks: a sender may not have heard of a smaller MTU yet. */
  private largestFrame = 0;
  private writable: (() => void) | null = null;
  private eventCallback: ((event: DeviceEvent) => void) | null = null;
  private events = 0;
  private lent = false;
  private closed = false;
  /** The frame that waits was refused so often. */
  private retries = 0;
  private retry: ReturnType<typeof setTimeout> | null = null;
  /** A frame that waits to be told to the kernel is, at the end of this turn of the event loop. */
  private flushing = false;
  private readonly flushLater = (): void => {
    this.flushing = false;
    if (!this.closed) this.send();
  };
  /** The interface that was given up; 0 for none. */
  private refused = 0;

  /** Takes the monitor over where it succeeds, which follows `link`. */
  constructor(monitor: LinkMonitor, link: Link, settings: PacketSettings) {
    this.monitor = monitor;
    this.settings = settings;
    this.socket = new PacketSocket();
    let io: PacketIo | null = null;
    try {
      const { socket } = this;
      socket.setBuffers(settings.bufferSize);
      const filter = settings.promiscuous
        ? incomingFilter()
        : frameFilter(settings.hardwareAddress, settings.multicast);
      this.require(socket.filter(filter), "set a filter");
      if (settings.bypassQueue) this.require(socket.bypassQueue(), "go around its queue");
      io = settings.ring ? new PacketRing(socket) : new PacketMessages(socket);
      const problem = this.attach(link);
      if (problem !== null) throw problem;
    } catch (error) {
      io?.close();
      this.socket.close();
      throw error;
    }
    this.io = io;
    this.counts = new Counts(this.socket);
    this.capabilities = {
      medium: "ethernet",
      mtu: 0,
      checksumOffload: settings.offload,
      maxSuperSegment: settings.offload ? LARGEST_SUPER_SEGMENT : 0,
      hardwareAddress: settings.hardwareAddress,
    };
    this.setMtu(link.mtu);
    this.readiness = new Readiness(this.socket.fd);
    this.news = new Readiness(monitor.descriptor);
    this.descriptors = [this.socket.fd, monitor.descriptor];
  }

  get name(): string {
    return this.monitor.name;
  }

  private require(errno: number, what: string): void {
    if (errno === 0) return;
    throw new StackError(
      errnoCode(errno),
      `Could not ${what} on ${this.monitor.name} (${errnoName(errno)}).`,
    );
  }

  /** Ties the socket to an interface; returns what is in the way. */
  private attach(link: Link): StackError | null {
    const { settings, socket } = this;
    const isInterfaces = sameHardwareAddress(link.hardwareAddress, 0, settings.hardwareAddress, 0);
    const errno =
      socket.attach(link.index) ||
      (isInterfaces && !settings.promiscuous ? 0 : socket.promiscuous(link.index)) ||
      (settings.multicast ? socket.allMulticast(link.index) : 0);
    if (errno === 0) return null;
    return new StackError(
      errnoCode(errno),
      `Frames of ${link.name} can't be received (${errnoName(errno)}): is it an Ethernet interface?`,
    );
  }

  private setMtu(mtu: number): void {
    // There are interfaces that take more than any IP packet has.
    const largest = Math.min(mtu, LARGEST_PACKET);
    this.capabilities = Object.freeze({ ...this.capabilities, mtu: largest });
    const largestPacket = Math.max(largest, this.capabilities.maxSuperSegment);
    this.largestFrame = Math.max(this.largestFrame, LINK_HEADER + largestPacket);
  }

  receive(frame: Frame): boolean {
    if (this.closed) return false;
    if (this.io.receive(frame)) {
      this.counts.received++;
      return true;
    }
    for (let i = 0; i < MAX_ERRORS && this.failed(); i++) {
      if (!this.io.receive(frame)) continue;
      this.counts.received++;
      return true;
    }
    if (this.io.unsent) this.send();
    this.readiness.rest();
    return false;
  }

  /** After a receive that brought nothing: whether that was for an error, which is told once, and not for lack of frames. */
  private failed(): boolean {
    const { errno } = this.io;
    if (errno === 0 || errno === EAGAIN) return false;
    if (errno === EINTR) return true;
    // Down or gone: the monitor gets news of it.
    this.counts.receiveErrors++;
    this.counts.lastErrno = errno;
    return true;
  }

  transmit(length: number): Frame | null {
    if (length > this.largestFrame) {
      throw new StackError(
        "EMSGSIZE",
        `A frame of ${length} bytes is too long for ${this.name}: its MTU is ${this.capabilities.mtu}, and the longest frame ${this.largestFrame}.`,
      );
    }
    let frame = this.io.transmit(length);
    if (frame === null && !this.closed && this.send()) frame = this.io.transmit(length);
    if (frame === null) {
      this.tryLater();
      return null;
    }
    this.lent = true;
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    return frame;
  }

  commit(frame: Frame): void {
    if (!this.lent || this.closed) return;
    this.lent = false;
    this.counts.transmitted++;
    this.sent(this.io.commit(frame));
    if (this.io.unsent && !this.flushing) {
      this.flushing = true;
      queueMicrotask(this.flushLater);
    }
  }

  private send(): boolean {
    return this.sent(this.io.flush());
  }

  /** Whether there is room again; a frame that the kernel did not take and never will is lost. */
  private sent(errno: number): boolean {
    if (errno === 0) {
      this.retries = 0;
      return true;
    }
    if (errno === EAGAIN || (errno === ENOBUFS && this.retries < MAX_RETRIES)) {
      this.tryLater();
      return false;
    }
    // A network may lose a packet, and this one did: whoever sent it has a timer for that.
    const lost = this.io.drop();
    this.retries = 0;
    this.counts.transmitted -= lost;
    this.counts.transmitErrors += lost;
    this.counts.lastErrno = errno;
    return true;
  }

  /** There is no news of room in an interface's queue; of room in the socket's buffer there is, but it is as seldom. */
  private tryLater(): void {
    if (this.closed || this.retry !== null) return;
    this.retry = setTimeout(() => {
      this.retry = null;
      this.retries++;
      if (this.send()) this.writable?.();
    }, RETRY_MS);
  }

  /** While the program blocks, no timer comes. */
  private tryNow(): boolean {
    if (!this.send()) return false;
    if (this.retry !== null) clearTimeout(this.retry);
    this.retry = null;
    return true;
  }

  onReadable(callback: () => void): void {
    if (this.closed) return;
    this.readiness.watch(callback);
    this.watchNews();
  }

  onWritable(callback: () => void): void {
    this.writable = callback;
  }

  setRef(ref: boolean): void {
    this.readiness.setRef(ref);
  }

  onEvent(callback: (event: DeviceEvent) => void): void {
    if (this.closed) return;
    this.eventCallback = callback;
    // In a worker, which signals do not reach, `wait` brings the news.
    if (Bun.isMainThread) this.watchNews();
  }

  private watchNews(): void {
    const isBackground = true;
    this.news.watch(() => {
      this.monitor.look(this);
      this.news.rest();
    }, isBackground);
  }

  wait(timeoutMs: number): boolean {
    if (this.closed) return false;
    if (this.io.unsent) this.send();
    const until = performance.now() + timeoutMs;
    const eventsBefore = this.events;
    let left = timeoutMs;
    do {
      this.pollSet.clear();
      this.pollSet.add(this.socket.fd, POLLIN);
      this.pollSet.add(this.monitor.descriptor, POLLIN);
      // While a frame waits for room, whoever sent it is to ask again soon.
      const isFull = this.retry !== null && !this.tryNow();
      this.pollSet.wait(isFull ? Math.min(left, RETRY_MS) : left);
      const found = this.pollSet.found(0);
      if (this.pollSet.found(1) !== 0) this.monitor.look(this);
      if (this.closed) return false;
      if ((found & POLLIN) !== 0) return true;
      if (found !== 0) this.counts.lastErrno = this.socket.takeError() || this.counts.lastErrno;
      if (isFull || this.events !== eventsBefore) return false;
      left = until - performance.now();
    } while (left > 0);
    return false;
  }

  linkUp(): void {
    this.emit({ type: "up" });
    this.writable?.();
  }

  linkDown(): void {
    this.emit({ type: "down" });
  }

  linkMtu(mtu: number): void {
    this.setMtu(mtu);
    this.emit({ type: "mtu", mtu });
  }

  linkRemoved(): void {
    this.emit({ type: "removed" });
  }

  /** There is an interface of the name again, whoever made it. */
  linkAppeared(link: Link): void {
    if (this.closed || this.refused === link.index) return;
    const problem = this.strangeness(link) ?? this.attach(link);
    if (problem !== null) {
      this.refused = link.index;
      this.emit({ type: "error", error: problem });
      return;
    }
    this.monitor.follow(link);
    if (link.mtu !== this.capabilities.mtu) this.linkMtu(link.mtu);
    if (link.up) this.linkUp();
  }

  /** Why frames to our hardware address would not come from this interface. */
  private strangeness(link: Link): StackError | null {
    const { hardwareAddress } = this.settings;
    if (link.kind !== "macvlan" || sameHardwareAddress(link.hardwareAddress, 0, hardwareAddress, 0))
      return null;
    const before = formatHardwareAddress(hardwareAddress);
    return new StackError(
      "EADDRNOTAVAIL",
      `${link.name} came back with another hardware address: set the old one with "ip link set ${link.name} address ${before}" when you make it, or open the device again.`,
    );
  }

  private emit(event: DeviceEvent): void {
    if (this.eventCallback === null) return;
    this.events++;
    this.eventCallback(event);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.eventCallback = null;
    if (this.io.unsent) this.io.flush();
    this.io.drop();
    if (this.retry !== null) clearTimeout(this.retry);
    this.retry = null;
    this.readiness.close();
    this.news.close();
    this.monitor.close();
    this.io.close();
    this.socket.close();
  }
}
