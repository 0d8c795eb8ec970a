/**
 * The system calls under a floor: opens a TUN, TAP or packet socket, and reads and writes whole frames. Nothing of
 * `devices/` is in it, so that a mistake there shows as a difference.
 */

import { dlopen, FFIType, type Pointer, ptr } from "bun:ffi";

const { i32, u32, u64, ptr: pointer } = FFIType;

const c = dlopen("libc.so.6", {
  open: { args: [pointer, i32], returns: i32 },
  // For read(2) and write(2), the fastest way to them that is known: no cancellation point, and a length that is a pointer.
  syscall: { args: [i32, i32, pointer, pointer], returns: i32 },
  recvmmsg: { args: [i32, pointer, u32, i32, pointer], returns: i32 },
  send: { args: [i32, pointer, u64, i32], returns: i32 },
  ioctl: { args: [i32, u64, pointer], returns: i32 },
  poll: { args: [pointer, u64, i32], returns: i32 },
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, pointer, i32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, pointer, i32], returns: i32 },
  if_nametoindex: { args: [pointer], returns: u32 },
}).symbols;

const [READ, WRITE] = process.arch === "arm64" ? [63, 64] : [0, 1];

export type DeviceType = "tun" | "tap" | "raw";

const O_RDWR_NONBLOCK = 0x802;
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const IFF_TUN = 0x1;
const IFF_TAP = 0x2;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
/** TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6. */
const TUN_OFFLOADS = 0x7;
const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK = 0x803;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300;
const POLLIN = 1;

/** `struct virtio_net_hdr`, without the number of buffers. */
export const VNET_HEADER = 10;
const ETHERNET_HEADER = 14;
/** Where IP headers lie in a buffer, whatever precedes them. */
export const IP_AT = 64;
const LARGEST = 65536;
/** Not a multiple of 4,096, so that the beginnings of slots do not compete for the same lines of the cache. */
const SLOT = IP_AT + LARGEST + 64;

/** Frames that one call takes from a packet socket; bytes of a `struct mmsghdr`, and where the length is in it. */
const SLOTS = 16;
const MESSAGE = 64;
const MESSAGE_LENGTH = 56;
const MSG_DONTWAIT = 0x40;

const cString = (text: string) => new TextEncoder().encode(`${text}\0`);

function check(result: number, what: string): number {
  if (result < 0) throw new Error(`${what} failed`);
  return result;
}

/** An open device; frames begin `start` bytes into a buffer for sending, and their IP headers at `IP_AT`. */
export class Link {
  readonly start: number;
  /** What was read: the IP header of the frame read last is at `at`. */
  readonly incoming: Uint8Array;
  at = IP_AT;
  private readonly type: DeviceType;
  private readonly fd: number;
  private readonly request: Int32Array;
  private readonly frame: Uint8Array;
  /** `struct mmsghdr` for each slot, then `struct iovec`; and how many of them were filled by the last call. */
  private readonly table = new Uint32Array(new ArrayBuffer(4096));
  private filled = 0;
  private next = 0;

  constructor(type: DeviceType, name: string, offload: boolean) {
    this.type = type;
    this.start = IP_AT - (offload ? VNET_HEADER : 0) - (type === "tun" ? 0 : ETHERNET_HEADER);
    this.fd = type === "raw" ? openPacketSocket(name, offload) : openTunTap(type, name, offload);
    this.request = new Int32Array([this.fd, POLLIN]);
    const slots = type === "raw" ? SLOTS : 1;
    this.incoming = new Uint8Array(new ArrayBuffer(slots * SLOT));
    this.frame = this.incoming.subarray(this.start);
    if (type === "raw") this.fillTable();
  }

  private fillTable(): void {
    const view = new DataView(this.table.buffer);
    const table = ptr(this.table);
    const slab = ptr(this.incoming);
    for (let i = 0; i < SLOTS; i++) {
      const vector = SLOTS * MESSAGE + i * 16;
      view.setBigUint64(i * MESSAGE + 16, BigInt(table + vector), true);
      view.setBigUint64(i * MESSAGE + 24, 1n, true);
      view.setBigUint64(vector, BigInt(slab + i * SLOT + this.start), true);
      view.setBigUint64(vector + 8, BigInt(SLOT - this.start), true);
    }
  }

  /** A buffer for a frame to be sent, and the part of it that is written. */
  buffer(): { bytes: Uint8Array; frame: Uint8Array } {
    const bytes = new Uint8Array(new ArrayBuffer(SLOT));
    return { bytes, frame: bytes.subarray(this.start) };
  }

  /** Reads one frame; the number of bytes from the IP header on, or less where there is none. */
  read(): number {
    if (this.type !== "raw")
      return c.syscall(READ, this.fd, this.frame, LARGEST as Pointer) + this.start - IP_AT;
    if (this.next === this.filled) {
      this.next = 0;
      this.filled = Math.max(c.recvmmsg(this.fd, this.table, SLOTS, MSG_DONTWAIT, null), 0);
      if (this.filled === 0) return 0;
    }
    const slot = this.next++;
    this.at = slot * SLOT + IP_AT;
    return this.table[(slot * MESSAGE + MESSAGE_LENGTH) >> 2] + this.start - IP_AT;
  }

  /** Writes a frame with `length` bytes from the IP header on. */
  write(frame: Uint8Array, length: number): void {
    const count = length + IP_AT - this.start;
    if (this.type === "raw") c.send(this.fd, frame, count, MSG_DONTWAIT);
    else c.syscall(WRITE, this.fd, frame, count as Pointer);
  }

  /** Blocks until there is something to read or `timeoutMs` have passed. */
  poll(timeoutMs: number): void {
    c.poll(this.request, 1, timeoutMs);
  }
}

function openTunTap(type: DeviceType, name: string, offload: boolean): number {
  const fd = check(c.open(cString("/dev/net/tun"), O_RDWR_NONBLOCK), "opening /dev/net/tun");
  const request = new Uint8Array(4096);
  request.set(new TextEncoder().encode(name).subarray(0, 15));
  const flags = (type === "tun" ? IFF_TUN : IFF_TAP) | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0);
  new DataView(request.buffer).setUint16(16, flags, true);
  check(c.ioctl(fd, TUNSETIFF, request), `TUNSETIFF ${name}`);
  if (offload) {
    // The argument is a number, which a pointer may be.
    check(c.ioctl(fd, TUNSETOFFLOAD, TUN_OFFLOADS as never), `TUNSETOFFLOAD ${name}`);
  }
  return fd;
}

function openPacketSocket(name: string, offload: boolean): number {
  const fd = check(c.socket(AF_PACKET, SOCK_RAW_NONBLOCK, 0), "socket");
  const option = (level: number, which: number, value: number, what: string) =>
    check(c.setsockopt(fd, level, which, new Int32Array([value]), 4), what);
  option(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
  option(SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20, "SO_RCVBUFFORCE");
  if (offload) option(SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
  // struct sockaddr_ll: family, protocol, index.
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, ALL_PROTOCOLS, true);
  view.setUint32(4, c.if_nametoindex(cString(name)), true);
  check(c.bind(fd, address, address.length), `bind to ${name}`);
  return fd;
}
