import { describe, expect, test } from "bun:test";
import { BAD_HEADER_LENGTH, OK, TRUNCATED } from "../../src/errors.ts";
import { checksum, fold, pseudoHeaderSum } from "../../src/wire/checksum.ts";
import { ipv4Address, parseAddress } from "../../src/wire/ip-address.ts";
import { PROTOCOL_TCP } from "../../src/wire/ipv4.ts";
import {
  ACK,
  CWR,
  ECE,
  FIN,
  finishTcpChecksum,
  PSH,
  parseTcp,
  RST,
  resetTcpOptions,
  SYN,
  TcpSegment,
  tcpOptionsLength,
  tcpSequenceLength,
  URG,
  verifyTcp,
  writeTcp,
} from "../../src/wire/tcp.ts";
import { embedded, guarded, hex, randomIntegers, toHex } from "./support.ts";

const a = parseAddress("10.0.0.1");
const b = parseAddress("10.0.0.2");

// Segments of Linux, whose layouts `writeTcp` has to give back.
const SYN_ALL = hex(`
  dcda 1005 059a 3618 0000 0000 a002 faf0 15fc 0000
  0204 05b4 0402 080a e77e 12fd 0000 0000 0103 030a`);
const SYN_NO_TIMESTAMP = hex(
  "dcea 1005 4607 dad7 0000 0000 8002 faf0 524c 0000 0204 05b4 0101 0402 0103 030a",
);
const DATA_ACK = hex("dcda 1005 059a 3619 df01 5c13 8010 003f 424e 0000 0101 080a e77e 12fd 50d8 7131");
const THREE_SACKS = hex(`
  1007 baae ca88 6b53 63fb 5d24 f010 0048 c8d2 0000 0101 080a 448a f916 185f c062
  0101 051a 63fb 84bc 63fb b099 63fb 73c4 63fb 7f14 63fb 62cc 63fb 6874`);
const TWO_SACKS = hex(`
  1007 baae ca88 6b53 63fb 6874 d010 0046 70cb 0000 0101 080a 448a f916 185f c063
  0101 0512 63fb 84bc 63fb b099 63fb 73c4 63fb 7f14`);

function parsed(bytes: Uint8Array): TcpSegment {
  const segment = new TcpSegment();
  expect(parseTcp(bytes, 0, bytes.length, segment)).toBe(OK);
  return segment;
}

/** A header with these options behind it (padded with end-of-list), dirty where the parser must not look. */
function withOptions(options: string): Uint8Array {
  const bytes = hex(options);
  const padded = new Uint8Array((bytes.length + 3) & ~3);
  padded.set(bytes);
  const header = hex("dcda 1005 059a 3618 0000 0000 5002 faf0 0000 0000");
  header[12] = (20 + padded.length) << 2;
  const segment = new Uint8Array(20 + padded.length);
  segment.set(header);
  segment.set(padded, 20);
  return segment;
}

const NO_OPTIONS = {
  mss: 0,
  windowScale: -1,
  sackPermitted: false,
  hasTimestamp: false,
  tsVal: 0,
  tsEcr: 0,
  sackCount: 0,
};

/** A segment whose every option field is set, to see that parsing resets what a segment doesn't have. */
function dirty(): TcpSegment {
  const segment = new TcpSegment();
  Object.assign(segment, {
    mss: 9,
    windowScale: 9,
    sackPermitted: true,
    hasTimestamp: true,
    tsVal: 9,
    tsEcr: 9,
    sackCount: 3,
  });
  return segment;
}

describe("parse", () => {
  test("every field of a SYN", () => {
    const segment = dirty();
    const bytes = embedded(SYN_ALL, 3);
    expect(parseTcp(bytes, 3, SYN_ALL.length, segment)).toBe(OK);
    expect(segment).toMatchObject({
      sourcePort: 0xdcda,
      destinationPort: 4101,
      seq: 0x059a3618,
      ack: 0,
      flags: SYN,
      window: 64240,
      urgent: 0,
      headerLength: 40,
      payloadOffset: 43,
      payloadLength: 0,
      mss: 1460,
      windowScale: 10,
      sackPermitted: true,
      hasTimestamp: true,
      tsVal: 0xe77e12fd | 0,
      tsEcr: 0,
      sackCount: 0,
    });
  });

  test("numbers above 2^31 are signed, ports and windows are not", () => {
    const segment = parsed(hex("ffff fffe ffff fffd 8000 0000 50ff ffff 0000 fffc"));
    expect(segment).toMatchObject({ sourcePort: 65535, destinationPort: 65534, seq: -3, ack: -0x80000000 });
    expect(segment).toMatchObject({ flags: 255, window: 65535, urgent: 65532 });
  });

  test("leaves the addresses alone", () => {
    const segment = new TcpSegment();
    const source = segment.source;
    source.w3 = 7;
    parseTcp(SYN_ALL, 0, SYN_ALL.length, segment);
    expect(segment.source).toBe(source);
    expect(source).toEqual(ipv4Address(0, 0, 0, 7));
  });

  test("no options, with payload", () => {
    const segment = dirty();
    const bytes = hex("dcda 1005 059a 3618 0000 0000 5018 faf0 0000 0000 68 69 21");
    expect(parseTcp(bytes, 0, bytes.length, segment)).toBe(OK);
    expect(segment).toMatchObject({ ...NO_OPTIONS, headerLength: 20, payloadOffset: 20, payloadLength: 3 });
  });

  test("the usual timestamp layout", () => {
    const segment = dirty();
    expect(parseTcp(DATA_ACK, 0, DATA_ACK.length, segment)).toBe(OK);
    const timestamp = { hasTimestamp: true, tsVal: 0xe77e12fd | 0, tsEcr: 0x50d87131 };
    expect(segment).toMatchObject({ ...NO_OPTIONS, ...timestamp, headerLength: 32, payloadLength: 0 });
  });

  test("a timestamp in any other place", () => {
    const layouts = [
      "080a 00000001 00000002 0101",
      "01 080a 00000001 00000002 01",
      "0101 080a 00000001 00000002 01010101",
    ];
    for (const layout of layouts) {
      expect(parsed(withOptions(layout))).toMatchObject({
        ...NO_OPTIONS,
        hasTimestamp: true,
        tsVal: 1,
        tsEcr: 2,
      });
    }
  });

  test("SACK blocks", () => {
    const segment = parsed(THREE_SACKS);
    expect(segment).toMatchObject({ sackCount: 3, hasTimestamp: true, tsVal: 0x448af916, tsEcr: 0x185fc062 });
    expect([...segment.sackEdges.slice(0, 6)]).toEqual([
      0x63fb84bc, 0x63fbb099, 0x63fb73c4, 0x63fb7f14, 0x63fb62cc, 0x63fb6874,
    ]);
    const four = parsed(withOptions(`0101 0522 ${"fffffff0 fffffffa ".repeat(4)}`));
    expect(four.sackCount).toBe(4);
    expect([...four.sackEdges]).toEqual([-16, -6, -16, -6, -16, -6, -16, -6]);
  });

  test("a window scale above 14 counts as 14 (RFC 7323 2.3)", () => {
    const scales: [byte: string, scale: number][] = [
      ["00", 0],
      ["0d", 13],
      ["0e", 14],
      ["0f", 14],
      ["ff", 14],
    ];
    for (const [byte, scale] of scales) expect(parsed(withOptions(`0303${byte}`)).windowScale).toBe(scale);
  });

  test("the header alone decides where the payload begins", () => {
    for (let words = 0; words < 16; words++) {
      const segment = new TcpSegment();
      const bytes = hex(
        `dcda 1005 059a 3618 0000 0000 ${words.toString(16)}010 faf0 0000 0000 ${"01".repeat(60)}`,
      );
      const code = parseTcp(bytes, 0, 80, segment);
      expect(code).toBe(words < 5 ? BAD_HEADER_LENGTH : OK);
      if (code === OK)
        expect(segment).toMatchObject({ payloadOffset: words * 4, payloadLength: 80 - words * 4 });
    }
  });

  test("a header cut at any length is truncated and the record untouched", () => {
    for (const bytes of [SYN_ALL, DATA_ACK, THREE_SACKS]) {
      const segment = dirty();
      const before = structuredClone({ ...segment });
      for (let length = 0; length < bytes.length; length++) {
        expect(parseTcp(guarded(bytes, 0, length), 0, length, segment)).toBe(TRUNCATED);
      }
      expect(structuredClone({ ...segment })).toEqual(before);
    }
  });
});

describe("malformed options", () => {
  const cases: [name: string, options: string, fields: Partial<TcpSegment>][] = [
    ["end of list ends it", "00 0204 05b4", {}],
    ["end of list behind others", "0204 05b4 00 0303 07", { mss: 1460 }],
    ["only padding", "01 01 01 01", {}],
    ["an unknown option is skipped", "fd 06 01020304 0204 05b4", { mss: 1460 }],
    ["an unknown option without data", "63 02 0204 05b4", { mss: 1460 }],
    ["a length of 0 ends parsing", "0204 05b4 fd00 0303 07 01", { mss: 1460 }],
    ["a length of 1 ends parsing", "0204 05b4 fd01 0303 07 01", { mss: 1460 }],
    ["a known option of length 0", "0300 0204 05b4 0101", {}],
    ["a known option of length 1", "0301 0204 05b4 0101", {}],
    ["past the header", "0204 05b4 0101 fd 05", { mss: 1460 }],
    ["far past the header", "0204 05b4 0101 fd ff", { mss: 1460 }],
    ["a kind as the last byte", "0204 05b4 0101 01 02", { mss: 1460 }],
    ["MSS of length 2", "0202 0101 0303 07 01", { windowScale: 7 }],
    ["MSS of length 3", "0203 05 01 0303 07 01", { windowScale: 7 }],
    ["MSS of length 5", "0205 05b4 01 0303 07", { windowScale: 7 }],
    ["window scale of length 2", "0302 0101 0204 05b4", { mss: 1460 }],
    ["window scale of length 4", "0304 07 07 0204 05b4", { mss: 1460 }],
    ["SACK-permitted of length 3", "0403 02 01 0204 05b4", { mss: 1460 }],
    ["timestamp of length 2", "0802 0101 0204 05b4", { mss: 1460 }],
    ["timestamp of length 9", "0809 00000001 000002 01 0101 0204 05b4", { mss: 1460 }],
    ["timestamp of length 11", "080b 00000001 00000002 03 01 0204 05b4", { mss: 1460 }],
    ["timestamp cut off by the header", "0204 05b4 080a 00000001 0000", { mss: 1460 }],
    ["SACK of length 2", "0502 0101 0204 05b4", { mss: 1460 }],
    ["SACK of length 6", "0506 00000001 0101 0204 05b4", { mss: 1460 }],
    ["SACK of length 11", "050b 00000001 00000002 03 01 0204 05b4", { mss: 1460 }],
    ["SACK of five blocks can't fit", "0101 052a 00000001 00000002", {}],
    ["the later of two counts", "0204 05b4 0204 0200", { mss: 512 }],
    ["a usual timestamp's first bytes in a header of another size", "0101 080a 00000001", {}],
  ];
  for (const [name, options, fields] of cases) {
    test(name, () => {
      const bytes = withOptions(options);
      const segment = dirty();
      expect(parseTcp(guarded(bytes, 0, bytes.length), 0, bytes.length, segment)).toBe(OK);
      expect(segment).toMatchObject({ ...NO_OPTIONS, ...fields });
    });
  }

  test("payload is not taken for options", () => {
    const bytes = hex("dcda 1005 059a 3618 0000 0000 6010 faf0 0000 0000 0101 01 02 04 05b4");
    expect(parsed(bytes)).toMatchObject({ ...NO_OPTIONS, payloadLength: 3 });
  });
});

describe("write", () => {
  const segments: [name: string, bytes: Uint8Array][] = [
    ["a SYN with everything", SYN_ALL],
    ["a SYN without timestamps", SYN_NO_TIMESTAMP],
    ["an ACK", DATA_ACK],
    ["an ACK with three SACK blocks", THREE_SACKS],
    ["an ACK with two SACK blocks", TWO_SACKS],
    ["no options", hex("ffff fffe ffff fffd 8000 0000 50ff ffff 0000 fffc")],
    ["MSS only", withOptions("0204 05b4")],
    ["timestamp on a SYN without SACK", withOptions("0204 05b4 0101 080a 2f97b5b8 00000000 0103 0300")],
    ["four SACK blocks", withOptions(`0101 0522 ${"00000001 fffffffa ".repeat(4)}`)],
    ["one SACK block", withOptions("0101 050a 00000001 fffffffa")],
  ];
  for (const [name, bytes] of segments) {
    test(`${name}: the same bytes, and nothing beside them`, () => {
      const segment = parsed(bytes);
      expect(tcpOptionsLength(segment)).toBe(bytes.length - 20);
      const made = new Uint8Array(bytes.length + 8).fill(0xa5);
      expect(writeTcp(guarded(made, 4, 4 + bytes.length), 4, segment)).toBe(bytes.length);
      const expected = embedded(bytes, 4).fill(0xa5, 0, 4).fill(0, 20, 22);
      expect(toHex(made, 0, 4 + bytes.length)).toBe(toHex(expected, 0, 4 + bytes.length));
    });
  }

  test("SACK blocks that don't fit are left out", () => {
    const segment = new TcpSegment();
    segment.sackCount = 4;
    segment.hasTimestamp = true;
    expect(tcpOptionsLength(segment)).toBe(12 + 4 + 24);
    segment.mss = 1460;
    segment.windowScale = 0;
    segment.sackPermitted = true;
    expect(tcpOptionsLength(segment)).toBe(20 + 4 + 16);
    const bytes = new Uint8Array(60);
    expect(writeTcp(bytes, 0, segment)).toBe(60);
    expect(parsed(bytes)).toMatchObject({ sackCount: 2, mss: 1460, windowScale: 0, sackPermitted: true });
  });

  test("every combination of options survives, in at most 40 bytes of multiples of four", () => {
    const random = randomIntegers(8);
    for (let i = 0; i < 4000; i++) {
      const segment = new TcpSegment();
      if (random(2) === 0) segment.mss = 1 + random(65535);
      if (random(2) === 0) segment.windowScale = random(15);
      segment.sackPermitted = random(2) === 0;
      segment.hasTimestamp = random(2) === 0;
      if (segment.hasTimestamp) {
        segment.tsVal = random(2 ** 32) | 0;
        segment.tsEcr = random(2 ** 32) | 0;
      }
      segment.sackCount = random(5);
      for (let edge = 0; edge < 8; edge++) segment.sackEdges[edge] = random(2 ** 32);
      segment.seq = random(2 ** 32) | 0;
      segment.flags = random(256);

      const bytes = new Uint8Array(60).fill(0xa5);
      const length = writeTcp(bytes, 0, segment);
      expect(length).toBe(20 + tcpOptionsLength(segment));
      expect(length % 4).toBe(0);
      expect(length).toBeLessThanOrEqual(60);
      const again = parsed(bytes.slice(0, length));
      const { mss, windowScale, sackPermitted, hasTimestamp, tsVal, tsEcr, seq, flags } = segment;
      expect(again).toMatchObject({
        mss,
        windowScale,
        sackPermitted,
        hasTimestamp,
        tsVal,
        tsEcr,
        seq,
        flags,
      });
      expect(again.sackCount).toBeLessThanOrEqual(segment.sackCount);
      expect(again.sackEdges.slice(0, again.sackCount * 2)).toEqual(
        segment.sackEdges.slice(0, again.sackCount * 2),
      );
    }
  });
});

describe("checksum", () => {
  const pieces: [bytes: Uint8Array, source: typeof a, destination: typeof a][] = [
    [SYN_ALL, a, b],
    [DATA_ACK, a, b],
    [THREE_SACKS, b, a],
    [TWO_SACKS, b, a],
  ];

  test("of captured segments", () => {
    for (const [bytes, source, destination] of pieces) {
      const made = embedded(bytes, 5);
      expect(verifyTcp(made, 5, bytes.length, source, destination)).toBe(true);
      made.fill(0xa5, 5 + 16, 5 + 18);
      expect(verifyTcp(made, 5, bytes.length, source, destination)).toBe(false);
      finishTcpChecksum(made, 5, bytes.length, source, destination, true);
      expect(toHex(made)).toBe(toHex(embedded(bytes, 5)));
    }
  });

  test("any changed bit is found", () => {
    const bytes = SYN_ALL.slice();
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >>> 3] ^= 0x80 >>> (bit & 7);
      expect(verifyTcp(bytes, 0, bytes.length, a, b)).toBe(false);
      bytes[bit >>> 3] ^= 0x80 >>> (bit & 7);
    }
    expect(verifyTcp(bytes, 0, bytes.length, a, parseAddress("10.0.0.3"))).toBe(false);
    expect(verifyTcp(bytes, 0, bytes.length - 1, a, b)).toBe(false);
  });

  test("of a payload of odd length", () => {
    const bytes = new Uint8Array(20 + 1461).fill(0x5a);
    const length = writeTcp(bytes, 0, new TcpSegment());
    expect(length).toBe(20);
    finishTcpChecksum(bytes, 0, bytes.length, a, b, true);
    expect(verifyTcp(bytes, 0, bytes.length, a, b)).toBe(true);
    const sum = checksum(bytes, 0, bytes.length, pseudoHeaderSum(a, b, PROTOCOL_TCP, bytes.length));
    expect(sum).toBe(0);
  });

  test("with checksum offload: the pseudo-header's sum, from which a device gets the right checksum", () => {
    const bytes = SYN_ALL.slice().fill(0xa5, 16, 18);
    finishTcpChecksum(bytes, 0, bytes.length, a, b, false);
    expect((bytes[16] << 8) | bytes[17]).toBe(fold(pseudoHeaderSum(a, b, PROTOCOL_TCP, bytes.length)));
    const completed = checksum(bytes, 0, bytes.length);
    bytes[16] = completed >>> 8;
    bytes[17] = completed;
    expect(toHex(bytes)).toBe(toHex(SYN_ALL));
  });

  test("over IPv6", () => {
    const source = parseAddress("2001:db8::1");
    const destination = parseAddress("2001:db8::2");
    const bytes = SYN_ALL.slice();
    finishTcpChecksum(bytes, 0, bytes.length, source, destination, true);
    expect(verifyTcp(bytes, 0, bytes.length, source, destination)).toBe(true);
    expect(verifyTcp(bytes, 0, bytes.length, source, source)).toBe(false);
  });
});

test("sequence length: payload, and one each for SYN and FIN", () => {
  const segment = new TcpSegment();
  segment.payloadLength = 10;
  const lengths: [flags: number, length: number][] = [
    [0, 10],
    [SYN, 11],
    [FIN, 11],
    [SYN | FIN, 12],
    [RST | PSH | ACK | URG | ECE | CWR, 10],
    [255, 12],
  ];
  for (const [flags, length] of lengths) {
    segment.flags = flags;
    expect(tcpSequenceLength(segment)).toBe(length);
  }
});

test("flags are the bits of RFC 9293 section 3.1 and RFC 3168", () => {
  expect([FIN, SYN, RST, PSH, ACK, URG, ECE, CWR]).toEqual([1, 2, 4, 8, 16, 32, 64, 128]);
});

test("a new segment is from and to 0.0.0.0, with no options", () => {
  const segment = new TcpSegment();
  expect(segment.source).toEqual(ipv4Address(0, 0, 0, 0));
  expect(segment.destination).toEqual(ipv4Address(0, 0, 0, 0));
  expect(segment).toMatchObject({ ...NO_OPTIONS, seq: 0, flags: 0, payloadLength: 0 });
});

test("resetTcpOptions forgets all of them", () => {
  const segment = dirty();
  resetTcpOptions(segment);
  expect(segment).toMatchObject(NO_OPTIONS);
  expect(tcpOptionsLength(segment)).toBe(0);
});
