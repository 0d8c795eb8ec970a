import { libc } from "../../devices/linux/libc.ts";
import { RouteSocket } from "../../devices/linux/netlink.ts";

/**
 * A packet socket (packet(7)) on an interface of a namespace, in as few lines as it takes: what the device at the other
 * end of that interface sends arrives here, and the other way round. It asks for virtio-net headers, so that a test sees
 * what a device asked the kernel to do, and can hand over what only the kernel makes.
 */

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK = 3 | 0x800 | 0x80000;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const VNET_HEADER = 10;

const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;

/** A frame, and what is still to be done to it. */
export interface TappedFrame {
  readonly bytes: Uint8Array;
  /** Where the sum is to be completed: first byte summed and place of the field behind it; `null` for nowhere. */
  readonly checksum?: { readonly start: number; readonly offset: number } | null;
  /** What a super-segment is to be cut into, or 0. */
  readonly segmentSize?: number;
  /** Bytes of headers of a super-segment. */
  readonly headerLength?: number;
  /** Whether the super-segment is IPv6; not unless told. */
  readonly isIpv6?: boolean;
}

export class PacketTap {
  private readonly fd: number;
  private readonly c = libc();
  private readonly buffer = new Uint8Array(VNET_HEADER + 70_000);

  /** To be called in the namespace that has the interface. */
  constructor(name: string, protocol = 0x0003) {
    const { c } = this;
    this.fd = c.socket(AF_PACKET, SOCK_RAW_NONBLOCK, 0);
    if (this.fd < 0) throw new Error(`no packet socket: ${c.errno()}`);
    for (const option of [PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING]) {
      const one = new Uint8Array(new Int32Array([1]).buffer);
      if (c.setsockopt(this.fd, SOL_PACKET, option, one, 4) < 0)
        throw new Error(`option ${option}: ${c.errno()}`);
    }
    const address = new DataView(new ArrayBuffer(20));
    address.setUint16(0, AF_PACKET, true);
    address.setUint16(2, protocol);
    address.setInt32(4, indexOf(name), true);
    if (c.bind(this.fd, new Uint8Array(address.buffer), 20) < 0) throw new Error(`bind: ${c.errno()}`);
  }

  /** Sends the frame out of the interface: to the device. */
  send({ bytes, checksum = null, segmentSize = 0, headerLength = 0, isIpv6 = false }: TappedFrame): void {
    const message = new Uint8Array(VNET_HEADER + bytes.length);
    const header = new DataView(message.buffer);
    if (checksum !== null) {
      header.setUint8(0, NEEDS_CSUM);
      header.setUint16(2, headerLength, true);
      header.setUint16(6, checksum.start, true);
      header.setUint16(8, checksum.offset, true);
    }
    if (segmentSize > 0) {
      header.setUint8(1, isIpv6 ? GSO_TCPV6 : GSO_TCPV4);
      header.setUint16(4, segmentSize, true);
    }
    message.set(bytes, VNET_HEADER);
    if (this.c.send(this.fd, message, message.length, 0) < 0) throw new Error(`send: ${this.c.errno()}`);
  }

  /** The next frame that the device has sent, or `null`. */
  receive(): TappedFrame | null {
    const length = this.c.recv(this.fd, this.buffer, this.buffer.length, 0);
    if (length < VNET_HEADER) return null;
    const header = new DataView(this.buffer.buffer);
    const flags = header.getUint8(0);
    return {
      bytes: this.buffer.slice(VNET_HEADER, length),
      checksum:
        (flags & NEEDS_CSUM) !== 0 && (flags & DATA_VALID) === 0
          ? { start: header.getUint16(6, true), offset: header.getUint16(8, true) }
          : null,
      segmentSize: header.getUint8(1) === 0 ? 0 : header.getUint16(4, true),
    };
  }

  close(): void {
    this.c.close(this.fd);
  }
}

/** The number of an interface. */
function indexOf(name: string): number {
  const routes = new RouteSocket();
  try {
    return routes.link(name)?.index ?? 0;
  } finally {
    routes.close();
  }
}
