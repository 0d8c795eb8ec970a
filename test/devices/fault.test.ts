import { describe, expect, test } from "bun:test";
import { type Fate, type FaultOptions, fault } from "../../devices/fault.ts";
import { memoryPair } from "../../devices/memory.ts";
import { type Device, Frame } from "../../src/device.ts";
import { thrownBy } from "../support/errors.ts";
import { laterTurn, receiveAll, receiveBytes, send } from "./frames.ts";

/** Frames 0 .. count-1 through a faulty device, all sent before the first is received. */
function through(
  options: FaultOptions,
  count: number,
): { numbers: number[]; device: ReturnType<typeof fault> } {
  const [left, right] = memoryPair({ queueLength: count });
  const device = fault(right, options);
  for (let i = 0; i < count; i++) send(left, [i & 255, i >> 8]);
  return { numbers: receiveAll(device).map(([low, high]) => low + high * 256), device };
}

const script = (...fates: Fate[]): FaultOptions => ({ script: (index) => fates[index] ?? "deliver" });

describe("fault by script", () => {
  const cases: [Fate[], number[]][] = [
    [[], [0, 1, 2, 3]],
    [["drop"], [1, 2, 3]],
    [
      ["deliver", "duplicate"],
      [0, 1, 1, 2, 3],
    ],
    [["swap"], [1, 0, 2, 3]],
    [
      ["deliver", "swap", "duplicate"],
      [0, 2, 2, 1, 3],
    ],
    [
      ["swap", "drop"],
      [2, 0, 3],
    ],
    [
      ["swap", "swap"],
      [1, 0, 2, 3],
    ],
    [
      ["swap", "deliver", "swap"],
      [1, 0, 3, 2],
    ],
    [
      ["deliver", "deliver", "deliver", "swap"],
      [0, 1, 2, 3],
    ],
    [["drop", "drop", "drop", "drop"], []],
    [
      ["duplicate", "duplicate", "duplicate", "duplicate"],
      [0, 0, 1, 1, 2, 2, 3, 3],
    ],
  ];
  for (const [fates, expected] of cases) {
    test(`${fates.join(", ") || "nothing"} gives ${expected.join(" ") || "nothing"}`, () => {
      expect(through(script(...fates), 4).numbers).toEqual(expected);
    });
  }

  test("corrupt changes exactly one byte", () => {
    const [left, right] = memoryPair();
    const device = fault(right, { script: () => "corrupt" });
    for (let i = 0; i < 2000; i++) {
      send(left, new Uint8Array(20).fill(0x45));
      expect(receiveBytes(device)!.filter((byte) => byte !== 0x45)).toHaveLength(1);
    }
    expect(device.faults.corrupted).toBe(2000);
  });

  test("a duplicate is what arrived, also when the first copy was overwritten", () => {
    const [left, right] = memoryPair();
    const device = fault(right, script("duplicate"));
    send(left, [1, 2, 3]);
    const frame = new Frame(new Uint8Array(0));
    expect(device.receive(frame)).toBe(true);
    frame.bytes.fill(0xdd, frame.offset, frame.offset + frame.length);
    expect(receiveAll(device)).toEqual([[1, 2, 3]]);
  });

  test("kept frames lie as received ones do, with their notes", () => {
    const [left, right] = memoryPair({ medium: "ethernet", checksumOffload: true });
    const device = fault(right, script("swap", "duplicate"));
    send(left, [1]);
    send(left, [2]);
    const frame = new Frame(new Uint8Array(0));
    for (let i = 0; i < 3; i++) {
      expect(device.receive(frame)).toBe(true);
      expect((frame.offset + 14) % 4).toBe(0);
      expect(frame.checksumOffloaded).toBe(true);
      frame.checksumOffloaded = false;
    }
    expect(device.receive(frame)).toBe(false);
  });
});

describe("fault by probability", () => {
  const options: FaultOptions = { seed: 42, drop: 0.1, duplicate: 0.1, swap: 0.1, corrupt: 0 };

  test("does the same for the same seed, and something else for another", () => {
    const first = through(options, 1000).numbers;
    expect(through(options, 1000).numbers).toEqual(first);
    expect(through({ ...options, seed: 43 }, 1000).numbers).not.toEqual(first);
  });

  test("happens about as often as asked, and every frame is accounted for", () => {
    const { numbers, device } = through({ ...options, corrupt: 0.1 }, 10_000);
    const { faults } = device;
    expect(faults.received).toBe(10_000);
    for (const count of [faults.dropped, faults.duplicated, faults.corrupted]) {
      expect(count).toBeGreaterThan(880);
      expect(count).toBeLessThan(1120);
    }
    // Two swaps in a row are one.
    expect(faults.swapped).toBeGreaterThan(780);
    expect(faults.swapped).toBeLessThan(1050);
    expect(numbers).toHaveLength(10_000 - faults.dropped + faults.duplicated);
  });

  test("nothing is lost that was not dropped", () => {
    const { numbers, device } = through({ ...options, drop: 0 }, 1000);
    expect(new Set(numbers).size).toBe(1000);
    expect(device.faults.swapped).toBeGreaterThan(50);
  });

  test("1 means always, 0 never", () => {
    expect(through({ drop: 1 }, 50).numbers).toEqual([]);
    expect(through({ duplicate: 1 }, 50).numbers).toHaveLength(100);
    expect(through({}, 50).numbers).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  test("refuses options that make no sense", () => {
    const [plain] = memoryPair();
    expect(thrownBy(() => fault(plain, { drop: 1.1 })).message).toContain("drop is 1.1");
    const bad: FaultOptions[] = [
      { swap: Number.NaN },
      { drop: 0.6, swap: 0.6 },
      { delayMs: -1 },
      { jitterMs: Number.POSITIVE_INFINITY },
      { rate: 0 },
      { reorderDistance: 0 },
      { reorderMs: -1 },
      { queue: Number.NaN },
      { buffer: 1000 },
    ];
    for (const options of bad) expect(thrownBy(() => fault(plain, options)).code).toBe("EINVAL");
    fault(plain, { drop: 0.1, duplicate: 0.2, swap: 0.3, corrupt: 0.4 });
  });
});

describe("fault keeps the Device contract", () => {
  test("forwards transmission and capabilities untouched", () => {
    const [left, right] = memoryPair({ mtu: 600 });
    const device = fault(right, { drop: 1 });
    expect(device.capabilities).toEqual(right.capabilities);
    send(device, [1, 2]);
    expect(receiveAll(left)).toEqual([[1, 2]]);
    let room = 0;
    device.onWritable(() => room++);
    for (;;) {
      const frame = device.transmit(1);
      if (frame === null) break;
      device.commit(frame);
    }
    receiveAll(left);
    return laterTurn().then(() => expect(room).toBe(1));
  });

  test("calls back for a frame that it then drops, and again for the next", async () => {
    const [left, right] = memoryPair();
    const device = fault(right, script("drop", "deliver"));
    let calls = 0;
    const got: number[][] = [];
    device.onReadable(() => {
      calls++;
      got.push(...receiveAll(device));
    });
    send(left, [1]);
    await laterTurn();
    send(left, [2]);
    await laterTurn();
    expect(got).toEqual([[2]]);
    expect(calls).toBe(2);
  });

  test("does not call back twice where receive has not returned false between", async () => {
    const [left, right] = memoryPair();
    const device = fault(right, script("swap"));
    let calls = 0;
    device.onReadable(() => calls++);
    expect(receiveAll(device)).toEqual([]);
    send(left, [1]);
    await laterTurn();
    expect(calls).toBe(1);
    // The device beneath runs dry here; the caller is given the kept frame, and has not seen `false`.
    expect(receiveBytes(device)).toEqual([1]);
    send(left, [2]);
    await laterTurn();
    expect(calls).toBe(1);
    expect(receiveAll(device)).toEqual([[2]]);
    send(left, [3]);
    await laterTurn();
    expect(calls).toBe(2);
  });

  test("waits only where nothing is kept back, and has wait only where the device has", () => {
    const [left, right] = memoryPair();
    expect(fault(right, {}).wait).toBeUndefined();
    const waits: number[] = [];
    const inner: Device = {
      capabilities: right.capabilities,
      receive: (frame) => right.receive(frame),
      transmit: (length) => right.transmit(length),
      commit: (frame) => right.commit(frame),
      onReadable: (callback) => right.onReadable(callback),
      onWritable: (callback) => right.onWritable(callback),
      wait: (timeoutMs) => waits.push(timeoutMs) > 1,
      close: () => right.close(),
    };
    const device = fault(inner, script("duplicate"));
    expect(device.wait!(5)).toBe(false);
    send(left, [1]);
    receiveBytes(device);
    expect(device.wait!(6)).toBe(true);
    receiveBytes(device);
    expect(device.wait!(7)).toBe(true);
    expect(waits).toEqual([5, 7]);
  });

  test("delivers nothing kept after close, and closes the device beneath", () => {
    const [left, right] = memoryPair();
    const device = fault(right, script("duplicate"));
    send(left, [1]);
    receiveBytes(device);
    device.close();
    expect(receiveAll(device)).toEqual([]);
    for (let i = 0; i < 300; i++) send(left, [i]);
  });
});
