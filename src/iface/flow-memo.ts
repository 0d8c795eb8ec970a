import type { SocketSet } from "../socket/socket-set.ts";
import { isNextText, receiveNextText } from "../socket/tcp/input.ts";
import type { Tcb } from "../socket/tcp/tcb.ts";
import { read16, read32 } from "../wire/bytes.ts";
import { fold, halves, pseudoHeaderSum, sum } from "../wire/checksum.ts";
import { ECN_CE, IPV4_HEADER_LENGTH, PROTOCOL_TCP } from "../wire/ipv4.ts";
import { ACK, TCP_HEADER_LENGTH, type TcpSegment, TIMESTAMPS_LENGTH } from "../wire/tcp.ts";

/** Four bytes of a packet as the processor reads them at once. */
const word = (...bytes: [number, number, number, number]) => new Int32Array(Uint8Array.from(bytes).buffer)[0];

const HEADERS = IPV4_HEADER_LENGTH + TCP_HEADER_LENGTH;
// Version 4 with a header of five words.
const VERSION_MASK = word(0xff, 0, 0, 0);
const VERSION = word(0x45, 0, 0, 0);
// RFC 3168: a router has marked it.
const MARK = word(0, ECN_CE, 0, 0);
// No fragment: neither MF nor an offset.
const FRAGMENT_MASK = word(0, 0, 0x3f, 0xff);
const PROTOCOL_MASK = word(0, 0xff, 0, 0);
const PROTOCOL = word(0, PROTOCOL_TCP, 0, 0);
// A TCP header of five words, or of eight with timestamps, with ACK and perhaps PSH; reserved bits are ignored.
const FLAGS_MASK = word(0xf0, 0xf7, 0, 0);
const FLAGS = word(0x50, ACK, 0, 0);
const FLAGS_TIMESTAMPS = word(0x80, ACK, 0, 0);
// RFC 7323 appendix A: two NOPs, the option's kind and length.
const TIMESTAMPS = word(1, 1, 8, 10);

/**
 * Header prediction for the flow whose text arrived last: nearly every packet of a bulk transfer has the addresses and
 * ports of the one before, and brings the text behind it. That is found out by comparing words, and everything that the
 * long way through IP and TCP would check is checked here: both checksums, lengths, fragments. What is not as expected
 * goes that way.
 */
export class FlowMemo {
  private tcb: Tcb | null = null;
  private array: Uint8Array = new Uint8Array(0);
  /** `array`'s memory, from a multiple of four on. */
  private words: Int32Array = new Int32Array(0);
  private source = 0;
  private destination = 0;
  private ports = 0;
  /** The sum of the pseudo-header without the length. */
  private pseudoHeader = 0;

  /** A packet with text of `tcb` was at `offset`; it has passed every check. */
  learn(bytes: Uint8Array, offset: number, seg: TcpSegment, tcb: Tcb): void {
    if ((bytes.byteOffset + offset) & 3) return;
    if (bytes !== this.array) {
      this.array = bytes;
      this.words = new Int32Array(bytes.buffer, 0, bytes.buffer.byteLength >>> 2);
    }
    const at = (bytes.byteOffset + offset) >>> 2;
    this.tcb = tcb;
    this.source = this.words[at + 3];
    this.destination = this.words[at + 4];
    this.ports = this.words[at + 5];
    this.pseudoHeader = pseudoHeaderSum(seg.source, seg.destination, PROTOCOL_TCP, 0);
  }

  /** Takes the packet where it is the next text of the flow; else returns `false`, and nothing has happened. */
  take(
    sockets: SocketSet,
    seg: TcpSegment,
    bytes: Uint8Array,
    offset: number,
    length: number,
    checksumKnown: boolean,
  ): boolean {
    const { tcb, words } = this;
    const start = bytes.byteOffset + offset;
    if (tcb === null || bytes !== this.array || (start & 3) !== 0) return false;
    const at = start >>> 2;
    const w0 = words[at];
    const w1 = words[at + 1];
    const w2 = words[at + 2];
    const w3 = words[at + 3];
    const w4 = words[at + 4];
    if (w3 !== this.source || w4 !== this.destination || words[at + 5] !== this.ports) return false;
    if ((w0 & VERSION_MASK) !== VERSION || (w1 & FRAGMENT_MASK) !== 0) return false;
    if ((w2 & PROTOCOL_MASK) !== PROTOCOL) return false;
    if ((w0 & MARK) === MARK) return false;
    const flags = words[at + 8] & FLAGS_MASK;
    const hasTimestamp = flags === FLAGS_TIMESTAMPS && words[at + 10] === TIMESTAMPS;
    if (flags !== FLAGS && !hasTimestamp) return false;
    const total = read16(bytes, offset + 2);
    if (total > length) return false;
    const headers = hasTimestamp ? HEADERS + TIMESTAMPS_LENGTH : HEADERS;
    const tcp = offset + IPV4_HEADER_LENGTH;
    seg.seq = read32(bytes, tcp + 4);
    seg.ack = read32(bytes, tcp + 8);
    seg.flags = ACK;
    seg.ecn = 0;
    seg.window = read16(bytes, tcp + 14);
    seg.payloadOffset = offset + headers;
    seg.payloadLength = total - headers;
    seg.hasTimestamp = hasTimestamp;
    if (hasTimestamp) {
      seg.tsVal = read32(bytes, tcp + TCP_HEADER_LENGTH + 4);
      seg.tsEcr = read32(bytes, tcp + TCP_HEADER_LENGTH + 8);
    }
    // A sum of 16-bit words is 0xffff in either byte order (RFC 1071 2 B).
    if (fold(halves(w0) + halves(w1) + halves(w2) + halves(w3) + halves(w4)) !== 0xffff) return false;
    if (!isNextText(tcb, seg)) return false;
    if (!checksumKnown) {
      const tcpLength = total - IPV4_HEADER_LENGTH;
      if (fold(sum(bytes, tcp, tcpLength, this.pseudoHeader + tcpLength)) !== 0xffff) return false;
    }
    sockets.context.stats.tcpSegmentsReceived++;
    receiveNextText(tcb, seg, bytes, sockets.context.now);
    return true;
  }
}
