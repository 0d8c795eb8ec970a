import type { Frame } from "../device.ts";
import type { SocketSet } from "../socket/socket-set.ts";
import {
  isNextAck,
  isNextText,
  mayLeadTrain,
  receiveFollower,
  receiveNextText,
  receiveTrain,
} from "../socket/tcp/input.ts";
import { seqAdd } from "../socket/tcp/seq.ts";
import type { Tcb } from "../socket/tcp/tcb.ts";
import { receiveWindow } from "../socket/tcp/window.ts";
import { read16, read32 } from "../wire/bytes.ts";
import { fold, halves, pseudoHeaderSum, sum, wordsOf } from "../wire/checksum.ts";
import { ECN_CE, IPV4_HEADER_LENGTH, PROTOCOL_TCP } from "../wire/ipv4.ts";
import { ACK, PSH, TCP_HEADER_LENGTH, type TcpSegment, TIMESTAMPS_LENGTH } from "../wire/tcp.ts";
import { HeldAck } from "./held-ack.ts";

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
// All but PSH of the word with the flags and the window.
const LIKE_MASK = ~word(0, PSH, 0, 0);
/** That an Ethernet header with a tag reaches into. */
const LINK_WORDS = 5;
// Of an Ethernet header the first two bytes share their word with what is no part of it.
const LINK_MASK = word(0, 0, 0xff, 0xff);

/**
 * Header prediction for the flow that a packet was of last: nearly every packet of a bulk transfer has the addresses and
 * ports of the one before, and brings the text behind it, or an ACK of more. That is found out by comparing words, and
 * everything that the long way through IP and TCP would check is checked here: both checksums, lengths, fragments. What is
 * not as expected goes that way.
 *
 * Packets that follow such a one in the same batch, and are like it but for the sequence number, are a train: of each only
 * the text is taken, and TCP is told of all of them when the train ends. That is before anybody else looks at the
 * connection, so it is as if they had been taken one by one. Where the program's consumer is shown the text, it may look:
 * there TCP is told of each. A bare ACK waits for the end of the batch, and for the one that says more: see `HeldAck`.
 *
 * What stands before the IP header in the frame is the same for all of a train, so that what was found right of the first
 * one's is right.
 */
export class FlowMemo {
  /** The frame that is being processed, and where its segment's fields go: the interface's. */
  private readonly frame: Frame;
  private readonly seg: TcpSegment;
  private tcb: Tcb | null = null;
  /** Whose packet came the long way last. */
  private candidate: Tcb | null = null;
  private array: Uint8Array = new Uint8Array(0);
  /** `array`'s memory, from a multiple of four on. */
  private words: Int32Array = new Int32Array(0);
  private source = 0;
  private destination = 0;
  private ports = 0;
  /** The sum of the pseudo-header without the length. */
  private pseudoHeader = 0;

  // The train: its first packet, which was taken the usual way, and how many have followed that TCP is not told of.
  /** A packet may follow, with this sequence number. */
  private isOpen = false;
  private nextSeq = 0;
  private followers = 0;
  /** Bytes of the IP packet, of both its headers and of its text. */
  private total = 0;
  private headers = 0;
  private textLength = 0;
  /** Bytes for which the receive window still has room. */
  private room = 0;
  /** There is a consumer that may be shown the text. */
  private isShown = false;
  private hasTimestamp = false;
  private tsEcr = 0;
  // Its words: of the IP header the first three, and the sum of those that stay the same; the ACK, and so on.
  private first = 0;
  private second = 0;
  private third = 0;
  private sameSum = 0;
  private ack = 0;
  private flags = 0;
  private timestamp = 0;
  private echo = 0;
  /** Bytes of the link's header, an Ethernet header of 14 bytes or 18, and their words; the first one holds two of them. */
  private linkLength = 0;
  private readonly linkWords = new Int32Array(LINK_WORDS);
  /** In the place of a train of text. */
  private readonly held = new HeldAck();

  constructor(frame: Frame, seg: TcpSegment) {
    this.frame = frame;
    this.seg = seg;
  }

  /**
   * A packet of `tcb` was at `offset`, and has passed every check. Of bare ACKs it takes two of one flow to be learned: where
   * flows take turns, nothing is gained by it.
   */
  learn(bytes: Uint8Array, offset: number, seg: TcpSegment, tcb: Tcb, isText: boolean): void {
    const isAnother = tcb !== this.candidate;
    this.candidate = tcb;
    if (isAnother && !isText) return;
    if ((bytes.byteOffset + offset) & 3) return;
    if (bytes !== this.array) {
      this.array = bytes;
      this.words = wordsOf(bytes);
    }
    const at = (bytes.byteOffset + offset) >>> 2;
    this.tcb = tcb;
    this.source = this.words[at + 3];
    this.destination = this.words[at + 4];
    this.ports = this.words[at + 5];
    this.pseudoHeader = pseudoHeaderSum(seg.source, seg.destination, PROTOCOL_TCP, 0);
  }

  /**
   * Takes the packet where it is the next text of the flow or an ACK of more; else returns `false`, and nothing has happened.
   * `joins` has been asked before, and the train has ended.
   */
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
    seg.sackCount = 0;
    seg.hasTimestamp = hasTimestamp;
    if (hasTimestamp) {
      seg.tsVal = read32(bytes, tcp + TCP_HEADER_LENGTH + 4);
      seg.tsEcr = read32(bytes, tcp + TCP_HEADER_LENGTH + 8);
    }
    // A sum of 16-bit words is 0xffff in either byte order (RFC 1071 2 B).
    const sameSum = halves(w0) + halves(w3) + halves(w4);
    if (fold(sameSum + halves(w1) + halves(w2)) !== 0xffff) return false;
    const isText = total > headers;
    if (!(isText ? isNextText(tcb, seg) : isNextAck(tcb, seg))) return false;
    if (!checksumKnown && !this.isSound(bytes, tcp, total - IPV4_HEADER_LENGTH)) return false;
    if (isText) {
      sockets.context.stats.tcpSegmentsReceived++;
      receiveNextText(tcb, seg, bytes, sockets.context.now);
      this.isOpen = mayLeadTrain(tcb);
    } else {
      this.held.hold(tcb, seg);
      this.isOpen = true;
    }
    if (!this.isOpen) return true;
    this.nextSeq = tcb.rcvNxt;
    this.total = total;
    this.headers = headers;
    this.textLength = total - headers;
    this.room = receiveWindow(tcb);
    this.hasTimestamp = hasTimestamp;
    this.tsEcr = seg.tsEcr;
    this.first = w0;
    this.second = w1;
    this.third = w2;
    this.sameSum = sameSum;
    this.ack = words[at + 7];
    this.flags = words[at + 8];
    this.timestamp = words[at + 11];
    this.echo = words[at + 12];
    this.isShown = tcb.consumer !== null;
    this.linkLength = offset - this.frame.offset;
    this.noteLink(at);
    return true;
  }

  /**
   * Takes the frame's packet where it is like the train's first one, but that its text is what comes next, or its ACK is of
   * more. Else returns `false`, and nothing has happened.
   */
  joins(): boolean {
    const { tcb, words, frame, linkLength } = this;
    const { bytes } = frame;
    const offset = frame.offset + linkLength;
    const start = bytes.byteOffset + offset;
    if (!this.isOpen || tcb === null || bytes !== this.array || (start & 3) !== 0) return false;
    const at = start >>> 2;
    // The source, the destination and the ports; the length and the type of service.
    if (words[at + 3] !== this.source || words[at + 4] !== this.destination) return false;
    if (words[at + 5] !== this.ports || words[at] !== this.first) return false;
    if (this.hasTimestamp && words[at + 10] !== TIMESTAMPS) return false;
    // Identification, TTL and checksum may be others.
    const w1 = words[at + 1];
    const w2 = words[at + 2];
    if (w1 !== this.second || w2 !== this.third) {
      if ((w1 & FRAGMENT_MASK) !== 0 || (w2 & PROTOCOL_MASK) !== PROTOCOL) return false;
      if (fold(this.sameSum + halves(w1) + halves(w2)) !== 0xffff) return false;
    }
    const { total, textLength } = this;
    const tcp = offset + IPV4_HEADER_LENGTH;
    if (read32(bytes, tcp + 4) !== this.nextSeq || total > frame.length - linkLength) return false;
    if (textLength === 0 ? !this.isAckOfMore(tcb, bytes, at, tcp) : !this.isNext(at)) return false;
    if (linkLength > 0 && !this.isSameLink(at)) return false;
    if (!frame.checksumOffloaded && !this.isSound(bytes, tcp, total - IPV4_HEADER_LENGTH)) return false;
    if (textLength > 0) return this.takeFollower(tcb, bytes, offset);
    this.held.replace(bytes, tcp);
    return true;
  }

  /** May the ACK at word `at` take the held one's place: one with its flags, of more? */
  private isAckOfMore(tcb: Tcb, bytes: Uint8Array, at: number, tcp: number): boolean {
    return ((this.words[at + 8] ^ this.flags) & FLAGS_MASK) === 0 && this.held.givesWayTo(tcb, bytes, tcp);
  }

  /** May the text at word `at` be the next of the train: with the first one's ACK, flags, window and timestamps, and room for it? */
  private isNext(at: number): boolean {
    const { words } = this;
    if (words[at + 7] !== this.ack || ((words[at + 8] ^ this.flags) & LIKE_MASK) !== 0) return false;
    if (this.hasTimestamp && (words[at + 11] !== this.timestamp || words[at + 12] !== this.echo))
      return false;
    return this.textLength <= this.room;
  }

  private takeFollower(tcb: Tcb, bytes: Uint8Array, offset: number): boolean {
    if (this.isShown) {
      this.showNext(tcb, bytes, offset);
      return true;
    }
    const { followers, textLength } = this;
    const { receiveBuffer } = tcb;
    const position = receiveBuffer.length + followers * textLength;
    if (receiveBuffer.lend(position, bytes, offset + this.headers, textLength) < textLength) return false;
    this.followers = followers + 1;
    this.nextSeq = seqAdd(this.nextSeq, textLength);
    this.room -= textLength;
    return true;
  }

  /** The same where the consumer is shown the text, and may do with the connection what it likes. */
  private showNext(tcb: Tcb, bytes: Uint8Array, offset: number): void {
    const { seg, nextSeq, textLength } = this;
    seg.seq = nextSeq;
    seg.payloadOffset = offset + this.headers;
    seg.payloadLength = textLength;
    tcb.context.stats.tcpSegmentsReceived++;
    this.nextSeq = seqAdd(nextSeq, textLength);
    this.room -= textLength;
    receiveFollower(tcb, seg, bytes, tcb.context.now);
    this.isOpen = tcb.rcvNxt === this.nextSeq && mayLeadTrain(tcb);
  }

  /** Remembers the link's header before the IP header at word `at`. */
  private noteLink(at: number): void {
    const { words, linkWords } = this;
    const count = (this.linkLength + 3) >>> 2;
    for (let i = 0; i < count; i++) linkWords[i] = words[at - 1 - i];
  }

  /** Is it the train's? It is as long as that, and so its first two bytes are half of a word. */
  private isSameLink(at: number): boolean {
    const { words, linkWords } = this;
    const last = this.linkLength >>> 2;
    for (let i = 0; i < last; i++) {
      if (words[at - 1 - i] !== linkWords[i]) return false;
    }
    return ((words[at - 1 - last] ^ linkWords[last]) & LINK_MASK) === 0;
  }

  /** A batch of packets begins: what was known of the connection may have changed since the last one. */
  beginBatch(): void {
    this.isOpen = false;
    this.followers = 0;
    this.held.count = 0;
  }

  /** Tells TCP of the packets that have followed the train's first one: at the end of a batch, and where another one comes. */
  endTrain(): void {
    if (!this.isOpen) return;
    const { tcb, followers, held } = this;
    this.isOpen = false;
    if (tcb === null) return;
    if (held.count > 0) held.release(tcb, this.seg);
    if (followers === 0) return;
    this.followers = 0;
    tcb.context.stats.tcpSegmentsReceived += followers;
    receiveTrain(tcb, followers, this.textLength, this.tsEcr, tcb.context.now);
  }

  private isSound(bytes: Uint8Array, tcp: number, length: number): boolean {
    return fold(sum(bytes, tcp, length, this.pseudoHeader + length)) === 0xffff;
  }
}
