import { describe, expect, test } from "bun:test";
import { randomBelow, seededRandom } from "../../src/random.ts";
import { SimNode } from "../../src/sim/node.ts";
import { type Packet, PacketPool } from "../../src/sim/packet-pool.ts";
import { Occurrence, Timeline } from "../../src/sim/timeline.ts";

const NEVER = Number.POSITIVE_INFINITY;

describe("timeline", () => {
  test("what is set, moved and taken back happens in the order of time, and of setting", () => {
    const random = seededRandom(11);
    const timeline = new Timeline();
    const happened: number[] = [];
    const occurrences = Array.from({ length: 60 }, (_, i) => new Occurrence(() => happened.push(i)));
    // The model: when each happens, and which was set first.
    const set = new Map<number, { at: number; order: number }>();
    for (let round = 0; round < 20_000; round++) {
      const index = randomBelow(random, occurrences.length);
      const what = randomBelow(random, 4);
      if (what === 0) {
        timeline.set(occurrences[index], NEVER);
        set.delete(index);
      } else if (what < 3) {
        const at = timeline.now + randomBelow(random, 20);
        timeline.set(occurrences[index], at);
        set.set(index, { at, order: round });
      } else {
        const [next] = [...set].sort(([, a], [, b]) => a.at - b.at || a.order - b.order);
        expect(timeline.nextAt).toBe(next?.[1].at ?? NEVER);
        expect(timeline.step(NEVER)).toBe(next !== undefined);
        if (next === undefined) continue;
        expect([happened.at(-1), timeline.now]).toEqual([next[0], next[1].at]);
        set.delete(next[0]);
      }
    }
    expect(happened.length).toBeGreaterThan(1_000);
  });

  test("what is put off happens at the same time, when nothing else does", () => {
    const timeline = new Timeline();
    const happened: string[] = [];
    const later = new Occurrence(() => happened.push("later"));
    const now = new Occurrence(() => happened.push("now"));
    timeline.set(later, 1);
    timeline.defer(() => {
      happened.push("put off");
      timeline.set(now, 0);
      for (let i = 0; i < 200; i++) timeline.defer(() => happened.push(`${i}`));
    });
    while (timeline.step(NEVER));
    const numbers = Array.from({ length: 200 }, (_, i) => `${i}`);
    expect(happened).toEqual(["put off", "now", ...numbers, "later"]);
    expect(timeline.isEmpty).toBe(true);
  });
});

describe("packets", () => {
  test("all that are handed out come from one array once there was a time for it", () => {
    const node = new SimNode("test");
    const pool = new PacketPool(1 << 24);
    const take = (count: number) => {
      const packets = Array.from({ length: count }, () => pool.take(1_500, 0, node) as Packet);
      const memories = new Set(packets.map(({ frame }) => frame.bytes)).size;
      for (const packet of packets) pool.give(packet);
      return memories;
    };
    expect([take(64), take(300), take(300)]).toEqual([1, 2, 1]);
    expect(pool.inUse).toBe(0);
    expect(pool.size).toBe(300 * 1_536);
  });

  test("the memory of each is its own, and there is room for the longest", () => {
    const node = new SimNode("test");
    const pool = new PacketPool(1 << 24);
    const packets = [60, 128, 129, 1_514, 9_000, 65_535].map((length) => pool.take(length, 0, node));
    for (const [i, packet] of packets.entries()) {
      if (packet === null) throw new Error("there is memory for all");
      const { bytes, offset, length } = packet.frame;
      bytes.fill(i + 1, offset, offset + length);
    }
    for (const [i, packet] of packets.entries()) {
      const { bytes, offset, length } = (packet as Packet).frame;
      expect(bytes.subarray(offset, offset + length).every((byte) => byte === i + 1)).toBe(true);
    }
    expect(pool.take(65_535, 0, new SimNode("other"))?.origin.name).toBe("other");
  });
});
