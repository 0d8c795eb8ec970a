import { describe, expect, test } from "bun:test";
import { BAD_LENGTH, OK, TRUNCATED } from "../../src/errors.ts";
import { write16 } from "../../src/wire/bytes.ts";
import { checksum, fold, pseudoHeaderSum } from "../../src/wire/checksum.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { PROTOCOL_UDP } from "../../src/wire/ipv4.ts";
import {
  checkUdp,
  UDP_HEADER_LENGTH,
  udpChecksum,
  udpDestinationPort,
  udpLength,
  udpSourcePort,
  verifyUdp,
  writeUdp,
} from "../../src/wire/udp.ts";
import { embedded, guarded, hex, toHex } from "./support.ts";

const a = parseAddress("10.0.0.1");
const b = parseAddress("10.0.0.2");
// As nc sent them: "even" from a to b, "odd" back.
const EVEN = hex("100b 100c 000c 00d8 6576 656e");
const ODD = hex("100c 100b 000b f859 6f64 64");

test("fields", () => {
  const bytes = embedded(EVEN, 1);
  expect(checkUdp(bytes, 1, 12)).toBe(OK);
  expect(udpSourcePort(bytes, 1)).toBe(4107);
  expect(udpDestinationPort(bytes, 1)).toBe(4108);
  expect(udpLength(bytes, 1)).toBe(12);
  expect(udpChecksum(bytes, 1)).toBe(0x00d8);
});

describe("check", () => {
  test("a datagram cut at any length is truncated", () => {
    for (let length = 0; length < EVEN.length; length++) {
      expect(checkUdp(guarded(EVEN, 0, length), 0, length)).toBe(TRUNCATED);
    }
  });

  test("a datagram may be empty", () => {
    expect(checkUdp(hex("100b 100c 0008 0000"), 0, 8)).toBe(OK);
  });

  test("the length field counts the header too", () => {
    const bytes = EVEN.slice();
    for (let stated = 0; stated < 8; stated++) {
      write16(bytes, 4, stated);
      expect(checkUdp(bytes, 0, 12)).toBe(BAD_LENGTH);
    }
    for (let stated = 8; stated <= 12; stated++) {
      write16(bytes, 4, stated);
      expect(checkUdp(bytes, 0, 12)).toBe(OK);
    }
    write16(bytes, 4, 13);
    expect(checkUdp(bytes, 0, 12)).toBe(TRUNCATED);
    write16(bytes, 4, 0xffff);
    expect(checkUdp(bytes, 0, 12)).toBe(TRUNCATED);
  });
});

describe("verify", () => {
  test("even and odd lengths", () => {
    expect(verifyUdp(EVEN, 0, a, b)).toBe(true);
    expect(verifyUdp(embedded(ODD, 3), 3, b, a)).toBe(true);
  });

  test("any changed bit is found, except that no checksum is one", () => {
    const bytes = EVEN.slice();
    for (let bit = 0; bit < 96; bit++) {
      if (bit >= 32 && bit < 48) continue; // the length field: checkUdp comes first
      bytes[bit >>> 3] ^= 0x80 >>> (bit & 7);
      expect(verifyUdp(bytes, 0, a, b)).toBe(false);
      bytes[bit >>> 3] ^= 0x80 >>> (bit & 7);
    }
    expect(verifyUdp(bytes, 0, a, parseAddress("10.0.0.3"))).toBe(false);
  });

  test("bytes behind the length field play no part", () => {
    expect(verifyUdp(hex("100b 100c 000c 00d8 6576 656e 1234"), 0, a, b)).toBe(true);
  });

  test("0 means none over IPv4 and is wrong over IPv6", () => {
    const bytes = EVEN.slice();
    write16(bytes, 6, 0);
    expect(verifyUdp(bytes, 0, a, b)).toBe(true);
    expect(verifyUdp(bytes, 0, parseAddress("2001:db8::1"), parseAddress("2001:db8::2"))).toBe(false);
  });
});

describe("write", () => {
  test("a header in front of a payload", () => {
    for (const [datagram, source, destination] of [[EVEN, a, b] as const, [ODD, b, a] as const]) {
      const bytes = embedded(datagram, 4).fill(0xa5, 4, 4 + UDP_HEADER_LENGTH);
      const ports = [(datagram[0] << 8) | datagram[1], (datagram[2] << 8) | datagram[3]] as const;
      writeUdp(bytes, 4, datagram.length, ports[0], ports[1], source, destination, true);
      expect(toHex(bytes)).toBe(toHex(embedded(datagram, 4)));
    }
  });

  test("a checksum that comes out as 0 is sent as 0xffff", () => {
    const bytes = new Uint8Array(10);
    writeUdp(bytes, 0, 10, 1, 2, a, b, true);
    // The payload that makes the sum of everything 0xffff is what is missing to it: the checksum without it.
    write16(bytes, 8, udpChecksum(bytes, 0));
    writeUdp(bytes, 0, 10, 1, 2, a, b, true);
    expect(udpChecksum(bytes, 0)).toBe(0xffff);
    expect(verifyUdp(bytes, 0, a, b)).toBe(true);
  });

  test("with checksum offload: the pseudo-header's sum, from which a device gets the right checksum", () => {
    const bytes = EVEN.slice().fill(0xa5, 0, 8);
    writeUdp(bytes, 0, 12, 4107, 4108, a, b, false);
    expect(udpChecksum(bytes, 0)).toBe(fold(pseudoHeaderSum(a, b, PROTOCOL_UDP, 12)));
    // What the device does: sum everything with the field as it is, and put the complement there.
    write16(bytes, 6, checksum(bytes, 0, 12));
    expect(toHex(bytes)).toBe(toHex(EVEN));
  });

  test("over IPv6", () => {
    const source = parseAddress("2001:db8::1");
    const destination = parseAddress("2001:db8::2");
    const bytes = EVEN.slice();
    writeUdp(bytes, 0, 12, 4107, 4108, source, destination, true);
    expect(verifyUdp(bytes, 0, source, destination)).toBe(true);
    expect(verifyUdp(bytes, 0, source, a)).toBe(false);
  });
});
