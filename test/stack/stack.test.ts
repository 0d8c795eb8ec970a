import { describe, expect, test } from "bun:test";
import { ACCEPTABLE, NEVER, Stack, StackError, seededRandom } from "../../src/index.ts";
import { codeOf } from "../support/errors.ts";
import { tcpPacket } from "../support/packets.ts";
import { TestDevice } from "../support/test-device.ts";

const US = "192.168.69.1";
const PEER = "192.168.69.100";
const SYN = { sourcePort: 4000, destinationPort: 80, seq: 1, flags: 2, window: 1000 };

function setUp(options: ConstructorParameters<typeof Stack>[0] = {}) {
  const device = new TestDevice();
  const stack = new Stack({ random: seededRandom(1), maxSockets: 8, memory: 1 << 20, ...options });
  stack.addInterface({ device, addresses: [`${US}/24`] });
  return { device, stack };
}

/** The `code` that `action` throws. */
describe("Stack", () => {
  test("options that make no sense are refused with a sentence", () => {
    expect(() => new Stack({ maxSockets: 0 })).toThrow("maxSockets must be a whole number");
    expect(() => new Stack({ memory: 1 })).toThrow("memory must be from 32768");
    expect(() => new Stack({ memory: Number.NaN })).toThrow(StackError);
    expect(() => new Stack({ memory: 2 ** 31 })).toThrow(StackError);
    expect(() => new Stack().addInterface({ device: new TestDevice(), addresses: ["192.168.69.1"] })).toThrow(
      "/24",
    );
    expect(codeOf(() => new Stack().addInterface({ device: new TestDevice(), addresses: ["::1/64"] }))).toBe(
      "ENOTSUP",
    );
    expect(codeOf(() => new Stack().addInterface({ device: new TestDevice(60), addresses: [] }))).toBe(
      "EINVAL",
    );
  });

  test("an idle stack has no deadline, and one with something to send has it now", () => {
    const { stack } = setUp();
    expect(stack.poll(5)).toBe(false);
    expect(stack.nextDeadline(5)).toBe(NEVER);
    stack.sockets.connect({ address: PEER, port: 80 });
    expect(stack.nextDeadline(5)).toBe(5);
    stack.poll(5);
    expect(stack.nextDeadline(6)).toBe(1_005);
  });

  test("a device that is full is not asked over and over: its next call back, or deadline, is waited for", () => {
    const { device, stack } = setUp();
    device.room = 0;
    stack.sockets.connect({ address: PEER, port: 80 });
    expect(stack.poll(0)).toBe(false);
    expect(device.sent).toHaveLength(0);
    expect(stack.nextDeadline(0)).toBeGreaterThan(0);
    device.room = 1;
    stack.poll(1);
    expect(device.sent).toHaveLength(1);
  });

  test("poll inside a handler is an error, and the stack goes on", () => {
    const { device, stack } = setUp();
    const listener = stack.sockets.listen({ port: 80 });
    let seen = 0;
    listener.handler = (events) => {
      seen |= events;
      stack.poll(2);
    };
    device.inject(tcpPacket({ from: PEER, to: US }, SYN));
    stack.poll(0);
    const iss = new DataView(device.take()[0].buffer).getInt32(24);
    device.inject(tcpPacket({ from: PEER, to: US }, { ...SYN, seq: 2, ack: iss + 1, flags: 16 }));
    expect(codeOf(() => stack.poll(1))).toBe("EBUSY");
    expect(seen).toBe(ACCEPTABLE);
    listener.handler = null;
    expect(stack.poll(3)).toBe(false);
    expect(listener.accept()?.state).toBe("ESTABLISHED");
  });

  test("a connection that was aborted keeps its number until its reset could be sent, and no longer", () => {
    const { device, stack } = setUp();
    const listener = stack.sockets.listen({ port: 80 });
    device.inject(tcpPacket({ from: PEER, to: US }, SYN));
    stack.poll(0);
    const iss = new DataView(device.take()[0].buffer).getInt32(24);
    device.inject(tcpPacket({ from: PEER, to: US }, { ...SYN, seq: 2, ack: iss + 1, flags: 16 }));
    stack.poll(1);
    const socket = listener.accept();
    device.room = 0;
    socket?.abort();
    stack.poll(2);
    expect([socket?.state, stack.sockets.size, device.sent.length]).toEqual(["CLOSED", 2, 0]);
    device.room = 1;
    stack.poll(3);
    expect([stack.sockets.size, device.sent.length]).toEqual([1, 1]);
  });

  test("sockets are counted, and one too many is EMFILE", () => {
    const { stack } = setUp({ maxSockets: 2 });
    const listener = stack.sockets.listen({ port: 80 });
    const udp = stack.sockets.bindUdp();
    expect(codeOf(() => stack.sockets.connect({ address: PEER, port: 80 }))).toBe("EMFILE");
    expect(codeOf(() => stack.sockets.listen({ port: 81 }))).toBe("EMFILE");
    udp.close();
    udp.close();
    listener.close();
    expect(stack.sockets.size).toBe(0);
    stack.sockets.connect({ address: PEER, port: 80 });
    expect(stack.sockets.size).toBe(1);
  });

  test("addresses that cannot be connected to, or bound to, are refused", () => {
    const { stack } = setUp();
    const connect = (address: string) => codeOf(() => stack.sockets.connect({ address, port: 80 }));
    expect(connect("10.9.9.9")).toBe("ENETUNREACH");
    expect(connect("224.0.0.1")).toBe("ENETUNREACH");
    expect(connect("0.0.0.0")).toBe("ENETUNREACH");
    expect(connect("255.255.255.255")).toBe("ENETUNREACH");
    expect(connect("192.168.69.255")).toBe("ENETUNREACH");
    expect(connect("example.org")).toBe("EINVAL");
    expect(codeOf(() => stack.sockets.listen({ address: "192.168.69.2", port: 80 }))).toBe("EADDRNOTAVAIL");
    expect(codeOf(() => stack.sockets.listen({ port: 65_536 }))).toBe("EINVAL");
    expect(codeOf(() => stack.sockets.listen({ port: 80, backlog: 0 }))).toBe("EINVAL");
  });

  test("a packet takes the interface with the longest prefix, else the one with a gateway", () => {
    const [wide, narrow, uplink] = [new TestDevice(), new TestDevice(), new TestDevice()];
    const stack = new Stack({ random: seededRandom(1), maxSockets: 16, memory: 1 << 20 });
    stack.addInterface({ device: wide, addresses: ["10.0.0.1/8"] });
    stack.addInterface({ device: narrow, addresses: ["10.1.0.1/16"] });
    stack.addInterface({ device: uplink, addresses: ["192.168.0.2/24"], gateway: "192.168.0.1" });
    for (const address of ["10.2.0.9", "10.1.0.9", "8.8.8.8"]) stack.sockets.connect({ address, port: 80 });
    stack.poll(0);
    const sources = [wide, narrow, uplink].map(({ sent }) =>
      sent.map((packet) => packet.subarray(12, 16).join(".")),
    );
    expect(sources).toEqual([["10.0.0.1"], ["10.1.0.1"], ["192.168.0.2"]]);
  });
});
