/**
 * The pcapng format (draft-ietf-opsawg-pcapng): a section header, a description of each interface, and packets that
 * say on which of them they were seen, in which direction, to the nanosecond.
 */

import type { CapturedFrame, CaptureInterface } from "./capture.ts";
import type { CaptureFormat, CaptureWriter } from "./capture-writer.ts";

export const SECTION_HEADER = 0x0a0d0d0a;
export const INTERFACE_DESCRIPTION = 1;
export const ENHANCED_PACKET = 6;
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

// Options; 0 is the end of them everywhere.
const SHB_USERAPPL = 4;
const IF_NAME = 2;
export const IF_TSRESOL = 9;
export const EPB_FLAGS = 2;

/** Resolution of the times: 10 to the minus 9 seconds. */
const NANOSECONDS = 9;
/** Directions of a packet, as seen from who captured it. */
export const INBOUND = 1;
export const OUTBOUND = 2;

const USER_APPLICATION = new TextEncoder().encode("tapwire");

/** Type, length, interface, time, two lengths; then an option of 8 bytes, the end of options, the length again. */
const PACKET_OVERHEAD = 28 + 8 + 4 + 4;

const padded = (length: number): number => (length + 3) & ~3;

export const PCAPNG: CaptureFormat = {
  writeHeader(out: CaptureWriter, interfaces: readonly CaptureInterface[]): void {
    const length = 24 + 4 + padded(USER_APPLICATION.length) + 4 + 4;
    out.u32(SECTION_HEADER);
    out.u32(length);
    out.u32(BYTE_ORDER_MAGIC);
    out.u16(1);
    out.u16(0);
    // The section's length: not known.
    out.u32(0xffffffff);
    out.u32(0xffffffff);
    writeOption(out, SHB_USERAPPL, USER_APPLICATION);
    out.u32(0);
    out.u32(length);
    for (const description of interfaces) writeDescription(out, description);
  },

  writeInterface(out: CaptureWriter, _: readonly CaptureInterface[], added: CaptureInterface): void {
    writeDescription(out, added);
  },

  recordSize: (frame: CapturedFrame): number => PACKET_OVERHEAD + padded(frame.captured),

  writeRecord(out: CaptureWriter, frame: CapturedFrame): void {
    const { captured } = frame;
    const length = PACKET_OVERHEAD + padded(captured);
    out.u32(ENHANCED_PACKET);
    out.u32(length);
    out.u32(frame.interfaceId);
    writeTime(out, frame.seconds, frame.nanoseconds);
    out.u32(captured);
    out.u32(frame.length);
    out.copy(frame.bytes, frame.offset, captured);
    out.zeros(padded(captured) - captured);
    out.u16(EPB_FLAGS);
    out.u16(4);
    out.u32(frame.sent ? OUTBOUND : INBOUND);
    out.u32(0);
    out.u32(length);
  },
};

function writeDescription(out: CaptureWriter, { linkType, snaplen, name }: CaptureInterface): void {
  const label = name === null ? null : new TextEncoder().encode(name);
  const length = 16 + (label === null ? 0 : 4 + padded(label.length)) + 8 + 4 + 4;
  out.u32(INTERFACE_DESCRIPTION);
  out.u32(length);
  out.u16(linkType);
  out.u16(0);
  out.u32(snaplen);
  if (label !== null) writeOption(out, IF_NAME, label);
  writeOption(out, IF_TSRESOL, Uint8Array.of(NANOSECONDS));
  out.u32(0);
  out.u32(length);
}

function writeOption(out: CaptureWriter, code: number, value: Uint8Array): void {
  out.u16(code);
  out.u16(value.length);
  out.copy(value, 0, value.length);
  out.zeros(padded(value.length) - value.length);
}

/**
 * Nanoseconds since 1970 as two words, the upper one first. A number does not hold them exactly, and a BigInt would be
 * garbage a frame; so the seconds are multiplied in two halves, which stay exact.
 */
function writeTime(out: CaptureWriter, seconds: number, nanoseconds: number): void {
  const upper = Math.floor(seconds / 0x10000) * 1e9;
  const lower = (seconds % 0x10000) * 1e9 + nanoseconds;
  const low = (upper % 0x10000) * 0x10000 + (lower % 0x1_0000_0000);
  out.u32(Math.floor(upper / 0x10000) + Math.floor(lower / 0x1_0000_0000) + Math.floor(low / 0x1_0000_0000));
  out.u32(low % 0x1_0000_0000);
}
