import { expect, test } from "bun:test";
import { editDistance, nearest } from "../../devices/suggest.ts";

test("editDistance counts insertions, deletions, replacements and swaps of neighbours", () => {
  for (const [a, b, distance] of [
    ["", "", 0],
    ["mtu", "mtu", 0],
    ["mtu", "mut", 1],
    ["mtu", "mtus", 1],
    ["mtu", "mt", 1],
    ["mtu", "mta", 1],
    ["", "mtu", 3],
    ["kitten", "sitting", 3],
    ["tpye", "type", 1],
  ] as const) {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  }
});

test("nearest finds what was meant, and nothing where nothing is near", () => {
  const known = ["type", "name", "host-address", "mtu"];
  expect(nearest("nmae", known)).toBe("name");
  expect(nearest("HostAddress", known)).toBe("host-address");
  expect(nearest("host_adress", known)).toBe("host-address");
  expect(nearest("MTU", known)).toBe("mtu");
  expect(nearest("colour", known)).toBeNull();
  expect(nearest("", known)).toBeNull();
});
