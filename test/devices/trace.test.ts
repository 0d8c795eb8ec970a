import { expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { trace } from "../../devices/trace.ts";
import type { Device } from "../../src/device.ts";
import { formatPacket } from "../../src/wire/print.ts";
import { laterTurn, receiveAll, send } from "./frames.ts";
import { echoRequest } from "./icmp.ts";

const request = echoRequest("192.168.69.1", "192.168.69.100");
const printed = formatPacket(request, 0, request.length);

test("prints a line for each frame, with its direction", () => {
  const lines: string[] = [];
  const [left, right] = memoryPair();
  const device = trace(right, (line) => lines.push(line));
  send(left, request);
  expect(lines).toEqual([]);
  expect(receiveAll(device)).toHaveLength(1);
  send(device, request);
  expect(lines).toEqual([`In  ${printed}`, `Out ${printed}`]);
  expect(printed).toContain("192.168.69.1 > 192.168.69.100");
  expect(receiveAll(left)).toEqual([Array.from(request)]);
});

test("prints seconds since the first frame where it has a clock", () => {
  const lines: string[] = [];
  let now = 5000;
  const [left, right] = memoryPair();
  const device = trace(right, (line) => lines.push(line), { clock: () => now });
  send(device, request);
  now += 1.25;
  send(device, request);
  now += 61_000;
  send(left, request);
  receiveAll(device);
  expect(lines).toEqual([
    `  0.000000 Out ${printed}`,
    `  0.001250 Out ${printed}`,
    ` 61.001250 In  ${printed}`,
  ]);
});

test("skips an Ethernet header, and names what is not IP", () => {
  const lines: string[] = [];
  const [left] = memoryPair({ medium: "ethernet" });
  const device = trace(left, (line) => lines.push(line));
  const header = [...new Array(12).fill(2), 0x08, 0x00];
  send(device, [...header, ...request]);
  header[13] = 0x06;
  send(device, [...header, 1, 2, 3]);
  send(device, [1, 2, 3]);
  expect(lines).toEqual([
    `Out ${printed}`,
    "Out ethertype 0x0806, length 17",
    "Out Ethernet, truncated, length 3",
  ]);
});

test("forwards readiness, waiting, capabilities and close", async () => {
  const lines: string[] = [];
  const [left, right] = memoryPair({ queueLength: 1, mtu: 700 });
  const device = trace(right, (line) => lines.push(line));
  expect(device.capabilities).toEqual(right.capabilities);
  expect(device.wait).toBeUndefined();
  const withWait: Device = Object.assign(memoryPair()[0], { wait: (timeoutMs: number) => timeoutMs === 3 });
  expect(trace(withWait, () => {}).wait!(3)).toBe(true);
  let readable = 0;
  let writable = 0;
  device.onReadable(() => readable++);
  device.onWritable(() => writable++);
  send(left, [1]);
  send(device, request);
  expect(device.transmit(1)).toBeNull();
  receiveAll(left);
  await laterTurn();
  expect([readable, writable]).toEqual([1, 1]);
  device.close();
  expect(receiveAll(device)).toEqual([]);
  expect(lines).toHaveLength(1);
});
