import { write16, write32 } from "../../src/wire/bytes.ts";
import { IpAddress } from "../../src/wire/ip-address.ts";
import { PROTOCOL_TCP } from "../../src/wire/ipv4.ts";
import { ACK, CWR, ECE, FIN, finishTcpChecksum, PSH, RST, SYN, URG } from "../../src/wire/tcp.ts";
import type { Dice } from "./dice.ts";
import { finishIp, writeIp } from "./ip-header.ts";
import { LISTEN_PORT, PEER_WORD, type Target, VICTIM_WORD } from "./target.ts";

/** The usual ones, and what a stack may think that it never sees. */
const FLAGS: readonly number[] = [
  RST,
  RST | ACK,
  SYN,
  SYN | ACK,
  SYN | ECE | CWR,
  ACK,
  ACK,
  ACK | PSH,
  ACK | FIN,
  ACK | URG,
  ACK | ECE,
  ACK | CWR | PSH,
  FIN,
  SYN | FIN,
  SYN | RST,
  0,
  FIN | PSH | URG,
];
const EDGES_16: readonly number[] = [0, 1, 2, 0x7fff, 0x8000, 0xfffe, 0xffff];
const EDGES_32: readonly number[] = [0, 1, -1, 0x7fff_ffff, -0x8000_0000];
/** How far a sweep through the sequence space goes at once: a window, or less. */
const STEPS: readonly number[] = [1, 536, 1_460, 16_384, 65_535, 65_535, 262_144, 1 << 20, 1 << 24];
const LARGEST_SEGMENT = 1_460;
const LARGEST_PACKET = 65_535;
/** How far from the truth near misses are. */
const NEAR = 4_096;
const WINDOW = 1 << 20;
const HALF = 2 ** 30;
const KINDS: readonly number[] = [1, 2, 3, 4, 5, 5, 8, 8, 34, 254];
const SIZES: readonly number[] = [1, 1, 4, 3, 2, 0, 0, 0, 10];
const GARBAGE: readonly number[] = [0, 1, 2, 3, 4, 5, 8, 10, 40, 255];
/** Sources that no packet from a network can have: the victim, anybody, everybody, itself, a group. */
const MARTIANS: readonly number[] = [VICTIM_WORD, 0, -1, 0x7f00_0001, 0xe000_0001 | 0, PEER_WORD | 0xff];

/**
 * TCP segments for a connection whose addresses and ports are known, and for its neighbours. Sequence numbers are guessed: at
 * the edges, anywhere, in sweeps. Some are near misses, which stand for what a patient sweep arrives at: one number is right or
 * nearly right, for an attacker who has sent many millions of these already. What would hit is taken out by `luck.ts`.
 */
export class SegmentMaker {
  private readonly dice: Dice;
  private readonly target: Target;
  private readonly step: number;
  private sweepAt: number;
  private readonly source = new IpAddress(4, 0, 0, 0xffff, 0);
  private readonly destination = new IpAddress(4, 0, 0, 0xffff, 0);
  private sourcePort = 0;
  private destinationPort = 0;

  constructor(dice: Dice, target: Target) {
    this.dice = dice;
    this.target = target;
    this.step = dice.pick(STEPS);
    this.sweepAt = dice.word();
  }

  /** Writes a packet at `ip`, and returns its length with whatever follows it. */
  make(bytes: Uint8Array, ip: number): number {
    const { dice } = this;
    this.chooseEnds();
    const headerLength = writeIp(dice, bytes, ip, PROTOCOL_TCP, this.source.w3, this.destination.w3);
    const at = ip + headerLength;
    const flags = dice.chance(1, 3) ? dice.below(256) : dice.pick(FLAGS);
    write16(bytes, at, this.sourcePort);
    write16(bytes, at + 2, this.destinationPort);
    write32(bytes, at + 4, this.sequence());
    write32(bytes, at + 8, this.acknowledgment());
    bytes[at + 13] = flags;
    write16(bytes, at + 14, dice.chance(1, 3) ? dice.pick(EDGES_16) : dice.below(0x1_0000));
    write16(bytes, at + 18, flags & URG || dice.chance(1, 20) ? this.urgentPointer() : 0);
    const options = this.options(bytes, at + 20, flags);
    bytes[at + 12] = ((20 + options) >> 2) << 4;
    const text = Math.min(this.textLength(), LARGEST_PACKET - headerLength - 20 - options);
    // A header length that lies.
    if (dice.chance(1, 100)) bytes[at + 12] = dice.below(256);
    const length = 20 + options + text;
    finishTcpChecksum(bytes, at, length, this.source, this.destination, true);
    if (dice.chance(1, 25)) this.spoilChecksum(bytes, at);
    return finishIp(dice, bytes, ip, headerLength + length);
  }

  private chooseEnds(): void {
    const { dice, source, destination, target } = this;
    source.w3 = PEER_WORD;
    destination.w3 = VICTIM_WORD;
    this.sourcePort = target.remotePort;
    this.destinationPort = target.localPort;
    const kind = dice.below(100);
    if (kind < 78) return;
    if (kind < 82) {
      this.sourcePort = dice.below(0x1_0000);
    } else if (kind < 86) {
      source.w3 = (PEER_WORD & ~0xff) | (3 + dice.below(200));
      this.sourcePort = 1_024 + dice.below(64);
      this.destinationPort = LISTEN_PORT;
    } else if (kind < 90) {
      this.destinationPort = dice.below(0x1_0000);
    } else if (kind < 93) {
      destination.w3 = dice.pick([
        VICTIM_WORD | 0xff,
        -1,
        dice.word(),
        (VICTIM_WORD & ~0xff) | dice.below(256),
      ]);
    } else if (kind < 96) {
      source.w3 = dice.pick(MARTIANS);
    } else if (kind < 98) {
      this.sourcePort = target.localPort;
      this.destinationPort = target.remotePort;
    } else {
      source.w3 = dice.word();
      this.sourcePort = dice.below(0x1_0000);
      this.destinationPort = dice.chance(1, 2) ? LISTEN_PORT : dice.below(0x1_0000);
    }
  }

  private sequence(): number {
    const { dice } = this;
    const { tcb } = this.target;
    const kind = dice.below(8);
    if (kind < 2) return dice.word();
    if (kind === 2) return (dice.pick(EDGES_32) + dice.around(NEAR)) | 0;
    if (kind < 5) return this.sweep();
    if (kind === 5) return tcb.rcvNxt;
    return (tcb.rcvNxt + dice.around(kind === 6 ? WINDOW : NEAR)) | 0;
  }

  private sweep(): number {
    this.sweepAt = (this.sweepAt + this.step) | 0;
    return this.sweepAt;
  }

  private acknowledgment(): number {
    const { dice } = this;
    const { tcb } = this.target;
    const kind = dice.below(8);
    if (kind < 3) return dice.word();
    if (kind === 3) return (dice.pick(EDGES_32) + dice.around(NEAR)) | 0;
    if (kind === 4) return tcb.sndNxt;
    if (kind === 5) return (tcb.sndUna - tcb.maxSndWnd + dice.around(NEAR)) | 0;
    return (tcb.sndNxt + dice.around(kind === 6 ? WINDOW : NEAR)) | 0;
  }

  private urgentPointer(): number {
    return this.dice.chance(1, 2) ? this.dice.pick(EDGES_16) : this.dice.below(0x1_0000);
  }

  /** None mostly, a segment's worth, or as much as the device could ever deliver. */
  private textLength(): number {
    const { dice } = this;
    const kind = dice.below(64);
    if (kind < 36) return 0;
    if (kind < 54) return dice.logarithmic(1, 200);
    if (kind < 63) return dice.below(LARGEST_SEGMENT + 1);
    return dice.chance(1, 4) ? dice.below(LARGEST_PACKET) : dice.below(9_000);
  }

  /** Writes options, and returns how many bytes they take: a multiple of four, 40 at most. */
  private options(bytes: Uint8Array, from: number, flags: number): number {
    const { dice } = this;
    const { timestamps } = this.target.tcb;
    if (flags & SYN) return dice.chance(1, 4) ? 0 : this.knownOptions(bytes, from);
    const kind = dice.below(16);
    // What the connection's segments all have, anybody can put in.
    if (kind < 10) return timestamps ? this.timestamp(bytes, from) : 0;
    if (kind < 12) return timestamps ? 0 : this.timestamp(bytes, from);
    return kind < 14 ? this.knownOptions(bytes, from) : this.garbage(bytes, from);
  }

  private timestamp(bytes: Uint8Array, at: number): number {
    const { dice } = this;
    write32(bytes, at, 0x0101_080a);
    write32(bytes, at + 4, this.timestampValue());
    write32(bytes, at + 8, dice.word());
    return 12;
  }

  private timestampValue(): number {
    const { dice } = this;
    const kind = dice.below(4);
    if (kind === 0) return dice.word();
    return (this.target.tcb.tsRecent + dice.around(kind === 1 ? HALF : NEAR)) | 0;
  }

  /** Kinds that mean something, with the lengths that they should have, as many as fit. */
  private knownOptions(bytes: Uint8Array, from: number): number {
    const { dice } = this;
    let at = from;
    const end = from + 40;
    for (let count = 1 + dice.below(5); count > 0; count--) {
      const kind = dice.pick(KINDS);
      const size = kind === 5 ? 10 + 8 * dice.below(4) : kind < 9 ? SIZES[kind] : 2 + dice.below(16);
      if (at + size > end) break;
      bytes[at] = kind;
      if (size > 1) bytes[at + 1] = size;
      if (kind === 5) this.sackBlocks(bytes, at + 2, at + size);
      else for (let i = at + 2; i < at + size; i++) bytes[i] = dice.below(256);
      if (kind === 8) write32(bytes, at + 2, this.timestampValue());
      at += size;
    }
    return this.pad(bytes, from, at);
  }

  /** About what is in flight, and about what is not. */
  private sackBlocks(bytes: Uint8Array, from: number, end: number): void {
    const { tcb } = this.target;
    for (let at = from; at + 8 <= end; at += 8) {
      const left = (this.dice.chance(1, 2) ? tcb.sndUna : this.dice.word()) + this.dice.around(WINDOW);
      write32(bytes, at, left);
      write32(bytes, at + 4, left + this.dice.around(WINDOW));
    }
  }

  /** Lengths of 0 and 1, lengths beyond the end, kinds that nobody has assigned. */
  private garbage(bytes: Uint8Array, from: number): number {
    const { dice } = this;
    const length = 4 * (1 + dice.below(10));
    for (let at = from; at < from + length; at++) {
      bytes[at] = dice.chance(1, 2) ? dice.below(256) : dice.pick(GARBAGE);
    }
    return length;
  }

  private pad(bytes: Uint8Array, from: number, end: number): number {
    let at = end;
    while ((at - from) & 3) bytes[at++] = this.dice.below(2);
    return at - from;
  }

  /** Wrong by a bit, by 0, or by all ones. */
  private spoilChecksum(bytes: Uint8Array, at: number): void {
    const { dice } = this;
    const kind = dice.below(3);
    if (kind === 0) write16(bytes, at + 16, 0);
    else if (kind === 1) bytes[at + 16 + dice.below(2)] ^= 1 << dice.below(8);
    else write16(bytes, at + 16, dice.below(0x1_0000));
  }
}
