import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type FuzzOptions, fuzz } from "../../devices/fuzz.ts";
import { MUTATIONS } from "../../devices/fuzz-mutate.ts";
import { memoryPair } from "../../devices/memory.ts";
import { replay } from "../../devices/replay.ts";
import { type Device, Frame } from "../../src/device.ts";
import { OK } from "../../src/errors.ts";
import { Stack, type TcpSocket } from "../../src/index.ts";
import { seededRandom } from "../../src/random.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { checkIpv4 } from "../../src/wire/ipv4.ts";
import { checksumField, findTransport, TransportPlace, transportChecksum } from "../../src/wire/offload.ts";
import { thrownBy } from "../support/errors.ts";
import { tcpPacket, udpPacket } from "../support/packets.ts";
import { connected, pairOn, pollAll, Receiver, runUntil, Sender } from "../support/transfer.ts";
import { laterTurn, receiveAll, receiveBytes, send, withEvents } from "./frames.ts";

const ends = { from: "10.0.0.1", to: "10.0.0.2" };
const packets = [
  tcpPacket(
    ends,
    { sourcePort: 1, destinationPort: 2, seq: 5, flags: 16, window: 9 },
    new Uint8Array(300).fill(7),
  ),
  tcpPacket(ends, { sourcePort: 1, destinationPort: 2, seq: 5, flags: 2, mss: 1460, windowScale: 7 }),
  udpPacket(ends, 53, 53, new Uint8Array(100).fill(8)),
];

const MTU = 360;

/** `count` frames through a fuzzing device, all sent before the first is received. */
function through(options: FuzzOptions, count: number) {
  // Some of the frames are nearly as large as the device carries.
  const [left, right] = memoryPair({ queueLength: count, mtu: MTU });
  const device = fuzz(right, options);
  for (let i = 0; i < count; i++) send(left, packets[i % packets.length]);
  return { frames: receiveAll(device), counts: device.fuzzed };
}

describe("fuzz", () => {
  test("does the same for the same seed, and something else for another", () => {
    const first = through({ seed: 5, rate: 0.5 }, 500).frames;
    expect(through({ seed: 5, rate: 0.5 }, 500).frames).toEqual(first);
    expect(through({ seed: 6, rate: 0.5 }, 500).frames).not.toEqual(first);
  });

  test("happens about as often as asked, and every mutation does", () => {
    const { counts } = through({ rate: 0.4, fixChecksums: 0.5 }, 5_000);
    expect(counts.received).toBe(5_000);
    expect(counts.mutated).toBeWithin(1_800, 2_200);
    expect(counts.fixed).toBeWithin(800, 1_200);
    for (const name of MUTATIONS) expect(counts[name]).toBeGreaterThan(300);
    expect(through({ rate: 0 }, 100).frames).toEqual(
      Array.from({ length: 100 }, (_, i) => Array.from(packets[i % packets.length])),
    );
  });

  for (const mutation of MUTATIONS) {
    test(`${mutation}: changes frames, within what the device carries`, () => {
      const { frames, counts } = through({ rate: 1, mutations: [mutation], fixChecksums: 0 }, 600);
      expect(frames).toHaveLength(600);
      expect(counts.mutated).toBe(600);
      const changed = frames.filter((frame, i) => Buffer.compare(Buffer.from(frame), packets[i % 3]) !== 0);
      // A repeated frame may be the same one, and a splice the same bytes.
      expect(changed.length).toBeGreaterThan(mutation === "repeat" ? 300 : mutation === "splice" ? 200 : 400);
      for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(MTU);
    });
  }

  test("checksums are right again where that is asked for", () => {
    const place = new TransportPlace();
    const right = (fixChecksums: number) => {
      const { frames } = through({ rate: 1, mutations: ["bits", "field", "options"], fixChecksums }, 2_000);
      return frames.filter((frame) => {
        const bytes = Uint8Array.from(frame);
        if (checkIpv4(bytes, 0, bytes.length) !== OK) return false;
        if (!findTransport(bytes, 0, bytes.length, "ip", place)) return false;
        const field = checksumField(bytes, place);
        return (
          field >= 0 && transportChecksum(bytes, place, field) === ((bytes[field] << 8) | bytes[field + 1])
        );
      }).length;
    };
    expect(right(1)).toBeGreaterThan(1_000);
    expect(right(0)).toBeLessThan(200);
  });

  test("what the device vouches for is completed before it is spoiled", () => {
    const [, right] = memoryPair();
    const unfinished = packets[0].slice();
    unfinished.set([0x12, 0x34], 36);
    const inner: Device = Object.assign(right, {
      receive: (frame: Frame) => {
        frame.bytes = unfinished.slice();
        frame.offset = 0;
        frame.length = unfinished.length;
        frame.checksumOffloaded = true;
        frame.segmentSize = 50;
        return true;
      },
    });
    const device = fuzz(inner, { rate: 1, mutations: ["extend"], fixChecksums: 0 });
    const frame = new Frame(new Uint8Array(0));
    expect(device.receive(frame)).toBe(true);
    expect(frame).toMatchObject({ checksumOffloaded: false, segmentSize: 50 });
    expect(frame.bytes.subarray(frame.offset, frame.offset + packets[0].length)).toEqual(packets[0]);
    expect(frame.offset % 4).toBe(0);
  });

  test("beside: the frame comes first, and then what was made of it", () => {
    const { frames, counts } = through({ rate: 0.5, beside: true }, 1_000);
    expect(frames).toHaveLength(1_000 + counts.mutated);
    const originals = frames.filter((frame) =>
      packets.some((bytes) => Buffer.compare(Buffer.from(frame), bytes) === 0),
    );
    expect(originals.length).toBeGreaterThanOrEqual(1_000);
  });

  test("refuses options that make no sense", () => {
    const [plain] = memoryPair();
    const bad: FuzzOptions[] = [
      { rate: 1.1 },
      { fixChecksums: -1 },
      { most: 0 },
      { most: 1.5 },
      { mutations: [] },
    ];
    for (const options of bad) expect(thrownBy(() => fuzz(plain, options)).code).toBe("EINVAL");
  });

  test("keeps the Device contract", async () => {
    const [left, right] = memoryPair({ mtu: 700 });
    const inner = withEvents(right);
    const device = fuzz(inner, { rate: 1, beside: true });
    expect(device.capabilities).toEqual(right.capabilities);
    expect(device.wait).toBeUndefined();
    const waits = Object.assign(memoryPair()[0], { wait: (timeoutMs: number) => timeoutMs === 3 });
    expect(fuzz(waits).wait!(3)).toBe(true);
    expect(fuzz(waits).wait!(4)).toBe(false);
    const events: string[] = [];
    device.onEvent!(({ type }) => events.push(type));
    inner.emit({ type: "down" });
    expect(events).toEqual(["down"]);
    send(device, [1, 2]);
    expect(receiveAll(left)).toEqual([[1, 2]]);
    let calls = 0;
    device.onReadable(() => calls++);
    expect(receiveAll(device)).toEqual([]);
    send(left, packets[2]);
    await laterTurn();
    expect(calls).toBe(1);
    expect(receiveBytes(device)).toEqual(Array.from(packets[2]));
    // There is one more to give: nobody has been told that there is none.
    send(left, packets[2]);
    await laterTurn();
    expect(calls).toBe(1);
    expect(receiveAll(device)).toHaveLength(3);
    device.close();
    expect(receiveAll(device)).toEqual([]);
  });
});

const MIB = 1 << 20;

describe("a stack behind it", () => {
  for (const seed of [1, 2, 3]) {
    test(`takes frames with wrong checksums for lost ones: nothing closes, nothing is changed (seed ${seed})`, () => {
      const [left, right] = memoryPair();
      const options: FuzzOptions = { seed, rate: 0.1, fixChecksums: 0 };
      const pair = pairOn(fuzz(left, options), fuzz(right, { ...options, seed: seed + 100 }));
      const { client, server } = connected(pair);
      const sender = new Sender(client, MIB, seed);
      const receiver = new Receiver(server);
      runUntil(pair, () => {
        sender.pump();
        receiver.pump();
        return receiver.ended;
      });
      expect(receiver.bytes).toBe(MIB);
      expect(receiver.hash.digest("hex")).toBe(sender.hash.digest("hex"));
    });
  }

  for (const seed of [1, 2, 3, 4]) {
    test(`neither throws nor stops for frames that look right, and serves others after them (seed ${seed})`, () => {
      const [left, right] = memoryPair();
      const [clean, friendly] = memoryPair();
      const options = { random: seededRandom(seed), memory: 8 * MIB, maxSockets: 64 };
      const hostile = fuzz(left, { seed, rate: 0.3, beside: seed % 2 === 0 });
      const alsoHostile = fuzz(right, { seed: seed + 100, rate: 0.3 });
      const server = new Stack(options);
      server.addInterface({ device: hostile, addresses: ["10.0.0.1/24"] });
      server.addInterface({ device: clean, addresses: ["10.0.1.1/24"] });
      const peer = new Stack({ ...options, random: seededRandom(seed + 1) });
      peer.addInterface({ device: alsoHostile, addresses: ["10.0.0.2/24"] });
      const friend = new Stack({ ...options, random: seededRandom(seed + 2) });
      friend.addInterface({ device: friendly, addresses: ["10.0.1.2/24"] });
      const listener = server.sockets.listen({ port: 80, backlog: 16 });
      const echo = server.sockets.bindUdp({ port: 7 });
      const asker = peer.sockets.bindUdp();

      let now = 0;
      const settle = (polls = 2_000) => {
        while (pollAll(now, server, peer, friend)) {
          if (--polls === 0) throw new Error(`seed ${seed}: the stacks never come to rest at ${now} ms`);
        }
      };
      const scratch = new Uint8Array(8_192);
      const open: TcpSocket[] = [];
      /** Whatever a program would do, of which a connection that broke makes nothing. */
      const use = (socket: TcpSocket) => {
        try {
          while (socket.read(scratch) > 0);
          socket.write(scratch, 0, 2_000);
        } catch {
          // Reset: what a program would see as ECONNRESET.
        }
      };
      for (let round = 0; hostile.fuzzed.mutated + alsoHostile.fuzzed.mutated < 20_000; round++) {
        if (round === 20_000) throw new Error(`seed ${seed}: too few frames move`);
        try {
          open.push(peer.sockets.connect({ address: "10.0.0.1", port: 80 }));
        } catch {
          // No socket is free for now: those that spoiled segments have opened are still there.
        }
        asker.send(scratch.subarray(0, 64), parseAddress("10.0.0.1"), 7);
        for (let accepted = listener.accept(); accepted !== null; accepted = listener.accept())
          open.push(accepted);
        for (const socket of open) use(socket);
        settle();
        // Few are given the time that a close would take.
        for (const socket of open.splice(0, open.length - 20)) {
          if (round % 8 === 0) socket.close();
          else socket.abort();
        }
        now += 1 + (round % 40);
      }

      for (const socket of open) socket.abort();
      for (let step = 0; step < 100; step++) {
        now += 10_000;
        settle();
        for (let late = listener.accept(); late !== null; late = listener.accept()) late.abort();
      }
      // Nothing is left of all of it but the two sockets that listen.
      expect([seed, server.sockets.size]).toEqual([seed, 2]);
      echo.close();
      const connection = friend.sockets.connect({ address: "10.0.1.1", port: 80 });
      settle();
      const accepted = listener.accept()!;
      connection.write(scratch, 0, 5);
      settle();
      expect(accepted.read(scratch)).toBe(5);
    }, 30_000);
  }

  test("takes every capture, spoiled", () => {
    const folder = join(import.meta.dir, "../fixtures");
    const names = readdirSync(folder).filter((name) => name.endsWith(".pcap"));
    let mutated = 0;
    for (const name of names) {
      for (let seed = 0; seed < 10; seed++) {
        const source = replay(null, join(folder, name), { speed: Number.POSITIVE_INFINITY });
        const device = fuzz(source, { seed, rate: 0.8 });
        const stack = new Stack({ random: seededRandom(seed), memory: MIB, maxSockets: 64 });
        stack.addInterface({
          device,
          addresses: ["10.0.0.1/24", "10.0.0.2/24"].slice(seed & 1, (seed & 1) + 1),
        });
        for (const port of [4101, 4102, 4103, 4104, 4105, 4106]) stack.sockets.listen({ port });
        for (let now = 0; now < 2_000; now += 100) {
          let polls = 0;
          while (stack.poll(now)) {
            if (++polls > 1_000) throw new Error(`${name}, seed ${seed}: the stack never comes to rest`);
          }
        }
        expect(source.ended).toBe(true);
        mutated += device.fuzzed.mutated;
        device.close();
      }
    }
    expect(mutated).toBeGreaterThan(2_000);
  });
});
