/** The classic pcap format, with nanoseconds: a header that states one link type, then records. */

import { StackError } from "../src/errors.ts";
import type { CapturedFrame, CaptureInterface } from "./capture.ts";
import type { CaptureFormat, CaptureWriter } from "./capture-writer.ts";

const MAGIC_NANOSECONDS = 0xa1b23c4d;
const RECORD_HEADER = 16;

export const PCAP: CaptureFormat = {
  writeHeader(out: CaptureWriter, interfaces: readonly CaptureInterface[]): void {
    const [{ linkType, snaplen }] = interfaces;
    out.u32(MAGIC_NANOSECONDS);
    out.u16(2);
    out.u16(4);
    out.u32(0);
    out.u32(0);
    out.u32(snaplen);
    out.u32(linkType);
  },

  writeInterface(out: CaptureWriter, interfaces: readonly CaptureInterface[], added: CaptureInterface): void {
    if (added.linkType === interfaces[0].linkType) return;
    throw new StackError(
      "EINVAL",
      `${out.path} holds frames of another medium: use one pcap file for IP devices and another for Ethernet, or a pcapng file for both.`,
    );
  },

  recordSize: (frame: CapturedFrame): number => RECORD_HEADER + frame.captured,

  writeRecord(out: CaptureWriter, frame: CapturedFrame): void {
    out.u32(frame.seconds);
    out.u32(frame.nanoseconds);
    out.u32(frame.captured);
    out.u32(frame.length);
    out.copy(frame.bytes, frame.offset, frame.captured);
  },
};
