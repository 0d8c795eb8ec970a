import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capture } from "../../devices/capture.ts";
import { captureFile } from "../../devices/capture-file.ts";
import { memoryPair } from "../../devices/memory.ts";
import { type ReplayOptions, replay } from "../../devices/replay.ts";
import { Frame } from "../../src/device.ts";
import { NEVER, Stack } from "../../src/index.ts";
import { seededRandom } from "../../src/random.ts";
import { completeChecksum } from "../../src/wire/offload.ts";
import { formatPacket } from "../../src/wire/print.ts";
import { thrownBy } from "../support/errors.ts";
import { udpPacket } from "../support/packets.ts";
import { ipPackets, readCapture } from "../support/pcap-reader.ts";
import { until } from "../support/system.ts";
import { laterTurn, receiveAll, receiveBytes, send } from "./frames.ts";

const directory = mkdtempSync(join(tmpdir(), "tapwire-replay-"));
afterAll(() => rmSync(directory, { recursive: true }));

const fixture = (name: string) => join(import.meta.dir, "../fixtures", name);
const FAST: ReplayOptions = { speed: Number.POSITIVE_INFINITY };

/** Packets of one UDP datagram each, that can be told apart. */
const packet = (number: number, to = "10.0.0.2") =>
  udpPacket({ from: "10.0.0.1", to }, 1_000, 2_000 + number, new Uint8Array(number));
const P = [1, 2, 3].map((number) => Array.from(packet(number)));

/** Bytes of a file in one byte order. */
class Writer {
  private readonly bytes: number[] = [];
  private readonly little: boolean;
  constructor(little: boolean) {
    this.little = little;
  }
  put(size: number, ...values: number[]): this {
    for (const value of values) {
      const big = Array.from({ length: size }, (_, i) => Math.floor(value / 256 ** (size - 1 - i)) & 255);
      this.bytes.push(...(this.little ? big.reverse() : big));
    }
    return this;
  }
  raw(bytes: ArrayLike<number>): this {
    this.bytes.push(...Array.from(bytes));
    return this;
  }
  pad(): this {
    while (this.bytes.length % 4 !== 0) this.bytes.push(0);
    return this;
  }
  get done(): Uint8Array {
    return Uint8Array.from(this.bytes);
  }
}

interface Given {
  readonly at: number;
  readonly bytes: ArrayLike<number>;
  readonly original?: number;
}

function pcap(little: boolean, nano: boolean, linkType: number, packets: readonly Given[]): Uint8Array {
  const out = new Writer(little)
    .put(4, nano ? 0xa1b23c4d : 0xa1b2c3d4)
    .put(2, 2, 4)
    .put(4, 0, 0, 65_535, linkType);
  for (const { at, bytes, original } of packets) {
    const seconds = Math.floor(at / 1000);
    out.put(4, seconds, Math.round((at - seconds * 1000) * (nano ? 1e6 : 1e3)), bytes.length);
    out.put(4, original ?? bytes.length).raw(bytes);
  }
  return out.done;
}

function block(little: boolean, type: number, body: Uint8Array): Uint8Array {
  return new Writer(little)
    .put(4, type, body.length + 12)
    .raw(body)
    .put(4, body.length + 12).done;
}

const section = (little: boolean) =>
  block(
    little,
    0x0a0d0d0a,
    new Writer(little).put(4, 0x1a2b3c4d).put(2, 1, 0).put(4, 0xffffffff, 0xffffffff).done,
  );
const described = (little: boolean, linkType: number, options: Uint8Array = new Uint8Array(0), snaplen = 0) =>
  block(little, 1, new Writer(little).put(2, linkType, 0).put(4, snaplen).raw(options).done);
const enhanced = (little: boolean, id: number, ticks: number, bytes: ArrayLike<number>, flags?: number) => {
  const body = new Writer(little).put(
    4,
    id,
    Math.floor(ticks / 2 ** 32),
    ticks % 2 ** 32,
    bytes.length,
    bytes.length,
  );
  body.raw(bytes).pad();
  // A comment in front, of a length that needs padding.
  if (flags !== undefined)
    body.put(2, 1, 5).raw([104, 101, 108, 108, 111]).pad().put(2, 2, 4).put(4, flags).put(4, 0);
  return block(little, 6, body.done);
};
const simple = (little: boolean, original: number, bytes: ArrayLike<number>) =>
  block(little, 3, new Writer(little).put(4, original).raw(bytes).pad().done);
const joined = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => Array.from(part)));

/** Everything a capture gives, with the ms since its first packet, in simulated time. */
function play(bytes: Uint8Array | string, options: ReplayOptions = {}): [number, number[]][] {
  let now = 500;
  const device = replay(null, bytes, { ...options, clock: () => now });
  const found: [number, number[]][] = [];
  while (!device.ended) {
    for (const frame of receiveAll(device)) found.push([now - 500, frame]);
    if (device.nextAt === Number.POSITIVE_INFINITY) break;
    now = Math.max(now, device.nextAt);
  }
  device.close();
  return found;
}

describe("formats", () => {
  const given: Given[] = [
    { at: 1_700_000_000_100, bytes: P[0] },
    { at: 1_700_000_000_350.5, bytes: P[1] },
    { at: 1_700_000_002_100, bytes: P[2] },
  ];
  const expected = [
    [0, P[0]],
    [250.5, P[1]],
    [2_000, P[2]],
  ];
  const near = (found: [number, number[]][]) =>
    found.map(([at, bytes]) => [Math.round(at * 100) / 100, bytes]);

  for (const little of [true, false]) {
    const order = little ? "little-endian" : "big-endian";
    for (const nano of [true, false]) {
      test(`pcap, ${order}, ${nano ? "nano" : "micro"}seconds`, () => {
        expect(near(play(pcap(little, nano, 101, given)))).toEqual(expected as [number, number[]][]);
      });
    }

    const resolutions: [string, Uint8Array, (ms: number) => number][] = [
      ["microseconds, which need no word", new Uint8Array(0), (ms) => ms * 1e3],
      ["nanoseconds", new Writer(little).put(2, 9, 1).raw([9]).pad().put(4, 0).done, (ms) => ms * 1e6],
      [
        "1024ths of a second",
        new Writer(little).put(2, 9, 1).raw([0x8a]).pad().put(4, 0).done,
        (ms) => ms * 1.024,
      ],
      [
        "microseconds from another origin, with a name",
        new Writer(little)
          .put(2, 2, 3)
          .raw([108, 111, 48])
          .pad()
          .put(2, 14, 8)
          .raw(little ? [0, 0xca, 0x9a, 0x3b, 0, 0, 0, 0] : [0, 0, 0, 0, 0x3b, 0x9a, 0xca, 0]).done,
        (ms) => (ms - 1_000_000_000_000) * 1e3,
      ],
    ];
    for (const [name, options, ticks] of resolutions) {
      test(`pcapng, ${order}, ${name}`, () => {
        const file = joined(
          section(little),
          described(little, 101, options),
          block(little, 5, new Uint8Array(20)),
          ...given.map(({ at, bytes }) => enhanced(little, 0, Math.round(ticks(at)), bytes)),
          block(little, 0xbad, new Uint8Array(40_000)),
        );
        const found = play(file);
        expect(found.map(([, bytes]) => bytes)).toEqual(P);
        for (const [i, [at]] of found.entries())
          expect(Math.abs(at - Number(expected[i][0]))).toBeLessThan(1);
      });
    }

    test(`pcapng, ${order}: simple packets, which have no time`, () => {
      const file = joined(
        section(little),
        described(little, 101, new Uint8Array(0), 200),
        simple(little, P[0].length, P[0]),
        simple(little, P[1].length, P[1]),
        simple(little, 500, new Uint8Array(200)),
      );
      expect(play(file)).toEqual([
        [0, P[0]],
        [0, P[1]],
      ]);
    });

    test(`pcapng, ${order}: the obsolete packet block`, () => {
      const body = new Writer(little)
        .put(2, 0, 7)
        .put(4, 0, 5, P[0].length, P[0].length)
        .raw(P[0])
        .pad().done;
      expect(play(joined(section(little), described(little, 101), block(little, 2, body)))).toEqual([
        [0, P[0]],
      ]);
    });
  }

  test("pcapng: sections of their own byte orders and interfaces", () => {
    const ethernet = [...new Array(12).fill(2), 8, 0, ...P[2]];
    const file = joined(
      section(true),
      described(true, 101),
      enhanced(true, 0, 1, P[0]),
      section(false),
      described(false, 1),
      described(false, 101),
      enhanced(false, 1, 2, P[1]),
      enhanced(false, 0, 3, ethernet),
    );
    expect(play(file, FAST).map(([, bytes]) => bytes)).toEqual(P);
  });

  test("what capture has written, of either format", () => {
    for (const name of ["own.pcap", "own.pcapng"]) {
      const path = join(directory, name);
      let now = 1_700_000_000_000;
      const device = capture(memoryPair()[0], captureFile(path), { clock: () => now });
      for (const bytes of P) {
        send(device, bytes);
        now += 12.5;
      }
      device.close();
      expect(near(play(path))).toEqual([
        [0, P[0]],
        [12.5, P[1]],
        [25, P[2]],
      ]);
    }
  });

  test("every capture of tcpdump, whole", () => {
    for (const name of ["download", "ping", "retransmission-many", "fragments"]) {
      const path = fixture(`${name}.pcap`);
      const packets = ipPackets(readCapture(path)).map((bytes) => Array.from(bytes));
      expect(play(path, FAST).map(([, bytes]) => bytes)).toEqual(packets);
    }
  });

  test("a capture that is read in small pieces, and is larger than any of them", () => {
    const many = Array.from({ length: 3_000 }, (_, i) => ({ at: i, bytes: packet(i % 1_400) }));
    const file = pcap(true, true, 101, many);
    let at = 0;
    let largest = 0;
    let closed = 0;
    const source = {
      read(into: Uint8Array, offset: number, length: number) {
        const count = Math.min(length, 1_000, file.length - at);
        into.set(file.subarray(at, at + count), offset);
        largest = Math.max(largest, into.length);
        at += count;
        return count;
      },
      close: () => closed++,
    };
    const device = replay(null, source, FAST);
    expect(receiveAll(device)).toEqual(many.map(({ bytes }) => Array.from(bytes)));
    expect(file.length).toBeGreaterThan(2_000_000);
    expect(largest).toBeLessThan(400_000);
    device.close();
    device.close();
    expect(closed).toBe(1);
  });
});

describe("time", () => {
  const file = pcap(true, true, 101, [
    { at: 1_000, bytes: P[0] },
    { at: 1_040, bytes: P[1] },
    { at: 1_020, bytes: P[2] },
  ]);

  test("starts with the first frame that is asked for, runs at a speed, and never backwards", () => {
    expect(play(file).map(([at]) => at)).toEqual([0, 40, 40]);
    expect(play(file, { speed: 4 }).map(([at]) => at)).toEqual([0, 10, 10]);
    expect(play(file, FAST).map(([at]) => at)).toEqual([0, 0, 0]);
  });

  test("by the system's clock: called back when a packet is due, and told the end once", async () => {
    const got: number[] = [];
    let ends = 0;
    const device = replay(null, file, { onEnd: ({ delivered }) => (ends += delivered) });
    const startedAt = performance.now();
    device.onReadable(() => {
      while (receiveBytes(device) !== null) got.push(performance.now() - startedAt);
    });
    await until("the end", () => ends > 0);
    expect(got).toHaveLength(3);
    // Not from the first on: that may have been looked at late.
    expect(got[1]).toBeGreaterThanOrEqual(39);
    expect(got[2]).toBeLessThan(500);
    await laterTurn();
    expect([ends, device.ended]).toEqual([3, true]);
    device.close();
  });

  test("wait blocks until one is due", () => {
    const device = replay(null, file);
    expect(device.wait!(1_000)).toBe(true);
    expect(receiveAll(device)).toEqual([P[0]]);
    expect(device.wait!(5)).toBe(false);
    expect(device.wait!(1_000)).toBe(true);
    expect(receiveAll(device)).toEqual([P[1], P[2]]);
    const startedAt = performance.now();
    expect(device.wait!(5)).toBe(false);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(4);
  });

  test("an empty capture ends at once", async () => {
    let ended = 0;
    const device = replay(null, pcap(true, true, 101, []), { onEnd: () => ended++ });
    expect(device.ended).toBe(true);
    expect(receiveAll(device)).toEqual([]);
    await laterTurn();
    expect([ended, device.nextAt]).toEqual([1, Number.POSITIVE_INFINITY]);
  });
});

describe("media", () => {
  const header = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
  const link = { source: "02:00:00:00:00:02", destination: "02:00:00:00:00:01" };
  const one = (linkType: number, bytes: ArrayLike<number>) => pcap(true, true, linkType, [{ at: 0, bytes }]);
  const frames = (file: Uint8Array, options: ReplayOptions = {}) => {
    const device = replay(null, file, { ...FAST, ...options });
    const frame = new Frame(new Uint8Array(0));
    const found: number[][] = [];
    while (device.receive(frame)) {
      expect((frame.offset + (options.medium === "ethernet" ? 14 : 0)) % 4).toBe(0);
      found.push(Array.from(frame.bytes.subarray(frame.offset, frame.offset + frame.length)));
    }
    return { found, counts: device.replayed };
  };

  test("link headers are taken off on an IP device", () => {
    const ipv6 = [0x60, ...new Array(45).fill(0)];
    const captures: [number, number[], number[]][] = [
      [1, [...header, 8, 0, ...P[0]], P[0]],
      [1, [...header, 0x81, 0, 0, 5, 8, 0, ...P[0]], P[0]],
      [0, [2, 0, 0, 0, ...P[0]], P[0]],
      [108, [0, 0, 0, 2, ...P[0]], P[0]],
      [12, P[0], P[0]],
      [228, P[0], P[0]],
      [229, ipv6, ipv6],
      [113, [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0, ...P[0]], P[0]],
      [276, [8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, ...P[0]], P[0]],
    ];
    for (const [linkType, bytes, expected] of captures) {
      expect([linkType, frames(one(linkType, bytes)).found]).toEqual([linkType, [expected]]);
    }
  });

  test("what is not IP is left out there, and counted", () => {
    const { found, counts } = frames(one(1, [...header, 8, 6, ...new Array(28).fill(0)]));
    expect(found).toEqual([]);
    expect(counts).toMatchObject({ read: 1, notIp: 1, delivered: 0 });
    expect(frames(one(113, new Array(10).fill(0))).counts.notIp).toBe(1);
  });

  test("an Ethernet device gets frames as they are, or with the addresses given", () => {
    const arp = [...header, 8, 6, ...new Array(28).fill(0)];
    expect(frames(one(1, arp), { medium: "ethernet" }).found).toEqual([arp]);
    expect(frames(one(101, P[0]), { medium: "ethernet", link }).found).toEqual([[...header, 8, 0, ...P[0]]]);
    // Without a destination it is the stack's own.
    const from = { source: "02:00:00:00:00:02" };
    expect(frames(one(101, P[0]), { medium: "ethernet", link: from }).found).toEqual([
      [...header, 8, 0, ...P[0]],
    ]);
    const error = thrownBy(() => frames(one(101, P[0]), { medium: "ethernet" }));
    expect(error.message).toContain("give the hardware addresses");
    expect(error.message).toContain("link-source");
  });

  test("what can't be fed", () => {
    expect(thrownBy(() => frames(one(147, P[0]))).message).toContain("link type 147");
    const cut = pcap(true, true, 101, [
      { at: 0, bytes: P[0], original: 900 },
      { at: 0, bytes: new Uint8Array(70_000).fill(0x45) },
      { at: 0, bytes: P[1] },
    ]);
    const { found, counts } = frames(cut);
    expect(found).toEqual([P[1]]);
    expect(counts).toMatchObject({ read: 3, truncated: 1, tooLong: 1, delivered: 1 });
  });

  test("the largest packets, and those that are larger", () => {
    const of = (length: number) => new Uint8Array(length).fill(0x45);
    for (const [linkType, medium, length, ok] of [
      [101, "ethernet", 65_535, true],
      [101, "ethernet", 65_536, false],
      [101, "ethernet", 65_546, false],
      [101, "ethernet", 65_553, false],
      [101, "ip", 65_535, true],
      [101, "ip", 65_536, false],
      [1, "ethernet", 65_553, true],
      [1, "ethernet", 65_554, false],
    ] as const) {
      const { found, counts } = frames(one(linkType, of(length)), { medium, link });
      expect([linkType, length, found.length, counts.tooLong]).toEqual([
        ...[linkType, length],
        ...(ok ? [1, 0] : [0, 1]),
      ]);
    }
    // The longest "cooked" header does not count.
    const cooked = [8, 0, ...new Array(18).fill(0)];
    expect(frames(one(276, [...cooked, ...of(65_535)])).found[0]).toHaveLength(65_535);
  });

  test("checksums are completed where that is asked for", () => {
    const broken = Uint8Array.from(P[0]);
    broken.set([0x12, 0x34], 26);
    expect(frames(one(101, broken)).found).toEqual([Array.from(broken)]);
    expect(frames(one(101, broken), { completeChecksums: true }).found).toEqual([P[0]]);
    expect(completeChecksum(broken, 0, broken.length, "ip")).toBe(true);
  });
});

describe("filters", () => {
  test("by direction, as the capture tells it", () => {
    const file = joined(
      section(true),
      described(true, 101),
      enhanced(true, 0, 1, P[0], 1),
      enhanced(true, 0, 2, P[1], 2),
      enhanced(true, 0, 3, P[2]),
    );
    const found = (direction: "receive" | "transmit" | "both") =>
      play(file, { ...FAST, direction }).map(([, bytes]) => bytes);
    expect(found("both")).toEqual(P);
    expect(found("receive")).toEqual([P[0], P[2]]);
    expect(found("transmit")).toEqual([P[1], P[2]]);
  });

  test("by destination", () => {
    const others = Array.from(packet(5, "10.0.0.9"));
    const file = pcap(
      true,
      true,
      101,
      [P[0], others, P[1]].map((bytes) => ({ at: 0, bytes })),
    );
    expect(play(file, { destination: "10.0.0.2" }).map(([, bytes]) => bytes)).toEqual([P[0], P[1]]);
    expect(play(file, { destination: ["10.0.0.9", "10.0.0.8"] }).map(([, bytes]) => bytes)).toEqual([others]);
    const there = fixture("ethernet/neighbours.pcap");
    const device = replay(null, there, { ...FAST, medium: "ethernet", destination: "192.168.70.2" });
    // The ARP request for it, two pings, and its own announcement.
    expect(receiveAll(device)).toHaveLength(4);
    expect(device.replayed).toMatchObject({ read: 12, filtered: 8 });
  });

  test("a capture of which nothing passes is looked through in turns", async () => {
    const many = Array.from({ length: 1_000 }, () => ({ at: 0, bytes: P[0] }));
    const device = replay(null, pcap(true, true, 101, [...many, { at: 0, bytes: packet(4, "10.0.0.9") }]), {
      ...FAST,
      destination: "10.0.0.9",
    });
    expect(receiveAll(device)).toEqual([]);
    expect(device.ended).toBe(false);
    let calls = 0;
    const got: number[][] = [];
    device.onReadable(() => {
      calls++;
      got.push(...receiveAll(device));
    });
    await until("the end", () => device.ended);
    expect(got).toHaveLength(1);
    expect(calls).toBeGreaterThan(1);
  });
});

describe("around a device", () => {
  test("what is sent goes there, and what comes from there is received too", async () => {
    const [left, right] = memoryPair({ mtu: 900 });
    const device = replay(right, pcap(true, true, 101, [{ at: 0, bytes: P[0] }]), FAST);
    expect(device.capabilities.mtu).toBe(900);
    send(left, P[1]);
    expect(receiveAll(device)).toEqual([P[0], P[1]]);
    send(device, P[2]);
    expect(receiveAll(left)).toEqual([P[2]]);
    expect(device.replayed.sent).toBe(1);
    let calls = 0;
    device.onReadable(() => calls++);
    send(left, P[1]);
    await laterTurn();
    expect(calls).toBe(1);
    device.close();
    expect(receiveAll(device)).toEqual([]);
  });

  test("without one, what is sent is counted", () => {
    const device = replay(null, pcap(true, true, 101, []), { medium: "ethernet", mtu: 100 });
    expect(device.capabilities).toMatchObject({ medium: "ethernet", mtu: 100, checksumOffload: false });
    expect(device.capabilities.hardwareAddress).toEqual(Uint8Array.of(2, 0, 0, 0, 0, 1));
    send(device, new Uint8Array(118));
    expect(thrownBy(() => device.transmit(119)).code).toBe("EMSGSIZE");
    expect(device.replayed.sent).toBe(1);
  });

  test("a stack answers the pings of a capture", () => {
    let now = 0;
    const answers: string[] = [];
    const sink = replay(null, fixture("ping.pcap"), { destination: "10.0.0.2", clock: () => now });
    const commit = sink.commit.bind(sink);
    sink.commit = (frame) => {
      answers.push(formatPacket(frame.bytes, frame.offset, frame.length));
      commit(frame);
    };
    const stack = new Stack({ random: seededRandom(1), memory: 1 << 20, maxSockets: 16 });
    stack.addInterface({ device: sink, addresses: ["10.0.0.2/24"] });
    while (!sink.ended) {
      stack.poll(now);
      if (sink.nextAt !== NEVER) now = Math.max(now, sink.nextAt);
    }
    stack.poll(now);
    expect(answers).toHaveLength(3);
    for (const line of answers) expect(line).toContain("10.0.0.2 > 10.0.0.1: ICMP echo reply");
  });
});

describe("captures that are none", () => {
  const good = pcap(true, true, 101, [
    { at: 0, bytes: P[0] },
    { at: 0, bytes: P[1] },
  ]);
  const ng = joined(section(true), described(true, 101), enhanced(true, 0, 1, P[0]));

  test("are refused at once", () => {
    const files: [string, Uint8Array][] = [
      ["is empty", new Uint8Array(0)],
      ["is no capture", new TextEncoder().encode("Hello, this is text.")],
      ["ends within its header", good.subarray(0, 20)],
      ["is cut off behind packet 0", good.subarray(0, 30)],
      ["is cut off behind packet 0", good.subarray(0, 50)],
      ["of no known byte order", joined(section(true).fill(7, 8, 12))],
      ["cut off", ng.subarray(0, section(true).length + 10)],
      ["which it does not describe", joined(section(true), enhanced(true, 0, 1, P[0]))],
      ["a block of 3 bytes", joined(section(true), new Writer(true).put(4, 6, 3, 0).done)],
      [
        "longer than its block",
        joined(
          section(true),
          described(true, 101),
          block(true, 6, new Writer(true).put(4, 0, 0, 0, 99, 99).done),
        ),
      ],
      [
        "states a packet of 4294967295 bytes",
        new Writer(true).raw(good.subarray(0, 24)).put(4, 0, 0, 0xffffffff, 0xffffffff).done,
      ],
      [
        "more than 1024 interfaces",
        joined(section(true), ...Array.from({ length: 1_025 }, () => described(true, 101))),
      ],
      [
        "an option that is longer",
        joined(section(true), described(true, 101, new Writer(true).put(2, 9, 900).done)),
      ],
    ];
    for (const [what, file] of files) {
      const error = thrownBy(() => replay(null, file));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain(what);
      expect(error.message).toStartWith("The capture in memory ");
    }
    expect(thrownBy(() => replay(null, join(directory, "missing.pcap"))).code).toBe("ENOENT");
    expect(thrownBy(() => replay(null, good, { speed: 0 })).code).toBe("EINVAL");
    expect(thrownBy(() => replay(null, good, { mtu: 10 })).code).toBe("EINVAL");
    expect(thrownBy(() => replay(null, good, { destination: "nowhere" })).code).toBe("EINVAL");
  });

  test("or end there, when they are broken further on: what was before it is fed, and the error told once", async () => {
    const trailer = ng.slice();
    trailer[trailer.length - 4] ^= 4;
    const files: [string, Uint8Array][] = [
      ["is cut off behind packet 1", good.subarray(0, good.length - 1)],
      ["states two lengths", trailer],
    ];
    for (const [what, file] of files) {
      const errors: Error[] = [];
      let ends = 0;
      const device = replay(null, file, {
        ...FAST,
        onError: (error) => errors.push(error),
        onEnd: () => ends++,
      });
      expect(receiveAll(device)).toEqual([P[0]]);
      expect(receiveAll(device)).toEqual([]);
      await laterTurn();
      expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining(what)]);
      expect([ends, device.ended]).toEqual([1, true]);
    }
  });

  test("any bytes: an error or an end, never more than that", async () => {
    const random = seededRandom(3);
    const files = [good, ng, pcap(false, false, 1, [{ at: 5, bytes: new Uint8Array(60) }])];
    let errors = 0;
    for (let i = 0; i < 3_000; i++) {
      const file = files[i % files.length].slice();
      for (let n = 1 + (random.next() % 3); n > 0; n--) file[random.next() % file.length] = random.next();
      try {
        const device = replay(null, file, { ...FAST, onError: () => errors++ });
        expect(receiveAll(device).length).toBeLessThan(4);
        device.close();
      } catch (error) {
        expect(error).toHaveProperty("code", "EINVAL");
        errors++;
      }
    }
    await laterTurn();
    expect(errors).toBeGreaterThan(500);
  });
});
