import { describe, expect, test } from "bun:test";
import { StackError } from "../../src/errors.ts";
import {
  ANY_IPV4,
  BROADCAST_IPV4,
  cidrBroadcast,
  cidrContains,
  cidrNetwork,
  cloneAddress,
  copyAddress,
  formatAddress,
  formatCidr,
  IpAddress,
  ipv4Address,
  isBroadcast,
  isLoopback,
  isMulticast,
  isUnspecified,
  parseAddress,
  parseCidr,
  sameAddress,
} from "../../src/wire/ip-address.ts";
import { randomIntegers } from "./support.ts";

/** The error that `run` throws has to be for users: a code, and a sentence that quotes their text. */
function expectInvalid(run: () => unknown, text: string): void {
  let thrown: unknown;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, `"${text}"`).toBeInstanceOf(StackError);
  const { code, message } = thrown as StackError;
  expect(code).toBe("EINVAL");
  expect(message).toContain(`"${text}"`);
  expect(message).toEndWith(".");
}

describe("IPv4", () => {
  test("is kept as an IPv4-mapped address in signed words", () => {
    const expected = { family: 4, w0: 0, w1: 0, w2: 0xffff, w3: 0xc0000201 | 0 };
    expect(ipv4Address(192, 0, 2, 1)).toMatchObject(expected);
    expect(parseAddress("192.0.2.1")).toMatchObject(expected);
    expect(new IpAddress(4, 0, 0, 0xffff, 0xc0000201)).toMatchObject(expected);
  });

  test("takes the low eight bits of each part", () => {
    expect(formatAddress(ipv4Address(256 + 10, -1, 0x1ff, 7))).toBe("10.255.255.7");
  });

  test("text both ways", () => {
    for (const text of [
      "0.0.0.0",
      "1.2.3.4",
      "9.10.99.100",
      "127.0.0.1",
      "199.200.249.250",
      "255.255.255.255",
    ]) {
      expect(formatAddress(parseAddress(text))).toBe(text);
      expect(String(parseAddress(text))).toBe(text);
    }
  });

  test("refuses what other programs read differently, and what is no address", () => {
    const bad =
      "|1|1.2.3|1.2.3.4.5|1.2.3.|.1.2.3|1..2.3|1.2.3.256|1.2.3.1000|01.2.3.4|1.2.3.00|0x1.2.3.4|1.2.3.4 | 1.2.3.4|" +
      "1.2.3.-4|+1.2.3.4|1.2.3.4/24|1.2.3.4e1|16909060|a.b.c.d|1,2,3,4|localhost|1.2.3.٤";
    for (const text of bad.split("|")) expectInvalid(() => parseAddress(text), text);
  });
});

describe("IPv6", () => {
  // RFC 4291 section 2.2, RFC 5952 sections 1 to 5.
  const forms: [text: string, canonical: string][] = [
    ["2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"],
    ["FF01:0:0:0:0:0:0:101", "ff01::101"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:0db8::0001", "2001:db8::1"],
    ["2001:db8:0:0:0:0:2:1", "2001:db8::2:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
    ["1:0:0:4:5:6:0:0", "1::4:5:6:0:0"],
    ["0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"],
    ["1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"],
    ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["::ffff:129.144.52.38", "::ffff:129.144.52.38"],
    ["::FFFF:8190:3426", "::ffff:129.144.52.38"],
    ["::13.1.68.3", "::d01:4403"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
    ["fe80::0:0:0:1", "fe80::1"],
  ];

  for (const [text, canonical] of forms) {
    test(`${text} is ${canonical}`, () => {
      const address = parseAddress(text);
      expect(address.family).toBe(6);
      expect(formatAddress(address)).toBe(canonical);
      expect(sameAddress(parseAddress(canonical), address)).toBe(true);
    });
  }

  test("words are in network order and signed", () => {
    const words = { family: 6, w0: 0x00010002, w1: 0x00030004, w2: 0x00050006, w3: 0xfffefffd | 0 };
    expect(parseAddress("1:2:3:4:5:6:fffe:fffd")).toMatchObject(words);
  });

  test("random addresses survive text", () => {
    const random = randomIntegers(1);
    // Half of all words and groups are zero, so that every place of a run comes up.
    const group = () => (random(2) === 0 ? 0 : random(0x10000));
    const word = () => (group() << 16) | group();
    for (let i = 0; i < 5000; i++) {
      const address = new IpAddress(6, word(), word(), word(), word());
      const text = formatAddress(address);
      expect(parseAddress(text)).toEqual(address);
      expect(text).not.toMatch(/:::|(^|:)0\d|[A-F]/);
    }
  });

  test("refuses what is no address", () => {
    const bad =
      ":|:::|1|1:2:3:4:5:6:7|1:2:3:4:5:6:7:8:9|1::2::3|::1::2|:1:2:3:4:5:6:7:8|1:2:3:4:5:6:7:8:|1:2:3:4:5:6:7:|::1:|:1::|" +
      "12345::|g::|1:2:3:4::5:6:7:8|::1:2:3:4:5:6:7:8|::1.2.3|::1.2.3.256|::01.2.3.4|1.2.3.4::|::1.2.3.4:5|" +
      "1:2:3:4:5:6:7:1.2.3.4|fe80::1%eth0|[::1]|::1/64|:: 1|::-1|::+1|::0x1";
    for (const text of bad.split("|")) expectInvalid(() => parseAddress(text), text);
  });
});

describe("records", () => {
  test("copy and clone", () => {
    const from = parseAddress("2001:db8::1");
    const into = ipv4Address(1, 2, 3, 4);
    const clone = cloneAddress(into);
    copyAddress(from, into);
    expect(into).toEqual(from);
    expect(into).not.toBe(from);
    expect(clone).toEqual(parseAddress("1.2.3.4"));
    expect(clone).toBeInstanceOf(IpAddress);
  });

  test("same means all words and the family", () => {
    const address = parseAddress("1:2:3:4:5:6:7:8");
    expect(sameAddress(address, cloneAddress(address))).toBe(true);
    const fields = ["w0", "w1", "w2", "w3"] as const;
    for (const field of fields) {
      const other = cloneAddress(address);
      other[field] ^= 1;
      expect(sameAddress(address, other)).toBe(false);
    }
    expect(sameAddress(parseAddress("192.0.2.1"), parseAddress("::ffff:192.0.2.1"))).toBe(false);
    expect(sameAddress(parseAddress("0.0.0.0"), parseAddress("::"))).toBe(false);
  });
});

describe("kinds", () => {
  const kindsOf = (text: string) => {
    const address = parseAddress(text);
    return [isUnspecified, isLoopback, isMulticast, isBroadcast]
      .filter((isKind) => isKind(address))
      .map((isKind) => isKind.name)
      .join();
  };

  const kinds: [text: string, kind: string][] = [
    ["0.0.0.0", "isUnspecified"],
    ["0.0.0.1", ""],
    ["126.255.255.255", ""],
    ["127.0.0.0", "isLoopback"],
    ["127.255.255.255", "isLoopback"],
    ["128.0.0.0", ""],
    ["223.255.255.255", ""],
    ["224.0.0.0", "isMulticast"],
    ["239.255.255.255", "isMulticast"],
    ["240.0.0.0", ""],
    ["255.255.255.254", ""],
    ["255.255.255.255", "isBroadcast"],
    ["::", "isUnspecified"],
    ["::1", "isLoopback"],
    ["::2", ""],
    ["::1:0:0", ""],
    ["1::", ""],
    ["1::1", ""],
    ["feff::1", ""],
    ["ff00::", "isMulticast"],
    ["ff02::1", "isMulticast"],
    ["::ffff:255.255.255.255", ""],
    ["::ffff:127.0.0.1", ""],
    ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "isMulticast"],
  ];
  for (const [text, kind] of kinds) test(`${text} ${kind}`, () => expect(kindsOf(text)).toBe(kind));

  test("constants", () => {
    expect(formatAddress(ANY_IPV4)).toBe("0.0.0.0");
    expect(formatAddress(BROADCAST_IPV4)).toBe("255.255.255.255");
    expect(isUnspecified(ANY_IPV4)).toBe(true);
    expect(isBroadcast(BROADCAST_IPV4)).toBe(true);
  });
});

describe("CIDR", () => {
  test("keeps the host address", () => {
    const cidr = parseCidr("192.168.69.1/24");
    expect(formatAddress(cidr.address)).toBe("192.168.69.1");
    expect(cidr.prefixLength).toBe(24);
    expect(formatCidr(cidr)).toBe("192.168.69.1/24");
    expect(String(cidr)).toBe("192.168.69.1/24");
  });

  const networks: [cidr: string, network: string, broadcast: string | null][] = [
    ["192.168.69.1/24", "192.168.69.0", "192.168.69.255"],
    ["10.1.2.3/0", "0.0.0.0", "255.255.255.255"],
    ["200.1.2.3/1", "128.0.0.0", "255.255.255.255"],
    ["10.1.2.3/8", "10.0.0.0", "10.255.255.255"],
    ["172.16.200.9/20", "172.16.192.0", "172.16.207.255"],
    ["10.1.2.3/30", "10.1.2.0", "10.1.2.3"],
    ["10.1.2.3/31", "10.1.2.2", null],
    ["10.1.2.3/32", "10.1.2.3", null],
    ["2001:db8:1:2:3:4:5:6/0", "::", null],
    ["2001:db8:1:2:3:4:5:6/31", "2001:db8::", null],
    ["2001:db8:1:2:3:4:5:6/32", "2001:db8::", null],
    ["2001:db8:1:2:3:4:5:6/47", "2001:db8::", null],
    ["2001:db8:1:2:3:4:5:6/64", "2001:db8:1:2::", null],
    ["2001:db8:1:2:3:4:5:6/95", "2001:db8:1:2:3:4::", null],
    ["2001:db8:1:2:3:4:5:6/97", "2001:db8:1:2:3:4::", null],
    ["2001:db8:1:2:3:4:5:6/127", "2001:db8:1:2:3:4:5:6", null],
    ["2001:db8:1:2:3:4:5:7/127", "2001:db8:1:2:3:4:5:6", null],
    ["2001:db8:1:2:3:4:5:7/128", "2001:db8:1:2:3:4:5:7", null],
  ];
  for (const [text, network, broadcast] of networks) {
    test(`network and broadcast of ${text}`, () => {
      const cidr = parseCidr(text);
      expect(cidrNetwork(cidr)).toEqual(parseAddress(network));
      expect(cidrBroadcast(cidr)).toEqual(broadcast === null ? null : parseAddress(broadcast));
      expect(cidrContains(cidr, cidr.address)).toBe(true);
      expect(cidrContains(cidr, cidrNetwork(cidr))).toBe(true);
    });
  }

  test("contains exactly the addresses with the same prefix, for every prefix length", () => {
    for (const text of ["10.20.30.40", "2001:db8:1:2:3:4:5:6"]) {
      const bits = text.includes(":") ? 128 : 32;
      for (let prefix = 0; prefix <= bits; prefix++) {
        const cidr = parseCidr(`${text}/${prefix}`);
        for (let bit = 0; bit < bits; bit++) {
          const other = parseAddress(text);
          const position = bit + 128 - bits;
          const field = (["w0", "w1", "w2", "w3"] as const)[position >>> 5];
          other[field] ^= 0x80000000 >>> (position & 31);
          expect(cidrContains(cidr, other)).toBe(bit >= prefix);
        }
      }
    }
  });

  test("never contains the other family", () => {
    expect(cidrContains(parseCidr("0.0.0.0/0"), parseAddress("::1"))).toBe(false);
    expect(cidrContains(parseCidr("::/0"), parseAddress("10.0.0.1"))).toBe(false);
  });

  test("refuses a prefix length that is missing or out of range", () => {
    const bad =
      "10.0.0.1|10.0.0.1/|10.0.0.1/33|10.0.0.1/-1|10.0.0.1/08|10.0.0.1/8/8|10.0.0.1/ 8|10.0.0.1/1e1|::1|::/129";
    for (const text of bad.split("|")) expectInvalid(() => parseCidr(text), text);
    expectInvalid(() => parseCidr("10.0.0.256/8"), "10.0.0.256");
    expectInvalid(() => parseCidr("/8"), "");
  });
});
