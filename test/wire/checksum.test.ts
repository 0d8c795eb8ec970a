import { describe, expect, test } from "bun:test";
import { checksum, fold, pseudoHeaderSum, sum, updateChecksum } from "../../src/wire/checksum.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { hex, randomBytes, randomIntegers } from "./support.ts";

/** RFC 1071 section 1 word by word, in numbers that can't overflow. */
function reference(bytes: Uint8Array, offset: number, length: number, initial = 0): number {
  let total = initial;
  for (let i = 0; i < length; i++) total += bytes[offset + i] * (i % 2 === 0 ? 256 : 1);
  while (total > 0xffff) total = (total % 0x10000) + Math.floor(total / 0x10000);
  return total;
}

describe("sum", () => {
  test("the example of RFC 1071 section 3", () => {
    const bytes = hex("00 01 f2 03 f4 f5 f6 f7");
    expect(fold(sum(bytes, 0, 8))).toBe(0xddf2);
    expect(checksum(bytes, 0, 8)).toBe(0x220d);
  });

  test("an odd last byte is the high half of a word", () => {
    expect(fold(sum(hex("01 02 03"), 0, 3))).toBe(0x0402);
    expect(sum(hex("ab"), 0, 1)).toBe(0xab00);
    expect(sum(hex("ab"), 0, 0, 7)).toBe(7);
  });

  test("equals the reference for every start, alignment and length", () => {
    const random = randomIntegers(2);
    const buffer = randomBytes(random, 4096).buffer;
    // Views that begin anywhere in the buffer, also not on a word, and don't reach its end.
    for (let byteOffset = 0; byteOffset < 9; byteOffset++) {
      const bytes = new Uint8Array(buffer, byteOffset, 1600);
      for (let offset = 0; offset < 8; offset++) {
        for (let length = 0; length < 300; length++) {
          expect(fold(sum(bytes, offset, length))).toBe(reference(bytes, offset, length));
        }
        for (let i = 0; i < 60; i++) {
          const length = 300 + random(1600 - 300 - offset);
          expect(fold(sum(bytes, offset, length))).toBe(reference(bytes, offset, length));
        }
      }
    }
  });

  test("reads up to the end of a buffer that is not a multiple of four", () => {
    const random = randomIntegers(3);
    for (let size = 200; size < 216; size++) {
      const bytes = randomBytes(random, size);
      for (let offset = 0; offset < 8; offset++) {
        expect(fold(sum(bytes, offset, size - offset))).toBe(reference(bytes, offset, size - offset));
      }
    }
  });

  test("doesn't overflow on long inputs of the largest words", () => {
    const bytes = new Uint8Array(1_000_003).fill(0xff);
    for (const length of [65535, 65536, 131071, 131072, 131073, 131080, 262144, 262152, 524300, 1_000_000]) {
      for (const offset of [0, 1, 2, 3]) {
        expect(fold(sum(bytes, offset, length))).toBe(reference(bytes, offset, length));
        expect(sum(bytes, offset, length)).toBeLessThan(2 ** 23);
      }
    }
  });

  test("equals the reference on long random inputs", () => {
    const random = randomIntegers(4);
    const bytes = randomBytes(random, 400_000);
    for (let i = 0; i < 40; i++) {
      const offset = random(9);
      const length = random(bytes.length - offset);
      expect(fold(sum(bytes, offset, length))).toBe(reference(bytes, offset, length));
    }
  });

  test("is zero for zeros only", () => {
    const bytes = new Uint8Array(1000);
    expect(sum(bytes, 0, 1000)).toBe(0);
    expect(checksum(bytes, 0, 1000)).toBe(0xffff);
    bytes.fill(0xff);
    expect(fold(sum(bytes, 0, 1000))).toBe(0xffff);
    expect(checksum(bytes, 0, 1000)).toBe(0);
  });

  test("adds to an initial sum, and pieces of even length can be chained", () => {
    const random = randomIntegers(5);
    const bytes = randomBytes(random, 3000);
    for (let i = 0; i < 500; i++) {
      const first = random(700) * 2;
      const second = random(1500);
      const initial = random(0x7fffffff);
      const chained = sum(bytes, first, second, sum(bytes, 0, first, initial));
      expect(chained).toBeLessThan(2 ** 32);
      expect(fold(chained)).toBe(reference(bytes, 0, first + second, initial));
    }
  });

  test("sees what was written since, through more arrays than have a cached view", () => {
    const random = randomIntegers(6);
    const arrays = Array.from({ length: 11 }, () => randomBytes(random, 256 + random(8)));
    for (let i = 0; i < 2000; i++) {
      const bytes = arrays[random(arrays.length)];
      bytes[random(bytes.length)] = random(256);
      expect(fold(sum(bytes, 3, 240))).toBe(reference(bytes, 3, 240));
    }
  });

  test("views of one buffer don't take each other's words", () => {
    const buffer = new ArrayBuffer(1024);
    const first = new Uint8Array(buffer, 0, 200);
    const second = new Uint8Array(buffer, 513, 200);
    first.fill(1);
    second.fill(2);
    expect(fold(sum(first, 0, 200))).toBe(reference(first, 0, 200));
    expect(fold(sum(second, 0, 200))).toBe(reference(second, 0, 200));
  });
});

test("fold brings 32 bits to 16", () => {
  expect(fold(0)).toBe(0);
  expect(fold(0xffff)).toBe(0xffff);
  expect(fold(0x10000)).toBe(1);
  expect(fold(0x1ffff)).toBe(1);
  expect(fold(0x2ddf0)).toBe(0xddf2);
  expect(fold(0xffffffff)).toBe(0xffff);
  expect(fold(0xfffeffff)).toBe(0xfffe);
  expect(fold(-1)).toBe(0xffff);
});

describe("updateChecksum", () => {
  test("the corner case of RFC 1624 section 4: 0x0000 and not 0xffff", () => {
    expect(updateChecksum(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
  });

  test("equals a full computation for any word", () => {
    const random = randomIntegers(7);
    for (let i = 0; i < 5000; i++) {
      const bytes = randomBytes(random, 40);
      const before = checksum(bytes, 0, 40);
      const at = random(20) * 2;
      const old = (bytes[at] << 8) | bytes[at + 1];
      bytes[at] = random(256);
      bytes[at + 1] = random(256);
      const changed = (bytes[at] << 8) | bytes[at + 1];
      expect(updateChecksum(before, old, changed)).toBe(checksum(bytes, 0, 40));
    }
  });

  test("equals a full computation where the sum is 0xffff, from and to every word", () => {
    // Two words: `rest` is chosen so that the sum of all comes out as 0xffff before or after the change.
    for (let word = 0; word < 0x10000; word += 257) {
      const rest = (0xffff - word) & 0xffff;
      const bytes = hex("00 00 00 00 00 00");
      bytes[2] = rest >>> 8;
      bytes[3] = rest;
      bytes[5] = 1; // never all zeros, as no header is
      for (const [old, changed] of [
        [word, 0x1234],
        [0x1234, word],
        [word, word],
        [0, 0xffff],
        [0xffff, 0],
      ]) {
        bytes[0] = old >>> 8;
        bytes[1] = old;
        const before = checksum(bytes, 0, 6);
        bytes[0] = changed >>> 8;
        bytes[1] = changed;
        expect(updateChecksum(before, old, changed)).toBe(checksum(bytes, 0, 6));
      }
    }
  });

  test("takes signed words", () => {
    expect(updateChecksum(0xdd2f, 0x5555 - 0x10000, 0x3285 - 0x10000)).toBe(0x0000);
  });
});

describe("pseudoHeaderSum", () => {
  test("IPv4: the 12 bytes of RFC 9293 section 3.1", () => {
    const bytes = hex("c0000201 c6336407 00 06 0514");
    const total = pseudoHeaderSum(parseAddress("192.0.2.1"), parseAddress("198.51.100.7"), 6, 0x514);
    expect(fold(total)).toBe(reference(bytes, 0, 12));
  });

  test("IPv6: the 40 bytes of RFC 8200 section 8.1", () => {
    const source = "fe80 0000 0000 0000 0223 45ff fe67 89ab";
    const destination = "2001 0db8 ffff ffff 8000 7fff 1234 fedc";
    const bytes = hex(`${source} ${destination} 0001 86a1 000000 3a`);
    const total = pseudoHeaderSum(
      parseAddress("fe80::223:45ff:fe67:89ab"),
      parseAddress("2001:db8:ffff:ffff:8000:7fff:1234:fedc"),
      58,
      0x186a1,
    );
    expect(fold(total)).toBe(reference(bytes, 0, 40));
    expect(total).toBeLessThan(2 ** 22);
  });

  test("is no negative number for the highest addresses", () => {
    const address = parseAddress("255.255.255.255");
    expect(fold(pseudoHeaderSum(address, address, 17, 65535))).toBe(17);
  });
});
