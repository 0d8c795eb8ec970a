import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { seededRandom } from "../../src/random.ts";
import { icmpPacket } from "../support/packets.ts";
import { connected, pairOn } from "../support/transfer.ts";
import { ALL, arp, EthernetHost, frameOf, NONE, OUR_IP, OUR_MAC } from "./ethernet-host.ts";

const PEER_IP = "10.0.0.2";
const PEER_MAC = "02:00:00:00:00:02";
const probe = (ip = OUR_IP) => `${OUR_MAC} > ${ALL}: arp request 0.0.0.0 (${OUR_MAC}) to ${ip} (${NONE})`;
const announcement = (ip = OUR_IP) =>
  `${OUR_MAC} > ${ALL}: arp request ${ip} (${OUR_MAC}) to ${ip} (${NONE})`;

/** Somebody else's packets about our address. */
const theirs = {
  probe: arp({ op: "request", from: "0.0.0.0", fromMac: PEER_MAC, to: OUR_IP }),
  announcement: arp({ op: "request", from: OUR_IP, fromMac: PEER_MAC, to: OUR_IP }),
  question: arp({ op: "request", from: OUR_IP, fromMac: PEER_MAC, to: "10.0.0.9" }),
  reply: arp({ op: "reply", from: OUR_IP, fromMac: PEER_MAC, to: "0.0.0.0", toMac: OUR_MAC }),
};

describe("RFC 5227 2.1.1: probing", () => {
  test("fast: three probes, then two announcements, ready after about 200 ms", () => {
    for (let seed = 0; seed < 50; seed++) {
      const host = new EthernetHost({ conflictDetection: "fast" }, { random: seededRandom(seed) });
      const log = host.pass(10_000);
      expect(log.map(({ frame }) => frame)).toEqual([
        probe(),
        probe(),
        probe(),
        announcement(),
        announcement(),
      ]);
      const [first, second, third, announced, again] = log.map(({ at }) => at);
      expect(first).toBeLessThanOrEqual(20);
      for (const gap of [second - first, third - second]) {
        expect(gap).toBeGreaterThanOrEqual(44);
        expect(gap).toBeLessThanOrEqual(66);
      }
      expect(announced - third).toBeWithin(79, 82);
      expect(announced).toBeLessThanOrEqual(230);
      expect(again - announced).toBeWithin(1_999, 2_002);
      expect(host.iface.state).toBe("ready");
      expect(host.states).toHaveLength(1);
      expect(host.stack.nextDeadline(host.now)).toBe(Number.POSITIVE_INFINITY);
    }
  });

  test("rfc5227: the times of 1.1", () => {
    for (let seed = 0; seed < 50; seed++) {
      const host = new EthernetHost({ conflictDetection: "rfc5227" }, { random: seededRandom(seed) });
      const [first, second, third, announced, again] = host.pass(20_000).map(({ at }) => at);
      expect(first).toBeLessThanOrEqual(1_000);
      expect(second - first).toBeWithin(999, 2_002);
      expect(third - second).toBeWithin(999, 2_002);
      expect(announced - third).toBeWithin(1_999, 2_002);
      expect(again - announced).toBeWithin(1_999, 2_002);
    }
  });

  test("off: ready at once, and nothing is sent", () => {
    const host = new EthernetHost({ conflictDetection: "off" });
    expect(host.iface.state).toBe("ready");
    expect(host.pass(60_000)).toEqual([]);
    expect(host.states).toEqual([]);
  });

  test("where frames are bare packets there is nobody to ask", () => {
    const [device] = memoryPair();
    const host = new EthernetHost();
    expect(host.stack.addInterface({ device, addresses: ["10.9.0.1/24"] }).state).toBe("ready");
  });

  test("every address is probed and announced", () => {
    const host = new EthernetHost({ addresses: ["10.0.0.1/24", "10.0.1.1/24"], conflictDetection: "fast" });
    const sent = host.pass(1_000).map(({ frame }) => frame);
    expect(sent.slice(0, 2)).toEqual([probe("10.0.0.1"), probe("10.0.1.1")]);
    expect(sent.slice(6)).toEqual([announcement("10.0.0.1"), announcement("10.0.1.1")]);
  });

  test("meanwhile nothing is sent from the address, and nothing answered at it", () => {
    const host = new EthernetHost({ conflictDetection: "fast" });
    host.poll();
    host.stack.sockets.connect({ address: PEER_IP, port: 80 });
    const ping = icmpPacket({ from: PEER_IP, to: OUR_IP }, 8, 0, 1);
    host.receive(
      arp({ op: "request", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP }),
      frameOf(ping, { from: PEER_MAC }),
    );
    // It does not turn in circles, either.
    expect(host.stack.nextDeadline(host.now)).toBeGreaterThan(host.now);
    expect(new Set(host.pass(130).map(({ frame }) => frame))).toEqual(new Set([probe()]));
    expect(host.iface.state).toBe("probing");
    // What the program wants to send goes out as soon as the address is ours.
    const sent = host.pass(200).map(({ frame }) => frame);
    expect(sent).toEqual([
      announcement(),
      `${OUR_MAC} > ${ALL}: arp request ${OUR_IP} (${OUR_MAC}) to ${PEER_IP} (${NONE})`,
    ]);
    host.receive(arp({ op: "request", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP }));
    expect(host.sent()[0]).toContain("arp reply");
  });

  test.each(Object.entries(theirs))("a conflict: somebody else's %s", (_, frame) => {
    for (const ms of [5, 60, 150]) {
      const host = new EthernetHost({ conflictDetection: "fast" });
      host.pass(ms);
      host.receive(frame);
      expect(host.iface.state).toBe("conflict");
      expect(host.states).toEqual([`conflict at ${host.now}`]);
      expect(host.iface.conflict?.code).toBe("EADDRINUSE");
      expect(host.iface.conflict?.message).toContain(`${OUR_IP} is in use by the station ${PEER_MAC}`);
      // Nothing more is said, not even an answer.
      host.receive(arp({ op: "request", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP }), frame);
      expect(host.pass(60_000)).toEqual([]);
      expect(host.stack.nextDeadline(host.now)).toBe(Number.POSITIVE_INFINITY);
      expect(host.stack.stats.arpConflicts).toBe(1);
    }
  });

  test("of several addresses, the one that somebody has is named", () => {
    const host = new EthernetHost({ addresses: ["10.0.0.1/24", "10.0.1.1/24"], conflictDetection: "fast" });
    host.pass(50);
    host.receive(arp({ op: "reply", from: "10.0.1.1", fromMac: PEER_MAC, to: "0.0.0.0", toMac: OUR_MAC }));
    expect(host.iface.conflict?.message).toContain("10.0.1.1 is in use");
  });

  test("no conflict: other hosts' packets, other hosts' probes, our own that come back", () => {
    const host = new EthernetHost({ conflictDetection: "fast" });
    host.pass(50);
    host.receive(
      arp({ op: "request", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP }),
      arp({ op: "request", from: "0.0.0.0", fromMac: PEER_MAC, to: "10.0.0.3" }),
      arp({ op: "request", from: "0.0.0.0", fromMac: OUR_MAC, to: OUR_IP }),
      arp({ op: "request", from: OUR_IP, fromMac: OUR_MAC, to: OUR_IP }),
    );
    host.pass(1_000);
    expect(host.iface.state).toBe("ready");
    expect(host.stack.stats.arpConflicts).toBe(0);
    expect(host.stack.stats.arpBadSender).toBe(2);
  });

  test("a probe of somebody who wants our address is answered", () => {
    const first = new EthernetHost({ conflictDetection: "fast" });
    first.pass(1_000);
    first.receive(theirs.probe);
    // A probe is a question like any other for who has the address.
    expect(first.sent()).toEqual([
      `${OUR_MAC} > ${PEER_MAC}: arp reply ${OUR_IP} (${OUR_MAC}) to 0.0.0.0 (${PEER_MAC})`,
    ]);
    expect(first.iface.state).toBe("ready");
  });

  test("two stacks with addresses of their own get ready, and talk", () => {
    const pair = pairOn(...memoryPair({ medium: "ethernet" }));
    connected(pair);
    expect(pair.client.stats.arpConflicts + pair.server.stats.arpConflicts).toBe(0);
    expect(pair.client.stats.arpProbesSent).toBe(3);
  });
});

describe("RFC 5227 2.4: defending", () => {
  const ready = (conflictDetection: "off" | "fast" = "fast") => {
    const host = new EthernetHost({ conflictDetection });
    host.pass(10_000);
    return host;
  };

  test("the first conflict is answered by an announcement, and told to the program", () => {
    const host = ready();
    host.receive(theirs.announcement);
    expect(host.sent()).toEqual([announcement()]);
    expect(host.conflicts.map(({ code }) => code)).toEqual(["EADDRINUSE"]);
    expect(host.conflicts[0].message).toContain(PEER_MAC);
    expect(host.iface.state).toBe("ready");
  });

  test("further ones within 10 s are counted only; then again one", () => {
    const host = ready();
    for (let i = 0; i < 100; i++) host.receive(theirs.question);
    host.pass(9_999);
    host.receive(theirs.reply);
    expect(host.conflicts).toHaveLength(1);
    expect(host.stack.stats.arpConflicts).toBe(101);
    host.pass(1);
    host.receive(theirs.announcement);
    expect(host.sent()).toEqual([announcement()]);
    expect(host.conflicts).toHaveLength(2);
  });

  test("whoever has our address is not answered, and its question makes no entry", () => {
    const host = ready();
    host.receive(arp({ op: "request", from: OUR_IP, fromMac: PEER_MAC, to: OUR_IP }, { to: OUR_MAC }));
    expect(host.sent()).toEqual([announcement()]);
    expect(host.iface.link?.neighbours.size).toBe(0);
  });

  test("off: counted and told, not answered", () => {
    const host = ready("off");
    host.receive(theirs.announcement);
    expect(host.sent()).toEqual([]);
    expect(host.conflicts).toHaveLength(1);
  });
});

describe("odd packets", () => {
  test("are counted, answered by nothing, and learned from by nobody", () => {
    const host = new EthernetHost();
    const request = arp({ op: "request", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP });
    const altered = (at: number, value: number) => {
      const copy = request.slice();
      copy[at] = value;
      return copy;
    };
    // Cut off, another hardware, another protocol, other lengths, another operation.
    const malformed = [
      request.slice(0, 41),
      altered(15, 6),
      altered(16, 0x86),
      altered(18, 8),
      altered(19, 16),
      altered(21, 3),
    ];
    host.receive(...malformed);
    expect(host.stack.stats.arpMalformed).toBe(malformed.length);
    const senders = [
      { from: PEER_IP, fromMac: ALL },
      { from: PEER_IP, fromMac: "01:00:5e:00:00:02" },
      { from: PEER_IP, fromMac: NONE },
      { from: PEER_IP, fromMac: OUR_MAC },
      { from: "255.255.255.255", fromMac: PEER_MAC },
      { from: "10.0.0.255", fromMac: PEER_MAC },
      { from: "224.0.0.1", fromMac: PEER_MAC },
      { from: "127.0.0.1", fromMac: PEER_MAC },
    ];
    // The frame's own source is fine: it is the packet that is odd.
    for (const sender of senders)
      host.receive(arp({ op: "request", ...sender, to: OUR_IP }, { from: PEER_MAC }));
    expect(host.stack.stats.arpBadSender).toBe(senders.length);
    expect(host.sent()).toEqual([]);
    expect(host.iface.link?.neighbours.size).toBe(0);
  });

  test("every single byte of a request and a reply garbled: nothing but counters", () => {
    const host = new EthernetHost();
    host.learn(PEER_IP, PEER_MAC);
    for (const frame of [
      theirs.announcement,
      arp({ op: "reply", from: PEER_IP, fromMac: PEER_MAC, to: OUR_IP, toMac: OUR_MAC }),
    ]) {
      for (let at = 12; at < frame.length; at++) {
        for (let i = 0; i < 8; i++) {
          const copy = frame.slice();
          copy[at] ^= 1 << i;
          host.receive(copy);
        }
      }
    }
    expect(host.iface.link?.neighbours.size).toBe(1);
    const { neighbours } = host.iface.link!;
    expect(
      neighbours.hardware
        .slice(neighbours.find(0x0a000002) * 8)
        .subarray(0, 6)
        .toHex(),
    ).toBe("020000000002");
  });
});
