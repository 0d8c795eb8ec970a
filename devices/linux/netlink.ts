/**
 * Interface settings through rtnetlink (rtnetlink(7)): the same few messages for IPv4 and IPv6; and the news of what
 * others do to interfaces.
 *
 * Nothing here is in the way of a frame. A request blocks for the microseconds that the kernel takes: its answer is
 * there when send(2) returns.
 */

import { StackError } from "../../src/errors.ts";
import type { Cidr, IpAddress } from "../../src/wire/ip-address.ts";
import { EAGAIN, EINTR, ENOBUFS, ENODEV, errnoCode, errnoName } from "./errno.ts";
import { cString, type Libc, libc } from "./libc.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0x80000 | 0x800;
/** The multicast group that hears of interfaces. */
const RTMGRP_LINK = 1;
const SOCKADDR_NL_SIZE = 12;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP = 0x300;
const NLM_F_CREATE_EXCL = 0x600;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;

const HEADER = 16;
const LINK_HEADER = 16;
const ADDRESS_HEADER = 8;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_TXQLEN = 13;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFF_UP = 1;
/** An answer that got lost in a flood of news is asked for again, so often in all. */
const MAX_REQUESTS = 3;
/** An IPv6 address is usable at once: nobody else is on a TUN interface whom duplicate detection could find. */
const IFA_F_NODAD = 2;

/** What is asked of an interface. */
interface LinkSettings {
  mtu: number;
  /** Packets that wait in the kernel to be read. */
  queueLength: number;
  up: boolean;
}

/** An interface as it was found. */
export interface Link extends LinkSettings {
  index: number;
  name: string;
  /** Six bytes where it is Ethernet, none where it has no hardware address. */
  hardwareAddress: Uint8Array;
  /** What is in front of its packets, as `linux/if_arp.h` counts: `ARPHRD_ETHER`, ... */
  type: number;
  /** What it was made as: `veth`, `macvlan`, ...; empty for hardware. */
  kind: string;
}

/** Hears what others did to interfaces: how one was then, and whether it is there. What was not said is 0. */
type LinkNews = (link: Link, exists: boolean) => void;

/** Builds one message: fields in host byte order (little-endian on everything that Bun runs on), padded to four. */
class Message {
  private readonly bytes = new Uint8Array(256);
  private readonly view = new DataView(this.bytes.buffer);
  private at = HEADER;

  constructor(type: number, flags: number) {
    this.view.setUint16(4, type, true);
    this.view.setUint16(6, flags | NLM_F_REQUEST, true);
  }

  link(index: number, flags: number, change: number): this {
    return this.u8(0).u8(0).u16(0).u32(index).u32(flags).u32(change);
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

  finish(sequence: number): Uint8Array {
    this.view.setUint32(0, this.at, true);
    this.view.setUint32(8, sequence, true);
    return this.bytes.subarray(0, this.at);
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

function linkOf(body: DataView): Link {
  const link: Link = {
    index: body.getInt32(4, true),
    name: "",
    mtu: 0,
    queueLength: 0,
    up: (body.getUint32(8, true) & IFF_UP) !== 0,
    hardwareAddress: new Uint8Array(0),
    type: body.getUint16(2, true),
    kind: "",
  };
  attributes(body, LINK_HEADER, (attribute, at, length) => {
    const bytes = new Uint8Array(body.buffer, body.byteOffset + at, length);
    if (attribute === IFLA_MTU) link.mtu = body.getUint32(at, true);
    if (attribute === IFLA_TXQLEN) link.queueLength = body.getUint32(at, true);
    if (attribute === IFLA_IFNAME) link.name = new TextDecoder().decode(bytes.subarray(0, -1));
    if (attribute === IFLA_ADDRESS) link.hardwareAddress = bytes.slice();
    if (attribute === IFLA_LINKINFO) link.kind = kindOf(new DataView(bytes.buffer, bytes.byteOffset, length));
  });
  return link;
}

/** From the attributes within the one that says what the interface was made as. */
function kindOf(info: DataView): string {
  let kind = "";
  attributes(info, 0, (attribute, at, length) => {
    if (attribute !== IFLA_INFO_KIND) return;
    kind = new TextDecoder()
      .decode(new Uint8Array(info.buffer, info.byteOffset + at, length))
      .replace(/\0.*$/, "");
  });
  return kind;
}

/** A socket to the kernel's table of interfaces, of the network namespace that the thread is in when it is opened. */
export class RouteSocket {
  /** -1 after `close`. */
  descriptor: number;
  /** News may have been missed: the kernel had no room to keep it, or an answer was being waited for. */
  missed = false;
  private readonly c: Libc;
  private readonly answer = new Uint8Array(32 * 1024);
  private readonly view = new DataView(this.answer.buffer);
  private sequence = 0;

  /** @param hearsNews whether the socket becomes readable when others change an interface; see `news` */
  constructor(hearsNews = false) {
    this.c = libc();
    this.descriptor = this.c.socket(AF_NETLINK, SOCK_RAW_CLOEXEC_NONBLOCK, 0);
    if (this.descriptor < 0) throw this.failure(this.c.errno());
    if (!hearsNews) return;
    const address = new Uint8Array(SOCKADDR_NL_SIZE);
    new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
    address[8] = RTMGRP_LINK;
    if (this.c.bind(this.descriptor, address, SOCKADDR_NL_SIZE) >= 0) return;
    const errno = this.c.errno();
    this.close();
    throw this.failure(errno);
  }

  private failure(errno: number): StackError {
    return new StackError(errnoCode(errno), `A netlink socket could not be opened (${errnoName(errno)}).`);
  }

  close(): void {
    if (this.descriptor >= 0) this.c.close(this.descriptor);
    this.descriptor = -1;
  }

  /**
   * The interface of this number or name, or `null` where there is none.
   *
   * @throws StackError where the kernel does not say which of both it is
   */
  link(wanted: number | string): Link | null {
    let found: Link | null = null;
    const request = new Message(RTM_GETLINK, NLM_F_ACK).link(typeof wanted === "number" ? wanted : 0, 0, 0);
    if (typeof wanted === "string") request.attribute(IFLA_IFNAME, cString(wanted));
    let errno = EAGAIN;
    for (let i = 0; i < MAX_REQUESTS && errno === EAGAIN; i++) {
      errno = this.exchange(request, (type, body) => {
        if (type === RTM_NEWLINK) found = linkOf(body);
      });
    }
    if (errno === 0) return found;
    if (errno === ENODEV) return null;
    throw new StackError(
      errnoCode(errno),
      `The kernel did not say whether there is an interface ${wanted} (${errnoName(errno)}); try again.`,
    );
  }

  /** All interfaces. */
  links(): Link[] {
    const found: Link[] = [];
    const request = new Message(RTM_GETLINK, NLM_F_DUMP).link(0, 0, 0);
    this.exchange(request, (type, body) => {
      if (type === RTM_NEWLINK) found.push(linkOf(body));
    });
    return found;
  }

  /** Whether the interface has exactly this address and prefix length. */
  hasAddress(index: number, cidr: Cidr): boolean {
    let found = false;
    this.eachOwner(cidr.address, (owner, prefixLength) => {
      if (owner === index && prefixLength === cidr.prefixLength) found = true;
    });
    return found;
  }

  /** The number of an interface that has this address; 0 where none has. */
  ownerOf(address: IpAddress): number {
    let found = 0;
    this.eachOwner(address, (owner) => {
      found = owner;
    });
    return found;
  }

  private eachOwner(address: IpAddress, each: (index: number, prefixLength: number) => void): void {
    const wanted = addressBytes(address);
    const family = wanted.length === 4 ? AF_INET : AF_INET6;
    const request = new Message(RTM_GETADDR, NLM_F_DUMP).u8(family).u8(0).u8(0).u8(0).u32(0);
    this.exchange(request, (type, body) => {
      if (type !== RTM_NEWADDR || body.getUint8(0) !== family) return;
      let own = -1;
      attributes(body, ADDRESS_HEADER, (attribute, at, length) => {
        if (length !== wanted.length) return;
        // Between two ends IFA_ADDRESS is the other one's; IFA_LOCAL, where it is given, is always the own.
        if (attribute === IFA_LOCAL || (attribute === IFA_ADDRESS && own < 0)) own = at;
      });
      if (own >= 0 && wanted.every((byte, i) => body.getUint8(own + i) === byte)) {
        each(body.getInt32(4, true), body.getUint8(1));
      }
    });
  }

  /** Changes what is given; returns the error number, 0 for success. */
  change(index: number, wanted: Partial<LinkSettings>): number {
    const up = wanted.up === true ? IFF_UP : 0;
    const request = new Message(RTM_NEWLINK, NLM_F_ACK).link(index, up, up);
    if (wanted.mtu !== undefined) request.attributeU32(IFLA_MTU, wanted.mtu);
    if (wanted.queueLength !== undefined) request.attributeU32(IFLA_TXQLEN, wanted.queueLength);
    return this.exchange(request, () => {});
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
    return this.exchange(request, () => {});
  }

  /** Reads what was heard since, and calls `each` with what concerns an interface. Never blocks. */
  news(each: LinkNews): void {
    for (let length = this.receive(); length >= 0; length = this.receive()) {
      this.messages(length, (type, _sequence, body) => {
        if (type !== RTM_NEWLINK && type !== RTM_DELLINK) return;
        each(linkOf(body), type === RTM_NEWLINK);
      });
    }
  }

  /** Calls `each` with type and body of every answer; returns the error number the kernel ends with, 0 for success. */
  private exchange(request: Message, each: (type: number, body: DataView) => void): number {
    const sequence = ++this.sequence;
    // An answer needs room, which unread news may have filled.
    while (this.receive() >= 0) this.missed = true;
    const bytes = request.finish(sequence);
    if (this.c.send(this.descriptor, bytes, bytes.length, 0) < 0) return this.c.errno();
    let result = -1;
    while (result < 0) {
      const length = this.receive();
      if (length < 0) return this.c.errno();
      this.messages(length, (type, ofSequence, body) => {
        if (ofSequence !== sequence) this.missed = true;
        else if (type === NLMSG_DONE) result = 0;
        else if (type === NLMSG_ERROR) result = -body.getInt32(0, true);
        else each(type, body);
      });
    }
    return result;
  }

  /** The length of the next datagram, or -1 where there is none. */
  private receive(): number {
    for (;;) {
      const length = this.c.recv(this.descriptor, this.answer, this.answer.length, 0);
      if (length >= 0) return length;
      const errno = this.c.errno();
      // The kernel says once that news got lost, and what it kept can be read.
      if (errno === ENOBUFS) this.missed = true;
      else if (errno !== EINTR) return -1;
    }
  }

  private messages(length: number, each: (type: number, sequence: number, body: DataView) => void): void {
    for (let at = 0; at + HEADER <= length; ) {
      const size = this.view.getUint32(at, true);
      if (size < HEADER || at + size > length) return;
      const body = new DataView(this.answer.buffer, at + HEADER, size - HEADER);
      each(this.view.getUint16(at + 4, true), this.view.getUint32(at + 8, true), body);
      at += (size + 3) & ~3;
    }
  }
}
