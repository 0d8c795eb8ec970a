import { expect, test } from "bun:test";
import { FrameQueue } from "../../devices/frame-queue.ts";
import { Frame } from "../../src/device.ts";
import { randomBelow, seededRandom } from "../../src/random.ts";

/** A frame of `length` bytes that can be told from any other, at an offset of its own. */
function numbered(number: number, length: number): Frame {
  const frame = new Frame(new Uint8Array(length + 4).fill(0xdd));
  frame.offset = number & 3;
  frame.length = length;
  for (let i = 0; i < length; i++) frame.bytes[frame.offset + i] = number + i * 7;
  frame.checksumOffloaded = (number & 4) !== 0;
  frame.segmentSize = number;
  return frame;
}

test("frames come out in order and whole, whatever wraps around whatever", () => {
  for (let seed = 0; seed < 15; seed++) {
    const random = seededRandom(seed);
    const queue = new FrameQueue(500 + randomBelow(random, 1_000));
    const waiting: { number: number; length: number }[] = [];
    const out = new Frame(new Uint8Array(0));
    let refused = 0;
    for (let number = 0; number < 2_000; number++) {
      const length = randomBelow(random, 300);
      if (queue.push(numbered(number, length), number / 2, number)) waiting.push({ number, length });
      else refused++;
      while (waiting.length > 0 && randomBelow(random, 3) > 0) {
        const next = waiting.shift()!;
        expect([queue.size, queue.due, queue.need, queue.length]).toEqual([
          waiting.length + 1,
          next.number / 2,
          next.number,
          next.length,
        ]);
        queue.take(out);
        const original = numbered(next.number, next.length);
        expect(out).toMatchObject({
          length: next.length,
          checksumOffloaded: original.checksumOffloaded,
          segmentSize: next.number,
        });
        expect(out.offset & 3).toBe(original.offset);
        // One more may come while the frame is still in the reader's hands.
        if (random.next() % 4 === 0 && queue.push(numbered(number, 20), number / 2, number))
          waiting.push({ number, length: 20 });
        const bytes = out.bytes.subarray(out.offset, out.offset + out.length);
        expect(
          Buffer.compare(bytes, original.bytes.subarray(original.offset, original.offset + next.length)),
        ).toBe(0);
        queue.release();
      }
    }
    expect(refused).toBeGreaterThan(0);
    // It is not that it stays full: nearly all of them got in.
    expect(refused).toBeLessThan(1_000);
  }
});

test("one that is never empty goes round and round without losing room", () => {
  const queue = new FrameQueue(1_000);
  const out = new Frame(new Uint8Array(0));
  for (let number = 0; number < 5_000; number++) {
    expect(queue.push(numbered(number, 100 + (number % 90)), 0, number)).toBe(true);
    if (queue.size < 4) continue;
    expect(queue.need).toBe(number - 3);
    queue.take(out);
    queue.release();
  }
});

test("an empty one takes a frame as large as its budget, and none that is larger", () => {
  const queue = new FrameQueue(1_000);
  const out = new Frame(new Uint8Array(0));
  for (let i = 0; i < 5; i++) {
    expect(queue.push(numbered(0, 1_001), 0, 0)).toBe(false);
    expect(queue.push(numbered(0, 1_000), 0, 0)).toBe(true);
    for (const length of [1, 0]) expect(queue.push(numbered(0, length), 0, 0)).toBe(false);
    queue.take(out);
    queue.release();
  }
  queue.push(numbered(0, 900), 0, 0);
  queue.clear();
  expect(queue.size).toBe(0);
  expect(queue.push(numbered(0, 1_000), 0, 0)).toBe(true);
});
