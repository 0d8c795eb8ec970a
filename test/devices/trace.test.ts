import { expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { trace } from "../../devices/trace.ts";
import type { Device, DeviceEvent } from "../../src/device.ts";
import { StackError } from "../../src/errors.ts";
import { formatPacket } from "../../src/wire/print.ts";
import { laterTurn, receiveAll, send, withEvents } from "./frames.ts";
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

test("names hardware addresses where it is asked to, and what is not IP", () => {
  const lines: string[] = [];
  const [left] = memoryPair({ medium: "ethernet" });
  const print = (line: string) => lines.push(line);
  const device = trace(left, print);
  const header = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00];
  send(device, [...header, ...request]);
  send(trace(left, print, { linkHeaders: true }), [...header, ...request]);
  header.splice(12, 2, 0x88, 0xb5);
  send(device, [...header, 1, 2, 3]);
  send(device, [1, 2, 3]);
  const ends = "02:00:00:00:00:02 > 02:00:00:00:00:01";
  expect(lines).toEqual([
    `Out ${printed}`,
    `Out ${ends}, ethertype IPv4 (0x0800), length 78: ${printed.slice("IP ".length)}`,
    `Out ${ends}, ethertype Unknown (0x88b5), length 17`,
    "Out  [|ether]",
  ]);
});

test("prints what befalls the device, and passes it on", () => {
  const lines: string[] = [];
  const passed: DeviceEvent[] = [];
  const inner = withEvents(memoryPair()[0]);
  const device = trace(inner, (line) => lines.push(line));
  device.onEvent!((event) => passed.push(event));
  const events: DeviceEvent[] = [
    { type: "down" },
    { type: "removed" },
    { type: "up" },
    { type: "mtu", mtu: 1400 },
    { type: "error", error: new StackError("EIO", "The interface is broken.") },
  ];
  for (const event of events) inner.emit(event);
  expect(passed).toEqual(events);
  expect(lines).toEqual([
    "--- device: down",
    "--- device: removed",
    "--- device: up",
    "--- device: mtu 1400",
    "--- device: The interface is broken.",
  ]);
  expect(trace(memoryPair()[0], () => {}).onEvent).toBeUndefined();
  inner.capabilities = { ...inner.capabilities, mtu: 1400 };
  expect(device.capabilities.mtu).toBe(1400);
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
