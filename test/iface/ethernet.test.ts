import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { Frame } from "../../src/device.ts";
import { seededRandom } from "../../src/random.ts";
import { Stack } from "../../src/stack.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { codeOf } from "../support/errors.ts";
import { EthernetDevice } from "../support/ethernet-device.ts";
import { icmpPacket, udpPacket } from "../support/packets.ts";
import { connected, pairOn, Receiver, runUntil, Sender } from "../support/transfer.ts";
import { ALL, arp, EthernetHost, frameOf, mac, NONE, OUR_IP, OUR_MAC, question } from "./ethernet-host.ts";

const PEER_IP = "10.0.0.2";
const PEER_MAC = "02:00:00:00:00:02";
const ping = icmpPacket({ from: PEER_IP, to: OUR_IP }, 8, 0, 0x00070001, new Uint8Array(8));

describe("frames in", () => {
  test("an echo request in a frame to us is answered, once we know where to", () => {
    const host = new EthernetHost();
    host.receive(frameOf(ping, { from: PEER_MAC }));
    expect(host.sent()).toEqual([question(PEER_IP)]);
    host.receive(arp({ op: "reply", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP, toMac: OUR_MAC }));
    expect(host.sent()).toEqual([
      `${OUR_MAC} > ${PEER_MAC}: IP ${OUR_IP} > ${PEER_IP}: ICMP echo reply, id 7, seq 1, length 16`,
    ]);
  });

  test("padding of the link behind the packet is not part of it", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    const padded = new Uint8Array(60).fill(0xee);
    padded.set(frameOf(ping, { from: PEER_MAC }));
    host.receive(padded);
    expect(host.sent()[0]).toContain("echo reply, id 7, seq 1, length 16");
  });

  test("what is too short for its header is counted", () => {
    const host = new EthernetHost();
    const frame = frameOf(ping, { from: PEER_MAC });
    host.receive(
      new Uint8Array(0),
      frame.slice(0, 13),
      frameOf(ping, { from: PEER_MAC, vlan: 3 }).slice(0, 17),
    );
    expect(host.stack.stats.ethernetRunts).toBe(3);
    host.receive(frame.slice(0, 14));
    expect(host.stack.stats.ethernetRunts).toBe(3);
    expect(host.sent()).toEqual([]);
  });

  test("for another station, for a group, from a group", () => {
    const host = new EthernetHost();
    const { stats } = host.stack;
    host.receive(frameOf(ping, { from: PEER_MAC, to: "02:00:00:00:00:03" }));
    expect([stats.ethernetNotForUs, stats.ethernetMulticast]).toEqual([1, 0]);
    host.receive(frameOf(ping, { from: PEER_MAC, to: "01:00:5e:00:00:01" }));
    expect([stats.ethernetNotForUs, stats.ethernetMulticast]).toEqual([1, 1]);
    host.receive(frameOf(ping, { from: "03:00:00:00:00:02" }));
    expect(stats.ethernetBadSource).toBe(1);
    expect(host.sent()).toEqual([]);
  });

  test("RFC 1122 3.3.6: a packet to one host in a frame to all is not for it; one to all is", () => {
    const host = new EthernetHost();
    const socket = host.stack.sockets.bindUdp({ port: 67 });
    const datagram = (to: string) => udpPacket({ from: PEER_IP, to }, 68, 67, new Uint8Array(4));
    host.receive(frameOf(datagram(OUR_IP), { from: PEER_MAC, to: ALL }));
    expect(socket.received.size).toBe(0);
    host.receive(frameOf(datagram("10.0.0.255"), { from: PEER_MAC, to: ALL }));
    host.receive(frameOf(datagram("255.255.255.255"), { from: PEER_MAC, to: ALL }));
    host.receive(frameOf(datagram(OUR_IP), { from: PEER_MAC }));
    expect(socket.received.size).toBe(3);
  });

  test("other EtherTypes are counted, and so are IEEE 802.3 lengths", () => {
    const host = new EthernetHost();
    for (const type of [0x86dd, 0x88cc, 0x0026]) host.receive(frameOf(ping, { from: PEER_MAC, type }));
    expect(host.stack.stats.unknownNetworkProtocol).toBe(3);
  });
});

describe("VLANs", () => {
  const tagged = (vlan: number) => frameOf(ping, { from: PEER_MAC, vlan });
  /** The same with a tag of VLAN 0, which `frameOf` leaves out. */
  const priority = () => {
    const frame = tagged(1);
    frame[14] = 0xe0;
    frame[15] = 0;
    return frame;
  };

  test("without the option: no tag, or one that gives a priority only", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    host.receive(tagged(1), tagged(4094));
    expect(host.stack.stats.ethernetWrongVlan).toBe(2);
    expect(host.sent()).toEqual([]);
    host.receive(priority());
    expect(host.sent()[0]).toContain("echo reply");
    host.receive(frameOf(ping, { from: PEER_MAC }));
    expect(host.sent()[0]).toContain("echo reply");
  });

  test("with it: frames carry the tag, and only it is taken", () => {
    const host = new EthernetHost({ vlan: 5 });
    host.receive(frameOf(ping, { from: PEER_MAC }), tagged(6), priority());
    expect(host.stack.stats.ethernetWrongVlan).toBe(3);
    expect(host.sent()).toEqual([]);
    host.receive(tagged(5));
    expect(host.sent()).toEqual([
      `${OUR_MAC} > ${ALL} vlan 5: arp request ${OUR_IP} (${OUR_MAC}) to ${PEER_IP} (${NONE})`,
    ]);
    const reply = { op: "reply", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP, toMac: OUR_MAC } as const;
    host.receive(arp(reply, { vlan: 5 }));
    expect(host.sent()).toEqual([
      `${OUR_MAC} > ${PEER_MAC} vlan 5: IP ${OUR_IP} > ${PEER_IP}: ICMP echo reply, id 7, seq 1, length 16`,
    ]);
  });

  test("full packets fit with a tag", () => {
    const host = new EthernetHost({ vlan: 5 });
    const socket = host.stack.sockets.bindUdp();
    socket.send(new Uint8Array(1_472), parseAddress(PEER_IP), 9);
    host.poll();
    const reply = { op: "reply", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP, toMac: OUR_MAC } as const;
    host.receive(arp(reply, { vlan: 5 }));
    expect(host.device.take().map((frame) => frame.length)).toEqual([18 + 28, 18 + 1_500]);
  });
});

describe("what is sent", () => {
  test("byte for byte", () => {
    const host = new EthernetHost();
    host.receive(arp({ op: "request", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP }));
    expect(host.device.take()[0].toHex()).toBe(
      "020000000002020000000001080600010800060400020200000000010a0000010200000000020a000002",
    );
  });

  test.each([undefined, 5])("IP headers lie on a multiple of four (VLAN %p)", (vlan) => {
    const [ours, theirs] = memoryPair({ medium: "ethernet" });
    const stack = new Stack({ random: seededRandom(1), maxSockets: 8, memory: 1 << 20 });
    stack.addInterface({ device: ours, addresses: ["10.0.0.1/24"], conflictDetection: "off", vlan });
    const socket = stack.sockets.bindUdp();
    const frame = new Frame(new Uint8Array(0));
    for (let i = 0; i < 5; i++) {
      socket.send(new Uint8Array(i), parseAddress("255.255.255.255"), 9);
      stack.poll(i);
      expect(theirs.receive(frame)).toBe(true);
      expect((frame.offset + (vlan === undefined ? 14 : 18)) % 4).toBe(0);
    }
  });

  test("a broadcast goes to all stations, a multicast to its group, neither is asked for", () => {
    const host = new EthernetHost({ gateway: "10.0.0.254" });
    const socket = host.stack.sockets.bindUdp({ port: 1000 });
    for (const to of ["10.0.0.255", "255.255.255.255", "239.255.1.2", "224.0.0.251"]) {
      socket.send(new Uint8Array(1), parseAddress(to), 9);
    }
    host.poll();
    expect(host.sent().map((line) => line.slice(0, line.indexOf(": ")))).toEqual([
      `${OUR_MAC} > ${ALL}`,
      `${OUR_MAC} > ${ALL}`,
      `${OUR_MAC} > 01:00:5e:7f:01:02`,
      `${OUR_MAC} > 01:00:5e:00:00:fb`,
    ]);
  });

  test("nothing is left in a frame of what was there before", () => {
    const host = new EthernetHost();
    host.receive(arp({ op: "request", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP }));
    const [frame] = host.device.take();
    expect(frame).toHaveLength(42);
    expect(frame.indexOf(0xa5)).toBe(-1);
  });
});

describe("two stacks on an Ethernet link", () => {
  test.each([
    { title: "plain", pair: {}, vlan: undefined },
    { title: "super-segments", pair: { offload: true }, vlan: undefined },
    { title: "a VLAN", pair: {}, vlan: 7 },
    { title: "a VLAN and super-segments", pair: { offload: true }, vlan: 7 },
  ])("$title: a megabyte each way", ({ pair: options, vlan }) => {
    const pair = pairOn(
      ...memoryPair({ medium: "ethernet", ...options }),
      {},
      { vlan, conflictDetection: "off" },
    );
    const { client, server } = connected(pair);
    const [up, down] = [new Sender(client, 1 << 20, 1), new Sender(server, 1 << 20, 2)];
    const [atServer, atClient] = [new Receiver(server), new Receiver(client)];
    runUntil(pair, () => {
      for (const end of [up, down, atServer, atClient]) end.pump();
      return atServer.ended && atClient.ended;
    });
    expect(atServer.hash.digest("hex")).toBe(up.hash.digest("hex"));
    expect(atClient.hash.digest("hex")).toBe(down.hash.digest("hex"));
    for (const { stats } of [pair.client, pair.server]) {
      expect(stats.tcpRetransmissions).toBe(0);
      expect(stats.arpConflicts).toBe(0);
      expect(stats.neighbourPacketsDropped).toBe(0);
    }
    expect(pair.client.stats.arpQuestionsSent).toBe(1);
  });
});

describe("options", () => {
  test("that make no sense are refused", () => {
    for (const vlan of [0, 4095, 1.5, -1]) expect(() => new EthernetHost({ vlan })).toThrow("vlan must be");
    for (const maxNeighbours of [0, 65_537, 0.5]) {
      expect(() => new EthernetHost({ maxNeighbours })).toThrow("maxNeighbours must be");
    }
    const mode = "sometimes" as "fast";
    expect(() => new EthernetHost({ conflictDetection: mode })).toThrow('"off", "fast" or "rfc5227"');
  });

  test("a tag needs Ethernet", () => {
    const [device] = memoryPair();
    expect(() => new Stack().addInterface({ device, addresses: [], vlan: 5 })).toThrow(
      "needs an Ethernet device",
    );
  });

  test("a device needs a hardware address of its own", () => {
    for (const address of [ALL, NONE, "01:00:5e:00:00:01"]) {
      const device = new EthernetDevice(mac(address));
      expect(codeOf(() => new Stack().addInterface({ device, addresses: [] }))).toBe("EINVAL");
    }
    const short = new EthernetDevice(new Uint8Array(5));
    expect(codeOf(() => new Stack().addInterface({ device: short, addresses: [] }))).toBe("EINVAL");
  });
});
