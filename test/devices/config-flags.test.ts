import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configFromFlags, configUsage } from "../../devices/config-flags.ts";
import { thrownBy } from "../support/errors.ts";

const directory = mkdtempSync(join(tmpdir(), "tapwire-flags-"));
afterAll(() => rmSync(directory, { recursive: true }));
const EXAMPLES = `${import.meta.dir}/../../examples/config`;

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

/** The only device and the only interface. */
function single(...argv: string[]) {
  const { devices, interfaces } = configFromFlags(argv).config;
  expect([devices.length, interfaces.length]).toEqual([1, 1]);
  return { ...interfaces[0], ...devices[0] };
}

describe("configFromFlags", () => {
  test("without flags gives the defaults, and leaves all arguments", () => {
    const { config, rest } = configFromFlags(["--port", "80", "file", "-v"]);
    expect(rest).toEqual(["--port", "80", "file", "-v"]);
    expect(config.devices).toMatchObject([{ type: "tun", mtu: 1500, hostAddress: "192.168.69.100/24" }]);
    expect(config.interfaces).toMatchObject([{ addresses: ["192.168.69.1/24"] }]);
  });

  test("takes every flag, with a space or an equals sign", () => {
    const flags = [
      ["--device", "tap"],
      ["--name", "tap7"],
      ["--mtu", "1400"],
      ["--host-address", "10.0.0.1/24"],
      ["--hardware-address", "02:00:00:00:00:09"],
      ["--address", "10.0.0.2/24"],
      ["--capture", "a=b.pcap"],
      ["--gateway", "10.0.0.1"],
      ["--address", "10.0.0.3/24"],
    ];
    const expected = {
      ...{ type: "tap", name: "tap7", mtu: 1400, hostAddress: "10.0.0.1/24", capture: "a=b.pcap" },
      ...{ hardwareAddress: "02:00:00:00:00:09", gateway: "10.0.0.1" },
      ...{ offload: false, trace: true, addresses: ["10.0.0.2/24", "10.0.0.3/24"] },
    } as const;
    const switches = ["--no-offload", "--trace"];
    const { config, rest } = configFromFlags(["x", ...flags.flat(), ...switches, "--port=7"]);
    expect(rest).toEqual(["x", "--port=7"]);
    expect({ ...config.interfaces[0], ...config.devices[0] }).toMatchObject(expected);
    expect(single(...flags.map((pair) => pair.join("=")), "--offload=false", "--trace=true")).toMatchObject(
      expected,
    );
  });

  test("flags override the file, wherever they stand", () => {
    const path = file(
      "base.toml",
      '[device]\nname = "tun1"\nmtu = 1300\noffload = false\n[interface]\ngateway = "192.168.69.100"\n',
    );
    for (const argv of [
      ["--mtu", "1400", "--offload", "--config", path],
      ["--config", path, "--mtu", "1400", "--offload"],
      [`--config=${path}`, "--mtu=1400", "--no-offload", "--offload"],
    ]) {
      expect(single(...argv)).toMatchObject({
        ...{ type: "tun", name: "tun1", mtu: 1400, hostAddress: "192.168.69.100/24", offload: true },
        ...{ addresses: ["192.168.69.1/24"], gateway: "192.168.69.100" },
      });
    }
  });

  test("--device of another type leaves out what is not for it", () => {
    const tun = ["--config", `${EXAMPLES}/tun.toml`];
    expect(single(...tun, "--device", "memory")).toEqual({
      ...{ type: "memory", medium: "ip", mtu: 1500, offload: true, trace: false },
      ...{ device: 0, addresses: ["192.168.69.1/24"], gateway: "192.168.69.100", routes: [] },
    });
    expect(single(...tun, "--device", "raw")).not.toHaveProperty("mtu");
    const tagged = file("tagged.toml", '[device]\ntype = "tap"\n[interface]\nvlan = 7\n');
    expect(single("--config", tagged)).toMatchObject({ vlan: 7 });
    expect(single("--config", tagged, "--device", "tun")).not.toHaveProperty("vlan");
    expect(thrownBy(() => configFromFlags(["--device", "memory", "--name", "tun7"])).message).toStartWith(
      "--name is only for tun, tap and raw, and this device is memory",
    );
    // What the file says for its own type stays an error.
    const wrong = file("wrong.toml", '[device]\ntype = "tun"\n[interface]\nvlan = 7\n');
    expect(thrownBy(() => configFromFlags(["--config", wrong, "--device", "tun"])).message).toContain("vlan");
  });

  test("with several devices, a flag that could mean any of them is refused", () => {
    const two = ["--config", `${EXAMPLES}/bridge.toml`];
    const { devices, interfaces } = configFromFlags([...two, "--no-offload", "--capture", "x.pcap"]).config;
    expect(devices).toMatchObject([
      { name: "tap1", offload: false, capture: "x.pcap" },
      { name: "tap2", offload: false, capture: "x.pcap" },
    ]);
    expect(interfaces).toEqual([]);
    expect(thrownBy(() => configFromFlags([...two, "--name", "tap3"])).message).toStartWith(
      "--name could be for any of the file's 2 devices: change the file instead.",
    );
  });

  test("the last of a repeated flag counts; what stands behind -- is left alone", () => {
    const { config, rest } = configFromFlags(["--mtu", "1400", "--mtu=1300", "a", "--", "--mtu", "9"]);
    expect(config.devices[0].mtu).toBe(1300);
    expect(rest).toEqual(["a", "--", "--mtu", "9"]);
  });

  test("says which flag is wrong, and how it is right", () => {
    for (const [argv, message] of [
      [["--mtu"], "--mtu needs a value: write for example --mtu 1500."],
      [["--config"], "--config needs a value: write for example --config examples/config/tun.toml."],
      [["--name", "--mtu", "1500"], "--name needs a value: write for example --name tun7."],
      [["--address="], "--address needs a value: write for example --address 192.168.69.1/24."],
      [["--mtu", "big"], '--mtu is "big"; write a whole number'],
      [["--mtu", "1e3"], '--mtu is "1e3"; write a whole number'],
      [["--no-offload=true"], "--no-offload takes no value: write --no-offload alone, or --offload=true or"],
      [["--offload=maybe"], '--offload is "maybe"; write true or false'],
      [["--device", "mem0ry"], 'Did you mean "memory"?'],
      [["--device", "raw"], "--device raw has no name: say which interface"],
      [["--address", "10.0.0.1"], '--address is "10.0.0.1"; write an address with its prefix'],
      [["--address", "10.0.0.0/24"], "--address is 10.0.0.0/24, which is the network address"],
      [["--gateway", "home"], '--gateway is "home"'],
      [["--gateway", "10.0.0.1"], "--gateway is 10.0.0.1, which is in none of the interface's networks"],
    ] as const) {
      const error = thrownBy(() => configFromFlags(argv));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain(message);
    }
    expect(thrownBy(() => configFromFlags(["--config", "nowhere.toml"])).code).toBe("ENOENT");
  });
});

test("the usage has a line for each flag, and names the default device", () => {
  const usage = configUsage("memory");
  const flags = [...usage.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, flag]) => flag);
  expect(flags).toEqual([
    ...["--config", "--device", "--name", "--mtu", "--host-address", "--hardware-address", "--no-offload"],
    ...["--capture", "--trace", "--address", "--gateway", "--workers"],
  ]);
  expect(usage).toContain("memory, tun, tap or raw [memory]\n");
  expect(configUsage()).toContain("memory, tun, tap or raw [tun]\n");
  expect(usage).not.toContain("undefined");
});
