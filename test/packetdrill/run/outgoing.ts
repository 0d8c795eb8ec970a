import type { Packet } from "../script.ts";
import { describeLive } from "../wire/describe.ts";
import { FLAG_BITS, type LivePacket, type LiveTcp } from "../wire/live.ts";
import type { Window } from "./clock.ts";
import type { Flow, Flows } from "./flow.ts";
import type { World } from "./world.ts";

/** How long after its time a packet is waited for, to tell that it came late: ms. */
const LATE_MS = 60_000;
/** How long one is waited for that may come at any time. */
const ANY_MS = 86_400_000;

export interface Found {
  /** What was sent; segments that add up to the expected one are one. `null`: nothing. */
  readonly packet: LivePacket | null;
  /** When the last of them was sent, in ms. */
  readonly lastAt: number;
  /** What is wrong with it already. */
  readonly wrong: string | null;
}

/** What the stack has sent, in the pieces that the script expects. */
export class Outgoing {
  private readonly world: World;
  private readonly flows: Flows;
  private readonly remote: number;
  private readonly strict: boolean;
  private readonly note: (text: string) => void;
  /** The rest of a segment that was larger than expected. */
  private rest: LivePacket | null = null;

  constructor(world: World, flows: Flows, remote: number, strict: boolean, note: (text: string) => void) {
    this.world = world;
    this.flows = flows;
    this.remote = remote;
    this.strict = strict;
    this.note = note;
  }

  /** The next packet of the connection under test, with as much data as the script expects, if it can be had. */
  next(expected: Packet, window: Window): Found {
    const limit = (window.isAny ? ANY_MS : LATE_MS) + window.to / 1000;
    const first = this.take(expected, limit);
    if (first === null) return { packet: null, lastAt: 0, wrong: null };
    const wanted = lengthOf(expected);
    if (first.body.protocol !== "tcp" || expected.body.protocol !== "tcp") {
      return { packet: first, lastAt: first.at, wrong: null };
    }
    const length = first.body.payload.length;
    if (!this.strict && wanted > 0 && length > wanted)
      return { packet: this.split(first, expected), lastAt: first.at, wrong: null };
    let packet = first;
    let lastAt = first.at;
    while (!this.strict && wanted > 0 && payloadOf(packet) > 0 && payloadOf(packet) < wanted) {
      const more = this.take(expected, limit);
      if (more === null) break;
      const joined = join(packet, more);
      if (joined === null) {
        this.rest = more;
        break;
      }
      packet = joined;
      lastAt = more.at;
    }
    const isJoined = packet !== first;
    if (isJoined && expected.body.flags.includes("P")) packet = pushed(packet);
    const got = payloadOf(packet);
    if (got > wanted && wanted > 0 && !this.strict)
      return { packet: this.split(packet, expected), lastAt, wrong: null };
    const wrong =
      got === wanted ? null : `live packet payload: expected ${wanted} bytes vs actual ${got} bytes`;
    return { packet, lastAt, wrong };
  }

  /** Waits for the next packet that is for the script, up to `limit` (ms). */
  private take(expected: Packet, limit: number): LivePacket | null {
    const { rest, world } = this;
    if (rest !== null) {
      this.rest = null;
      return rest;
    }
    for (;;) {
      const packet = world.wire.sent.shift();
      if (packet === undefined) {
        if (!world.step(limit)) return null;
        continue;
      }
      const flow = this.flows.current;
      if (flow !== null && this.isFor(packet, expected, flow)) return packet;
      if (flow !== null) this.note(`not of the connection under test: ${describeLive(packet, flow)}`);
    }
  }

  private isFor(packet: LivePacket, expected: Packet, flow: Flow): boolean {
    const { body } = packet;
    if (expected.ports !== undefined && (body.protocol === "tcp" || body.protocol === "udp")) {
      const { source, destination } = expected.ports;
      const isFrom = source === 0 || source === body.sourcePort;
      if (isFrom && (destination === 0 || destination === body.destinationPort)) return true;
    }
    if (flow.owns(packet, this.remote)) return true;
    return (
      body.protocol === "icmp" && expected.body.protocol === "icmp" && packet.ip.destination === this.remote
    );
  }

  /** Cuts off what the script expects; the rest is the next packet. */
  private split(packet: LivePacket, expected: Packet): LivePacket {
    const { body } = packet;
    if (body.protocol !== "tcp" || expected.body.protocol !== "tcp") return packet;
    const { length, flags } = expected.body;
    const sequence = (body.sequence + length) >>> 0;
    this.rest = { ...packet, body: { ...body, sequence, payload: body.payload.slice(length) } };
    // Where the stack ends a segment is not what is compared, and so neither is where it pushes.
    const push = flags.includes("P") ? FLAG_BITS.P : 0;
    const head = (body.flags & ~(FLAG_BITS.P | FLAG_BITS.F)) | push;
    return { ...packet, body: { ...body, flags: head, payload: body.payload.slice(0, length) } };
  }

  /** A packet of the connection that nobody expected; only the rest of one, unless `all`. */
  leftover(all: boolean): LivePacket | null {
    if (this.rest !== null) return this.rest;
    const flow = this.flows.current;
    if (!all || flow === null) return null;
    return this.world.wire.sent.find((packet) => flow.owns(packet, this.remote)) ?? null;
  }
}

function lengthOf({ body }: Packet): number {
  return body.protocol === "tcp" || body.protocol === "udp" ? body.length : 0;
}

function payloadOf({ body }: LivePacket): number {
  return body.protocol === "tcp" ? body.payload.length : 0;
}

/**
 * A kernel pushes with each super-segment that it gives to its device, which no other stack has to cut its data into: the
 * end of several segments that the script has as one counts as pushed.
 */
function pushed(packet: LivePacket): LivePacket {
  const { body } = packet;
  return body.protocol === "tcp" ? { ...packet, body: { ...body, flags: body.flags | FLAG_BITS.P } } : packet;
}

/** Two segments as one, where the second goes on where the first ends. */
function join(first: LivePacket, second: LivePacket): LivePacket | null {
  const a = first.body;
  const b = second.body;
  if (a.protocol !== "tcp" || b.protocol !== "tcp" || b.payload.length === 0) return null;
  if (b.sequence !== (a.sequence + a.payload.length) >>> 0) return null;
  const ending = FLAG_BITS.P | FLAG_BITS.F;
  if ((a.flags & ~ending) !== (b.flags & ~ending) || a.ack !== b.ack) return null;
  const payload = new Uint8Array(a.payload.length + b.payload.length);
  payload.set(a.payload);
  payload.set(b.payload, a.payload.length);
  const body: LiveTcp = { ...a, flags: (a.flags & ~ending) | (b.flags & ending), payload };
  return { ...first, body };
}
