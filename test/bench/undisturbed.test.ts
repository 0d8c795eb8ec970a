import { describe, expect, test } from "bun:test";
import { ticksOf, undisturbed } from "../../bench/undisturbed.ts";

/** Measures 1, 2, 3 ..., while of 100 ticks each so many are stolen as `stolen` says. */
async function measured(stolen: readonly number[]) {
  let count = 0;
  let ticks = { stolen: 0, all: 0 };
  const result = await undisturbed(
    async () => {
      ticks = { stolen: ticks.stolen + stolen[count], all: ticks.all + 100 };
      return ++count;
    },
    () => ticks,
  );
  return { result, count };
}

describe("a measurement", () => {
  test("is made once where little is stolen", async () => {
    expect(await measured([3])).toEqual({ result: 1, count: 1 });
  });

  test("is made again until little is", async () => {
    expect(await measured([40, 4, 0])).toEqual({ result: 3, count: 3 });
  });

  test("is that of the best of five times where it is always much", async () => {
    expect(await measured([40, 30, 9, 8, 20])).toEqual({ result: 4, count: 5 });
  });
});

test("ticks are those of the line of all processors", () => {
  const stat = "cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
  expect(ticksOf(stat)).toEqual({ stolen: 80, all: 360 });
});
