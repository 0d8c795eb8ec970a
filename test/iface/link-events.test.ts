import { describe, expect, test } from "bun:test";
import type { TcpSocket } from "../../src/socket/tcp/tcp-socket.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { icmpPacket, tcpPacket } from "../support/packets.ts";
import { ALL, arp, EthernetHost, frameOf, NONE, OUR_IP, OUR_MAC, question } from "./ethernet-host.ts";

const PEER_IP = "10.0.0.2";
const PEER_MAC = "02:00:00:00:00:02";
const NEW_MAC = "02:00:00:00:00:22";
const ENDS = { from: PEER_IP, to: OUR_IP };
const FIELDS = { sourcePort: 80, destinationPort: 5000, window: 60_000 };

/** A host with a connection to its neighbour, whose next byte to send is `seq`. */
function connectedHost(mtu = 1_500): { host: EthernetHost; socket: TcpSocket; seq: number } {
  const host = new EthernetHost({}, {}, mtu);
  host.learn(PEER_IP, PEER_MAC);
  const socket = host.stack.sockets.connect({ address: PEER_IP, port: 80, localPort: 5000 });
  host.poll();
  const seq = (Number(/seq (\d+)/.exec(host.sent()[0])?.[1]) + 1) % 2 ** 32;
  receive(host, { seq: 1, ack: seq, flags: 0x12, mss: 8_960 });
  host.sent();
  return { host, socket, seq };
}

function receive(host: EthernetHost, fields: object): void {
  host.receive(frameOf(tcpPacket(ENDS, { ...FIELDS, ...fields }), { from: PEER_MAC }));
}

const reply = (fromMac: string) => arp({ op: "reply", from: PEER_IP, fromMac, to: OUR_IP, toMac: OUR_MAC });

const datagramTo = (station: string) =>
  expect.stringMatching(new RegExp(`^${OUR_MAC} > ${station}: IP .*UDP`));

/** Bytes of text of each segment that has been sent. */
const texts = (host: EthernetHost) =>
  host
    .sent()
    .map((line) => Number(/ length (\d+)$/.exec(line)?.[1]))
    .filter((length) => length > 0);

describe("maxSegmentSize", () => {
  test("of an interface: what its connections announce and send", () => {
    const host = new EthernetHost({ maxSegmentSize: 1_200 });
    host.learn(PEER_IP, PEER_MAC);
    const socket = host.stack.sockets.connect({ address: PEER_IP, port: 80, localPort: 5000 });
    host.poll();
    const [syn] = host.sent();
    expect(syn).toContain("mss 1200");
    const seq = (Number(/seq (\d+)/.exec(syn)?.[1]) + 1) % 2 ** 32;
    receive(host, { seq: 1, ack: seq, flags: 0x12, mss: 8_960 });
    host.sent();
    socket.write(new Uint8Array(1_201));
    host.poll();
    expect(texts(host)).toEqual([1_200]);
  });

  test("out of its range it is refused", () => {
    expect(() => new EthernetHost({ maxSegmentSize: 87 })).toThrow("from 88 to 65535, not 87");
  });
});

describe("setMtu", () => {
  test("down: segments follow at once, those that are sent again as well", () => {
    const { host, socket } = connectedHost();
    socket.write(new Uint8Array(1_460));
    host.poll();
    expect(texts(host)).toEqual([1_460]);
    host.device.setMtu(1_000);
    host.iface.setMtu(1_000);
    expect(host.iface.mtu).toBe(1_000);
    host.poll();
    expect(socket.info().mss).toBe(960);
    // The device throws for every frame that is too long.
    host.pass(20_000);
    socket.write(new Uint8Array(4_000));
    host.pass(20_000);
  });

  test("up: for those opened from now on", () => {
    const { host, socket } = connectedHost();
    host.device.setMtu(9_000);
    host.iface.setMtu(9_000);
    const other = host.stack.sockets.connect({ address: PEER_IP, port: 81, localPort: 5001 });
    host.poll();
    const [syn] = host.sent();
    expect(syn).toContain("mss 8960");
    const seq = (Number(/seq (\d+)/.exec(syn)?.[1]) + 1) % 2 ** 32;
    receive(host, { sourcePort: 81, destinationPort: 5001, seq: 1, ack: seq, flags: 0x12, mss: 8_960 });
    expect([socket.info().mss, other.info().mss]).toEqual([1_460, 8_960]);
  });

  test("datagrams that wait are dropped and counted, those to come are measured by it, and so are answers", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    const socket = host.stack.sockets.bindUdp();
    const to = parseAddress(PEER_IP);
    socket.send(new Uint8Array(1_400), to, 9);
    host.device.setMtu(600);
    host.iface.setMtu(600);
    host.poll();
    expect(host.stack.stats.packetsTooLarge).toBe(1);
    expect(() => socket.send(new Uint8Array(573), to, 9)).toThrow("at most 572");
    socket.send(new Uint8Array(572), to, 9);
    host.receive(frameOf(icmpPacket(ENDS, 8, 0, 1, new Uint8Array(1_000)), { from: PEER_MAC }));
    expect(host.sent()).toHaveLength(1);
    expect(host.stack.stats.packetsTooLarge).toBe(2);
  });

  test("packets that are parked are as long as they were: they are dropped", () => {
    const host = new EthernetHost();
    host.stack.sockets.bindUdp().send(new Uint8Array(1_400), parseAddress(PEER_IP), 9);
    host.poll();
    host.iface.setMtu(600);
    expect(host.stack.stats.neighbourPacketsDropped).toBe(1);
    host.sent();
    host.receive(arp({ op: "reply", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP, toMac: OUR_MAC }));
    expect(host.sent()).toEqual([]);
  });

  test("an MTU that IPv4 can't have is refused", () => {
    const { iface } = new EthernetHost();
    for (const mtu of [67, 65_536, 1_400.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => iface.setMtu(mtu)).toThrow("must be a whole number of bytes from 68 to 65535");
    }
    expect(iface.mtu).toBe(1_500);
    for (const mtu of [68, 65_535]) iface.setMtu(mtu);
    expect(iface.mtu).toBe(65_535);
  });
});

describe("setLink", () => {
  test("up again: the addresses are announced, and everybody is asked where neighbours are", () => {
    const host = new EthernetHost({ conflictDetection: "fast" });
    host.pass(10_000);
    host.learn(PEER_IP, PEER_MAC);
    host.iface.setLink(false);
    expect(host.pass(100)).toEqual([]);
    host.iface.setLink(true);
    expect(host.stack.nextDeadline(host.now)).toBe(host.now);
    const announcement = `${OUR_MAC} > ${ALL}: arp request ${OUR_IP} (${OUR_MAC}) to ${OUR_IP} (${NONE})`;
    expect(host.pass(10_000)).toEqual([
      { at: 0, frame: announcement },
      { at: 2_000, frame: announcement },
    ]);
    host.stack.sockets.bindUdp().send(new Uint8Array(1), parseAddress(PEER_IP), 9);
    host.poll();
    // Most often it is where it was.
    expect(host.sent()).toEqual([datagramTo(PEER_MAC), question(PEER_IP)]);
    // Whoever was plugged in meanwhile.
    host.receive(reply(NEW_MAC));
    host.stack.sockets.bindUdp().send(new Uint8Array(1), parseAddress(PEER_IP), 9);
    host.poll();
    expect(host.sent()).toEqual([datagramTo(NEW_MAC)]);
    // From here on it is a neighbour like any other.
    host.pass(1_000);
    host.receive(reply(PEER_MAC));
    expect(host.sent()).toEqual([question(PEER_IP, { to: NEW_MAC })]);
  });

  test("up again: nobody is believed before everybody is asked", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    host.pass(1_000);
    host.iface.setLink(true);
    host.receive(
      reply(NEW_MAC),
      reply(NEW_MAC),
      arp({ op: "request", from: PEER_IP, fromMac: NEW_MAC, to: PEER_IP }),
      arp({ op: "request", from: PEER_IP, fromMac: NEW_MAC, to: OUR_IP }),
    );
    expect(host.stack.stats.arpAnswers).toBe(1);
    expect(host.sent().filter((line) => line === question(PEER_IP))).toEqual([]);
    const socket = host.stack.sockets.bindUdp();
    socket.send(new Uint8Array(1), parseAddress(PEER_IP), 9);
    host.poll();
    expect(host.sent()).toEqual([datagramTo(PEER_MAC), question(PEER_IP)]);
    host.receive(reply(PEER_MAC), reply(NEW_MAC));
    socket.send(new Uint8Array(1), parseAddress(PEER_IP), 9);
    host.poll();
    expect(host.sent()).toEqual([datagramTo(PEER_MAC)]);
  });

  test("up again within a second of a question: the next one waits, and nobody is believed before", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    host.pass(400);
    host.iface.setLink(true);
    const socket = host.stack.sockets.bindUdp();
    socket.send(new Uint8Array(1), parseAddress(PEER_IP), 9);
    host.receive(reply(NEW_MAC));
    expect(host.pass(700)).toEqual([
      { at: 0, frame: datagramTo(PEER_MAC) },
      { at: 600, frame: question(PEER_IP) },
    ]);
    host.receive(reply(NEW_MAC));
    socket.send(new Uint8Array(1), parseAddress(PEER_IP), 9);
    host.poll();
    expect(host.sent()).toEqual([datagramTo(NEW_MAC)]);
  });

  test("up again while a station was being asked: that is over, and the next packet asks everybody", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    host.pass(30_000);
    const socket = host.stack.sockets.bindUdp();
    socket.send(new Uint8Array(1), parseAddress(PEER_IP), 9);
    host.poll();
    expect(host.sent()).toEqual([datagramTo(PEER_MAC), question(PEER_IP, { to: PEER_MAC })]);
    host.iface.setLink(true);
    expect(host.pass(5_000)).toEqual([]);
    socket.send(new Uint8Array(1), parseAddress(PEER_IP), 9);
    host.poll();
    expect(host.sent()).toEqual([datagramTo(PEER_MAC), question(PEER_IP)]);
  });

  test("up again, and nobody answers: after three questions packets wait, after three more they are given up", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    host.pass(2_000);
    host.iface.setLink(true);
    const socket = host.stack.sockets.bindUdp();
    socket.send(new Uint8Array(1), parseAddress(PEER_IP), 9);
    expect(host.pass(3_500).map(({ at, frame }) => [at, frame === question(PEER_IP)])).toEqual([
      [0, false],
      [0, true],
      [1_000, true],
      [2_000, true],
      [3_000, true],
    ]);
    socket.send(new Uint8Array(1), parseAddress(PEER_IP), 9);
    expect(host.pass(2_500).map(({ at }) => at)).toEqual([500, 1_500]);
    expect(host.stack.stats.neighboursUnreachable).toBe(1);
  });

  test("up again and again: no address is asked for twice in a second", () => {
    const host = new EthernetHost();
    const socket = host.stack.sockets.bindUdp();
    const asked: number[] = [];
    for (let ms = 0; ms < 2_900; ms += 100) {
      host.iface.setLink(ms % 200 === 0);
      socket.send(new Uint8Array(1), parseAddress(PEER_IP), 9);
      for (const { at, frame } of host.pass(100)) {
        if (frame === question(PEER_IP)) asked.push(ms + at);
      }
      if (ms === 1_000 || ms === 1_500) host.receive(reply(PEER_MAC));
    }
    expect(asked).toEqual([0, 1_000, 2_000]);
    // The second reply answers nothing: the question was answered by the first.
    expect(host.stack.stats.arpAnswers).toBe(1);
  });

  test("up again: who is asked for has three more questions", () => {
    const host = new EthernetHost();
    host.iface.setLink(false);
    const socket = host.stack.sockets.connect({ address: PEER_IP, port: 80 });
    host.pass(2_500);
    host.iface.setLink(true);
    // The last one, half a second ago, is counted; two follow.
    expect(host.pass(2_400).map(({ at, frame }) => [at, frame === question(PEER_IP)])).toEqual([
      [500, true],
      [1_500, true],
    ]);
    expect(socket.error).toBeNull();
    host.pass(100);
    expect(socket.error?.code).toBe("EHOSTUNREACH");
  });

  test("up again: what waits for its timer is sent at once, and the timer starts from where it was", () => {
    const { host, socket } = connectedHost();
    socket.write(new Uint8Array(100));
    host.iface.setLink(false);
    // The RTO of 200 ms has doubled six times.
    host.pass(20_000);
    expect(host.stack.nextDeadline(host.now) - host.now).toBeGreaterThan(5_000);
    host.iface.setLink(true);
    host.poll();
    expect(texts(host)).toEqual([100]);
    host.receive(reply(NEW_MAC));
    expect(socket.info().rtoMs).toBe(400);
    const sent = host.pass(3_000).filter(({ frame }) => frame !== question(PEER_IP, { to: NEW_MAC }));
    expect(sent.map(({ at }) => at)).toEqual([400, 1_200, 2_800]);
  });

  test("probing waits while the link is down, and starts from the beginning when it is up", () => {
    for (const ms of [0, 5, 60, 150]) {
      const host = new EthernetHost({ conflictDetection: "fast" });
      host.pass(ms);
      host.iface.setLink(false);
      expect(host.pass(60_000)).toEqual([]);
      expect(host.iface.state).toBe("probing");
      host.iface.setLink(true);
      const sent = host.pass(300);
      expect(sent.map(({ frame }) => frame.includes("request 0.0.0.0"))).toEqual([true, true, true, false]);
      expect(sent[3].frame).toContain(`arp request ${OUR_IP}`);
      expect(sent[3].at).toBeWithin(160, 235);
      expect(host.iface.state).toBe("ready");
    }
  });

  test("an announcement that is due while the link is down is sent when it is up", () => {
    const host = new EthernetHost({ conflictDetection: "fast" });
    host.pass(500);
    host.iface.setLink(false);
    expect(host.pass(10_000)).toEqual([]);
    host.iface.setLink(true);
    expect(host.pass(10_000).map(({ at }) => at)).toEqual([0, 2_000]);
  });

  test("off: nothing is probed, nothing announced", () => {
    const host = new EthernetHost();
    for (const up of [true, false, true]) {
      host.iface.setLink(up);
      expect(host.pass(10_000)).toEqual([]);
    }
    expect(host.iface.state).toBe("ready");
  });

  test("a conflict is not undone by it", () => {
    const host = new EthernetHost({ conflictDetection: "fast" });
    host.pass(50);
    host.receive(arp({ op: "request", from: OUR_IP, fromMac: PEER_MAC, to: OUR_IP }));
    host.iface.setLink(true);
    host.pass(10_000);
    expect(host.iface.state).toBe("conflict");
    expect(host.stack.stats.arpAnnouncementsSent).toBe(0);
  });
});
