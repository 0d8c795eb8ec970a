/**
 * Random and damaged packets: no function on the way in may throw, read outside of the bytes it was given, or return
 * fields that lead others outside.
 */

import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { OK } from "../../src/errors.ts";
import {
  checkIcmpv4,
  icmpIdentifier,
  icmpNextHopMtu,
  icmpPointer,
  icmpSequence,
} from "../../src/wire/icmpv4.ts";
import { ipv4Address } from "../../src/wire/ip-address.ts";
import {
  checkIpv4,
  ipv4HeaderLength,
  ipv4Protocol,
  ipv4TotalLength,
  readIpv4Destination,
  readIpv4Source,
} from "../../src/wire/ipv4.ts";
import { formatPacket } from "../../src/wire/print.ts";
import { parseTcp, TcpSegment, tcpOptionsLength, verifyTcp, writeTcp } from "../../src/wire/tcp.ts";
import { checkUdp, udpLength, verifyUdp } from "../../src/wire/udp.ts";
import { ipPackets, readCapture } from "../support/pcap-reader.ts";
import { guarded, randomBytes, randomIntegers } from "./support.ts";

const segment = new TcpSegment();
const source = ipv4Address(0, 0, 0, 0);
const destination = ipv4Address(0, 0, 0, 0);
const made = new Uint8Array(60);

/** Runs everything on `bytes[offset .. offset + length)`, whatever protocol it is. */
function swallow(raw: Uint8Array, offset: number, length: number): void {
  const bytes = guarded(raw, offset, offset + length);
  expect(typeof formatPacket(bytes, offset, length)).toBe("string");

  let at = offset;
  let rest = length;
  if (checkIpv4(bytes, offset, length) === OK) {
    readIpv4Source(bytes, offset, source);
    readIpv4Destination(bytes, offset, destination);
    const headerLength = ipv4HeaderLength(bytes, offset);
    const totalLength = ipv4TotalLength(bytes, offset);
    expect(headerLength).toBeGreaterThanOrEqual(20);
    expect(totalLength).toBeGreaterThanOrEqual(headerLength);
    expect(totalLength).toBeLessThanOrEqual(length);
    at += headerLength;
    rest = totalLength - headerLength;
  }

  if (parseTcp(bytes, at, rest, segment) === OK) {
    expect(segment.headerLength).toBeGreaterThanOrEqual(20);
    expect(segment.payloadOffset).toBe(at + segment.headerLength);
    expect(segment.payloadLength).toBeGreaterThanOrEqual(0);
    expect(segment.payloadOffset + segment.payloadLength).toBe(at + rest);
    expect(segment.windowScale).toBeWithin(-1, 15);
    expect(segment.sackCount).toBeWithin(0, 5);
    expect(segment.mss).toBeWithin(0, 65536);
    verifyTcp(bytes, at, rest, source, destination);
    // Whatever came in can be written.
    const length = writeTcp(guarded(made, 0, 60), 0, segment);
    expect(length).toBe(20 + tcpOptionsLength(segment));
    expect(length).toBeLessThanOrEqual(60);
  }
  if (checkUdp(bytes, at, rest) === OK) {
    expect(udpLength(bytes, at)).toBeWithin(8, rest + 1);
    verifyUdp(bytes, at, source, destination);
  }
  if (checkIcmpv4(bytes, at, rest) === OK) {
    const fields = [icmpIdentifier, icmpSequence, icmpNextHopMtu, icmpPointer].map((read) => read(bytes, at));
    for (const field of fields) expect(field).toBeWithin(0, 65536);
  }
}

test("random bytes", () => {
  const random = randomIntegers(9);
  for (let i = 0; i < 4000; i++) {
    const bytes = randomBytes(random, 16 + random(120));
    const offset = random(8);
    const length = random(bytes.length - offset + 1);
    if (length > 0 && random(4) > 0) bytes[offset] = 0x45 + random(3);
    if (length > 9 && random(4) > 0) bytes[offset + 9] = [1, 6, 17][random(3)];
    if (length > 3 && random(4) > 0) {
      bytes[offset + 2] = 0;
      bytes[offset + 3] = length;
    }
    swallow(bytes, offset, length);
  }
});

test("random TCP options", () => {
  const random = randomIntegers(10);
  for (let i = 0; i < 6000; i++) {
    const bytes = randomBytes(random, 64);
    const words = 6 + random(10);
    bytes[12] = words << 4;
    // Kinds that exist and lengths that nearly fit, which fully random bytes rarely have.
    for (let at = 20; at < 60; at++) if (random(3) > 0) bytes[at] = random(2) === 0 ? random(9) : random(36);
    swallow(bytes, 0, words * 4 + random(4));
  }
});

test("captured packets with damage", () => {
  const directory = new URL("../fixtures/", import.meta.url);
  const random = randomIntegers(11);
  let protocols = 0;
  for (const file of readdirSync(directory).filter((name) => name.endsWith(".pcap"))) {
    for (const packet of ipPackets(readCapture(new URL(file, directory)))) {
      protocols |= 1 << (ipv4Protocol(packet, 0) & 31);
      for (let i = 0; i < 8; i++) {
        const bytes = packet.slice();
        for (let flips = random(4); flips > 0; flips--) {
          bytes[random(Math.min(bytes.length, 80))] ^= 1 << random(8);
        }
        swallow(bytes, 0, random(4) === 0 ? random(bytes.length + 1) : bytes.length);
      }
    }
  }
  expect(protocols).toBe((1 << 1) | (1 << 6) | (1 << 17) | (1 << (253 & 31)));
});
