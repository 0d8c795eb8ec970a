import { seededRandom } from "../../src/random.ts";
import type { TcpSettings } from "../../src/socket/tcp/settings.ts";
import { Stack } from "../../src/stack.ts";
import { ipv4Protocol, PROTOCOL_TCP } from "../../src/wire/ipv4.ts";
import { ACK } from "../../src/wire/tcp.ts";
import { icmpPacket, lines, tcpPacket, udpPacket } from "../support/packets.ts";
import { decode, formatFlags, parseFlags } from "../support/tcp-segment.ts";
import { TestDevice } from "../support/test-device.ts";
import type { PendingCall } from "./kernel/call.ts";
import { Kernel } from "./kernel/kernel.ts";
import { Reader } from "./language/reader.ts";
import { readCall } from "./language/values.ts";

const OURS = "10.0.0.1";
const PEER = "10.0.0.2";
const ENDS = { from: PEER, to: OURS };
/** What a program binds and connects to, where it does not say. */
export const PORT = 8080;
/** The peer's, where it connects. */
const PEER_PORT = 5_000;

const PLAIN = {
  timestamps: false,
  sack: false,
  ecn: false,
  congestionControl: "newreno",
  quickAcks: 0,
  receiveBuffer: 256 * 1024,
  sendBuffer: 256 * 1024,
} as const;

export interface Arriving {
  readonly flags?: string;
  readonly seq?: number;
  readonly ack?: number;
  readonly length?: number;
  readonly win?: number;
  readonly mss?: number;
  readonly fromPort?: number;
}

/** A program over a kernel over a stack, a peer that the test plays, and a time that the test moves. Both ISNs are 0. */
export class Program {
  readonly stack: Stack;
  readonly device = new TestDevice();
  readonly kernel: Kernel;
  now = 1_000;
  /** The port of ours, and of the peer's, that segments go between. */
  private ourPort = PORT;
  private peerPort = PEER_PORT;

  constructor(tcp: Partial<TcpSettings> = {}) {
    this.stack = new Stack({
      memory: 4 << 20,
      maxSockets: 64,
      random: seededRandom(3),
      tcp: { ...PLAIN, ...tcp },
    });
    this.stack.addInterface({ device: this.device, addresses: [`${OURS}/24`] });
    Object.assign(this.stack.sockets.context.isn, { next: () => 0, timestampOffset: () => 0 });
    const { stack, now } = this;
    this.kernel = new Kernel({
      stack,
      localAddress: OURS,
      remoteAddress: PEER,
      bindPort: PORT,
      connectPort: PORT,
      now,
    });
    this.settle();
  }

  /** Calls that return at once, as the script has them: `read(4, ..., 10) = 10`. */
  calls(...texts: string[]): void {
    for (const text of texts) {
      const pending = this.enters(text);
      if (!pending.done) throw new Error(`${text}: it blocks`);
      this.agrees(pending, text);
    }
  }

  /** A call that blocks. */
  blocks(text: string): PendingCall {
    const pending = this.enters(text);
    if (pending.done)
      throw new Error(`${text}: it returned ${pending.result?.value} ${pending.result?.errno}`);
    return pending;
  }

  /** A call that blocked has returned, with what its script says. */
  returned(pending: PendingCall): void {
    if (!pending.done) throw new Error(`${pending.call.name} still blocks`);
    this.agrees(pending, pending.call.name);
  }

  /** What a call gives otherwise than its script says. */
  mismatch(text: string): string | null {
    return this.enters(text).mismatch();
  }

  private enters(text: string): PendingCall {
    const call = readCall(new Reader("test", text, new Map()));
    const pending = this.kernel.start(call, this.now);
    this.settle();
    return pending;
  }

  private agrees(pending: PendingCall, text: string): void {
    const mismatch = pending.mismatch();
    if (mismatch !== null) throw new Error(`${text}: ${mismatch}`);
  }

  /** Segments of the peer arrive, one after the other. */
  arrives(...segments: Arriving[]): void {
    for (const segment of segments) {
      const { flags = ".", seq = 1, ack = 1, length = 0, win = 65_535, mss = 0, fromPort } = segment;
      const bits = parseFlags(flags);
      const fields = {
        sourcePort: fromPort ?? this.peerPort,
        destinationPort: this.ourPort,
        seq,
        ack: bits & ACK ? ack : 0,
        flags: bits,
        window: win,
        mss,
      };
      this.device.inject(tcpPacket(ENDS, fields, new Uint8Array(length)));
      this.settle();
    }
  }

  arrivesDatagram(length: number, fromPort = PORT, toPort = PORT): void {
    this.device.inject(udpPacket(ENDS, fromPort, toPort, new Uint8Array(length)));
    this.settle();
  }

  /** An ICMP error comes about the packet that was sent last. */
  arrivesIcmp(type: number, code: number): void {
    const about = this.lastPacket;
    if (about === null) throw new Error("nothing was sent that an error could be about");
    this.device.inject(icmpPacket(ENDS, type, code, 0, about.subarray(0, 28)));
    this.settle();
  }

  private lastPacket: Uint8Array | null = null;

  /** What was sent since, as `P. 1:101(100) ack 1`; no TCP as tcpdump has it. */
  sent(): string[] {
    return this.device.take().map((packet) => {
      this.lastPacket = packet;
      if (ipv4Protocol(packet, 0) !== PROTOCOL_TCP) return lines([packet])[0];
      const { seg } = decode(packet, this.now);
      this.ourPort = seg.sourcePort;
      this.peerPort = seg.destinationPort;
      const flags = formatFlags(seg.flags) || "-";
      const ack = seg.flags & ACK ? ` ack ${seg.ack >>> 0}` : "";
      return `${flags} ${seg.seq >>> 0}:${(seg.seq + seg.payloadLength) >>> 0}(${seg.payloadLength})${ack}`;
    });
  }

  /** The MSS that the last SYN or SYN-ACK named. */
  mssSent(): number {
    const packet = this.device.take().at(-1);
    if (packet === undefined) throw new Error("nothing was sent");
    const { seg } = decode(packet, this.now);
    this.ourPort = seg.sourcePort;
    this.peerPort = seg.destinationPort;
    return seg.mss;
  }

  /** Time passes, from deadline to deadline. */
  passes(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = Math.min(this.stack.nextDeadline(this.now), this.kernel.nextDeadline());
      if (next > end) break;
      this.now = Math.max(next, this.now);
      this.settle();
    }
    this.now = end;
    this.settle();
  }

  private settle(): void {
    for (let polls = 0; ; polls++) {
      if (polls === 1_000) throw new Error("the stack wants to be polled for ever");
      const more = this.stack.poll(this.now);
      this.kernel.progress(this.now);
      if (!more && this.stack.nextDeadline(this.now) > this.now) return;
    }
  }
}

export const SOCKET = "socket(..., SOCK_STREAM, IPPROTO_TCP) = 3";
const NONBLOCK = "fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0";

/** A listening socket, 3; calls before `listen` may be given. */
export function listening(before: readonly string[] = [], tcp: Partial<TcpSettings> = {}): Program {
  const p = new Program(tcp);
  p.calls(SOCKET, ...before, "bind(3, ..., ...) = 0", "listen(3, 1) = 0");
  return p;
}

/** An accepted connection, 4, of the listening socket 3. */
export function accepted(before: readonly string[] = [], tcp: Partial<TcpSettings> = {}): Program {
  const p = listening(before, tcp);
  p.arrives({ flags: "S", seq: 0, mss: 1_000 });
  p.arrives({});
  p.calls("accept(3, ..., ...) = 4");
  p.sent();
  return p;
}

/** The same, and 4 does not block. */
export function acceptedNonblocking(before: readonly string[] = []): Program {
  const p = accepted(before);
  p.calls("fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0");
  return p;
}

/** Socket 3, which does not block, has sent its SYN. */
export function connecting(before: readonly string[] = []): Program {
  const p = new Program();
  p.calls(SOCKET, NONBLOCK, ...before, "connect(3, ..., ...) = -1 EINPROGRESS");
  p.sent();
  return p;
}

/** Socket 3, which does not block, is connected. */
export function connected(before: readonly string[] = []): Program {
  const p = connecting(before);
  p.arrives({ flags: "S.", seq: 0, ack: 1, mss: 1_000 });
  p.calls("getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0");
  p.sent();
  return p;
}
