import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { fold, sum } from "../../src/wire/checksum.ts";
import { frameMemory, vectorSumOf } from "../../src/wire/frame-memory.ts";
import { randomBytes, randomIntegers } from "./support.ts";

/** RFC 1071 section 1 word by word. */
function reference(bytes: Uint8Array, offset: number, length: number): number {
  let total = 0;
  for (let i = 0; i < length; i++) total += bytes[offset + i] * (i % 2 === 0 ? 256 : 1);
  while (total > 0xffff) total = (total % 0x10000) + Math.floor(total / 0x10000);
  return total;
}

describe("frameMemory", () => {
  test("has the size that is asked for, is zero, and can be written", () => {
    for (const size of [1, 1_514, 65_536, 65_537, 1_000_000]) {
      const bytes = frameMemory(size);
      expect(bytes.length).toBe(size);
      expect(bytes.every((byte) => byte === 0)).toBe(true);
      bytes[size - 1] = 7;
      expect(bytes[size - 1]).toBe(7);
    }
  });

  test("is summed by vectors", () => {
    expect(vectorSumOf(frameMemory(100).buffer)).not.toBeNull();
    expect(vectorSumOf(new ArrayBuffer(100))).toBeNull();
  });

  test("two of them have nothing to do with each other", () => {
    const [a, b] = [frameMemory(200), frameMemory(200)];
    a.fill(1);
    b.fill(2);
    expect([fold(sum(a, 0, 200)), fold(sum(b, 0, 200))]).toEqual([
      reference(a, 0, 200),
      reference(b, 0, 200),
    ]);
  });

  test("hundreds of devices share a few instances, of which an engine has only so many", () => {
    const arrays = Array.from({ length: 300 }, () => frameMemory(400_000));
    expect(new Set(arrays.map((bytes) => bytes.buffer)).size).toBeLessThan(16);
    for (const [i, bytes] of arrays.entries()) bytes.fill(i % 251);
    for (const [i, bytes] of arrays.entries()) expect([bytes[0], bytes[399_999]]).toEqual([i % 251, i % 251]);
  });

  test("its sums equal the reference for every start, alignment and length", () => {
    const random = randomIntegers(5);
    const memory = frameMemory(4_096);
    memory.set(randomBytes(random, 4_096));
    for (const bytes of [memory, memory.subarray(3), memory.subarray(16, 3_000)]) {
      for (let offset = 0; offset < 18; offset++) {
        for (let length = 60; length < 200; length++) {
          expect(fold(sum(bytes, offset, length))).toBe(reference(bytes, offset, length));
        }
        for (let i = 0; i < 40; i++) {
          const length = 200 + random(bytes.length - 200 - offset);
          expect(fold(sum(bytes, offset, length))).toBe(reference(bytes, offset, length));
        }
      }
    }
  });

  test("no sum overflows, not even that of the largest words", () => {
    const bytes = frameMemory(200_000).fill(0xff);
    for (const length of [65_535, 65_536, 65_537, 200_000]) {
      expect(fold(sum(bytes, 0, length))).toBe(reference(bytes, 0, length));
      expect(sum(bytes, 0, length)).toBeLessThan(2 ** 23);
    }
  });

  test("where the engine has no more memory or instances, it is ordinary", async () => {
    for (const what of ["Memory", "Instance"]) {
      const script = `
        import { frameMemory, vectorSumOf } from ${JSON.stringify(join(import.meta.dir, "../../src/wire/frame-memory.ts"))};
        const vectors = (size) => {
          const bytes = frameMemory(size);
          if (bytes.length !== size || bytes.at(-1) !== 0) throw new Error("not what was asked for");
          return vectorSumOf(bytes.buffer) !== null;
        };
        const log = [vectors(100)];
        const { ${what} } = WebAssembly;
        WebAssembly.${what} = class { constructor() { throw new RangeError("Out of memory"); } };
        // A share of the slab, its own, and when the slab is used up.
        log.push(vectors(100), vectors(5_000_000), ...Array.from({ length: 5 }, () => vectors(4_000_000)));
        WebAssembly.${what} = ${what};
        log.push(vectors(4_000_000));
        console.log(log.map(Number).join(""));`;
      const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
      expect(await new Response(child.stdout).text()).toBe("110111101\n");
    }
  });

  test("without WebAssembly the memory is ordinary, and the sums are the same", async () => {
    const script = `
      import { fold, sum } from ${JSON.stringify(join(import.meta.dir, "../../src/wire/checksum.ts"))};
      import { frameMemory, vectorSumOf } from ${JSON.stringify(join(import.meta.dir, "../../src/wire/frame-memory.ts"))};
      const bytes = frameMemory(1_000).fill(0xa5);
      console.log(typeof WebAssembly, vectorSumOf(bytes.buffer), bytes.length, fold(sum(bytes, 1, 999)));`;
    const child = Bun.spawn([process.execPath, "-e", script], {
      env: { ...process.env, BUN_JSC_useWasm: "0" },
      stdout: "pipe",
    });
    const bytes = new Uint8Array(1_000).fill(0xa5);
    expect(await new Response(child.stdout).text()).toBe(`undefined null 1000 ${reference(bytes, 1, 999)}\n`);
  });
});
