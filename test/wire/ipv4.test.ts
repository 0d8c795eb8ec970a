import { describe, expect, test } from "bun:test";
import { BAD_CHECKSUM, BAD_HEADER_LENGTH, BAD_LENGTH, BAD_VERSION, OK, TRUNCATED } from "../../src/errors.ts";
import { write16 } from "../../src/wire/bytes.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { formatAddress, ipv4Address, parseAddress } from "../../src/wire/ip-address.ts";
import {
  checkIpv4,
  IPV4_HEADER_LENGTH,
  ipv4Checksum,
  ipv4DontFragment,
  ipv4FragmentOffset,
  ipv4HeaderLength,
  ipv4Identification,
  ipv4IsFragment,
  ipv4MoreFragments,
  ipv4Protocol,
  ipv4Tos,
  ipv4TotalLength,
  ipv4Ttl,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  readIpv4Destination,
  readIpv4Source,
  writeIpv4,
  writeIpv4Fragment,
} from "../../src/wire/ipv4.ts";
import { embedded, guarded, hex, toHex } from "./support.ts";

// An ICMP error that a router sent (DSCP CS6), a last fragment, and a header full of options.
const ROUTER = "45c0 0070 d72d 0000 4001 8e9d 0a00 0002 0a00 0001";
const LAST_FRAGMENT = "4500 0240 0c23 0172 4001 5775 0a00 0001 0a00 0002";
const TCP = "4500 003c 25da 4000 4006 00e0 0a00 0001 0a00 0002";

/** The header, with a right checksum, in front of as many bytes of payload as its total length says. */
function packet(header: string): Uint8Array {
  const bytes = hex(header);
  const length = (bytes[0] & 15) * 4;
  write16(bytes, 10, 0);
  write16(bytes, 10, checksum(bytes, 0, length));
  const whole = new Uint8Array(Math.max(bytes.length, ipv4TotalLength(bytes, 0)));
  whole.set(bytes);
  return whole;
}

describe("fields", () => {
  test("of an ICMP error from a router", () => {
    const bytes = embedded(packet(ROUTER), 3);
    expect(checkIpv4(bytes, 3, 0x70)).toBe(OK);
    expect(ipv4HeaderLength(bytes, 3)).toBe(20);
    expect(ipv4TotalLength(bytes, 3)).toBe(112);
    expect(ipv4Tos(bytes, 3)).toBe(0xc0);
    expect(ipv4Identification(bytes, 3)).toBe(0xd72d);
    expect(ipv4DontFragment(bytes, 3)).toBe(false);
    expect(ipv4MoreFragments(bytes, 3)).toBe(false);
    expect(ipv4IsFragment(bytes, 3)).toBe(false);
    expect(ipv4FragmentOffset(bytes, 3)).toBe(0);
    expect(ipv4Ttl(bytes, 3)).toBe(64);
    expect(ipv4Protocol(bytes, 3)).toBe(PROTOCOL_ICMP);
    expect(ipv4Checksum(bytes, 3)).toBe(0x8e9d);
    const address = parseAddress("2001:db8::1");
    readIpv4Source(bytes, 3, address);
    expect(address).toEqual(ipv4Address(10, 0, 0, 2));
    readIpv4Destination(bytes, 3, address);
    expect(formatAddress(address)).toBe("10.0.0.1");
  });

  test("of fragments", () => {
    const last = packet(LAST_FRAGMENT);
    expect(checkIpv4(last, 0, last.length)).toBe(OK);
    expect([ipv4IsFragment(last, 0), ipv4MoreFragments(last, 0), ipv4FragmentOffset(last, 0)]).toEqual([
      true,
      false,
      2960,
    ]);
    const first = packet(LAST_FRAGMENT.replace("0172", "2000"));
    expect([ipv4IsFragment(first, 0), ipv4MoreFragments(first, 0), ipv4FragmentOffset(first, 0)]).toEqual([
      true,
      true,
      0,
    ]);
    const highest = packet(LAST_FRAGMENT.replace("0172", "1fff"));
    expect(ipv4FragmentOffset(highest, 0)).toBe(65528);
    // The reserved bit and DF say nothing about fragments.
    const whole = packet(LAST_FRAGMENT.replace("0172", "c000"));
    expect([ipv4IsFragment(whole, 0), ipv4DontFragment(whole, 0), ipv4MoreFragments(whole, 0)]).toEqual([
      false,
      true,
      false,
    ]);
  });

  test("of a header with options", () => {
    const bytes = packet("4f00 003c 0000 4000 4006 0000 0a00 0001 0a00 0002".concat(" 01".repeat(40)));
    expect(checkIpv4(bytes, 0, 60)).toBe(OK);
    expect(ipv4HeaderLength(bytes, 0)).toBe(60);
    bytes[59] ^= 1;
    expect(checkIpv4(bytes, 0, 60)).toBe(BAD_CHECKSUM);
  });
});

describe("check", () => {
  test("a packet cut at any length is truncated, and nothing behind is read", () => {
    const bytes = packet(TCP);
    for (let length = 0; length < 60; length++) {
      expect(checkIpv4(guarded(bytes, 0, length), 0, length)).toBe(TRUNCATED);
    }
    expect(checkIpv4(guarded(bytes, 0, 20), 0, 60)).toBe(OK);
  });

  test("padding of the link is no part of the packet", () => {
    expect(checkIpv4(embedded(packet(TCP), 0), 0, 68)).toBe(OK);
  });

  test("only version 4", () => {
    for (let version = 0; version < 16; version++) {
      const bytes = packet(TCP.replace("45", `${version.toString(16)}5`));
      expect(checkIpv4(bytes, 0, 60)).toBe(version === 4 ? OK : BAD_VERSION);
    }
  });

  test("a header length from 20 up to the total length", () => {
    for (let words = 0; words < 16; words++) {
      const bytes = packet(
        TCP.replace("45", `4${words.toString(16)}`)
          .replace("003c", "0028")
          .concat(" 00".repeat(20)),
      );
      expect(checkIpv4(bytes, 0, 60)).toBe(words >= 5 && words <= 10 ? OK : BAD_HEADER_LENGTH);
    }
  });

  test("a total length below 20 contradicts the header", () => {
    for (let length = 0; length < 20; length++) {
      const bytes = packet(TCP.replace("003c", `00${length.toString(16).padStart(2, "0")}`));
      expect(checkIpv4(bytes, 0, 20)).toBe(BAD_LENGTH);
    }
    const header = packet(TCP.replace("003c", "0014"));
    expect(checkIpv4(header, 0, 20)).toBe(OK);
  });

  test("any changed bit of the header is found", () => {
    const bytes = packet(TCP);
    for (let bit = 0; bit < 160; bit++) {
      bytes[bit >>> 3] ^= 0x80 >>> (bit & 7);
      expect(checkIpv4(bytes, 0, 60)).not.toBe(OK);
      bytes[bit >>> 3] ^= 0x80 >>> (bit & 7);
    }
    expect(checkIpv4(bytes, 0, 60)).toBe(OK);
  });
});

describe("write", () => {
  const source = parseAddress("10.0.0.1");
  const destination = parseAddress("10.0.0.2");

  test("a header as Linux sends it, over whatever was there", () => {
    const bytes = new Uint8Array(24).fill(0xa5);
    writeIpv4(bytes, 2, 60, PROTOCOL_TCP, 64, source, destination, 0x25da);
    expect(toHex(bytes)).toBe(toHex(hex(`a5a5 ${TCP} a5a5`)));
  });

  test("defaults: identification 0, type of service 0, DF set", () => {
    const bytes = new Uint8Array(20).fill(0xa5);
    writeIpv4(bytes, 0, 60, PROTOCOL_TCP, 64, source, destination);
    expect([ipv4Identification(bytes, 0), ipv4Tos(bytes, 0), ipv4DontFragment(bytes, 0)]).toEqual([
      0,
      0,
      true,
    ]);
  });

  test("every field", () => {
    const bytes = new Uint8Array(20).fill(0xa5);
    writeIpv4(bytes, 0, 112, PROTOCOL_ICMP, 64, destination, source, 0xd72d, 0xc0, false);
    expect(toHex(bytes)).toBe(toHex(hex(ROUTER)));
    writeIpv4(bytes, 0, 65535, PROTOCOL_UDP, 255, parseAddress("255.254.253.252"), source, 0xffff, 0xff);
    expect(toHex(bytes)).toBe("45 ff ff ff ff ff 40 00 ff 11 72 f1 ff fe fd fc 0a 00 00 01");
    expect(checkIpv4(bytes, 0, 65535)).toBe(OK);
  });

  test("a fragment", () => {
    const bytes = new Uint8Array(20).fill(0xa5);
    writeIpv4(bytes, 0, 576, PROTOCOL_ICMP, 64, source, destination, 0x0c23, 0, false);
    writeIpv4Fragment(bytes, 0, 2960, false);
    expect(toHex(bytes)).toBe(toHex(packet(LAST_FRAGMENT), 0, IPV4_HEADER_LENGTH));
    writeIpv4Fragment(bytes, 0, 65528, true);
    expect([ipv4FragmentOffset(bytes, 0), ipv4MoreFragments(bytes, 0), ipv4DontFragment(bytes, 0)]).toEqual([
      65528,
      true,
      false,
    ]);
    expect(checkIpv4(bytes, 0, 576)).toBe(OK);
    writeIpv4Fragment(bytes, 0, 0, false);
    expect(ipv4IsFragment(bytes, 0)).toBe(false);
  });
});
