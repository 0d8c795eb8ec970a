import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { type Device, Frame } from "../../src/device.ts";
import { StackError } from "../../src/errors.ts";
import { thrownBy } from "../support/errors.ts";
import { laterTurn, receiveAll, receiveBytes, send } from "./frames.ts";

describe("memoryPair", () => {
  test("carries frames both ways, in order, with their contents", () => {
    const [left, right] = memoryPair();
    send(left, [1, 2, 3]);
    send(left, [4]);
    send(right, [9, 9]);
    expect(receiveAll(right)).toEqual([[1, 2, 3], [4]]);
    expect(receiveAll(left)).toEqual([[9, 9]]);
    expect(receiveAll(left)).toEqual([]);
  });

  test("says what it can do", () => {
    const [left, right] = memoryPair({ mtu: 576, checksumOffload: true });
    for (const end of [left, right]) {
      expect(end.capabilities).toEqual({ medium: "ip", mtu: 576, checksumOffload: true, maxSuperSegment: 0 });
    }
    expect(memoryPair()[0].capabilities).toEqual({
      medium: "ip",
      mtu: 1500,
      checksumOffload: false,
      maxSuperSegment: 0,
    });
  });

  test("hands a frame out where it was written, without copying it", () => {
    const [left, right] = memoryPair();
    const sent = left.transmit(40)!;
    const { bytes, offset } = sent;
    left.commit(sent);
    const frame = new Frame(new Uint8Array(0));
    expect(right.receive(frame)).toBe(true);
    expect(frame.bytes).toBe(bytes);
    expect(frame.offset).toBe(offset);
  });

  test("uses one array a direction, and puts IP headers on a multiple of four", () => {
    for (const medium of ["ip", "ethernet"] as const) {
      const [left, right] = memoryPair({ medium, mtu: 1499, queueLength: 5 });
      const arrays = new Set<Uint8Array>();
      const frame = new Frame(new Uint8Array(0));
      for (let i = 0; i < 20; i++) {
        send(left, [i]);
        if (i % 3 === 0) continue;
        expect(right.receive(frame)).toBe(true);
        arrays.add(frame.bytes);
        expect((frame.offset + (medium === "ethernet" ? 14 : 0)) % 4).toBe(0);
        if (i % 3 === 2) receiveAll(right);
      }
      expect(arrays.size).toBe(1);
    }
  });

  test("takes the length that commit finds, not the one that transmit was asked for", () => {
    const [left, right] = memoryPair();
    const out = left.transmit(1500)!;
    expect(out.length).toBe(1500);
    out.length = 20;
    left.commit(out);
    expect(receiveBytes(right)).toHaveLength(20);
  });

  test("keeps a received frame untouched until the next receive, whatever is sent meanwhile", () => {
    const [left, right] = memoryPair({ queueLength: 4 });
    const frame = new Frame(new Uint8Array(0));
    send(left, [7]);
    expect(right.receive(frame)).toBe(true);
    for (let i = 0; i < 4; i++) send(left, [100 + i]);
    expect(left.transmit(1)).toBeNull();
    expect(frame.bytes[frame.offset]).toBe(7);
    expect(receiveAll(right)).toEqual([[100], [101], [102], [103]]);
  });

  test("keeps what was received with receiveMore, too, and its places, until the next receive", async () => {
    const [left, right] = memoryPair({ queueLength: 3 });
    let room = 0;
    left.onWritable(() => room++);
    for (let i = 1; i <= 3; i++) send(left, [i]);
    const frames = [1, 2, 3].map(() => new Frame(new Uint8Array(0)));
    expect(right.receive(frames[0])).toBe(true);
    expect(right.receiveMore!(frames[1])).toBe(true);
    // One place is left: a queue has one more than may wait.
    send(left, [4]);
    expect(left.transmit(1)).toBeNull();
    expect(right.receiveMore!(frames[2])).toBe(true);
    expect(left.transmit(1)).toBeNull();
    await laterTurn();
    expect(room).toBe(0);
    expect(frames.map(({ bytes, offset }) => bytes[offset])).toEqual([1, 2, 3]);
    expect(receiveBytes(right)).toEqual([4]);
    await laterTurn();
    expect(room).toBe(1);
    for (let i = 5; i <= 7; i++) send(left, [i]);
    expect(receiveAll(right)).toEqual([[5], [6], [7]]);
  });

  test("survives many rounds at every fill level", () => {
    const [left, right] = memoryPair({ queueLength: 3 });
    let next = 0;
    let expected = 0;
    const frame = new Frame(new Uint8Array(0));
    for (let round = 0; round < 500; round++) {
      for (let i = 0; i < round % 5; i++) {
        const out = left.transmit(4);
        if (out === null) break;
        out.bytes[out.offset] = next++ & 255;
        left.commit(out);
      }
      for (let i = 0; i < round % 4; i++) {
        const more = round % 3 === 0 ? right.receiveMore!(frame) : right.receive(frame);
        if (!more) break;
        expect(frame.bytes[frame.offset]).toBe(expected++ & 255);
      }
    }
    while (right.receive(frame)) expect(frame.bytes[frame.offset]).toBe(expected++ & 255);
    expect(expected).toBe(next);
    expect(next).toBeGreaterThan(300);
  });

  test("is full after queueLength frames, also while one more is being read", () => {
    const [left, right] = memoryPair({ queueLength: 2 });
    send(left, [1]);
    send(left, [2]);
    expect(left.transmit(1)).toBeNull();
    const frame = new Frame(new Uint8Array(0));
    right.receive(frame);
    send(left, [3]);
    expect(left.transmit(1)).toBeNull();
    expect(frame.bytes[frame.offset]).toBe(1);
    expect(receiveAll(right)).toEqual([[2], [3]]);
  });

  test("holds 256 frames unless told otherwise", () => {
    const [left] = memoryPair();
    for (let i = 0; i < 256; i++) send(left, [i]);
    expect(left.transmit(1)).toBeNull();
  });

  test("forgets a lent frame that was not committed, and a second commit of the same", () => {
    const [left, right] = memoryPair();
    left.transmit(10)!.bytes.fill(0xee, 0, 10);
    const out = left.transmit(1)!;
    out.bytes[out.offset] = 5;
    left.commit(out);
    left.commit(out);
    expect(receiveAll(right)).toEqual([[5]]);
  });

  test("does not move a frame that is being written when the reader finds the queue empty", () => {
    const [left, right] = memoryPair();
    send(left, [1]);
    const out = left.transmit(1)!;
    out.bytes[out.offset] = 2;
    expect(receiveAll(right)).toEqual([[1]]);
    left.commit(out);
    expect(receiveAll(right)).toEqual([[2]]);
  });

  test("vouches for checksums only where it was made to", () => {
    const frame = new Frame(new Uint8Array(0));
    for (const checksumOffload of [false, true]) {
      const [left, right] = memoryPair({ checksumOffload });
      const out = left.transmit(1)!;
      expect(out.checksumOffloaded).toBe(false);
      out.checksumOffloaded = checksumOffload;
      left.commit(out);
      frame.segmentSize = 1;
      right.receive(frame);
      expect(frame.checksumOffloaded).toBe(checksumOffload);
      expect(frame.segmentSize).toBe(0);
      expect(left.transmit(1)!.checksumOffloaded).toBe(false);
    }
  });

  test("with offload it carries super-segments, and says what they are made of", () => {
    const [left, right] = memoryPair({ offload: true, queueLength: 2 });
    expect(left.capabilities).toMatchObject({ mtu: 1500, checksumOffload: true, maxSuperSegment: 65_535 });
    for (const [length, segmentSize] of [
      [65_535, 1_460],
      [1_500, 0],
    ]) {
      const lent = left.transmit(length)!;
      lent.bytes.fill(length & 255, lent.offset, lent.offset + length);
      lent.segmentSize = segmentSize;
      left.commit(lent);
      const frame = new Frame(new Uint8Array(0));
      expect(right.receive(frame)).toBe(true);
      expect([frame.length, frame.segmentSize, frame.checksumOffloaded]).toEqual([length, segmentSize, true]);
      expect(frame.bytes[frame.offset + length - 1]).toBe(length & 255);
    }
    expect(() => left.transmit(65_536)).toThrow("65535");
    expect(() => memoryPair()[0].transmit(1_501)).toThrow("1500");
  });

  test("an Ethernet pair has an address at each end, and room for a tag", () => {
    const [left, right] = memoryPair({ medium: "ethernet" });
    expect([...left.capabilities.hardwareAddress!]).toEqual([2, 0, 0, 0, 0, 1]);
    expect([...right.capabilities.hardwareAddress!]).toEqual([2, 0, 0, 0, 0, 2]);
    expect(left.transmit(1_518)).not.toBeNull();
    expect("hardwareAddress" in memoryPair()[0].capabilities).toBe(false);
  });

  test("refuses what can't be", () => {
    expect(thrownBy(() => memoryPair({ mtu: 67 })).code).toBe("EINVAL");
    expect(thrownBy(() => memoryPair({ mtu: 1500.5 })).code).toBe("EINVAL");
    expect(thrownBy(() => memoryPair({ queueLength: 0 })).message).toContain(
      "queueLength must be a whole number from 1 to 65536, not 0",
    );
    const [left] = memoryPair({ mtu: 1000 });
    expect(left.transmit(1000)).not.toBeNull();
    expect(thrownBy(() => left.transmit(1001))).toBeInstanceOf(StackError);
    expect(thrownBy(() => left.transmit(1001)).code).toBe("EMSGSIZE");
    expect(memoryPair({ medium: "ethernet", mtu: 1000 })[0].transmit(1014)).not.toBeNull();
  });
});

describe("readiness of a memory pair", () => {
  const watched = (device: Device): { calls: number } => {
    const counter = { calls: 0 };
    device.onReadable(() => counter.calls++);
    return counter;
  };

  test("one callback for many frames, never inside commit, and none again before receive was false", async () => {
    const [left, right] = memoryPair();
    const counter = watched(right);
    expect(receiveAll(right)).toEqual([]);
    for (let i = 0; i < 100; i++) send(left, [i]);
    expect(counter.calls).toBe(0);
    await laterTurn();
    expect(counter.calls).toBe(1);
    send(left, [100]);
    await laterTurn();
    expect(counter.calls).toBe(1);
    expect(receiveAll(right)).toHaveLength(101);
    send(left, [101]);
    await laterTurn();
    expect(counter.calls).toBe(2);
  });

  test("a callback registered after the frames came still runs", async () => {
    const [left, right] = memoryPair();
    expect(receiveAll(right)).toEqual([]);
    send(left, [1]);
    await laterTurn();
    const counter = watched(right);
    expect(counter.calls).toBe(0);
    await laterTurn();
    expect(counter.calls).toBe(1);
  });

  test("calls back when there is room again, outside of receive, once", async () => {
    const [left, right] = memoryPair({ queueLength: 2 });
    let room = 0;
    left.onWritable(() => room++);
    send(left, [1]);
    send(left, [2]);
    await laterTurn();
    expect(room).toBe(0);
    expect(left.transmit(1)).toBeNull();
    await laterTurn();
    expect(room).toBe(0);
    expect(receiveAll(right)).toHaveLength(2);
    expect(room).toBe(0);
    await laterTurn();
    expect(room).toBe(1);
  });

  test("two ends that answer each other for ever let timers run", async () => {
    const [left, right] = memoryPair();
    const frame = new Frame(new Uint8Array(0));
    let stop = false;
    let echoes = 0;
    for (const end of [left, right]) {
      end.onReadable(() => {
        while (end.receive(frame)) {
          if (stop) continue;
          echoes++;
          send(end, [1]);
        }
      });
    }
    send(left, [1]);
    await Bun.sleep(10);
    stop = true;
    expect(echoes).toBeGreaterThan(100);
  });
});

describe("closing one end of a memory pair", () => {
  test("what it sent is still received; what is sent to it vanishes without ever filling up", async () => {
    const [left, right] = memoryPair({ queueLength: 2 });
    send(left, [1]);
    send(left, [2]);
    left.close();
    left.close();
    expect(receiveAll(right)).toEqual([[1], [2]]);
    for (let i = 0; i < 10; i++) send(right, [i]);
    expect(receiveAll(left)).toEqual([]);
    expect(receiveAll(right)).toEqual([]);
  });

  test("the closed end sends nothing more, does not fill up, and leaves alone what the other is reading", () => {
    const [left, right] = memoryPair({ queueLength: 2 });
    const frame = new Frame(new Uint8Array(0));
    send(left, [1]);
    right.receive(frame);
    send(left, [2]);
    send(left, [3]);
    const late = left.transmit(1);
    expect(late).toBeNull();
    left.close();
    for (let i = 0; i < 10; i++) send(left, [0xee]);
    expect(frame.bytes[frame.offset]).toBe(1);
    expect(receiveAll(right)).toEqual([[2], [3]]);
  });

  test("a frame lent before the close is not sent by a commit after it", () => {
    const [left, right] = memoryPair();
    const out = left.transmit(1)!;
    left.close();
    left.commit(out);
    expect(receiveAll(right)).toEqual([]);
  });

  test("a writer that waits for room is told, and no callback of the closed end runs", async () => {
    const [left, right] = memoryPair({ queueLength: 1 });
    let room = 0;
    let readable = 0;
    left.onWritable(() => room++);
    right.onReadable(() => readable++);
    send(left, [1]);
    expect(left.transmit(1)).toBeNull();
    right.close();
    right.onReadable(() => readable++);
    await laterTurn();
    expect(room).toBe(1);
    expect(readable).toBe(0);
    send(left, [1]);
    send(left, [1]);
  });
});
