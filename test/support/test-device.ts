import { type Capabilities, type Device, Frame } from "../../src/device.ts";

const HEADROOM = 4;

/**
 * A device whose other end is the test: it receives what the test injects, and keeps what the stack sends.
 *
 * It is as unkind as the contract allows: a received frame is overwritten with 0xdd when the next one is asked for, and
 * a lent one is full of 0xa5, so that whoever keeps or forgets a byte is found out.
 */
export class TestDevice implements Device {
  readonly capabilities: Capabilities;
  /** What the stack has sent, in order. */
  readonly sent: Uint8Array[] = [];
  /** Frames that may be sent before the device is full. */
  room = Number.POSITIVE_INFINITY;
  private readonly injected: Uint8Array[] = [];
  private readonly receiving: Uint8Array;
  private readonly lent: Frame;

  constructor(mtu = 1_500) {
    this.capabilities = { medium: "ip", mtu, checksumOffload: false, maxSuperSegment: 0 };
    this.receiving = new Uint8Array(HEADROOM + 65_536).fill(0xdd);
    this.lent = new Frame(new Uint8Array(HEADROOM + mtu));
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
    this.receiving.fill(0xdd, 0, HEADROOM + this.capabilities.mtu);
    const next = this.injected.shift();
    if (next === undefined) return false;
    this.receiving.set(next, HEADROOM);
    frame.bytes = this.receiving;
    frame.offset = HEADROOM;
    frame.length = next.length;
    frame.checksumOffloaded = false;
    return true;
  }

  transmit(length: number): Frame | null {
    if (this.room <= 0) return null;
    if (length > this.capabilities.mtu) throw new Error(`${length} bytes do not fit the MTU`);
    this.lent.bytes.fill(0xa5);
    this.lent.offset = HEADROOM;
    this.lent.length = length;
    this.lent.checksumOffloaded = false;
    return this.lent;
  }

  commit(frame: Frame): void {
    this.room--;
    this.sent.push(frame.bytes.slice(frame.offset, frame.offset + frame.length));
  }

  onReadable(): void {}
  onWritable(): void {}
  close(): void {}
}
