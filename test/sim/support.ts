import { seededRandom } from "../../src/random.ts";
import { Line } from "../../src/sim/line.ts";
import type { LineOptions } from "../../src/sim/line-options.ts";
import { type Port, SimNode } from "../../src/sim/node.ts";
import { type Packet, PacketPool } from "../../src/sim/packet-pool.ts";
import { Timeline } from "../../src/sim/timeline.ts";

export const NEVER = Number.POSITIVE_INFINITY;

/** A frame that has come out of a line. */
export interface Arrival {
  readonly at: number;
  /** What the frame begins with: its number. */
  readonly index: number;
  readonly bytes: Uint8Array;
}

/** One line, whose frames are numbered in their first two bytes. */
export class LineRig implements Port {
  readonly node = new SimNode("rig");
  readonly timeline = new Timeline();
  readonly pool: PacketPool;
  readonly line: Line;
  readonly arrivals: Arrival[] = [];
  private sent = 0;

  constructor(options: LineOptions, { seed = 1, mtu = 1_500, memory = 64 << 20 } = {}) {
    this.pool = new PacketPool(memory);
    this.line = new Line(this, this, options, mtu, "ip", this.timeline, this.pool, seededRandom(seed));
  }

  /** Sends frames of `length` bytes now; `fill` puts something in, behind the number. */
  send(length: number, count = 1, fill?: (bytes: Uint8Array) => void): void {
    for (let i = 0; i < count; i++) {
      const packet = this.pool.take(length, 0, this.node);
      const index = this.sent++;
      if (packet === null) continue;
      const { bytes, offset } = packet.frame;
      const view = bytes.subarray(offset, offset + length).fill(0);
      if (fill !== undefined) fill(view);
      else view.set([index >> 8, index]);
      this.line.send(packet);
    }
  }

  /** Has everything happen until a time. */
  runTo(limit = NEVER): void {
    while (this.timeline.step(limit));
    if (limit < NEVER) this.timeline.moveTo(limit);
  }

  /** When frames arrived, or their numbers. */
  get times(): number[] {
    return this.arrivals.map(({ at }) => Math.round(at * 1e6) / 1e6);
  }

  get order(): number[] {
    return this.arrivals.map(({ index }) => index);
  }

  arrive(packet: Packet): void {
    const { bytes, offset, length } = packet.frame;
    const copy = bytes.slice(offset, offset + length);
    this.arrivals.push({ at: this.timeline.now, index: (copy[0] << 8) | copy[1], bytes: copy });
    this.pool.give(packet);
  }

  onLink(): void {}
}
