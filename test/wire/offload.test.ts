import { describe, expect, test } from "bun:test";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { writeIpv4Fragment } from "../../src/wire/ipv4.ts";
import { completeChecksum, findTransport, TransportPlace } from "../../src/wire/offload.ts";
import { tcpPacket, udpPacket } from "../support/packets.ts";
import { ipPackets, readCapture } from "../support/pcap-reader.ts";
import { embedded, guarded, hex, randomBytes, randomIntegers, toHex } from "./support.ts";

const ends = { from: "10.0.0.1", to: "10.0.0.2" };
const words = new TextEncoder();
const TCP = tcpPacket(
  ends,
  { sourcePort: 40_000, destinationPort: 7, seq: 1, flags: 24 },
  words.encode("odd"),
);
const UDP = udpPacket(ends, 5353, 53, words.encode("hello"));

/** A checksum written for this test only: byte by byte, without a trick. */
function plainChecksum(bytes: Iterable<number>): number {
  let total = 0;
  let i = 0;
  for (const byte of bytes) total += i++ % 2 === 0 ? byte * 256 : byte;
  return 0xffff - (total % 0xffff === 0 && total > 0 ? 0xffff : total % 0xffff);
}

/** An IPv6 packet whose extension headers are `extensions`, with the right checksum in `transport` at `field`. */
function ipv6(
  protocol: number,
  extensions: string,
  first: number,
  transport: Uint8Array,
  field: number,
): Uint8Array {
  const addresses = [parseAddress("2001:db8::1"), parseAddress("fe80::ff:fe00:2")].flatMap((address) =>
    [address.w0, address.w1, address.w2, address.w3].flatMap((word) =>
      [24, 16, 8, 0].map((by) => (word >>> by) & 255),
    ),
  );
  const body = transport.slice();
  body.set([0, 0], field);
  const pseudo = [...addresses, 0, 0, body.length >> 8, body.length & 255, 0, 0, 0, protocol];
  const right = plainChecksum([...pseudo, ...body]);
  body.set([right >> 8, right & 255], field);
  const rest = [...hex(extensions), ...body];
  return Uint8Array.from([
    0x60,
    0,
    0,
    0,
    rest.length >> 8,
    rest.length & 255,
    first,
    64,
    ...addresses,
    ...rest,
  ]);
}

const SEGMENT = TCP.slice(20);
const DATAGRAM = UDP.slice(20);
const ETHERNET = "020000000001 020000000002";
const ethernet = (types: string, packet: Uint8Array) =>
  Uint8Array.from([...hex(`${ETHERNET} ${types}`), ...packet]);

describe("completes the checksum of", () => {
  const frames: [name: string, medium: "ip" | "ethernet", frame: Uint8Array, field: number][] = [
    ["TCP over IPv4", "ip", TCP, 36],
    ["UDP over IPv4", "ip", UDP, 26],
    ["TCP over Ethernet", "ethernet", ethernet("0800", TCP), 50],
    ["TCP with a VLAN tag", "ethernet", ethernet("8100 0005 0800", TCP), 54],
    ["TCP with two VLAN tags", "ethernet", ethernet("88a8 0006 8100 0005 0800", TCP), 58],
    [
      "TCP behind which the link has padding",
      "ethernet",
      ethernet("0800", Uint8Array.from([...TCP, 1, 2, 3])),
      50,
    ],
    ["TCP over IPv6", "ip", ipv6(6, "", 6, SEGMENT, 16), 56],
    ["UDP over IPv6", "ip", ipv6(17, "", 17, DATAGRAM, 6), 46],
    ["UDP over IPv6 over Ethernet", "ethernet", ethernet("86dd", ipv6(17, "", 17, DATAGRAM, 6)), 60],
    ["TCP behind hop-by-hop options", "ip", ipv6(6, "0600 0502 0000 0100", 0, SEGMENT, 16), 64],
    [
      "TCP behind destination options of 16 bytes",
      "ip",
      ipv6(6, `0601 010c ${"00".repeat(12)}`, 60, SEGMENT, 16),
      72,
    ],
    [
      "TCP behind an authentication header",
      "ip",
      ipv6(6, `0604 0000 ${"aa".repeat(20)}`, 51, SEGMENT, 16),
      80,
    ],
    ["TCP behind a route at its end", "ip", ipv6(6, "0600 0000 0000 0000", 43, SEGMENT, 16), 64],
    ["TCP in a fragment that is the whole", "ip", ipv6(6, "0600 0000 1234 5678", 44, SEGMENT, 16), 64],
  ];
  for (const [name, medium, frame, field] of frames) {
    test(name, () => {
      // The sum of the pseudo-header, the right one already, or anything: the outcome is the same.
      for (const stands of [0x1234, 0xffff, 1, (frame[field] << 8) | frame[field + 1]]) {
        const bytes = embedded(frame, 6);
        bytes.set([stands >> 8, stands & 255], 6 + field);
        expect(completeChecksum(bytes, 6, frame.length, medium)).toBe(true);
        expect(toHex(bytes)).toBe(toHex(embedded(frame, 6)));
      }
    });
  }

  test("TCP where the field is empty", () => {
    const bytes = TCP.slice();
    bytes.set([0, 0], 36);
    expect(completeChecksum(bytes, 0, bytes.length, "ip")).toBe(true);
    expect(toHex(bytes)).toBe(toHex(TCP));
  });

  test("UDP that comes out as 0: it is written as ffff", () => {
    for (let word = 0; word < 0x10000; word++) {
      const packet = UDP.slice();
      packet.set([word >> 8, word & 255], 28);
      packet[26] = 0x11;
      completeChecksum(packet, 0, packet.length, "ip");
      expect(packet[26] | packet[27]).not.toBe(0);
      if (packet[26] === 0xff && packet[27] === 0xff) return;
    }
    throw new Error("no datagram with that checksum was found");
  });

  test("a super-segment, as a whole", () => {
    const packet = tcpPacket(
      ends,
      { sourcePort: 1, destinationPort: 2, flags: 16 },
      new Uint8Array(65_000).fill(0xab),
    );
    const bytes = packet.slice();
    bytes.set([0xab, 0xcd], 36);
    expect(completeChecksum(bytes, 0, bytes.length, "ip")).toBe(true);
    expect(Buffer.compare(bytes, packet)).toBe(0);
  });

  test("every packet of the captures that has one", () => {
    let completed = 0;
    for (const name of [
      "handshake",
      "download",
      "udp",
      "ping",
      "fragments",
      "unreachable",
      "ping-record-route",
    ]) {
      for (const packet of ipPackets(readCapture(`${import.meta.dir}/../fixtures/${name}.pcap`))) {
        const bytes = packet.slice();
        const done = completeChecksum(bytes, 0, bytes.length, "ip");
        expect(toHex(bytes)).toBe(toHex(packet));
        if (done) completed++;
      }
    }
    expect(completed).toBeGreaterThan(25);
  });
});

describe("leaves alone", () => {
  const changed = (frame: Uint8Array, at: number, ...to: number[]) => {
    const bytes = frame.slice();
    bytes.set(to, at);
    return bytes;
  };
  const fragment = TCP.slice();
  writeIpv4Fragment(fragment, 0, 0, true);
  const IPV6 = ipv6(6, "0600 0502 0000 0100", 0, SEGMENT, 16);
  const frames: [name: string, medium: "ip" | "ethernet", frame: Uint8Array][] = [
    ["nothing", "ip", new Uint8Array(0)],
    ["a fragment", "ip", fragment],
    ["another version", "ip", changed(TCP, 0, 0x55)],
    ["an IPv4 header that is too short", "ip", changed(TCP, 0, 0x44)],
    ["an IPv4 header that is longer than its packet", "ip", changed(TCP, 2, 0, 19)],
    ["an IPv4 packet that is cut short", "ip", TCP.subarray(0, TCP.length - 1)],
    ["a TCP header that is cut short", "ip", changed(TCP.subarray(0, 39), 2, 0, 39)],
    ["another protocol", "ip", changed(TCP, 9, 47)],
    ["UDP without a checksum", "ip", changed(UDP, 26, 0, 0)],
    ["UDP that states more than there is", "ip", changed(UDP, 24, 0, 14)],
    ["UDP that states less than its header", "ip", changed(UDP, 24, 0, 7)],
    ["ARP", "ethernet", ethernet("0806", TCP)],
    ["three VLAN tags", "ethernet", ethernet("8100 0001 8100 0002 8100 0003 0800", TCP)],
    ["an Ethernet header and nothing else", "ethernet", ethernet("0800", new Uint8Array(0))],
    ["half an Ethernet header", "ethernet", hex(ETHERNET)],
    ["an IPv6 packet that is cut short", "ip", IPV6.subarray(0, IPV6.length - 1)],
    ["an extension header that is longer than its packet", "ip", changed(IPV6, 41, 200)],
    ["a route that is not at its end", "ip", changed(ipv6(6, "0600 0000 0000 0000", 43, SEGMENT, 16), 43, 1)],
    ["a fragment of IPv6", "ip", changed(ipv6(6, "0600 0000 1234 5678", 44, SEGMENT, 16), 43, 1)],
    [
      "more extension headers than anybody has",
      "ip",
      ipv6(6, `${"0000 0502 0000 0100".repeat(8)}06000502 00000100`, 0, SEGMENT, 16),
    ],
  ];
  for (const [name, medium, frame] of frames) {
    test(name, () => {
      const bytes = embedded(frame, 4);
      expect(completeChecksum(bytes, 4, frame.length, medium)).toBe(false);
      expect(toHex(bytes)).toBe(toHex(embedded(frame, 4)));
    });
  }

  test("what is said to be longer than its array", () => {
    expect(completeChecksum(TCP.slice(), 0, TCP.length + 1, "ip")).toBe(false);
  });
});

test("nothing outside of the frame is read, whatever is in it", () => {
  const random = randomIntegers(21);
  const place = new TransportPlace();
  for (let i = 0; i < 20_000; i++) {
    const bytes = randomBytes(random, 100);
    const medium = random(2) === 0 ? "ip" : "ethernet";
    const at = medium === "ip" ? 8 : 22;
    if (medium === "ethernet") bytes.set(random(2) === 0 ? [0x08, 0] : [0x86, 0xdd], 20);
    const length = random(80);
    bytes[at] = random(2) === 0 ? 0x45 : 0x60;
    bytes.set([0, random(90)], at + (bytes[at] === 0x45 ? 2 : 4));
    bytes[at + 6] = [0, 6, 17, 43, 44, 51, 60][random(7)];
    const watched = guarded(bytes, 8, 8 + length);
    if (findTransport(watched, 8, length, medium, place)) {
      expect(place.offset + place.length).toBeLessThanOrEqual(8 + length);
      expect(place.ipEnd).toBe(place.offset + place.length);
    }
  }
});
