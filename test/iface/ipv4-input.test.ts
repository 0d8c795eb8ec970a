import { describe, expect, test } from "bun:test";
import { NEVER, READABLE, Stack, StackError, seededRandom } from "../../src/index.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { IpAddress } from "../../src/wire/ip-address.ts";
import { icmpPacket, ipv4Packet, lines, tcpPacket, udpPacket } from "../support/packets.ts";
import { TestDevice } from "../support/test-device.ts";

const US = "192.168.69.1";
const PEER = "192.168.69.100";
const TO_US = { from: PEER, to: US };
const text = (string: string) => new TextEncoder().encode(string);

function setUp(mtu = 1_500) {
  const device = new TestDevice(mtu);
  const stack = new Stack({ random: seededRandom(1), maxSockets: 64, memory: 1 << 20 });
  stack.addInterface({ device, addresses: [`${US}/24`] });
  const answers = (...frames: Uint8Array[]) => {
    device.inject(...frames);
    while (stack.poll(1_000));
    return lines(device.take());
  };
  return { device, stack, answers, stats: stack.stats };
}

/** Fills in an IPv4 header's checksum after a change. */
function sealed(packet: Uint8Array): Uint8Array {
  const headerLength = (packet[0] & 15) * 4;
  packet.set([0, 0], 10);
  const value = checksum(packet, 0, headerLength);
  packet.set([value >> 8, value & 0xff], 10);
  return packet;
}

/** The packet with `options` behind its IPv4 header. */
function withOptions(packet: Uint8Array, options: number[]): Uint8Array {
  const longer = new Uint8Array(packet.length + options.length);
  longer.set(packet.subarray(0, 20));
  longer.set(options, 20);
  longer.set(packet.subarray(20), 20 + options.length);
  longer[0] = 0x40 | (5 + options.length / 4);
  longer[2] = longer.length >> 8;
  longer[3] = longer.length & 0xff;
  return sealed(longer);
}

describe("ICMP echo (RFC 792, RFC 1122 3.2.2.6)", () => {
  test("a request is answered with its identifier, sequence number and data", () => {
    const { device, stack } = setUp();
    const data = text("abcdefghij");
    device.inject(icmpPacket(TO_US, 8, 0, 0x1234_0007, data));
    stack.poll(0);
    const [reply] = device.take();
    expect(lines([reply])).toEqual([`IP ${US} > ${PEER}: ICMP echo reply, id 4660, seq 7, length 18`]);
    expect(reply.subarray(28)).toEqual(data);
  });

  test("one with a bad checksum, one to a broadcast address, and a reply are not answered", () => {
    const { answers, stats } = setUp();
    const bad = icmpPacket(TO_US, 8, 0, 1);
    bad[bad.length - 1] ^= 1;
    expect(answers(bad)).toEqual([]);
    expect(stats.icmpMalformed).toBe(1);
    expect(answers(icmpPacket({ from: PEER, to: "192.168.69.255" }, 8, 0, 1))).toEqual([]);
    expect(answers(icmpPacket(TO_US, 0, 0, 1))).toEqual([]);
    expect(stats.icmpEchoRequests).toBe(0);
  });

  test("a reply that finds the device full is dropped and counted, and the stack goes on", () => {
    const { device, answers, stats } = setUp();
    device.room = 0;
    expect(answers(icmpPacket(TO_US, 8, 0, 1))).toEqual([]);
    expect(stats.framesDroppedDeviceFull).toBe(1);
    device.room = 1;
    expect(answers(icmpPacket(TO_US, 8, 0, 1))).toHaveLength(1);
  });
});

describe("IPv4 (RFC 791, RFC 1122 3.2.1)", () => {
  const echo = () => icmpPacket(TO_US, 8, 0, 1);

  test("options are skipped", () => {
    const { answers } = setUp();
    expect(answers(withOptions(echo(), [7, 7, 4, 0, 0, 0, 0, 0]))).toHaveLength(1);
  });

  test("bytes behind the total length are link padding", () => {
    const { device, answers } = setUp();
    const padded = new Uint8Array(64);
    padded.set(icmpPacket(TO_US, 8, 0, 1, text("hi")));
    expect(answers(padded)).toEqual([`IP ${US} > ${PEER}: ICMP echo reply, id 0, seq 1, length 10`]);
    expect(device.sent).toEqual([]);
  });

  const dropped: [string, () => Uint8Array, keyof Stack["stats"]][] = [
    ["another version", () => sealed(Object.assign(echo(), { 0: 0x65 })), "unknownNetworkProtocol"],
    ["nothing at all", () => new Uint8Array(0), "unknownNetworkProtocol"],
    ["a cut-off header", () => echo().subarray(0, 19), "ipv4Malformed"],
    ["less than the total length", () => echo().subarray(0, 25), "ipv4Malformed"],
    ["a header length below 20", () => sealed(Object.assign(echo(), { 0: 0x44 })), "ipv4Malformed"],
    ["a bad header checksum", () => Object.assign(echo(), { 10: 0xff }), "ipv4BadChecksum"],
    ["another host's address", () => icmpPacket({ from: PEER, to: "192.168.69.7" }, 8, 0, 1), "ipv4NotForUs"],
    ["a multicast source", () => icmpPacket({ from: "224.0.0.1", to: US }, 8, 0, 1), "ipv4MartianSource"],
    ["a loopback source", () => icmpPacket({ from: "127.0.0.1", to: US }, 8, 0, 1), "ipv4MartianSource"],
    [
      "a broadcast source",
      () => icmpPacket({ from: "192.168.69.255", to: US }, 8, 0, 1),
      "ipv4MartianSource",
    ],
    ["no source", () => icmpPacket({ from: "0.0.0.0", to: US }, 8, 0, 1), "ipv4MartianSource"],
    [
      "no source and no destination",
      () => icmpPacket({ from: "0.0.0.0", to: "0.0.0.0" }, 8, 0, 1),
      "ipv4MartianSource",
    ],
    ["our own source", () => icmpPacket({ from: US, to: US }, 8, 0, 1), "ipv4MartianSource"],
    ["a fragment", () => sealed(Object.assign(echo(), { 6: 0x20 })), "ipv4FragmentsDropped"],
  ];
  test.each(dropped)("%s: dropped and counted", (_, packet, counter) => {
    const { answers, stats } = setUp();
    expect(answers(packet())).toEqual([]);
    expect(stats[counter]).toBe(1);
    // The stack is none the worse for it.
    expect(answers(echo())).toHaveLength(1);
  });

  test("after a good packet, one that shares only its source or its destination is looked at like the first", () => {
    const { answers, stats } = setUp();
    expect(answers(echo(), echo())).toHaveLength(2);
    expect(answers(icmpPacket({ from: PEER, to: "192.168.69.7" }, 8, 0, 1))).toEqual([]);
    expect(answers(icmpPacket({ from: "224.0.0.1", to: US }, 8, 0, 1))).toEqual([]);
    // A broadcast is not taken for what goes to us alone.
    expect(answers(icmpPacket({ from: PEER, to: "192.168.69.255" }, 8, 0, 1))).toEqual([]);
    expect(answers(icmpPacket({ from: PEER, to: "192.168.69.255" }, 8, 0, 1))).toEqual([]);
    expect([stats.ipv4NotForUs, stats.ipv4MartianSource]).toEqual([1, 1]);
    expect(answers(echo())).toHaveLength(1);
  });

  test("an unknown protocol is answered by protocol unreachable (3.2.2.1)", () => {
    const { answers, stats } = setUp();
    const packet = ipv4Packet(TO_US, 200, text("what is this"));
    expect(answers(packet)).toEqual([`IP ${US} > ${PEER}: ICMP ${US} protocol 200 unreachable, length 40`]);
    expect(stats.ipv4UnknownProtocol).toBe(1);
  });
});

describe("UDP (RFC 768, RFC 1122 4.1.3)", () => {
  const origin = () => ({
    remoteAddress: new IpAddress(4, 0, 0, 0, 0),
    remotePort: 0,
    localAddress: new IpAddress(4, 0, 0, 0, 0),
  });

  test("a datagram reaches the socket of its port, and an answer goes back from the address it was sent to", () => {
    const { stack, answers } = setUp();
    const socket = stack.sockets.bindUdp({ port: 53 });
    const events: number[] = [];
    socket.handler = (event) => events.push(event);
    expect(answers(udpPacket(TO_US, 4000, 53, text("question")))).toEqual([]);
    expect(events).toEqual([READABLE]);
    const from = origin();
    const target = new Uint8Array(100);
    expect(socket.receive(target, from)).toBe(8);
    expect(new TextDecoder().decode(target.subarray(0, 8))).toBe("question");
    expect([`${from.remoteAddress}`, from.remotePort, `${from.localAddress}`]).toEqual([PEER, 4000, US]);
    expect(socket.receive(target, from)).toBe(-1);
    expect(socket.send(text("answer"), from.remoteAddress, from.remotePort, from.localAddress)).toBe(true);
    expect(stack.nextDeadline(1_000)).toBe(1_000);
    expect(answers()).toEqual([`IP ${US}.53 > ${PEER}.4000: UDP, length 6`]);
    expect(stack.nextDeadline(1_000)).toBe(NEVER);
  });

  test("datagrams that the device has joined come apart again", () => {
    const { stack, device, answers } = setUp();
    const socket = stack.sockets.bindUdp({ port: 53 });
    const target = new Uint8Array(100);
    device.injectJoined(udpPacket(TO_US, 4000, 53, text("onetwothreefo")), 3);
    device.inject(udpPacket(TO_US, 4000, 53, text("alone")), udpPacket(TO_US, 4000, 53, text("")));
    expect(answers()).toEqual([]);
    const received: string[] = [];
    for (let length = 0; (length = socket.receive(target, origin())) >= 0; )
      received.push(new TextDecoder().decode(target.subarray(0, length)));
    expect(received).toEqual(["one", "two", "thr", "eef", "o", "alone", ""]);
    expect(stack.stats.udpReceived).toBe(7);
  });

  test("a closed port is answered by port unreachable, with the packet quoted; a broadcast is not", () => {
    const { device, answers } = setUp();
    const packet = udpPacket(TO_US, 4000, 9, text("anybody there?"));
    device.inject(packet);
    answers();
    device.inject(packet);
    expect(answers()).toEqual([
      `IP ${US} > ${PEER}: ICMP ${US} udp port 9 unreachable, length ${8 + packet.length}`,
    ]);
    expect(answers(udpPacket({ from: PEER, to: "255.255.255.255" }, 1, 9, text("x")))).toEqual([]);
  });

  test("errors quote no more than fits into 576 bytes, and come at a limited rate (RFC 1812 4.3.2.8)", () => {
    const { device, stack, stats } = setUp();
    const packet = udpPacket(TO_US, 4000, 9, new Uint8Array(1_400));
    for (let i = 0; i < 60; i++) device.inject(packet);
    while (stack.poll(0));
    const sent = device.take();
    expect(sent).toHaveLength(50);
    expect(sent[0]).toHaveLength(576);
    expect(stats.icmpErrorsRateLimited).toBe(10);
    device.inject(packet, packet);
    while (stack.poll(1));
    expect(device.take()).toHaveLength(1);
  });

  test.each([68, 400])("nor more than fits the MTU of %d", (mtu) => {
    const { device, stack, stats } = setUp(mtu);
    // A neighbour whose MTU is larger.
    device.inject(udpPacket(TO_US, 4000, 9, new Uint8Array(600)), ipv4Packet(TO_US, 99, new Uint8Array(600)));
    while (stack.poll(0));
    const sent = device.take();
    expect(sent.map((packet) => packet.length)).toEqual([mtu, mtu]);
    expect(lines(sent.slice(0, 1))).toEqual([
      `IP ${US} > ${PEER}: ICMP ${US} udp port 9 unreachable, length ${mtu - 20}`,
    ]);
    expect(stats.icmpErrorsSent).toBe(2);
  });

  test("a bad checksum is dropped, none at all is taken, a length beyond the packet is malformed", () => {
    const { stack, answers, stats } = setUp();
    const socket = stack.sockets.bindUdp({ port: 53 });
    const packet = () => udpPacket(TO_US, 4000, 53, text("data"));
    answers(Object.assign(packet(), { 30: 0xff }));
    expect(stats.udpBadChecksum).toBe(1);
    answers(Object.assign(packet(), { 26: 0, 27: 0 }));
    expect(socket.received.size).toBe(1);
    answers(Object.assign(packet(), { 25: 200 }));
    expect(stats.udpMalformed).toBe(1);
    expect(socket.received.size).toBe(1);
  });

  test("a full queue drops and counts", () => {
    const { stack, answers, stats } = setUp();
    const socket = stack.sockets.bindUdp({ port: 53, buffers: { datagrams: 2, bytes: 100 } });
    const packet = udpPacket(TO_US, 4000, 53, text("data"));
    answers(packet, packet, packet);
    expect(socket.received.size).toBe(2);
    expect(stats.udpQueueFull).toBe(1);
  });

  test("a device that is full holds datagrams back, and says when the queue has room again", () => {
    const { device, stack, answers } = setUp();
    const socket = stack.sockets.bindUdp({ port: 53, buffers: { datagrams: 1, bytes: 100 } });
    const peer = Object.assign(new IpAddress(4, 0, 0, 0xffff, 0), {
      w3: (192 << 24) | (168 << 16) | (69 << 8) | 100,
    });
    const events: number[] = [];
    socket.handler = (event) => events.push(event);
    device.room = 0;
    expect(socket.send(text("1"), peer, 4000)).toBe(true);
    expect(socket.send(text("2"), peer, 4000)).toBe(false);
    expect(answers()).toEqual([]);
    device.room = 1;
    expect(answers()).toEqual([`IP ${US}.53 > ${PEER}.4000: UDP, length 1`]);
    expect(events).toEqual([2]);
    expect(() => socket.send(new Uint8Array(1_473), peer, 4000)).toThrow("at most 1472");
    socket.close();
    expect(() => socket.send(text("3"), peer, 4000)).toThrow(StackError);
    expect(() => stack.sockets.bindUdp({ port: 53 })).not.toThrow();
  });
});

describe("TCP without a connection (RFC 9293 3.10.7.1)", () => {
  const ports = { sourcePort: 4000, destinationPort: 81 };

  test("a SYN to a closed port is answered by a reset at once", () => {
    const { answers } = setUp();
    expect(answers(tcpPacket(TO_US, { ...ports, seq: 100, flags: 2, window: 1000 }))).toEqual([
      `IP ${US}.81 > ${PEER}.4000: Flags [R.], seq 0, ack 101, win 0, length 0`,
    ]);
  });

  test("a reset is answered by nothing, nor is what went to many, nor a bad checksum", () => {
    const { answers, stats } = setUp();
    expect(answers(tcpPacket(TO_US, { ...ports, seq: 100, flags: 4 }))).toEqual([]);
    expect(answers(tcpPacket({ from: PEER, to: "192.168.69.255" }, { ...ports, flags: 2 }))).toEqual([]);
    const bad = tcpPacket(TO_US, { ...ports, flags: 2 });
    bad[bad.length - 1] ^= 1;
    expect(answers(bad)).toEqual([]);
    expect(stats.tcpBadChecksum).toBe(1);
    const short = ipv4Packet(TO_US, 6, new Uint8Array(19));
    expect(answers(short)).toEqual([]);
    expect(stats.tcpMalformed).toBe(1);
  });
});
