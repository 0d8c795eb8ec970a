import { describe, expect, test } from "bun:test";
import { Deframer, type Framing, prefixLength, writePrefix } from "../../devices/packet-framing.ts";
import { seededRandom } from "../../src/index.ts";
import { randomBelow } from "../../src/random.ts";
import { codeOf } from "../support/errors.ts";

const LARGEST = 2_000;
const FRAMED: Framing[] = ["ip", "length16", "length32"];

/** A packet of this length with a header that says so: IPv6 where it is odd and there is room. */
function packet(length: number, fill: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(fill);
  const six = length % 2 === 1 && length >= 40;
  bytes[0] = six ? 0x60 : 0x45;
  const stated = six ? length - 40 : length;
  bytes.set([stated >> 8, stated & 0xff], six ? 4 : 2);
  return bytes;
}

function framed(framing: Framing, packets: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    packets.map((each) => {
      const prefix = new Uint8Array(prefixLength(framing));
      writePrefix(framing, prefix, 0, each.length);
      return Buffer.concat([prefix, each]);
    }),
  );
}

/** A deframer that keeps what it finds, and refuses each packet as often as `refusals` says. */
function collecting(framing: Framing, refusals = () => 0) {
  const found: Uint8Array[] = [];
  let left = refusals();
  const deframer = new Deframer(framing, LARGEST, (bytes, offset, length) => {
    if (left-- > 0) return false;
    left = refusals();
    // Of a Buffer `slice` is a view.
    found.push(new Uint8Array(bytes.subarray(offset, offset + length)));
    return true;
  });
  return { deframer, found };
}

describe.each(FRAMED)("%s", (framing) => {
  test("packets are found however the stream is cut, and whenever they are refused", () => {
    const random = seededRandom(5);
    for (let round = 0; round < 60; round++) {
      const packets = Array.from({ length: 30 }, (_, i) => packet(20 + randomBelow(random, LARGEST - 19), i));
      const stream = framed(framing, packets);
      const { deframer, found } = collecting(framing, () => randomBelow(random, 2));
      const longest = 1 + randomBelow(random, round < 30 ? 12 : 5_000);
      for (let at = 0; at < stream.length; ) {
        const chunk = stream.subarray(at, at + 1 + randomBelow(random, longest));
        at += chunk.length;
        let done = deframer.feed(chunk, 0);
        for (let tries = 0; deframer.stalled; tries++) {
          expect(tries).toBeLessThan(1_000);
          done = deframer.feed(chunk, done);
        }
        expect(done).toBe(chunk.length);
        // Whoever sends the chunk may use its memory again.
        chunk.fill(0xee);
      }
      expect(found.length).toBe(packets.length);
      expect(Buffer.concat(found).equals(Buffer.concat(packets))).toBe(true);
    }
  });

  test("one byte after the other", () => {
    const packets = [packet(20, 1), packet(41, 2), packet(LARGEST, 3)];
    const { deframer, found } = collecting(framing);
    for (const byte of framed(framing, packets)) deframer.feed(Uint8Array.of(byte), 0);
    expect(found).toEqual(packets);
  });

  test("a packet that is too large is an error at its header, and takes no memory", () => {
    const { deframer, found } = collecting(framing);
    const stream = framed(framing, [packet(20, 1), packet(LARGEST + 2, 2)]);
    const header = stream.subarray(0, 20 + prefixLength(framing) * 2 + 6);
    expect(codeOf(() => deframer.feed(header, 0))).toBe("EMSGSIZE");
    expect(found).toHaveLength(1);
    const slowly = collecting(framing).deframer;
    expect(
      codeOf(() => {
        for (const byte of framed(framing, [packet(LARGEST + 2, 2)])) slowly.feed(Uint8Array.of(byte), 0);
      }),
    ).toBe("EMSGSIZE");
  });
});

test("lengths that are no lengths", () => {
  expect(codeOf(() => collecting("length32").deframer.feed(new Uint8Array(8).fill(0xff), 0))).toBe(
    "EMSGSIZE",
  );
  expect(codeOf(() => collecting("length16").deframer.feed(new Uint8Array(8).fill(0xff), 0))).toBe(
    "EMSGSIZE",
  );
  expect(codeOf(() => collecting("ip").deframer.feed(new TextEncoder().encode("HTTP/1.1"), 0))).toBe(
    "EMSGSIZE",
  );
  expect(codeOf(() => collecting("ip").deframer.feed(new Uint8Array(20), 0))).toBe("EINVAL");
  const short = packet(20, 0);
  short[3] = 19;
  expect(codeOf(() => collecting("ip").deframer.feed(short, 0))).toBe("EINVAL");
});

test("packets of no bytes are skipped and counted", () => {
  const { deframer, found } = collecting("length16");
  deframer.feed(Uint8Array.of(0, 0, 0, 0, 0), 0);
  deframer.feed(Uint8Array.of(0, 0, 1, 9), 0);
  expect([deframer.empty, found]).toEqual([3, [Uint8Array.of(9)]]);
  const whole = collecting("packet");
  whole.deframer.feed(new Uint8Array(0), 0);
  whole.deframer.feed(Uint8Array.of(1, 2), 0);
  expect([whole.deframer.empty, whole.found]).toEqual([1, [Uint8Array.of(1, 2)]]);
});
