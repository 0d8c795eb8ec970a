/**
 * Reads capture files of the classic pcap format, whole and at once: what tests need to look at fixtures, and at the
 * files that our own writer makes. Throws when a file isn't well-formed, because for a test that is a failure.
 */

import { readFileSync } from "node:fs";

/** Packets begin with an Ethernet header. */
export const LINKTYPE_ETHERNET = 1;
/** Packets begin with an IP header. */
export const LINKTYPE_RAW = 101;

export interface CapturedPacket {
  /** Milliseconds since 1970, with fractions. */
  readonly timeMs: number;
  /** What was captured, in an array with a buffer of its own. */
  readonly bytes: Uint8Array;
  /** How long the packet was on the wire, in bytes: more than `bytes.length` if the capture cut it short. */
  readonly originalLength: number;
}

export interface Capture {
  /** `LINKTYPE_RAW`, ... */
  readonly linkType: number;
  /** Packets longer than this were cut short. */
  readonly snapLength: number;
  readonly packets: readonly CapturedPacket[];
}

/** Reads a capture file. */
export function readCapture(path: string | URL): Capture {
  return parseCapture(readFileSync(path));
}

/** Decodes the bytes of a capture file: either byte order, timestamps of micro- or nanoseconds. */
export function parseCapture(file: Uint8Array): Capture {
  if (file.length < 24) throw new Error(`a capture file of ${file.length} bytes has no header`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const magic = view.getUint32(0, true);
  const littleEndian = magic === 0xa1b2c3d4 || magic === 0xa1b23c4d;
  const ordered = view.getUint32(0, littleEndian);
  if (ordered !== 0xa1b2c3d4 && ordered !== 0xa1b23c4d)
    throw new Error(`${ordered.toString(16)} is not pcap`);
  const fractionsPerMs = ordered === 0xa1b23c4d ? 1_000_000 : 1000;
  const packets: CapturedPacket[] = [];
  let at = 24;
  while (at < file.length) {
    if (at + 16 > file.length) throw new Error(`packet header ${packets.length} is cut off`);
    const seconds = view.getUint32(at, littleEndian);
    const fraction = view.getUint32(at + 4, littleEndian);
    const length = view.getUint32(at + 8, littleEndian);
    const originalLength = view.getUint32(at + 12, littleEndian);
    at += 16;
    if (at + length > file.length) throw new Error(`packet ${packets.length} is cut off`);
    packets.push({
      timeMs: seconds * 1000 + fraction / fractionsPerMs,
      bytes: new Uint8Array(file.subarray(at, at + length)),
      originalLength,
    });
    at += length;
  }
  return {
    linkType: view.getUint32(20, littleEndian) & 0xffff,
    snapLength: view.getUint32(16, littleEndian),
    packets,
  };
}

/** The IP packets of a capture, without Ethernet headers if it has them (and without frames that aren't IP). */
export function ipPackets(capture: Capture): Uint8Array[] {
  const packets = capture.packets.map((packet) => packet.bytes);
  if (capture.linkType === LINKTYPE_RAW) return packets;
  if (capture.linkType !== LINKTYPE_ETHERNET)
    throw new Error(`link type ${capture.linkType} is not supported`);
  return packets.filter(carriesIp).map((frame) => frame.slice(14));
}

function carriesIp(frame: Uint8Array): boolean {
  const etherType = (frame[12] << 8) | frame[13];
  return etherType === 0x0800 || etherType === 0x86dd;
}
