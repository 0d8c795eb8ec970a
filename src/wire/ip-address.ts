/** IP addresses and CIDR blocks: the record the stack works with, and its text forms. */

import { StackError } from "../errors.ts";

/**
 * An IPv4 or IPv6 address as four 32-bit words (signed ints, `|0`) in network order.
 *
 * IPv4 is kept as `::ffff:a.b.c.d` (`w0 = 0, w1 = 0, w2 = 0xffff, w3 = address`), so flow-table keys and
 * pseudo-headers look the same for both families.
 *
 * The fields are mutable because ingress decodes every packet into the same record. So a record that came from the
 * stack is only valid until the next packet: keep a copy (`cloneAddress`, `copyAddress`), never the record.
 */
export class IpAddress {
  family: 4 | 6;
  w0: number;
  w1: number;
  w2: number;
  w3: number;

  constructor(family: 4 | 6, w0: number, w1: number, w2: number, w3: number) {
    this.family = family;
    this.w0 = w0 | 0;
    this.w1 = w1 | 0;
    this.w2 = w2 | 0;
    this.w3 = w3 | 0;
  }

  /** The address as text, see `formatAddress`. */
  toString(): string {
    return formatAddress(this);
  }
}

/**
 * The IPv4 address `a.b.c.d`. Only the low eight bits of each argument count.
 *
 * @example
 * ```ts
 * ipv4Address(192, 0, 2, 1).toString(); // "192.0.2.1"
 * ```
 */
export function ipv4Address(a: number, b: number, c: number, d: number): IpAddress {
  const word = ((a & 255) << 24) | ((b & 255) << 16) | ((c & 255) << 8) | (d & 255);
  return new IpAddress(4, 0, 0, 0xffff, word);
}

/** 0.0.0.0, "any address of this host". Shared: copy it before you change it. */
export const ANY_IPV4: Readonly<IpAddress> = ipv4Address(0, 0, 0, 0);

/** 255.255.255.255, the limited broadcast (RFC 919). Shared: copy it before you change it. */
export const BROADCAST_IPV4: Readonly<IpAddress> = ipv4Address(255, 255, 255, 255);

/**
 * Reads an address from text.
 *
 * IPv4 is four decimal numbers from 0 to 255 without leading zeros: `010.0.0.1` is octal to some programs and
 * decimal to others, so it is refused. IPv6 takes every form of RFC 4291 section 2.2, with `::` and with an embedded
 * IPv4 address; `::ffff:192.0.2.1` stays an IPv6 address. A zone (`%eth0`) is not part of an address and is refused.
 *
 * @throws StackError `EINVAL` when the text is not an address.
 *
 * @example
 * ```ts
 * parseAddress("192.0.2.1").w3; // 0xc0000201 | 0
 * parseAddress("2001:db8::1").family; // 6
 * ```
 */
export function parseAddress(text: string): IpAddress {
  const address = text.includes(":") ? parseIpv6(text) : parseIpv4(text);
  if (address === null) {
    throw new StackError(
      "EINVAL",
      `"${text}" is not an IP address; write four numbers from 0 to 255 (192.0.2.1) or IPv6 groups (2001:db8::1).`,
    );
  }
  return address;
}

const DOT = 0x2e;
const ZERO = 0x30;

/** Character by character: programs name the peer of each connection that they open. */
function parseIpv4(text: string): IpAddress | null {
  let word = 0;
  let dots = 0;
  /** The number that is being read, and its digits. */
  let value = 0;
  let digits = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === DOT) {
      if (digits === 0 || ++dots > 3) return null;
      word = (word << 8) | value;
      value = 0;
      digits = 0;
      continue;
    }
    const digit = code - ZERO;
    // A zero in front is refused, and so is what is no digit.
    if (digit < 0 || digit > 9 || (digits > 0 && value === 0)) return null;
    value = value * 10 + digit;
    digits++;
    if (value > 255) return null;
  }
  if (dots !== 3 || digits === 0) return null;
  return new IpAddress(4, 0, 0, 0xffff, (word << 8) | value);
}

/** A decimal number without sign or leading zero, at most `max`; -1 when the text is anything else. */
function parseDecimal(text: string, max: number): number {
  if (!/^(0|[1-9][0-9]{0,2})$/.test(text)) return -1;
  const value = Number(text);
  return value <= max ? value : -1;
}

function parseIpv6(text: string): IpAddress | null {
  const groups: number[] = [];
  let gap = -1; // how many groups stand before the "::"
  let at = 0;
  if (text.startsWith("::")) {
    gap = 0;
    at = 2;
  }
  while (at < text.length) {
    const colon = text.indexOf(":", at);
    const end = colon < 0 ? text.length : colon;
    const part = text.slice(at, end);
    if (part.includes(".")) {
      // RFC 4291 2.2, form 3: the last 32 bits as a dotted quad.
      const embedded = colon < 0 ? parseIpv4(part) : null;
      if (embedded === null) return null;
      groups.push(embedded.w3 >>> 16, embedded.w3 & 0xffff);
      break;
    }
    if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return null;
    groups.push(Number.parseInt(part, 16));
    if (colon < 0) break;
    at = colon + 1;
    if (text[at] === ":") {
      if (gap >= 0) return null;
      gap = groups.length;
      at++;
    } else if (at === text.length) {
      return null;
    }
  }
  if (gap < 0) {
    if (groups.length !== 8) return null;
  } else {
    // "::" stands for one group at least.
    if (groups.length > 7) return null;
    groups.splice(gap, 0, ...new Array<number>(8 - groups.length).fill(0));
  }
  return new IpAddress(
    6,
    (groups[0] << 16) | groups[1],
    (groups[2] << 16) | groups[3],
    (groups[4] << 16) | groups[5],
    (groups[6] << 16) | groups[7],
  );
}

/**
 * The address as text: a dotted quad, or the canonical IPv6 form of RFC 5952 (lower case, no leading zeros, the
 * first longest run of two or more zero groups as `::`, IPv4-mapped addresses with a dotted quad).
 *
 * @example
 * ```ts
 * formatAddress(parseAddress("2001:DB8:0:0:0:0:0:1")); // "2001:db8::1"
 * ```
 */
export function formatAddress(address: IpAddress): string {
  const { w0, w1, w2, w3 } = address;
  if (address.family === 4) return formatQuad(w3);
  // RFC 5952 section 5: a well-known prefix that embeds IPv4 is shown with the dotted quad.
  if (w0 === 0 && w1 === 0 && w2 === 0xffff) return `::ffff:${formatQuad(w3)}`;
  const groups = [
    w0 >>> 16,
    w0 & 0xffff,
    w1 >>> 16,
    w1 & 0xffff,
    w2 >>> 16,
    w2 & 0xffff,
    w3 >>> 16,
    w3 & 0xffff,
  ];
  let start = -1;
  let longest = 1; // RFC 5952 4.2.2: a single zero group is not shortened
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > longest) {
      start = i;
      longest = end - i;
    }
    i = end;
  }
  const hex = groups.map((group) => group.toString(16));
  if (start < 0) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + longest).join(":")}`;
}

function formatQuad(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/** Overwrites `into` with `from`. */
export function copyAddress(from: IpAddress, into: IpAddress): void {
  into.family = from.family;
  into.w0 = from.w0;
  into.w1 = from.w1;
  into.w2 = from.w2;
  into.w3 = from.w3;
}

/** A new record with the same address. */
export function cloneAddress(address: IpAddress): IpAddress {
  return new IpAddress(address.family, address.w0, address.w1, address.w2, address.w3);
}

/** Whether both are the same address of the same family: 192.0.2.1 and ::ffff:192.0.2.1 are not. */
export function sameAddress(a: IpAddress, b: IpAddress): boolean {
  return a.w3 === b.w3 && a.w2 === b.w2 && a.w1 === b.w1 && a.w0 === b.w0 && a.family === b.family;
}

/** 0.0.0.0 or `::`. */
export function isUnspecified(address: IpAddress): boolean {
  if (address.family === 4) return address.w3 === 0;
  return address.w0 === 0 && address.w1 === 0 && address.w2 === 0 && address.w3 === 0;
}

/** 127.0.0.0/8 (RFC 1122 section 3.2.1.3) or `::1`. */
export function isLoopback(address: IpAddress): boolean {
  if (address.family === 4) return address.w3 >>> 24 === 127;
  return address.w0 === 0 && address.w1 === 0 && address.w2 === 0 && address.w3 === 1;
}

/** 224.0.0.0/4 (RFC 5771) or ff00::/8 (RFC 4291 section 2.7). */
export function isMulticast(address: IpAddress): boolean {
  if (address.family === 4) return address.w3 >>> 28 === 0xe;
  return address.w0 >>> 24 === 0xff;
}

/** 255.255.255.255; for the broadcast address of a network see `cidrBroadcast`. IPv6 has none. */
export function isBroadcast(address: IpAddress): boolean {
  return address.family === 4 && address.w3 === -1;
}

/**
 * An address and the length of its network prefix in bits (0 to 32, or 128 for IPv6).
 * `address` is the host address as written: 192.168.69.1 in 192.168.69.1/24.
 */
export class Cidr {
  address: IpAddress;
  prefixLength: number;

  constructor(address: IpAddress, prefixLength: number) {
    this.address = address;
    this.prefixLength = prefixLength;
  }

  /** The block as text, see `formatCidr`. */
  toString(): string {
    return formatCidr(this);
  }
}

/**
 * Reads `address/prefix` (RFC 4632 section 3.1, RFC 4291 section 2.3).
 *
 * @throws StackError `EINVAL` when the address or the prefix length is not valid, or the prefix length is missing.
 *
 * @example
 * ```ts
 * const cidr = parseCidr("192.168.69.1/24");
 * cidrNetwork(cidr).toString(); // "192.168.69.0"
 * ```
 */
export function parseCidr(text: string): Cidr {
  const slash = text.indexOf("/");
  if (slash < 0) {
    throw new StackError(
      "EINVAL",
      `"${text}" has no prefix length; write one behind a slash, like 192.0.2.1/24.`,
    );
  }
  const address = parseAddress(text.slice(0, slash));
  const bits = address.family === 4 ? 32 : 128;
  const prefixLength = parseDecimal(text.slice(slash + 1), bits);
  if (prefixLength < 0) {
    throw new StackError("EINVAL", `The prefix length of "${text}" is not a number from 0 to ${bits}.`);
  }
  return new Cidr(address, prefixLength);
}

/** The block as text, with the host address: `192.168.69.1/24`. */
export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.address)}/${cidr.prefixLength}`;
}

/** Whether `address` is of the block's family and inside of it. */
export function cidrContains(cidr: Cidr, address: IpAddress): boolean {
  const own = cidr.address;
  if (own.family !== address.family) return false;
  const prefix = prefixBits(cidr);
  return (
    ((own.w3 ^ address.w3) & wordMask(prefix - 96)) === 0 &&
    ((own.w2 ^ address.w2) & wordMask(prefix - 64)) === 0 &&
    ((own.w1 ^ address.w1) & wordMask(prefix - 32)) === 0 &&
    ((own.w0 ^ address.w0) & wordMask(prefix)) === 0
  );
}

/** The block's first address: 192.168.69.0 for 192.168.69.1/24. A new record. */
export function cidrNetwork(cidr: Cidr): IpAddress {
  const { family, w0, w1, w2, w3 } = cidr.address;
  const prefix = prefixBits(cidr);
  return new IpAddress(
    family,
    w0 & wordMask(prefix),
    w1 & wordMask(prefix - 32),
    w2 & wordMask(prefix - 64),
    w3 & wordMask(prefix - 96),
  );
}

/**
 * The IPv4 block's directed broadcast address: 192.168.69.255 for 192.168.69.1/24. A new record, or `null` where
 * there is none: /31 (RFC 3021), /32 and IPv6.
 */
export function cidrBroadcast(cidr: Cidr): IpAddress | null {
  if (cidr.address.family === 6 || cidr.prefixLength > 30) return null;
  return new IpAddress(4, 0, 0, 0xffff, cidr.address.w3 | ~wordMask(cidr.prefixLength));
}

/** The prefix length counted over all four words, in which IPv4 has the fixed 96 bits of ::ffff:0:0/96 in front. */
function prefixBits(cidr: Cidr): number {
  return cidr.address.family === 4 ? cidr.prefixLength + 96 : cidr.prefixLength;
}

/** A word with its `bits` highest bits set; below 0 counts as 0, above 32 as 32. */
function wordMask(bits: number): number {
  // A shift takes its count modulo 32, so 0 bits needs a branch of its own.
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : -1 << (32 - bits);
}
