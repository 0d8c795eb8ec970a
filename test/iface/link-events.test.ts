import { describe, expect, test } from "bun:test";
import type { TcpSocket } from "../../src/socket/tcp/tcp-socket.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { icmpPacket, tcpPacket } from "../support/packets.ts";
import { ALL, arp, EthernetHost, frameOf, NONE, OUR_IP, OUR_MAC, question } from "./ethernet-host.ts";

const PEER_IP = "10.0.0.2";
const PEER_MAC = "02:00:00:00:00:02";
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

/** Bytes of text of each segment that has been sent. */
const texts = (host: EthernetHost) =>
  host
    .sent()
    .map((line) => Number(/ length (\d+)$/.exec(line)?.[1]))
    .filter((length) => length > 0);

describe("setMtu", () => {
  test("down: segments follow at once, those that are sent again as well", () => {
    const { host, socket } = connectedHost();
    socket.write(new Uint8Array(1_460));
    host.poll();
    expect(texts(host)).toEqual([1_460]);
    host.device.setMtu(1_000);
    host.iface.setMtu(1_000);
    expect(host.iface.mtu).toBe(1_000);
    // The device throws for every frame that is too long.
    host.pass(20_000);
    socket.write(new Uint8Array(4_000));
    host.pass(20_000);
    expect(socket.info().mss).toBe(960);
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
    expect(() => new EthernetHost().iface.setMtu(67)).toThrow("too small");
    expect(() => new EthernetHost().iface.setMtu(Number.NaN)).toThrow("too small");
  });
});

describe("setLink", () => {
  test("up again: the addresses are announced, and neighbours are asked before they are trusted for long", () => {
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
    expect(host.sent()[1]).toBe(question(PEER_IP, { to: PEER_MAC }));
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
    host.receive(arp({ op: "reply", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP, toMac: OUR_MAC }));
    expect(socket.info().rtoMs).toBe(400);
    expect(host.pass(3_000).map(({ at }) => at)).toEqual([400, 1_200, 2_800]);
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
