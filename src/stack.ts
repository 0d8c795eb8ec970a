import type { Device, Frame } from "./device.ts";
import { requireWhole, StackError } from "./errors.ts";
import { drainReady } from "./iface/egress.ts";
import { ethernetInput } from "./iface/ethernet-input.ts";
import type { EthernetOptions } from "./iface/ethernet-link.ts";
import { Interface } from "./iface/interface.ts";
import { ipInput } from "./iface/ipv4-input.ts";
import { seeToLink } from "./iface/link-events.ts";
import { runLinkTimers } from "./iface/link-timers.ts";
import { Routes } from "./iface/routes.ts";
import { type Random, systemRandom } from "./random.ts";
import { SocketContext } from "./socket/context.ts";
import { SocketSet } from "./socket/socket-set.ts";
import { type TcpSettings, tcpSettings } from "./socket/tcp/settings.ts";
import { Stats } from "./stats.ts";
import { BufferPool, PAGE_SIZE } from "./storage/buffer-pool.ts";
import { parseAddress, parseCidr } from "./wire/ip-address.ts";
import { ALONE, checkPlace, type WorkerPlace } from "./wire/worker-share.ts";

export interface StackOptions {
  /** Bytes that all TCP connections together may buffer; 64 MiB by default, used only as far as they are touched. */
  readonly memory?: number;
  /** Most sockets, connections in TIME-WAIT included; 65,536 by default. */
  readonly maxSockets?: number;
  /** Where secrets, sequence numbers and ports come from; the operating system by default. */
  readonly random?: Random;
  /**
   * The clock, in ms, that `poll` is told the time by. With it, round-trip times are right although time passes within a poll:
   * without it, what is sent and answered in the same one seems to have taken none.
   */
  readonly clock?: (() => number) | undefined;
  /**
   * Which one this is of several stacks with the same addresses, each in a thread of its own: it then takes local ports and
   * echo identifiers of a share of its own only, by which its answers are known. Unless told there is one.
   */
  readonly worker?: WorkerPlace | undefined;
  /** What of TCP's behaviour should be otherwise. */
  readonly tcp?: Partial<TcpSettings>;
}

export interface RouteOptions {
  /** The network that the route leads to: `10.0.0.0/8`. */
  readonly to: string;
  /** The router's address; without one, the network's hosts are neighbours. */
  readonly via?: string | undefined;
}

export interface InterfaceOptions extends EthernetOptions {
  readonly device: Device;
  /** Addresses of the stack on it, with the length of their network's prefix: `192.168.69.1/24`. */
  readonly addresses: readonly string[];
  /** Where packets go that are for no interface's network, and that no route leads to. */
  readonly gateway?: string;
  /** Ways to other networks; of those that lead to an address the one with the longest prefix is taken. */
  readonly routes?: readonly RouteOptions[];
  /**
   * The largest MSS, in bytes from 88, that connections on it announce and send: for a link behind which packets of the MTU
   * do not get through and nobody says so, such as a tunnel's. Unless told, what the MTU leaves.
   */
  readonly maxSegmentSize?: number;
}

const DEFAULT_MEMORY = 64 * 1024 * 1024;
/** A page to send from, and one to receive into. */
const SMALLEST_MEMORY = 2 * PAGE_SIZE;
/** One page less than 2 GiB: places in the pool are 31-bit integers. */
const LARGEST_MEMORY = 2 ** 31 - PAGE_SIZE;
const DEFAULT_MAX_SOCKETS = 65_536;

/** Frames taken from a device before the sockets may answer. */
const RECEIVE_BATCH = 64;
/** Frames sent before the devices are asked again. */
const SEND_BATCH = 256;
/** Rounds of one poll: then whoever polls gets to do something else. */
const ROUNDS = 8;

/**
 * A TCP/IP stack: interfaces, sockets, and a `poll` that moves everything that can be moved. It has no clock, no timers
 * and no threads: it runs when it is polled, in the time it is told.
 *
 * @example
 * ```ts
 * const stack = new Stack();
 * stack.addInterface({ device, addresses: ["192.168.69.1/24"] });
 * stack.sockets.connect({ address: "192.168.69.2", port: 7 });
 * const now = 10;
 * while (stack.poll(now));
 * stack.nextDeadline(now); // 1_010; the SYN is sent again after a second without an answer
 * ```
 */
export class Stack {
  readonly stats = new Stats();
  readonly sockets: SocketSet;
  private readonly context: SocketContext;
  private readonly routes = new Routes();
  private readonly interfaces: Interface[] = [];
  private readonly maxSockets: number;

  /** @throws StackError EINVAL */
  constructor(options: StackOptions = {}) {
    const { memory = DEFAULT_MEMORY, maxSockets = DEFAULT_MAX_SOCKETS, random = systemRandom() } = options;
    requireWhole("maxSockets", maxSockets, 1, 1 << 24);
    if (!(memory >= SMALLEST_MEMORY && memory <= LARGEST_MEMORY)) {
      throw new StackError(
        "EINVAL",
        `memory must be from ${SMALLEST_MEMORY} to ${LARGEST_MEMORY} bytes, not ${memory}`,
      );
    }
    const worker = options.worker ?? ALONE;
    checkPlace(worker);
    const settings = tcpSettings(options.tcp);
    settings.maxOrphans = Math.min(settings.maxOrphans, Math.max(maxSockets >> 1, 1));
    const pool = new BufferPool(memory);
    this.maxSockets = maxSockets;
    this.context = new SocketContext(maxSockets, this.stats, random, pool, settings, this.routes, worker);
    this.context.clock = options.clock ?? null;
    this.sockets = new SocketSet(this.context, maxSockets);
  }

  /**
   * Puts a device under the stack.
   *
   * On Ethernet its addresses are probed first (RFC 5227), which takes polls and about 200 ms: until `state` is `"ready"`
   * nothing is sent from and received at them. `"conflict"` is the end of it, with the reason in `conflict`.
   *
   * @throws StackError EINVAL (bad address, a router that is no neighbour, an option out of its range), ENOTSUP
   */
  addInterface(options: InterfaceOptions): Interface {
    const addresses = options.addresses.map(parseCidr);
    const gateway = options.gateway === undefined ? null : parseAddress(options.gateway);
    const routes = (options.routes ?? []).map(({ to, via }) => ({
      to: parseCidr(to),
      via: via === undefined ? null : parseAddress(via),
    }));
    const spec = { ...options, addresses, gateway, routes };
    const iface = new Interface(spec, this.context, this.maxSockets);
    this.interfaces.push(iface);
    this.routes.add(iface);
    return iface;
  }

  /**
   * Takes what the devices have received, runs the timers that are due, sends what is to be sent, and tells the program
   * what has happened. Returns whether there is more to do at once.
   *
   * @param now ms; never less than the time before
   * @throws StackError EBUSY when called from a socket's handler
   */
  poll(now: number): boolean {
    const { context } = this;
    if (context.isPolling) {
      throw new StackError("EBUSY", "poll was called by a socket's handler: note the event, and poll later");
    }
    context.isPolling = true;
    try {
      context.now = now;
      for (let round = 0; round < ROUNDS; round++) {
        if (!this.step()) return false;
      }
      return true;
    } finally {
      context.isPolling = false;
    }
  }

  /** When `poll` has to be called at the latest, if no frame arrives before: ms, `now` for at once, or `NEVER`. */
  nextDeadline(now: number): number {
    if (this.sockets.hasFood) return now;
    const { deadlines, timeWaitAt } = this.context;
    let earliest = Math.min(deadlines.earliest, timeWaitAt, this.sockets.relieveAt, this.sockets.settleAt);
    for (const iface of this.interfaces) {
      if (iface.ready.size > 0 && !iface.blocked && iface.state === "ready") return now;
      earliest = Math.min(earliest, iface.deadline);
    }
    return Math.max(now, earliest);
  }

  /** One round of a poll; returns whether there may be more to do. */
  private step(): boolean {
    const { context, interfaces, sockets } = this;
    let news = 0;
    for (const iface of interfaces) {
      seeToLink(iface, sockets);
      news += this.receive(iface);
      if (iface.link !== null) runLinkTimers(iface, iface.link, sockets);
    }
    sockets.runTimers();
    sockets.feedStarved();
    // Before anything is sent: what the programs do now goes out together with the ACKs of what has arrived.
    sockets.deliverEvents();
    // A connection that was accepted just now may have brought text.
    if (context.signalled.size > 0) sockets.deliverEvents();
    for (const iface of interfaces) {
      if (iface.state !== "ready") continue;
      drainReady(iface, sockets, SEND_BATCH);
      if (iface.ready.size > 0 && !iface.blocked) news++;
    }
    // What was sent is no reason to ask the devices again, which may cost a system call: they call back.
    news += context.signalled.size;
    sockets.settle();
    for (const iface of interfaces) iface.deliverEvents();
    return news > 0;
  }

  private receive(iface: Interface): number {
    const { device, received, link, flow } = iface;
    const { lent } = this.context.pool;
    // What the handlers have not read is stored before the frames that hold it are given back.
    lent.settle();
    lent.isOpen = device.receiveMore !== undefined;
    flow.beginBatch();
    let count = 0;
    for (
      let more = device.receive(received);
      more;
      more = count < RECEIVE_BATCH && receiveMore(device, received)
    ) {
      count++;
      if (flow.joins()) continue;
      flow.endTrain();
      if (link !== null) {
        ethernetInput(iface, link, this.sockets, received);
        continue;
      }
      const { bytes, offset, length, checksumOffloaded, segmentSize } = received;
      ipInput(iface, this.sockets, bytes, offset, length, checksumOffloaded, segmentSize);
    }
    flow.endTrain();
    this.stats.framesReceived += count;
    return count;
  }
}

/** The next frame of a batch; the ones before stay valid where the device can keep them. */
function receiveMore(device: Device, frame: Frame): boolean {
  return device.receiveMore === undefined ? device.receive(frame) : device.receiveMore(frame);
}
