import { afterEach, describe, expect, test } from "bun:test";
import { Duplex, duplexPair } from "node:stream";
import { type Framing, type StreamDevice, streamDevice } from "../../devices/index.ts";
import { type Device, type DeviceEvent, Frame, open, StackError } from "../../src/index.ts";
import { until } from "../host/pair.ts";
import { icmpPacket } from "../support/packets.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const echo = (size = 8) => icmpPacket({ from: "10.0.0.1", to: "10.0.0.2" }, 8, 0, 1, new Uint8Array(size));

/** Sends a packet of this length over the device; `false` where it is full. */
function send(device: Device, length: number, fill = 1): boolean {
  const frame = device.transmit(length);
  if (frame === null) return false;
  frame.bytes.fill(fill, frame.offset, frame.offset + length);
  device.commit(frame);
  return true;
}

function received(device: Device): number {
  const frame = new Frame(new Uint8Array(0));
  return device.receive(frame) ? frame.length : -1;
}

function eventsOf(device: Device): DeviceEvent[] {
  const events: DeviceEvent[] = [];
  device.onEvent?.((event) => events.push(event));
  return events;
}

describe("when the stream is slow", () => {
  test("transmit returns null, and onWritable calls back when it goes on", async () => {
    let taken = 0;
    let goOn = Promise.withResolvers<void>();
    const device = streamDevice(
      {
        send: () => {
          taken++;
          return goOn.promise;
        },
        receive() {},
      },
      { queueLength: 4 },
    );
    let writable = 0;
    device.onWritable(() => writable++);
    let sent = 0;
    for (let tries = 0; tries < 50; tries++) {
      if (send(device, 100)) sent++;
      await Promise.resolve();
    }
    // One is on its way, and four wait.
    expect([taken, sent, writable]).toEqual([1, 5, 0]);
    const first = goOn;
    goOn = Promise.withResolvers();
    first.resolve();
    await until(() => writable === 1);
    expect(send(device, 100)).toBe(true);
    device.close();
  });

  test.each(["Duplex", "web streams"])("memory stays bounded: %s", async (kind) => {
    let waiting = 0;
    const stalled = new Duplex({ read() {}, write: (chunk) => void (waiting += chunk.length) });
    const writable = new WritableStream<Uint8Array>({
      write: (chunk) => {
        waiting += chunk.length;
        return new Promise(() => {});
      },
    });
    const device =
      kind === "Duplex"
        ? streamDevice(stalled, { framing: "length16" })
        : streamDevice({ readable: new ReadableStream(), writable });
    let sent = 0;
    for (let i = 0; i < 5_000; i++) {
      if (send(device, 1_000)) sent++;
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    // The queue, and what the stream was given before it said that this is enough.
    expect(sent).toBeLessThan(256 + 200);
    expect(sent).toBeGreaterThanOrEqual(256);
    device.close();
  });
});

describe("when the source is fast", () => {
  /** What a stream gives if nobody stops it: `chunks` of ten packets each. */
  function flood(chunks: number) {
    const packet = new Uint8Array(1_002);
    packet.set([1_000 >> 8, 1_000 & 0xff, 0x45]);
    const chunk = Buffer.concat(Array.from({ length: 10 }, () => packet));
    let read = 0;
    const next = () => (read++ < chunks ? chunk : null);
    return { next, read: () => read };
  }

  test.each(["Duplex", "web streams"])("it is paused, and nothing is lost: %s", async (kind) => {
    const source = flood(2_000);
    const duplex = new Duplex({
      read: () => void duplex.push(source.next()),
      write: (_, _e, done) => done(),
    });
    const web = () => ({
      readable: new ReadableStream<Uint8Array>({
        pull(controller) {
          const chunk = source.next();
          if (chunk === null) controller.close();
          else controller.enqueue(chunk);
        },
      }),
      writable: new WritableStream<Uint8Array>(),
    });
    const device = streamDevice(kind === "Duplex" ? duplex : web(), {
      framing: "length16",
      queueLength: 64,
    });
    await Bun.sleep(20);
    // The queue of 64 is full: seven chunks, and some that the stream keeps itself.
    expect(source.read()).toBeLessThan(20);
    let count = 0;
    for (let idle = 0; idle < 20; idle++) {
      while (received(device) === 1_000) {
        count++;
        idle = 0;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(count).toBe(20_000);
    expect(device.counts).toMatchObject({ pushed: 20_000, tooLarge: 0, tooSmall: 0 });
  });

  test("a chunk of any size is taken, bit by bit", async () => {
    const duplex = new Duplex({ read() {}, write: (_, _e, done) => done() });
    const device = streamDevice(duplex, { framing: "ip", queueLength: 64 });
    const events = eventsOf(device);
    duplex.push(Buffer.concat(Array.from({ length: 2_000 }, () => echo(800))));
    duplex.push(echo(9));
    const lengths: number[] = [];
    for (let idle = 0; idle < 20; idle++) {
      for (let length = received(device); length !== -1; length = received(device)) {
        lengths.push(length);
        idle = 0;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(events).toEqual([]);
    expect(lengths).toHaveLength(2_001);
    expect(lengths.at(-1)).toBe(37);
  });

  test("what arrived before the end comes before it, although there was no room", async () => {
    const duplex = new Duplex({ read() {}, write: (_, _e, done) => done() });
    const device = streamDevice(duplex, { framing: "ip", queueLength: 2 });
    const events = eventsOf(device);
    duplex.push(Buffer.concat([echo(), echo(), echo(), echo(), echo()]));
    await Bun.sleep(5);
    duplex.destroy();
    await Bun.sleep(5);
    expect(events).toEqual([]);
    let count = 0;
    for (let i = 0; i < 10; i++) {
      while (received(device) !== -1) count++;
      await Bun.sleep(1);
    }
    expect([count, events]).toEqual([5, [{ type: "removed" }]]);
  });

  test("functions cannot be paused: packets are lost, and deliver says so", () => {
    let deliver: (bytes: Uint8Array) => boolean = () => true;
    const functions = { send() {}, receive: (to: typeof deliver) => void (deliver = to) };
    const device = streamDevice(functions, { queueLength: 4 });
    const results = Array.from({ length: 1_000 }, () => deliver(echo()));
    expect(results.filter((taken) => taken)).toHaveLength(4);
    expect(device.counts).toMatchObject({ pushed: 4, refused: 996 });
    const framed = streamDevice(functions, { queueLength: 2, framing: "ip" });
    expect(deliver(Buffer.concat([echo(), echo(), echo(), echo().subarray(0, 9)]))).toBe(false);
    expect(received(framed)).toBe(36);
    // The one that was cut in two is found all the same.
    expect(deliver(echo().subarray(9))).toBe(true);
    expect([received(framed), received(framed), received(framed)]).toEqual([36, 36, -1]);
  });

  test("a stream that goes on although it is paused is ended before it fills the memory", async () => {
    const rude = Object.assign(new Duplex({ read() {}, write: (_, _e, done) => done() }), {
      pause: () => rude,
    });
    const device = streamDevice(rude, { framing: "ip", queueLength: 1 });
    const events = eventsOf(device);
    const chunk = Buffer.concat(Array.from({ length: 100 }, () => echo(600)));
    for (let i = 0; i < 100 && events.length === 0; i++) {
      rude.emit("data", chunk);
      await Promise.resolve();
    }
    expect(events.map((event) => event.type)).toEqual(["error", "removed"]);
    expect(events[0]).toMatchObject({ error: { code: "ENOBUFS" } });
  });
});

describe("the end", () => {
  const later = () => new Promise((resolve) => setTimeout(resolve, 5));

  test("of a Duplex removes the device, and what is sent then is lost", async () => {
    const [one, other] = duplexPair({ objectMode: true });
    const device = streamDevice(one, { queueLength: 4 });
    const events = eventsOf(device);
    other.write(echo());
    other.end();
    await later();
    expect(events).toEqual([{ type: "removed" }]);
    expect(received(device)).toBe(36);
    for (let i = 0; i < 20; i++) {
      expect(send(device, 100)).toBe(true);
      await Promise.resolve();
    }
    await later();
    expect(device.counts.lost).toBe(20);
    expect(one.destroyed).toBe(true);
    device.close();
  });

  test("of a Duplex by an error says which", async () => {
    const [one] = duplexPair({ objectMode: true });
    const device = streamDevice(one);
    one.destroy(new Error("the cable burnt"));
    await later();
    const events = eventsOf(device);
    await later();
    expect(events.map(({ type }) => type)).toEqual(["error", "removed"]);
    const [event] = events;
    if (event.type !== "error") throw new Error("no error");
    expect(event.error).toBeInstanceOf(StackError);
    expect([event.error.code, event.error.message]).toEqual([
      "EIO",
      "the stream below the device failed: the cable burnt",
    ]);
  });

  test.each<[string, () => StreamDevice, string]>([
    ["a readable that closes", () => overWeb(new ReadableStream({ start: (c) => c.close() })), "removed"],
    [
      "a readable that fails",
      () => overWeb(new ReadableStream({ start: (c) => c.error("x") })),
      "error removed",
    ],
    [
      "a writable that fails",
      () => overWeb(new ReadableStream(), new WritableStream({ start: (c) => c.error("x") })),
      "error removed",
    ],
    ["functions that end", () => overFunctions((end) => end()), "removed"],
    ["functions that fail", () => overFunctions((end) => end(new Error("x"))), "error removed"],
    [
      "functions that throw",
      () =>
        overFunctions(
          () => {},
          () => {
            throw new Error("x");
          },
        ),
      "error removed",
    ],
    [
      "functions that reject",
      () =>
        overFunctions(
          () => {},
          () => Promise.reject(new Error("x")),
        ),
      "error removed",
    ],
    ["a stream of texts", () => textStream(), "error removed"],
    ["bytes that are no packets", () => overBytes("HTTP/1.1 400 Bad Request\r\n", "ip"), "error removed"],
    ["a length that is too large", () => overBytes("\xff\xff\xff\xff", "length32"), "error removed"],
  ])("%s", async (_, make, expected) => {
    const device = make();
    const events = eventsOf(device);
    send(device, 100);
    await later();
    expect(events.map(({ type }) => type).join(" ")).toBe(expected);
    device.close();
  });

  function overWeb(readable: ReadableStream<Uint8Array>, writable = new WritableStream<Uint8Array>()) {
    return streamDevice({ readable, writable });
  }

  function overFunctions(start: (end: (error?: unknown) => void) => void, sending: () => unknown = () => {}) {
    return streamDevice({ send: sending, receive: (_, end) => start(end) });
  }

  function overBytes(text: string, framing: Framing) {
    const [one, other] = duplexPair();
    other.write(Buffer.from(text, "latin1"));
    return streamDevice(one, { framing });
  }

  function textStream() {
    const [one, other] = duplexPair();
    one.setEncoding("utf8");
    other.write("text");
    return streamDevice(one);
  }

  test("close sends what waits, and closes the stream", async () => {
    const [one, other] = duplexPair();
    const device = streamDevice(one, { framing: "ip" });
    const got = (async () => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of other) chunks.push(chunk);
      return Buffer.concat(chunks).length;
    })();
    for (let i = 0; i < 200; i++) send(device, 1_000, 0x45);
    device.close();
    device.close();
    expect(await got).toBe(200_000);
    await later();
    expect(one.destroyed).toBe(true);
    expect(send(device, 100)).toBe(true);
  });

  test("close in the turn in which something was sent lets a slow stream take it", async () => {
    let taken = 0;
    const slow = new Duplex({
      read() {},
      write: (chunk, _, done) =>
        void setTimeout(() => {
          taken += chunk.length;
          done();
        }, 20),
      writableHighWaterMark: 1 << 20,
    });
    const device = streamDevice(slow);
    // So that the device is waiting for packets.
    await later();
    for (let i = 0; i < 3; i++) send(device, 100);
    device.close();
    await until(() => slow.destroyed, 1_000);
    expect(taken).toBe(300);
  });

  test("close gives up on a stream that takes nothing", async () => {
    const stalled = new Duplex({ read() {}, write() {}, writableHighWaterMark: 1 });
    const device = streamDevice(stalled, { framing: "ip" });
    const events = eventsOf(device);
    send(device, 1_000);
    await later();
    device.close();
    await later();
    expect(stalled.destroyed).toBe(false);
    await until(() => stalled.destroyed, 3_000);
    expect(events).toEqual([]);
  });

  test("close calls the functions' close", async () => {
    let closed = 0;
    const device = streamDevice({ send() {}, receive() {}, close: () => closed++ });
    device.close();
    device.close();
    await later();
    expect(closed).toBe(1);
  });

  test("of a tunnel: the host is told, and its connections time out instead of hanging", async () => {
    const [one, other] = duplexPair({ objectMode: true });
    const events: string[] = [];
    const host = await open({
      device: streamDevice(one),
      addresses: ["10.0.0.2/24"],
      onDeviceEvent: (event) => events.push(event.type),
    });
    cleanups.push(() => host.close({ timeout: 0 }));
    other.end();
    await until(() => events.includes("removed"));
    await expect(host.ping("10.0.0.1", { timeout: 10 })).rejects.toThrow("did not answer");
  });
});

test("options that do not go together are refused", () => {
  const [one] = duplexPair();
  const wrong = (options: object) => {
    try {
      streamDevice(one, options);
      return "nothing thrown";
    } catch (error) {
      return error instanceof StackError ? error.code : String(error);
    }
  };
  expect(wrong({ framing: "ip", medium: "ethernet" })).toBe("EINVAL");
  expect(wrong({ framing: "length64" })).toBe("EINVAL");
  expect(wrong({ mtu: 3 })).toBe("EINVAL");
});
