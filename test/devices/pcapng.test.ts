import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capture, LINKTYPE_ETHERNET, LINKTYPE_RAW } from "../../devices/capture.ts";
import { type CaptureFileOptions, captureFile, pcapFile, pcapngFile } from "../../devices/capture-file.ts";
import { memoryPair } from "../../devices/memory.ts";
import type { Device, Frame } from "../../src/device.ts";
import { Stack } from "../../src/index.ts";
import { seededRandom } from "../../src/random.ts";
import { thrownBy } from "../support/errors.ts";
import { tcpPacket, udpPacket } from "../support/packets.ts";
import { readCapture } from "../support/pcap-reader.ts";
import { isCi } from "../support/system.ts";
import { receiveAll, send } from "./frames.ts";
import { echoRequest } from "./icmp.ts";

const directory = mkdtempSync(join(tmpdir(), "tapwire-pcapng-"));
afterAll(() => rmSync(directory, { recursive: true }));
let files = 0;
const newPath = (extension = ".pcapng"): string => join(directory, `${files++}${extension}`);

interface Block {
  readonly type: number;
  readonly body: Buffer;
}

/** A reader of its own, so that the writer is not measured with its own yardstick. */
function blocks(path: string): Block[] {
  const bytes = readFileSync(path);
  const found: Block[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at + 4);
    expect(length % 4).toBe(0);
    expect(bytes.readUInt32LE(at + length - 4)).toBe(length);
    found.push({ type: bytes.readUInt32LE(at), body: bytes.subarray(at + 8, at + length - 4) });
    at += length;
  }
  return found;
}

const options = (body: Buffer, from: number): Map<number, Buffer> => {
  const found = new Map<number, Buffer>();
  for (let at = from; body.readUInt16LE(at) !== 0; ) {
    const length = body.readUInt16LE(at + 2);
    found.set(body.readUInt16LE(at), body.subarray(at + 4, at + 4 + length));
    at += 4 + ((length + 3) & ~3);
  }
  return found;
};

const packets = (path: string) =>
  blocks(path)
    .filter(({ type }) => type === 6)
    .map(({ body }) => {
      const captured = body.readUInt32LE(12);
      return {
        interface: body.readUInt32LE(0),
        time: (BigInt(body.readUInt32LE(4)) << 32n) | BigInt(body.readUInt32LE(8)),
        length: body.readUInt32LE(16),
        bytes: Array.from(body.subarray(20, 20 + captured)),
        direction: options(body, 20 + ((captured + 3) & ~3))
          .get(2)!
          .readUInt32LE(0),
      };
    });

describe("pcapng", () => {
  test("holds interfaces with their names, and packets with direction and nanoseconds", () => {
    const path = newPath();
    const sink = captureFile(path);
    const [left, right] = memoryPair({ medium: "ethernet" });
    let now = 1_700_000_000_123.25;
    const clock = () => now;
    const named: Device & { name: string } = Object.assign(left, { name: "tap7" });
    const first = capture(named, sink, { clock });
    const second = capture(memoryPair()[0], sink, { clock, name: "the other", snaplen: 2 });
    send(right, [1, 2, 3, 4, 5]);
    receiveAll(first);
    now += 1.5;
    send(second, [0x45, 2, 3]);
    first.close();
    second.close();

    const [section, ...rest] = blocks(path);
    expect(section.type).toBe(0x0a0d0d0a);
    expect([
      section.body.readUInt32LE(0),
      section.body.readUInt16LE(4),
      section.body.readUInt16LE(6),
    ]).toEqual([0x1a2b3c4d, 1, 0]);
    expect(options(section.body, 16).get(4)!.toString()).toBe("tapwire");
    const interfaces = rest.filter(({ type }) => type === 1).map(({ body }) => body);
    expect(interfaces.map((body) => [body.readUInt16LE(0), body.readUInt32LE(4)])).toEqual([
      [LINKTYPE_ETHERNET, 262_144],
      [LINKTYPE_RAW, 2],
    ]);
    expect(interfaces.map((body) => options(body, 8).get(2)!.toString())).toEqual(["tap7", "the other"]);
    expect(interfaces.map((body) => options(body, 8).get(9)![0])).toEqual([9, 9]);
    expect(packets(path)).toEqual([
      { interface: 0, time: 1_700_000_000_123_250_000n, length: 5, bytes: [1, 2, 3, 4, 5], direction: 1 },
      { interface: 1, time: 1_700_000_000_124_750_000n, length: 3, bytes: [0x45, 2], direction: 2 },
    ]);
  });

  test("times are exact, whatever halves they fall into", () => {
    const path = newPath();
    let now = 0;
    const device = capture(memoryPair({ queueLength: 100 })[0], pcapngFile(path), { clock: () => now });
    const expected: bigint[] = [];
    const random = seededRandom(4);
    for (let i = 0; i < 60; i++) {
      const seconds = i < 4 ? [0, 65_535, 65_536, 4_294_967_296][i] : random.next();
      const micros = random.next() % 1000;
      now = seconds * 1000 + micros / 1024;
      expected.push(BigInt(seconds) * 1_000_000_000n + BigInt(Math.round((now - seconds * 1000) * 1e6)));
      send(device, [1]);
    }
    device.close();
    expect(packets(path).map(({ time }) => time)).toEqual(expected);
  });

  test("packets of every length are padded", () => {
    const path = newPath();
    const device = capture(memoryPair()[0], pcapngFile(path, { bufferSize: 256 }));
    const sent = Array.from({ length: 40 }, (_, i) => Array.from({ length: 1 + i * 31 }, (_, j) => j & 255));
    for (const bytes of sent) send(device, bytes);
    device.close();
    expect(packets(path).map(({ bytes }) => bytes)).toEqual(sent);
  });

  test("is chosen by the file's name", () => {
    for (const [name, magic] of [
      [newPath(".pcapng"), 0x0a0d0d0a],
      [newPath(".pcap"), 0xa1b23c4d],
      [newPath(""), 0xa1b23c4d],
    ] as const) {
      capture(memoryPair()[0], captureFile(name)).close();
      expect(readFileSync(name).readUInt32LE(0)).toBe(magic);
    }
  });

  test.skipIf(process.platform !== "linux")("a file that can't take the header is refused at once", () => {
    for (const bufferSize of [256, 65_536]) {
      const error = thrownBy(() => capture(memoryPair()[0], pcapngFile("/dev/full", { bufferSize })));
      expect(error.code).toBe("EIO");
    }
  });
});

describe("offloaded checksums", () => {
  const ends = { from: "10.0.0.1", to: "10.0.0.2" };
  const right = [
    tcpPacket(ends, { sourcePort: 1, destinationPort: 2, flags: 16 }, new Uint8Array(3000).fill(7)),
    udpPacket(ends, 1, 2, new Uint8Array(9)),
    echoRequest("10.0.0.1", "10.0.0.2"),
  ];
  const unfinished = right.map((packet) => {
    const bytes = packet.slice();
    if (bytes[9] !== 1) bytes.set([0x12, 0x34], bytes[9] === 6 ? 36 : 26);
    return bytes;
  });

  for (const snaplen of [262_144, 60]) {
    test(`are complete in the record, and as they were in the frame (snap length ${snaplen})`, () => {
      const path = newPath(".pcap");
      const committed: number[][] = [];
      const [left] = memoryPair({ mtu: 4000 });
      const inner: Device = Object.assign(left, {
        commit: (frame: Frame) => {
          committed.push(Array.from(frame.bytes.subarray(frame.offset, frame.offset + frame.length)));
        },
      });
      const device = capture(inner, pcapFile(path), { snaplen });
      for (const packet of unfinished) {
        const frame = device.transmit(packet.length)!;
        frame.bytes.set(packet, frame.offset);
        frame.checksumOffloaded = true;
        device.commit(frame);
      }
      device.close();
      expect(committed).toEqual(unfinished.map((packet) => Array.from(packet)));
      const recorded = readCapture(path).packets.map(({ bytes }) => Array.from(bytes));
      expect(recorded).toEqual(right.map((packet) => Array.from(packet.subarray(0, snaplen))));
    });
  }

  test("are not touched where the frame does not say so: a wrong one is recorded as wrong", () => {
    const path = newPath(".pcap");
    const device = capture(memoryPair({ mtu: 4000 })[0], pcapFile(path));
    for (const packet of unfinished) send(device, packet);
    device.close();
    expect(readCapture(path).packets.map(({ bytes }) => Array.from(bytes))).toEqual(
      unfinished.map((packet) => Array.from(packet)),
    );
  });
});

describe("rotation", () => {
  const rotated = (path: string): string[] => {
    const prefix = path.replace(/\.\w+$/, "");
    return readdirSync(directory)
      .filter((name) => join(directory, name).startsWith(`${prefix}-`))
      .sort();
  };

  for (const extension of [".pcap", ".pcapng"]) {
    test(`${extension}: by size, each file can be read by itself`, () => {
      const path = newPath(extension);
      const device = capture(memoryPair({ queueLength: 100 })[0], captureFile(path, { rotateBytes: 600 }));
      const sent: number[] = [];
      for (let i = 0; i < 20; i++) {
        send(device, new Array(100).fill(i));
        sent.push(i);
      }
      device.close();
      expect(existsSync(path)).toBe(false);
      const names = rotated(path);
      expect(names.length).toBeGreaterThan(3);
      expect(names[0]).toEndWith(`-00001${extension}`);
      const found = names.flatMap((name) => {
        const file = join(directory, name);
        expect(readFileSync(file).length).toBeLessThanOrEqual(600);
        const frames = extension === ".pcap" ? readCapture(file).packets : packets(file);
        expect(frames.length).toBeGreaterThan(0);
        return frames.map(({ bytes }) => bytes[0]);
      });
      expect(found).toEqual(sent);
    });
  }

  test("a frame that is larger than a file has one for itself", () => {
    const path = newPath();
    const device = capture(memoryPair()[0], captureFile(path, { rotateBytes: 300 }));
    for (let i = 0; i < 3; i++) send(device, new Array(1000).fill(i));
    device.close();
    expect(rotated(path).map((name) => packets(join(directory, name)).length)).toEqual([1, 1, 1]);
  });

  test("by time, with the oldest deleted, and every interface in each", () => {
    const path = newPath();
    let now = 0;
    const sink = captureFile(path, { rotateSeconds: 10, rotateFiles: 2 });
    const clock = () => now;
    const [first, second] = [0, 1].map((i) =>
      capture(memoryPair({ queueLength: 100 })[0], sink, { clock, name: `eth${i}` }),
    );
    for (now = 0; now < 60_000; now += 4_000) {
      send(first, [now / 4_000]);
      send(second, [now / 4_000]);
    }
    first.close();
    second.close();
    const names = rotated(path);
    expect(names.map((name) => name.replace(/^\d+/, ""))).toEqual(["-00004.pcapng", "-00005.pcapng"]);
    for (const name of names) {
      const file = join(directory, name);
      expect(blocks(file).filter(({ type }) => type === 1)).toHaveLength(2);
      expect(new Set(packets(file).map((packet) => packet.interface))).toEqual(new Set([0, 1]));
    }
    const [last] = packets(join(directory, names[1]));
    expect(last.bytes).toEqual([12]);
  });

  test("a directory that is gone ends the recording, not the device", () => {
    const gone = mkdtempSync(join(tmpdir(), "tapwire-gone-"));
    const errors: Error[] = [];
    const [left, right] = memoryPair();
    const sink = captureFile(join(gone, "a.pcap"), { rotateBytes: 100 });
    const device = capture(left, sink, { onError: (error) => errors.push(error) });
    send(device, new Uint8Array(80));
    rmSync(gone, { recursive: true });
    for (let i = 0; i < 3; i++) send(device, new Uint8Array(80));
    expect(receiveAll(right)).toHaveLength(4);
    device.close();
    expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining("can't be created")]);
  });

  test("refuses options that make no sense", () => {
    const bad: CaptureFileOptions[] = [
      { rotateBytes: 0 },
      { rotateBytes: 1.5 },
      { rotateSeconds: -1 },
      { rotateFiles: 3 },
      { rotateBytes: 10, rotateFiles: 0 },
    ];
    for (const given of bad) expect(thrownBy(() => captureFile(newPath(), given)).code).toBe("EINVAL");
  });
});

/** What tshark finds wrong, and how many packets it sees. */
async function tshark(path: string): Promise<{ packets: number; wrong: string[] }> {
  const prefs = ["ip", "tcp", "udp"].flatMap((protocol) => ["-o", `${protocol}.check_checksum:TRUE`]);
  const filter =
    "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0";
  const all = await Bun.$`tshark -n ${prefs} -r ${path}`.quiet().text();
  const wrong = await Bun.$`tshark -n ${prefs} -r ${path} -Y ${filter}`.quiet().text();
  return { packets: all.trim().split("\n").length, wrong: wrong.split("\n").filter((line) => line !== "") };
}

const missing = Bun.which("tshark") === null || Bun.which("capinfos") === null;
describe.skipIf(missing && !isCi(process.env.CI))("tshark", () => {
  for (const extension of [".pcap", ".pcapng"]) {
    test(`${extension}: a connection of two stacks with nothing malformed`, async () => {
      const path = newPath(extension);
      const sink = captureFile(path);
      const [left, right] = memoryPair();
      const device = capture(left, sink, { name: "left" });
      const [a, b] = [1, 2].map(
        (seed) => new Stack({ random: seededRandom(seed), maxSockets: 16, memory: 1 << 20 }),
      );
      a.addInterface({ device, addresses: ["10.0.0.1/24"] });
      b.addInterface({ device: right, addresses: ["10.0.0.2/24"] });
      const listener = a.sockets.listen({ port: 80 });
      const client = b.sockets.connect({ address: "10.0.0.1", port: 80 });
      const scratch = new Uint8Array(5000);
      for (let now = 0; now < 2000; now += 10) {
        a.poll(now);
        b.poll(now);
        if (now === 50) client.write(scratch);
        if (now === 100) listener.accept()!.read(scratch);
      }
      device.close();
      const { packets: seen, wrong } = await tshark(path);
      expect(wrong).toEqual([]);
      expect(seen).toBeGreaterThan(6);
    }, 30_000);
  }

  test("super-segments and unfinished checksums, on two interfaces of two media", async () => {
    const path = newPath();
    const sink = captureFile(path);
    const ends = { from: "10.0.0.1", to: "10.0.0.2" };
    const packet = tcpPacket(
      ends,
      { sourcePort: 1, destinationPort: 2, seq: 5, flags: 16 },
      new Uint8Array(60_000),
    );
    packet.set([0x12, 0x34], 36);
    for (const medium of ["ip", "ethernet"] as const) {
      const [left] = memoryPair({ medium, mtu: 65_535, queueLength: 4 });
      const device = capture(left, sink, { name: medium });
      const header = medium === "ip" ? [] : [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
      const frame = device.transmit(header.length + packet.length)!;
      frame.bytes.set([...header, ...packet], frame.offset);
      frame.checksumOffloaded = true;
      device.commit(frame);
    }
    sink.flush();
    const { wrong } = await tshark(path);
    expect(wrong).toEqual([]);
    const info = await Bun.$`capinfos -cEI ${path}`.quiet().text();
    expect(info).toContain("Number of interfaces in file: 2");
    expect(info).toContain("Name = ethernet");
    expect(info).toContain("Time precision = nanoseconds (9)");
    expect(info).toMatch(/Number of packets: +2/);
    const directions = await Bun.$`tshark -n -r ${path} -T fields -e frame.packet_flags_direction`
      .quiet()
      .text();
    expect(new Set(directions.trim().split("\n"))).toEqual(new Set(["0x00000002"]));
  }, 30_000);

  test("finds a checksum that is wrong, where one is", async () => {
    const path = newPath();
    const device = capture(memoryPair()[0], captureFile(path));
    const packet = udpPacket({ from: "10.0.0.1", to: "10.0.0.2" }, 1, 2, new Uint8Array(9));
    send(device, packet);
    packet[30] ^= 1;
    send(device, packet);
    device.close();
    expect((await tshark(path)).wrong).toHaveLength(1);
  }, 30_000);
});
