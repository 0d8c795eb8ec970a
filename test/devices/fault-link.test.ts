/** What `fault` does with time, in both directions, and with frames whose checksums a device vouches for. */

import { describe, expect, test } from "bun:test";
import { type Fate, type FaultOptions, type FaultyDevice, fault } from "../../devices/fault.ts";
import { fuzz } from "../../devices/fuzz.ts";
import { memoryPair } from "../../devices/memory.ts";
import { trace } from "../../devices/trace.ts";
import { type Device, Frame } from "../../src/device.ts";
import { randomBelow, seededRandom } from "../../src/random.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { parseTcp, TcpSegment, verifyTcp } from "../../src/wire/tcp.ts";
import { tcpPacket } from "../support/packets.ts";
import { until } from "../support/system.ts";
import { laterTurn, receiveAll, receiveBytes, send, withEvents } from "./frames.ts";

/** A link in simulated time, with the far end that sends into it and hears what comes out. */
class Link {
  now = 1_000;
  readonly far: Device;
  readonly device: FaultyDevice;

  constructor(options: FaultOptions, queueLength = 1_000) {
    const [left, right] = memoryPair({ queueLength });
    this.far = left;
    this.device = fault(right, { ...options, clock: () => this.now });
  }

  /** Sends a frame of `length` bytes that starts with `number`. */
  sends(number: number, length = 2): void {
    const bytes = new Uint8Array(length);
    bytes.set([number & 255, number >> 8]);
    send(this.far, bytes);
  }

  /** The numbers of the frames that are there now. */
  received(device: Device = this.device): number[] {
    return receiveAll(device).map(([low, high]) => low + high * 256);
  }

  /** Moves the time from one event to the next; `[ms since the start, number]` of all that arrives. */
  arrivals(device: Device = this.device): [number, number][] {
    const found: [number, number][] = [];
    for (let steps = 0; ; steps++) {
      if (steps === 10_000) throw new Error("the link never comes to rest");
      this.device.advance();
      for (const number of this.received(device)) found.push([this.now - 1_000, number]);
      const { nextAt } = this.device;
      if (nextAt === Number.POSITIVE_INFINITY) return found;
      expect(nextAt).toBeGreaterThan(this.now);
      this.now = nextAt;
    }
  }
}

const numbers = (arrivals: [number, number][]) => arrivals.map(([, number]) => number);
const times = (arrivals: [number, number][]) => arrivals.map(([time]) => time);

describe("time", () => {
  test("a delay", () => {
    const link = new Link({ delayMs: 20 });
    link.sends(1);
    expect(link.received()).toEqual([]);
    expect(link.device.nextAt).toBe(1_020);
    link.now = 1_005;
    link.sends(2);
    expect(link.received()).toEqual([]);
    link.now = 1_019.9;
    expect(link.received()).toEqual([]);
    link.now = 1_020;
    expect(link.received()).toEqual([1]);
    expect(link.arrivals()).toEqual([[25, 2]]);
  });

  test("jitter is within its bounds, spread, and keeps the order", () => {
    const link = new Link({ delayMs: 10, jitterMs: 5 });
    const late: number[] = [];
    for (let i = 0; i < 200; i++) {
      link.sends(i);
      const before = link.now;
      const arrivals = link.arrivals();
      expect(numbers(arrivals)).toEqual([i]);
      late.push(link.now - before);
    }
    expect(Math.min(...late)).toBeGreaterThanOrEqual(10);
    expect(Math.max(...late)).toBeLessThan(15);
    expect(Math.max(...late) - Math.min(...late)).toBeGreaterThan(4);
    for (let i = 0; i < 200; i++) link.sends(i);
    expect(numbers(link.arrivals())).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  test("a rate: frames follow each other at it, and it is idle in between", () => {
    const link = new Link({ rate: 100_000, delayMs: 3 });
    for (let i = 0; i < 4; i++) link.sends(i, 500);
    const arrivals = link.arrivals();
    expect(numbers(arrivals)).toEqual([0, 1, 2, 3]);
    expect(times(arrivals)).toEqual([8, 13, 18, 23]);
    link.now = 2_000;
    link.sends(9, 100);
    expect(link.arrivals()).toEqual([[1_004, 9]]);
  });

  test("a queue in front of the rate, which drops what doesn't fit", () => {
    const link = new Link({ rate: 100_000, queue: 1_000 });
    for (let i = 0; i < 10; i++) link.sends(i, 500);
    // One is being sent: it, and 1,000 bytes more, wait for their turn.
    expect(numbers(link.arrivals())).toEqual([0, 1]);
    expect(link.device.faults).toMatchObject({ received: 10, queueDropped: 8 });
    link.sends(10, 500);
    expect(numbers(link.arrivals())).toEqual([10]);
  });

  test("memory for what is on its way is bounded; what doesn't fit is counted", () => {
    const link = new Link({ delayMs: 100, buffer: 20_000 }, 2_000);
    for (let i = 0; i < 1_000; i++) link.sends(i, 1_000);
    const there = numbers(link.arrivals());
    expect(there.length).toBeGreaterThanOrEqual(14);
    expect(there.length).toBeLessThan(20);
    expect(there).toEqual(there.map((_, i) => i));
    expect(link.device.faults.overflowed).toBe(1_000 - there.length);
    link.sends(7);
    expect(numbers(link.arrivals())).toEqual([7]);
  });

  test("duplicates and losses on a slow link", () => {
    const fates: Fate[] = ["deliver", "duplicate", "drop", "deliver"];
    const link = new Link({ delayMs: 5, script: (index) => fates[index] });
    for (let i = 0; i < 4; i++) link.sends(i);
    expect(link.arrivals()).toEqual([
      [5, 0],
      [5, 1],
      [5, 1],
      [5, 3],
    ]);
  });

  test("in real time: called back when a frame has arrived, and not before", async () => {
    const [left, right] = memoryPair();
    const device = fault(right, { delayMs: 30 });
    const got: [number, number[]][] = [];
    device.onReadable(() => {
      for (const bytes of receiveAll(device)) got.push([performance.now(), bytes]);
    });
    const sentAt = performance.now();
    send(left, [1]);
    await laterTurn();
    send(left, [2]);
    await until("both frames", () => got.length === 2);
    expect(got.map(([, bytes]) => bytes)).toEqual([[1], [2]]);
    expect(got[0][0] - sentAt).toBeGreaterThanOrEqual(30);
    device.close();
  });

  test("wait ends when a frame arrives", () => {
    const [left, right] = memoryPair();
    const waits: number[] = [];
    const wait = (timeoutMs: number) => {
      waits.push(timeoutMs);
      const end = performance.now() + timeoutMs;
      while (performance.now() < end);
      return false;
    };
    const device = fault(Object.assign(right, { wait }), { delayMs: 10 });
    send(left, [1]);
    expect(receiveBytes(device)).toBeNull();
    expect(device.wait!(1_000)).toBe(true);
    expect(waits.reduce((sum, ms) => sum + ms)).toBeLessThanOrEqual(11);
    expect(receiveBytes(device)).toEqual([1]);
    expect(device.wait!(5)).toBe(false);
  });
});

describe("order", () => {
  const scripted = (fates: Fate[], options: FaultOptions = {}) =>
    new Link({ script: (index) => fates[index] ?? "deliver", ...options });

  for (const [distance, expected] of [
    [1, [1, 0, 2, 3, 4, 5]],
    [3, [1, 2, 3, 0, 4, 5]],
    [9, [1, 2, 3, 4, 5, 0]],
  ] as const) {
    for (const delayMs of [0, 7]) {
      test(`overtaken by ${distance}${delayMs > 0 ? " on a slow link" : ""}`, () => {
        const link = scripted(["reorder"], { reorderDistance: distance, delayMs });
        for (let i = 0; i < 6; i++) link.sends(i);
        expect(numbers(link.arrivals())).toEqual([...expected]);
        expect(link.device.faults.reordered).toBe(1);
      });
    }
  }

  test("several that are overtaken keep their order among themselves", () => {
    const link = scripted(["reorder", "reorder", "deliver"], { reorderDistance: 2 });
    for (let i = 0; i < 6; i++) link.sends(i);
    expect(numbers(link.arrivals())).toEqual([2, 3, 0, 1, 4, 5]);
  });

  test("late by a time, while others pass", () => {
    const link = scripted(["reorder"], { reorderMs: 15, delayMs: 5 });
    link.sends(0);
    link.sends(1);
    expect(link.arrivals()).toEqual([
      [5, 1],
      [20, 0],
    ]);
    const quick = scripted(["reorder"], { reorderMs: 15 });
    quick.sends(0);
    quick.sends(1);
    expect(quick.received()).toEqual([1]);
    expect(quick.arrivals()).toEqual([[15, 0]]);
  });

  test("one that has waited long enough is not overtaken for ever on an idle link", () => {
    const link = scripted(["reorder"], { reorderDistance: 3, delayMs: 5 });
    link.sends(0);
    expect(link.arrivals()).toEqual([[5, 0]]);
  });
});

describe("what is sent", () => {
  const sending = (options: FaultOptions, queueLength?: number) =>
    new Link({ direction: "transmit", ...options }, queueLength);
  const scripted = (fates: Fate[], options: FaultOptions = {}) =>
    sending({ script: (index) => fates[index] ?? "deliver", ...options });

  test("is lost, repeated, swapped and delayed; what is received is not", () => {
    const link = scripted(["drop", "duplicate", "swap", "deliver"]);
    for (let i = 0; i < 5; i++) send(link.device, [i, 0]);
    expect(link.received(link.far)).toEqual([1, 1, 3, 2, 4]);
    for (let i = 0; i < 3; i++) link.sends(i);
    expect(link.received()).toEqual([0, 1, 2]);
    expect(link.device.faults).toMatchObject({ sent: 5, received: 0, dropped: 1, duplicated: 1, swapped: 1 });
  });

  test("waits to be overtaken, and goes alone after a moment", () => {
    const link = scripted(["swap"]);
    send(link.device, [1, 0]);
    expect(link.received(link.far)).toEqual([]);
    expect(link.arrivals(link.far)).toEqual([[10, 1]]);
  });

  test("takes time", () => {
    const link = sending({ delayMs: 20, rate: 1_000_000 });
    send(link.device, new Uint8Array(1_000).fill(5));
    send(link.device, new Uint8Array(1_000).fill(6));
    const arrivals = link.arrivals(link.far);
    expect(times(arrivals)).toEqual([21, 22]);
    expect(numbers(arrivals)).toEqual([5 * 257, 6 * 257]);
  });

  test("in both directions, with a fate for each", () => {
    const link = new Link({ direction: "both", drop: 0.5 });
    for (let i = 0; i < 100; i++) {
      link.sends(i);
      send(link.device, [i, 0]);
    }
    const [inward, outward] = [link.received(), link.received(link.far)];
    expect(inward).not.toEqual(outward);
    for (const there of [inward, outward]) expect(there.length).toBeWithin(30, 70);
    expect(link.device.faults.dropped).toBe(200 - inward.length - outward.length);
  });

  test("a device that is full gets it later", async () => {
    const link = sending({ delayMs: 5 }, 2);
    let room = 0;
    link.device.onWritable(() => room++);
    for (let i = 0; i < 5; i++) send(link.device, [i, 0]);
    link.now += 5;
    link.device.advance();
    expect(link.received(link.far)).toEqual([0, 1]);
    expect(room).toBe(0);
    await laterTurn();
    expect(link.received(link.far)).toEqual([2, 3]);
    await laterTurn();
    expect(link.received(link.far)).toEqual([4]);
    // Nobody but the link itself was refused.
    expect(room).toBe(0);
    link.device.commit(link.device.transmit(1)!);
    send(link.device, [1]);
    link.now += 5;
    expect(link.device.transmit(1)).toBeNull();
    receiveAll(link.far);
    await laterTurn();
    expect(room).toBe(1);
  });

  test("in real time", async () => {
    const [left, right] = memoryPair();
    const device = fault(right, { direction: "transmit", delayMs: 20 });
    const sentAt = performance.now();
    send(device, [1]);
    expect(receiveAll(left)).toEqual([]);
    await until("the frame", () => receiveBytes(left) !== null);
    expect(performance.now() - sentAt).toBeGreaterThanOrEqual(20);
    send(device, [2]);
    device.close();
    await Bun.sleep(30);
    expect(receiveAll(left)).toEqual([]);
  });

  test("what the device can't carry any more is lost", () => {
    const inner = withEvents(memoryPair({ mtu: 1_000 })[0]);
    let now = 0;
    const device = fault(inner, { direction: "transmit", delayMs: 5, clock: () => now });
    send(device, new Uint8Array(1_000));
    inner.capabilities = { ...inner.capabilities, mtu: 600 };
    expect(device.capabilities.mtu).toBe(600);
    now = 5;
    device.advance();
    expect(device.faults.dropped).toBe(1);
    expect(device.nextAt).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("frames whose checksum the device vouches for", () => {
  const ends = { from: "10.0.0.1", to: "10.0.0.2" };
  const packet = tcpPacket(
    ends,
    { sourcePort: 1, destinationPort: 2, flags: 16 },
    new Uint8Array(400).fill(9),
  );
  const unfinished = packet.slice();
  unfinished.set([0x12, 0x34], 36);

  /** A frame of the packet with the notes of a device with offload. */
  const offloading = (): Device => {
    const [, right] = memoryPair();
    let given = false;
    return Object.assign(right, {
      receive: (frame: Frame) => {
        if (given) return false;
        given = true;
        frame.bytes = unfinished.slice();
        frame.offset = 0;
        frame.length = unfinished.length;
        frame.checksumOffloaded = true;
        frame.segmentSize = 100;
        return true;
      },
    });
  };

  test("are checked once they were changed, and found out", () => {
    let checked = 0;
    for (let seed = 0; seed < 200; seed++) {
      const device = fault(offloading(), { seed, corrupt: 1 });
      const frame = new Frame(new Uint8Array(0));
      expect(device.receive(frame)).toBe(true);
      expect(frame.checksumOffloaded).toBe(false);
      const changed = frame.bytes.findIndex((byte, i) => byte !== packet[i]);
      expect(frame.bytes.filter((byte, i) => byte !== packet[i])).toHaveLength(1);
      if (changed < 20) continue;
      checked++;
      const [from, to] = [parseAddress(ends.from), parseAddress(ends.to)];
      expect(verifyTcp(frame.bytes, 20, frame.length - 20, from, to)).toBe(false);
      frame.bytes[changed] = packet[changed];
      expect(verifyTcp(frame.bytes, 20, frame.length - 20, from, to)).toBe(true);
      expect(parseTcp(frame.bytes, 20, frame.length - 20, new TcpSegment())).toBe(0);
    }
    expect(checked).toBeGreaterThan(150);
  });

  test("keep their notes on a slow link, both ways", () => {
    let now = 0;
    const device = fault(offloading(), { delayMs: 1, direction: "both", clock: () => now });
    const frame = new Frame(new Uint8Array(0));
    expect(device.receive(frame)).toBe(false);
    now = 1;
    expect(device.receive(frame)).toBe(true);
    expect(frame).toMatchObject({ checksumOffloaded: true, segmentSize: 100, length: unfinished.length });
    expect(frame.bytes.subarray(frame.offset, frame.offset + frame.length)).toEqual(unfinished);

    const committed: Frame[] = [];
    const [left] = memoryPair();
    const inner = Object.assign(left, { commit: (given: Frame) => committed.push({ ...given }) });
    const sender = fault(inner, { delayMs: 1, direction: "transmit", clock: () => now });
    const out = sender.transmit(unfinished.length)!;
    out.bytes.set(unfinished, out.offset);
    out.checksumOffloaded = true;
    out.segmentSize = 100;
    sender.commit(out);
    now = 2;
    sender.advance();
    expect(committed).toHaveLength(1);
    expect(committed[0]).toMatchObject({ checksumOffloaded: true, segmentSize: 100 });
  });

  test("a super-segment that is sent is lost where it is to be garbled", () => {
    const [left, right] = memoryPair();
    const device = fault(right, { corrupt: 1, direction: "transmit" });
    const out = device.transmit(unfinished.length)!;
    out.bytes.set(unfinished, out.offset);
    out.checksumOffloaded = true;
    out.segmentSize = 100;
    device.commit(out);
    expect(receiveAll(left)).toEqual([]);
    expect(device.faults.corrupted).toBe(1);
  });
});

test("every frame is accounted for, and the same seed does the same, whatever is asked for", () => {
  for (let seed = 0; seed < 25; seed++) {
    const random = seededRandom(seed);
    const chance = () => (randomBelow(random, 3) === 0 ? randomBelow(random, 20) / 100 : 0);
    const options: FaultOptions = {
      seed,
      drop: chance(),
      duplicate: chance(),
      swap: chance(),
      reorder: chance(),
      ...(randomBelow(random, 2) === 0 ? { reorderMs: randomBelow(random, 10) } : {}),
      ...(randomBelow(random, 2) === 0
        ? { delayMs: randomBelow(random, 10), jitterMs: randomBelow(random, 4) }
        : {}),
      ...(randomBelow(random, 2) === 0 ? { rate: 50_000, queue: 3_000 } : {}),
      buffer: 20_000,
      direction: randomBelow(random, 2) === 0 ? "receive" : "transmit",
    };
    const run = () => {
      const draws = seededRandom(seed + 1_000);
      const link = new Link(options);
      const outward = options.direction === "transmit";
      const arrived: number[] = [];
      for (let i = 0; i < 400; i++) {
        const bytes = new Uint8Array(2 + randomBelow(draws, 600));
        bytes.set([i & 255, i >> 8]);
        send(outward ? link.device : link.far, bytes);
        if (randomBelow(draws, 3) > 0) continue;
        arrived.push(...link.received(outward ? link.far : link.device));
        link.now += randomBelow(draws, 40);
        link.device.advance();
      }
      arrived.push(...numbers(link.arrivals(outward ? link.far : link.device)));
      return { arrived, faults: link.device.faults };
    };
    const { arrived, faults } = run();
    const { received, sent, duplicated, dropped, queueDropped, overflowed } = faults;
    expect(received + sent).toBe(400);
    expect([seed, arrived.length]).toEqual([seed, 400 + duplicated - dropped - queueDropped - overflowed]);
    expect(run().arrived).toEqual(arrived);
  }
});

describe("the process", () => {
  test("is kept running or not as the program says, by timers and by the device beneath", () => {
    const refs: boolean[] = [];
    const inner = Object.assign(memoryPair()[0], { setRef: (ref: boolean) => void refs.push(ref) });
    const wrapped = trace(fuzz(fault(inner, { delayMs: 1 })), () => {});
    wrapped.setRef!(false);
    wrapped.setRef!(true);
    expect(refs).toEqual([false, true]);
    expect(trace(memoryPair()[0], () => {}).setRef).toBeUndefined();
  });

  test("ends although a frame is on its way, where it is not to be kept running", async () => {
    const script = `
      const { memoryPair, fault } = await import(${JSON.stringify(`${import.meta.dir}/../../devices/index.ts`)});
      const device = fault(memoryPair()[0], { delayMs: 60_000, direction: "transmit" });
      device.setRef(false);
      device.commit(device.transmit(9));
    `;
    const child = Bun.spawn([process.execPath, "-e", script], { stderr: "inherit", timeout: 4_000 });
    expect(await child.exited).toBe(0);
  });
});
