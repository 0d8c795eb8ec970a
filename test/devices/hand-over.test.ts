import { describe, expect, test } from "bun:test";
import { HandOver, handOverMemory } from "../../devices/hand-over.ts";
import { memoryPair } from "../../devices/index.ts";
import { libc } from "../../devices/linux/libc.ts";
import { WorkerDevice } from "../../devices/worker-device.ts";
import { Frame } from "../../src/device.ts";
import { seededRandom } from "../../src/random.ts";
import { icmpPacket, tcpPacket } from "../support/packets.ts";

/** A frame of `length` bytes that tells its number, at a place that is `skew` behind a multiple of four. */
function frameOf(number: number, length: number, skew: number): Frame {
  const frame = new Frame(new Uint8Array(new ArrayBuffer(skew + length)).fill(number & 255));
  frame.offset = skew;
  frame.length = length;
  frame.segmentSize = number % 3 === 0 ? 1460 : 0;
  frame.checksumOffloaded = number % 2 === 0;
  return frame;
}

function crew(count: number): HandOver[] {
  const memory = handOverMemory(count);
  return Array.from({ length: count }, (_, i) => new HandOver(memory, i, count));
}

const received = () => new Frame(new Uint8Array(0));
const text = (frame: Frame) => [...frame.bytes.subarray(frame.offset, frame.offset + frame.length)];

describe("frames from worker to worker", () => {
  test("arrive whole, with their notes, aligned as they were, and only where they were meant to", () => {
    const [first, second, third] = crew(3);
    const given = frameOf(6, 60, 2);
    expect(first.give(1, given)).toBe(true);
    const frame = received();
    expect([third.isWaiting, third.take(frame)]).toEqual([false, false]);
    expect([second.isWaiting, second.take(frame)]).toEqual([true, true]);
    expect(text(frame)).toEqual(text(given));
    expect([frame.segmentSize, frame.checksumOffloaded, frame.offset & 3]).toEqual([1460, true, 2]);
    expect([second.isWaiting, second.take(frame)]).toEqual([false, false]);
    expect([first.given, second.taken]).toEqual([1, 1]);
    // What its taker writes into it is nobody else's business.
    expect(frame.bytes.buffer).toBeInstanceOf(ArrayBuffer);
  });

  test("come in their order, however often the ring is gone through", () => {
    const [first, second] = crew(2);
    const random = seededRandom(5);
    const frame = received();
    const lengths: number[] = [];
    let taken = 0;
    for (let number = 0; number < 20_000; ) {
      const most = random.next() % 8;
      for (let i = 0; i <= most; i++) {
        const length = random.next() % 5 === 0 ? random.next() % 65_554 : random.next() % 1600;
        if (!first.give(1, frameOf(number, length, number & 3))) break;
        lengths.push(length);
        number++;
      }
      for (let left = random.next() % 10; left > 0 && second.take(frame); left--) {
        expect(frame.length).toBe(lengths[taken]);
        expect(frame.offset & 3).toBe(taken & 3);
        const { bytes, offset, length } = frame;
        if (length > 0)
          expect([bytes[offset], bytes[offset + length - 1]]).toEqual([taken & 255, taken & 255]);
        taken++;
      }
    }
    while (second.take(frame)) taken++;
    expect(taken).toBe(lengths.length);
    expect(first.lost).toBeGreaterThan(10);
  });

  test("what finds no room is lost and counted, and what is there stays", () => {
    const [first, second] = crew(2);
    let count = 0;
    while (first.give(1, frameOf(count, 1500, 0))) count++;
    expect(count).toBe(86);
    expect([first.give(1, frameOf(0, 65_554, 0)), first.lost]).toEqual([false, 2]);
    const frame = received();
    for (let i = 0; i < count; i++) {
      expect(second.take(frame)).toBe(true);
      expect(frame.bytes[frame.offset]).toBe(i & 255);
    }
    expect(second.take(frame)).toBe(false);
    expect(first.give(1, frameOf(1, 65_553, 2))).toBe(true);
  });

  test("those of one worker do not keep those of another waiting", () => {
    const [first, second, third] = crew(3);
    for (let i = 0; i < 50; i++) first.give(2, frameOf(1, 100, 0));
    second.give(2, frameOf(2, 100, 0));
    const frame = received();
    const seen = [1, 2].map(() => third.take(frame) && frame.bytes[frame.offset]);
    expect(seen).toContain(2);
  });
});

const ENDS = { from: "10.0.0.9", to: "10.0.0.1" };

describe.if(process.platform === "linux")("a device that workers share", () => {
  /** Two workers' parts of a device, and what sends to each. */
  function parts() {
    const bells = [0, 1].map(() => libc().eventfd(0, 0x800));
    const line = { memory: handOverMemory(2), bells, divided: false, settings: {} };
    const pairs = [memoryPair(), memoryPair()];
    const devices = pairs.map(([inner], index) => new WorkerDevice(inner, line, { index, count: 2 }));
    const send = (to: number, packet: Uint8Array) => {
      const frame = pairs[to][1].transmit(packet.length)!;
      frame.bytes.set(packet, frame.offset);
      pairs[to][1].commit(frame);
    };
    const close = () => {
      for (const device of devices) device.close();
      for (const bell of bells) libc().close(bell);
    };
    return { devices, send, close };
  }
  const answer = (destinationPort: number) => tcpPacket(ENDS, { sourcePort: 80, destinationPort });

  test("hands over what is for another one, who is woken and has it next", () => {
    const { devices, send, close } = parts();
    const [first, second] = devices;
    const frame = received();
    send(0, answer(65_000));
    send(0, answer(50_000));
    expect(second.wait(0)).toBe(false);
    expect(first.receive(frame)).toBe(true);
    expect(text(frame)).toEqual([...answer(50_000)]);
    expect(first.receive(frame)).toBe(false);
    expect(second.wait(1000)).toBe(true);
    expect(second.receive(frame)).toBe(true);
    expect(text(frame)).toEqual([...answer(65_000)]);
    expect([second.receive(frame), second.wait(0)]).toEqual([false, false]);
    close();
    expect([second.receive(frame), second.wait(0)]).toEqual([false, false]);
  });

  test("shows everyone an error about a port that all serve", () => {
    const { devices, send, close } = parts();
    const error = icmpPacket(
      ENDS,
      3,
      4,
      1400,
      tcpPacket({ from: ENDS.to, to: ENDS.from }, { sourcePort: 80 }),
    );
    send(1, error);
    const frame = received();
    expect([devices[1].receive(frame), devices[0].wait(1000), devices[0].receive(frame)]).toEqual([
      true,
      true,
      true,
    ]);
    expect(text(frame)).toEqual([...error]);
    close();
  });

  test("does not stay with frames for others as long as some come", () => {
    const { devices, send, close } = parts();
    for (let i = 0; i < 100; i++) send(0, answer(65_000));
    expect(devices[0].receive(received())).toBe(false);
    expect(devices[0].handOver.given).toBe(64);
    close();
  });
});
