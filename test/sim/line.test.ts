import { describe, expect, test } from "bun:test";
import { type IpAddress, StackError } from "../../src/index.ts";
import { Codel } from "../../src/sim/codel.ts";
import { SimNode } from "../../src/sim/node.ts";
import { PacketPool, PacketQueue } from "../../src/sim/packet-pool.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { checkIpv4, writeIpv4 } from "../../src/wire/ipv4.ts";
import { LineRig } from "./support.ts";

describe("rate and delay", () => {
  test("without a rate, frames take the delay: 1 ms unless told", () => {
    const rig = new LineRig({});
    rig.send(1_500, 2);
    rig.runTo();
    expect(rig.times).toEqual([1, 1]);
  });

  test("1,250 bytes take 1 ms at 10 Mbit/s, one after the other, and then the delay", () => {
    const rig = new LineRig({ rateMbit: 10, delayMs: 20 });
    rig.send(1_250, 3);
    rig.runTo();
    expect(rig.times).toEqual([21, 22, 23]);
    expect(rig.line.stats.deliveredBytes).toBe(3_750);
  });

  test("a line that was idle starts at once", () => {
    const rig = new LineRig({ rateMbit: 10, delayMs: 5 });
    rig.send(1_250);
    rig.runTo(100);
    rig.send(1_250);
    rig.runTo();
    expect(rig.times).toEqual([6, 106]);
  });

  test("in an hour of a frame each 100 ms, each takes the same time", () => {
    const rig = new LineRig({ rateMbit: 8, delayMs: 10 });
    for (let at = 0; at < 3_600_000; at += 100) {
      rig.runTo(at);
      rig.send(1_000);
    }
    rig.runTo();
    const late = rig.arrivals.map(({ at }, i) => Math.abs(at - i * 100 - 11));
    expect(rig.arrivals.length).toBe(36_000);
    expect(Math.max(...late)).toBeLessThan(1e-6);
  });

  test("jitter delays each frame by its own time, and none overtakes another", () => {
    const rig = new LineRig({ delayMs: 10, jitterMs: 5 });
    for (let at = 0; at < 1_000; at++) {
      rig.runTo(at);
      rig.send(100);
    }
    rig.runTo();
    const delays = rig.arrivals.map(({ at, index }) => at - index);
    expect(rig.order).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(10);
    expect(Math.min(...delays)).toBeLessThan(11);
    expect(Math.max(...delays)).toBeGreaterThan(14);
    expect(Math.max(...delays)).toBeLessThan(15);
  });

  test("options change while frames are under way", () => {
    const rig = new LineRig({ rateMbit: 10, delayMs: 100 });
    rig.send(1_250, 4);
    rig.runTo(2.5);
    rig.line.set({ rateMbit: 1, delayMs: 10 });
    rig.runTo();
    // The third frame was being sent; the fourth takes 10 ms, and waits for those before it.
    expect(rig.times).toEqual([101, 102, 102, 102]);
    rig.send(1_250);
    rig.runTo();
    expect(rig.times.at(-1)).toBe(122);
  });

  test("frames that wait are gone at once when the rate becomes unlimited", () => {
    const rig = new LineRig({ rateMbit: 1, delayMs: 1 });
    rig.send(1_250, 4);
    rig.line.set({ rateMbit: Number.POSITIVE_INFINITY });
    rig.runTo();
    expect(rig.times).toEqual([11, 11, 11, 11]);
  });
});

describe("queue", () => {
  test("1,000 frames wait unless told, beside the one that is being sent", () => {
    const rig = new LineRig({ rateMbit: 100 });
    rig.send(100, 1_100);
    expect(rig.line.queuedPackets).toBe(1_000);
    expect(rig.line.stats).toMatchObject({ sent: 1_100, queueDropped: 99, mostQueued: 1_000 });
    rig.runTo();
    expect(rig.arrivals.length).toBe(1_001);
  });

  test("a limit in packets and one in bytes, whichever comes first", () => {
    const packets = new LineRig({ rateMbit: 1, queuePackets: 3, queueBytes: 10_000 });
    packets.send(1_000, 10);
    packets.runTo();
    expect(packets.order).toEqual([0, 1, 2, 3]);
    const bytes = new LineRig({ rateMbit: 1, queuePackets: 30, queueBytes: 2_500 });
    bytes.send(1_000, 10);
    expect(bytes.line.queuedBytes).toBe(2_000);
    bytes.runTo();
    expect(bytes.order).toEqual([0, 1, 2]);
  });
});

describe("faults", () => {
  test("a frame that arrives twice does so in a row", () => {
    const rig = new LineRig({ duplicate: 0.3 });
    rig.send(100, 1_000);
    rig.runTo();
    const { duplicated } = rig.line.stats;
    expect(duplicated).toBeGreaterThan(240);
    expect(duplicated).toBeLessThan(360);
    expect(rig.arrivals.length).toBe(1_000 + duplicated);
    expect(rig.order).toEqual(rig.order.toSorted((a, b) => a - b));
    expect(rig.pool.inUse).toBe(0);
  });

  test("a frame that is late is overtaken by those that come meanwhile", () => {
    const rig = new LineRig({ reorder: 0.1, reorderMs: 3.5, delayMs: 10 });
    for (let at = 0; at < 1_000; at++) {
      rig.runTo(at);
      rig.send(100);
    }
    rig.runTo();
    const late = rig.arrivals.filter(({ at, index }) => at - index > 10);
    expect(late.length).toBe(rig.line.stats.reordered);
    expect(late.length).toBeGreaterThan(60);
    expect(late.length).toBeLessThan(140);
    expect(late.every(({ at, index }) => at - index === 13.5)).toBe(true);
    expect(rig.order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
  });

  test("late frames with different delays arrive in the order of their times", () => {
    const rig = new LineRig({ reorder: 1, reorderMs: 50, delayMs: 1 });
    rig.send(100, 2);
    rig.line.set({ reorderMs: 10 });
    rig.send(100, 2);
    rig.line.set({ reorderMs: 30 });
    rig.send(100);
    rig.runTo();
    expect(rig.order).toEqual([2, 3, 4, 0, 1]);
    expect(rig.times).toEqual([11, 11, 31, 51, 51]);
  });

  test("one byte of a corrupt frame is another one", () => {
    const rig = new LineRig({ corrupt: 0.5 });
    rig.send(60, 400, (bytes) => bytes.fill(7));
    rig.runTo();
    const wrong = rig.arrivals.map(({ bytes }) => bytes.filter((byte) => byte !== 7).length);
    expect(wrong.filter((count) => count === 1).length).toBe(rig.line.stats.corrupted);
    expect(wrong.every((count) => count <= 1)).toBe(true);
    expect(rig.line.stats.corrupted).toBeGreaterThan(150);
    expect(rig.line.stats.corrupted).toBeLessThan(250);
  });

  test("what is larger than the MTU is lost", () => {
    const rig = new LineRig({}, { mtu: 576 });
    rig.send(576);
    rig.send(577);
    rig.runTo();
    expect(rig.order).toEqual([0]);
    expect(rig.line.stats.tooLong).toBe(1);
  });

  test("a line that goes down loses what is in it, wherever that is", () => {
    const rig = new LineRig({ rateMbit: 10, delayMs: 2, reorder: 0.5, reorderMs: 9 });
    rig.send(1_250, 8);
    rig.runTo(4.5);
    const arrived = rig.arrivals.length;
    rig.line.setUp(false);
    rig.send(1_250, 2);
    rig.runTo();
    expect(rig.arrivals.length).toBe(arrived);
    expect(rig.line.stats.down).toBe(10 - arrived);
    expect(rig.pool.inUse).toBe(0);
    rig.line.setUp(true);
    rig.line.set({ reorder: 0 });
    rig.send(1_250);
    rig.runTo();
    expect(rig.order.at(-1)).toBe(10);
  });

  test("frames take memory up to a limit, and are lost beyond", () => {
    const rig = new LineRig({ delayMs: 1_000 }, { memory: 100 * 1_536 });
    rig.send(1_500, 1_000);
    expect(rig.pool.inUse).toBe(100);
    expect(rig.pool.size).toBe(100 * 1_536);
    rig.runTo();
    expect(rig.arrivals.length).toBe(100);
    expect(rig.pool.inUse).toBe(0);
    rig.send(1_500, 1_000);
    rig.runTo();
    expect(rig.arrivals.length).toBe(200);
    expect(rig.pool.size).toBe(100 * 1_536);
  });

  test("options that make no sense are refused", () => {
    const wrong = [
      { rateMbit: 0 },
      { rateMbit: Number.NaN },
      { delayMs: -1 },
      { delayMs: Number.POSITIVE_INFINITY },
      { queuePackets: 0 },
      { queueBytes: -1 },
      { loss: 1.1 },
      { loss: { p: 0.1, r: 2 } },
      { duplicate: -0.1 },
      { codel: { targetMs: -5 } },
      { delay: 7 },
    ];
    for (const options of wrong) expect(() => new LineRig(options)).toThrow(StackError);
    const rig = new LineRig({ rateMbit: 1 });
    expect(() => rig.line.set({ corrupt: 2 })).toThrow("corrupt is 2: give a probability from 0 to 1");
    rig.send(125);
    rig.runTo();
    expect(rig.times).toEqual([2]);
  });
});

describe("loss", () => {
  test("each frame with the same probability", () => {
    const rig = new LineRig({ loss: 0.05 }, { seed: 3 });
    rig.send(40, 20_000);
    rig.runTo();
    const { lost } = rig.line.stats;
    expect(lost / 20_000).toBeCloseTo(0.05, 2);
    expect(rig.arrivals.length).toBe(20_000 - lost);
  });

  test("0 loses none, 1 all", () => {
    const none = new LineRig({ loss: 0 });
    none.send(40, 100);
    none.runTo();
    expect(none.arrivals.length).toBe(100);
    const all = new LineRig({ loss: 1 });
    all.send(40, 100);
    all.runTo();
    expect(all.arrivals.length).toBe(0);
    expect(all.pool.inUse).toBe(0);
  });

  test("in bursts: as many frames, and as many in a row, as Gilbert and Elliott say", () => {
    const [p, r] = [0.01, 0.25];
    const rig = new LineRig({ loss: { p, r } }, { seed: 5 });
    for (let i = 0; i < 2; i++) {
      rig.send(40, 50_000);
      rig.runTo();
    }
    const arrived = new Uint8Array(100_000);
    let base = 0;
    let before = -1;
    for (const index of rig.order) {
      if (index < before) base += 65_536;
      before = index;
      arrived[base + index] = 1;
    }
    let bursts = 0;
    for (let i = 0; i < arrived.length; i++) if (arrived[i] === 0 && arrived[i - 1] !== 0) bursts++;
    const { lost } = rig.line.stats;
    expect(lost / 100_000).toBeCloseTo(p / (p + r), 2);
    expect(Math.abs(lost / bursts - 1 / r)).toBeLessThan(0.4);
  });

  test("a bad line need not lose every frame, nor a good one none", () => {
    const rig = new LineRig({ loss: { p: 0.1, r: 0.1, lossWhenBad: 0.5, lossWhenGood: 0.1 } }, { seed: 2 });
    rig.send(40, 30_000);
    rig.runTo();
    expect(Math.abs(rig.line.stats.lost / 30_000 - 0.3)).toBeLessThan(0.02);
  });
});

describe("CoDel (RFC 8289)", () => {
  /** Frames of 1 ms each, sent each `gapMs`, for `forMs`. Returns the time that each arrival had in the queue. */
  function offer(rig: LineRig, gapMs: number, forMs: number, fill?: (bytes: Uint8Array) => void): number[] {
    const start = rig.timeline.now;
    const delays: number[] = [];
    for (let i = 0; i * gapMs < forMs; i++) {
      rig.runTo(start + i * gapMs);
      rig.send(1_250, 1, fill);
      delays.push(rig.line.queueDelayMs);
    }
    rig.runTo();
    return delays;
  }

  test("5.3: a queue that is too long for less than an interval loses nothing", () => {
    const rig = new LineRig({ rateMbit: 10, delayMs: 0, codel: true });
    rig.send(1_250, 90);
    rig.runTo();
    expect(rig.line.stats.codelDropped).toBe(0);
    expect(rig.arrivals.length).toBe(90);
  });

  test("5.3: the first frame is dropped when it was too long for 100 ms", () => {
    const rig = new LineRig({ rateMbit: 10, delayMs: 0, codel: true });
    rig.send(1_250, 200);
    // At 6 ms the first frame leaves that has waited for more than 5 ms.
    rig.runTo(104.5);
    expect(rig.line.stats.codelDropped).toBe(0);
    rig.runTo(106.5);
    expect(rig.line.stats.codelDropped).toBe(1);
  });

  test("4.4: one packet that waits is no queue, however slow the line is", () => {
    const rig = new LineRig({ rateMbit: 0.1, delayMs: 0, codel: true });
    rig.send(1_250);
    const delays = offer(rig, 100, 5_000);
    expect(Math.min(...delays.slice(2))).toBeGreaterThan(90);
    expect(rig.line.stats.codelDropped).toBe(0);
  });

  test("5.4: a packet that has not waited too long stops the dropping, though the next drop was due", () => {
    const pool = new PacketPool(1 << 20);
    const queue = new PacketQueue();
    const codel = new Codel();
    const settings = { targetMs: 5, intervalMs: 100, ecn: false };
    let dropped = 0;
    const verdicts = { mark: () => false, drop: () => void dropped++ };
    const waitsSince = (queuedAt: number) => {
      const packet = pool.take(1_000, 0, new SimNode("test"));
      if (packet !== null) queue.push(Object.assign(packet, { queuedAt }));
    };
    const leaves = (now: number) => codel.next(queue, now, settings, 500, verdicts)?.queuedAt;
    for (let i = 0; i < 10; i++) waitsSince(0);
    expect([leaves(10), leaves(109), dropped]).toEqual([0, 0, 0]);
    expect([leaves(110), dropped]).toEqual([0, 1]);
    expect([leaves(209), dropped]).toEqual([0, 1]);
    // The next drop is due at 210.
    while (queue.shift() !== null);
    for (let i = 0; i < 3; i++) waitsSince(298);
    expect([leaves(300), leaves(301), dropped]).toEqual([298, 298, 1]);
  });

  test("5.2: then it drops at intervals of 100 ms over the square root of the drops", () => {
    const rig = new LineRig({ rateMbit: 10, delayMs: 0, codel: true });
    const drops: number[] = [];
    for (let at = 0; at < 700; at += 1) {
      rig.runTo(at);
      rig.send(1_250, 2);
      while (drops.length < rig.line.stats.codelDropped) drops.push(at);
    }
    const gaps = drops.slice(1).map((at, i) => at - drops[i]);
    expect(gaps.length).toBeGreaterThan(10);
    for (const [i, gap] of gaps.entries()) {
      // The second drop comes an interval after the first; each is seen up to 2 ms late.
      expect(Math.abs(gap - 100 / Math.sqrt(i + 1))).toBeLessThanOrEqual(2);
    }
  });

  test("a sender that follows the drops has a short queue, where drop-tail has a full one", () => {
    const delayOf = (codel: boolean): number => {
      const rig = new LineRig({ rateMbit: 10, delayMs: 0, codel, queuePackets: 500 });
      // As TCP does: a bit more each round, and half where one was lost.
      let window = 10;
      let lost = 0;
      const delays: number[] = [];
      for (let round = 0; round < 1_000; round++) {
        for (let i = 0; i < window; i++) {
          rig.send(1_250);
          rig.runTo((round + (i + 1) / window) * 50);
        }
        const { codelDropped, queueDropped } = rig.line.stats;
        window = codelDropped + queueDropped > lost ? Math.max(2, Math.floor(window / 2)) : window + 1;
        lost = codelDropped + queueDropped;
        if (round > 100) delays.push(rig.line.queueDelayMs);
      }
      return delays.reduce((sum, delay) => sum + delay) / delays.length;
    };
    const [short, long] = [delayOf(true), delayOf(false)];
    expect(short).toBeLessThan(25);
    expect(long).toBeGreaterThan(5 * short);
  });

  test("it stops when the queue is short, and begins near the old rate when that was not long ago", () => {
    const rig = new LineRig({ rateMbit: 10, delayMs: 0, codel: true });
    offer(rig, 0.8, 2_000);
    const first = rig.line.stats.codelDropped;
    expect(first).toBeGreaterThan(10);
    offer(rig, 2, 300);
    expect(rig.line.stats.codelDropped).toBe(first);
    const start = rig.timeline.now;
    rig.send(1_250, 400);
    rig.runTo(start + 170);
    // From 1 it would have dropped one of them.
    expect(rig.line.stats.codelDropped - first).toBeGreaterThan(2);
  });

  test("a packet whose ends know ECN is marked, and its checksum right; others are dropped", () => {
    const address = (text: string): IpAddress => parseAddress(text);
    const packet = (tos: number) => (bytes: Uint8Array) =>
      writeIpv4(bytes, 0, bytes.length, 17, 64, address("10.0.0.1"), address("10.0.0.2"), 0, tos);
    const marked = new LineRig({ rateMbit: 10, delayMs: 0, codel: { ecn: true } });
    offer(marked, 0.5, 500, packet(2));
    expect(marked.line.stats.codelDropped).toBe(0);
    expect(marked.line.stats.codelMarked).toBeGreaterThan(3);
    const congested = marked.arrivals.filter(({ bytes }) => (bytes[1] & 3) === 3);
    expect(congested.length).toBe(marked.line.stats.codelMarked);
    for (const { bytes } of congested) {
      expect(checkIpv4(bytes, 0, bytes.length)).toBe(0);
      expect(checksum(bytes, 0, 20)).toBe(0);
    }
    const dropped = new LineRig({ rateMbit: 10, delayMs: 0, codel: { ecn: true } });
    offer(dropped, 0.5, 500, packet(0));
    expect(dropped.line.stats.codelMarked).toBe(0);
    expect(dropped.line.stats.codelDropped).toBeGreaterThan(3);
  });
});
