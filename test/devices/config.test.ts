import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, loadConfig, parseConfig } from "../../devices/config.ts";
import { withTable } from "../../devices/config-doc.ts";
import { keysOf } from "../../devices/config-schema.ts";
import { StackError } from "../../src/errors.ts";
import { thrownBy } from "../support/errors.ts";

const directory = mkdtempSync(join(tmpdir(), "tapwire-config-"));
afterAll(() => rmSync(directory, { recursive: true }));
const EXAMPLES = `${import.meta.dir}/../../examples/config`;

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

async function rejection(promise: Promise<unknown>): Promise<StackError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof StackError) return error;
  throw new Error(`expected a StackError, got ${error}`);
}

const TUN = { type: "tun", mtu: 1500, offload: true, trace: false } as const;
const INTERFACE = { device: 0, addresses: ["192.168.69.1/24"], routes: [] };
const TUN_DEFAULT: Config = {
  devices: [{ ...TUN, hostAddress: "192.168.69.100/24" }],
  middleware: [],
  interfaces: [INTERFACE],
};

describe("parseConfig", () => {
  test("fills in the defaults", () => {
    expect(parseConfig({}, "x")).toEqual(TUN_DEFAULT);
    expect(parseConfig({ device: { type: "tun" }, interface: {} }, "x")).toEqual(TUN_DEFAULT);
    expect(parseConfig({ device: { type: "memory" } }, "x")).toEqual({
      devices: [{ type: "memory", medium: "ip", mtu: 1500, offload: true, trace: false }],
      middleware: [],
      interfaces: [INTERFACE],
    });
    expect(parseConfig({ device: { type: "tap" } }, "x")).toEqual({
      devices: [{ ...TUN, type: "tap", hostAddress: "192.168.69.100/24" }],
      middleware: [],
      interfaces: [{ ...INTERFACE, conflictDetection: "fast", maxNeighbours: 1024 }],
    });
    expect(parseConfig({ device: { type: "raw", name: "veth1" } }, "x").devices).toEqual([
      {
        ...{ type: "raw", name: "veth1", offload: true, trace: false },
        ...{ multicast: false, bypassQueue: false, bufferSize: 4 << 20 },
      },
    ]);
  });

  test("takes every key of a device and an interface", () => {
    const object = {
      device: {
        type: "tap",
        name: "tap7",
        mtu: 1280,
        "host-address": "10.0.0.1/30",
        "hardware-address": "02:00:00:00:00:07",
        offload: false,
        "queue-length": 100,
        capture: "a.pcap",
        trace: true,
      },
      interface: {
        addresses: ["10.0.0.2/30", "10.0.1.2/24"],
        gateway: "10.0.0.1",
        routes: [{ to: "172.16.0.0/12", via: "10.0.1.9" }],
        vlan: 4094,
        "conflict-detection": "off",
      },
    };
    expect(parseConfig(object, "x")).toEqual({
      devices: [
        {
          type: "tap",
          name: "tap7",
          mtu: 1280,
          hostAddress: "10.0.0.1/30",
          hardwareAddress: "02:00:00:00:00:07",
          offload: false,
          queueLength: 100,
          capture: "a.pcap",
          trace: true,
        },
      ],
      middleware: [],
      interfaces: [
        {
          device: 0,
          addresses: ["10.0.0.2/30", "10.0.1.2/24"],
          gateway: "10.0.0.1",
          routes: [{ to: "172.16.0.0/12", via: "10.0.1.9" }],
          vlan: 4094,
          conflictDetection: "off",
          maxNeighbours: 1024,
        },
      ],
    });
  });

  test("gives the kernel no address that the stack could not reach, or has itself", () => {
    const hostAddress = (address: string): string | undefined =>
      parseConfig({ interface: { addresses: [address] } }, "x").devices[0].hostAddress;
    expect(hostAddress("10.0.0.1/24")).toBeUndefined();
    expect(hostAddress("192.168.69.100/24")).toBeUndefined();
    expect(hostAddress("192.168.69.7/24")).toBe("192.168.69.100/24");
  });

  test("takes a list of devices, interfaces on them, and middleware around them", () => {
    const object = {
      device: [
        { type: "tap", name: "left" },
        { type: "raw", name: "right" },
      ],
      interface: [
        { device: "right", addresses: ["10.0.0.1/24"] },
        { device: "left", addresses: ["192.168.69.1/24"] },
      ],
      middleware: [
        { type: "fault", drop: 0.5, swap: 0.5 },
        { type: "pcap", file: "x.pcap", device: "right" },
      ],
    };
    const { devices, interfaces, middleware } = parseConfig(object, "x");
    expect(devices.map((device) => device.hostAddress)).toEqual(["192.168.69.100/24", undefined]);
    expect(interfaces.map(({ device, addresses }) => [device, addresses])).toEqual([
      [1, ["10.0.0.1/24"]],
      [0, ["192.168.69.1/24"]],
    ]);
    expect(middleware).toMatchObject([
      { type: "fault", reorder: 0, delayMs: 0, seed: 1, drop: 0.5, duplicate: 0, swap: 0.5, corrupt: 0 },
      { type: "pcap", file: "x.pcap", device: 1 },
    ]);
    expect(middleware[0]).not.toHaveProperty("device");
    const inOrder = object.interface.map(({ addresses }) => ({ addresses }));
    expect(
      parseConfig({ ...object, interface: inOrder }, "x").interfaces.map(({ device }) => device),
    ).toEqual([0, 1]);
    expect(parseConfig({ device: object.device }, "x").interfaces).toEqual([]);
  });

  const tap = (keys: object) => ({ device: { type: "tap" }, interface: keys });
  const two = [
    { type: "tap", name: "left" },
    { type: "tap", name: "right" },
  ];
  const wrong: [string, unknown, string][] = [
    ["an object that is none", [], "t.toml: a configuration is a table"],
    ["an unknown table", { devices: {} }, 't.toml: there is no key devices; did you mean "device"?'],
    ["a table that is none", { device: "tun" }, 't.toml: device is "tun"; write a table [device]'],
    ["a list of no tables", { device: [1] }, "t.toml: device[0] is 1; write a table [[device]]"],
    ["a near miss", { device: { tpye: "tun" } }, 't.toml: there is no key device.tpye; did you mean "type"?'],
    [
      "a near miss in a list",
      { device: [{}, { tpye: "tun" }] },
      "there is no key device[1].tpye; did you mean",
    ],
    [
      "camelCase",
      { device: { hostAddress: "x" } },
      'no key device.hostAddress; did you mean "host-address"?',
    ],
    ["an underscore", { device: { host_address: "x" } }, 'device.host_address; did you mean "host-address"?'],
    [
      "a far miss",
      { device: { colour: 1 } },
      "no key device.colour; known are type, name, medium, mtu, host-",
    ],
    ["a key of the other table", { interface: { mtu: 1 } }, "no key interface.mtu; it belongs in [device]."],
    ["a key at the top", { gateway: "10.0.0.1" }, "no key gateway; it belongs in [interface]."],
    ["a key of every object", { device: { constructor: 1 } }, "no key device.constructor"],
    [
      "an unknown type",
      { device: { type: "tunn" } },
      'device.type is "tunn"; write "memory", "tun", "tap" or "raw". Did you mean "tun"?',
    ],
    [
      "a type of another kind",
      { device: { type: 1 } },
      'device.type is 1; write "memory", "tun", "tap" or "raw".',
    ],
    [
      "an MTU as text",
      { device: { mtu: "1500" } },
      'device.mtu is "1500"; write a whole number from 68 to 65535',
    ],
    ["an MTU with a fraction", { device: { mtu: 1500.5 } }, "device.mtu is 1500.5"],
    ["an MTU too small", { device: { mtu: 67 } }, "device.mtu is 67"],
    ["an MTU too large", { device: { mtu: 65536 } }, "device.mtu is 65536"],
    [
      "an MTU too small for IPv6",
      { device: { mtu: 1279 }, ...v6() },
      "t.toml: device.mtu is 1279, and IPv6 needs 1280",
    ],
    ["IPv6", v6(), "t.toml: interface.addresses[1] is fd00::1/64; IPv6 is not supported yet"],
    ["a bad name", { device: { name: "a/b" } }, 'device.name is "a/b"; write an interface name'],
    ["text for a boolean", { device: { offload: "no" } }, 'device.offload is "no"; write true or false'],
    [
      "a queue of nothing",
      { device: { "queue-length": 0 } },
      "device.queue-length is 0; write a whole number",
    ],
    [
      "a group's hardware address",
      { device: { type: "tap", "hardware-address": "01:00:00:00:00:01" } },
      "device.hardware-address is",
    ],
    [
      "a host address without prefix",
      { device: { "host-address": "10.0.0.1" } },
      "an address with its prefix",
    ],
    ["one address", { interface: { addresses: "10.0.0.1/24" } }, "interface.addresses is"],
    ["no address", { interface: { addresses: [] } }, "interface.addresses is []; write a list"],
    ["a bad address", own("10.0.0.1/24", "10.0.0/24"), "interface.addresses[1] is"],
    ["an address twice", own("10.0.0.1/24", "10.0.0.1/24"), "interface.addresses[1] is"],
    [
      "an address twice with two prefixes",
      own("10.0.0.1/24", "10.0.0.1/8"),
      "the stack has 10.0.0.1 already",
    ],
    ["a network's address", own("10.0.0.0/24"), "addresses[0] is 10.0.0.0/24, which is the network address"],
    [
      "a broadcast address",
      own("10.0.0.255/24"),
      "addresses[0] is 10.0.0.255/24, which is the broadcast address",
    ],
    ["no address at all", own("0.0.0.0/0"), "addresses[0] is 0.0.0.0/0, which stands for no address"],
    ["a group's address", own("224.0.0.1/24"), "which is a multicast group"],
    ["a loopback address", own("127.0.0.1/8"), "which never leaves a machine"],
    [
      "a gateway with prefix",
      { interface: { gateway: "10.0.0.1/24" } },
      "write the address of a host without a",
    ],
    [
      "a gateway of another network",
      { interface: { gateway: "10.0.0.1" } },
      "t.toml: interface.gateway is 10.0.0.1, which is in none of the interface's networks (192.168.69.0/24)",
    ],
    ["itself as gateway", { interface: { gateway: "192.168.69.1" } }, "which is the stack's own address"],
    [
      "a network as gateway",
      { interface: { gateway: "192.168.69.255" } },
      "which is the broadcast address of",
    ],
    ["one route", { interface: { routes: {} } }, "interface.routes is {}; write a list, like"],
    [
      "a route that is none",
      { interface: { routes: ["10.0.0.0/8"] } },
      'interface.routes[0] is "10.0.0.0/8"',
    ],
    [
      "a route's unknown key",
      { interface: { routes: [{ to: "10.0.0.0/8", vai: "x" }] } },
      't.toml: interface.routes[0]: there is no key vai; did you mean "via"?',
    ],
    ["half a route", { interface: { routes: [{ to: "10.0.0.0/8" }] } }, "interface.routes[0] has no key via"],
    [
      "a route to a host in a net",
      route("10.0.0.1/8", "192.168.69.2"),
      "a host in the network 10.0.0.0/8: write",
    ],
    [
      "a route by nowhere",
      route("10.0.0.0/8", "10.0.0.1"),
      "interface.routes[0].via is 10.0.0.1, which is in none",
    ],
    [
      "a VLAN out of range",
      tap({ vlan: 4095 }),
      "interface.vlan is 4095; write a whole number from 1 to 4094",
    ],
    [
      "a VLAN on TUN",
      { interface: { vlan: 7 } },
      "interface.vlan is only for ethernet, and this device's medium is ip",
    ],
    ["an empty file name", { device: { capture: "" } }, "device.capture is"],
    ["a date", { device: { capture: new Date(0) } }, "device.capture is"],
    [
      "a name in memory",
      { device: { type: "memory", name: "tun0" } },
      "t.toml: device.name is only for tun, tap and raw, and this device is memory: leave it out.",
    ],
    [
      "a host address in memory",
      { device: { type: "memory", "host-address": "10.0.0.1/24" } },
      "t.toml: device.host-address is only for tun and tap, and this device is memory",
    ],
    [
      "a raw socket on nothing",
      { device: { type: "raw" } },
      "t.toml: device has no name: say which interface",
    ],
    [
      "one address for both",
      { device: { "host-address": "10.0.0.1/24" }, ...own("10.0.0.1/24") },
      "t.toml: device.host-address is 10.0.0.1/24, which is an address of the stack too",
    ],
    [
      "a host address far from the stack's",
      { device: { "host-address": "10.0.0.2/24" }, ...own("10.0.1.1/24") },
      "t.toml: device.host-address is 10.0.0.2/24, which is in none of the stack's networks (10.0.1.0/24)",
    ],
    [
      "a broadcast address for the kernel",
      { device: { "host-address": "192.168.69.255/24" } },
      "t.toml: device.host-address is 192.168.69.255/24, which is the broadcast address of its network",
    ],
    [
      "a host address far from the default",
      { device: { "host-address": "10.0.0.1/24" } },
      "give it an address in the kernel's network (interface.addresses, --address)",
    ],
    [
      "middleware without a type",
      { middleware: [{}] },
      't.toml: middleware.type is missing: write "trace", "pcap"',
    ],
    ["a fault that is none", { middleware: [{ type: "falut" }] }, 'Did you mean "fault"?'],
    [
      "a recording without a file",
      { middleware: { type: "pcap" } },
      "t.toml: middleware.file is missing: write the",
    ],
    [
      "an option of other middleware",
      { middleware: [{ type: "trace" }, { type: "trace", drop: 0.1 }] },
      "t.toml: middleware[1].drop is only for fault, and this middleware is trace: leave it out.",
    ],
    [
      "a probability over 1",
      { middleware: [{ type: "fault", drop: 1.1 }] },
      "middleware.drop is 1.1; write a number",
    ],
    [
      "a probability in percent",
      { middleware: [{ type: "fault", drop: "1%" }] },
      'middleware.drop is "1%"; write',
    ],
    [
      "too much together",
      { middleware: [{ type: "fault", drop: 0.6, swap: 0.5 }] },
      "t.toml: middleware has probabilities that add up to 1.1 (drop, swap)",
    ],
    [
      "a queue before nothing",
      { middleware: [{ type: "fault", queue: 1000 }] },
      "t.toml: middleware.queue is for a link that carries so much and no more: give it a rate, too.",
    ],
    [
      "a link that stands still",
      { middleware: [{ type: "fault", rate: 0 }] },
      "t.toml: middleware.rate is 0; write",
    ],
    [
      "more than every frame",
      { middleware: [{ type: "fuzz", rate: 2 }] },
      "middleware.rate is 2; write a probability",
    ],
    [
      "two ways to be late",
      { middleware: [{ type: "fault", reorder: 0.1, "reorder-ms": 5, "reorder-distance": 2 }] },
      "t.toml: middleware.reorder-ms stands beside reorder-distance",
    ],
    [
      "files to keep of one",
      { middleware: [{ type: "pcap", file: "x", "rotate-files": 2 }] },
      "t.toml: middleware.rotate-files says how many files to keep, not when",
    ],
    [
      "an unknown mutation",
      { middleware: [{ type: "fuzz", mutations: ["bits", "bytes"] }] },
      't.toml: middleware.mutations[1] is "bytes"; write "bits"',
    ],
    [
      "the interface's hardware address on TAP",
      { device: { type: "tap", "hardware-address": "interface" } },
      't.toml: device.hardware-address is "interface", which is only for raw',
    ],
    [
      "middleware around nothing",
      { device: { name: "tun7" }, middleware: [{ type: "trace", device: "tun8" }] },
      't.toml: middleware.device is "tun8", but the devices are "tun7". Did you mean "tun7"?',
    ],
    [
      "a device without a name",
      { interface: { device: "x" } },
      'interface.device is "x", but no device has a name',
    ],
    [
      "two devices of one name",
      { device: [two[0], two[0]] },
      't.toml: device[1].name is "left", which another device has',
    ],
    [
      "two interfaces on one device",
      {
        device: two,
        interface: ["10.0.0.1/24", "10.0.1.1/24"].map((each) => ({ device: "left", addresses: [each] })),
      },
      "t.toml: interface[1].device is on the same device as interface[0]",
    ],
    [
      "an interface too many",
      { interface: [{ addresses: ["10.0.0.1/24"] }, { addresses: ["10.0.1.1/24"] }] },
      "t.toml: interface[1] has no device beneath it: there is one, and each carries one interface",
    ],
    [
      "an address on two interfaces",
      { device: two, interface: [{ addresses: ["10.0.0.1/24"] }, { addresses: ["10.0.0.1/24"] }] },
      "t.toml: interface[1].addresses[0] is 10.0.0.1/24, and the stack has 10.0.0.1 already",
    ],
    [
      "interfaces without addresses",
      { device: two, interface: [{}, {}] },
      "t.toml: interface[0].addresses is missing: with several interfaces",
    ],
  ];
  function own(...addresses: string[]) {
    return { interface: { addresses } };
  }
  function v6() {
    return own("10.0.0.1/24", "fd00::1/64");
  }
  function route(to: string, via: string) {
    return { interface: { routes: [{ to, via }] } };
  }
  for (const [what, object, message] of wrong) {
    test(`refuses ${what}`, () => {
      const error = thrownBy(() => parseConfig(object, "t.toml"));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain(message);
      expect(error.message).toStartWith("t.toml: ");
    });
  }

  test("does not guess where nothing is near", () => {
    expect(thrownBy(() => parseConfig({ device: { type: "ethernet" } }, "x")).message).not.toContain(
      "Did you mean",
    );
  });

  test("takes what only looks wrong", () => {
    parseConfig(own("10.0.0.0/31"), "x"); // RFC 3021
    parseConfig(own("10.0.0.1/32"), "x");
    parseConfig({ middleware: [{ type: "fault", drop: 0.1, swap: 0.2, duplicate: 0.3, corrupt: 0.4 }] }, "x");
    parseConfig({ device: [{ name: "tun%d" }, { name: "tun%d" }] }, "x");
  });
});

describe("loadConfig", () => {
  test("reads the examples", async () => {
    expect(await loadConfig(`${EXAMPLES}/tun.toml`)).toEqual({
      devices: [{ ...TUN, name: "tun0", hostAddress: "192.168.69.100/24" }],
      middleware: [],
      interfaces: [{ ...INTERFACE, gateway: "192.168.69.100" }],
    });
    expect((await loadConfig(`${EXAMPLES}/memory.toml`)).interfaces).toEqual([INTERFACE]);
    expect((await loadConfig(`${EXAMPLES}/tap.toml`)).devices[0]).toMatchObject({
      type: "tap",
      name: "tap0",
    });
    expect((await loadConfig(`${EXAMPLES}/raw.toml`)).devices[0]).toMatchObject({
      type: "raw",
      name: "veth1",
    });
    expect((await loadConfig(`${EXAMPLES}/bridge.toml`)).devices.map(({ name }) => name)).toEqual([
      "tap1",
      "tap2",
    ]);
  });

  test("reads JSON", async () => {
    const path = file("a.json", JSON.stringify({ device: { type: "memory", mtu: 9000 } }));
    expect((await loadConfig(path)).devices[0]).toMatchObject({ type: "memory", mtu: 9000 });
  });

  test("names the file in every error", async () => {
    const missing = await rejection(loadConfig(join(directory, "none.toml")));
    expect(missing.code).toBe("ENOENT");
    expect(missing.message).toContain("none.toml does not exist");
    for (const [name, text, message] of [
      ["bad.toml", "[device\n", "bad.toml is not valid TOML"],
      ["bad.json", "{", "bad.json is not valid JSON"],
      ["key.toml", "[device]\nmut = 1", 'key.toml: there is no key device.mut; did you mean "mtu"?'],
      ["list.toml", "[[device]]\n[[device]]\nmut = 1", "list.toml: there is no key device[1].mut"],
      ["a.yaml", "", "a.yaml is neither .toml nor .json"],
    ]) {
      const error = await rejection(loadConfig(file(name, text)));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain(message);
    }
  });
});

describe("CONFIG.md", () => {
  const document = readFileSync(`${import.meta.dir}/../../devices/CONFIG.md`, "utf8");

  test("has the table that the schema makes; bun run devices/config-doc.ts renews it", () => {
    expect(document).toBe(withTable(document));
  });

  test("has every key, and its programs are valid", () => {
    for (const table of ["device", "middleware", "interface"] as const) {
      for (const [name, { doc }] of Object.entries(keysOf(table))) {
        const row = document
          .split("\n")
          .find((line) => line.includes(`| \`${name}\` |`) && line.endsWith(`${doc} |`));
        expect(row).toMatch(new RegExp(`^\\| \`\\[+${table}\\]+\` \\|`));
      }
    }
    const programs = [...document.matchAll(/```toml\n([\s\S]*?)```/g)].map(([, text]) => text);
    expect(programs).toHaveLength(2);
    for (const text of programs) parseConfig(Bun.TOML.parse(text), "CONFIG.md");
  });
});
