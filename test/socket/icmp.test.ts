import { describe, expect, test } from "bun:test";
import { ERROR, IcmpMessage, READABLE, Stack, seededRandom, WRITABLE } from "../../src/index.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { codeOf } from "../support/errors.ts";
import { icmpPacket, lines, udpPacket } from "../support/packets.ts";
import { TestDevice } from "../support/test-device.ts";

const US = "192.168.69.1";
const PEER = "192.168.69.100";
const ROUTER = "192.168.69.254";
const TO_US = { from: PEER, to: US };
const DATA = new TextEncoder().encode("abcdefgh");

function setUp(options: Parameters<Stack["sockets"]["bindIcmp"]>[0] = { identifier: 7 }) {
  const device = new TestDevice();
  const stack = new Stack({ random: seededRandom(1), maxSockets: 64, memory: 1 << 20 });
  stack.addInterface({ device, addresses: [`${US}/24`] });
  const socket = stack.sockets.bindIcmp(options);
  const message = new IcmpMessage();
  const target = new Uint8Array(2_000);
  return {
    ...{ device, stack, socket, message, stats: stack.stats },
    /** Sends one request, and returns it as it left. */
    sends(sequence: number, now = 10, ttl?: number): Uint8Array {
      socket.send(DATA, parseAddress(PEER), sequence, ttl);
      while (stack.poll(now));
      return device.take()[0];
    },
    /** What the socket receives of `packets`: the data as text, or `null`. */
    receives(now: number, ...packets: Uint8Array[]): string | null {
      device.inject(...packets);
      while (stack.poll(now));
      const length = socket.receive(target, message);
      return length === -1 ? null : new TextDecoder().decode(target.subarray(0, length));
    },
  };
}

const reply = (sequence: number, identifier = 7, data = DATA) =>
  icmpPacket(TO_US, 0, 0, (identifier << 16) | sequence, data);

/** The `code` that `action` throws. */
describe("echo requests", () => {
  test("leave with identifier, sequence number, data and time to live", () => {
    const { sends } = setUp();
    const packet = sends(3, 10, 5);
    expect(lines([packet])).toEqual([`IP ${US} > ${PEER}: ICMP echo request, id 7, seq 3, length 16`]);
    expect(packet[8]).toBe(5);
    expect(packet.subarray(28)).toEqual(DATA);
    expect(sends(4)[8]).toBe(64);
  });

  test("wait where the queue is full, and WRITABLE follows", () => {
    const { device, stack, socket, stats } = setUp({
      identifier: 7,
      buffers: { messages: 2, bytes: 1_000 },
    });
    const events: number[] = [];
    socket.handler = (event) => events.push(event);
    const to = parseAddress(PEER);
    expect([1, 2, 3].map((sequence) => socket.send(DATA, to, sequence))).toEqual([true, true, false]);
    device.room = 0;
    stack.poll(0);
    expect([events, device.sent.length]).toEqual([[], 0]);
    device.room = 9;
    stack.poll(1);
    expect([events, device.sent.length, stats.icmpEchoRequestsSent]).toEqual([[WRITABLE], 2, 2]);
  });

  test("that cannot be sent are refused with a sentence", () => {
    const { socket } = setUp();
    const to = parseAddress(PEER);
    expect(codeOf(() => socket.send(new Uint8Array(1_472), to, 1))).toBe("none");
    expect(codeOf(() => socket.send(new Uint8Array(1_473), to, 1))).toBe("EMSGSIZE");
    expect(codeOf(() => socket.send(DATA, parseAddress("10.9.9.9"), 1))).toBe("ENETUNREACH");
    expect(codeOf(() => socket.send(DATA, parseAddress("0.0.0.0"), 1))).toBe("ENETUNREACH");
    expect(codeOf(() => socket.send(DATA, to, 65_536))).toBe("EINVAL");
    expect(codeOf(() => socket.send(DATA, to, 1, 0))).toBe("EINVAL");
    const small = setUp({ buffers: { bytes: 20 } }).socket;
    expect(codeOf(() => small.send(new Uint8Array(21), to, 1))).toBe("EMSGSIZE");
    socket.close();
    expect(codeOf(() => socket.send(DATA, to, 1))).toBe("ENOTCONN");
  });
});

describe("replies", () => {
  test("come with what was asked, who answered, and both times", () => {
    const { sends, receives, message, stats } = setUp();
    sends(3, 10);
    expect(receives(25, reply(3))).toBe("abcdefgh");
    expect(message).toMatchObject({ type: 0, sequence: 3, ttl: 64, sentAt: 10, arrivedAt: 25 });
    expect([message.address.w3, message.target.w3]).toEqual([parseAddress(PEER).w3, parseAddress(PEER).w3]);
    expect(message.duplicate).toBe(false);
    expect(stats.icmpEchoReplies).toBe(1);
  });

  test("that are repeated, late or unasked for are told apart", () => {
    const { sends, receives, message } = setUp({ identifier: 7, buffers: { requests: 2 } });
    sends(1, 10);
    receives(11, reply(1));
    receives(12, reply(1));
    expect(message).toMatchObject({ duplicate: true, sentAt: 10 });
    // A new request under the same number has not been answered yet.
    sends(1, 20);
    receives(21, reply(1));
    expect(message).toMatchObject({ duplicate: false, sentAt: 20 });
    sends(2);
    sends(3);
    receives(30, reply(1));
    expect(message).toMatchObject({ duplicate: false, sentAt: Number.NaN });
    receives(30, reply(99));
    expect(message.sentAt).toBeNaN();
  });

  test("of hosts that were sent the same sequence number are told apart", () => {
    const { device, stack, socket, receives, message } = setUp();
    const hosts = Array.from({ length: 20 }, (_, i) => `192.168.69.${100 + i}`);
    const from = (host: string) => icmpPacket({ from: host, to: US }, 0, 0, (7 << 16) | 3, DATA);
    for (const [i, host] of hosts.entries()) {
      socket.send(DATA, parseAddress(host), 3);
      stack.poll(10 + i);
    }
    expect(device.take()).toHaveLength(20);
    for (const duplicate of [false, true]) {
      for (const [i, host] of hosts.entries()) {
        receives(50, from(host));
        expect(message).toMatchObject({ sentAt: 10 + i, duplicate });
      }
    }
    const one = setUp({ identifier: 7, buffers: { requests: 1 } });
    one.sends(3, 10);
    one.receives(50, from(hosts[1]));
    expect(one.message.sentAt).toBeNaN();
    // Who was asked nothing answers nothing.
    receives(50, from("192.168.69.99"));
    expect(message).toMatchObject({ sentAt: Number.NaN, duplicate: false });
  });

  test.each(["192.168.69.255", "255.255.255.255"])(
    "to a request to %s come from many, each for once",
    (to) => {
      const { device, stack, socket, receives, message } = setUp();
      socket.send(DATA, parseAddress(to), 3);
      stack.poll(10);
      expect(device.take()).toHaveLength(1);
      for (const host of [100, 101, 102, 100]) {
        receives(15, icmpPacket({ from: `192.168.69.${host}`, to: US }, 0, 0, (7 << 16) | 3, DATA));
        expect(message).toMatchObject({ sentAt: 10, duplicate: false });
      }
    },
  );

  test("of another identifier, garbled, or sent to many are not for the socket", () => {
    const { receives, stats } = setUp();
    const garbled = reply(1);
    garbled[30] ^= 1;
    const broadcast = icmpPacket({ from: PEER, to: "192.168.69.255" }, 0, 0, (7 << 16) | 1, DATA);
    expect(receives(1, reply(1, 8), garbled, broadcast)).toBe(null);
    expect([stats.icmpIgnored, stats.icmpMalformed]).toEqual([2, 1]);
  });

  test("wait in a bounded queue", () => {
    const { receives, stats } = setUp({ identifier: 7, buffers: { messages: 3 } });
    receives(1, ...Array.from({ length: 10 }, (_, i) => reply(i)));
    expect([stats.icmpEchoReplies, stats.icmpQueueFull]).toEqual([3, 7]);
    const bytes = setUp({ identifier: 7, buffers: { bytes: 100 } });
    bytes.receives(1, ...Array.from({ length: 10 }, (_, i) => reply(i)));
    expect([bytes.stats.icmpEchoReplies, bytes.stats.icmpQueueFull]).toEqual([3, 7]);
  });

  test("to an odd place in the ring keep their times", () => {
    const { sends, receives, message } = setUp();
    for (let i = 0; i < 200; i++) {
      sends(i, i);
      expect(receives(i + 0.25, reply(i, 7, DATA.subarray(0, i % 8)))).toHaveLength(i % 8);
      expect([message.sentAt, message.arrivedAt]).toEqual([i, i + 0.25]);
    }
  });
});

describe("errors that quote a request", () => {
  test("come with who reports them and whom the request was for", () => {
    const { sends, receives, message } = setUp();
    const request = sends(3, 10);
    const exceeded = icmpPacket({ from: ROUTER, to: US }, 11, 0, 0, request.subarray(0, 28));
    expect(receives(15, exceeded)).toBe("");
    expect(message).toMatchObject({ type: 11, code: 0, sequence: 3, sentAt: 10, arrivedAt: 15 });
    expect(message.address.w3).toBe(parseAddress(ROUTER).w3);
    expect(message.target.w3).toBe(parseAddress(PEER).w3);
    receives(16, icmpPacket({ from: ROUTER, to: US }, 3, 1, 0, request));
    expect([message.type, message.code]).toEqual([3, 1]);
  });

  test("source quench and redirects mean nothing", () => {
    const { sends, receives, stats } = setUp();
    const request = sends(3, 10);
    for (const type of [4, 5]) {
      expect(receives(15, icmpPacket({ from: ROUTER, to: US }, type, 1, 0, request))).toBe(null);
    }
    expect(stats.icmpErrorsReceived).toBe(2);
  });

  test("and quote it wrongly are for nobody", () => {
    const { sends, receives, stats } = setUp();
    const request = sends(3);
    const quoting = (change: (quoted: Uint8Array) => Uint8Array) =>
      icmpPacket({ from: ROUTER, to: US }, 11, 0, 0, change(request.slice()));
    const set = (at: number, value: number) => (quoted: Uint8Array) => {
      quoted[at] = value;
      return quoted;
    };
    expect(
      receives(
        1,
        quoting((quoted) => quoted.subarray(0, 27)),
      ),
    ).toBe(null);
    expect(receives(1, quoting(set(20, 0)))).toBe(null);
    expect(receives(1, quoting(set(25, 8)))).toBe(null);
    // A sequence number that was not sent, another host's address: an attacker who guesses.
    expect(receives(1, quoting(set(27, 4)))).toBe(null);
    expect(receives(1, quoting(set(19, 101)))).toBe(null);
    expect(stats.icmpIgnored).toBe(3);
    expect(receives(1, quoting(set(15, 9)))).toBe(null);
    expect(receives(1, quoting(set(0, 0x4f)))).toBe(null);
    expect(receives(1, quoting(set(0, 0x65)))).toBe(null);
    expect(
      receives(
        1,
        quoting((quoted) => quoted),
      ),
    ).toBe("");
  });
});

describe("identifiers", () => {
  test("are chosen from those that are free, or refused where they are not", () => {
    const { stack, socket } = setUp();
    expect(codeOf(() => stack.sockets.bindIcmp({ identifier: 7 }))).toBe("EADDRINUSE");
    expect(codeOf(() => stack.sockets.bindIcmp({ identifier: -1 }))).toBe("EINVAL");
    expect(codeOf(() => stack.sockets.bindIcmp({ address: "10.0.0.9" }))).toBe("EADDRNOTAVAIL");
    expect(codeOf(() => stack.sockets.bindIcmp({ buffers: { messages: 0 } }))).toBe("EINVAL");
    const [one, other] = [stack.sockets.bindIcmp(), stack.sockets.bindIcmp()];
    expect(new Set([7, one.identifier, other.identifier]).size).toBe(3);
    expect(stack.sockets.size).toBe(3);
    socket.close();
    socket.close();
    expect(stack.sockets.size).toBe(2);
    expect(stack.sockets.bindIcmp({ identifier: 7 }).identifier).toBe(7);
  });
});

describe("UDP", () => {
  const about = {
    remoteAddress: parseAddress("0.0.0.0"),
    remotePort: 0,
    localAddress: parseAddress("0.0.0.0"),
  };
  const ours = { from: US, to: PEER };

  test("an ICMP error about a datagram reaches the socket that sent it", () => {
    const { device, stack, stats } = setUp();
    const socket = stack.sockets.bindUdp({ port: 4_000 });
    let events = 0;
    socket.handler = (event) => {
      events |= event;
    };
    const quoted = udpPacket(ours, 4_000, 9, DATA).subarray(0, 28);
    device.inject(icmpPacket(TO_US, 3, 3, 0, quoted));
    stack.poll(0);
    expect(events).toBe(ERROR);
    expect(socket.receiveError(about)).toBe("ECONNREFUSED");
    expect([about.remotePort, about.remoteAddress.w3]).toEqual([9, parseAddress(PEER).w3]);
    expect([socket.receiveError(about), stats.udpErrors]).toEqual([null, 1]);
  });

  test("a router's complaint about the header, and what it says of the MTU, reach it as well", () => {
    const { device, stack } = setUp();
    const socket = stack.sockets.bindUdp({ port: 4_000 });
    const quoted = udpPacket(ours, 4_000, 9, DATA).subarray(0, 28);
    device.inject(icmpPacket(TO_US, 12, 0, 0x14 << 24, quoted), icmpPacket(TO_US, 3, 4, 1_280, quoted));
    device.inject(icmpPacket(TO_US, 3, 3, 1_280, quoted));
    stack.poll(0);
    const asked = { ...about, mtu: -1 };
    expect([socket.receiveError(asked), asked.mtu]).toEqual(["EPROTO", 0]);
    expect([socket.receiveError(asked), asked.mtu]).toEqual(["EMSGSIZE", 1_280]);
    expect([socket.receiveError(asked), asked.mtu]).toEqual(["ECONNREFUSED", 0]);
  });

  test("errors about other ports, and ones that mean nothing, do not; and they wait in a bounded queue", () => {
    const { device, stack, stats } = setUp();
    const socket = stack.sockets.bindUdp({ port: 4_000 });
    const quoted = (port: number) => udpPacket(ours, port, 9, DATA).subarray(0, 28);
    device.inject(icmpPacket(TO_US, 3, 3, 0, quoted(4_001)), icmpPacket(TO_US, 4, 0, 0, quoted(4_000)));
    device.inject(icmpPacket(TO_US, 3, 200, 0, quoted(4_000)));
    stack.poll(0);
    expect([stats.udpErrors, socket.events & (ERROR | READABLE)]).toEqual([0, 0]);
    for (let i = 0; i < 100; i++) device.inject(icmpPacket(TO_US, 3, 1, 0, quoted(4_000)));
    while (stack.poll(1));
    let count = 0;
    while (socket.receiveError(about) === "EHOSTUNREACH") count++;
    expect([count, stats.udpErrors]).toEqual([8, 100]);
  });
});
