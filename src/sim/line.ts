import type { Medium } from "../device.ts";
import type { Random } from "../random.ts";
import { copyBytes } from "../storage/copy.ts";
import { NEVER } from "../storage/deadline-heap.ts";
import { ETHERNET_HEADER_LENGTH, VLAN_TAG_LENGTH } from "../wire/ethernet.ts";
import { Codel, type CodelVerdicts } from "./codel.ts";
import { type LineOptions, type LineSettings, lineSettings } from "./line-options.ts";
import { happens, Loss } from "./loss.ts";
import { corruptFrame, markCongestion } from "./mark.ts";
import type { Port } from "./node.ts";
import { type Packet, type PacketPool, PacketQueue } from "./packet-pool.ts";
import { Occurrence, type Timeline } from "./timeline.ts";

/** What has become of a line's frames. */
export class LineStats {
  /** Frames that were put into its queue, or would have been. */
  sent = 0;
  delivered = 0;
  deliveredBytes = 0;
  /** Lost on the way: `loss`. */
  lost = 0;
  /** Found the queue full. */
  queueDropped = 0;
  codelDropped = 0;
  codelMarked = 0;
  duplicated = 0;
  reordered = 0;
  corrupted = 0;
  /** Larger than the link's MTU. */
  tooLong = 0;
  /** Sent, waiting or on the way while the link was down. */
  down = 0;
  /** Most frames that have waited in the queue. */
  mostQueued = 0;
}

/** What a line is told about each frame that enters it. */
export type OnFrame = (packet: Packet, line: Line) => void;

/**
 * One direction of a link: a queue, a sender that takes its time for each frame, and the way to the other end. It has one
 * occurrence in the timeline, however many frames are under way.
 */
export class Line implements CodelVerdicts {
  readonly stats = new LineStats();
  readonly from: Port;
  readonly to: Port;
  /** The time that the frame sent last has been in the queue, in ms. */
  queueDelayMs = 0;
  onFrame: OnFrame | null = null;
  private readonly timeline: Timeline;
  private readonly pool: PacketPool;
  private readonly random: Random;
  private readonly medium: Medium;
  private readonly wake: Occurrence;
  private longest = 0;
  private options: LineOptions;
  private settings: LineSettings;
  private readonly queue = new PacketQueue();
  private readonly codel = new Codel();
  private readonly loss = new Loss();
  /** What is being sent, and when its last bit leaves, in ms. */
  private sending: Packet | null = null;
  private sentAt = 0;
  /** On the way. None arrives before the one in front of it, whatever its own time is. */
  private readonly flight = new PacketQueue();
  /** Those that others overtake. */
  private readonly late = new PacketQueue();
  private isUp = true;

  /** Made by `Network.link`. */
  constructor(
    from: Port,
    to: Port,
    options: LineOptions,
    mtu: number,
    medium: Medium,
    timeline: Timeline,
    pool: PacketPool,
    random: Random,
  ) {
    this.from = from;
    this.to = to;
    this.options = options;
    this.settings = lineSettings(options);
    this.medium = medium;
    this.setMtu(mtu);
    this.timeline = timeline;
    this.pool = pool;
    this.random = random;
    this.wake = new Occurrence(() => this.advance());
  }

  /** Frames that are longer than a packet of `mtu` bytes makes them are lost from now on: for `Link.setMtu`. */
  setMtu(mtu: number): void {
    this.longest = mtu + (this.medium === "ethernet" ? ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH : 0);
  }

  /** Frames, and bytes, that wait for their turn. */
  get queuedPackets(): number {
    return this.queue.size;
  }

  get queuedBytes(): number {
    return this.queue.bytes;
  }

  /** Frames on the way to the other end. */
  get inFlight(): number {
    return this.flight.size + this.late.size;
  }

  /**
   * Changes options, from now on; those not given stay as they are. What is on the way arrives when it would have, and
   * nothing that is sent later overtakes it.
   *
   * @throws StackError EINVAL
   */
  set(options: LineOptions): void {
    const all = { ...this.options, ...options };
    this.settings = lineSettings(all);
    this.options = all;
    if (this.sending !== null) return;
    // Waiting frames are sent one by one, but at an unlimited rate all of them are gone at once.
    this.sendNext(this.timeline.now);
    this.arm();
  }

  /** Puts a frame into the queue, or takes it out of the network. */
  send(packet: Packet): void {
    const { stats, settings, queue } = this;
    const { now } = this.timeline;
    stats.sent++;
    this.onFrame?.(packet, this);
    if (!this.isUp) {
      stats.down++;
      this.pool.give(packet);
      return;
    }
    if (packet.frame.length > this.longest) {
      stats.tooLong++;
      this.pool.give(packet);
      return;
    }
    packet.queuedAt = now;
    if (this.sending === null) {
      this.start(packet, now);
      this.arm();
      return;
    }
    if (queue.size >= settings.queuePackets || queue.bytes + packet.frame.length > settings.queueBytes) {
      stats.queueDropped++;
      this.pool.give(packet);
      return;
    }
    queue.push(packet);
    if (queue.size > stats.mostQueued) stats.mostQueued = queue.size;
  }

  /** Lets it work, or work no more: what is in it is lost then. */
  setUp(up: boolean): void {
    this.isUp = up;
    if (up) return;
    if (this.sending !== null) this.lose(this.sending);
    this.sending = null;
    for (const queue of [this.queue, this.flight, this.late]) {
      for (let packet = queue.shift(); packet !== null; packet = queue.shift()) this.lose(packet);
    }
    this.arm();
  }

  /** CoDel's verdicts. */
  mark(packet: Packet): boolean {
    if (!markCongestion(packet.frame, this.medium)) return false;
    this.stats.codelMarked++;
    return true;
  }

  drop(packet: Packet): void {
    this.stats.codelDropped++;
    this.pool.give(packet);
  }

  private lose(packet: Packet): void {
    this.stats.down++;
    this.pool.give(packet);
  }

  /** Does what is due: frames whose last bit has left, and those that have arrived. */
  private advance(): void {
    const { now } = this.timeline;
    if (this.sending !== null && this.sentAt <= now) {
      const packet = this.sending;
      this.sending = null;
      this.launch(packet, now);
      this.sendNext(now);
    }
    this.deliver(this.flight, now);
    this.deliver(this.late, now);
    this.arm();
  }

  private arm(): void {
    let at = this.sending === null ? NEVER : this.sentAt;
    const { first } = this.flight;
    if (first !== null && first.arrivesAt < at) at = first.arrivesAt;
    const late = this.late.first;
    if (late !== null && late.arrivesAt < at) at = late.arrivesAt;
    if (at !== this.wake.at) this.timeline.set(this.wake, at);
  }

  private sendNext(now: number): void {
    const { queue, settings } = this;
    while (this.sending === null && queue.size > 0) {
      const packet =
        settings.codel === null
          ? queue.shift()
          : this.codel.next(queue, now, settings.codel, this.longest, this);
      if (packet !== null) this.start(packet, now);
    }
  }

  private start(packet: Packet, now: number): void {
    this.queueDelayMs = now - packet.queuedAt;
    const { bitsPerMs } = this.settings;
    if (bitsPerMs === Number.POSITIVE_INFINITY) {
      this.launch(packet, now);
      return;
    }
    this.sending = packet;
    this.sentAt = now + (packet.frame.length * 8) / bitsPerMs;
  }

  /** Its last bit has left: what becomes of it on the way? */
  private launch(packet: Packet, now: number): void {
    const { settings, random, stats } = this;
    if (settings.loss !== null && this.loss.draw(random, settings.loss)) {
      stats.lost++;
      this.pool.give(packet);
      return;
    }
    if (happens(random, settings.corrupt)) {
      stats.corrupted++;
      corruptFrame(packet.frame, this.medium, random);
    }
    const jitter = settings.jitterMs > 0 ? (random.next() / 0x1_0000_0000) * settings.jitterMs : 0;
    packet.arrivesAt = now + settings.delayMs + jitter;
    const copy = happens(random, settings.duplicate) ? copyOf(packet, this.pool) : null;
    if (happens(random, settings.reorder)) {
      stats.reordered++;
      packet.arrivesAt += settings.reorderMs;
      this.late.insert(packet);
    } else {
      this.flight.push(packet);
    }
    if (copy === null) return;
    stats.duplicated++;
    this.flight.push(copy);
  }

  private deliver(queue: PacketQueue, now: number): void {
    const { stats, to } = this;
    while (queue.first !== null && queue.first.arrivesAt <= now) {
      const packet = queue.shift() as Packet;
      stats.delivered++;
      stats.deliveredBytes += packet.frame.length;
      to.arrive(packet);
    }
  }
}

/** A packet of its own with the same frame, or `null` where there is no memory. */
export function copyOf({ frame, start, origin, arrivesAt }: Packet, pool: PacketPool): Packet | null {
  const copy = pool.take(frame.length, frame.offset - start, origin);
  if (copy === null) return null;
  copyBytes(frame.bytes, frame.offset, copy.frame.bytes, copy.frame.offset, frame.length);
  copy.frame.checksumOffloaded = frame.checksumOffloaded;
  copy.arrivesAt = arrivesAt;
  return copy;
}
