import { describe, expect, test } from "bun:test";
import { readVnetHeader, VNET_HEADER_LENGTH, writeVnetHeader } from "../../../devices/linux/vnet-header.ts";
import { Frame, type Medium } from "../../../src/device.ts";
import { ipv4Packet, tcpPacket, udpPacket } from "../../support/packets.ts";

const ENDS = { from: "10.0.0.1", to: "10.0.0.2" };
const AT = 6;
const FRAME_AT = AT + VNET_HEADER_LENGTH;
const FIELDS = { sourcePort: 1, destinationPort: 2, seq: 3, ack: 4, flags: 0x10 };

/** The header that is written for a frame, over bytes that were something else before. */
function headerOf(
  packet: ArrayLike<number>,
  { medium = "ip" as Medium, checksumOffloaded = true, segmentSize = 0 } = {},
): number[] {
  const frame = new Frame(new Uint8Array(FRAME_AT + packet.length).fill(0xa5));
  frame.bytes.set(packet, FRAME_AT);
  Object.assign(frame, { offset: FRAME_AT, length: packet.length, checksumOffloaded, segmentSize });
  writeVnetHeader(frame.bytes, AT, frame, medium);
  expect(frame.bytes[AT - 1]).toBe(0xa5);
  expect(Array.from(frame.bytes.subarray(FRAME_AT))).toEqual(Array.from(packet));
  return Array.from(frame.bytes.subarray(AT, FRAME_AT));
}

function read(...header: number[]): { checksumOffloaded: boolean; segmentSize: number } {
  const frame = new Frame(new Uint8Array([0xa5, ...header]));
  Object.assign(frame, { checksumOffloaded: true, segmentSize: 9 });
  readVnetHeader(frame.bytes, 1, frame);
  const { checksumOffloaded, segmentSize } = frame;
  return { checksumOffloaded, segmentSize };
}

/** An IPv6 packet without anything that is looked at but lengths and kinds. */
function ipv6Packet(next: number, body: number[]): number[] {
  return [0x60, 0, 0, 0, body.length >> 8, body.length & 255, next, 64, ...new Array(32).fill(1), ...body];
}

const tcpBody = (payload: number) => [
  ...new Array(12).fill(0),
  0x80,
  0x10,
  ...new Array(18 + payload).fill(0),
];
const ethernet = (type: number[], packet: ArrayLike<number>) => [
  ...new Array(12).fill(2),
  ...type,
  ...Array.from(packet),
];
const NOTHING = new Array(VNET_HEADER_LENGTH).fill(0);

describe("a virtio-net header that is read", () => {
  test("says whether the checksum needs a check", () => {
    expect(read(...NOTHING)).toEqual({ checksumOffloaded: false, segmentSize: 0 });
    expect(read(1, 0, 0, 0, 0, 0, 20, 0, 16, 0).checksumOffloaded).toBe(true);
    expect(read(2, 0, 0, 0, 0, 0, 0, 0, 0, 0).checksumOffloaded).toBe(true);
    expect(read(4, 0, 0, 0, 0, 0, 0, 0, 0, 0).checksumOffloaded).toBe(false);
  });

  test.each([
    ["TCP over IPv4", 1, 1460],
    ["TCP over IPv6", 4, 1460],
    ["UDP", 5, 1460],
    ["TCP over IPv4 with CWR", 0x81, 1460],
    ["TCP over IPv6 with CWR", 0x84, 1460],
    ["nothing", 0, 0],
    ["UDP in IP fragments, which was not asked for", 3, 0],
    ["something unknown", 0x7f, 0],
  ])("has the segment size of %s", (_, type, size) => {
    expect(read(1, type, 40, 0, 0xb4, 5, 20, 0, 16, 0).segmentSize).toBe(size);
  });
});

describe("a virtio-net header that is written", () => {
  test("is empty for a frame that is complete", () => {
    const packet = tcpPacket(ENDS, FIELDS, new Uint8Array(3000));
    expect(headerOf(packet, { checksumOffloaded: false })).toEqual(NOTHING);
    expect(headerOf([], { checksumOffloaded: false })).toEqual(NOTHING);
  });

  test("says where the checksum goes: TCP and UDP over IPv4", () => {
    expect(headerOf(tcpPacket(ENDS, FIELDS))).toEqual([1, 0, 40, 0, 0, 0, 20, 0, 16, 0]);
    const withOptions = { ...FIELDS, mss: 1460, flags: 2 };
    expect(headerOf(tcpPacket(ENDS, withOptions))[2]).toBeGreaterThan(43);
    expect(headerOf(udpPacket(ENDS, 1, 2, new Uint8Array(5)))).toEqual([1, 0, 28, 0, 0, 0, 20, 0, 6, 0]);
  });

  test("says where the checksum goes: over IPv6, behind extension headers too", () => {
    expect(headerOf(ipv6Packet(6, tcpBody(0)))).toEqual([1, 0, 72, 0, 0, 0, 40, 0, 16, 0]);
    const udp = [0, 1, 0, 2, 0, 8, 0, 0];
    expect(headerOf(ipv6Packet(17, udp))).toEqual([1, 0, 48, 0, 0, 0, 40, 0, 6, 0]);
    const hopByHop = [17, 0, 0, 0, 0, 0, 0, 0];
    expect(headerOf(ipv6Packet(0, [...hopByHop, ...udp]))).toEqual([1, 0, 56, 0, 0, 0, 48, 0, 6, 0]);
  });

  test("counts from the Ethernet header, with a VLAN tag or without", () => {
    const packet = tcpPacket(ENDS, FIELDS);
    const medium = "ethernet";
    expect(headerOf(ethernet([8, 0], packet), { medium })).toEqual([1, 0, 54, 0, 0, 0, 34, 0, 16, 0]);
    expect(headerOf(ethernet([0x81, 0, 0, 7, 8, 0], packet), { medium })).toEqual([
      1, 0, 58, 0, 0, 0, 38, 0, 16, 0,
    ]);
    expect(headerOf(ethernet([8, 6], packet), { medium })).toEqual(NOTHING);
  });

  test("has segments cut where there is more than one", () => {
    const tcp = (payload: number) => tcpPacket(ENDS, FIELDS, new Uint8Array(payload));
    expect(headerOf(tcp(2921), { segmentSize: 1460 })).toEqual([1, 1, 40, 0, 0xb4, 5, 20, 0, 16, 0]);
    expect(headerOf(tcp(1461), { segmentSize: 1460 })[1]).toBe(1);
    expect(headerOf(tcp(1460), { segmentSize: 1460 })).toEqual([1, 0, 40, 0, 0, 0, 20, 0, 16, 0]);
    expect(headerOf(ipv6Packet(6, tcpBody(3000)), { segmentSize: 1440 })).toEqual([
      ...[1, 4, 72, 0, 0xa0, 5, 40, 0, 16, 0],
    ]);
    const udp = udpPacket(ENDS, 1, 2, new Uint8Array(3000));
    expect(headerOf(udp, { segmentSize: 1000 })).toEqual([1, 5, 28, 0, 0xe8, 3, 20, 0, 6, 0]);
  });

  test("leaves alone what has no checksum to be left out", () => {
    expect(headerOf(ipv4Packet(ENDS, 1, new Uint8Array(8)))).toEqual(NOTHING);
    const fragment = tcpPacket(ENDS, FIELDS, new Uint8Array(100));
    fragment[6] = 0x20;
    expect(headerOf(fragment)).toEqual(NOTHING);
    expect(headerOf(tcpPacket(ENDS, FIELDS).subarray(0, 30))).toEqual(NOTHING);
    const cutShort = ipv4Packet(ENDS, 6, new Uint8Array(12).fill(0x50));
    expect(headerOf(cutShort)).toEqual(NOTHING);
    const liar = tcpPacket(ENDS, FIELDS);
    liar[32] = 0xf0;
    expect(headerOf(liar)).toEqual(NOTHING);
    for (const length of [1, 10, 19]) expect(headerOf(new Uint8Array(length).fill(0x45))).toEqual(NOTHING);
  });

  test("tells of a long frame that only its beginning is headers", () => {
    const packet = ipv4Packet(ENDS, 1, new Uint8Array(8000));
    expect(headerOf(packet)).toEqual([0, 0, 128, 0, 0, 0, 0, 0, 0, 0]);
    expect(headerOf(packet, { checksumOffloaded: false })).toEqual([0, 0, 128, 0, 0, 0, 0, 0, 0, 0]);
  });
});
