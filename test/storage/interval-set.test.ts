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
    expect(set.hasRoomFor(50, 60)).toBe(false);
    expect(set.hasRoomFor(15, 35)).toBe(true);
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

  test("wherever it has moved to: distances wrap, and order stays", () => {
    const random = seededRandom(11);
    const set = new IntervalSet(300);
    let model: number[][] = [];
    for (let round = 0; round < 3_000; round++) {
      const from = 2 * randomBelow(random, 4_000);
      set.add(from, from + 1);
      model.push([from, from + 1]);
      const seen = new Map(model.map((range) => [range[0], range]));
      model = [...seen.values()].sort((a, b) => a[0] - b[0]);
      if (model.length === 300) {
        const at = model[100][0];
        expect(set.takeFrom(at)).toBe(at + 1);
        set.shift(at + 2);
        model = model.slice(101).map(([start, end]) => [start - at - 2, end - at - 2]);
        // Far beyond 2^31 in all.
        set.shift(-0x4000_0001);
        set.shift(0x4000_0001 + 0x7fff_ffff);
        set.shift(-0x7fff_ffff);
      }
      const some = model[randomBelow(random, model.length)][0];
      expect(set.find(some)).toBeGreaterThan(-1);
      expect(set.find(some + 1)).toBe(-1);
    }
    expect(ranges(set)).toEqual(model);
  });
});
