import { describe, expect, test } from "bun:test";
import { BAD_CHECKSUM, OK, TRUNCATED } from "../../src/errors.ts";
import {
  checkIcmpv4,
  ICMP_DESTINATION_UNREACHABLE,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_PARAMETER_PROBLEM,
  ICMP_REDIRECT,
  ICMP_SOURCE_QUENCH,
  ICMP_TIME_EXCEEDED,
  ICMP_TIMESTAMP_REPLY,
  ICMP_TIMESTAMP_REQUEST,
  ICMPV4_HEADER_LENGTH,
  icmpCode,
  icmpIdentifier,
  icmpNextHopMtu,
  icmpPointer,
  icmpSequence,
  icmpType,
  isIcmpv4Error,
  writeIcmpv4,
} from "../../src/wire/icmpv4.ts";
import { embedded, guarded, hex, toHex } from "./support.ts";

// As ping sent it.
const ECHO = hex(`
  0800 8f42 3fa8 0001 1566 016b 0000 0000 5070 0300 0000 0000 1011 1213 1415 1617
  1819 1a1b 1c1d 1e1f 2021 2223 2425 2627 2829 2a2b 2c2d 2e2f 3031 3233 3435 3637`);

describe("fields", () => {
  test("of an echo request", () => {
    const bytes = embedded(ECHO, 5);
    expect(checkIcmpv4(bytes, 5, ECHO.length)).toBe(OK);
    expect(icmpType(bytes, 5)).toBe(ICMP_ECHO_REQUEST);
    expect(icmpCode(bytes, 5)).toBe(0);
    expect(icmpIdentifier(bytes, 5)).toBe(0x3fa8);
    expect(icmpSequence(bytes, 5)).toBe(1);
  });

  test("of errors", () => {
    const bytes = hex("0304 0000 1234 0500 0c01 0000 9c00 0000");
    expect([icmpType(bytes, 0), icmpCode(bytes, 0), icmpNextHopMtu(bytes, 0)]).toEqual([3, 4, 1280]);
    expect([icmpType(bytes, 8), icmpCode(bytes, 8), icmpPointer(bytes, 8)]).toEqual([12, 1, 0x9c]);
  });

  test("which types are errors", () => {
    const errors = [];
    for (let type = 0; type < 256; type++) if (isIcmpv4Error(type)) errors.push(type);
    expect(errors).toEqual([3, 4, 5, 11, 12]);
  });

  test("the numbers of RFC 792", () => {
    expect([ICMP_ECHO_REPLY, ICMP_DESTINATION_UNREACHABLE, ICMP_SOURCE_QUENCH, ICMP_REDIRECT]).toEqual([
      0, 3, 4, 5,
    ]);
    expect([ICMP_ECHO_REQUEST, ICMP_TIME_EXCEEDED, ICMP_PARAMETER_PROBLEM]).toEqual([8, 11, 12]);
    expect([ICMP_TIMESTAMP_REQUEST, ICMP_TIMESTAMP_REPLY]).toEqual([13, 14]);
  });
});

describe("check", () => {
  test("fewer than eight bytes are truncated", () => {
    for (let length = 0; length < ICMPV4_HEADER_LENGTH; length++) {
      expect(checkIcmpv4(guarded(ECHO, 0, length), 0, length)).toBe(TRUNCATED);
    }
  });

  test("a message may be a header alone", () => {
    expect(checkIcmpv4(hex("0800 f7ff 0000 0000"), 0, 8)).toBe(OK);
  });

  test("a message cut anywhere has a wrong checksum", () => {
    // Cutting off zeros is the one thing that a sum can't see, and this one has none behind byte 24.
    for (let length = 24; length < ECHO.length; length++) {
      expect(checkIcmpv4(ECHO, 0, length)).toBe(BAD_CHECKSUM);
    }
  });

  test("any changed bit is found", () => {
    const bytes = ECHO.slice();
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >>> 3] ^= 0x80 >>> (bit & 7);
      expect(checkIcmpv4(bytes, 0, bytes.length)).toBe(BAD_CHECKSUM);
      bytes[bit >>> 3] ^= 0x80 >>> (bit & 7);
    }
  });
});

describe("write", () => {
  test("an echo request in front of its data", () => {
    const bytes = embedded(ECHO, 2).fill(0xa5, 2, 2 + ICMPV4_HEADER_LENGTH);
    writeIcmpv4(bytes, 2, ECHO.length, ICMP_ECHO_REQUEST, 0, (0x3fa8 << 16) | 1);
    expect(toHex(bytes)).toBe(toHex(embedded(ECHO, 2)));
  });

  test("an error with all bits of its word, over a body of odd length", () => {
    const bytes = hex("a5a5 a5a5 a5a5 a5a5 010203");
    writeIcmpv4(bytes, 0, 11, ICMP_PARAMETER_PROBLEM, 255, 0xfedcba98 | 0);
    expect(toHex(bytes, 0, 2)).toBe("0c ff");
    expect(toHex(bytes, 4)).toBe("fe dc ba 98 01 02 03");
    expect(checkIcmpv4(bytes, 0, 11)).toBe(OK);
  });
});
