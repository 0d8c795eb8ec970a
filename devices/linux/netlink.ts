/**
 * Interface settings through rtnetlink (rtnetlink(7)): the same few messages for IPv4 and IPv6.
 *
 * Everything here runs once, while a device is being opened, and blocks for the microseconds that the kernel takes.
 */

import { StackError } from "../../src/errors.ts";
import type { Cidr, IpAddress } from "../../src/wire/ip-address.ts";
import { EINTR, errnoCode, errnoName } from "./errno.ts";
import { type Libc, libc } from "./libc.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0x80000;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP = 0x300;
const NLM_F_CREATE_EXCL = 0x600;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;

const HEADER = 16;
const LINK_HEADER = 16;
const ADDRESS_HEADER = 8;
const IFLA_MTU = 4;
const IFLA_TXQLEN = 13;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFF_UP = 1;
/** An IPv6 address is usable at once: nobody else is on a TUN interface whom duplicate detection could find. */
const IFA_F_NODAD = 2;

/** What is asked of an interface, and what it was found to have. */
export interface LinkSettings {
  mtu: number;
  /** Packets that wait in the kernel to be read. */
  queueLength: number;
  up: boolean;
}

/** Builds one message: fields in host byte order (little-endian on everything that Bun runs on), padded to four. */
class Message {
  private readonly bytes = new Uint8Array(256);
  private readonly view = new DataView(this.bytes.buffer);
  private at = HEADER;

  constructor(type: number, flags: number) {
    this.view.setUint16(4, type, true);
    this.view.setUint16(6, flags | NLM_F_REQUEST, true);
  }

  u8(value: number): this {
    this.bytes[this.at++] = value;
    return this;
  }

  u16(value: number): this {
    this.view.setUint16(this.at, value, true);
    this.at += 2;
    return this;
  }

  u32(value: number): this {
    this.view.setUint32(this.at, value, true);
    this.at += 4;
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    this.u16(4 + value.length).u16(type);
    this.bytes.set(value, this.at);
    this.at += (value.length + 3) & ~3;
    return this;
  }

  attributeU32(type: number, value: number): this {
    return this.u16(8).u16(type).u32(value);
  }

  finish(): Uint8Array {
    this.view.setUint32(0, this.at, true);
    return this.bytes.subarray(0, this.at);
  }
}

/** Calls `each` with type and body of every answer; returns the error number the kernel ends with, 0 for success. */
function exchange(
  c: Libc,
  socket: number,
  request: Uint8Array,
  each: (type: number, body: DataView) => void,
): number {
  if (c.send(socket, request, request.length, 0) < 0) return c.errno();
  const answer = new Uint8Array(32 * 1024);
  for (;;) {
    const length = c.recv(socket, answer, answer.length, 0);
    if (length < 0) {
      const errno = c.errno();
      if (errno === EINTR) continue;
      return errno;
    }
    const view = new DataView(answer.buffer, 0, length);
    for (let at = 0; at + HEADER <= length; ) {
      const size = view.getUint32(at, true);
      const type = view.getUint16(at + 4, true);
      if (size < HEADER || at + size > length) break;
      if (type === NLMSG_DONE) return 0;
      if (type === NLMSG_ERROR) return -view.getInt32(at + HEADER, true);
      each(type, new DataView(answer.buffer, at + HEADER, size - HEADER));
      at += (size + 3) & ~3;
    }
  }
}

/** Calls `each` with type, offset and length of every attribute behind a fixed header. */
function attributes(
  body: DataView,
  header: number,
  each: (type: number, at: number, length: number) => void,
): void {
  for (let at = header; at + 4 <= body.byteLength; ) {
    const size = body.getUint16(at, true);
    if (size < 4 || at + size > body.byteLength) return;
    // The two highest bits of the type are flags.
    each(body.getUint16(at + 2, true) & 0x3fff, at + 4, size - 4);
    at += (size + 3) & ~3;
  }
}

/** The address as it is written in a packet. */
function addressBytes(address: IpAddress): Uint8Array {
  const bytes = new Uint8Array(address.family === 4 ? 4 : 16);
  const view = new DataView(bytes.buffer);
  const words = address.family === 4 ? [address.w3] : [address.w0, address.w1, address.w2, address.w3];
  words.forEach((word, i) => {
    view.setInt32(i * 4, word);
  });
  return bytes;
}

/** A socket to the kernel's table of interfaces. */
export class RouteSocket {
  private readonly c: Libc;
  private readonly socket: number;

  constructor() {
    this.c = libc();
    this.socket = this.c.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, 0);
    if (this.socket < 0) {
      const errno = this.c.errno();
      throw new StackError(errnoCode(errno), `A netlink socket could not be opened (${errnoName(errno)}).`);
    }
  }

  close(): void {
    this.c.close(this.socket);
  }

  /** What the interface has now; all zero where it does not exist. */
  settings(index: number): LinkSettings {
    const found: LinkSettings = { mtu: 0, queueLength: 0, up: false };
    const request = new Message(RTM_GETLINK, NLM_F_ACK).u8(0).u8(0).u16(0).u32(index).u32(0).u32(0);
    exchange(this.c, this.socket, request.finish(), (type, body) => {
      if (type !== RTM_NEWLINK || body.getInt32(4, true) !== index) return;
      found.up = (body.getUint32(8, true) & IFF_UP) !== 0;
      attributes(body, LINK_HEADER, (attribute, at) => {
        if (attribute === IFLA_MTU) found.mtu = body.getUint32(at, true);
        if (attribute === IFLA_TXQLEN) found.queueLength = body.getUint32(at, true);
      });
    });
    return found;
  }

  /** Whether the interface has exactly this address and prefix length. */
  hasAddress(index: number, cidr: Cidr): boolean {
    const wanted = addressBytes(cidr.address);
    const family = wanted.length === 4 ? AF_INET : AF_INET6;
    let found = false;
    const request = new Message(RTM_GETADDR, NLM_F_DUMP).u8(family).u8(0).u8(0).u8(0).u32(0);
    exchange(this.c, this.socket, request.finish(), (type, body) => {
      if (type !== RTM_NEWADDR || body.getUint8(0) !== family) return;
      if (body.getUint8(1) !== cidr.prefixLength || body.getInt32(4, true) !== index) return;
      let own = -1;
      attributes(body, ADDRESS_HEADER, (attribute, at, length) => {
        if (length !== wanted.length) return;
        // Between two ends IFA_ADDRESS is the other one's; IFA_LOCAL, where it is given, is always the own.
        if (attribute === IFA_LOCAL || (attribute === IFA_ADDRESS && own < 0)) own = at;
      });
      if (own >= 0 && wanted.every((byte, i) => body.getUint8(own + i) === byte)) found = true;
    });
    return found;
  }

  /** Changes what is given; returns the error number, 0 for success. */
  change(index: number, wanted: Partial<LinkSettings>): number {
    const up = wanted.up === true ? IFF_UP : 0;
    const request = new Message(RTM_NEWLINK, NLM_F_ACK).u8(0).u8(0).u16(0).u32(index).u32(up).u32(up);
    if (wanted.mtu !== undefined) request.attributeU32(IFLA_MTU, wanted.mtu);
    if (wanted.queueLength !== undefined) request.attributeU32(IFLA_TXQLEN, wanted.queueLength);
    return exchange(this.c, this.socket, request.finish(), () => {});
  }

  /** Adds the address, and with it the route to its network; returns the error number, 0 for success. */
  addAddress(index: number, cidr: Cidr): number {
    const bytes = addressBytes(cidr.address);
    const request = new Message(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE_EXCL)
      .u8(bytes.length === 4 ? AF_INET : AF_INET6)
      .u8(cidr.prefixLength)
      .u8(bytes.length === 4 ? 0 : IFA_F_NODAD)
      .u8(0)
      .u32(index)
      .attribute(IFA_LOCAL, bytes)
      .attribute(IFA_ADDRESS, bytes);
    return exchange(this.c, this.socket, request.finish(), () => {});
  }
}
