import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openConfig, openDevices, openInterfaces, parseConfig } from "../../devices/config.ts";
import { thrownBy } from "../support/errors.ts";
import { readCapture } from "../support/pcap-reader.ts";
import { systemTest } from "../support/system.ts";
import { receiveAll, send } from "./frames.ts";

const directory = mkdtempSync(join(tmpdir(), "tapwire-open-"));
afterAll(() => rmSync(directory, { recursive: true }));

const memory = { type: "memory", offload: false };

describe("openConfig", () => {
  test("opens a memory pair, and records it", () => {
    const path = join(directory, "memory.pcap");
    const config = parseConfig({ device: { ...memory, mtu: 600, capture: path } }, "x");
    const { device, peer, ...others } = openConfig(config);
    expect(others).toEqual({
      addresses: ["192.168.69.1/24"],
      routes: [],
      mtu: 600,
      name: null,
      type: "memory",
    });
    expect(device.capabilities.mtu).toBe(600);
    send(peer!, [1, 2]);
    expect(receiveAll(device)).toEqual([[1, 2]]);
    send(device, [3]);
    expect(receiveAll(peer!)).toEqual([[3]]);
    device.close();
    expect(readCapture(path).packets.map(({ bytes }) => [...bytes])).toEqual([[1, 2], [3]]);
  });

  test("passes on what the interface has", () => {
    const routes = [{ to: "10.0.0.0/8", via: "192.168.69.7" }];
    const object = {
      device: { ...memory, medium: "ethernet" },
      interface: { gateway: "192.168.69.2", routes, vlan: 7, "conflict-detection": "off" },
    };
    expect(openConfig(parseConfig(object, "x"))).toMatchObject({
      gateway: "192.168.69.2",
      routes,
      vlan: 7,
      conflictDetection: "off",
    });
  });

  test("offload is on unless it is turned off", () => {
    const opened = (device: object) => openConfig(parseConfig({ device }, "x")).device.capabilities;
    expect(opened({ type: "memory" })).toMatchObject({ checksumOffload: true, maxSuperSegment: 65_535 });
    expect(opened(memory)).toMatchObject({ checksumOffload: false, maxSuperSegment: 0 });
    const config = parseConfig({ device: { type: "memory" } }, "x");
    expect(openConfig(config, { offload: false }).device.capabilities.maxSuperSegment).toBe(0);
  });

  test("puts middleware around the device in the order written, what the device has itself nearest", () => {
    const [wire, stack] = [join(directory, "wire.pcap"), join(directory, "stack.pcap")];
    const lines: string[] = [];
    const object = {
      device: { ...memory, capture: wire, trace: true },
      middleware: [
        { type: "fault", duplicate: 1 },
        { type: "pcap", file: stack },
      ],
    };
    const { device, peer } = openConfig(parseConfig(object, "x"), { print: (line) => lines.push(line) });
    send(peer!, [1, 2]);
    expect(receiveAll(device)).toEqual([
      [1, 2],
      [1, 2],
    ]);
    device.close();
    expect(readCapture(wire).packets).toHaveLength(1);
    expect(readCapture(stack).packets).toHaveLength(2);
    expect(lines).toHaveLength(1);
  });

  test("every middleware takes its options", () => {
    const [path, played] = [join(directory, "all.pcapng"), "test/fixtures/handshake.pcap"];
    const seen: string[] = [];
    const object = {
      device: memory,
      middleware: [
        { type: "replay", file: played, speed: 1000, direction: "both", destination: "10.0.0.2" },
        { type: "fuzz", rate: 0, beside: true, mutations: ["bits"] },
        { type: "fault", direction: "both", "delay-ms": 0, rate: 1e9, queue: 100_000, reorder: 0.1 },
        { type: "pcap", file: path, snaplen: 40, "rotate-bytes": 1_000_000, "rotate-files": 3 },
        { type: "trace" },
      ],
    };
    const { device } = openConfig(parseConfig(object, "x"), { print: (line) => seen.push(line) });
    for (let i = 0; i < 200 && seen.length === 0; i++) {
      receiveAll(device);
      Bun.sleepSync(1);
    }
    device.close();
    expect(seen[0]).toContain(" > 10.0.0.2.");
  });

  test("a capture of IP packets is replayed on Ethernet with the hardware addresses given", () => {
    const opened = (keys: object) => {
      const object = {
        device: { ...memory, medium: "ethernet" },
        middleware: { type: "replay", file: "test/fixtures/ping.pcap", speed: 1000, ...keys },
      };
      return openConfig(parseConfig(object, "x")).device;
    };
    expect(thrownBy(() => opened({})).message).toContain("`link-source` in a configuration");
    const source = { "link-source": "02:00:00:00:00:09" };
    expect(receiveAll(opened(source))[0].slice(0, 14)).toEqual([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0]);
    const both = { ...source, "link-destination": "02:00:00:00:00:07" };
    expect(receiveAll(opened(both))[0].slice(0, 6)).toEqual([2, 0, 0, 0, 0, 7]);
    expect(thrownBy(() => opened({ "link-destination": "02:00:00:00:00:07" })).message).toContain(
      "give link-source, too",
    );
    expect(thrownBy(() => opened({ "link-source": "interface" })).message).toContain("write the six bytes");
  });

  test("several devices: one capture file, middleware around one of them, each with its interface", () => {
    const path = join(directory, "both.pcap");
    const object = {
      device: [memory, { ...memory, mtu: 600 }],
      interface: [{ addresses: ["10.0.0.1/24"] }, { addresses: ["10.0.1.1/24"] }],
      middleware: [{ type: "pcap", file: path }],
    };
    const config = parseConfig(object, "x");
    expect(thrownBy(() => openConfig(config)).message).toContain("2 devices, and this program takes one");
    const opened = openInterfaces(config);
    expect(opened.map(({ mtu, addresses }) => [mtu, addresses])).toEqual([
      [1500, ["10.0.0.1/24"]],
      [600, ["10.0.1.1/24"]],
    ]);
    for (const [i, { peer, device }] of opened.entries()) {
      send(peer!, [i]);
      receiveAll(device);
    }
    for (const { device } of opened) device.close();
    expect(readCapture(path).packets.map(({ bytes }) => [...bytes])).toEqual([[0], [1]]);
    const bare = parseConfig({ device: object.device }, "x");
    expect(openDevices(bare)).toHaveLength(2);
    expect(thrownBy(() => openInterfaces(bare)).message).toContain("2 devices and 0 interfaces");
  });

  systemTest("middleware with a device is around that one only", ["tun"], async (ns) => {
    const path = join(directory, "second.pcap");
    const device = [{ name: "wire0" }, { name: "wire1" }];
    const middleware = { type: "pcap", file: path, device: "wire1" };
    const opened = ns.inside(() => openDevices(parseConfig({ device, middleware }, "x")));
    for (const [i, each] of opened.entries()) send(each.device, [0x45, i]);
    for (const each of opened) each.device.close();
    expect(readCapture(path).packets.map(({ bytes }) => [...bytes])).toEqual([[0x45, 1]]);
  });

  systemTest("what was opened is closed again where the rest can't be", ["tun"], async (ns) => {
    const device = { name: "wire0", mtu: 1300, "host-address": "192.168.69.9/24" };
    const opened = ns.inside(() => openConfig(parseConfig({ device }, "x")));
    expect(opened.peer).toBeNull();
    expect(opened.name).toBe("wire0");
    expect(await ns.ok(["ip", "address", "show", "dev", "wire0"])).toMatch(
      /mtu 1300[\s\S]*192\.168\.69\.9\/24/,
    );
    opened.device.close();
    const bad = parseConfig(
      { device: [{ name: "wire0" }, { name: "wire1", capture: join(directory, "no", "such.pcap") }] },
      "x",
    );
    expect(thrownBy(() => ns.inside(() => openDevices(bad))).code).toBe("ENOENT");
    expect(await ns.ok(["ip", "-brief", "link"])).not.toContain("wire");
  });
});
