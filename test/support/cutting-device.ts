import { type Capabilities, type Device, type DeviceEvent, Frame } from "../../src/device.ts";
import { read16, write16, write32 } from "../../src/wire/bytes.ts";
import { ipv4HeaderLength, readIpv4Destination, readIpv4Source, writeIpv4 } from "../../src/wire/ipv4.ts";
import { completeChecksum } from "../../src/wire/offload.ts";
import { FIN, PSH, parseTcp, TcpSegment } from "../../src/wire/tcp.ts";

const LARGEST = 65_535;

/** A device for bare IP packets that cuts super-segments for one that does not. */
export class CuttingDevice implements Device {
  /** Super-segments that were cut. */
  cut = 0;
  private readonly inner: Device;
  private readonly lent = new Frame(new Uint8Array(LARGEST + 4));
  private readonly segment = new TcpSegment();

  constructor(inner: Device) {
    this.inner = inner;
  }

  get capabilities(): Capabilities {
    return { ...this.inner.capabilities, checksumOffload: true, maxSuperSegment: LARGEST };
  }

  receive(frame: Frame): boolean {
    return this.inner.receive(frame);
  }

  transmit(length: number): Frame | null {
    const { lent } = this;
    lent.offset = 0;
    lent.length = length;
    lent.segmentSize = 0;
    lent.checksumOffloaded = false;
    return lent;
  }

  commit({ bytes, length, segmentSize, checksumOffloaded }: Frame): void {
    if (segmentSize === 0) {
      this.send(bytes.subarray(0, length), checksumOffloaded);
      return;
    }
    this.cut++;
    const { segment } = this;
    const at = ipv4HeaderLength(bytes, 0);
    readIpv4Source(bytes, 0, segment.source);
    readIpv4Destination(bytes, 0, segment.destination);
    if (parseTcp(bytes, at, length - at, segment) !== 0) throw new Error("a super-segment is no TCP segment");
    const headers = length - segment.payloadLength;
    for (let from = 0; from < segment.payloadLength; from += segmentSize) {
      const size = Math.min(segmentSize, segment.payloadLength - from);
      const isLast = from + size === segment.payloadLength;
      const packet = new Uint8Array(headers + size);
      packet.set(bytes.subarray(0, headers));
      packet.set(bytes.subarray(headers + from, headers + from + size), headers);
      const { source, destination } = segment;
      writeIpv4(packet, 0, packet.length, 6, 64, source, destination, 0, packet[1]);
      write32(packet, at + 4, segment.seq + from);
      const flags = read16(packet, at + 12);
      write16(packet, at + 12, isLast ? flags : flags & ~(FIN | PSH));
      this.send(packet, true);
    }
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

  private send(packet: Uint8Array, toSum: boolean): void {
    const frame = this.inner.transmit(packet.length);
    // As a device with a full queue does.
    if (frame === null) return;
    frame.bytes.set(packet, frame.offset);
    frame.length = packet.length;
    if (toSum) completeChecksum(frame.bytes, frame.offset, frame.length, "ip");
    this.inner.commit(frame);
  }
}
