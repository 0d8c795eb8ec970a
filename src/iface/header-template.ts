import { copyBytes } from "../storage/copy.ts";
import { write16, write32 } from "../wire/bytes.ts";
import { fold, pseudoHeaderSum, sum, wordsOf } from "../wire/checksum.ts";
import { IPV4_HEADER_LENGTH, PROTOCOL_TCP } from "../wire/ipv4.ts";
import { MAX_OPTIONS_LENGTH, TCP_HEADER_LENGTH, type TcpSegment } from "../wire/tcp.ts";

const LONGEST_HEADERS = IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH + MAX_OPTIONS_LENGTH;
/** Where these fields stand in a TCP header. */
const SEQ = 4;
export const CHECKSUM = 16;

/**
 * The headers of a full-sized segment for those that follow it at once: they differ in the sequence number and the
 * checksum, and in nothing else (an IPv4 packet that must not be fragmented has no identification, RFC 6864 4.1).
 */
export class HeaderTemplate {
  length = 0;
  /** The sum of the pseudo-header and the TCP header without what differs. */
  base = 0;
  private readonly bytes = new Uint8Array(new ArrayBuffer(LONGEST_HEADERS));
  private readonly words = new Int32Array(this.bytes.buffer);

  /** Takes over the headers of `seg`, the `length` bytes from `at` on. */
  take(source: Uint8Array, at: number, length: number, seg: TcpSegment, offloaded: boolean): void {
    copyBytes(source, at, this.bytes, 0, length);
    this.length = length;
    // A device that completes checksums finds the sum of the pseudo-header there: the same in all.
    if (offloaded) return;
    const tcpHeader = length - IPV4_HEADER_LENGTH;
    const tcpLength = tcpHeader + seg.payloadLength;
    write32(this.bytes, IPV4_HEADER_LENGTH + SEQ, 0);
    write16(this.bytes, IPV4_HEADER_LENGTH + CHECKSUM, 0);
    const pseudoHeader = pseudoHeaderSum(seg.source, seg.destination, PROTOCOL_TCP, tcpLength);
    this.base = fold(sum(this.bytes, IPV4_HEADER_LENGTH, tcpHeader, pseudoHeader));
  }

  /** Writes the headers of the segment with sequence number `seq` to `target` from `at` on; its checksum is still to be made. */
  put(target: Uint8Array, at: number, seq: number): void {
    const { words, length } = this;
    const start = target.byteOffset + at;
    if (start & 3) {
      copyBytes(this.bytes, 0, target, at, length);
    } else {
      // A call into the engine takes longer than to copy these few words.
      const into = wordsOf(target);
      const first = start >>> 2;
      const count = length >>> 2;
      for (let i = 0; i < count; i++) into[first + i] = words[i];
    }
    write32(target, at + IPV4_HEADER_LENGTH + SEQ, seq);
  }
}
