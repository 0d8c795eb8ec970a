import { type Capabilities, type Device, Frame } from "../../src/device.ts";

/** So that an IP header behind an Ethernet header, with a tag or without, is on a multiple of four. */
const HEADROOM = 6;
/** An Ethernet header with a tag. */
const LINK_HEADER = 18;
const LARGEST_FRAME = 65_535 + LINK_HEADER;

/**
 * An Ethernet device whose other end is the test. As unkind as `TestDevice`: a received frame is overwritten with 0xdd when
 * the next one is asked for, and a lent one is full of 0xa5. A frame that is too long for it is a mistake, and throws.
 */
export class EthernetDevice implements Device {
  capabilities: Capabilities;
  /** What the stack has sent, in order. */
  readonly sent: Uint8Array[] = [];
  /** Frames that may be sent before the device is full. */
  room = Number.POSITIVE_INFINITY;
  private readonly injected: Uint8Array[] = [];
  private readonly receiving = new Uint8Array(HEADROOM + LARGEST_FRAME).fill(0xdd);
  private readonly lent = new Frame(new Uint8Array(HEADROOM + LARGEST_FRAME));

  constructor(hardwareAddress: Uint8Array, mtu = 1_500, maxSuperSegment = 0) {
    const checksumOffload = maxSuperSegment > 0;
    this.capabilities = { medium: "ethernet", mtu, checksumOffload, maxSuperSegment, hardwareAddress };
  }

  /** From now on packets of this size fit. */
  setMtu(mtu: number): void {
    this.capabilities = { ...this.capabilities, mtu };
  }

  /** Lets the stack receive this frame. */
  inject(...frames: Uint8Array[]): void {
    this.injected.push(...frames);
  }

  /** Takes out what the stack has sent since. */
  take(): Uint8Array[] {
    return this.sent.splice(0);
  }

  receive(frame: Frame): boolean {
    this.receiving.fill(0xdd, 0, HEADROOM + this.capabilities.mtu + LINK_HEADER);
    const next = this.injected.shift();
    if (next === undefined) return false;
    this.receiving.set(next, HEADROOM);
    frame.bytes = this.receiving;
    frame.offset = HEADROOM;
    frame.length = next.length;
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    return true;
  }

  transmit(length: number): Frame | null {
    if (this.room <= 0) return null;
    const { mtu, maxSuperSegment } = this.capabilities;
    if (length > Math.max(mtu, maxSuperSegment) + LINK_HEADER) throw new Error(`${length} bytes do not fit`);
    this.lent.bytes.fill(0xa5, 0, HEADROOM + length);
    this.lent.offset = HEADROOM;
    this.lent.length = length;
    this.lent.checksumOffloaded = false;
    this.lent.segmentSize = 0;
    return this.lent;
  }

  commit(frame: Frame): void {
    if (frame.segmentSize === 0 && frame.length > this.capabilities.mtu + LINK_HEADER) {
      throw new Error(`${frame.length} bytes exceed the MTU`);
    }
    this.room--;
    this.sent.push(frame.bytes.slice(frame.offset, frame.offset + frame.length));
  }

  onReadable(): void {}
  onWritable(): void {}
  close(): void {}
}
