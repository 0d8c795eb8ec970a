import { describe, expect } from "bun:test";
import { observe } from "../../devices/observe.ts";
import { type Device, Frame } from "../../src/device.ts";
import { completeChecksum } from "../../src/wire/offload.ts";
import { udpPacket } from "../support/packets.ts";
import { type Namespace, systemTest, until } from "../support/system.ts";
import {
  echoClient,
  KERNEL,
  KINDS,
  type Kind,
  kernelCounter,
  STACK,
  withEcho,
  withKind,
} from "./kernel-end.ts";

/** What passed in one direction. */
class Seen {
  longest = 0;
  joined = 0;
  withoutChecksum = 0;
  segmentSizes = new Set<number>();

  add(frame: Frame): void {
    this.longest = Math.max(this.longest, frame.length);
    if (frame.segmentSize > 0) this.joined++;
    this.segmentSizes.add(frame.segmentSize);
    if (frame.checksumOffloaded) this.withoutChecksum++;
  }
}

/** 8 MiB there and back through the stack, compared; and what passed. */
async function echoThrough(ns: Namespace, device: Device): Promise<{ received: Seen; sent: Seen }> {
  const [received, sent] = [new Seen(), new Seen()];
  const observed = observe(device, {
    received: (frame) => received.add(frame),
    sending: (frame) => sent.add(frame),
    closing() {},
  });
  await withEcho(observed, async () => {
    const { stdout } = await ns.run(echoClient(8 << 20), { timeoutMs: 8000 });
    expect(stdout).toContain(`${8 << 20} the same`);
  });
  expect(await kernelCounter(ns, "Tcp", "InCsumErrors")).toBe(0);
  return { received, sent };
}

const linkHeader = (kind: Kind) => (kind === "tun" ? 0 : 14);

/** Opens the device on a persistent interface that others have left in another state. */
async function leaveBehind(ns: Namespace, kind: Kind, vnet: boolean): Promise<void> {
  await ns.ok(["ip", "tuntap", "add", "dev", "wire0", "mode", kind, ...(vnet ? ["vnet_hdr"] : [])]);
  const script = `
import fcntl, struct
fd = open("/dev/net/tun", "r+b", buffering=0)
flags = ${kind === "tun" ? 1 : 2} | 0x1000 | ${vnet ? 0x4000 : 0}
fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"wire0", flags))
if ${vnet ? "True" : "False"}:
    fcntl.ioctl(fd, 0x400454d8, struct.pack("i", 12))
    fcntl.ioctl(fd, 0x400454d0, 0x0f)
`;
  await ns.ok(["python3", "-c", script]);
}

for (const kind of KINDS) {
  describe(`offload of a ${kind} device`, () => {
    systemTest(
      "super-segments both ways, and no checksums",
      ["tun", "python3"],
      async (ns) => {
        await withKind(ns, kind, {}, async (device) => {
          expect(device.capabilities).toMatchObject({ checksumOffload: true, maxSuperSegment: 65_535 });
          const { received, sent } = await echoThrough(ns, device);
          for (const seen of [received, sent]) {
            expect(seen.longest).toBeGreaterThan(20_000);
            expect(seen.joined).toBeGreaterThan(50);
            expect(seen.withoutChecksum).toBeGreaterThan(seen.joined);
          }
          expect([...received.segmentSizes].filter((size) => size > 0 && size < 1400)).toEqual([]);
        });
      },
      15_000,
    );

    systemTest(
      "without it, frames of the MTU and their checksums",
      ["tun", "python3"],
      async (ns) => {
        await withKind(ns, kind, { offload: false }, async (device) => {
          expect(device.capabilities).toMatchObject({ checksumOffload: false, maxSuperSegment: 0 });
          const { received, sent } = await echoThrough(ns, device);
          for (const seen of [received, sent]) {
            expect(seen.longest).toBe(1500 + linkHeader(kind));
            expect(seen.joined).toBe(0);
            expect(seen.withoutChecksum).toBe(0);
          }
        });
      },
      15_000,
    );

    systemTest(
      "whatever a persistent interface was used for before",
      ["tun", "python3"],
      async (ns) => {
        for (const [vnet, offload] of [
          [true, false],
          [true, true],
          [false, true],
        ]) {
          await leaveBehind(ns, kind, vnet);
          await withKind(ns, kind, { offload }, async (device) => {
            const { received } = await echoThrough(ns, device);
            expect(received.longest > 1514).toBe(offload);
          });
          await ns.ok(["ip", "link", "delete", "wire0"]);
        }
      },
      20_000,
    );
  });
}

describe("offload of a TUN device", () => {
  systemTest("datagrams that the kernel joined", ["tun", "python3"], async (ns) => {
    await withKind(ns, "tun", {}, async (device) => {
      const script = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 1000)
s.sendto(bytes(range(256)) * 40, ("${STACK}", 9))`;
      await ns.ok(["python3", "-c", script]);
      const frame = new Frame(new Uint8Array(0));
      const isUdp = () => frame.bytes[frame.offset] === 0x45 && frame.bytes[frame.offset + 9] === 17;
      do {
        if (!device.receive(frame) && !device.wait(1000)) throw new Error("no datagram came");
      } while (!isUdp());
      expect(frame).toMatchObject({ segmentSize: 1000, checksumOffloaded: true, length: 10_240 + 28 });
    });
  });

  systemTest("datagrams that the kernel is to cut and complete", ["tun", "python3"], async (ns) => {
    await withKind(ns, "tun", {}, async (device) => {
      const server = ns.start([
        "python3",
        "-c",
        `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("${KERNEL}", 9)); s.settimeout(3)
print("ready", flush=True)
print(*[len(s.recv(4096)) for i in range(5)])`,
      ]);
      await server.waitFor("ready");
      const packet = udpPacket({ from: STACK, to: KERNEL }, 5000, 9, new Uint8Array(4100).fill(7));
      // The sum of the pseudo-header alone: addresses, protocol, length.
      const pseudo = 0xc0a8 + 0x4501 + 0xc0a8 + 0x4564 + 17 + 4108;
      const folded = (pseudo & 0xffff) + (pseudo >>> 16);
      packet.set([folded >> 8, folded & 255], 26);
      const frame = device.transmit(packet.length)!;
      frame.bytes.set(packet, frame.offset);
      frame.checksumOffloaded = true;
      frame.segmentSize = 1000;
      device.commit(frame);
      expect((await server.end()).stdout).toBe("ready\n1000 1000 1000 1000 100\n");
      expect(await kernelCounter(ns, "Udp", "InCsumErrors")).toBe(0);
      // What is said to be complete, and is not, the kernel notices: so it was the device that completed the others.
      const again = device.transmit(packet.length)!;
      again.bytes.set(packet, again.offset);
      device.commit(again);
      const csumErrors = () => kernelCounter(ns, "Udp", "InCsumErrors");
      const noPorts = () => kernelCounter(ns, "Udp", "NoPorts");
      await until("the error", async () => (await csumErrors()) + (await noPorts()) === 1);
      expect(completeChecksum(again.bytes, again.offset, again.length, "ip")).toBe(true);
    });
  });
});
