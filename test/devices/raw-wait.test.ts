import { describe, expect } from "bun:test";
import { openRaw } from "../../devices/raw.ts";
import { waitForAny } from "../../devices/wait.ts";
import { type Device, Frame } from "../../src/device.ts";
import { type Namespace, systemTest } from "../support/system.ts";
import { send } from "./frames.ts";
import { bytesOf, nextFrame, numbered, OURS, withRaw } from "./raw-wire.ts";

const OTHERS = bytesOf("02:00:00:00:00:99");
const US = bytesOf(OURS);
const DEVICES = `${import.meta.dir}/../../devices/index.ts`;

/** Makes the queue of `wire1` one that lets so much through. */
async function shape(ns: Namespace, rate: string, burst: string, limit: string): Promise<void> {
  await ns.ok([
    "tc",
    "qdisc",
    "add",
    "dev",
    "wire1",
    "root",
    "tbf",
    "rate",
    rate,
    "burst",
    burst,
    "limit",
    limit,
  ]);
}

/** Sends frames of 1,000 bytes until there is no room. */
function fill(device: Device): void {
  for (let frame = device.transmit(1000); frame !== null; frame = device.transmit(1000)) {
    frame.bytes.fill(0, frame.offset, frame.offset + 1000);
    frame.bytes.set(numbered(OTHERS, US, 0), frame.offset);
    device.commit(frame);
  }
}

function timed(action: () => void): number {
  const start = performance.now();
  action();
  return performance.now() - start;
}

describe("waiting for a raw device", () => {
  systemTest("finds the frames that came with the last one", [], async (ns) => {
    await withRaw(ns, {}, (device) => {
      const peer = ns.inside(() => openRaw({ name: "wire0" }));
      const frame = new Frame(new Uint8Array(0));
      for (let i = 0; i < 5; i++) send(peer, numbered(US, OTHERS, i));
      const elapsed = timed(() => {
        for (let i = 0; i < 5; i++) {
          expect(i % 2 === 0 ? device.wait(1000) : waitForAny([device], 1000)).toBe(true);
          expect(device.receive(frame)).toBe(true);
        }
      });
      expect(elapsed).toBeLessThan(500);
      expect(device.wait(0)).toBe(false);
      peer.close();
    });
  });

  systemTest("comes back when there is room, also where it has come before", ["tc"], async (ns) => {
    await withRaw(ns, {}, async (device) => {
      await shape(ns, "16mbit", "20kb", "30kb");
      let rooms = 0;
      device.onWritable(() => void rooms++);
      for (const [round, pauseMs] of [0, 20].entries()) {
        fill(device);
        Bun.sleepSync(pauseMs);
        expect(timed(() => expect(device.wait(1000)).toBe(false))).toBeLessThan(500);
        expect(rooms).toBe(round + 1);
        expect(device.transmit(1000)).not.toBeNull();
      }
      fill(device);
      Bun.sleepSync(20);
      expect(timed(() => expect(waitForAny([device], 1000)).toBe(false))).toBeLessThan(500);
      expect(rooms).toBe(3);
      // Nothing waits any more: it sleeps for as long as it is told.
      expect(device.wait(0)).toBe(false);
      expect(timed(() => device.wait(50))).toBeGreaterThan(49);
    });
  });

  systemTest("comes back when there is room in a ring that the queue has all of", ["tc"], async (ns) => {
    await withRaw(ns, { ring: true }, async (device) => {
      await shape(ns, "4mbit", "2kb", "10mb");
      let rooms = 0;
      device.onWritable(() => void rooms++);
      fill(device);
      expect(timed(() => expect(device.wait(1000)).toBe(false))).toBeLessThan(500);
      expect(rooms).toBe(1);
      fill(device);
      expect(timed(() => expect(waitForAny([device], 1000)).toBe(false))).toBeLessThan(500);
      expect(device.counts.transmitErrors).toBe(0);
    });
  });

  for (const ring of [false, true]) {
    systemTest(`gives up what has no room for long${ring ? ", with rings" : ""}`, ["tc"], async (ns) => {
      await withRaw(ns, { ring }, async (device) => {
        // Nothing that is longer than the burst ever passes.
        await shape(ns, "1kbit", "1600", "1600");
        fill(device);
        const start = performance.now();
        while (device.counts.transmitErrors === 0 && performance.now() - start < 2000) device.wait(0);
        expect(device.counts.lastError).toBe("ENOBUFS");
        expect(performance.now() - start).toBeGreaterThan(150);
      });
    });
  }
});

systemTest(
  "a full raw device does not keep a program running that is not to wait for it",
  ["tc"],
  async (ns) => {
    await withRaw(ns, {}, async () => {
      await shape(ns, "1kbit", "1600", "1600");
      const script = `
      const { openRaw } = await import(${JSON.stringify(DEVICES)});
      const device = openRaw({ name: "wire1" });
      const fill = () => {
        for (let frame = device.transmit(1000); frame !== null; frame = device.transmit(1000)) device.commit(frame);
      };
      device.onWritable(fill);
      device.onReadable(() => {});
      fill();
      device.setRef(false);
      console.log("full");
    `;
      const program = ns.start([process.execPath, "-e", script]);
      expect((await program.end(2000)).stdout).toContain("full");
    });
  },
);

systemTest("a lent frame whose place is gone is lost, and no other goes in its place", [], async (ns) => {
  await withRaw(ns, { ring: true }, async (device) => {
    const peer = ns.inside(() => openRaw({ name: "wire0", hardwareAddress: "02:00:00:00:00:99" }));
    const link = (state: string) => ns.inside(() => Bun.spawnSync(["ip", "link", "set", "wire1", state]));
    for (let i = 1; i <= 3; i++) send(device, numbered(OTHERS, US, i));
    const frame = device.transmit(60)!;
    frame.bytes.set(numbered(OTHERS, US, 4), frame.offset);
    link("down");
    device.receive(new Frame(new Uint8Array(0)));
    expect(device.counts).toMatchObject({ transmitted: 0, transmitErrors: 3 });
    link("up");
    device.commit(frame);
    send(device, numbered(OTHERS, US, 5));
    while (device.wait(0)) device.receive(new Frame(new Uint8Array(0)));
    expect(nextFrame(peer)).toEqual(numbered(OTHERS, US, 5));
    expect(device.counts).toMatchObject({ transmitted: 1, transmitErrors: 4 });
    peer.close();
  });
});
