import { expect } from "bun:test";
import { type Device, Frame } from "../../src/device.ts";
import { seededRandom } from "../../src/random.ts";
import { read16 } from "../../src/wire/bytes.ts";
import { fold, pseudoHeaderSum, sum } from "../../src/wire/checksum.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { IPV4_HEADER_LENGTH, PROTOCOL_TCP, writeIpv4 } from "../../src/wire/ipv4.ts";
import { ACK, finishTcpChecksum, TCP_HEADER_LENGTH, TcpSegment, writeTcp } from "../../src/wire/tcp.ts";
import type { TappedFrame } from "../support/packet-tap.ts";
import { udpPacket } from "../support/packets.ts";
import { laterTurn } from "./frames.ts";

/**
 * The contract of `src/device.ts`, clause by clause, for any device. What is at its other end is the test's, so that
 * each clause is checked in both directions.
 */

/** A device, and its other end. */
export interface Wire {
  readonly device: Device;
  /** Hands the device a frame to receive. */
  send(frame: TappedFrame): void;
  /** The next frame that the device has sent, or `null` while there is none. */
  receive(): TappedFrame | null;
  /** Frames that `transmit` takes before it says that it is full, where nobody takes them; 0 where it never says so. */
  readonly queueLength: number;
  close(): void;
}

export interface Clause {
  readonly name: string;
  check(wire: Wire): Promise<void>;
  /** Where it does not apply. */
  applies?(wire: Wire): boolean;
}

const US = "192.168.69.1";
const PEER = "192.168.69.100";
const PEER_HARDWARE = [2, 0, 0, 0, 0, 99];
const PATIENCE_MS = 2_000;

/** A frame to or from the device around this packet. */
function framed(device: Device, packet: Uint8Array, direction: "in" | "out"): Uint8Array {
  const own = device.capabilities.hardwareAddress;
  if (own === undefined) return packet;
  const [to, from] = direction === "in" ? [[...own], PEER_HARDWARE] : [PEER_HARDWARE, [...own]];
  return Uint8Array.from([...to, ...from, 0x08, 0x00, ...packet]);
}

const linkHeader = (device: Device) => (device.capabilities.medium === "ethernet" ? 14 : 0);

/** A datagram of `size` bytes in all, told from others by `number`. */
function datagram(device: Device, direction: "in" | "out", size: number, number: number): Uint8Array {
  const random = seededRandom(number + 1);
  const payload = new Uint8Array(size - 28).map(() => random.next());
  const ends = direction === "in" ? { from: PEER, to: US } : { from: US, to: PEER };
  return framed(device, udpPacket(ends, 4000, 5000, payload), direction);
}

/** A TCP super-segment whose checksum holds the sum of the pseudo-header. */
function superSegment(device: Device, direction: "in" | "out", text: number): Uint8Array {
  const packet = new Uint8Array(IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH + text);
  const random = seededRandom(7);
  for (let i = IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH; i < packet.length; i++) packet[i] = random.next();
  const segment = new TcpSegment();
  Object.assign(segment, {
    sourcePort: 4000,
    destinationPort: 5000,
    seq: 1,
    ack: 1,
    flags: ACK,
    window: 1000,
  });
  writeTcp(packet, IPV4_HEADER_LENGTH, segment);
  const [from, to] = (direction === "in" ? [PEER, US] : [US, PEER]).map((each) => parseAddress(each));
  finishTcpChecksum(packet, IPV4_HEADER_LENGTH, TCP_HEADER_LENGTH + text, from, to, false);
  writeIpv4(packet, 0, packet.length, PROTOCOL_TCP, 64, from, to);
  return framed(device, packet, direction);
}

/** The sum of a whole TCP segment with its pseudo-header is 0xffff where its checksum is right. */
function tcpSum(frame: Uint8Array, at: number): number {
  const length = read16(frame, at + 2) - IPV4_HEADER_LENGTH;
  const pseudo = pseudoHeaderSum(parseAddress(US), parseAddress(PEER), PROTOCOL_TCP, length);
  return fold(sum(frame, at + IPV4_HEADER_LENGTH, length, pseudo));
}

/** Is it one of the test's own? The kernel talks, too: router solicitations, ARP, multicast groups. */
function isOurs(bytes: Uint8Array, at: number): boolean {
  const here = [...bytes.subarray(at + 12, at + 20)].join(".");
  return here === `${US}.${PEER}` || here === `${PEER}.${US}`;
}

/** Sends `bytes` out of the device. */
function transmit(device: Device, bytes: Uint8Array, segmentSize = 0, checksumOffloaded = false): void {
  const frame = device.transmit(bytes.length);
  if (frame === null) throw new Error("the device is full");
  expect(frame.length).toBe(bytes.length);
  frame.bytes.set(bytes, frame.offset);
  frame.segmentSize = segmentSize;
  frame.checksumOffloaded = checksumOffloaded;
  device.commit(frame);
}

/** The frames of the test's that the device receives until there are `count`; each as it was, and copied. */
async function received(device: Device, count: number): Promise<Frame[]> {
  const frames: Frame[] = [];
  const frame = new Frame(new Uint8Array(0));
  const at = linkHeader(device);
  for (const end = performance.now() + PATIENCE_MS; frames.length < count; await laterTurn()) {
    if (performance.now() > end) throw new Error(`received ${frames.length} of ${count} frames`);
    while (device.receive(frame)) {
      if (!isOurs(frame.bytes, frame.offset + at)) continue;
      expect((frame.bytes.byteOffset + frame.offset + at) % 4).toBe(0);
      const copy = new Frame(frame.bytes.slice(frame.offset, frame.offset + frame.length));
      frames.push(Object.assign(copy, { ...frame, bytes: copy.bytes, offset: 0 }));
    }
  }
  return frames;
}

/** The frames of the test's that come out at the other end, until there are `count`. */
async function emitted(wire: Wire, count: number): Promise<TappedFrame[]> {
  const frames: TappedFrame[] = [];
  const at = linkHeader(wire.device);
  for (const end = performance.now() + PATIENCE_MS; frames.length < count; await laterTurn()) {
    if (performance.now() > end) throw new Error(`${frames.length} of ${count} frames came out`);
    for (let frame = wire.receive(); frame !== null; frame = wire.receive()) {
      if (isOurs(frame.bytes, at)) frames.push(frame);
    }
  }
  return frames;
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !condition(); await Bun.sleep(1)) {
    if (performance.now() > end) throw new Error(`waited in vain for: ${what}`);
  }
}

const SIZES = [28, 29, 30, 31, 60, 576, 1_499, 1_500];

export const CLAUSES: readonly Clause[] = [
  {
    name: "says what it can do, and means it",
    async check({ device }) {
      const { medium, mtu, checksumOffload, maxSuperSegment, hardwareAddress } = device.capabilities;
      expect(["ip", "ethernet"]).toContain(medium);
      expect(mtu).toBe(1_500);
      expect(hardwareAddress?.length).toBe(medium === "ethernet" ? 6 : undefined);
      expect(maxSuperSegment === 0 || (maxSuperSegment > mtu && checksumOffload)).toBe(true);
    },
  },
  {
    name: "receives what was sent to it, in order, unchanged, and with the IP header on a multiple of four",
    async check(wire) {
      const sent = SIZES.map((size, i) => datagram(wire.device, "in", size, i));
      for (const bytes of sent) wire.send({ bytes });
      const frames = await received(wire.device, sent.length);
      // Behind a short packet there may be padding of the link.
      frames.forEach((frame, i) => {
        expect([...frame.bytes.subarray(0, sent[i].length)]).toEqual([...sent[i]]);
        expect(frame.segmentSize).toBe(0);
      });
    },
  },
  {
    name: "leaves a received frame alone until the next call of receive, whatever is sent meanwhile",
    async check(wire) {
      const { device } = wire;
      const bytes = datagram(device, "in", 1_000, 1);
      wire.send({ bytes });
      const frame = new Frame(new Uint8Array(0));
      const at = linkHeader(device);
      await until("the frame", () => device.receive(frame) && isOurs(frame.bytes, frame.offset + at));
      for (let i = 0; i < 8; i++) {
        transmit(device, datagram(device, "out", 900, i));
        wire.send({ bytes: datagram(device, "in", 1_000, 10 + i) });
      }
      expect([...frame.bytes.subarray(frame.offset, frame.offset + bytes.length)]).toEqual([...bytes]);
    },
  },
  {
    name: "with receiveMore leaves the frames before alone as well, until the next call of receive",
    applies: ({ device }) => device.receiveMore !== undefined,
    async check(wire) {
      const { device } = wire;
      const at = linkHeader(device);
      const sent = [0, 1, 2].map((number) => datagram(device, "in", 1_000, number));
      const kept: Frame[] = [];
      const keeps = (count: number, receive: (frame: Frame) => boolean) => () => {
        const frame = new Frame(new Uint8Array(0));
        if (receive(frame) && isOurs(frame.bytes, frame.offset + at)) kept.push(frame);
        return kept.length === count;
      };
      wire.send({ bytes: sent[0] });
      await until(
        "the first frame",
        keeps(1, (frame) => device.receive(frame)),
      );
      for (const bytes of sent.slice(1)) {
        wire.send({ bytes });
        transmit(device, datagram(device, "out", 900, 1));
      }
      await until(
        "the others",
        keeps(3, (frame) => device.receiveMore!(frame)),
      );
      kept.forEach(({ bytes, offset }, i) => {
        expect([...bytes.subarray(offset, offset + sent[i].length)]).toEqual([...sent[i]]);
      });
    },
  },
  {
    name: "sends what is committed, in order and unchanged",
    async check(wire) {
      const { device } = wire;
      const sent = SIZES.map((size, i) => datagram(device, "out", size, i));
      for (const bytes of sent) transmit(device, bytes);
      const frames = await emitted(wire, sent.length);
      frames.forEach((frame, i) => {
        expect([...frame.bytes.subarray(0, sent[i].length)]).toEqual([...sent[i]]);
      });
    },
  },
  {
    name: "sends as many bytes as the frame has when it is committed; one that is not committed is forgotten",
    async check(wire) {
      const { device } = wire;
      const [forgotten, short] = [datagram(device, "out", 700, 1), datagram(device, "out", 100, 2)];
      const first = device.transmit(forgotten.length)!;
      first.bytes.set(forgotten, first.offset);
      const second = device.transmit(device.capabilities.mtu + linkHeader(device))!;
      second.bytes.set(short, second.offset);
      second.length = short.length;
      device.commit(second);
      device.commit(second);
      transmit(device, datagram(device, "out", 200, 3));
      const frames = await emitted(wire, 2);
      expect([...frames[0].bytes.subarray(0, short.length)]).toEqual([...short]);
      expect(frames[1].bytes.length - linkHeader(device)).toBe(200);
    },
  },
  {
    name: "refuses to lend a frame that it cannot send",
    async check({ device }) {
      const { mtu, maxSuperSegment } = device.capabilities;
      const most = Math.max(mtu, maxSuperSegment) + (linkHeader(device) === 0 ? 0 : 18);
      expect(() => device.transmit(most + 1)).toThrow(expect.objectContaining({ code: "EMSGSIZE" }));
      expect(device.transmit(most)?.length).toBe(most);
    },
  },
  {
    name: "completes the checksums that it is left to, or says so to whom it sends",
    applies: ({ device }) => device.capabilities.checksumOffload,
    async check(wire) {
      const { device } = wire;
      transmit(device, superSegment(device, "out", 500), 0, true);
      const [frame] = await emitted(wire, 1);
      const at = linkHeader(device);
      if (frame.checksum) expect(frame.checksum).toEqual({ start: at + IPV4_HEADER_LENGTH, offset: 16 });
      else expect(tcpSum(frame.bytes, at)).toBe(0xffff);
    },
  },
  {
    name: "cuts super-segments into segments, or says so to whom it sends",
    applies: ({ device }) => device.capabilities.maxSuperSegment > 0,
    async check(wire) {
      const { device } = wire;
      const at = linkHeader(device);
      const headers = IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH;
      const sent = superSegment(device, "out", 40_000);
      transmit(device, sent, 1_460, true);
      let text: number[] = [];
      while (text.length < 40_000) {
        const [frame] = await emitted(wire, 1);
        if (frame.bytes.length > 1_500 + at) expect(frame.segmentSize).toBe(1_460);
        text = text.concat([...frame.bytes.subarray(at + headers)]);
      }
      expect(text).toEqual([...sent.subarray(at + headers)]);
    },
  },
  {
    name: "says of a received super-segment what it was made of, and that its checksum needs no check",
    applies: ({ device }) => device.capabilities.maxSuperSegment > 0,
    async check(wire) {
      const { device } = wire;
      const at = linkHeader(device);
      const bytes = superSegment(device, "in", 40_000);
      const headerLength = at + IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH;
      const checksum = { start: at + IPV4_HEADER_LENGTH, offset: 16 };
      wire.send({ bytes, checksum, segmentSize: 1_460, headerLength });
      const [frame] = await received(device, 1);
      expect([frame.segmentSize, frame.checksumOffloaded]).toEqual([1_460, true]);
      expect(frame.bytes).toEqual(bytes);
    },
  },
  {
    name: "calls back once after receive returned false, and never from within a call",
    async check(wire) {
      const { device } = wire;
      const frame = new Frame(new Uint8Array(0));
      let calls = 0;
      let inside = false;
      const guarded = <T>(call: () => T): T => {
        inside = true;
        const result = call();
        inside = false;
        return result;
      };
      guarded(() =>
        device.onReadable(() => {
          expect(inside).toBe(false);
          calls++;
        }),
      );
      while (guarded(() => device.receive(frame)));
      for (let i = 0; i < 5; i++) guarded(() => wire.send({ bytes: datagram(device, "in", 100, i) }));
      await until("a call", () => calls > 0);
      await Bun.sleep(10);
      expect(calls).toBe(1);
      for (let left = 5; left > 0; ) {
        if (guarded(() => device.receive(frame)))
          left -= isOurs(frame.bytes, frame.offset + linkHeader(device)) ? 1 : 0;
        else await until("another call", () => calls > 1);
      }
      while (guarded(() => device.receive(frame)));
      const before = calls;
      guarded(() => wire.send({ bytes: datagram(device, "in", 100, 9) }));
      await until("the next call", () => calls > before);
    },
  },
  {
    name: "wakes from wait for a frame, and sleeps as long as it is told to without one",
    applies: ({ device }) => device.wait !== undefined,
    async check(wire) {
      const { device } = wire;
      const frame = new Frame(new Uint8Array(0));
      await Bun.sleep(20);
      while (device.receive(frame));
      const start = performance.now();
      while (device.wait!(30)) while (device.receive(frame));
      expect(performance.now() - start).toBeGreaterThan(29);
      wire.send({ bytes: datagram(device, "in", 100, 1) });
      const again = performance.now();
      expect(device.wait!(1_000)).toBe(true);
      expect(performance.now() - again).toBeLessThan(500);
      await received(device, 1);
    },
  },
  {
    name: "is full when its queue is, says when there is room again, and loses nothing",
    applies: ({ queueLength }) => queueLength > 0,
    async check(wire) {
      const { device, queueLength } = wire;
      let room = 0;
      device.onWritable(() => room++);
      for (let i = 0; i < queueLength; i++) transmit(device, datagram(device, "out", 100, i));
      expect(device.transmit(100)).toBeNull();
      await laterTurn();
      expect(room).toBe(0);
      const frames = await emitted(wire, queueLength);
      await until("room", () => room > 0);
      transmit(device, datagram(device, "out", 100, queueLength));
      frames.push(...(await emitted(wire, 1)));
      frames.forEach((frame, i) => {
        expect(frame.bytes).toEqual(datagram(device, "out", 100, i));
      });
    },
  },
  {
    name: "receives and sends nothing when it is closed, calls back no more, and may be closed again",
    async check(wire) {
      const { device } = wire;
      let calls = 0;
      device.onReadable(() => calls++);
      await Bun.sleep(5);
      device.close();
      const before = calls;
      const frame = new Frame(new Uint8Array(0));
      expect(device.receive(frame)).toBe(false);
      const lent = device.transmit(100);
      if (lent !== null) device.commit(lent);
      await Bun.sleep(10);
      expect([calls, device.receive(frame)]).toEqual([before, false]);
      device.close();
    },
  },
];
