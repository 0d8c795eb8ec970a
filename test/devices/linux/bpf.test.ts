import { describe, expect, test } from "bun:test";
import { assemble, frameFilter, incomingFilter, type Step } from "../../../devices/linux/bpf.ts";

const HOST = 0;
const OUTGOING = 4;
const US = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
const EVERYONE = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/** Runs a program on a frame as the kernel does; returns how many bytes it keeps. */
function run(program: Uint8Array, frame: number[], packetType = HOST): number {
  const view = new DataView(program.buffer, program.byteOffset, program.length);
  const bytes = new DataView(Uint8Array.from(frame).buffer);
  let a = 0;
  for (let at = 0; at * 8 < program.length; at++) {
    const code = view.getUint16(at * 8, true);
    const k = view.getUint32(at * 8 + 4, true);
    const jump = (condition: boolean) => view.getUint8(at * 8 + (condition ? 2 : 3));
    // A load behind the end of the frame ends the program.
    if ([0x20, 0x28, 0x30].includes(code)) {
      const size = { 32: 4, 40: 2, 48: 1 }[code]!;
      if (k === 0xfffff004) a = packetType;
      else if (k + size > bytes.byteLength) return 0;
      else a = size === 4 ? bytes.getUint32(k) : size === 2 ? bytes.getUint16(k) : bytes.getUint8(k);
    } else if (code === 0x15) at += jump(a === k);
    else if (code === 0x45) at += jump((a & k) !== 0);
    else if (code === 0x06) return k;
    else throw new Error(`code ${code}`);
  }
  throw new Error("fell off the end");
}

function frame(to: number[], type: number): number[] {
  return [...to, 0x02, 0, 0, 0, 0, 0x99, type >> 8, type & 255, ...new Array(46).fill(0)];
}

function keeps(program: Uint8Array, to: number[], type = 0x0800, packetType = HOST): boolean {
  return run(program, frame(to, type), packetType) >= 60;
}

describe("frameFilter", () => {
  const filter = frameFilter(Uint8Array.from(US), false);
  const groups = frameFilter(Uint8Array.from(US), true);

  test("keeps what is for our address, whatever it is", () => {
    for (const type of [0x0800, 0x0806, 0x86dd, 0x8100, 0x1234]) expect(keeps(filter, US, type)).toBe(true);
  });

  test("drops what differs from it in any one bit", () => {
    for (let bit = 0; bit < 48; bit++) {
      const other = [...US];
      other[bit >> 3] ^= 1 << (bit & 7);
      expect(keeps(filter, other)).toBe(false);
    }
  });

  test("keeps ARP and IPv4 to everyone, behind a second tag too, and nothing else", () => {
    for (const type of [0x0800, 0x0806, 0x8100]) expect(keeps(filter, EVERYONE, type)).toBe(true);
    for (const type of [0x86dd, 0x88cc, 0x1234]) expect(keeps(filter, EVERYONE, type)).toBe(false);
    expect(keeps(filter, [0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], 0x0806)).toBe(false);
    expect(keeps(filter, [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff], 0x0806)).toBe(false);
  });

  test("an address that ends like everyone's is told from it", () => {
    const own = [0x02, 0x00, 0xff, 0xff, 0xff, 0xff];
    const program = frameFilter(Uint8Array.from(own), false);
    expect(keeps(program, own, 0x86dd)).toBe(true);
    expect(keeps(program, EVERYONE, 0x0806)).toBe(true);
    expect(keeps(program, [0x02, 0x01, 0xff, 0xff, 0xff, 0xff])).toBe(false);
  });

  test("keeps groups of IPv4 and IPv6 where they are wanted", () => {
    const ipv6 = [0x33, 0x33, 0xff, 0, 0, 1];
    const ipv4 = [0x01, 0x00, 0x5e, 0, 0, 0xfb];
    for (const group of [ipv4, ipv6]) {
      expect(keeps(groups, group, 0x86dd)).toBe(true);
      expect(keeps(filter, group, 0x86dd)).toBe(false);
    }
    // Bridges talk to each other there.
    expect(keeps(groups, [0x01, 0x80, 0xc2, 0, 0, 0])).toBe(false);
    expect(keeps(groups, US)).toBe(true);
    expect(keeps(groups, EVERYONE, 0x0806)).toBe(true);
  });

  test("drops what this machine sends itself, and frames that are no frames", () => {
    expect(keeps(filter, US, 0x0800, OUTGOING)).toBe(false);
    expect(keeps(groups, EVERYONE, 0x0806, OUTGOING)).toBe(false);
    for (let length = 0; length < 6; length++) {
      expect(run(filter, US.slice(0, length))).toBe(0);
      expect(run(groups, EVERYONE.slice(0, length))).toBe(0);
    }
  });
});

test("incomingFilter keeps everything but what this machine sends itself", () => {
  const filter = incomingFilter();
  expect(keeps(filter, [0x01, 0x80, 0xc2, 0, 0, 0])).toBe(true);
  expect(keeps(filter, US)).toBe(true);
  expect(keeps(filter, US, 0x0800, OUTGOING)).toBe(false);
});

describe("assemble", () => {
  test("writes instructions as the kernel reads them", () => {
    const steps: Step[] = [
      { load: 2, at: 12 },
      { test: "=", value: 0x0806, yes: "next", no: "drop" },
      { keep: 0xffff },
      { label: "drop" },
      { keep: 0 },
    ];
    // `tcpdump -dd arp`, but for the bytes that are kept.
    expect(Array.from(assemble(steps))).toEqual([
      ...[0x28, 0, 0, 0, 12, 0, 0, 0],
      ...[0x15, 0, 0, 1, 0x06, 0x08, 0, 0],
      ...[0x06, 0, 0, 0, 0xff, 0xff, 0, 0],
      ...[0x06, 0, 0, 0, 0, 0, 0, 0],
    ]);
  });

  test("refuses jumps backward and to nowhere", () => {
    const jump: Step = { test: "&", value: 1, yes: "there", no: "next" };
    expect(() => assemble([jump, { keep: 0 }])).toThrow(RangeError);
    expect(() => assemble([{ label: "there" }, jump, { keep: 0 }])).toThrow(RangeError);
  });
});
