import { describe, expect, test } from "bun:test";
import { INCOMPLETE, NeighbourCache, REACHABLE } from "../../src/iface/neighbours.ts";
import { seededRandom } from "../../src/random.ts";
import type { UdpSocket } from "../../src/socket/udp-socket.ts";
import { Stats } from "../../src/stats.ts";
import { formatAddress, IpAddress, parseAddress } from "../../src/wire/ip-address.ts";
import { icmpPacket, tcpPacket } from "../support/packets.ts";
import { ALL, arp, EthernetHost, frameOf, OUR_IP, OUR_MAC, question, ROUTER_IP } from "./ethernet-host.ts";

const PEER_IP = "10.0.0.2";
const PEER_MAC = "02:00:00:00:00:02";
const OTHER_MAC = "02:00:00:00:00:66";

/** Sends a datagram with so many bytes. */
function send(host: EthernetHost, to = PEER_IP, bytes = 1): UdpSocket {
  const socket = host.stack.sockets.bindUdp();
  socket.send(new Uint8Array(bytes), parseAddress(to), 9);
  host.poll();
  return socket;
}

const answer = (fromMac = PEER_MAC, from = PEER_IP) =>
  arp({ op: "reply", from, fromMac, to: OUR_IP, toMac: OUR_MAC });
/** Where the frames went, one station each. */
const stations = (host: EthernetHost) => host.sent().map((line) => line.split(/ > |: /)[1]);
const datagramTo = (station: string) =>
  expect.stringMatching(new RegExp(`^${OUR_MAC} > ${station}: IP .*UDP`));

describe("asking", () => {
  test("the first packet waits for the answer, and goes out on it; the next ones go at once", () => {
    const host = new EthernetHost();
    send(host);
    expect(host.sent()).toEqual([question(PEER_IP)]);
    host.receive(answer());
    expect(host.sent()).toEqual([datagramTo(PEER_MAC)]);
    send(host);
    expect(host.sent()).toEqual([datagramTo(PEER_MAC)]);
    expect(host.stack.stats.arpAnswers).toBe(1);
  });

  test("at most once a second an address, three times, however much is sent", () => {
    const host = new EthernetHost();
    const sent: { at: number; frame: string }[] = [];
    const socket = host.stack.sockets.bindUdp();
    for (let ms = 0; ms < 2_990; ms += 10) {
      socket.send(new Uint8Array(1), parseAddress(PEER_IP), 9);
      for (const line of host.pass(10)) sent.push({ ...line, at: ms });
    }
    expect(sent.map(({ at }) => at)).toEqual([0, 990, 1_990]);
    expect(new Set(sent.map(({ frame }) => frame))).toEqual(new Set([question(PEER_IP)]));
  });

  test("two addresses are asked for each on its own", () => {
    const host = new EthernetHost();
    send(host, "10.0.0.2");
    send(host, "10.0.0.3");
    expect(host.sent()).toEqual([question("10.0.0.2"), question("10.0.0.3")]);
    host.receive(answer(OTHER_MAC, "10.0.0.3"));
    expect(stations(host)).toEqual([OTHER_MAC]);
    host.receive(answer());
    expect(stations(host)).toEqual([PEER_MAC]);
  });

  test("from the address of ours in whose network the neighbour is", () => {
    const host = new EthernetHost({ addresses: ["10.0.0.1/24", "192.168.7.1/24", "192.168.7.129/25"] });
    send(host, "192.168.7.2");
    expect(host.sent()).toEqual([question("192.168.7.2", { from: "192.168.7.1" })]);
    send(host, "192.168.7.130");
    expect(host.sent()).toEqual([question("192.168.7.130", { from: "192.168.7.129" })]);
  });

  test("a device that is full costs a question, and nothing else", () => {
    const host = new EthernetHost();
    send(host);
    host.device.room = 0;
    expect(host.pass(1_500).map(({ at }) => at)).toEqual([0]);
    expect(host.stack.stats.framesDroppedDeviceFull).toBe(1);
    host.device.room = 10;
    expect(host.pass(1_000)).toEqual([{ at: 500, frame: question(PEER_IP) }]);
  });

  test("nobody is asked for an address of ours", () => {
    const host = new EthernetHost();
    send(host, OUR_IP);
    expect(host.sent()).toEqual([]);
    expect(host.stack.stats.ipv4NoNextHop).toBe(1);
  });
});

describe("parking", () => {
  test("the latest three of an address are kept, in order", () => {
    const host = new EthernetHost();
    for (let bytes = 1; bytes <= 5; bytes++) send(host, PEER_IP, bytes);
    expect(host.sent()).toEqual([question(PEER_IP)]);
    host.receive(answer());
    expect(host.sent().map((line) => line.match(/length \d+/)?.[0])).toEqual([
      "length 3",
      "length 4",
      "length 5",
    ]);
    expect(host.stack.stats.neighbourPacketsParked).toBe(5);
    expect(host.stack.stats.neighbourPacketsDropped).toBe(2);
  });

  test("64 of all together: the latest are kept", () => {
    const host = new EthernetHost({ addresses: [`${OUR_IP}/16`] });
    for (let i = 0; i < 100; i++) send(host, `10.0.1.${i}`).close();
    expect(host.stack.stats.neighbourPacketsDropped).toBe(36);
    host.device.take();
    for (let i = 0; i < 100; i++) host.receive(answer(PEER_MAC, `10.0.1.${i}`));
    const sent = host.sent();
    expect(sent).toHaveLength(64);
    expect(sent[0]).toContain("> 10.0.1.36.");
  });

  test("bytes are the packet's own, not those of a frame that came later", () => {
    const host = new EthernetHost();
    const socket = host.stack.sockets.bindUdp();
    const payload = Uint8Array.from({ length: 1_472 }, (_, i) => i);
    socket.send(payload, parseAddress(PEER_IP), 9);
    host.poll();
    host.device.take();
    host.receive(answer());
    const [frame] = host.device.take();
    expect(frame).toHaveLength(14 + 1_500);
    expect(frame.subarray(14 + 28)).toEqual(payload);
  });

  test("a super-segment does not fit: it is dropped and counted, and TCP sends it again", () => {
    const host = new EthernetHost({}, {}, 1_500, 65_535);
    host.learn(PEER_IP, PEER_MAC);
    const socket = host.stack.sockets.connect({ address: PEER_IP, port: 80, localPort: 5000 });
    host.poll();
    const seq = Number(/seq (\d+)/.exec(host.sent()[0])?.[1]);
    const fields = { sourcePort: 80, destinationPort: 5000, window: 60_000, mss: 1_460 };
    const synAck = tcpPacket({ from: PEER_IP, to: OUR_IP }, { ...fields, seq: 1, ack: seq + 1, flags: 0x12 });
    host.receive(frameOf(synAck, { from: PEER_MAC }));
    host.pass(1_000);
    // The station is gone: after three seconds of claims everybody is asked.
    host.receive(arp({ op: "request", from: PEER_IP, fromMac: OTHER_MAC, to: PEER_IP }));
    host.pass(3_100);
    socket.write(new Uint8Array(8_000));
    host.poll();
    expect(host.stack.stats.neighbourPacketsDropped).toBe(1);
    host.receive(answer(OTHER_MAC));
    host.sent();
    expect(host.pass(2_000).some(({ frame }) => / length 1460$/.test(frame))).toBe(true);
  });

  test("a device that is full when the answer comes loses them, counted", () => {
    const host = new EthernetHost();
    send(host);
    host.device.room = 0;
    host.receive(answer());
    expect(host.stack.stats.framesDroppedDeviceFull).toBe(1);
    host.device.room = 10;
    send(host);
    expect(stations(host)).toEqual([ALL, PEER_MAC]);
  });
});

describe("ageing (RFC 4861 7.3)", () => {
  test("an answer holds for 30 s; then a packet asks again at the same station, and goes out meanwhile", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    expect(host.pass(29_999)).toEqual([]);
    send(host);
    expect(host.sent()).toEqual([datagramTo(PEER_MAC)]);
    expect(host.pass(2)).toEqual([]);
    send(host);
    expect(host.sent()).toEqual([datagramTo(PEER_MAC), question(PEER_IP, { to: PEER_MAC })]);
    send(host);
    expect(host.sent()).toEqual([datagramTo(PEER_MAC)]);
    host.receive(answer());
    expect(host.pass(29_999)).toEqual([]);
  });

  test("an entry that nobody uses is not asked about", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    expect(host.pass(3_600_000)).toEqual([]);
  });

  test("a station that is gone: three questions to it, then everybody is asked, and packets wait", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    host.pass(30_000);
    send(host);
    expect(host.pass(3_500)).toEqual([
      { at: 0, frame: datagramTo(PEER_MAC) },
      { at: 0, frame: question(PEER_IP, { to: PEER_MAC }) },
      { at: 1_000, frame: question(PEER_IP, { to: PEER_MAC }) },
      { at: 2_000, frame: question(PEER_IP, { to: PEER_MAC }) },
      { at: 3_000, frame: question(PEER_IP) },
    ]);
    send(host);
    expect(host.sent()).toEqual([]);
    host.receive(answer(OTHER_MAC));
    expect(stations(host)).toEqual([OTHER_MAC]);
  });
});

describe("not poisoned", () => {
  test("what nobody asked for makes no entry: replies, requests, announcements, to us or to all", () => {
    const host = new EthernetHost();
    host.receive(
      answer(),
      arp({ op: "request", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP }),
      arp({ op: "request", from: PEER_IP, fromMac: PEER_MAC, to: PEER_IP }),
      arp({ op: "reply", from: PEER_IP, fromMac: PEER_MAC, to: PEER_IP, toMac: ALL }),
    );
    expect(host.iface.link?.neighbours.size).toBe(0);
    expect(host.stack.stats.arpUnsolicited).toBe(2);
    host.device.take();
    send(host);
    expect(host.sent()).toEqual([question(PEER_IP)]);
  });

  test("not even an entry that waits for its answer takes a request, or a reply to somebody else, for one", () => {
    const host = new EthernetHost();
    send(host);
    host.sent();
    host.receive(
      arp({ op: "request", from: PEER_IP, fromMac: OTHER_MAC, to: PEER_IP }),
      arp({ op: "request", from: PEER_IP, fromMac: OTHER_MAC, to: "10.0.0.9" }),
      arp({ op: "reply", from: PEER_IP, fromMac: OTHER_MAC, to: "10.0.0.9", toMac: OUR_MAC }),
      arp({ op: "reply", from: PEER_IP, fromMac: OTHER_MAC, to: OUR_IP, toMac: PEER_MAC }, { to: ALL }),
    );
    expect(host.sent()).toEqual([]);
    host.receive(answer());
    expect(stations(host)).toEqual([PEER_MAC]);
  });

  test("a reply in a frame to all answers, when the packet says that it is for us (RFC 3927 2.5)", () => {
    const host = new EthernetHost();
    send(host);
    host.sent();
    host.receive(
      arp({ op: "reply", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP, toMac: OUR_MAC }, { to: ALL }),
    );
    expect(stations(host)).toEqual([PEER_MAC]);
  });

  test("the first answer counts; a later one that says otherwise is counted, and changes nothing", () => {
    const host = new EthernetHost();
    send(host);
    host.receive(answer(PEER_MAC), answer(OTHER_MAC));
    expect(host.stack.stats.arpUnsolicited).toBe(1);
    expect(host.stack.stats.arpClaims).toBe(1);
    host.sent();
    send(host);
    expect(stations(host)).toEqual([PEER_MAC]);
  });

  test("whoever claims a known address makes us ask the station that we know, once a second at most", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    host.pass(1_000);
    const forgeries = [
      answer(OTHER_MAC),
      arp({ op: "reply", from: PEER_IP, fromMac: OTHER_MAC, to: PEER_IP, toMac: ALL }),
      arp({ op: "request", from: PEER_IP, fromMac: OTHER_MAC, to: PEER_IP }),
      arp({ op: "request", from: PEER_IP, fromMac: OTHER_MAC, to: "10.0.0.77" }),
    ];
    for (const forgery of forgeries) host.receive(forgery);
    expect(host.stack.stats.arpClaims).toBe(4);
    expect(host.sent()).toEqual([question(PEER_IP, { to: PEER_MAC })]);
    // The forger answers, too; who was asked was somebody else.
    host.receive(answer(OTHER_MAC));
    send(host);
    expect(stations(host)).toEqual([PEER_MAC]);
    host.receive(answer(PEER_MAC));
    for (const forgery of forgeries) host.receive(forgery);
    expect(host.pass(999)).toEqual([]);
    host.pass(1);
    for (const forgery of forgeries) host.receive(forgery);
    expect(host.sent()).toEqual([question(PEER_IP, { to: PEER_MAC })]);
  });

  test("the old station does not answer: it is forgotten, and everybody is asked", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    host.pass(1_000);
    host.receive(arp({ op: "request", from: PEER_IP, fromMac: OTHER_MAC, to: PEER_IP }));
    expect(host.pass(3_500).map(({ at, frame }) => [at, frame.includes(ALL)])).toEqual([
      [0, false],
      [1_000, false],
      [2_000, false],
      [3_000, true],
    ]);
    host.receive(answer(OTHER_MAC));
    send(host);
    expect(stations(host)).toEqual([OTHER_MAC]);
  });

  test("a forger that answers in place of a station that is gone keeps nothing alive", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    host.pass(1_000);
    host.receive(answer(OTHER_MAC));
    for (let second = 0; second < 2; second++) {
      host.receive(answer(OTHER_MAC));
      host.pass(1_000);
    }
    host.sent();
    expect(host.pass(1_000)).toEqual([{ at: 1_000, frame: question(PEER_IP) }]);
  });

  test("the request of a host that we know elsewhere is answered there, and believed nowhere", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    host.pass(1_000);
    host.receive(arp({ op: "request", from: PEER_IP, fromMac: OTHER_MAC, to: OUR_IP }));
    expect(host.sent()).toEqual([
      question(PEER_IP, { to: PEER_MAC }),
      `${OUR_MAC} > ${OTHER_MAC}: arp reply ${OUR_IP} (${OUR_MAC}) to ${PEER_IP} (${OTHER_MAC})`,
    ]);
  });
});

describe("10,000 hosts", () => {
  const ip = (i: number) => `10.0.${(i >> 8) + 1}.${i & 255}`;
  const station = (i: number) =>
    `02:00:00:01:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 255).toString(16).padStart(2, "0")}`;

  test("whose ARP noise we hear leave memory flat, and what we know alone", () => {
    const host = new EthernetHost({ addresses: [`${OUR_IP}/16`] });
    host.learn(PEER_IP, PEER_MAC);
    // Other hosts each time: who remembers hosts remembers more and more of them.
    const round = (first: number) => {
      for (let i = first; i < first + 10_000; i++) {
        host.receive(
          arp({ op: "request", from: ip(i), fromMac: station(i), to: ip(i + 1) }),
          arp({ op: "request", from: ip(i), fromMac: station(i), to: ip(i) }),
          arp({ op: "reply", from: ip(i), fromMac: station(i), to: OUR_IP, toMac: OUR_MAC }),
        );
      }
      Bun.gc(true);
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      return heapUsed + arrayBuffers;
    };
    const before = round(0);
    round(10_000);
    round(20_000);
    expect(round(30_000) - before).toBeLessThan(300_000);
    expect(host.iface.link?.neighbours.size).toBe(1);
    expect(host.stack.stats.arpNotForUs).toBe(80_000);
    expect(host.stack.stats.arpUnsolicited).toBe(40_000);
    expect(host.sent()).toEqual([]);
    send(host);
    expect(stations(host)).toEqual([PEER_MAC]);
  });

  test("who ask us are answered and not remembered", () => {
    const host = new EthernetHost({ addresses: [`${OUR_IP}/16`] });
    for (let i = 0; i < 10_000; i++) {
      host.receive(arp({ op: "request", from: ip(i), fromMac: station(i), to: OUR_IP }));
    }
    expect(host.stack.stats.arpRepliesSent).toBe(10_000);
    expect(host.iface.link?.neighbours.size).toBe(0);
  });

  test("who make us send them something: entries are bounded, and those in use stay", () => {
    const host = new EthernetHost({ addresses: [`${OUR_IP}/16`], maxNeighbours: 64 });
    host.learn(PEER_IP, PEER_MAC);
    for (let i = 0; i < 10_000; i++) {
      const packet = icmpPacket({ from: ip(i), to: OUR_IP }, 8, 0, 1);
      host.receive(frameOf(packet, { from: station(i) }));
    }
    expect(host.iface.link?.neighbours.size).toBe(33);
    expect(host.iface.link?.neighbours.incompleteCount).toBe(32);
    expect(host.iface.link?.neighbours.parked.size).toBeLessThanOrEqual(32);
    expect(host.stack.stats.neighboursEvicted).toBe(10_000 - 32);
    host.device.take();
    send(host);
    expect(stations(host)).toEqual([PEER_MAC]);
    // It all ends.
    host.pass(10_000);
    expect(host.iface.link?.neighbours.size).toBe(1);
    expect(host.iface.link?.neighbours.parked.size).toBe(0);
    expect(host.stack.nextDeadline(host.now)).toBe(Number.POSITIVE_INFINITY);
  });

  test("who all answer: the one that was not used for longest goes", () => {
    const host = new EthernetHost({ addresses: [`${OUR_IP}/16`], maxNeighbours: 8 });
    for (let i = 0; i < 8; i++) host.learn(ip(i), station(i));
    send(host, ip(0));
    host.learn(ip(8), station(8));
    host.device.take();
    send(host, ip(0));
    expect(stations(host)).toEqual([station(0)]);
    host.pass(1_000);
    send(host, ip(1));
    expect(host.sent()).toEqual([question(ip(1))]);
    expect(host.iface.link?.neighbours.size).toBe(8);
  });

  /** Pings us from so many addresses in turn, a thousand packets a second; the times at which each was asked for. */
  function rotate(host: EthernetHost, addresses: number, packets: number, answered: boolean) {
    const asked = new Map<string, number[]>();
    for (let i = 0; i < packets; i++) {
      const who = i % addresses;
      const packet = icmpPacket({ from: ip(who), to: OUR_IP }, 8, 0, 1);
      host.receive(frameOf(packet, { from: station(who) }));
      for (const line of host.sent()) {
        const to = /arp request .* to (\S+)/.exec(line)?.[1];
        if (to !== undefined) asked.set(to, [...(asked.get(to) ?? []), host.now]);
      }
      if (answered) host.receive(answer(station(who), ip(who)));
      host.sent();
      host.now++;
    }
    return asked;
  }

  const gaps = (times: readonly number[]) => times.slice(1).map((time, i) => time - times[i]);

  test.each([
    ["answer nothing", 64, false],
    ["answer all", 64, true],
    ["answer nothing, and are more than half the places", 513, false],
  ])(
    "who %s, and are forgotten for each other in turn: still one question a second to each",
    (_, count, answered) => {
      const host = new EthernetHost({
        addresses: [`${OUR_IP}/16`],
        maxNeighbours: count === 513 ? 1_024 : 32,
      });
      const asked = rotate(host, count, 4_000, answered);
      expect(asked.size).toBe(count);
      expect(host.stack.stats.neighboursEvicted).toBeGreaterThan(1_000);
      for (const times of asked.values()) {
        expect(times.length).toBeGreaterThan(2);
        expect(Math.min(...gaps(times))).toBeGreaterThanOrEqual(1_000);
      }
      // Whoever was not among them is asked for at once.
      send(host, PEER_IP);
      expect(host.sent()).toContain(question(PEER_IP));
    },
  );

  test("more than can be remembered in a second: some are asked for later, none twice, and none believed unasked", () => {
    const host = new EthernetHost({ addresses: [`${OUR_IP}/16`], maxNeighbours: 32_768 });
    const socket = host.stack.sockets.bindUdp();
    const sendToAll = () => {
      for (let i = 0; i < 10_000; i++) {
        socket.send(new Uint8Array(0), parseAddress(ip(i)), 9);
        host.poll();
      }
    };
    const addressesAsked = () => host.sent().map((line) => /to (\S+) /.exec(line)?.[1]);
    sendToAll();
    const first = addressesAsked();
    expect(first.length).toBeWithin(2_048, 4_097);
    expect(new Set(first).size).toBe(first.length);
    sendToAll();
    expect(addressesAsked()).toEqual([]);
    const unasked = Array.from({ length: 10_000 }, (_, i) => i).find((i) => !first.includes(ip(i)));
    host.receive(answer(OTHER_MAC, ip(unasked as number)));
    expect(host.stack.stats.arpAnswers).toBe(0);
    host.now += 1_000;
    host.poll();
    const second = addressesAsked();
    expect(second.length).toBeWithin(2_048, 4_097);
    expect(host.stack.stats.neighboursUnreachable).toBe(0);
  });

  test("addresses with the same end are told apart", () => {
    const host = new EthernetHost({ addresses: [`${OUR_IP}/16`] });
    const ips = ["10.0.1.2", "10.0.2.2", "10.0.3.2"];
    for (const [i, address] of ips.entries()) host.learn(address, station(i));
    for (const address of [...ips, ...ips]) send(host, address);
    expect(stations(host)).toEqual([0, 1, 2, 0, 1, 2].map(station));
  });

  test("a neighbour that was found without looking is used as well", () => {
    const host = new EthernetHost({ addresses: [`${OUR_IP}/16`], maxNeighbours: 2 });
    for (let i = 0; i < 2; i++) host.learn(ip(i), station(i));
    for (const i of [0, 1, 0]) send(host, ip(i));
    host.learn(ip(2), station(2));
    send(host, ip(0));
    expect(stations(host)).toEqual([station(0)]);
  });
});

describe("EHOSTUNREACH", () => {
  test("connect fails after the third question has been unanswered for a second", () => {
    const host = new EthernetHost();
    const socket = host.stack.sockets.connect({ address: PEER_IP, port: 80 });
    const sent = host.pass(2_999);
    expect(sent.filter(({ frame }) => frame.includes("arp")).map(({ at }) => at)).toEqual([0, 1_000, 2_000]);
    expect(socket.error).toBeNull();
    host.pass(1);
    expect(socket.error?.code).toBe("EHOSTUNREACH");
    expect(host.stack.stats.neighboursUnreachable).toBe(1);
    expect(host.pass(60_000)).toEqual([]);
    expect(host.stack.sockets.size).toBe(0);
  });

  test("so do all that connect there, more than have packets parked, also by way of a router", () => {
    const host = new EthernetHost({ gateway: ROUTER_IP });
    const sockets = Array.from({ length: 9 }, (_, i) =>
      host.stack.sockets.connect({ address: i < 4 ? ROUTER_IP : `8.8.8.${i}`, port: 80 }),
    );
    const elsewhere = host.stack.sockets.connect({ address: PEER_IP, port: 80 });
    host.poll();
    host.receive(answer());
    host.pass(3_000);
    expect(sockets.map(({ error }) => error?.code)).toEqual(new Array(9).fill("EHOSTUNREACH"));
    expect(elsewhere.error).toBeNull();
  });

  test("the next attempt asks again", () => {
    const host = new EthernetHost();
    host.stack.sockets.connect({ address: PEER_IP, port: 80 });
    host.pass(3_000);
    host.stack.sockets.connect({ address: PEER_IP, port: 80 });
    host.poll();
    expect(host.sent()).toEqual([question(PEER_IP)]);
    host.receive(answer());
    expect(stations(host)).toEqual([PEER_MAC]);
  });

  test("an established connection takes it for a soft error, and goes on when the neighbour is back", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    const socket = host.stack.sockets.connect({ address: PEER_IP, port: 80, localPort: 5000 });
    host.poll();
    const seq = Number(/seq (\d+)/.exec(host.sent()[0])?.[1]);
    const ends = { from: PEER_IP, to: OUR_IP };
    const fields = { sourcePort: 80, destinationPort: 5000, window: 60_000 };
    const synAck = tcpPacket(ends, { ...fields, seq: 1, ack: seq + 1, flags: 0x12, mss: 1_460 });
    host.receive(frameOf(synAck, { from: PEER_MAC }));
    host.pass(31_000);
    socket.write(new Uint8Array(100));
    // Asked at its station for three seconds, then everywhere for three: the connection waits.
    host.pass(10_000);
    expect(socket.error).toBeNull();
    expect(socket.info().state).toBe("ESTABLISHED");
    expect(host.stack.stats.neighboursUnreachable).toBeGreaterThan(0);
    host.receive(answer());
    let acked = false;
    for (let tries = 0; tries < 100 && !acked; tries++) {
      for (const { frame } of host.pass(1_000)) {
        if (frame.includes("arp request")) host.receive(answer());
        acked ||= /seq .* length 100$/.test(frame);
      }
    }
    expect(acked).toBe(true);
  });

  test("a datagram that could not be sent is an error of its socket's, and counted", () => {
    const host = new EthernetHost();
    const socket = send(host);
    const about = {
      remoteAddress: parseAddress("0.0.0.0"),
      remotePort: 0,
      localAddress: parseAddress("0.0.0.0"),
    };
    host.pass(2_999);
    expect(socket.receiveError(about)).toBeNull();
    host.pass(1);
    expect(socket.receiveError(about)).toBe("EHOSTUNREACH");
    expect([about.remoteAddress.toString(), about.remotePort]).toEqual([PEER_IP, 9]);
    expect(host.stack.stats.neighbourPacketsDropped).toBe(1);
  });
});

describe("NeighbourCache", () => {
  test("finds what a map would find, whatever is added, used and forgotten", () => {
    const random = seededRandom(3);
    const cache = new NeighbourCache(50, 100, random, new Stats());
    const known = new Map<number, number>();
    for (let i = 0; i < 20_000; i++) {
      const address = (random.next() % 80) | 0x0a000000;
      const entry = cache.find(address);
      expect(entry === -1 ? undefined : cache.address[entry]).toBe(known.has(address) ? address : undefined);
      if (entry === -1 && cache.size < 50 && cache.incompleteCount < 25) {
        const added = cache.add(address, i * 1_000);
        cache.ask(added, i * 1_000);
        known.set(address, added);
        if (random.next() & 1) cache.answer(added, new Uint8Array(6), 0, 0);
      } else if (entry !== -1 && random.next() & 1) {
        cache.remove(entry);
        known.delete(address);
      } else if (entry !== -1) {
        cache.use(entry);
      }
      expect(cache.size).toBe(known.size);
    }
    expect(cache.size).toBeGreaterThan(10);
  });

  test("an entry of its own for the only place there is", () => {
    const cache = new NeighbourCache(1, 100, seededRandom(1), new Stats());
    const first = cache.add(1, 0);
    expect(cache.ask(first, 0)).toBe(true);
    expect(cache.state[first]).toBe(INCOMPLETE);
    cache.answer(first, Uint8Array.of(2, 0, 0, 0, 0, 2), 0, 0);
    expect(cache.state[first]).toBe(REACHABLE);
    const second = cache.add(2, 0);
    expect([cache.find(1), cache.find(2)]).toEqual([-1, second]);
  });

  test("words of the address space's upper half are found, too", () => {
    const cache = new NeighbourCache(8, 100, seededRandom(1), new Stats());
    const { w3 } = parseAddress("203.0.113.7");
    const entry = cache.add(w3, 0);
    expect(cache.find(w3)).toBe(entry);
    expect(formatAddress(new IpAddress(4, 0, 0, 0xffff, cache.address[entry]))).toBe("203.0.113.7");
  });
});

describe("RFC 9293 3.8.3, R1", () => {
  test("a peer that does not answer three times: its next hop is asked for again, by itself, and stays in use", () => {
    const host = new EthernetHost();
    host.stack.sockets.connect({ address: PEER_IP, port: 80 });
    host.poll();
    host.receive(answer());
    host.sent();
    const lines = host
      .pass(20_000)
      .map(({ at, frame }) => `${at} ${/arp request/.test(frame) ? frame : "SYN"}`);
    expect(lines.slice(0, 4)).toEqual([
      "1000 SYN",
      "3000 SYN",
      "7000 SYN",
      `7000 ${question(PEER_IP, { to: PEER_MAC })}`,
    ]);
  });
});
