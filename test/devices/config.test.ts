import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, loadConfig, openConfig, parseConfig } from "../../devices/config.ts";
import { configFromFlags } from "../../devices/config-flags.ts";
import { StackError } from "../../src/errors.ts";
import { systemTest } from "../support/system.ts";
import { failure, receiveAll, send } from "./frames.ts";

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

const TUN_DEFAULT: Config = {
  device: { type: "tun", mtu: 1500, hostAddress: "192.168.69.100/24" },
  interface: { addresses: ["192.168.69.1/24"] },
};

describe("parseConfig", () => {
  test("fills in the defaults", () => {
    expect(parseConfig({}, "x")).toEqual(TUN_DEFAULT);
    expect(parseConfig({ device: { type: "tun" }, interface: {} }, "x")).toEqual(TUN_DEFAULT);
    expect(parseConfig({ device: { type: "memory" } }, "x")).toEqual({
      device: { type: "memory", mtu: 1500 },
      interface: { addresses: ["192.168.69.1/24"] },
    });
  });

  test("takes every key", () => {
    const object = {
      device: { type: "tun", name: "tun7", mtu: 1280, "host-address": "10.0.0.1/30", capture: "a.pcap" },
      interface: { addresses: ["10.0.0.2/30", "fd00::2/64"], gateway: "10.0.0.1" },
    };
    expect(parseConfig(object, "x")).toEqual({
      device: { type: "tun", name: "tun7", mtu: 1280, hostAddress: "10.0.0.1/30", capture: "a.pcap" },
      interface: { addresses: ["10.0.0.2/30", "fd00::2/64"], gateway: "10.0.0.1" },
    });
  });

  test("gives the kernel no address that the stack could not reach, or has itself", () => {
    const hostAddress = (address: string): string | undefined =>
      parseConfig({ interface: { addresses: [address] } }, "x").device.hostAddress;
    expect(hostAddress("10.0.0.1/24")).toBeUndefined();
    expect(hostAddress("192.168.69.100/24")).toBeUndefined();
    expect(hostAddress("192.168.69.7/24")).toBe("192.168.69.100/24");
  });

  const wrong: [string, unknown, string][] = [
    ["an object that is none", [], "t.toml: a configuration is a table"],
    ["an unknown table", { devices: {} }, 't.toml: there is no key devices; did you mean "device"?'],
    ["a table that is none", { device: "tun" }, 't.toml: device is "tun"; write a table [device]'],
    ["a near miss", { device: { tpye: "tun" } }, 't.toml: there is no key device.tpye; did you mean "type"?'],
    [
      "camelCase",
      { device: { hostAddress: "x" } },
      'no key device.hostAddress; did you mean "host-address"?',
    ],
    [
      "an underscore",
      { device: { host_address: "x" } },
      'no key device.host_address; did you mean "host-address"?',
    ],
    [
      "a far miss",
      { device: { colour: 1 } },
      "no key device.colour; known are type, name, mtu, host-address, capture.",
    ],
    [
      "a key of the other table",
      { interface: { mtu: 1500 } },
      "no key interface.mtu; it belongs in [device].",
    ],
    ["a key at the top", { gateway: "10.0.0.1" }, "no key gateway; it belongs in [interface]."],
    ["a key of every object", { device: { constructor: 1 } }, "no key device.constructor"],
    [
      "an unknown type",
      { device: { type: "tunn" } },
      'device.type is "tunn"; write "tun" or "memory". Did you mean "tun"?',
    ],
    ["a type of another kind", { device: { type: 1 } }, 'device.type is 1; write "tun" or "memory".'],
    [
      "an MTU as text",
      { device: { mtu: "1500" } },
      'device.mtu is "1500"; write a whole number from 68 to 65535',
    ],
    ["an MTU with a fraction", { device: { mtu: 1500.5 } }, "device.mtu is 1500.5"],
    ["an MTU too small", { device: { mtu: 67 } }, "device.mtu is 67"],
    ["an MTU too large", { device: { mtu: 65536 } }, "device.mtu is 65536"],
    ["a bad name", { device: { name: "a/b" } }, 'device.name is "a/b"; write an interface name'],
    [
      "a host address without prefix",
      { device: { "host-address": "10.0.0.1" } },
      "write an address with its prefix",
    ],
    ["one address", { interface: { addresses: "10.0.0.1/24" } }, "interface.addresses is"],
    ["no address", { interface: { addresses: [] } }, "interface.addresses is []; write a list"],
    [
      "a bad address",
      { interface: { addresses: ["10.0.0.1/24", "10.0.0/24"] } },
      "interface.addresses[1] is",
    ],
    ["a gateway with prefix", { interface: { gateway: "10.0.0.1/24" } }, "write an address without a prefix"],
    ["an empty file name", { device: { capture: "" } }, "device.capture is"],
    ["a date", { device: { capture: new Date(0) } }, "device.capture is"],
    [
      "a name in memory",
      { device: { type: "memory", name: "tun0" } },
      "t.toml: device.name is only for a TUN device",
    ],
    [
      "a host address in memory",
      { device: { type: "memory", "host-address": "10.0.0.1/24" } },
      "t.toml: device.host-address is only for a TUN device",
    ],
    [
      "one address for both",
      { device: { "host-address": "10.0.0.1/24" }, interface: { addresses: ["10.0.0.1/24"] } },
      "t.toml: device.host-address is 10.0.0.1/24, which is an address of the stack too",
    ],
    [
      "a host address far from the default",
      { device: { "host-address": "10.0.0.1/24" } },
      "give it an address in the kernel's network (interface.addresses, --address)",
    ],
  ];
  for (const [what, object, message] of wrong) {
    test(`refuses ${what}`, () => {
      const error = failure(() => parseConfig(object, "t.toml"));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain(message);
      expect(error.message).toStartWith("t.toml: ");
    });
  }

  test("does not guess where nothing is near", () => {
    expect(failure(() => parseConfig({ device: { type: "ethernet" } }, "x")).message).not.toContain(
      "Did you mean",
    );
  });
});

describe("loadConfig", () => {
  test("reads the examples", async () => {
    expect(await loadConfig(`${EXAMPLES}/tun.toml`)).toEqual({
      device: { type: "tun", name: "tun0", mtu: 1500, hostAddress: "192.168.69.100/24" },
      interface: { addresses: ["192.168.69.1/24"], gateway: "192.168.69.100" },
    });
    expect(await loadConfig(`${EXAMPLES}/memory.toml`)).toEqual({
      device: { type: "memory", mtu: 1500 },
      interface: { addresses: ["192.168.69.1/24"] },
    });
  });

  test("reads JSON", async () => {
    const path = file("a.json", JSON.stringify({ device: { type: "memory", mtu: 9000 } }));
    expect((await loadConfig(path)).device).toEqual({ type: "memory", mtu: 9000 });
  });

  test("names the file in every error", async () => {
    const missing = await rejection(loadConfig(join(directory, "none.toml")));
    expect(missing.code).toBe("ENOENT");
    expect(missing.message).toContain("none.toml does not exist");
    for (const [name, text, message] of [
      ["bad.toml", "[device\n", "bad.toml is not valid TOML"],
      ["bad.json", "{", "bad.json is not valid JSON"],
      ["key.toml", "[device]\nmut = 1", 'key.toml: there is no key device.mut; did you mean "mtu"?'],
      ["a.yaml", "", "a.yaml is neither .toml nor .json"],
    ]) {
      const error = await rejection(loadConfig(file(name, text)));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain(message);
    }
  });
});

describe("configFromFlags", () => {
  test("without flags gives the defaults, and leaves all arguments", () => {
    expect(configFromFlags(["--port", "80", "file", "-v"])).toEqual({
      config: TUN_DEFAULT,
      rest: ["--port", "80", "file", "-v"],
    });
  });

  test("takes every flag, with a space or an equals sign", () => {
    const config: Config = {
      device: { type: "tun", name: "tun7", mtu: 1400, hostAddress: "10.0.0.1/24", capture: "a=b.pcap" },
      interface: { addresses: ["10.0.0.2/24", "10.0.0.3/24"], gateway: "10.0.0.1" },
    };
    const flags = [
      ["--device", "tun"],
      ["--name", "tun7"],
      ["--mtu", "1400"],
      ["--host-address", "10.0.0.1/24"],
      ["--address", "10.0.0.2/24"],
      ["--capture", "a=b.pcap"],
      ["--gateway", "10.0.0.1"],
      ["--address", "10.0.0.3/24"],
    ];
    expect(configFromFlags(["x", ...flags.flat(), "--port=7"])).toEqual({ config, rest: ["x", "--port=7"] });
    expect(configFromFlags(flags.map((pair) => pair.join("=")))).toEqual({ config, rest: [] });
  });

  test("flags override the file, wherever they stand", () => {
    const path = file(
      "base.toml",
      '[device]\nname = "tun1"\nmtu = 1300\n[interface]\ngateway = "192.168.69.100"\n',
    );
    for (const argv of [
      ["--mtu", "1400", "--config", path],
      ["--config", path, "--mtu", "1400"],
    ]) {
      expect(configFromFlags(argv).config).toEqual({
        device: { type: "tun", name: "tun1", mtu: 1400, hostAddress: "192.168.69.100/24" },
        interface: { addresses: ["192.168.69.1/24"], gateway: "192.168.69.100" },
      });
    }
  });

  test("--device memory works with a file for a TUN device", () => {
    expect(configFromFlags(["--config", `${EXAMPLES}/tun.toml`, "--device", "memory"]).config.device).toEqual(
      {
        type: "memory",
        mtu: 1500,
      },
    );
    const error = failure(() => configFromFlags(["--device", "memory", "--name", "tun7"]));
    expect(error.message).toStartWith("--name is only for a TUN device");
  });

  test("the last of a repeated flag counts; what stands behind -- is left alone", () => {
    const { config, rest } = configFromFlags(["--mtu", "1400", "--mtu=1300", "a", "--", "--mtu", "9"]);
    expect(config.device.mtu).toBe(1300);
    expect(rest).toEqual(["a", "--", "--mtu", "9"]);
  });

  test("says which flag is wrong, and how it is right", () => {
    for (const [argv, message] of [
      [["--mtu"], "--mtu needs a value: write for example --mtu 1500."],
      [["--name", "--mtu", "1500"], "--name needs a value"],
      [["--address="], "--address needs a value: write for example --address 192.168.69.1/24."],
      [["--mtu", "big"], '--mtu is "big"; write a whole number'],
      [["--mtu", "1e3"], '--mtu is "1e3"; write a whole number'],
      [["--device", "mem0ry"], 'Did you mean "memory"?'],
      [["--address", "10.0.0.1"], '--address is "10.0.0.1"; write an address with its prefix'],
      [["--gateway", "home"], '--gateway is "home"'],
    ] as const) {
      const error = failure(() => configFromFlags(argv));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain(message);
    }
    expect(failure(() => configFromFlags(["--config", "nowhere.toml"])).code).toBe("ENOENT");
  });
});

describe("openConfig", () => {
  test("opens a memory pair, and records it", async () => {
    const path = join(directory, "memory.pcap");
    const config = parseConfig({ device: { type: "memory", mtu: 600, capture: path } }, "x");
    const { device, peer, ...others } = openConfig(config);
    expect(others).toEqual({ addresses: ["192.168.69.1/24"], mtu: 600, name: null });
    expect(device.capabilities.mtu).toBe(600);
    send(peer!, [1, 2]);
    expect(receiveAll(device)).toEqual([[1, 2]]);
    send(device, [3]);
    expect(receiveAll(peer!)).toEqual([[3]]);
    device.close();
    expect(await Bun.file(path).bytes()).toHaveLength(24 + 16 + 2 + 16 + 1);
  });

  test("passes the gateway on", () => {
    const config = parseConfig({ device: { type: "memory" }, interface: { gateway: "192.168.69.2" } }, "x");
    expect(openConfig(config).gateway).toBe("192.168.69.2");
  });

  systemTest(
    "opens a TUN device, and closes it again where its capture file can't be made",
    ["tun"],
    async (ns) => {
      const device = { name: "wire0", mtu: 1300, "host-address": "192.168.69.9/24" };
      const opened = ns.inside(() => openConfig(parseConfig({ device }, "x")));
      expect(opened.peer).toBeNull();
      expect(opened.name).toBe("wire0");
      expect(await ns.ok(["ip", "address", "show", "dev", "wire0"])).toMatch(
        /mtu 1300[\s\S]*192\.168\.69\.9\/24/,
      );
      opened.device.close();
      const bad = parseConfig({ device: { ...device, capture: join(directory, "no", "such.pcap") } }, "x");
      expect(failure(() => ns.inside(() => openConfig(bad))).code).toBe("ENOENT");
      expect((await ns.run(["ip", "link", "show", "dev", "wire0"])).exitCode).not.toBe(0);
    },
  );
});
