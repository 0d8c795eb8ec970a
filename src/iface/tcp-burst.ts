import { countFollowers } from "../socket/tcp/output.ts";
import { seqAdd } from "../socket/tcp/seq.ts";
import type { Tcb } from "../socket/tcp/tcb.ts";
import { write16 } from "../wire/bytes.ts";
import { checksum, halves } from "../wire/checksum.ts";
import { IPV4_HEADER_LENGTH } from "../wire/ipv4.ts";
import type { TcpSegment } from "../wire/tcp.ts";
import { CHECKSUM } from "./header-template.ts";
import type { Interface } from "./interface.ts";
import { lendFrame, payloadOffset } from "./ipv4-output.ts";
import { linkOutput } from "./link-output.ts";

/**
 * Sends up to `count` segments behind `seg`, whose headers the interface's template has taken over: as many as the device
 * takes. Returns how many these are.
 */
export function sendFollowers(iface: Interface, tcb: Tcb, seg: TcpSegment, count: number): number {
  const { template } = iface;
  const { stats } = tcb.context;
  const { mss, sendBuffer } = tcb;
  const offloaded = iface.device.capabilities.checksumOffload;
  const headers = template.length;
  const { seq, payloadOffset: position } = seg;
  let sent = 0;
  while (sent < count) {
    const frame = lendFrame(iface, headers - IPV4_HEADER_LENGTH + mss);
    if (frame === null) break;
    sent++;
    const { bytes } = frame;
    const tcp = payloadOffset(iface, frame);
    const at = tcp - IPV4_HEADER_LENGTH;
    const ownSeq = seqAdd(seq, sent * mss);
    template.put(bytes, at, ownSeq);
    sendBuffer.copyTo(position + sent * mss, bytes, at + headers, mss);
    if (!offloaded) {
      const sum = checksum(bytes, at + headers, mss, template.base + halves(ownSeq));
      write16(bytes, tcp + CHECKSUM, sum);
    }
    frame.length = tcp + headers - IPV4_HEADER_LENGTH + mss - frame.offset;
    frame.checksumOffloaded = offloaded;
    frame.segmentSize = 0;
    linkOutput(iface, frame, tcb.remote);
    stats.tcpSegmentsSent++;
  }
  countFollowers(tcb, sent, tcb.context.now);
  return sent;
}
