import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { type Device, Frame } from "../../src/device.ts";
import { READABLE, type TcpSocket } from "../../src/index.ts";
import { randomBelow, seededRandom } from "../../src/random.ts";
import { connected, pairOn, runUntil } from "../support/transfer.ts";

/** Where a device keeps its frames for a while, text is read from them, and only what is not read is stored. */

/** Keeps the frames of a batch, and spoils them when the next batch begins. */
class SpoilingDevice implements Device {
  readonly capabilities: Device["capabilities"];
  private readonly device: Device;
  private readonly kept: Frame[] = [];

  constructor(device: Device) {
    this.device = device;
    this.capabilities = device.capabilities;
  }

  receive(frame: Frame): boolean {
    for (const { bytes, offset, length } of this.kept.splice(0)) bytes.fill(0xee, offset, offset + length);
    return this.receiveMore(frame);
  }

  receiveMore(frame: Frame): boolean {
    const own = new Frame(new Uint8Array(0));
    // The first one of a batch gives the others back, which are spoilt by then.
    if (!(this.kept.length === 0 ? this.device.receive(own) : this.device.receiveMore!(own))) return false;
    this.kept.push(own);
    Object.assign(frame, own);
    return true;
  }

  transmit(length: number): Frame | null {
    return this.device.transmit(length);
  }

  commit(frame: Frame): void {
    this.device.commit(frame);
  }

  onReadable(): void {}
  onWritable(): void {}
  close(): void {
    this.device.close();
  }
}

const TOTAL = 600_000;
const TEXT = Uint8Array.from({ length: TOTAL }, (_, i) => (i * 31 + (i >> 8)) & 255);

const spoiling = (options = {}) => {
  const [left, right] = memoryPair(options);
  return pairOn(new SpoilingDevice(left), new SpoilingDevice(right), { memory: 1 << 20, maxSockets: 16 });
};

/** Writes as much of `TEXT` as there is room for, whenever there is. */
function writeAll(socket: TcpSocket): void {
  let sent = 0;
  const write = () => {
    if (sent < TOTAL) sent += socket.write(TEXT, sent);
  };
  socket.handler = write;
  write();
}

for (const [name, link] of [
  ["segments", {}],
  ["super-segments", { offload: true }],
  ["segments over Ethernet", { medium: "ethernet", checksumOffload: true }],
] as const) {
  describe(`text of ${name} arrives as it was sent`, () => {
    test("where handlers read it", () => {
      const pair = spoiling(link);
      const { client, server } = connected(pair);
      const got = new Uint8Array(TOTAL);
      let received = 0;
      server.handler = (events) => {
        if (!(events & READABLE)) return;
        for (let count = -1; count !== 0; received += count) count = server.read(got, received);
      };
      writeAll(client);
      runUntil(pair, () => received === TOTAL);
      expect(Buffer.compare(got, TEXT)).toBe(0);
      // Never stored.
      const { pool } = pair.server.sockets.context;
      expect(pool.bytes.every((byte) => byte === 0)).toBe(true);
      expect(pool.freePages).toBe(pool.pageCount);
    });

    test("where they leave some of it, or all, or look at it, or others read between polls", () => {
      const pair = spoiling(link);
      const random = seededRandom(5);
      const pairs = [80, 81, 82].map((port) => connected(pair, port));
      const flows = pairs.map(({ client, server }) => ({
        client,
        server,
        got: new Uint8Array(TOTAL),
        received: 0,
      }));
      for (const flow of flows) {
        const { server, got } = flow;
        const take = () => {
          const kind = randomBelow(random, 6);
          if (kind === 0) return;
          const most = Math.min(1 + randomBelow(random, 90_000), TOTAL - flow.received);
          if (kind < 4) {
            flow.received += server.read(got, flow.received, most);
            return;
          }
          server.consume((bytes, offset, length) => {
            const count = Math.min(length, most);
            got.set(bytes.subarray(offset, offset + count), flow.received);
            bytes.fill(0xdd, offset, offset + count);
            flow.received += count;
            return count;
          });
        };
        server.handler = (events) => {
          if (events & READABLE) take();
        };
        writeAll(flow.client);
      }
      runUntil(pair, () => {
        for (const flow of flows) {
          if (randomBelow(random, 3) > 0) continue;
          const { server, got } = flow;
          if (server.readableBytes > 0) flow.received += server.read(got, flow.received);
        }
        return flows.every(({ received }) => received === TOTAL);
      });
      for (const { got } of flows) expect(Buffer.compare(got, TEXT)).toBe(0);
    });

    test("where the handler throws", () => {
      const pair = spoiling(link);
      const { client, server } = connected(pair);
      let thrown = 0;
      server.handler = () => {
        thrown++;
        throw new Error("the program's mistake");
      };
      writeAll(client);
      const got = new Uint8Array(TOTAL);
      let received = 0;
      for (let step = 0; received < TOTAL; step++) {
        if (step > 10_000) throw new Error(`${received} bytes arrived`);
        try {
          pair.step();
        } catch (error) {
          expect(String(error)).toContain("the program's mistake");
        }
        if (step % 3 === 0 && server.readableBytes > 0) received += server.read(got, received);
      }
      expect(Buffer.compare(got, TEXT)).toBe(0);
      expect(thrown).toBeGreaterThan(5);
    });
  });
}

test("what a closed device has brought can still be read, whatever the other end sends then", () => {
  const [left, right] = memoryPair({ offload: true });
  const pair = pairOn(left, right);
  const { client, server } = connected(pair);
  const got = new Uint8Array(TOTAL);
  let received = 0;
  server.handler = (events) => {
    if (!(events & READABLE) || received > 0) return;
    left.close();
    // The other end would fill the same places.
    for (let i = 0; i < 300; i++) {
      const frame = right.transmit(60_000);
      if (frame === null) break;
      frame.bytes.fill(0xee, frame.offset, frame.offset + frame.length);
      right.commit(frame);
    }
    received = server.read(got);
  };
  client.write(TEXT);
  runUntil(pair, () => received > 0);
  expect(received).toBeGreaterThan(10_000);
  expect(Buffer.compare(got.subarray(0, received), TEXT.subarray(0, received))).toBe(0);
});
