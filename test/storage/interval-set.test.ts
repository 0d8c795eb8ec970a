import { describe, expect, test } from "bun:test";
import { randomBelow, seededRandom } from "../../src/random.ts";
import { IntervalSet } from "../../src/storage/interval-set.ts";

const ranges = (set: IntervalSet) => Array.from({ length: set.count }, (_, i) => [set.start(i), set.end(i)]);

describe("IntervalSet", () => {
  test("keeps ranges apart, in order, and merges those that overlap or touch", () => {
    const set = new IntervalSet(8);
    expect(set.add(30, 40)).toBe(0);
    expect(set.add(10, 20)).toBe(0);
    expect(set.add(50, 60)).toBe(2);
    expect(ranges(set)).toEqual([
      [10, 20],
      [30, 40],
      [50, 60],
    ]);
    expect(set.add(20, 25)).toBe(0);
    expect(set.add(35, 50)).toBe(1);
    expect(ranges(set)).toEqual([
      [10, 25],
      [30, 60],
    ]);
    expect(set.add(0, 100)).toBe(0);
    expect(ranges(set)).toEqual([[0, 100]]);
  });

  test("refuses one range too many, and still merges", () => {
    const set = new IntervalSet(2);
    set.add(10, 20);
    set.add(30, 40);
    expect(set.isFull).toBe(true);
    expect(set.add(50, 60)).toBe(-1);
    expect(set.add(15, 35)).toBe(0);
    expect(ranges(set)).toEqual([[10, 40]]);
  });

  test("takeFrom follows ranges as far as they reach", () => {
    const set = new IntervalSet(8);
    set.add(5, 10);
    set.add(15, 20);
    set.add(30, 40);
    expect(set.takeFrom(4)).toBe(4);
    expect(set.takeFrom(17)).toBe(20);
    expect(ranges(set)).toEqual([[30, 40]]);
    set.shift(20);
    expect(ranges(set)).toEqual([[10, 20]]);
    expect(set.takeFrom(10)).toBe(20);
    expect(set.count).toBe(0);
  });

  test("agrees with a bitmap under random additions", () => {
    const random = seededRandom(7);
    for (let round = 0; round < 200; round++) {
      const set = new IntervalSet(64);
      const map = new Uint8Array(200);
      for (let i = 0; i < 30; i++) {
        const from = randomBelow(random, 180);
        const to = from + 1 + randomBelow(random, 20);
        set.add(from, to);
        map.fill(1, from, to);
      }
      const expected: number[][] = [];
      for (let i = 0; i < map.length; i++) {
        if (map[i] === 1 && map[i - 1] !== 1) expected.push([i, i + 1]);
        else if (map[i] === 1) expected[expected.length - 1][1] = i + 1;
      }
      expect(ranges(set)).toEqual(expected);
    }
  });
});
