import { describe, expect, test } from "bun:test";
import { parseConfig } from "../../devices/index.ts";
import { Stack, type StackOptions } from "../../src/index.ts";
import { tcpSettings } from "../../src/socket/tcp/settings.ts";
import { thrownBy } from "../support/errors.ts";

describe("what a stack has, in [host]", () => {
  test("is for Stack and open as it stands", () => {
    const { stack } = parseConfig(
      {
        host: {
          memory: 1 << 20,
          "max-sockets": 100,
          "max-awake": 10,
          "receive-buffer": 5_000,
          "send-buffer": 6_000,
        },
      },
      "x",
    );
    expect(stack).toEqual({
      memory: 1 << 20,
      maxSockets: 100,
      tcp: { maxAwake: 10, receiveBuffer: 5_000, sendBuffer: 6_000 },
    });
    const { context } = new Stack(stack).sockets;
    expect(context.pool.bytes.length).toBe(1 << 20);
    expect([context.tcp.maxAwake, context.tcp.maxReceiveBuffer, context.tcp.maxSendBuffer]).toEqual([
      10, 5_000, 6_000,
    ]);
  });

  test("is only what was given", () => {
    expect("stack" in parseConfig({}, "x")).toBe(false);
    expect("stack" in parseConfig({ host: { workers: 2 } }, "x")).toBe(false);
    expect(parseConfig({ host: { "max-sockets": 5 } }, "x").stack).toEqual({ maxSockets: 5 });
  });

  test("has the defaults that CONFIG.md tells", async () => {
    const document = await Bun.file(`${import.meta.dir}/../../devices/CONFIG.md`).text();
    const { maxAwake, receiveBuffer, maxReceiveBuffer, sendBuffer, maxSendBuffer } = tcpSettings();
    const pool = new Stack().sockets.context.pool.bytes.length;
    for (const [key, value] of [
      ["memory", `${pool}`],
      ["max-awake", `${maxAwake}`],
      ["receive-buffer", `${receiveBuffer}, which grows to ${maxReceiveBuffer}`],
      ["send-buffer", `${sendBuffer}, which grows to ${maxSendBuffer}`],
    ]) {
      const row = document.split("\n").find((line) => line.includes(`| \`${key}\` |`));
      expect(row).toContain(`| ${value}`);
    }
  });

  const limits: [string, (value: number) => StackOptions, number, number][] = [
    ["memory", (memory) => ({ memory }), 32_768, 2 ** 31 - 16_384],
    ["max-sockets", (maxSockets) => ({ maxSockets }), 1, 2 ** 24],
    ["max-awake", (maxAwake) => ({ tcp: { maxAwake } }), 0, 2 ** 24],
    ["receive-buffer", (receiveBuffer) => ({ tcp: { receiveBuffer } }), 1, 2 ** 30],
    ["send-buffer", (sendBuffer) => ({ tcp: { sendBuffer } }), 1, 2 ** 30],
  ];
  for (const [key, options, least, most] of limits) {
    test(`${key} has the stack's limits`, () => {
      for (const value of [least, most])
        expect(parseConfig({ host: { [key]: value } }, "x").stack).toEqual(options(value));
      for (const value of [least - 1, most + 1]) {
        expect(() => parseConfig({ host: { [key]: value } }, "x")).toThrow(`from ${least} to ${most}`);
        expect(() => new Stack(options(value))).toThrow(`from ${least} to ${most}`);
      }
    });
  }

  const refused: [string, unknown, RegExp][] = [
    [
      "too little",
      { memory: 32_767 },
      /^x: host\.memory is 32767; write a whole number from 32768 to 2147467264/,
    ],
    [
      "no socket",
      { "max-sockets": 0 },
      /^x: host\.max-sockets is 0; write a whole number from 1 to 16777216/,
    ],
    ["what is no number", { "receive-buffer": "64k" }, /^x: host\.receive-buffer is "64k"/],
  ];
  for (const [what, host, message] of refused) {
    test(`${what} is refused`, () => {
      expect(thrownBy(() => parseConfig({ host }, "x")).message).toMatch(message);
    });
  }
});
