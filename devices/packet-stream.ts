/** A device over a stream: a tunnel becomes a host with sockets. */

import type { Capabilities, Device, DeviceEvent, Frame } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import {
  type PacketCounts,
  type PacketDevice,
  type PacketDeviceOptions,
  packetDevice,
} from "./packet-device.ts";
import { Deframer, FRAMINGS, type Framing, prefixLength, writePrefix } from "./packet-framing.ts";
import { type Link, linkOver, type PacketSource } from "./packet-link.ts";

/** What can be chosen about a packet stream. */
export interface StreamDeviceOptions extends PacketDeviceOptions {
  /** How packets lie in the stream; `"packet"`, each chunk is one, unless told. */
  readonly framing?: Framing;
}

/** How many packets passed a stream, and what became of the others. */
export interface StreamCounts extends PacketCounts {
  /** Packets of the stack that were sent when the stream had ended. */
  readonly lost: number;
  /** Packets of no bytes that have arrived, skipped. */
  readonly empty: number;
}

/** A device over a stream; see {@link streamDevice}. */
export interface StreamDevice extends Device {
  readonly counts: StreamCounts;
}

/** Packets go into a stream of bytes in pieces of about this size. */
const CHUNK = 64 * 1024;
/** ms that a stream has, when its device is closed, to take what was sent before. */
const CLOSE_MS = 1_000;

/** Bytes that are held, at most, of a stream that sends although it was paused. */
const MOST_HELD = 1 << 20;

class LinkedDevice implements StreamDevice {
  private readonly device: PacketDevice;
  private readonly link: Link;
  private readonly framing: Framing;
  private readonly deframer: Deframer;
  private readonly scratch: Uint8Array;
  /** Bytes that have arrived and found no room, from `heldAt` on; the link is paused. */
  private held: Uint8Array | null = null;
  private heldAt = 0;
  /** The link has had enough for now. */
  private blocked = false;
  /** The stream has ended, although it is paused: what is held comes first. */
  private endHeld = false;
  /** The stream has ended. */
  private over = false;
  /** The device was closed. */
  private closing = false;
  /** And everything that it sent was given to the link. */
  private linkClosed = false;
  private closeTimer: ReturnType<typeof setTimeout> | undefined;
  private lost = 0;

  constructor(link: Link, framing: Framing, options: PacketDeviceOptions) {
    const device = packetDevice(options);
    this.device = device;
    this.link = link;
    this.framing = framing;
    this.deframer = new Deframer(
      framing,
      device.largest,
      // What a link that cannot pause brings is lost where there is no room.
      (bytes, offset, length) => device.push(bytes, offset, length) || !link.canPause,
    );
    this.scratch = new Uint8Array(Math.max(CHUNK, prefixLength(framing) + device.largest));
    device.onPacket(() => this.drain());
    device.onRoom(() => this.goOn());
    link.start({
      arrived: (bytes) => this.arrived(bytes),
      writable: () => {
        this.blocked = false;
        this.drain();
      },
      ended: (error) => this.ended(error),
    });
    // A packet device tells of packets only after somebody has asked for one.
    this.drain();
  }

  get capabilities(): Capabilities {
    return this.device.capabilities;
  }

  get counts(): StreamCounts {
    return { ...this.device.counts, lost: this.lost, empty: this.deframer.empty };
  }

  receive(frame: Frame): boolean {
    return this.device.receive(frame);
  }

  transmit(length: number): Frame | null {
    return this.device.transmit(length);
  }

  commit(frame: Frame): void {
    this.device.commit(frame);
  }

  onReadable(callback: () => void): void {
    this.device.onReadable(callback);
  }

  onWritable(callback: () => void): void {
    this.device.onWritable(callback);
  }

  onEvent(callback: (event: DeviceEvent) => void): void {
    this.device.onEvent?.(callback);
  }

  close(): void {
    if (this.closing) return;
    this.closing = true;
    this.device.close();
    if (this.over) return;
    if (this.held !== null) this.link.resume();
    this.held = null;
    // A sink that takes nothing would keep the stream open for ever.
    this.closeTimer = setTimeout(() => this.link.destroy(), CLOSE_MS);
    this.closeTimer.unref();
    this.drain();
  }

  /** Returns whether everything found room. */
  private arrived(bytes: Uint8Array): boolean {
    if (this.over || this.closing) return true;
    const { refused } = this.device.counts;
    if (this.held === null) this.feed(bytes, 0);
    else this.holdMore(this.held.subarray(this.heldAt), bytes);
    return this.device.counts.refused === refused;
  }

  /** There is room for what found none. */
  private goOn(): void {
    if (this.held === null || this.over) return;
    this.feed(this.held, this.heldAt);
    if (this.held !== null || this.over) return;
    if (this.endHeld) this.ended(null);
    else this.link.resume();
  }

  private feed(bytes: Uint8Array, from: number): void {
    try {
      const at = this.deframer.feed(bytes, from);
      if (this.deframer.stalled) this.hold(bytes, at);
      else this.held = null;
    } catch (error) {
      this.ended(error);
    }
  }

  /** The stream goes on although it is paused. A single chunk may be of any size: it is in memory already. */
  private holdMore(held: Uint8Array, bytes: Uint8Array): void {
    if (held.length + bytes.length > MOST_HELD) {
      this.ended(new StackError("ENOBUFS", "the stream goes on when it is paused: use one that does not"));
    } else {
      this.hold(Buffer.concat([held, bytes]), 0);
    }
  }

  private hold(bytes: Uint8Array, at: number): void {
    if (this.held === null) this.link.pause();
    this.held = bytes;
    this.heldAt = at;
  }

  /** Gives the link what the stack has sent, as far as it takes it. */
  private drain(): void {
    while (!this.blocked && !this.over) {
      const bytes = this.framing === "packet" ? this.device.take() : this.gather();
      if (bytes !== null) {
        this.blocked = !this.link.write(bytes);
        continue;
      }
      if (this.closing && !this.linkClosed) {
        this.linkClosed = true;
        this.link.close();
      }
      return;
    }
    // As on a cable that is unplugged.
    if (this.over) while (this.device.takeInto(this.scratch) > 0) this.lost++;
  }

  /** The packets that wait, with what goes in front of each, as far as they make a chunk; or `null`. */
  private gather(): Uint8Array<ArrayBuffer> | null {
    const { device, framing, scratch } = this;
    const prefix = prefixLength(framing);
    let used = 0;
    while (scratch.length - used >= prefix + device.largest) {
      const length = device.takeInto(scratch, used + prefix);
      if (length === 0) break;
      used += writePrefix(framing, scratch, used, length) + length;
    }
    return used === 0 ? null : (scratch.slice(0, used) as Uint8Array<ArrayBuffer>);
  }

  private ended(error: unknown): void {
    if (this.over) return;
    if (error === null && this.held !== null) {
      this.endHeld = true;
      return;
    }
    this.over = true;
    this.held = null;
    clearTimeout(this.closeTimer);
    if (!this.closing) {
      if (error !== null) this.device.report({ type: "error", error: streamError(error) });
      this.device.report({ type: "removed" });
    }
    this.link.destroy();
    this.drain();
  }
}

function streamError(error: unknown): StackError {
  if (error instanceof StackError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new StackError("EIO", `the stream below the device failed: ${reason}`, { cause: error });
}

/**
 * A device over whatever carries packets: a tunnel becomes a host with sockets of its own, without root. It may be
 *
 * - a Duplex of node's, such as a socket or a pipe;
 * - a pair of web streams, `{ readable, writable }`;
 * - two functions, `{ send, receive }`; `overWebSocket` makes them of a WebSocket.
 *
 * When the stream is slow, the stack waits; when the stack is slow, the stream is paused (functions cannot be: what finds
 * no room is lost then, as anywhere in a network). The device's memory is allocated here, but each chunk that a stream is
 * given is one of its own. When the stream ends, the device is removed, after an error event if it failed; closing
 * the device closes the stream.
 *
 * @throws StackError EINVAL where an option is out of its range
 *
 * @example
 * ```ts
 * const [one, other] = duplexPair();
 * const options = { mtu: 16_000, framing: "length16" } as const; // As tunnels to phones have it.
 * const server = await open({ device: streamDevice(one, options), addresses: ["10.0.0.1/24"] });
 * const client = await open({ device: streamDevice(other, options), addresses: ["10.0.0.2/24"] });
 * const reply = await client.ping("10.0.0.1", { size: 15_000 });
 * reply.bytes; // 15_008
 * await client.close();
 * await server.close();
 * ```
 */
export function streamDevice(source: PacketSource, options: StreamDeviceOptions = {}): StreamDevice {
  const { framing = "packet", ...rest } = options;
  if (!FRAMINGS.includes(framing)) {
    throw new StackError("EINVAL", `framing is "${framing}"; it is one of ${FRAMINGS.join(", ")}`);
  }
  if (framing === "ip" && rest.medium === "ethernet") {
    throw new StackError(
      "EINVAL",
      'Ethernet frames do not tell their length: use framing "length16" or "length32"',
    );
  }
  return new LinkedDevice(linkOver(source), framing, rest);
}
