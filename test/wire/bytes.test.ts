import { expect, test } from "bun:test";
import { read16, read32, write16, write32 } from "../../src/wire/bytes.ts";
import { hex, toHex } from "./support.ts";

test("reads big-endian integers at any offset", () => {
  const bytes = hex("01 fe dc ba 98 76");
  expect(read16(bytes, 0)).toBe(0x01fe);
  expect(read16(bytes, 1)).toBe(0xfedc);
  expect(read32(bytes, 2)).toBe(0xdcba9876 | 0);
  expect(read32(hex("7f ff ff ff"), 0)).toBe(0x7fffffff);
  expect(read32(hex("ff ff ff ff"), 0)).toBe(-1);
});

test("writes big-endian integers and nothing beside them", () => {
  const bytes = new Uint8Array(8).fill(0xee);
  write16(bytes, 1, 0x1fffe);
  write32(bytes, 4, 0x12345678);
  expect(toHex(bytes)).toBe("ee ff fe ee 12 34 56 78");
  write32(bytes, 3, -2);
  write16(bytes, 0, -1);
  expect(toHex(bytes)).toBe("ff ff fe ff ff ff fe 78");
});
