import { type Capabilities, type Device, Frame } from "../../src/device.ts";
import { read16 } from "../../src/wire/bytes.ts";
import { fold, pseudoHeaderSum } from "../../src/wire/checksum.ts";
import { IpAddress } from "../../src/wire/ip-address.ts";
import {
  IPV4_HEADER_LENGTH,
  ipv4Protocol,
  PROTOCOL_TCP,
  readIpv4Destination,
  readIpv4Source,
} from "../../src/wire/ipv4.ts";
import { finishTcpChecksum } from "../../src/wire/tcp.ts";

const HEADROOM = 4;
const LARGEST_PACKET = 65_535;

/**
 * A device whose other end is the test: it receives what the test injects, and keeps what the stack sends.
 *
 * It is as unkind as the contract allows: a received frame is overwritten with 0xdd when the next one is asked for, and
 * a lent one is full of 0xa5, so that whoever keeps or forgets a byte is found out.
 */
export class TestDevice implements Device {
  readonly capabilities: Capabilities;
  /** What the stack has sent, in order; with offload, the checksums completed. */
  readonly sent: Uint8Array[] = [];
  /** `Frame.segmentSize` of each. */
  readonly segmentSizes: number[] = [];
  /** Frames that may be sent before the device is full. */
  room = Number.POSITIVE_INFINITY;
  private readonly injected: { frame: Uint8Array; segmentSize: number }[] = [];
  private readonly receiving: Uint8Array;
  private readonly lent: Frame;

  constructor(mtu = 1_500, offload = false) {
    const maxSuperSegment = offload ? LARGEST_PACKET : 0;
    this.capabilities = { medium: "ip", mtu, checksumOffload: offload, maxSuperSegment };
    this.receiving = new Uint8Array(HEADROOM + LARGEST_PACKET + 1).fill(0xdd);
    this.lent = new Frame(new Uint8Array(HEADROOM + Math.max(mtu, maxSuperSegment)));
  }

  /** Lets the stack receive this frame. */
  inject(...frames: Uint8Array[]): void {
    for (const frame of frames) this.injected.push({ frame, segmentSize: 0 });
  }

  /** The same, for a frame that the device has joined from segments or datagrams of this size. */
  injectJoined(frame: Uint8Array, segmentSize: number): void {
    this.injected.push({ frame, segmentSize });
  }

  /** Takes out what the stack has sent since. */
  take(): Uint8Array[] {
    return this.sent.splice(0);
  }

  receive(frame: Frame): boolean {
    this.receiving.fill(0xdd, 0, HEADROOM + this.capabilities.mtu);
    const next = this.injected.shift();
    if (next === undefined) return false;
    this.receiving.set(next.frame, HEADROOM);
    frame.bytes = this.receiving;
    frame.offset = HEADROOM;
    frame.length = next.frame.length;
    frame.checksumOffloaded = next.segmentSize > 0;
    frame.segmentSize = next.segmentSize;
    return true;
  }

  transmit(length: number): Frame | null {
    if (this.room <= 0) return null;
    if (length > this.lent.bytes.length - HEADROOM) throw new Error(`${length} bytes do not fit the MTU`);
    this.lent.bytes.fill(0xa5);
    this.lent.offset = HEADROOM;
    this.lent.length = length;
    this.lent.checksumOffloaded = false;
    this.lent.segmentSize = 0;
    return this.lent;
  }

  commit(frame: Frame): void {
    this.room--;
    if (frame.checksumOffloaded) completeTcpChecksum(frame);
    if (frame.segmentSize === 0 && frame.length > this.capabilities.mtu) {
      throw new Error(`${frame.length} bytes that are no super-segment exceed the MTU`);
    }
    this.segmentSizes.push(frame.segmentSize);
    this.sent.push(frame.bytes.slice(frame.offset, frame.offset + frame.length));
  }

  onReadable(): void {}
  onWritable(): void {}
  close(): void {}
}

/** What the device does for a segment that the stack has left the checksum of; it must have begun it. */
function completeTcpChecksum({ bytes, offset, length }: Frame): void {
  if (ipv4Protocol(bytes, offset) !== PROTOCOL_TCP) throw new Error("only TCP's checksum is left out here");
  const source = new IpAddress(4, 0, 0, 0xffff, 0);
  const destination = new IpAddress(4, 0, 0, 0xffff, 0);
  readIpv4Source(bytes, offset, source);
  readIpv4Destination(bytes, offset, destination);
  const at = offset + IPV4_HEADER_LENGTH;
  const tcpLength = length - IPV4_HEADER_LENGTH;
  if (read16(bytes, at + 16) !== fold(pseudoHeaderSum(source, destination, PROTOCOL_TCP, tcpLength))) {
    throw new Error("the checksum field does not hold the sum of the pseudo-header");
  }
  finishTcpChecksum(bytes, at, tcpLength, source, destination, true);
}
