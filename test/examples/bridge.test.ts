import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { Bridge, type BridgeOptions } from "../../examples/lib/bridge.ts";
import { type Device, Frame } from "../../src/device.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { completeChecksum } from "../../src/wire/offload.ts";
import { receiveAll, send } from "../devices/frames.ts";
import { tcpPacket, udpPacket } from "../support/packets.ts";
import { example } from "./program.ts";

const BROADCAST = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const station = (n: number) => [2, 0, 0, 0, 0, n];
const frame = (to: number[], from: number[], ...rest: number[]) => [...to, ...from, 0x88, 0xb5, ...rest];

/** A bridge, the far ends of its ports, and the time. */
function lan(ports: number, options: BridgeOptions = {}, device: Parameters<typeof memoryPair>[0] = {}) {
  const pairs = Array.from({ length: ports }, () => memoryPair({ medium: "ethernet", ...device }));
  const far = pairs.map(([, end]) => end);
  const time = { now: 0 };
  const near = pairs.map(([end]) => end);
  const bridge = new Bridge(near, { ...options, clock: () => time.now });
  /** Sends one frame in at a port; returns what comes out of each. */
  const through = (port: number, bytes: number[]): number[][][] => {
    send(far[port], bytes);
    while (bridge.forward(port));
    return far.map((end) => receiveAll(end));
  };
  return { bridge, far, near, time, through };
}

describe("Bridge", () => {
  test("floods what it does not know to every port but the one it came from, and learns", () => {
    const { bridge, through } = lan(3);
    const hello = frame(station(2), station(1), 1);
    expect(through(0, hello)).toEqual([[], [hello], [hello]]);
    const answer = frame(station(1), station(2), 2);
    expect(through(1, answer)).toEqual([[answer], [], []]);
    expect(through(0, hello)).toEqual([[], [hello], []]);
    expect(bridge.table()).toEqual([
      ["02:00:00:00:00:01", 0],
      ["02:00:00:00:00:02", 1],
    ]);
    expect(bridge.counts).toMatchObject({ received: 3, flooded: 1, forwarded: 4 });
  });

  test("frames to groups go everywhere, however often", () => {
    const { through } = lan(3);
    for (const group of [BROADCAST, [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]]) {
      const bytes = frame(group, station(1));
      expect(through(2, bytes)).toEqual([[bytes], [bytes], []]);
      expect(through(2, bytes)).toEqual([[bytes], [bytes], []]);
    }
  });

  test("between stations of one port there is nothing to do", () => {
    const { bridge, through } = lan(2);
    through(0, frame(BROADCAST, station(1)));
    expect(through(0, frame(station(1), station(2)))).toEqual([[], []]);
    expect(bridge.counts.local).toBe(1);
  });

  test("a station that moves is found at its new port at once", () => {
    const { through } = lan(3);
    through(0, frame(BROADCAST, station(1)));
    through(1, frame(BROADCAST, station(1)));
    const bytes = frame(station(1), station(2));
    expect(through(2, bytes)).toEqual([[], [bytes], []]);
  });

  test("frames for bridges themselves end here: 01:80:c2:00:00:0x", () => {
    const { bridge, through } = lan(2);
    for (const last of [0, 1, 0x0e, 0x0f]) {
      expect(through(0, frame([1, 0x80, 0xc2, 0, 0, last], station(1)))).toEqual([[], []]);
    }
    expect(bridge.counts.reserved).toBe(4);
    for (const group of [
      [1, 0x80, 0xc2, 0, 0, 0x10],
      [1, 0x80, 0xc1, 0, 0, 0],
      [1, 0x80, 0xc2, 0, 1, 0],
    ]) {
      expect(through(0, frame(group, station(1)))[1]).toHaveLength(1);
    }
  });

  test("what is no frame, or is sent by a group, is dropped and not learnt", () => {
    const { bridge, through } = lan(2);
    expect(through(0, [1, 2, 3])).toEqual([[], []]);
    expect(through(0, frame(station(1), BROADCAST))).toEqual([[], []]);
    expect(through(0, frame(station(1), [0, 0, 0, 0, 0, 0]))).toEqual([[], []]);
    expect(bridge.counts.malformed).toBe(3);
    expect(bridge.table()).toEqual([]);
  });

  test("stations are forgotten in time, sooner if their port goes down", () => {
    const { bridge, time, through } = lan(3, { ageSeconds: 10 });
    const bytes = frame(station(1), station(2));
    through(0, frame(BROADCAST, station(1)));
    time.now = 9_999;
    expect(through(1, bytes)).toEqual([[bytes], [], []]);
    time.now = 10_001;
    expect(through(1, bytes)).toEqual([[bytes], [], [bytes]]);
    through(0, frame(BROADCAST, station(1)));
    expect(through(1, bytes)).toEqual([[bytes], [], []]);
    bridge.forget(0);
    expect(through(1, bytes)).toEqual([[bytes], [], [bytes]]);
    // Whoever is heard of stays.
    through(0, frame(BROADCAST, station(1)));
    time.now += 8_000;
    through(0, frame(BROADCAST, station(1)));
    time.now += 8_000;
    expect(through(1, bytes)).toEqual([[bytes], [], []]);
  });

  test("a flood of addresses does not fill the memory: the oldest go", () => {
    const { bridge, time, through } = lan(2, { maxStations: 100 });
    for (let i = 0; i < 1000; i++) {
      time.now = i;
      through(0, frame(BROADCAST, [2, 0, 0, 1, i >> 8, i & 255]));
    }
    const known = bridge.table().map(([address]) => address);
    expect(known).toHaveLength(100);
    expect(known[0]).toBe("02:00:00:01:03:84");
    expect(known.at(-1)).toBe("02:00:00:01:03:e7");
  });

  test("what the other port has no room for is dropped, and counted", () => {
    const { bridge, far, through } = lan(2, {}, { queueLength: 2 });
    through(1, frame(BROADCAST, station(2)));
    for (let i = 0; i < 2; i++) send(far[0], frame(station(2), station(1), i));
    bridge.forward(0);
    send(far[0], frame(station(2), station(1), 3));
    bridge.forward(0);
    expect(receiveAll(far[1])).toHaveLength(2);
    expect(bridge.counts.full).toBe(1);
  });

  test("a frame longer than the other port's MTU is dropped, and counted", () => {
    const [left] = [memoryPair({ medium: "ethernet", mtu: 9000 })];
    const right = memoryPair({ medium: "ethernet", mtu: 1500 });
    const bridge = new Bridge([left[0], right[0]]);
    for (const length of [1504, 1505]) {
      send(left[1], [...frame(BROADCAST, station(1)), ...new Array(length).fill(0)]);
      bridge.forward(0);
    }
    expect(receiveAll(right[1])).toHaveLength(1);
    expect(bridge.counts.tooLong).toBe(1);
  });

  test("forwards a bounded number of frames at once", () => {
    const { bridge, far } = lan(2);
    for (let i = 0; i < 100; i++) send(far[0], frame(BROADCAST, station(1), i));
    expect(bridge.forward(0)).toBe(true);
    expect(bridge.counts.received).toBe(64);
    expect(bridge.forward(0)).toBe(false);
    expect(receiveAll(far[1])).toHaveLength(100);
  });

  test("unfinished checksums are completed, super-segments carried as they are", () => {
    const { bridge, far } = lan(2, {}, { offload: true });
    const ends = { from: "10.0.0.1", to: "10.0.0.2" };
    const packet = tcpPacket(
      ends,
      { sourcePort: 1, destinationPort: 2, seq: 3 },
      new Uint8Array(5000).fill(7),
    );
    const header = [...BROADCAST, ...station(1), 8, 0];
    const unfinished = Uint8Array.from([...header, ...packet]);
    unfinished.set([0xab, 0xcd], 14 + 20 + 16);
    for (const segmentSize of [0, 1460]) {
      const length = segmentSize === 0 ? 1500 + 14 : unfinished.length;
      const whole = segmentSize === 0 ? shorten(unfinished, length) : unfinished;
      const received = passOn(bridge, far, whole, segmentSize);
      const expected = whole.slice();
      if (segmentSize === 0) completeChecksum(expected, 0, expected.length, "ethernet");
      expect(received).toEqual({ bytes: expected, segmentSize });
    }
  });
});

describe("joined datagrams", () => {
  const ends = { from: "10.0.0.1", to: "10.0.0.2" };
  const payload = Uint8Array.from({ length: 2500 }, (_, i) => i);
  const tag = [0x81, 0, 0, 7];

  /** Sends them in at port 0, and gives what comes out of port 1. */
  function pass(bytes: Uint8Array, size: number, options: Parameters<typeof memoryPair>[0] = {}) {
    const { bridge, far, near } = lan(2, {}, { offload: true, ...options });
    sendOffloaded(far[0], bytes, size);
    const sizes: number[] = [];
    const commit = near[1].commit.bind(near[1]);
    near[1].commit = (out) => {
      sizes.push(out.segmentSize);
      commit(out);
    };
    bridge.forward(0);
    return { counts: bridge.counts, frames: receiveAll(far[1]), sizes };
  }

  test.each([
    ["without a tag", []],
    ["with a tag", tag],
  ])("leave one by one, %s", (_, tags) => {
    const link = [...BROADCAST, ...station(1), ...tags, 8, 0];
    const joined = Uint8Array.from([...link, ...udpPacket(ends, 5, 6, payload)]);
    joined.set([0x12, 0x34], link.length + 4);
    joined.set([0xab, 0xcd], link.length + 26);
    const { counts, frames, sizes } = pass(joined, 1000);
    const expected = [0, 1000, 2000].map((at, i) => {
      const packet = udpPacket(ends, 5, 6, payload.subarray(at, at + 1000));
      packet.set([0x12, 0x34 + i, ...packet.subarray(6, 10), 0, 0], 4);
      new DataView(packet.buffer).setUint16(10, checksum(packet, 0, 20));
      return [...link, ...packet];
    });
    expect(frames).toEqual(expected);
    expect(sizes).toEqual([0, 0, 0]);
    expect(counts).toMatchObject({ received: 1, forwarded: 1, full: 0, tooLong: 0 });
  });

  test("over IPv6, too", () => {
    const link = [...BROADCAST, ...station(1), 0x86, 0xdd];
    const of = (body: Uint8Array) => {
      const packet = [0x60, 0, 0, 0, 0, 8 + body.length, 17, 64, ...new Array(31).fill(0), 1];
      const udp = [0, 5, 0, 6, 0, 8 + body.length, 1, 1];
      const bytes = Uint8Array.from([...link, ...packet, ...udp, ...body]);
      completeChecksum(bytes, 0, bytes.length, "ethernet");
      return bytes;
    };
    const { frames } = pass(of(payload.subarray(0, 150)), 100);
    expect(frames).toEqual([
      Array.from(of(payload.subarray(0, 100))),
      Array.from(of(payload.subarray(100, 150))),
    ]);
  });

  test("that do not fit are dropped, and counted", () => {
    const joined = Uint8Array.from([...BROADCAST, ...station(1), 8, 0, ...udpPacket(ends, 5, 6, payload)]);
    expect(pass(joined, 1000, { mtu: 1000 })).toMatchObject({ frames: [], counts: { tooLong: 1 } });
    const { counts, frames } = pass(joined, 1000, { queueLength: 2 });
    expect(frames).toHaveLength(2);
    expect(counts).toMatchObject({ full: 1, forwarded: 0 });
    // A datagram of nothing is one.
    const empty = [...BROADCAST, ...station(1), 8, 0, ...udpPacket(ends, 5, 6, new Uint8Array(0))];
    expect(pass(Uint8Array.from(empty), 1000).frames).toEqual([empty]);
  });
});

/** The frame with less payload. */
function shorten(bytes: Uint8Array, length: number): Uint8Array {
  const cut = bytes.slice(0, length);
  new DataView(cut.buffer).setUint16(16, length - 14);
  return cut;
}

function sendOffloaded(device: Device, bytes: Uint8Array, segmentSize: number): void {
  const out = device.transmit(bytes.length);
  if (out === null) throw new Error("full");
  out.bytes.set(bytes, out.offset);
  out.checksumOffloaded = true;
  out.segmentSize = segmentSize;
  device.commit(out);
}

/** Sends a frame with offload notes in at port 0, and gives what comes out of port 1. */
function passOn(bridge: Bridge, far: Device[], bytes: Uint8Array, segmentSize: number) {
  sendOffloaded(far[0], bytes, segmentSize);
  bridge.forward(0);
  const frame = new Frame(new Uint8Array(0));
  expect(far[1].receive(frame)).toBe(true);
  const { offset, length } = frame;
  return { bytes: frame.bytes.slice(offset, offset + length), segmentSize: frame.segmentSize };
}

test("examples/bridge.ts explains itself", async () => {
  const [help, alone, tun] = await Promise.all([
    example("bridge", "--help"),
    example("bridge"),
    example("bridge", "--config", "test/examples/two-tuns.toml"),
  ]);
  expect(help).toMatchObject({ exitCode: 0, stderr: "" });
  expect(help.stdout).toContain("--stations");
  expect(alone).toMatchObject({ exitCode: 2, stdout: "" });
  expect(alone.stderr).toStartWith("A bridge needs two devices");
  expect(tun.stderr).toStartWith("A bridge passes on Ethernet frames, which tun does not have");
});
