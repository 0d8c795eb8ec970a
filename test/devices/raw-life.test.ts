import { describe, expect } from "bun:test";
import type { LinkListener } from "../../devices/linux/link-monitor.ts";
import { openRaw, type RawDevice } from "../../devices/raw.ts";
import { type Device, Frame } from "../../src/device.ts";
import { formatHardwareAddress } from "../../src/wire/ethernet.ts";
import { type Namespace, systemTest, until } from "../support/system.ts";
import { laterTurn, receiveBytes, send } from "./frames.ts";
import { drain, echoClient, recordEvents, withEcho } from "./kernel-end.ts";
import { bytesOf, hardwareAddressOf, KERNEL, numbered, OURS, withRaw } from "./raw-wire.ts";

const DEVICES = `${import.meta.dir}/../../devices/index.ts`;
const OTHERS = bytesOf("02:00:00:00:00:99");
const US = bytesOf(OURS);

/** Makes the pair anew, with the hardware address that the kernel's end had. */
async function remake(ns: Namespace, address: number[]): Promise<void> {
  await ns.ok([
    "ip",
    "link",
    "add",
    "wire0",
    "address",
    formatHardwareAddress(Uint8Array.from(address)),
    "type",
    "veth",
    "peer",
    "name",
    "wire1",
  ]);
  await ns.ok(["ip", "address", "add", `${KERNEL}/24`, "dev", "wire0"]);
  await ns.ok(["ip", "link", "set", "wire0", "up"]);
  await ns.ok(["ip", "link", "set", "wire1", "up"]);
}

/** Whether a frame from the other end arrives. */
async function hears(ns: Namespace, device: RawDevice): Promise<boolean> {
  const peer = ns.inside(() => openRaw({ name: "wire0" }));
  const before = device.counts.received;
  send(peer, numbered(US, OTHERS, 1));
  peer.close();
  await until("a frame", () => {
    device.wait(0);
    while (receiveBytes(device) !== null);
    return device.counts.received > before;
  });
  return true;
}

for (const ring of [false, true]) {
  describe(`what befalls a raw device${ring ? " with rings" : ""}`, () => {
    systemTest("set down and up, and another MTU", [], async (ns) => {
      await withRaw(ns, { ring }, async (device) => {
        drain(device);
        const events = recordEvents(device);
        await ns.ok(["ip", "link", "set", "wire1", "down"]);
        await until("down", () => events.length === 1);
        const { transmitted } = device.counts;
        for (let i = 0; i < 100; i++) send(device, numbered(OTHERS, US, i));
        await laterTurn();
        expect(device.counts).toMatchObject({ transmitted, transmitErrors: 100, lastError: "ENETDOWN" });
        await ns.ok(["ip", "link", "set", "wire1", "mtu", "1400"]);
        await ns.ok(["ip", "link", "set", "wire1", "up"]);
        await until("up", () => events.length === 3);
        expect(events).toEqual(["down", "mtu 1400", "up"]);
        expect(device.capabilities.mtu).toBe(1400);
        expect(await hears(ns, device)).toBe(true);
        send(device, numbered(OTHERS, US, 1));
        await laterTurn();
        expect(device.counts.transmitted).toBe(transmitted + 1);
        await ns.ok(["ip", "link", "set", "wire1", "mtu", "9000"]);
        await until("the MTU", () => device.capabilities.mtu === 9000);
      });
    });

    systemTest("an interface that is down costs no time", [], async (ns) => {
      await withRaw(ns, { ring }, async (device) => {
        drain(device);
        const events = recordEvents(device);
        await ns.ok(["ip", "link", "set", "wire1", "down"]);
        await until("down", () => events.length === 1);
        await Bun.sleep(20);
        const start = process.cpuUsage();
        await Bun.sleep(200);
        const { user, system } = process.cpuUsage(start);
        expect(user + system).toBeLessThan(100_000);
        const until60 = performance.now() + 60;
        expect(device.wait(60)).toBe(false);
        expect(performance.now()).toBeGreaterThan(until60 - 1);
      });
    });

    systemTest("removed, and made again: it hears its own address as before", [], async (ns) => {
      await withRaw(ns, { ring }, async (device) => {
        drain(device);
        const events = recordEvents(device);
        const address = await hardwareAddressOf(ns, "wire0");
        for (let i = 0; i < 3; i++) {
          events.length = 0;
          const { transmitErrors } = device.counts;
          await ns.ok(["ip", "link", "delete", "wire0"]);
          await until("the removal", () => events.includes("removed"));
          send(device, numbered(OTHERS, US, 1));
          await laterTurn();
          expect(device.counts.transmitErrors).toBe(transmitErrors + 1);
          expect(["ENXIO", "ENETDOWN"]).toContain(device.counts.lastError);
          await remake(ns, address);
          await until("its return", () => events.includes("up"));
          expect(events).toEqual(["removed", "up"]);
          expect(await hears(ns, device)).toBe(true);
          const [link] = JSON.parse(await ns.ok(["ip", "-json", "-details", "link", "show", "dev", "wire1"]));
          expect(link.promiscuity).toBe(1);
        }
      });
    });

    systemTest(
      "removed during a transfer, which goes on afterwards",
      ["python3"],
      async (ns) => {
        await withRaw(ns, { ring }, async (device) => {
          await withEcho(device, async (events) => {
            const address = await hardwareAddressOf(ns, "wire0");
            const client = ns.start(echoClient(4 << 20, 5));
            await client.waitFor("connected");
            await Bun.sleep(50);
            await ns.ok(["ip", "link", "delete", "wire0"]);
            await until("the removal", () => events.includes("removed"));
            await remake(ns, address);
            expect((await client.end(8000)).stdout).toContain(`${4 << 20} the same`);
            expect(events.filter((event) => event !== "down")).toEqual(["removed", "up"]);
          });
        });
      },
      15_000,
    );

    systemTest("wait brings the news where there is no event loop", [], async (ns) => {
      await withRaw(ns, { ring }, async (device) => {
        const script = `
          const { openRaw } = await import(${JSON.stringify(DEVICES)});
          const device = openRaw({ name: "wire1" });
          device.onEvent((event) => console.log(event.type));
          console.log("ready");
          for (;;) device.wait(1000);
        `;
        const program = ns.start([process.execPath, "-e", script]);
        await program.waitFor("ready");
        await ns.ok(["ip", "link", "set", "wire1", "down"]);
        await program.waitFor("down");
        await ns.ok(["ip", "link", "set", "wire1", "up"]);
        await program.waitFor("up");
        await program.stop("SIGKILL");
        device.close();
      });
    });

    systemTest("a frame stays readable when the device is closed", [], async (ns) => {
      await withRaw(ns, { ring }, (device) => {
        const peer = ns.inside(() => openRaw({ name: "wire0" }));
        send(peer, numbered(US, OTHERS, 1));
        const frame = new Frame(new Uint8Array(0));
        expect(device.wait(1000) && device.receive(frame)).toBe(true);
        device.close();
        peer.close();
        expect(frame.bytes.subarray(frame.offset, frame.offset + 6)).toHaveLength(6);
        frame.bytes[frame.offset] = 1;
        send(device, numbered(OTHERS, US, 1));
      });
    });
  });
}

describe("a raw device whose way is full", () => {
  /** Sends `count` frames as fast as the device takes them, with its callback; returns how often it was full. */
  async function sendAll(device: Device, count: number): Promise<number> {
    let refusals = 0;
    let next = 0;
    const done = Promise.withResolvers<void>();
    const go = () => {
      for (; next < count; next++) {
        const frame = device.transmit(1000);
        if (frame === null) {
          refusals++;
          return;
        }
        frame.bytes.fill(0, frame.offset, frame.offset + 1000);
        frame.bytes.set(numbered(OTHERS, US, next), frame.offset);
        device.commit(frame);
      }
      done.resolve();
    };
    device.onWritable(go);
    go();
    await done.promise;
    return refusals;
  }

  for (const { why, limit, bufferSize, ring } of [
    { why: "the interface's queue", limit: "30kb", bufferSize: 4 << 20, ring: false },
    { why: "the socket's buffer", limit: "10mb", bufferSize: 16 << 10, ring: false },
    { why: "the socket's buffer", limit: "10mb", bufferSize: 16 << 10, ring: true },
  ]) {
    systemTest(`for ${why}, loses nothing${ring ? ", with rings" : ""}`, ["tc"], async (ns) => {
      await withRaw(ns, { bufferSize, ring }, async (device) => {
        const shape = ["tbf", "rate", "16mbit", "burst", "20kb", "limit", limit];
        await ns.ok(["tc", "qdisc", "add", "dev", "wire1", "root", ...shape]);
        const peer = ns.inside(() => openRaw({ name: "wire0", hardwareAddress: "02:00:00:00:00:99" }));
        const received: number[] = [];
        peer.onReadable(() => {
          for (let frame = receiveBytes(peer); frame !== null; frame = receiveBytes(peer)) {
            received.push(frame[14] * 256 + frame[15]);
          }
        });
        expect(await sendAll(device, 400)).toBeGreaterThan(0);
        await until("all frames", () => received.length === 400);
        expect(received).toEqual(Array.from({ length: 400 }, (_, i) => i));
        expect(device.counts).toMatchObject({ transmitted: 400, transmitErrors: 0 });
        peer.close();
      });
    });
  }

  systemTest("loses nothing while its queue moves, however slowly, with rings", ["tc"], async (ns) => {
    await withRaw(ns, { ring: true }, async (device) => {
      const shape = ["tbf", "rate", "400kbit", "burst", "2kb", "limit", "3kb"];
      await ns.ok(["tc", "qdisc", "add", "dev", "wire1", "root", ...shape]);
      const before = performance.now();
      await sendAll(device, 30);
      await until("all frames", () => passed() === 30 || device.counts.transmitErrors > 0);
      expect(performance.now() - before).toBeGreaterThan(400);
      expect(device.counts).toMatchObject({ transmitted: 30, transmitErrors: 0 });

      function passed(): number {
        const { stdout } = ns.inside(() =>
          Bun.spawnSync(["ip", "-json", "-s", "link", "show", "dev", "wire1"]),
        );
        return JSON.parse(stdout.toString())[0].stats64.tx.packets;
      }
    });
  });

  systemTest("gives a frame up that has no room for long, and goes on", ["tc"], async (ns) => {
    await withRaw(ns, {}, async (device) => {
      // Nothing that is longer than the burst ever passes.
      const shape = ["tbf", "rate", "1kbit", "burst", "1600", "limit", "1600"];
      await ns.ok(["tc", "qdisc", "add", "dev", "wire1", "root", ...shape]);
      void sendAll(device, 10);
      await until("a loss", () => device.counts.transmitErrors > 0);
      expect(device.counts.lastError).toBe("ENOBUFS");
    });
  });
});

describe("an interface that comes back as another kind", () => {
  systemTest("is an error, and the next one of the name is taken up", ["tun"], async (ns) => {
    await withRaw(ns, {}, async (device) => {
      drain(device);
      const events = recordEvents(device);
      const address = await hardwareAddressOf(ns, "wire0");
      await ns.ok(["ip", "link", "delete", "wire0"]);
      await ns.ok(["ip", "tuntap", "add", "dev", "wire1", "mode", "tun"]);
      await ns.ok(["ip", "link", "set", "wire1", "up"]);
      await until("an error", () => events.length === 2);
      expect(events[0]).toBe("removed");
      expect(events[1]).toContain("error ENOTSUP wire1 has no Ethernet headers");
      await ns.ok(["ip", "link", "delete", "wire1"]);
      await remake(ns, address);
      await until("up", () => events.at(-1) === "up");
      expect(events).toHaveLength(3);
      expect(await hears(ns, device)).toBe(true);
    });
  });
});

systemTest("an MTU beyond every IP packet is the largest packet's", [], async (ns) => {
  await withRaw(ns, {}, (device) => {
    const events = recordEvents(device);
    // Dummy interfaces may have such an MTU, but not every kernel has those.
    const listener = device as Device as Device & LinkListener;
    for (const mtu of [70_000, 80_000, 65_535, 1500]) listener.linkMtu(mtu);
    expect(events).toEqual(["mtu 65535", "mtu 1500"]);
    expect(device.capabilities.mtu).toBe(1500);
  });
});

systemTest("a closed raw device keeps what it counted, and no descriptor", [], async (ns) => {
  await withRaw(ns, {}, () => {
    const peer = ns.inside(() => openRaw({ name: "wire0" }));
    const small = { name: "wire1", hardwareAddress: OURS, bufferSize: 4096 };
    const flood = () => {
      for (let i = 0; i < 200; i++) send(peer, numbered(US, OTHERS, i));
      peer.wait(0);
    };
    const one = ns.inside(() => openRaw(small));
    expect(one.descriptors).toHaveLength(2);
    flood();
    one.close();
    expect(one.descriptors).toEqual([]);
    // The next one has the number of the descriptor that was closed.
    const two = ns.inside(() => openRaw(small));
    flood();
    const { dropped } = one.counts;
    expect(dropped).toBeGreaterThan(0);
    expect(two.counts.dropped).toBe(dropped);
    two.close();
    peer.close();
  });
});

describe("a macvlan that comes back", () => {
  systemTest("with another address is an error, with the old one it is taken up", [], async (ns) => {
    await ns.veth("wire0", "wire1");
    const make = (...address: string[]) =>
      ns.ok(["ip", "link", "add", "mac0", "link", "wire1", ...address, "type", "macvlan"]);
    await make();
    await ns.ok(["ip", "link", "set", "mac0", "up"]);
    const device = ns.inside(() => openRaw({ name: "mac0" }));
    drain(device);
    const events = recordEvents(device);
    const old = (await hardwareAddressOf(ns, "mac0"))
      .map((byte) => byte.toString(16).padStart(2, "0"))
      .join(":");
    await ns.ok(["ip", "link", "delete", "mac0"]);
    await make("address", "02:00:00:00:00:42");
    await until("an error", () => events.length === 2);
    expect(events[0]).toBe("removed");
    expect(events[1]).toContain(`error EADDRNOTAVAIL mac0 came back with another hardware address`);
    expect(events[1]).toContain(`ip link set mac0 address ${old}`);
    // Once is enough, and setting the address is too.
    await ns.ok(["ip", "link", "set", "mac0", "up"]);
    await ns.ok(["ip", "link", "set", "mac0", "mtu", "1400"]);
    await Bun.sleep(10);
    expect(events).toHaveLength(2);
    await ns.ok(["ip", "link", "set", "mac0", "address", old]);
    await until("up", () => events.at(-1) === "up");
    expect(events.slice(2)).toEqual(["mtu 1400", "up"]);
    await ns.ok(["ip", "link", "delete", "mac0"]);
    await make("address", old);
    await ns.ok(["ip", "link", "set", "mac0", "up"]);
    await until("up", () => events.at(-1) === "up");
    const peer = ns.inside(() => openRaw({ name: "wire0" }));
    const before = device.counts.received;
    send(peer, numbered(bytesOf(old), OTHERS, 1));
    await until("a frame", () => device.counts.received > before);
    peer.close();
    device.close();
  });
});
