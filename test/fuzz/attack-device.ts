import type { Capabilities, Device, DeviceEvent, Frame } from "../../src/device.ts";
import { read32 } from "../../src/wire/bytes.ts";
import { ipv4HeaderLength, PROTOCOL_TCP } from "../../src/wire/ipv4.ts";
import { findIp } from "../../src/wire/offload.ts";
import { PEER_WORD } from "./target.ts";

/** Hands out the frames of an attack, one after the other, until it has no more for now. */
export interface FrameSource {
  next(frame: Frame): boolean;
}

/** Sees what passes the victim's device: what the peer has sent, what the attacker has, and what the victim sends. */
export type Witness = (kind: "peer" | "attack" | "sent", frame: Frame) => void;

const EMPTY: FrameSource = { next: () => false };

/**
 * The victim's device: an attacker's frames come before those of the simulated network. What the victim sends to its peer
 * goes there; what it sends to anybody else is counted, and nobody answers.
 */
export class AttackDevice implements Device {
  source: FrameSource = EMPTY;
  witness: Witness | null = null;
  /** The ports of the connection under attack, as its segments to the peer begin with them; 0 before there is one. */
  ports = 0;
  /** Segments of that connection that the victim has sent, and all of its packets: not the questions for who is to get them. */
  segmentsToPeer = 0;
  sent = 0;
  private readonly inner: Device;

  constructor(inner: Device) {
    this.inner = inner;
  }

  /** From now on only the network's frames are received. */
  stop(): void {
    this.source = EMPTY;
  }

  get capabilities(): Capabilities {
    return this.inner.capabilities;
  }

  receive(frame: Frame): boolean {
    if (this.source.next(frame)) {
      this.witness?.("attack", frame);
      return true;
    }
    if (!this.inner.receive(frame)) return false;
    this.witness?.("peer", frame);
    return true;
  }

  transmit(length: number): Frame | null {
    return this.inner.transmit(length);
  }

  commit(frame: Frame): void {
    this.witness?.("sent", frame);
    const { bytes, offset, length } = frame;
    const ip = findIp(bytes, offset, length, this.capabilities.medium === "ethernet");
    if (ip >= 0) {
      this.sent++;
      // Not committed, it is forgotten.
      if (read32(bytes, ip + 16) !== PEER_WORD) return;
      const isSegment = bytes[ip + 9] === PROTOCOL_TCP;
      if (isSegment && read32(bytes, ip + ipv4HeaderLength(bytes, ip)) === this.ports) this.segmentsToPeer++;
    }
    this.inner.commit(frame);
  }

  onReadable(callback: () => void): void {
    this.inner.onReadable(callback);
  }

  onWritable(callback: () => void): void {
    this.inner.onWritable(callback);
  }

  onEvent(callback: (event: DeviceEvent) => void): void {
    this.inner.onEvent?.(callback);
  }

  close(): void {
    this.inner.close();
  }
}
