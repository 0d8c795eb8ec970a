import { OK } from "../errors.ts";
import { read16, read32 } from "../wire/bytes.ts";
import {
  checkEthernet,
  formatHardwareAddress,
  HARDWARE_ADDRESS_LENGTH,
  isGroupHardwareAddress,
} from "../wire/ethernet.ts";
import { copyOf, type Line } from "./line.ts";
import type { Port, SimNode } from "./node.ts";
import type { Packet, PacketPool } from "./packet-pool.ts";
import type { Timeline } from "./timeline.ts";

/** Options of {@link Switch}. */
export interface SwitchOptions {
  readonly name?: string;
  /** Stations whose places are remembered; frames to others go everywhere. 1,024 unless told. */
  readonly maxStations?: number;
  /** Seconds after which a station that was not heard of is forgotten; 300 unless told (802.1D table 7-5). */
  readonly ageSeconds?: number;
}

/** What a switch has done with its frames. */
export class SwitchStats {
  forwarded = 0;
  /** Frames to groups, and to stations that nobody has heard of, which go to every other port. */
  flooded = 0;
  /** Frames between stations of the same port: nothing to do. */
  local = 0;
  malformed = 0;
}

interface Place {
  port: SwitchPort;
  heardAt: number;
}

class SwitchPort implements Port {
  readonly node: SimNode;
  line: Line | null = null;
  private readonly owner: Switch;

  constructor(node: SimNode, owner: Switch) {
    this.node = node;
    this.owner = owner;
  }

  arrive(packet: Packet): void {
    this.owner.pass(packet, this);
  }

  /** The switch finds out by what it does not hear any more. */
  onLink(): void {}
}

/**
 * A learning switch (IEEE 802.1D-2004, 7) with as many ports as are linked to it: a frame goes where its destination was
 * heard last, or everywhere. It takes no time. There is no spanning tree, so links must not form a ring.
 */
export class Switch {
  readonly node: SimNode;
  readonly stats = new SwitchStats();
  private readonly ports: SwitchPort[] = [];
  private readonly places = new Map<number, Place>();
  private readonly maxStations: number;
  private readonly ageMs: number;
  private readonly timeline: Timeline;
  private readonly pool: PacketPool;

  /** Made by `Network.switch`. */
  constructor(node: SimNode, options: SwitchOptions, timeline: Timeline, pool: PacketPool) {
    this.node = node;
    this.maxStations = options.maxStations ?? 1_024;
    this.ageMs = (options.ageSeconds ?? 300) * 1_000;
    this.timeline = timeline;
    this.pool = pool;
  }

  /** The hardware addresses that it has heard, each with the name of the node at the other end of that port's link. */
  table(): (readonly [address: string, behind: string])[] {
    return [...this.places].map(([key, { port }]) => {
      const bytes = new Uint8Array(HARDWARE_ADDRESS_LENGTH);
      for (let i = 0; i < HARDWARE_ADDRESS_LENGTH; i++) bytes[i] = Math.floor(key / 2 ** (40 - 8 * i));
      return [formatHardwareAddress(bytes), port.line?.to.node.name ?? ""];
    });
  }

  /** A port for one more link. */
  addPort(): Port {
    const port = new SwitchPort(this.node, this);
    this.ports.push(port);
    return port;
  }

  /** Sends a packet on that has come in at `from`. */
  pass(packet: Packet, from: SwitchPort): void {
    const { bytes, offset, length } = packet.frame;
    const source = offset + HARDWARE_ADDRESS_LENGTH;
    if (checkEthernet(bytes, offset, length) !== OK || isGroupHardwareAddress(bytes, source)) {
      this.stats.malformed++;
      this.pool.give(packet);
      return;
    }
    this.learn(keyOf(bytes, source), from);
    const to = isGroupHardwareAddress(bytes, offset) ? null : this.find(keyOf(bytes, offset));
    if (to === null) {
      this.flood(packet, from);
    } else if (to === from || to.line === null) {
      this.stats.local++;
      this.pool.give(packet);
    } else {
      this.stats.forwarded++;
      to.line.send(packet);
    }
  }

  private learn(key: number, port: SwitchPort): void {
    const { now } = this.timeline;
    const place = this.places.get(key);
    if (place !== undefined) {
      place.port = port;
      place.heardAt = now;
      return;
    }
    if (this.places.size >= this.maxStations) this.forgetOld();
    if (this.places.size < this.maxStations) this.places.set(key, { port, heardAt: now });
  }

  private find(key: number): SwitchPort | null {
    const place = this.places.get(key);
    return place === undefined || this.isOld(place) ? null : place.port;
  }

  private isOld(place: Place): boolean {
    return this.timeline.now - place.heardAt > this.ageMs;
  }

  private forgetOld(): void {
    for (const [key, place] of this.places) {
      if (this.isOld(place)) this.places.delete(key);
    }
  }

  private flood(packet: Packet, from: SwitchPort): void {
    this.stats.flooded++;
    for (const port of this.ports) {
      if (port === from || port.line === null) continue;
      const copy = copyOf(packet, this.pool);
      if (copy !== null) port.line.send(copy);
    }
    this.pool.give(packet);
  }
}

/** An address as a number of 48 bits. */
function keyOf(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset) * 2 ** 32 + (read32(bytes, offset + 2) >>> 0);
}
