import { expect, test } from "bun:test";
import { ipPackets, LINKTYPE_ETHERNET, LINKTYPE_RAW, parseCapture } from "../support/pcap-reader.ts";
import { hex, toHex } from "./support.ts";

const LITTLE = "d4c3b2a1 0200 0400 00000000 00000000 d0070000 65000000";
const BIG = "a1b2c3d4 0002 0004 00000000 00000000 000007d0 00000065";

test("both byte orders, micro- and nanoseconds", () => {
  const files = [
    `${LITTLE} 02000000 e8030000 02000000 09000000 4500`,
    `${BIG} 00000002 000003e8 00000002 00000009 4500`,
    `${LITTLE.replace("d4c3b2a1", "4d3cb2a1")} 02000000 40420f00 02000000 09000000 4500`,
    `${BIG.replace("a1b2c3d4", "a1b23c4d")} 00000002 000f4240 00000002 00000009 4500`,
  ];
  for (const file of files) {
    const capture = parseCapture(hex(file));
    expect(capture).toMatchObject({ linkType: LINKTYPE_RAW, snapLength: 2000 });
    expect(capture.packets).toHaveLength(1);
    const [packet] = capture.packets;
    expect(packet.timeMs).toBe(2001);
    expect(packet.originalLength).toBe(9);
    expect(toHex(packet.bytes)).toBe("45 00");
  }
});

test("Ethernet headers are taken off, frames that aren't IP left out", () => {
  const record = (frame: string) =>
    `00000000 00000000 ${toHex(Uint8Array.of(hex(frame).length))} 000000 00000000 ${frame}`;
  const ethernet = LITTLE.replace(/65000000$/, "01000000");
  const frames = ["ffffffffffff 020000000001 0806 0001", "020000000002 020000000001 0800 4500"];
  const capture = parseCapture(hex(`${ethernet} ${frames.map(record).join(" ")}`));
  expect(capture.linkType).toBe(LINKTYPE_ETHERNET);
  expect(capture.packets).toHaveLength(2);
  expect(ipPackets(capture).map((packet) => toHex(packet))).toEqual(["45 00"]);
});

test("files that are no captures, or cut off, are refused", () => {
  expect(parseCapture(hex(LITTLE)).packets).toEqual([]);
  const bad = [
    "",
    LITTLE.slice(0, -2),
    LITTLE.replace("d4", "d5"),
    `${LITTLE} 02000000`,
    `${LITTLE} 02000000 e8030000 02000000 02000000 45`,
  ];
  for (const file of bad) expect(() => parseCapture(hex(file))).toThrow();
});
