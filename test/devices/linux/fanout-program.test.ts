import { describe, expect, test } from "bun:test";
import { fanoutProgram } from "../../../devices/linux/fanout-program.ts";
import { identifierOwner, portOwner } from "../../../src/wire/worker-share.ts";
import { type Ends, icmpPacket, ipv4Packet, tcpPacket, udpPacket } from "../../support/packets.ts";

const US = "192.168.69.1";
const IP = -0x100000;
const PROTOCOL = -0x1000;
const KEY = [0x9e3779b1, 0x85ebca6b] as const;

/** Runs a program on an IP packet as the kernel does, with offsets from the network header; returns what it returns. */
function run(program: Uint8Array, packet: Uint8Array, type = 0x0800): number {
  const view = new DataView(program.buffer, program.byteOffset, program.length);
  const bytes = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const scratch = new Map<number, number>();
  let a = 0;
  let x = 0;
  const load = (place: number, size: number): number | null => {
    if (place === PROTOCOL) return type;
    const at = place - IP;
    if (at < 0 || at + size > bytes.byteLength) return null;
    return size === 4 ? bytes.getUint32(at) : size === 2 ? bytes.getUint16(at) : bytes.getUint8(at);
  };
  for (let at = 0; at * 8 < program.length; at++) {
    const code = view.getUint16(at * 8, true);
    const k = view.getUint32(at * 8 + 4, true);
    const jump = (condition: boolean) => view.getUint8(at * 8 + (condition ? 2 : 3));
    const remembered = () => {
      const value = scratch.get(k);
      if (value === undefined) throw new Error(`place ${k} was not stored`);
      return value;
    };
    const size = { 32: 4, 40: 2, 48: 1, 64: 4, 72: 2, 80: 1 }[code];
    if (size !== undefined) {
      const value = load((k | 0) + (code >= 0x40 ? x : 0), size);
      if (value === null) return 0;
      a = value;
    } else if (code === 0xb1) {
      const value = load(k | 0, 1);
      if (value === null) return 0;
      x = 4 * (value & 15);
    } else if (code === 0x02) scratch.set(k, a);
    else if (code === 0x60) a = remembered();
    else if (code === 0x61) x = remembered();
    else if (code === 0x07) x = a;
    else if (code === 0x87) a = x;
    else if (code === 0x06) return k;
    else if (code === 0x16) return a;
    else if (code === 0x15) at += jump(a === k);
    else if (code === 0x35) at += jump(a >= k);
    else if (code === 0x45) at += jump((a & k) !== 0);
    else {
      const by = (code & 0x08) !== 0 ? x : k;
      if ((code & 0xf7) === 0x04) a = (a + by) >>> 0;
      else if (code === 0x14) a = (a - by) >>> 0;
      else if (code === 0x24) a = Math.imul(a, by) >>> 0;
      else if ((code & 0xf7) === 0x44) a = (a | by) >>> 0;
      else if (code === 0x54) a = (a & by) >>> 0;
      else if (code === 0x64) a = (a << by) >>> 0;
      else if (code === 0x74) a = a >>> by;
      else if ((code & 0xf7) === 0xa4) a = (a ^ by) >>> 0;
      else throw new Error(`code ${code}`);
    }
  }
  throw new Error("fell off the end");
}

const from = (host: string): Ends => ({ from: host, to: US });
const segment = (ends: Ends, sourcePort: number, destinationPort: number) =>
  tcpPacket(ends, { sourcePort, destinationPort }, new Uint8Array(8));

describe("which worker the kernel gives a frame to", () => {
  for (const count of [1, 2, 3, 4, 64]) {
    const program = fanoutProgram(count, KEY);

    test(`${count}: answers to ephemeral ports and echo requests go to whoever asked`, () => {
      for (const port of [49_152, 50_000, 57_343, 57_344, 60_001, 65_535]) {
        expect(run(program, segment(from("10.1.2.3"), 80, port))).toBe(portOwner(port, count));
        const datagram = udpPacket(from("10.1.2.3"), 53, port, new Uint8Array(4));
        expect(run(program, datagram)).toBe(portOwner(port, count));
      }
      for (const identifier of [0, 1, 32_767, 32_768, 65_535]) {
        const reply = icmpPacket(from("10.1.2.3"), 0, 0, identifier << 16, new Uint8Array(8));
        expect(run(program, reply)).toBe(identifierOwner(identifier, count));
      }
    });

    test(`${count}: an error goes where the packet that it quotes came from`, () => {
      for (let i = 0; i < 200; i++) {
        const peer = `10.1.${i}.7`;
        const ours: Ends = { from: US, to: peer };
        const [theirPort, ourPort] = [20_000 + 7 * i, i % 2 === 0 ? 80 : 49_152 + 80 * i];
        for (const quoted of [
          segment(ours, ourPort, theirPort),
          udpPacket(ours, ourPort, theirPort, new Uint8Array(8)),
        ]) {
          const error = icmpPacket(from("10.9.9.9"), i % 3 === 0 ? 11 : 3, 4, 1400, quoted);
          const flow = segment(from(peer), theirPort, ourPort);
          expect(run(program, error)).toBe(run(program, flow));
        }
        const request = icmpPacket(ours, 8, 0, ((i * 300) << 16) | 1, new Uint8Array(8));
        const error = icmpPacket(from("10.9.9.9"), 3, 1, 0, request);
        expect(run(program, error)).toBe(identifierOwner(i * 300, count));
      }
    });

    test(`${count}: connections from outside are spread evenly, from many ports and from many addresses`, () => {
      for (const flow of [
        (i: number) => segment(from("10.1.2.3"), 32_768 + i, 80),
        (i: number) => segment(from(`10.1.${i >> 8}.${i & 255}`), 40_000, 80),
      ]) {
        const seen = new Array<number>(count).fill(0);
        for (let i = 0; i < 100 * count; i++) seen[run(program, flow(i))]++;
        expect(Math.min(...seen)).toBeGreaterThan(40);
      }
    });

    test(`${count}: every fragment of a datagram goes to the same`, () => {
      const first = udpPacket(from("10.1.2.3"), 1000, 53, new Uint8Array(64));
      first[6] = 0x20;
      const last = ipv4Packet(from("10.1.2.3"), 17, new Uint8Array(64).fill(0xc8));
      last[7] = 9;
      expect(run(program, last)).toBe(run(program, first));
    });
  }

  test("what is no IPv4 packet, and what is cut short, goes to the first", () => {
    const program = fanoutProgram(4, KEY);
    expect(run(program, new Uint8Array(28).fill(0xff), 0x0806)).toBe(0);
    const whole = segment(from("10.1.2.3"), 80, 65_535);
    expect(run(program, whole)).toBe(3);
    for (let length = 0; length < 24; length++) expect(run(program, whole.slice(0, length))).toBe(0);
    const error = icmpPacket(from("10.9.9.9"), 3, 4, 0, segment({ from: US, to: "10.1.2.3" }, 65_535, 80));
    expect(run(program, error)).toBe(3);
    for (let length = 0; length < 50; length++) expect(run(program, error.slice(0, length))).toBeLessThan(4);
  });
});
