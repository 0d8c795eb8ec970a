import { describe, expect, test } from "bun:test";
import { ANYONE, EVERYONE, neighbourOwner, packetOwner } from "../../devices/packet-owner.ts";
import { writeArp } from "../../src/wire/arp.ts";
import { type Ends, icmpPacket, tcpPacket, udpPacket } from "../support/packets.ts";

const IN: Ends = { from: "10.0.0.9", to: "10.0.0.1" };
const OUT: Ends = { from: "10.0.0.1", to: "10.0.0.9" };
const COUNT = 4;
/** Of four workers the second one's, and the third one's. */
const SECOND = 49_152 + 4096;
const THIRD_IDENTIFIER = 0x8000;

const tcp = (ends: Ends, sourcePort: number, destinationPort: number) =>
  tcpPacket(ends, { sourcePort, destinationPort });
const owner = (packet: Uint8Array) => packetOwner(packet, 0, packet.length, "ip", COUNT);

function ethernet(type: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(14 + payload.length);
  frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, type >> 8, type & 255]);
  frame.set(payload, 14);
  return frame;
}

function arp(operation: number, sender: number, target: number): Uint8Array {
  const body = new Uint8Array(28);
  const station = Uint8Array.of(2, 0, 0, 0, 0, 2);
  writeArp(body, 0, operation, station, sender, station, 0, target);
  return ethernet(0x0806, body);
}

describe("whom a received frame is for", () => {
  test("ephemeral ports and identifiers say it; ports below are everybody's", () => {
    expect(owner(tcp(IN, 80, SECOND))).toBe(1);
    expect(owner(tcp(IN, 80, SECOND - 1))).toBe(0);
    expect(owner(tcp(IN, 80, 65_535))).toBe(3);
    expect(owner(udpPacket(IN, 53, SECOND, new Uint8Array(1)))).toBe(1);
    expect(owner(tcp(IN, SECOND, 80))).toBe(ANYONE);
    expect(owner(tcp(IN, SECOND, 49_151))).toBe(ANYONE);
    expect(owner(icmpPacket(IN, 0, 0, THIRD_IDENTIFIER << 16))).toBe(2);
    expect(owner(icmpPacket(IN, 8, 0, THIRD_IDENTIFIER << 16))).toBe(ANYONE);
  });

  test("an error is for the worker whose packet it quotes; of a served port nobody knows it", () => {
    const error = (quoted: Uint8Array, type = 3) => owner(icmpPacket(IN, type, 4, 1400, quoted));
    expect(error(tcp(OUT, SECOND, 80))).toBe(1);
    expect(error(udpPacket(OUT, SECOND, 80, new Uint8Array(1)), 11)).toBe(1);
    expect(error(tcp(OUT, 80, SECOND))).toBe(EVERYONE);
    expect(error(icmpPacket(OUT, 8, 0, THIRD_IDENTIFIER << 16))).toBe(2);
  });

  test("answers about neighbours, and announcements, are for everyone; a question is answered once", () => {
    const at = (frame: Uint8Array) => packetOwner(frame, 0, frame.length, "ethernet", COUNT);
    for (const of of [at, (frame: Uint8Array) => neighbourOwner(frame, 0, frame.length)]) {
      expect(of(arp(2, 0x0a000009, 0x0a000001))).toBe(EVERYONE);
      expect(of(arp(1, 0x0a000009, 0x0a000009))).toBe(EVERYONE);
      expect(of(arp(1, 0x0a000009, 0x0a000001))).toBe(ANYONE);
    }
    expect(at(ethernet(0x0800, tcp(IN, 80, SECOND)))).toBe(1);
    expect(at(ethernet(0x86dd, tcp(IN, 80, SECOND)))).toBe(ANYONE);
    const frame = ethernet(0x0800, tcp(IN, 80, SECOND));
    expect(neighbourOwner(frame, 0, frame.length)).toBe(ANYONE);
  });

  test("what is cut short or broken stays where it is", () => {
    const error = icmpPacket(IN, 3, 4, 1400, tcp(OUT, SECOND, 80).slice(0, 28));
    expect(owner(error)).toBe(1);
    for (let length = 0; length < error.length; length++) expect(owner(error.slice(0, length))).toBe(ANYONE);
    const fragment = tcp(IN, 80, SECOND);
    fragment[7] = 1;
    expect(owner(fragment)).toBe(ANYONE);
    const longHeader = tcp(IN, 80, SECOND);
    longHeader[0] = 0x4f;
    expect(owner(longHeader.slice(0, 40))).toBe(ANYONE);
    const noHeader = tcp(IN, 80, SECOND);
    noHeader[0] = 0x41;
    expect(owner(noHeader)).toBe(ANYONE);
  });
});
