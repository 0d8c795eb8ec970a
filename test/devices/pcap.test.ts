import { afterAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CaptureSink, capture, LINKTYPE_ETHERNET, LINKTYPE_RAW } from "../../devices/capture.ts";
import { pcapFile } from "../../devices/capture-file.ts";
import { memoryPair } from "../../devices/memory.ts";
import { type Device, Frame } from "../../src/device.ts";
import { thrownBy } from "../support/errors.ts";
import { isCi, until } from "../support/system.ts";
import { laterTurn, receiveAll, send } from "./frames.ts";
import { echoRequest } from "./icmp.ts";

const directory = mkdtempSync(join(tmpdir(), "tapwire-pcap-"));
afterAll(() => rmSync(directory, { recursive: true }));
let files = 0;
const newPath = (): string => join(directory, `${files++}.pcap`);

/** How many descriptors of this process are the file at the path. */
const descriptorsOf = (path: string): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false; // The one that the folder was read by.
    }
  }).length;

interface Recorded {
  seconds: number;
  nanoseconds: number;
  length: number;
  bytes: number[];
}

/** A reader of its own, so that the writer is not measured with its own yardstick. */
function read(path: string): { linkType: number; snaplen: number; records: Recorded[] } {
  const bytes = readFileSync(path);
  expect(bytes.readUInt32LE(0)).toBe(0xa1b23c4d);
  expect([bytes.readUInt16LE(4), bytes.readUInt16LE(6)]).toEqual([2, 4]);
  expect([bytes.readUInt32LE(8), bytes.readUInt32LE(12)]).toEqual([0, 0]);
  const records: Recorded[] = [];
  let at = 24;
  while (at < bytes.length) {
    const captured = bytes.readUInt32LE(at + 8);
    records.push({
      seconds: bytes.readUInt32LE(at),
      nanoseconds: bytes.readUInt32LE(at + 4),
      length: bytes.readUInt32LE(at + 12),
      bytes: Array.from(bytes.subarray(at + 16, at + 16 + captured)),
    });
    at += 16 + captured;
  }
  expect(at).toBe(bytes.length);
  return { linkType: bytes.readUInt32LE(20), snaplen: bytes.readUInt32LE(16), records };
}

describe("capture to a file", () => {
  test("records every frame of both directions, with its time", () => {
    const path = newPath();
    const [left, right] = memoryPair();
    let now = 1_700_000_000_123.25;
    const device = capture(right, pcapFile(path), { clock: () => now });
    send(left, [0x45, 1, 2]);
    expect(receiveAll(device)).toEqual([[0x45, 1, 2]]);
    now += 1000.5;
    send(device, [0x45, 3]);
    expect(receiveAll(left)).toEqual([[0x45, 3]]);
    device.close();
    expect(read(path)).toEqual({
      linkType: LINKTYPE_RAW,
      snaplen: 262_144,
      records: [
        { seconds: 1_700_000_000, nanoseconds: 123_250_000, length: 3, bytes: [0x45, 1, 2] },
        { seconds: 1_700_000_001, nanoseconds: 123_750_000, length: 2, bytes: [0x45, 3] },
      ],
    });
  });

  test("a time that rounds up to the next second stays a time", () => {
    const path = newPath();
    const [, right] = memoryPair();
    const device = capture(right, pcapFile(path), { clock: () => 1999.9999999 });
    send(device, [1]);
    device.close();
    expect(read(path).records[0]).toMatchObject({ seconds: 2, nanoseconds: 0 });
  });

  test("uses the system's clock by default", () => {
    const path = newPath();
    const [, right] = memoryPair();
    const device = capture(right, pcapFile(path));
    const before = Date.now();
    send(device, [1]);
    const after = Date.now();
    device.close();
    const [record] = read(path).records;
    const time = record.seconds * 1000 + record.nanoseconds / 1e6;
    expect(time).toBeGreaterThan(before - 50);
    expect(time).toBeLessThan(after + 50);
  });

  test("keeps the first bytes of long frames, and says how long they were", () => {
    const path = newPath();
    const [left, right] = memoryPair();
    const device = capture(right, pcapFile(path), { snaplen: 4 });
    send(device, [1, 2, 3, 4, 5, 6]);
    send(device, [7]);
    expect(receiveAll(left)[0]).toHaveLength(6);
    device.close();
    expect(read(path)).toMatchObject({
      snaplen: 4,
      records: [
        { length: 6, bytes: [1, 2, 3, 4] },
        { length: 1, bytes: [7] },
      ],
    });
    expect(thrownBy(() => capture(right, pcapFile(newPath()), { snaplen: 0 })).code).toBe("EINVAL");
  });

  test("records what was sent, however the frame is used afterwards, and its final length", () => {
    const path = newPath();
    const [left] = memoryPair();
    // A device may do with a frame what it likes once it has it.
    const inner: Device = Object.assign(left, { commit: (frame: Frame) => void frame.bytes.fill(0xdd) });
    const device = capture(inner, pcapFile(path));
    const out = device.transmit(4)!;
    out.bytes.set([1, 2, 3, 4], out.offset);
    out.length = 2;
    device.commit(out);
    device.close();
    expect(read(path).records.map(({ bytes }) => bytes)).toEqual([[1, 2]]);
  });

  test("writes many frames through a small buffer, also frames that are larger than it", () => {
    const path = newPath();
    const [left, right] = memoryPair({ mtu: 1500 });
    const device = capture(right, pcapFile(path, { bufferSize: 256 }));
    const sent: number[][] = [];
    for (let length = 1; length <= 1500; length += 13) {
      const frame = Array.from({ length }, (_, i) => (i + length) & 255);
      sent.push(frame);
      send(device, frame);
    }
    expect(receiveAll(left)).toEqual(sent);
    device.close();
    expect(read(path).records.map(({ bytes }) => bytes)).toEqual(sent);
  });

  test("a file that is read meanwhile has a header at once, and frames after a moment or a flush", async () => {
    const path = newPath();
    const [, right] = memoryPair();
    const sink = pcapFile(path, { flushAfterMs: 20 });
    const device = capture(right, sink);
    expect(read(path).records).toEqual([]);
    send(device, [1]);
    expect(read(path).records).toHaveLength(0);
    sink.flush();
    expect(read(path).records).toHaveLength(1);
    send(device, [2]);
    await until("the second frame in the file", () => read(path).records.length === 2, 1000);
    device.close();
    device.close();
  });

  test("frames reach the file in time where no timer ever runs", () => {
    const path = newPath();
    const [, right] = memoryPair();
    let now = 0;
    const device = capture(right, pcapFile(path), { clock: () => now });
    for (now = 0; now <= 100; now += 10) send(device, [now]);
    expect(read(path).records).toHaveLength(10);
    device.close();
  });

  test("a process that ends without closing loses nothing", async () => {
    const path = newPath();
    const script = `
      const { memoryPair, capture, pcapFile } = await import(${JSON.stringify(`${import.meta.dir}/../../devices/index.ts`)});
      const device = capture(memoryPair()[0], pcapFile(${JSON.stringify(path)}));
      device.commit(device.transmit(9));
    `;
    const child = Bun.spawn([process.execPath, "-e", script], { stderr: "inherit" });
    expect(await child.exited).toBe(0);
    expect(read(path).records).toHaveLength(1);
  });

  test("two devices share a file; it is closed with the second", () => {
    const path = newPath();
    const sink = pcapFile(path);
    const [left, right] = memoryPair().map((end) => capture(end, sink));
    send(left, [1]);
    receiveAll(right);
    left.close();
    send(right, [2]);
    right.close();
    expect(read(path).records.map(({ bytes }) => bytes)).toEqual([[1], [1], [2]]);
  });

  test("refuses frames of two media in one file", () => {
    const path = newPath();
    const sink = pcapFile(path);
    const device = capture(memoryPair({ medium: "ethernet" })[0], sink);
    expect(thrownBy(() => capture(memoryPair()[0], sink)).code).toBe("EINVAL");
    device.close();
    expect(read(path).linkType).toBe(LINKTYPE_ETHERNET);
  });

  test("says that the file can't be created", () => {
    const error = thrownBy(() => pcapFile(join(directory, "missing", "frames.pcap")));
    expect(error.code).toBe("ENOENT");
    expect(error.message).toContain("choose a directory that exists");
  });

  test.skipIf(Bun.which("tcpdump") === null && !isCi(process.env.CI))("tcpdump reads it", async () => {
    const path = newPath();
    const device = capture(memoryPair()[0], pcapFile(path), { clock: () => 1_700_000_000_123.25 });
    send(device, echoRequest("192.168.69.1", "192.168.69.100"));
    device.close();
    const out = await Bun.$`tcpdump --nano -n -tt -vv -r ${path}`.quiet().text();
    expect(out).toContain("1700000000.12325");
    expect(out).toContain("192.168.69.1 > 192.168.69.100: ICMP echo request, id 7, seq 1, length 44");
    expect(out).not.toContain("bad");
  });
});

describe("a capture keeps the Device contract", () => {
  const collector = (): CaptureSink & { frames: number; ended: number } => ({
    frames: 0,
    ended: 0,
    begin: () => 0,
    record() {
      this.frames++;
    },
    flush() {},
    end() {
      this.ended++;
    },
  });

  test("a sink that fails is reported once, and the device works on", () => {
    const errors: Error[] = [];
    const sink = collector();
    sink.record = () => {
      throw new Error("disk full");
    };
    const [left, right] = memoryPair();
    const device = capture(right, sink, { onError: (error) => void errors.push(error) });
    for (let i = 0; i < 3; i++) send(device, [i]);
    send(left, [9]);
    expect(receiveAll(left)).toEqual([[0], [1], [2]]);
    expect(receiveAll(device)).toEqual([[9]]);
    device.close();
    expect(errors.map(({ message }) => message)).toEqual(["disk full"]);
    expect(sink.ended).toBe(1);
  });

  test.skipIf(process.platform !== "linux")("a file that has failed gives back what it had open", () => {
    const errors: string[] = [];
    const path = newPath();
    // Descriptors of this file only: what ran before may still be closing some of its own.
    const held = () => [process.listenerCount("exit"), descriptorsOf(path)];
    const before = held();
    Bun.spawnSync(["mkfifo", path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const sink = pcapFile(path, { bufferSize: 256 });
    const onError = (error: Error) => void errors.push(error.message);
    const devices = memoryPair().map((end) => capture(end, sink, { onError }));
    closeSync(reader);
    expect(descriptorsOf(path)).toBe(1);
    for (const device of devices) for (let i = 0; i < 9; i++) send(device, new Uint8Array(100));
    expect(errors).toHaveLength(2);
    expect(held()).toEqual(before);
    for (const device of devices) device.close();
    expect(errors).toHaveLength(2);
  });

  test("a file that was closed is not begun again", () => {
    const path = newPath();
    const sink = pcapFile(path);
    capture(memoryPair()[0], sink).close();
    const error = thrownBy(() => capture(memoryPair()[0], sink));
    expect([error.code, error.message]).toEqual([
      "EINVAL",
      `The capture file ${path} is closed: make another one.`,
    ]);
  });

  test.skipIf(process.platform !== "linux")("a file that can't take the header is refused at once", () => {
    const error = thrownBy(() => capture(memoryPair()[0], pcapFile("/dev/full")));
    expect(error.code).toBe("EIO");
    expect(error.message).toContain("/dev/full can't be written");
  });

  for (const inBackground of [false, true]) {
    const when = inBackground ? "in the background" : "in a frame";
    test.skipIf(process.platform === "win32")(
      `a file that fails later, ${when}, is reported once`,
      async () => {
        const path = newPath();
        await Bun.$`mkfifo ${path}`.quiet();
        // Who opens a pipe for writing waits for a reader, and when that is gone writing fails.
        const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
        const errors: Error[] = [];
        const sink = pcapFile(
          path,
          inBackground ? { flushAfterMs: 1 } : { flushAfterMs: 1e9, bufferSize: 256 },
        );
        const [left, right] = memoryPair();
        // A clock that stands still: only the timer flushes.
        const device = capture(right, sink, { onError: (error) => void errors.push(error), clock: () => 0 });
        closeSync(reader);
        let sent = 0;
        await until("the error", () => {
          send(device, new Uint8Array(100));
          sent++;
          return errors.length === 1;
        });
        send(device, [1]);
        expect(receiveAll(left)).toHaveLength(sent + 1);
        device.close();
        expect(errors.map(({ message }) => message)).toEqual([
          expect.stringMatching(/EPIPE.*the recording ends/),
        ]);
      },
    );
  }

  test("forwards readiness, waiting, capabilities and close", async () => {
    const [left, right] = memoryPair({ queueLength: 1, mtu: 700 });
    const sink = collector();
    const device = capture(right, sink);
    expect(device.capabilities).toEqual(right.capabilities);
    expect(device.wait).toBeUndefined();
    const withWait: Device = Object.assign(memoryPair()[0], { wait: (timeoutMs: number) => timeoutMs === 3 });
    expect(capture(withWait, collector()).wait!(3)).toBe(true);
    let readable = 0;
    let writable = 0;
    device.onReadable(() => readable++);
    device.onWritable(() => writable++);
    expect(device.receive(new Frame(new Uint8Array(0)))).toBe(false);
    expect(sink.frames).toBe(0);
    send(left, [1]);
    send(device, [2]);
    expect(device.transmit(1)).toBeNull();
    receiveAll(left);
    await laterTurn();
    expect([readable, writable]).toEqual([1, 1]);
    expect(receiveAll(device)).toEqual([[1]]);
    expect(sink.frames).toBe(2);
    device.close();
    device.close();
    expect(sink.ended).toBe(1);
    send(left, [3]);
    expect(receiveAll(device)).toEqual([]);
    expect(sink.frames).toBe(2);
  });
});
