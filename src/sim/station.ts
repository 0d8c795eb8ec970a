import type { Capabilities, Device, DeviceEvent, Frame, Medium } from "../device.ts";
import { StackError } from "../errors.ts";
import { ETHERNET_HEADER_LENGTH, VLAN_TAG_LENGTH } from "../wire/ethernet.ts";
import type { Cidr } from "../wire/ip-address.ts";
import type { Line } from "./line.ts";
import { isSeparated, type Port, type SimNode } from "./node.ts";
import { type Packet, type PacketPool, PacketQueue } from "./packet-pool.ts";

/** An Ethernet header of 14 or 18 bytes that starts at 2 puts the IP header on a multiple of four. */
const ETHERNET_OFFSET = 2;

/** What has become of a station's frames beside what its line counts. */
export class StationStats {
  /** Not sent: no cable is plugged in. */
  unplugged = 0;
  /** Not sent: the network's memory was full. */
  noMemory = 0;
  /** Arrived, but a partition lies between here and who sent it. */
  partitioned = 0;
}

/** A network interface: the device of a stack, and an end of a link. */
export class Station implements Device, Port {
  readonly node: SimNode;
  readonly stats = new StationStats();
  readonly addresses: readonly Cidr[];
  line: Line | null = null;
  private current: Capabilities;
  private readonly pool: PacketPool;
  private readonly firstByte: number;
  private readonly headerLength: number;
  private readonly received = new PacketQueue();
  /** What the stack is reading, and what it writes into. */
  private held: Packet | null = null;
  private lent: Packet | null = null;
  /** Whom the next frames come from, where that is not this node: see `sendFor`. */
  private origin: SimNode;
  private readable: (() => void) | null = null;
  private onDeviceEvent: ((event: DeviceEvent) => void) | null = null;
  private starved = true;
  private isUp = true;
  private closed = false;

  constructor(node: SimNode, addresses: readonly Cidr[], capabilities: Capabilities, pool: PacketPool) {
    this.node = node;
    this.origin = node;
    this.addresses = addresses;
    this.current = capabilities;
    this.pool = pool;
    const isEthernet = capabilities.medium === "ethernet";
    this.firstByte = isEthernet ? ETHERNET_OFFSET : 0;
    this.headerLength = isEthernet ? ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH : 0;
  }

  get capabilities(): Capabilities {
    return this.current;
  }

  get medium(): Medium {
    return this.current.medium;
  }

  /** Who sent the frame that was received last. */
  get heldOrigin(): SimNode {
    return this.held?.origin ?? this.node;
  }

  /** Has the next frame count as one of `origin`: a router passes it on. */
  sendFor(origin: SimNode): void {
    this.origin = origin;
  }

  arrive(packet: Packet): void {
    if (this.closed || isSeparated(packet.origin, this.node)) {
      if (!this.closed) this.stats.partitioned++;
      this.pool.give(packet);
      return;
    }
    this.received.push(packet);
    if (!this.starved) return;
    this.starved = false;
    this.readable?.();
  }

  onLink(up: boolean, mtu: number): void {
    if (this.closed) return;
    if (mtu !== this.current.mtu) {
      this.current = { ...this.current, mtu };
      this.onDeviceEvent?.({ type: "mtu", mtu });
    }
    if (up === this.isUp) return;
    this.isUp = up;
    this.onDeviceEvent?.({ type: up ? "up" : "down" });
  }

  receive(frame: Frame): boolean {
    if (this.held !== null) this.pool.give(this.held);
    const packet = this.received.shift();
    this.held = packet;
    if (packet === null) {
      this.starved = true;
      return false;
    }
    const from = packet.frame;
    frame.bytes = from.bytes;
    frame.offset = from.offset;
    frame.length = from.length;
    frame.checksumOffloaded = from.checksumOffloaded;
    frame.segmentSize = 0;
    return true;
  }

  /** Never `null`: where memory is short, the frame is lost, as it would be in a queue that is full. */
  transmit(length: number): Frame | null {
    if (length > this.current.mtu + this.headerLength) {
      throw new StackError(
        "EMSGSIZE",
        `A frame of ${length} bytes does not fit this link, which carries packets of ${this.current.mtu}; keep them within its MTU.`,
      );
    }
    if (this.lent !== null) this.pool.give(this.lent);
    this.lent = this.pool.take(length, this.firstByte, this.origin);
    if (this.lent !== null) return this.lent.frame;
    this.stats.noMemory++;
    return this.pool.scrap(length, this.firstByte);
  }

  commit(frame: Frame): void {
    const { lent, line } = this;
    if (lent === null || lent.frame !== frame) return;
    this.lent = null;
    if (line === null || this.closed) {
      if (line === null) this.stats.unplugged++;
      this.pool.give(lent);
      return;
    }
    line.send(lent);
  }

  onReadable(callback: () => void): void {
    this.readable = callback;
    if (this.received.size === 0) return;
    this.starved = false;
    callback();
  }

  /** There is always room. */
  onWritable(): void {}

  onEvent(callback: (event: DeviceEvent) => void): void {
    this.onDeviceEvent = callback;
  }

  close(): void {
    this.closed = true;
    this.readable = null;
    this.onDeviceEvent = null;
    if (this.held !== null) this.pool.give(this.held);
    if (this.lent !== null) this.pool.give(this.lent);
    this.held = null;
    this.lent = null;
    for (let packet = this.received.shift(); packet !== null; packet = this.received.shift()) {
      this.pool.give(packet);
    }
  }
}
