import { ACK, FIN, RST, SYN } from "../../src/wire/tcp.ts";
import type { TestHost } from "./tcp-host.ts";
import { type Emitted, ourByte } from "./tcp-segment.ts";

/**
 * What must hold of every segment of a connection, whatever the test is about: text is what the program wrote, stays in
 * the peer's window and MSS, acknowledgments and the offered window do not go back, and no more is offered than fits.
 * Sequence numbers here are relative.
 */
export class Watch {
  /** Bytes that the program has written and read. */
  written = 0;
  read = 0;
  /** One past the last sequence number sent. */
  sndNxt = 0;
  private readonly host: TestHost;
  private readonly peerMss: number;
  private readonly before = new WeakMap<Emitted, number>();
  private lastAck = 0;
  /** The furthest right edge that was offered. */
  private offered = 0;
  /** The furthest right edge that the peer has offered. */
  private allowed = 0;
  private peerShift = -1;
  private ourShift = -1;

  constructor(host: TestHost, peerMss: number | null, least = 88) {
    this.host = host;
    this.peerMss = Math.max(peerMss ?? 536, least);
  }

  /** Where SND.NXT was when `emitted` was sent. */
  sndNxtBefore(emitted: Emitted): number {
    return this.before.get(emitted) ?? this.sndNxt;
  }

  onPeer(flags: number, ack: number, win: number, shift: number): void {
    if (flags & SYN) this.peerShift = shift;
    if (flags & (ACK | SYN))
      this.allowed = Math.max(this.allowed, ack + (win << this.shiftOf(flags, this.peerShift)));
  }

  onEmitted(emitted: Emitted, iss: number, irs: number): void {
    const { seg } = emitted;
    this.before.set(emitted, this.sndNxt);
    if (seg.flags & RST) return;
    if (seg.flags & SYN) this.ourShift = seg.windowScale;
    const seq = (seg.seq - iss) | 0;
    const text = seq + (seg.flags & SYN ? 1 : 0);
    const end = text + seg.payloadLength + (seg.flags & FIN ? 1 : 0);
    this.checkText(emitted, text);
    this.checkRoom(emitted, text);
    if (end > this.sndNxt) this.sndNxt = end;
    if (seg.flags & ACK)
      this.checkAck((seg.ack - irs) | 0, seg.window, this.shiftOf(seg.flags, this.ourShift));
  }

  private shiftOf(flags: number, shift: number): number {
    return flags & SYN || this.peerShift < 0 || this.ourShift < 0 ? 0 : shift;
  }

  private checkText({ text: bytes }: Emitted, seq: number): void {
    if (bytes.length > 0 && seq - 1 + bytes.length > this.written)
      this.host.fail("sent more than was written");
    for (let i = 0; i < bytes.length; i++) {
      if (bytes[i] !== ourByte(seq - 1 + i))
        this.host.fail(`byte ${seq + i} of the stream is sent as ${bytes[i]}`);
    }
  }

  private checkRoom({ seg, segmentSize }: Emitted, seq: number): void {
    const length = seg.payloadLength;
    // RFC 9293 3.7.1, MUST-16.
    const mss = Math.min(this.peerMss, this.host.device.capabilities.mtu - 40);
    if (segmentSize > mss)
      this.host.fail(`the device is to cut segments of ${segmentSize} bytes, not ${mss}`);
    if (length > mss && segmentSize === 0)
      this.host.fail(`sent ${length} bytes of text where the effective MSS is ${mss}`);
    const probe = length === 1;
    if (length > 0 && seq + length > this.allowed && !probe) {
      this.host.fail(`sent up to ${seq + length}, where the peer's window ended at ${this.allowed}`);
    }
  }

  private checkAck(ack: number, window: number, shift: number): void {
    if (ack < this.lastAck) this.host.fail(`acknowledged ${ack} after ${this.lastAck}`);
    this.lastAck = ack;
    const edge = ack + window * 2 ** shift;
    // RFC 9293 3.8.6, SHLD-14; RFC 7323 2.4: with a scale it moves back by less than one unit.
    if (edge <= this.offered - 2 ** shift) this.host.fail(`offered up to ${edge} after ${this.offered}`);
    this.offered = Math.max(this.offered, edge);
    const room = this.host.stack.sockets.context.tcp.maxReceiveBuffer;
    // One for the SYN, one for a FIN.
    if (edge > 2 + this.read + room) {
      this.host.fail(`offered up to ${edge}, where ${this.read} bytes were read and ${room} fit`);
    }
  }
}
