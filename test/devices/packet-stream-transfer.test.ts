import { afterEach, describe, expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { duplexPair } from "node:stream";
import {
  type Framing,
  overWebSocket,
  type PacketFunctions,
  type StreamDevice,
  type StreamDeviceOptions,
  streamDevice,
} from "../../devices/index.ts";
import { type Device, type Host, open } from "../../src/index.ts";
import { pattern, readAll, sha256, until } from "../host/pair.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function hostOn(device: Device, address: string): Promise<Host> {
  const host = await open({ device, addresses: [`${address}/24`] });
  cleanups.push(() => host.close({ timeout: 20 }));
  return host;
}

/** Sends `size` bytes each way at once, and compares. Where the link can be paused, no packet may be lost. */
async function transfer(one: StreamDevice, other: StreamDevice, size: number, pauses = true): Promise<void> {
  const [server, client] = await Promise.all([hostOn(one, "10.0.0.1"), hostOn(other, "10.0.0.2")]);
  const listener = server.listen({ port: 7 });
  const [near, far] = await Promise.all([
    client.connect({ address: "10.0.0.1", port: 7, timeout: 5_000 }),
    listener.accept(),
  ]);
  const [up, down] = [pattern(size, 1), pattern(size, 2)];
  const reading = Promise.all([readAll(near), readAll(far)]);
  await Promise.all([near.write(up).then(() => near.shutdown()), far.write(down).then(() => far.shutdown())]);
  const [gotDown, gotUp] = await reading;
  expect([sha256(gotUp), sha256(gotDown)]).toEqual([sha256(up), sha256(down)]);
  const isLossless = () =>
    one.counts.taken === other.counts.pushed && other.counts.taken === one.counts.pushed;
  if (pauses) await until(isLossless);
}

/** Two web streams whose chunks arrive as they were written. */
function webPair(highWaterMark = 4) {
  const strategy = new CountQueuingStrategy({ highWaterMark });
  const [a, b] = [1, 2].map(() => new TransformStream<Uint8Array, Uint8Array>({}, strategy, strategy));
  return [
    { readable: a.readable, writable: b.writable },
    { readable: b.readable, writable: a.writable },
  ] as const;
}

/** Two TCP sockets of this machine's that are connected. */
async function socketPair(): Promise<[Socket, Socket]> {
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer((socket) => accepted.resolve(socket)).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  const near = connect(port, "127.0.0.1");
  const far = await accepted.promise;
  server.close();
  return [near, far];
}

/** Functions that hand each packet to the other's in a later turn, and take so long for it. */
function functionPair(delayMs = -1): [PacketFunctions, PacketFunctions] {
  const delivers: ((bytes: Uint8Array) => boolean)[] = [];
  const make = (own: number): PacketFunctions => ({
    send(bytes) {
      if (delayMs < 0) return void queueMicrotask(() => delivers[1 - own](bytes));
      return Bun.sleep(delayMs).then(() => void delivers[1 - own](bytes));
    },
    receive(deliver) {
      delivers[own] = deliver;
    },
  });
  return [make(0), make(1)];
}

describe("a transfer both ways over", () => {
  test.each<[string, StreamDeviceOptions]>([
    ["packets", {}],
    ["packets of a large MTU", { mtu: 16_000 }],
    ["packets of the largest MTU", { mtu: 65_535 }],
    ["bytes, ip", { framing: "ip" }],
    ["bytes, length16, a large MTU", { framing: "length16", mtu: 16_000 }],
    ["bytes, length32", { framing: "length32" }],
    ["bytes, length32, a queue of 1", { framing: "length32", queueLength: 1 }],
    ["Ethernet frames", { medium: "ethernet", framing: "length32" }],
  ])("a pair of Duplexes: %s", async (_, options) => {
    // With "packet" each chunk has to arrive as it is.
    const objectMode = options.framing === undefined;
    const [one, other] = duplexPair({ objectMode });
    await transfer(streamDevice(one, options), streamDevice(other, options), 3_000_000);
  });

  test.each<Framing>(["ip", "length16", "length32"])("a TCP socket of the kernel's: %s", async (framing) => {
    const [one, other] = await socketPair();
    await transfer(streamDevice(one, { framing }), streamDevice(other, { framing }), 3_000_000);
  });

  test.each<[string, StreamDeviceOptions]>([
    ["packets", { mtu: 16_000 }],
    ["bytes", { framing: "ip" }],
  ])("a pair of web streams: %s", async (_, options) => {
    const [one, other] = webPair();
    await transfer(streamDevice(one, options), streamDevice(other, options), 3_000_000);
  });

  test("two functions", async () => {
    const [one, other] = functionPair();
    await transfer(streamDevice(one), streamDevice(other), 3_000_000, false);
  });

  test("two functions that take their time", async () => {
    const [one, other] = functionPair(1);
    const options = { mtu: 65_535 };
    await transfer(streamDevice(one, options), streamDevice(other, options), 1_000_000, false);
  });

  test("a WebSocket", async () => {
    // The server's side has a WebSocket of another kind: two functions.
    const side = Promise.withResolvers<Bun.ServerWebSocket<undefined>>();
    let drained = Promise.withResolvers<void>();
    let deliver: (bytes: Uint8Array) => boolean = () => false;
    let end: () => void = () => {};
    const server = Bun.serve({
      port: 0,
      fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no", { status: 400 })),
      websocket: {
        open: (socket) => side.resolve(socket),
        message: (_, data) => void (data instanceof Uint8Array && deliver(data)),
        drain: () => drained.resolve(),
        close: () => end(),
      },
    });
    cleanups.push(() => server.stop(true));
    const far = streamDevice(overWebSocket(new WebSocket(`ws://localhost:${server.port}/`)), { mtu: 9_000 });
    const socket = await side.promise;
    const near = streamDevice(
      {
        send(bytes) {
          if (socket.send(bytes) !== -1) return undefined;
          drained = Promise.withResolvers();
          return drained.promise;
        },
        receive(toDevice, toEnd) {
          [deliver, end] = [toDevice, toEnd];
        },
        close: () => socket.close(),
      },
      { mtu: 9_000 },
    );
    await transfer(near, far, 3_000_000, false);
    far.close();
    await until(() => socket.readyState === 3);
  });
});
