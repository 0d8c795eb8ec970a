import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { formatEthernet } from "../../src/wire/print-ethernet.ts";
import { readCapture } from "../support/pcap-reader.ts";
import { embedded, guarded, hex, randomBytes, randomIntegers } from "./support.ts";

const fixture = new URL("../fixtures/ethernet/", import.meta.url);
const BROADCAST = "ffffffffffff 020000000002";
const UNICAST = "020000000001 020000000002";
const ARP = "0001 0800 06 04 0001 020000000002 c0a84564 000000000000 c0a84501";
const DATAGRAM = "4500001d 00010000 40110000 0a000001 0a000002 9c40c350 00090000 0a";

const print = (text: string, linkHeaders = false) => {
  const frame = hex(text);
  return formatEthernet(frame, 0, frame.length, linkHeaders);
};

describe("a capture of tcpdump", () => {
  const { packets } = readCapture(new URL("neighbours.pcap", fixture));
  for (const linkHeaders of [false, true]) {
    test(`prints as tcpdump ${linkHeaders ? "-e " : ""}does`, () => {
      const text = readFileSync(new URL(`neighbours${linkHeaders ? "-e" : ""}.txt`, fixture), "utf8");
      // Of what it doesn't know, tcpdump adds a dump, which we leave out.
      const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("\t"));
      const printed = packets.map(({ bytes }) => formatEthernet(bytes, 0, bytes.length, linkHeaders));
      expect(printed).toEqual(lines.map((line) => line.replace(/: $/, "")));
      expect(printed.filter((line) => line.includes("ARP")).length).toBeGreaterThan(4);
    });
  }
});

describe("ARP", () => {
  const changed = (from: string, to: string) => print(`${BROADCAST} 0806 ${ARP.replace(from, to)}`);
  const lines: [name: string, from: string, to: string, line: string][] = [
    ["a request", "", "", "ARP, Request who-has 192.168.69.1 tell 192.168.69.100, length 28"],
    ["a probe", "c0a84564", "00000000", "ARP, Request who-has 192.168.69.1 tell 0.0.0.0, length 28"],
    [
      "a request of who knows the answer",
      "000000000000",
      "020000000001",
      "ARP, Request who-has 192.168.69.1 (02:00:00:00:00:01) tell 192.168.69.100, length 28",
    ],
    ["a reply", "0001 0200", "0002 0200", "ARP, Reply 192.168.69.100 is-at 02:00:00:00:00:02, length 28"],
    [
      "a reverse request",
      "0001 0200",
      "0003 0200",
      "ARP, Reverse Request who-is 00:00:00:00:00:00 tell 02:00:00:00:00:02, length 28",
    ],
    [
      "a reverse reply",
      "0001 0200",
      "0004 0200",
      "ARP, Reverse Reply 00:00:00:00:00:00 at 192.168.69.1, length 28",
    ],
    [
      "an inverse request",
      "0001 0200",
      "0008 0200",
      "ARP, Inverse Request who-is 00:00:00:00:00:00 tell 02:00:00:00:00:02, length 28",
    ],
    [
      "an inverse reply",
      "0001 0200",
      "0009 0200",
      "ARP, Inverse Reply 02:00:00:00:00:02 at 192.168.69.100, length 28",
    ],
    ["a refusal", "0001 0200", "000a 0200", "ARP, NACK Reply, length 28"],
    ["an operation nobody knows", "0001 0200", "0063 0200", "ARP, Unknown (99), length 28"],
    ["another network's addresses", "0800", "86dd", "ARP, Ethernet (len 6), IPv6 (len 4), length 28"],
    [
      "another link's",
      "0001 0800",
      "0006 88b5",
      "ARP, Unknown Hardware (6) (len 6), Unknown Protocol (0x88b5) (len 4), length 28",
    ],
    ["addresses that don't fit", "06 04", "06 10", " [|arp]"],
  ];
  for (const [name, from, to, line] of lines) {
    test(name, () => expect(changed(from, to)).toBe(line));
  }

  test("padding counts, as it does for tcpdump", () => {
    expect(print(`${BROADCAST} 0806 ${ARP} ${"00".repeat(18)}`)).toEndWith("tell 192.168.69.100, length 46");
  });

  test("cut short", () => {
    expect(print(`${BROADCAST} 0806 ${ARP}`.slice(0, -2))).toBe(" [|arp]");
    expect(print(`${BROADCAST} 0806 0001 0800`)).toBe(" [|arp]");
    expect(print(`${BROADCAST} 0806`, true)).toBe(
      "02:00:00:00:00:02 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 14:  [|arp]",
    );
  });
});

describe("headers", () => {
  const IP = "10.0.0.1.40000 > 10.0.0.2.50000: UDP, length 1";
  const LINK = "02:00:00:00:00:02 > 02:00:00:00:00:01";

  test("IP, without and with tags", () => {
    for (const tags of ["", "8100 0005", "8100 b005", "88a8 0006 8100 0005"]) {
      expect(print(`${UNICAST} ${tags} 0800 ${DATAGRAM}`)).toBe(`IP ${IP}`);
    }
    expect(print(`${UNICAST} 0800 ${DATAGRAM}`, true)).toBe(
      `${LINK}, ethertype IPv4 (0x0800), length 43: ${IP}`,
    );
    expect(print(`${UNICAST} 8100 b005 0800 ${DATAGRAM}`, true)).toBe(
      `${LINK}, ethertype 802.1Q (0x8100), length 47: vlan 5, p 5, DEI, ethertype IPv4 (0x0800), ${IP}`,
    );
    expect(print(`${UNICAST} 88a8 0006 8100 0005 0800 ${DATAGRAM}`, true)).toBe(
      `${LINK}, ethertype 802.1Q-QinQ (0x88a8), length 51: vlan 6, p 0, ethertype 802.1Q (0x8100), vlan 5, p 0, ethertype IPv4 (0x0800), ${IP}`,
    );
  });

  test("what is not decoded shows its header in either case", () => {
    for (const linkHeaders of [false, true]) {
      expect(print(`${UNICAST} 88b5 6869`, linkHeaders)).toBe(
        `${LINK}, ethertype Unknown (0x88b5), length 16`,
      );
      expect(print(`${UNICAST} 88cc 6869`, linkHeaders)).toBe(`${LINK}, ethertype LLDP (0x88cc), length 16`);
      expect(print(`${UNICAST} 0003 424203`, linkHeaders)).toBe(`${LINK}, 802.3, length 17`);
    }
  });

  test("cut short", () => {
    expect(print(UNICAST)).toBe(" [|ether]");
    expect(print("")).toBe(" [|ether]");
    expect(print(`${UNICAST} 8100`)).toBe(" [|vlan]");
    expect(print(`${UNICAST} 8100 0005 08`, true)).toBe(`${LINK},  [|vlan]`);
    expect(print(`${UNICAST} ${"8100 0005".repeat(30)}`)).toBe(" [|vlan]");
  });

  test("any offset, and a length that the array doesn't have", () => {
    const frame = hex(`${UNICAST} 0800 ${DATAGRAM}`);
    expect(formatEthernet(embedded(frame, 7), 7, frame.length)).toBe(`IP ${IP}`);
    expect(formatEthernet(frame, 0, 1000)).toBe(`IP ${IP}`);
    expect(formatEthernet(frame, -1, 40)).toBe(" [|ether]");
  });
});

test("random frames are printed, and nothing outside of them is read", () => {
  const random = randomIntegers(5);
  for (let i = 0; i < 10_000; i++) {
    const bytes = randomBytes(random, 70);
    bytes.set(
      [
        [0x08, 0x06],
        [0x08, 0x00],
        [0x81, 0x00],
        [0x88, 0xa8],
      ][random(4)],
      12 + 2,
    );
    bytes.set(
      [
        [0x08, 0x06],
        [0x08, 0x00],
        [0x81, 0x00],
      ][random(3)],
      16 + 2,
    );
    if (random(2) === 0) bytes.set([0, 1, 8, 0, random(12), random(8), 0, random(12)], 14 + 2);
    const length = random(69);
    const watched = guarded(bytes, 2, 2 + length);
    expect(formatEthernet(watched, 2, length, random(2) === 0).length).toBeGreaterThan(5);
  }
});
