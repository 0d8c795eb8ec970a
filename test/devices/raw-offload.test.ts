import { describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { observe } from "../../devices/observe.ts";
import { openRaw } from "../../devices/raw.ts";
import { Frame } from "../../src/device.ts";
import { completeChecksum } from "../../src/wire/offload.ts";
import { PacketTap } from "../support/packet-tap.ts";
import { tcpPacket } from "../support/packets.ts";
import { systemTest, until } from "../support/system.ts";
import { echoClient, kernelCounter, withEcho } from "./kernel-end.ts";
import { bytesOf, KERNEL, OURS, STACK, withRaw } from "./raw-wire.ts";

const US = bytesOf(OURS);
const THEIRS = "02:00:00:00:00:99";
const SIZE = 4 << 20;
/** The payload of a TCP segment at an MTU of 1,500 with a timestamp option. */
const SEGMENT = 1448;

/** An Ethernet frame with a TCP segment of `size` bytes of payload. */
function tcpFrame(size: number): Uint8Array {
  const segment = { sourcePort: 4000, destinationPort: 4001, seq: 1, ack: 1, flags: 0x10, window: 1000 };
  const payload = new Uint8Array(size).map((_, i) => i);
  const packet = tcpPacket({ from: STACK, to: KERNEL }, segment, payload);
  return Uint8Array.from([...bytesOf(THEIRS), ...US, 0x08, 0x00, ...packet]);
}

/** Mappings of packet sockets: rings that are shared with the kernel. */
function rings(): number {
  return readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .filter((line) => line.includes("socket:[")).length;
}

describe("rings unless told", () => {
  for (const [offload, ring, expected] of [
    [true, undefined, false],
    [false, undefined, true],
    [true, true, true],
    [false, false, false],
  ] as const) {
    const title = `offload: ${offload}${ring === undefined ? "" : `, ring: ${ring}`}: ${expected ? "rings" : "none"}`;
    systemTest(title, [], async (ns) => {
      const before = rings();
      await withRaw(ns, { offload, ...(ring === undefined ? {} : { ring }) }, async () => {
        expect(rings() > before).toBe(expected);
      });
      expect(rings()).toBe(before);
    });
  }
});

for (const ring of [false, true]) {
  const how = ring ? ", with rings" : "";
  describe(`offload of a raw device${how}`, () => {
    systemTest("a super-segment that is longer than any packet is an error, and no frame", [], async (ns) => {
      await withRaw(ns, { ring }, async (device) => {
        for (const end of ["wire0", "wire1"]) {
          await ns.ok(["ip", "link", "set", end, "gso_max_size", "200000"]);
        }
        const tap = ns.inside(() => new PacketTap("wire0"));
        const frame = new Frame(new Uint8Array(0));
        const received: number[] = [];
        for (const length of [65_549, 90_000, 65_549]) {
          const bytes = new Uint8Array(length);
          bytes.set([...US, ...bytesOf(THEIRS), 0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 6, 64]);
          bytes[66] = 0x50;
          const checksum = { start: 54, offset: 16 };
          tap.send({ bytes, checksum, segmentSize: 1400, headerLength: 74, isIpv6: true });
          while (device.wait(0) && device.receive(frame)) received.push(frame.length);
        }
        await until("all three", () => {
          if (device.receive(frame)) received.push(frame.length);
          return received.length === 2;
        });
        expect(received).toEqual([65_549, 65_549]);
        expect(device.counts).toMatchObject({ received: 2, receiveErrors: 1, lastError: "" });
        tap.close();
      });
    });

    for (const offload of [true, false]) {
      systemTest(
        `the kernel's TCP both ways, ${offload ? "with" : "without"} it`,
        ["python3"],
        async (ns) => {
          await withRaw(ns, { ring, offload }, async (raw) => {
            expect(raw.capabilities.checksumOffload).toBe(offload);
            expect(raw.capabilities.maxSuperSegment > 0).toBe(offload);
            let [received, sent, unmarked] = [0, 0, 0];
            const device = observe(raw, {
              received(frame) {
                if (frame.length > 1518) received++;
                if (frame.length > 1518 && !(frame.checksumOffloaded && frame.segmentSize > 0)) unmarked++;
              },
              sending(frame) {
                if (frame.length > 1518) sent++;
              },
              closing() {},
            });
            await withEcho(device, async () => {
              const { stdout } = await ns.run(echoClient(SIZE), { timeoutMs: 8000 });
              expect(stdout).toContain(`${SIZE} the same`);
            });
            // The other end of a veth pair hands its super-segments over whatever we ask for.
            expect(received).toBeGreaterThan(0);
            expect(unmarked).toBe(0);
            if (offload) expect(sent).toBeGreaterThan(0);
            else expect(sent).toBe(0);
            expect(await kernelCounter(ns, "Tcp", "InCsumErrors")).toBe(0);
          });
        },
        12_000,
      );
    }

    systemTest("a super-segment arrives as one, with its checksum still to be done", [], async (ns) => {
      await withRaw(ns, { ring }, (device) => {
        const peer = ns.inside(() =>
          openRaw({ name: "wire0", hardwareAddress: THEIRS, ring, offload: false }),
        );
        for (const size of [100, 10 * SEGMENT, 45 * SEGMENT - 1]) {
          const bytes = tcpFrame(size);
          const out = device.transmit(bytes.length)!;
          out.bytes.set(bytes, out.offset);
          out.checksumOffloaded = true;
          out.segmentSize = size > SEGMENT ? SEGMENT : 0;
          device.commit(out);
          device.wait(0);
          const frame = new Frame(new Uint8Array(0));
          expect(peer.wait(1000) && peer.receive(frame)).toBe(true);
          expect(frame.checksumOffloaded).toBe(true);
          expect(frame.segmentSize).toBe(size > SEGMENT ? SEGMENT : 0);
          expect(frame.length).toBe(bytes.length);
          expect(completeChecksum(frame.bytes, frame.offset, frame.length, "ethernet")).toBe(true);
          expect(Buffer.compare(frame.bytes.subarray(frame.offset, frame.offset + frame.length), bytes)).toBe(
            0,
          );
          expect(peer.receive(frame)).toBe(false);
        }
        peer.close();
      });
    });

    systemTest("the largest super-segment arrives as one, from every slot of a ring", [], async (ns) => {
      await withRaw(ns, { ring }, (device) => {
        const peer = ns.inside(() => openRaw({ name: "wire0", hardwareAddress: THEIRS }));
        const frame = new Frame(new Uint8Array(0));
        const bytes = tcpFrame(device.capabilities.maxSuperSegment - 40);
        for (let i = 0; i < 70; i++) {
          const out = device.transmit(bytes.length)!;
          out.bytes.set(bytes, out.offset);
          out.checksumOffloaded = true;
          out.segmentSize = SEGMENT;
          device.commit(out);
          device.wait(0);
          expect(peer.wait(1000) && peer.receive(frame)).toBe(true);
          expect(frame.length).toBe(bytes.length);
          frame.bytes.fill(0, frame.offset + 50, frame.offset + 52);
          const middle = frame.bytes.subarray(frame.offset + 54, frame.offset + frame.length);
          expect(Buffer.compare(middle, bytes.subarray(54))).toBe(0);
        }
        expect(device.counts).toMatchObject({ transmitted: 70, lastError: "" });
        peer.close();
      });
    });
  });
}
