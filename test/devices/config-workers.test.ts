import { describe, expect, test } from "bun:test";
import { configFromFlags, parseConfig } from "../../devices/index.ts";
import { workerFile } from "../../devices/worker-share.ts";
import { thrownBy } from "../support/errors.ts";

describe("how many workers", () => {
  test("is in [host], or a flag; one is as good as none", () => {
    expect(parseConfig({ host: { workers: 4 } }, "x").workers).toBe(4);
    expect("workers" in parseConfig({ host: { workers: 1 } }, "x")).toBe(false);
    expect("workers" in parseConfig({ host: {} }, "x")).toBe(false);
    expect(configFromFlags(["--workers", "2"]).config.workers).toBe(2);
    expect(configFromFlags(["--device=tap", "--workers=64"]).config.workers).toBe(64);
    expect("workers" in configFromFlags([]).config).toBe(false);
  });

  test("holds for all devices", () => {
    const config = parseConfig(
      {
        host: { workers: 2 },
        device: [
          { type: "tun", name: "a" },
          { type: "tap", name: "b" },
        ],
        interface: [{ addresses: ["10.0.0.1/24"] }, { addresses: ["10.1.0.1/24"] }],
      },
      "x",
    );
    expect([config.workers, config.devices.length]).toEqual([2, 2]);
  });

  const refused: [string, unknown, RegExp][] = [
    ["none", { host: { workers: 0 } }, /^x: host\.workers is 0; write a whole number from 1 to 64/],
    ["too many", { host: { workers: 65 } }, /^x: host\.workers is 65;/],
    ["another key", { host: { worker: 2 } }, /^x: there is no key host\.worker; did you mean "workers"\?/],
    ["it elsewhere", { device: { workers: 2 } }, /there is no key device\.workers; it belongs in \[host\]/],
    ["two of them", { host: [{}, {}] }, /^x: host\[1\] is one \[host\] too many/],
    [
      "memory",
      { host: { workers: 2 }, device: { type: "memory" } },
      /^x: host\.workers is 2, and both ends of a memory pair are in one thread: leave it out/,
    ],
    [
      "a replay",
      { host: { workers: 2 }, middleware: { type: "replay", file: "a.pcap" } },
      /^x: host\.workers is 2, and each worker would play the whole capture/,
    ],
  ];
  for (const [what, object, sentence] of refused) {
    test(`${what}: refused`, () => {
      const error = thrownBy(() => parseConfig(object, "x"));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toMatch(sentence);
    });
  }

  test("each writes a capture file of its own", () => {
    expect(workerFile("frames.pcap", 0)).toBe("frames-worker0.pcap");
    expect(workerFile("a.b/frames", 11)).toBe("a.b/frames-worker11");
    expect(workerFile("a/.pcap", 1)).toBe("a/.pcap-worker1");
  });
});
