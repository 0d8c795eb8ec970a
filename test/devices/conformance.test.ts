import { describe, test } from "bun:test";
import {
  capture,
  captureFile,
  fault,
  fuzz,
  memoryPair,
  openRaw,
  openTap,
  openTun,
  trace,
} from "../../devices/index.ts";
import { packetDevice } from "../../devices/packet-device.ts";
import { type Device, Frame } from "../../src/device.ts";
import { PacketTap } from "../support/packet-tap.ts";
import { type Namespace, systemTest, until } from "../support/system.ts";
import { CLAUSES, type Wire } from "./conformance.ts";

/** Every device, with and without offload, and alone or behind what can be around it, keeps the same contract. */

type Wrap = (device: Device) => Device;

/** What is around the device; each of these changes nothing of what passes. */
const STACKS: readonly { readonly name: string; readonly wrap: Wrap }[] = [
  { name: "alone", wrap: (device) => device },
  { name: "behind fault", wrap: (device) => fault(device, { seed: 1, drop: 0 }) },
  {
    name: "behind trace, capture, fuzz and fault",
    wrap: (device) =>
      fault(
        fuzz(
          capture(
            trace(device, () => {}),
            captureFile("/dev/null"),
          ),
          { seed: 1, rate: 0 },
        ),
        { seed: 1 },
      ),
  },
];

/** The other end of a memory pair. */
function memoryWire(medium: "ip" | "ethernet", offload: boolean, wrap: Wrap): Wire {
  const [near, far] = memoryPair({ medium, offload, queueLength: 16 });
  const device = wrap(near);
  const frame = new Frame(new Uint8Array(0));
  return {
    device,
    queueLength: 16,
    send({ bytes, segmentSize = 0 }) {
      const lent = far.transmit(bytes.length);
      if (lent === null) return;
      lent.bytes.set(bytes, lent.offset);
      lent.segmentSize = segmentSize;
      far.commit(lent);
    },
    receive() {
      if (!far.receive(frame)) return null;
      const start = (medium === "ip" ? 0 : 14) + 20;
      return {
        bytes: frame.bytes.slice(frame.offset, frame.offset + frame.length),
        checksum: frame.checksumOffloaded ? { start, offset: 16 } : null,
        segmentSize: frame.segmentSize,
      };
    },
    close() {
      device.close();
      far.close();
    },
  };
}

/** A device whose other end is a program. */
function packetWire(medium: "ip" | "ethernet", wrap: Wrap): Wire {
  const packets = packetDevice({ medium, queueLength: 16 });
  const device = wrap(packets);
  return {
    device,
    queueLength: 16,
    send: ({ bytes }) => void packets.push(bytes),
    receive() {
      const bytes = packets.take();
      return bytes === null ? null : { bytes };
    },
    close: () => device.close(),
  };
}

/** A device of Linux, and a packet socket on the interface at its other end. */
async function linuxWire(
  ns: Namespace,
  kind: "tun" | "tap" | "raw",
  offload: boolean,
  wrap: Wrap,
): Promise<Wire> {
  if (kind === "raw") {
    await ns.ok(["ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1"]);
    for (const end of ["wire0", "wire1"]) await ns.ok(["ip", "link", "set", end, "up"]);
    // What is sent before the kernel has noticed that the cable is plugged in is lost.
    await until("a link", async () => (await ns.ok(["ip", "link", "show", "wire0"])).includes("state UP"));
  }
  return ns.inside(() => {
    const options = { name: kind === "raw" ? "wire1" : "wire0", offload };
    const opened = kind === "tun" ? openTun(options) : kind === "tap" ? openTap(options) : openRaw(options);
    const device = wrap(opened);
    const tap = new PacketTap("wire0");
    return {
      device,
      queueLength: 0,
      send: (frame) => tap.send(frame),
      receive: () => tap.receive(),
      close() {
        tap.close();
        device.close();
      },
    };
  });
}

async function checkAll(open: () => Wire | Promise<Wire>): Promise<void> {
  for (const clause of CLAUSES) {
    const wire = await open();
    try {
      if (clause.applies?.(wire) ?? true) await clause.check(wire);
    } catch (error) {
      throw new Error(`The device ${clause.name}: not so.`, { cause: error });
    } finally {
      wire.close();
    }
  }
}

for (const { name, wrap } of STACKS) {
  describe(`the contract of a device, ${name}`, () => {
    for (const medium of ["ip", "ethernet"] as const) {
      for (const offload of [false, true]) {
        test(`memory, ${medium}, ${offload ? "with" : "without"} offload`, () =>
          checkAll(() => memoryWire(medium, offload, wrap)));
      }
      test(`packets of a program, ${medium}`, () => checkAll(() => packetWire(medium, wrap)));
    }
    for (const kind of ["tun", "tap", "raw"] as const) {
      for (const offload of [false, true]) {
        const needs = kind === "raw" ? [] : ["tun"];
        systemTest(
          `${kind}, ${offload ? "with" : "without"} offload`,
          needs,
          async (ns) => {
            let number = 0;
            await checkAll(async () => {
              if (kind === "raw" && number++ > 0) await ns.ok(["ip", "link", "del", "wire0"]);
              return linuxWire(ns, kind, offload, wrap);
            });
          },
          20_000,
        );
      }
    }
  });
}
