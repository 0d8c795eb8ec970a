import { type Capabilities, type Device, Frame } from "../../../src/device.ts";
import { type LivePacket, readPacket } from "../wire/live.ts";

const HEADROOM = 4;
const LARGEST_PACKET = 65_535;

/** The device of the stack under test: the script puts packets on it, and takes off what the stack has sent. */
export class Wire implements Device {
  /** What the stack has sent and the script has not looked at, in order. */
  readonly sent: LivePacket[] = [];
  /** The time of what is sent, in ms. */
  now = 0;
  private current: Capabilities;
  private readonly arriving: Uint8Array[] = [];
  private readonly receiving = new Uint8Array(HEADROOM + LARGEST_PACKET + 1);
  private readonly lent = new Frame(new Uint8Array(HEADROOM + LARGEST_PACKET + 1));

  constructor(mtu: number) {
    this.current = { medium: "ip", mtu, checksumOffload: false, maxSuperSegment: 0 };
  }

  get capabilities(): Capabilities {
    return this.current;
  }

  inject(packet: Uint8Array): void {
    this.arriving.push(packet);
  }

  setMtu(mtu: number): void {
    this.current = { ...this.current, mtu };
  }

  receive(frame: Frame): boolean {
    const next = this.arriving.shift();
    if (next === undefined) return false;
    this.receiving.set(next, HEADROOM);
    frame.bytes = this.receiving;
    frame.offset = HEADROOM;
    frame.length = next.length;
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    return true;
  }

  /** Lends a frame full of 0xa5, so that a byte that is not written is found out. */
  transmit(length: number): Frame | null {
    this.lent.bytes.fill(0xa5, HEADROOM, HEADROOM + length);
    this.lent.offset = HEADROOM;
    this.lent.length = length;
    this.lent.checksumOffloaded = false;
    this.lent.segmentSize = 0;
    return this.lent;
  }

  commit(frame: Frame): void {
    this.sent.push(readPacket(frame.bytes.slice(frame.offset, frame.offset + frame.length), this.now));
  }

  onReadable(): void {}
  onWritable(): void {}

  close(): void {}
}
