import { describe, expect, test } from "bun:test";
import { randomBelow, seededRandom } from "../../src/random.ts";
import { FlowTable } from "../../src/storage/flow-table.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";

const LOCAL = parseAddress("192.168.69.1");
const REMOTE = parseAddress("192.168.69.100");

describe("FlowTable", () => {
  test("tells flows apart by each of their four parts, and by family", () => {
    const table = new FlowTable(16, 1, 2);
    table.add(LOCAL, 80, REMOTE, 1000, 7);
    expect(table.find(LOCAL, 80, REMOTE, 1000)).toBe(7);
    expect(table.find(LOCAL, 81, REMOTE, 1000)).toBe(-1);
    expect(table.find(LOCAL, 80, REMOTE, 1001)).toBe(-1);
    expect(table.find(REMOTE, 80, REMOTE, 1000)).toBe(-1);
    expect(table.find(LOCAL, 80, LOCAL, 1000)).toBe(-1);
    const six = parseAddress("2001:db8::1");
    const almost = parseAddress("2001:db8:1::1");
    table.add(six, 80, six, 1000, 8);
    expect(table.find(six, 80, six, 1000)).toBe(8);
    expect(table.find(six, 80, almost, 1000)).toBe(-1);
    expect(table.find(almost, 80, six, 1000)).toBe(-1);
  });

  test("deleting what is not there does nothing", () => {
    const table = new FlowTable(4, 1, 2);
    table.add(LOCAL, 1, REMOTE, 1, 0);
    table.delete(1);
    expect(table.find(LOCAL, 1, REMOTE, 1)).toBe(0);
  });

  test("what was found last is forgotten with the flow, and does not stand for another", () => {
    const table = new FlowTable(16, 1, 2);
    for (let port = 1; port <= 16; port++) table.add(LOCAL, 80, REMOTE, port, port - 1);
    for (let port = 1; port <= 16; port++) {
      expect(table.find(LOCAL, 80, REMOTE, port)).toBe(port - 1);
      expect(table.find(LOCAL, 80, REMOTE, port)).toBe(port - 1);
      table.delete(port - 1);
      expect(table.find(LOCAL, 80, REMOTE, port)).toBe(-1);
      for (let other = port + 1; other <= 16; other++)
        expect(table.find(LOCAL, 80, REMOTE, other)).toBe(other - 1);
    }
  });

  test("a flow's number is another's when it has gone", () => {
    const table = new FlowTable(4, 1, 2);
    table.add(LOCAL, 80, REMOTE, 1, 3);
    expect(table.find(LOCAL, 80, REMOTE, 1)).toBe(3);
    table.delete(3);
    table.delete(3);
    table.add(LOCAL, 80, REMOTE, 2, 3);
    expect(table.find(LOCAL, 80, REMOTE, 1)).toBe(-1);
    expect(table.find(LOCAL, 80, REMOTE, 2)).toBe(3);
    expect(table.find(LOCAL, 80, REMOTE, 1)).toBe(-1);
  });

  test("agrees with a Map while flows come and go, up to its capacity", () => {
    const random = seededRandom(3);
    const table = new FlowTable(256, random.next(), random.next());
    const model = new Map<number, number>();
    const free = Array.from({ length: 256 }, (_, value) => value);
    for (let step = 0; step < 20_000; step++) {
      const port = randomBelow(random, 600);
      const known = model.get(port);
      if (known !== undefined) {
        table.delete(known);
        model.delete(port);
        free.splice(randomBelow(random, free.length + 1), 0, known);
      } else {
        const value = free.pop();
        if (value === undefined) continue;
        table.add(LOCAL, 80, REMOTE, port, value);
        model.set(port, value);
      }
      if (step % 500 === 0) {
        for (let p = 0; p < 600; p++) expect(table.find(LOCAL, 80, REMOTE, p)).toBe(model.get(p) ?? -1);
      }
    }
  });
});
