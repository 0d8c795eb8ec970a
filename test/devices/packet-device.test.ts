import { describe, expect, test } from "bun:test";
import { type PacketDevice, packetDevice } from "../../devices/index.ts";
import { type DeviceEvent, Frame, Stack, StackError } from "../../src/index.ts";
import { icmpPacket, lines } from "../support/packets.ts";

const US = "10.0.0.2";
const PEER = "10.0.0.1";
const echo = (size: number) => icmpPacket({ from: PEER, to: US }, 8, 0, 1, new Uint8Array(size).fill(7));

const codeOf = (action: () => unknown) => {
  try {
    action();
    return "nothing thrown";
  } catch (error) {
    return error instanceof StackError ? error.code : String(error);
  }
};

function stackOn(device: PacketDevice): Stack {
  const stack = new Stack({ maxSockets: 8, memory: 1 << 20 });
  stack.addInterface({ device, addresses: [`${US}/24`] });
  return stack;
}

/** Everything that can be taken out. */
function taken(device: PacketDevice): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (let packet = device.take(); packet !== null; packet = device.take()) packets.push(packet);
  return packets;
}

const microtasks = () => new Promise((resolve) => setImmediate(resolve));

describe("packetDevice", () => {
  test("a stack that is polled by hand answers what is pushed", () => {
    const device = packetDevice();
    const stack = stackOn(device);
    expect(device.push(echo(100))).toBe(true);
    stack.poll(0);
    const [reply, ...more] = taken(device);
    expect(lines([reply])).toEqual([`IP ${US} > ${PEER}: ICMP echo reply, id 0, seq 1, length 108`]);
    expect(more).toEqual([]);
    expect(device.counts).toEqual({ pushed: 1, taken: 1, refused: 0, tooLarge: 0, tooSmall: 0 });
  });

  test("a packet may lie anywhere, and the caller's bytes are free at once", () => {
    const device = packetDevice();
    const stack = stackOn(device);
    const bytes = new Uint8Array(300);
    bytes.set(echo(60), 33);
    device.push(bytes, 33, 88);
    bytes.fill(0xff);
    stack.poll(0);
    const target = new Uint8Array(10 + 1_500);
    expect(device.takeInto(target, 10)).toBe(88);
    expect(target.subarray(38, 40)).toEqual(new Uint8Array([7, 7]));
    expect(device.takeInto(target, 10)).toBe(0);
    expect(codeOf(() => device.takeInto(target, 11))).toBe("EMSGSIZE");
  });

  test("what is pushed into a full queue is refused and counted, and onRoom tells when there is room", async () => {
    const device = packetDevice({ queueLength: 2 });
    const stack = stackOn(device);
    let rooms = 0;
    device.onRoom(() => rooms++);
    expect([1, 2, 3, 4].map(() => device.push(echo(8)))).toEqual([true, true, false, false]);
    await microtasks();
    expect([rooms, device.counts.refused, device.counts.pushed]).toEqual([0, 2, 2]);
    stack.poll(0);
    await microtasks();
    expect(rooms).toBe(1);
    expect(device.push(echo(8))).toBe(true);
  });

  test("the stack waits when nobody takes, and onPacket calls once until nothing is left", async () => {
    const device = packetDevice({ queueLength: 2 });
    let calls = 0;
    device.onPacket(() => calls++);
    let writable = 0;
    device.onWritable(() => writable++);
    expect(device.take()).toBe(null);
    const send = () => {
      const frame = device.transmit(20);
      if (frame !== null) device.commit(frame);
      return frame !== null;
    };
    expect([send(), send(), send()]).toEqual([true, true, false]);
    await microtasks();
    expect([calls, writable]).toEqual([1, 0]);
    device.take();
    await microtasks();
    expect([calls, writable]).toEqual([1, 1]);
    device.take();
    expect(device.take()).toBe(null);
    send();
    await microtasks();
    expect(calls).toBe(2);
  });

  test("no packet is too bad", () => {
    const device = packetDevice({ mtu: 100 });
    const stack = stackOn(device);
    for (const size of [0, 1, 19, 101, 5_000]) expect(device.push(new Uint8Array(size))).toBe(true);
    expect(device.counts).toMatchObject({ pushed: 0, tooSmall: 3, tooLarge: 2 });
    device.push(new Uint8Array(100).fill(0x45));
    while (stack.poll(0));
    expect(stack.stats.framesReceived).toBe(1);
  });

  test("Ethernet frames have a header, and room for a tag", () => {
    const device = packetDevice({ medium: "ethernet", mtu: 1_000, hardwareAddress: "02:00:00:00:00:77" });
    expect(device.capabilities).toMatchObject({ medium: "ethernet", mtu: 1_000 });
    expect([...(device.capabilities.hardwareAddress ?? [])]).toEqual([2, 0, 0, 0, 0, 0x77]);
    expect(device.largest).toBe(1_018);
    for (const size of [13, 14, 1_018, 1_019]) device.push(new Uint8Array(size));
    expect(device.counts).toMatchObject({ pushed: 2, tooSmall: 1, tooLarge: 1 });
    const frame = new Frame(new Uint8Array(0));
    expect(device.receive(frame)).toBe(true);
    expect((frame.offset + 14) % 4).toBe(0);
    const [one, other] = [packetDevice({ medium: "ethernet" }), packetDevice({ medium: "ethernet" })];
    const address = one.capabilities.hardwareAddress ?? new Uint8Array(6);
    expect(address[0] & 3).toBe(2);
    expect(address).not.toEqual(other.capabilities.hardwareAddress as Uint8Array);
  });

  test("options out of their range are refused", () => {
    expect(codeOf(() => packetDevice({ mtu: 67 }))).toBe("EINVAL");
    expect(codeOf(() => packetDevice({ queueLength: 0 }))).toBe("EINVAL");
    expect(codeOf(() => packetDevice({ hardwareAddress: "02:00:00:00:00:01" }))).toBe("EINVAL");
    expect(codeOf(() => packetDevice({ medium: "ethernet", hardwareAddress: "x" }))).toBe("EINVAL");
  });

  test("events reach the stack outside of any call, also those of before", async () => {
    const device = packetDevice({ mtu: 1_500 });
    const events: DeviceEvent[] = [];
    device.report({ type: "down" });
    device.onEvent?.((event) => events.push(event));
    device.report({ type: "mtu", mtu: 1_280 });
    expect(events).toEqual([]);
    await microtasks();
    expect(events).toEqual([{ type: "down" }, { type: "mtu", mtu: 1_280 }]);
    expect(device.capabilities.mtu).toBe(1_280);
    expect(codeOf(() => device.report({ type: "mtu", mtu: 1_501 }))).toBe("EINVAL");
    expect(codeOf(() => device.report({ type: "mtu", mtu: 67 }))).toBe("EINVAL");
  });

  test("after close nothing comes and goes, and what was sent before can be taken", () => {
    const device = packetDevice();
    const stack = stackOn(device);
    device.push(echo(8));
    stack.poll(0);
    device.close();
    device.close();
    expect(device.push(echo(8))).toBe(true);
    expect(device.receive(new Frame(new Uint8Array(0)))).toBe(false);
    expect(taken(device)).toHaveLength(1);
  });
});
