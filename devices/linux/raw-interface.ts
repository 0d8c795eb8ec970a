import type { Capabilities, Device, DeviceEvent, Frame } from "../../src/device.ts";
import { StackError } from "../../src/errors.ts";
import { formatHardwareAddress, sameHardwareAddress } from "../../src/wire/ethernet.ts";
import { frameFilter, incomingFilter } from "./bpf.ts";
import { DeviceEvents } from "./device-events.ts";
import { EAGAIN, EINTR, ENOBUFS, errnoCode, errnoName } from "./errno.ts";
import { fanoutProgram } from "./fanout-program.ts";
import { LARGEST_PACKET, LINK_HEADER, tooLong } from "./frame-size.ts";
import type { LinkListener, LinkMonitor } from "./link-monitor.ts";
import type { Link } from "./netlink.ts";
import { ARPHRD_ETHER } from "./packet-abi.ts";
import { LARGEST_SUPER_SEGMENT, type PacketIo } from "./packet-io.ts";
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
  /** Calls that failed, and frames that were longer than any frame may be. */
  readonly receiveErrors: number;
  /** Frames for us that found no room in the socket's buffer or ring. */
  readonly dropped: number;
  /** The name of the error met last, such as `ENETDOWN`; empty where there was none. */
  readonly lastError: string;
}

/** How frames are divided among the devices of several workers, which are opened in the workers' order. */
export interface Fanout {
  /** The group that the first one has made; -1 for that one. */
  readonly group: number;
  /** How many there will be. */
  readonly count: number;
  /** Two odd numbers of 32 bits that nobody can guess; see `fanoutProgram`. */
  readonly key: readonly [number, number];
}

/** What a raw device is to be, with nothing left open. */
interface RawSettings {
  readonly hardwareAddress: Uint8Array;
  readonly multicast: boolean;
  readonly promiscuous: boolean;
  readonly offload: boolean;
  readonly ring: boolean;
  readonly bypassQueue: boolean;
  readonly bufferSize: number;
  readonly fanout: Fanout | null;
}

/** After so long a frame is offered again to an interface that had no room, in ms. */
const RETRY_MS = 1;
/** So often, once a `RETRY_MS` at most; then its queue has stood still, and what waits is lost. */
const MAX_REFUSALS = 200;
/** A call that errors come from again and again is given up for now. */
const MAX_ERRORS = 16;

class Counts implements RawCounts {
  received = 0;
  transmitted = 0;
  transmitErrors = 0;
  /** Calls that failed. */
  failures = 0;
  lastErrno = 0;
  private drops = 0;
  private readonly socket: PacketSocket;
  private readonly io: PacketIo;

  constructor(socket: PacketSocket, io: PacketIo) {
    this.socket = socket;
    this.io = io;
  }

  get receiveErrors(): number {
    return this.failures + this.io.truncated;
  }

  get dropped(): number {
    this.addDrops();
    return this.drops;
  }

  /** The kernel begins anew each time that it is asked. */
  addDrops(): void {
    this.drops += this.socket.takeDrops();
  }

  get lastError(): string {
    return this.lastErrno === 0 ? "" : errnoName(this.lastErrno);
  }
}

/** Why an interface is none for a raw device, whatever its state; `null` where it is one. */
export function mediumProblem({ name, type }: Link): StackError | null {
  if (type === ARPHRD_ETHER) return null;
  return new StackError(
    "ENOTSUP",
    `${name} has no Ethernet headers: a raw device needs an interface such as a veth end, a macvlan or a network card.`,
  );
}

/** A packet socket on an interface, as a device. */
export class RawInterface implements Device, LinkListener {
  capabilities: Capabilities;
  readonly counts: Counts;
  private readonly settings: RawSettings;
  private readonly socket: PacketSocket;
  private readonly io: PacketIo;
  private readonly monitor: LinkMonitor;
  private readonly readiness: Readiness;
  private readonly events: DeviceEvents;
  private readonly pollSet = new PollSet();
  descriptors: readonly number[];
  fanoutGroup = -1;
  /** The longest frame that is lent. It never shrinks: a sender may not have heard of a smaller MTU yet. */
  private largestFrame = 0;
  private writable: (() => void) | null = null;
  /** What became of the frame lent last: `"lost"` where what waited before it was dropped, and its place with that. */
  private loan: "none" | "lent" | "lost" = "none";
  private closed = false;
  /** The interface's queue refused what waits so often in a row, the last time at `refusedAt`, and took `taken` before. */
  private refusals = 0;
  private refusedAt = 0;
  private taken = 0;
  /** Somebody was refused a frame, and has not been told of room since. */
  private wantsRoom = false;
  private retry: ReturnType<typeof setTimeout> | null = null;
  /** When what waits is to be offered again: `waitForAny` blocks no longer, in ms of `performance.now()`. */
  wakeAt = Number.POSITIVE_INFINITY;
  private keepsRunning = true;
  /** A frame that waits to be told to the kernel is, at the end of this turn of the event loop. */
  private flushing = false;
  private readonly flushLater = (): void => {
    this.flushing = false;
    if (!this.closed) this.send();
  };
  private readonly offerLater = (): void => void this.offer();
  /** The number of the interface that was reported as one that can't be taken up; 0 for none. */
  private reported = 0;

  /** Takes the monitor over where it succeeds, which follows `link`. */
  constructor(monitor: LinkMonitor, link: Link, settings: RawSettings) {
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
      if (settings.fanout !== null) this.join(settings.fanout);
    } catch (error) {
      io?.close();
      this.socket.close();
      throw error;
    }
    this.io = io;
    this.counts = new Counts(this.socket, io);
    this.capabilities = {
      medium: "ethernet",
      mtu: 0,
      checksumOffload: settings.offload,
      maxSuperSegment: settings.offload ? LARGEST_SUPER_SEGMENT : 0,
      hardwareAddress: settings.hardwareAddress,
    };
    this.setMtu(link.mtu);
    this.readiness = new Readiness(this.socket.fd);
    this.events = new DeviceEvents(monitor, this);
    this.descriptors = [this.socket.fd, monitor.descriptor];
  }

  get name(): string {
    return this.monitor.name;
  }

  private join({ group, count, key }: Fanout): void {
    this.require(this.socket.joinGroup(group), "share frames with other workers");
    this.fanoutGroup = this.socket.group;
    // Whoever has joined may be asked for frames of a flow at once, so the first one brings the program.
    if (group < 0) this.require(this.socket.divide(fanoutProgram(count, key)), "divide frames among workers");
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
    if (this.fanoutGroup >= 0) {
      return new StackError(
        "ENODEV",
        `${link.name} is another interface now, and workers that share one can't move to it: start them again.`,
      );
    }
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

  /** Returns whether that is another one. */
  private setMtu(mtu: number): boolean {
    // There are interfaces that take more than any IP packet has.
    const largest = Math.min(mtu, LARGEST_PACKET);
    if (largest === this.capabilities.mtu) return false;
    this.capabilities = Object.freeze({ ...this.capabilities, mtu: largest });
    const largestPacket = Math.max(largest, this.capabilities.maxSuperSegment);
    this.largestFrame = Math.max(this.largestFrame, LINK_HEADER + largestPacket);
    return true;
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
    this.counts.failures++;
    this.counts.lastErrno = errno;
    return true;
  }

  transmit(length: number): Frame | null {
    if (length > this.largestFrame) {
      throw tooLong(this.name, length, this.capabilities.mtu, this.largestFrame);
    }
    let frame = this.io.transmit(length);
    if (frame === null && !this.closed && this.send()) frame = this.io.transmit(length);
    if (frame === null) {
      this.loan = "none";
      this.wantsRoom = true;
      this.tryLater();
      return null;
    }
    this.loan = "lent";
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    return frame;
  }

  commit(frame: Frame): void {
    const { loan } = this;
    this.loan = "none";
    if (this.closed || loan === "none") return;
    if (loan === "lost") {
      this.counts.transmitErrors++;
      return;
    }
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

  /** Whether nothing is in the way any more; what the kernel did not take and never will is lost. */
  private sent(errno: number): boolean {
    if (errno === 0) return true;
    if (errno === EAGAIN || (errno === ENOBUFS && !this.standsStill())) {
      this.tryLater();
      return false;
    }
    // A network may lose a packet, and this one did: whoever sent it has a timer for that.
    const lost = this.io.drop();
    if (lost > 0 && this.loan === "lent") this.loan = "lost";
    this.refusals = 0;
    this.counts.transmitted -= lost;
    this.counts.transmitErrors += lost;
    this.counts.lastErrno = errno;
    return true;
  }

  /** After a refusal: whether there were as many as can be borne, with nothing taken in between. */
  private standsStill(): boolean {
    const { taken } = this.io;
    if (taken !== this.taken) this.refusals = 0;
    this.taken = taken;
    // Whoever asks in a loop is not to count faster than a queue can move.
    const now = performance.now();
    if (now - this.refusedAt < RETRY_MS) return false;
    this.refusedAt = now;
    return ++this.refusals > MAX_REFUSALS;
  }

  /** There is no news of room in an interface's queue; of room in the socket's buffer there is, but it is as seldom. */
  private tryLater(): void {
    if (this.closed || this.retry !== null) return;
    this.wakeAt = performance.now() + RETRY_MS;
    this.retry = setTimeout(this.offerLater, RETRY_MS);
    if (!this.keepsRunning) this.retry.unref();
  }

  private forgetRetry(): void {
    if (this.retry !== null) clearTimeout(this.retry);
    this.retry = null;
    this.wakeAt = Number.POSITIVE_INFINITY;
  }

  /** Offers what waits again. Returns whether somebody who was refused a frame has been told of room. */
  private offer(): boolean {
    this.forgetRetry();
    this.send();
    if (!this.wantsRoom) return false;
    if (!this.io.hasRoom) {
      this.tryLater();
      return false;
    }
    this.wantsRoom = false;
    this.writable?.();
    return true;
  }

  onReadable(callback: () => void): void {
    if (this.closed) return;
    this.readiness.watch(callback);
    this.events.watch();
  }

  onWritable(callback: () => void): void {
    this.writable = callback;
  }

  setRef(ref: boolean): void {
    this.keepsRunning = ref;
    this.readiness.setRef(ref);
    if (ref) this.retry?.ref();
    else this.retry?.unref();
  }

  onEvent(callback: (event: DeviceEvent) => void): void {
    if (!this.closed) this.events.listen(callback);
  }

  wait(timeoutMs: number): boolean {
    if (this.closed) return false;
    if (this.io.unsent) this.send();
    if (this.io.pending) return true;
    const until = performance.now() + timeoutMs;
    const toldBefore = this.events.told;
    let left = timeoutMs;
    do {
      // While the program blocks, no timer comes.
      const isWritable = this.retry !== null && this.offer();
      if (this.closed) return false;
      this.pollSet.clear();
      this.pollSet.add(this.socket.fd, POLLIN);
      this.pollSet.add(this.monitor.descriptor, POLLIN);
      const limit = this.retry === null ? left : Math.min(left, RETRY_MS);
      this.pollSet.wait(isWritable ? 0 : limit);
      const found = this.pollSet.found(0);
      if (this.pollSet.found(1) !== 0) this.monitor.look(this);
      if (this.closed) return false;
      if ((found & POLLIN) !== 0) return true;
      if (found !== 0) this.counts.lastErrno = this.socket.takeError() || this.counts.lastErrno;
      // The program may have something to do about what it was just told.
      if (isWritable || this.events.told !== toldBefore) return false;
      left = until - performance.now();
    } while (left > 0);
    return false;
  }

  linkUp(): void {
    this.events.emit({ type: "up" });
    this.writable?.();
  }

  linkDown(): void {
    this.events.emit({ type: "down" });
  }

  linkMtu(mtu: number): void {
    if (this.setMtu(mtu)) this.events.emit({ type: "mtu", mtu: this.capabilities.mtu });
  }

  linkRemoved(): void {
    this.events.emit({ type: "removed" });
  }

  /** There is an interface of the name again, whoever made it. */
  linkAppeared(link: Link): void {
    if (this.closed) return;
    const problem = mediumProblem(link) ?? this.strangeness(link) ?? this.attach(link);
    if (problem === null) {
      this.reported = 0;
      this.monitor.follow(link);
      this.linkMtu(link.mtu);
      if (link.up) this.linkUp();
    } else if (this.reported !== link.index) {
      this.reported = link.index;
      this.events.emit({ type: "error", error: problem });
    }
  }

  /** Why frames to our hardware address would not come from this interface. */
  private strangeness(link: Link): StackError | null {
    const { hardwareAddress } = this.settings;
    if (link.kind !== "macvlan" || sameHardwareAddress(link.hardwareAddress, 0, hardwareAddress, 0))
      return null;
    const before = formatHardwareAddress(hardwareAddress);
    return new StackError(
      "EADDRNOTAVAIL",
      `${link.name} came back with another hardware address: set the old one with "ip link set ${link.name} address ${before}", or open the device again.`,
    );
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    if (this.io.unsent) this.io.flush();
    this.io.drop();
    this.forgetRetry();
    this.counts.addDrops();
    this.descriptors = [];
    this.readiness.close();
    this.events.close();
    this.monitor.close();
    this.io.close();
    this.socket.close();
  }
}
