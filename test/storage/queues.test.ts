import { describe, expect, test } from "bun:test";
import { randomBelow, seededRandom } from "../../src/random.ts";
import { DeadlineHeap, NEVER } from "../../src/storage/deadline-heap.ts";
import { ReadyQueue } from "../../src/storage/ready-queue.ts";

describe("ReadyQueue", () => {
  test("is first in, first out, and holds a number once", () => {
    const queue = new ReadyQueue(4);
    expect(queue.shift()).toBe(-1);
    queue.push(2);
    queue.push(0);
    queue.push(2);
    expect(queue.size).toBe(2);
    expect(queue.shift()).toBe(2);
    queue.push(2);
    expect([queue.shift(), queue.shift(), queue.shift()]).toEqual([0, 2, -1]);
    expect(queue.size).toBe(0);
    queue.push(3);
    expect(queue.shift()).toBe(3);
  });
});

describe("DeadlineHeap", () => {
  test("is NEVER when empty", () => {
    const heap = new DeadlineHeap(2);
    expect([heap.earliest, heap.first, heap.size]).toEqual([NEVER, -1, 0]);
    heap.set(0, NEVER);
    expect(heap.size).toBe(0);
  });

  test("agrees with a sorted list while deadlines move both ways and vanish", () => {
    const random = seededRandom(11);
    const heap = new DeadlineHeap(50);
    const model = new Map<number, number>();
    for (let step = 0; step < 5_000; step++) {
      const index = randomBelow(random, 50);
      const at = random.next() % 4 === 0 ? NEVER : randomBelow(random, 1_000);
      heap.set(index, at);
      if (at === NEVER) model.delete(index);
      else model.set(index, at);
      const earliest = Math.min(NEVER, ...model.values());
      expect(heap.earliest).toBe(earliest);
      expect(heap.size).toBe(model.size);
      expect(heap.deadlineOf(index)).toBe(at);
      if (model.size > 0) expect(model.get(heap.first)).toBe(earliest);
    }
  });
});
