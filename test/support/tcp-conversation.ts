import {
  END_OF_STREAM,
  type ErrorCode,
  StackError,
  type TcpListener,
  type TcpSocket,
  type TcpState,
} from "../../src/index.ts";
import type { Tcb } from "../../src/socket/tcp/tcb.ts";
import { ECN_MASK, ipv4Tos } from "../../src/wire/ipv4.ts";
import type { TcpSegment } from "../../src/wire/tcp.ts";
import { ACK, FIN, RST, SYN } from "../../src/wire/tcp.ts";
import { tcpPacket } from "./packets.ts";
import { type HostOptions, OUR_ADDRESS, PEER_ADDRESS, type TestHost } from "./tcp-host.ts";
import {
  type Arriving,
  bytesFrom,
  type Emitted,
  type Expected,
  formatExpected,
  formatFlags,
  formatRelative,
  lengthOf,
  ourByte,
  parseFlags,
  theirByte,
} from "./tcp-segment.ts";
import { Watch } from "./tcp-watch.ts";

export const LISTENING_PORT = 80;
export const PEER_PORT = 5_000;

export interface ScenarioOptions extends HostOptions {
  /** The peer's initial sequence number. */
  readonly irs?: number;
  /** The peer connects to us, instead of we to it. */
  readonly passive?: boolean;
  readonly backlog?: number;
  readonly noDelay?: boolean;
  /** The peer's options; no MSS option where `mss` is null, no window scale option where `wscale` is. */
  readonly mss?: number | null;
  readonly wscale?: number | null;
  /** The peer's window field, in its SYN and wherever nothing else is said. */
  readonly win?: number;
  /** The peer permits SACK. */
  readonly peerSack?: boolean;
  /** The peer takes part in ECN. */
  readonly peerEcn?: boolean;
  /** The peer has timestamps, and its clock shows this when the host is made. */
  readonly peerClock?: number;
  /** Our initial sequence number is a cookie: it is whatever our SYN-ACK says. */
  readonly cookie?: boolean;
  /** Time between our first segment of the handshake and its answer. */
  readonly rttMs?: number;
}

/** One connection, and the peer that the test plays. */
export class Conversation {
  readonly host: TestHost;
  readonly irs: number;
  readonly peerPort: number;
  localPort: number;
  iss: number;
  listener: TcpListener | null = null;
  /** Events since they were last asked for. */
  events = 0;
  /** The peer's window field where a segment says nothing else. */
  win: number;
  /** Where the peer is in its stream: one past what it sent last in sequence. */
  peerNxt = 0;
  private readonly watch: Watch;
  private readonly options: ScenarioOptions;
  private user: TcpSocket | null = null;
  private written = 0;
  private readCount = 0;
  private lastTsVal = 0;

  constructor(host: TestHost, options: ScenarioOptions, peerPort: number) {
    this.host = host;
    this.options = options;
    this.peerPort = peerPort;
    this.localPort = LISTENING_PORT;
    this.iss = host.iss;
    this.irs = options.irs ?? 0;
    this.win = options.win ?? 65_535;
    this.watch = new Watch(
      host,
      options.mss === undefined ? 1_460 : options.mss,
      options.tcp?.minSegmentSize,
    );
    const before = host.onEmitted;
    host.onEmitted = (emitted) => {
      if (emitted.seg.destinationPort === peerPort) this.onEmitted(emitted);
      else before(emitted);
    };
  }

  get socket(): TcpSocket {
    if (this.user === null) throw new Error("the program has no socket yet");
    return this.user;
  }

  get now(): number {
    return this.host.now;
  }

  // The peer.

  /** Segments of the peer arrive, all in one poll. */
  receives(...arriving: Arriving[]): void {
    this.nothingMore();
    this.host.inject(...arriving.map((segment) => this.packet(segment)));
  }

  /** A segment arrives that the device has joined from segments of this size. */
  receivesJoined(segmentSize: number, joined: Arriving): void {
    this.nothingMore();
    this.host.device.injectJoined(this.packet(joined), segmentSize);
    this.host.run();
  }

  /** Segments of the peer arrive at a moment at which a timer expires, and are there first. */
  receivesAt(at: number, ...arriving: Arriving[]): void {
    this.nothingMore();
    this.host.device.inject(...arriving.map((segment) => this.packet(segment)));
    this.host.moveTo(at, () => this.now === at);
  }

  /** A packet that quotes a segment, or any other, arrives. */
  receivesPacket(packet: Uint8Array): void {
    this.nothingMore();
    this.host.note("< a packet");
    this.host.inject(packet);
  }

  /** The stack sends exactly these, in this order, and nothing else. */
  sends(...expected: Expected[]): void {
    for (const one of expected) this.sendsOne(one);
    this.nothingMore();
  }

  /** The stack sends nothing until a moment (since the scenario began), or for a while. */
  sendsNothing(time: { until?: number; for?: number } = {}): void {
    this.nothingMore();
    const until = time.until ?? this.now + (time.for ?? 0);
    this.host.moveTo(until, () => this.host.outbox.length > 0);
    this.nothingMore();
  }

  /** Time passes; what is sent meanwhile is for the next `sends` or `sent`. */
  passes(ms: number): void {
    this.host.moveTo(this.now + ms);
  }

  /** Time passes in which nobody polls, as where the processor has others to serve. */
  pauses(ms: number): void {
    this.host.sleep(ms);
  }

  /** Takes what was sent and not looked at. */
  sent(): Emitted[] {
    return this.host.outbox.splice(0);
  }

  // The program.

  /** The program writes so many bytes, and all of them are taken. */
  writes(count: number): void {
    this.nothingMore();
    const taken = this.write(count);
    if (taken !== count) this.host.fail(`write took ${taken} of ${count} bytes`);
  }

  /** The program writes; returns how many bytes were taken. */
  write(count: number): number {
    const taken = this.socket.write(bytesFrom(ourByte, this.written, count));
    this.written += taken;
    this.watch.written = this.written;
    this.host.note(`  write(${count}) = ${taken}`);
    this.host.run();
    return taken;
  }

  /** The program consumes all that has arrived, `count` bytes. */
  consumes(count: number): void {
    const got = this.socket.consume((_bytes, _offset, length) => length);
    this.readCount += Math.max(got, 0);
    this.watch.read = this.readCount;
    this.host.note(`  consume() = ${got}`);
    if (got !== count) this.host.fail(`consume took ${got} of ${count} bytes`);
    this.host.run();
  }

  /** From now on the program takes what arrives at once, at most so many bytes of each piece, and checks them. */
  takesAtOnce(most = Number.POSITIVE_INFINITY, afterwards = () => {}): void {
    this.socket.consumer = (bytes, offset, length) => {
      const count = Math.min(length, most);
      this.host.note(`  is shown ${length}, takes ${count}`);
      const expected = bytesFrom(theirByte, this.readCount, count);
      for (let i = 0; i < count; i++) {
        if (bytes[offset + i] !== expected[i]) this.host.fail(`byte ${i} shown is ${bytes[offset + i]}`);
      }
      this.readCount += count;
      this.watch.read = this.readCount;
      afterwards();
      return count;
    };
  }

  /** Bytes that the program has taken in all. */
  get taken(): number {
    return this.readCount;
  }

  /** The program reads exactly these bytes: a number of the peer's stream, or these characters. */
  reads(what: number | string): void {
    const count = typeof what === "number" ? what : what.length;
    const target = new Uint8Array(count + 1);
    let got = 0;
    if (count > 0) got = this.socket.read(target, 0, count);
    const expected =
      typeof what === "number" ? bytesFrom(theirByte, this.readCount, count) : new TextEncoder().encode(what);
    this.readCount += Math.max(got, 0);
    this.watch.read = this.readCount;
    this.host.note(`  read(${count}) = ${got}`);
    if (got !== count) this.host.fail(`read gave ${got} of ${count} bytes`);
    for (let i = 0; i < count; i++) {
      if (target[i] !== expected[i]) this.host.fail(`byte ${i} read is ${target[i]}, not ${expected[i]}`);
    }
    this.host.run();
  }

  /** There is nothing to read now, and the stream goes on. */
  readsNothing(): void {
    const got = this.socket.read(new Uint8Array(1));
    if (got !== 0) this.host.fail(`read gave ${got}, not 0`);
  }

  /** Nothing to read, whether or not the stream has ended. */
  readsNothingNew(): void {
    if (this.socket.readableBytes !== 0)
      this.host.fail(`${this.socket.readableBytes} bytes are there to read`);
  }

  readsEnd(): void {
    const got = this.socket.read(new Uint8Array(1));
    if (got !== END_OF_STREAM) this.host.fail(`read gave ${got}, not the end of the stream`);
  }

  readFails(code: ErrorCode): void {
    this.throws(code, () => this.socket.read(new Uint8Array(1)));
  }

  writeFails(code: ErrorCode): void {
    this.throws(code, () => this.socket.write(new Uint8Array(1)));
  }

  shutdown(): void {
    this.calls("shutdown");
  }

  close(): void {
    this.calls("close");
  }

  abort(): void {
    this.calls("abort");
  }

  /** The program takes this connection from the listener. */
  accepts(): void {
    const socket = this.listener?.accept() ?? null;
    if (socket === null) this.host.fail("there is nothing to accept");
    if (socket.remotePort !== this.peerPort) this.host.fail(`accepted another: port ${socket.remotePort}`);
    this.use(socket);
  }

  acceptsNothing(): void {
    const socket = this.listener?.accept() ?? null;
    if (socket !== null) this.host.fail(`accepted a connection from port ${socket.remotePort}`);
  }

  use(socket: TcpSocket): void {
    this.user = socket;
    this.localPort = socket.localPort;
    socket.handler = (events) => {
      this.events |= events;
    };
  }

  // What can be seen.

  /** The state of the connection, "CLOSED" where the stack knows none. */
  is(state: TcpState): void {
    const actual = this.user?.state ?? this.host.stateOf(this.localPort, this.peerPort);
    if (actual !== state) this.host.fail(`the state is ${actual}, not ${state}`);
  }

  /** The connection ended with this error. */
  failedWith(code: ErrorCode | null): void {
    this.is("CLOSED");
    const actual = this.socket.error?.code ?? null;
    if (actual !== code) this.host.fail(`the error is ${actual}, not ${code}`);
  }

  /** Exactly these events were told since the last time. */
  wasToldOf(events: number): void {
    const told = this.events;
    this.events = 0;
    if (told !== events) this.host.fail(`told of events ${told}, not of ${events}`);
  }

  /** The connection's control block, for what no segment shows. */
  get tcb(): Tcb | null {
    return this.host.findTcb(this.localPort, this.peerPort);
  }

  /** Another peer's connection to the same stack. */
  from(peerPort: number, options: ScenarioOptions = {}): Conversation {
    const other = new Conversation(this.host, { ...this.options, ...options }, peerPort);
    other.listener = this.listener;
    return other;
  }

  /** A peer's segment as a packet. */
  packet(spec: Arriving): Uint8Array {
    const flags = parseFlags(spec.flags ?? ".");
    const length = lengthOf(spec);
    const seq = spec.seq ?? this.peerNxt;
    const ack = spec.ack ?? this.watch.sndNxt;
    const payload =
      spec.data === undefined
        ? bytesFrom(theirByte, seq - 1 + (flags & SYN ? 1 : 0), length)
        : new TextEncoder().encode(spec.data);
    const win = spec.win ?? this.win;
    const end = seq + length + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0);
    if (seq <= this.peerNxt && end > this.peerNxt && !(flags & RST)) this.peerNxt = end;
    const fields: Partial<TcpSegment> = {
      sourcePort: this.peerPort,
      destinationPort: this.localPort,
      seq: (this.irs + seq) | 0,
      ack: flags & ACK ? (this.iss + ack) | 0 : 0,
      flags,
      window: win,
      urgent: spec.urgent ?? 0,
      mss: spec.mss ?? 0,
      windowScale: spec.wscale ?? -1,
    };
    if (spec.sackPermitted) fields.sackPermitted = true;
    if (spec.sack !== undefined) {
      const edges = spec.sack.flat().map((edge) => (this.iss + edge) | 0);
      Object.assign(fields, { sackCount: spec.sack.length, sackEdges: Int32Array.from(edges) });
    }
    const ts = spec.ts === undefined ? this.usualTimestamps() : spec.ts;
    if (ts !== null) Object.assign(fields, { hasTimestamp: true, tsVal: ts[0] | 0, tsEcr: ts[1] | 0 });
    const packet = tcpPacket({ from: PEER_ADDRESS, to: OUR_ADDRESS }, fields, payload);
    if (spec.tos !== undefined) setTos(packet, spec.tos);
    if (spec.badChecksum) packet[packet.length - 1] ^= 1;
    this.watch.onPeer(flags, ack, win, spec.wscale ?? -1);
    this.host.note(`< ${formatRelative(packet, this.irs, this.iss)}`);
    return packet;
  }

  /** The peer's clock, and what it has heard of ours last. */
  private usualTimestamps(): readonly [number, number] | null {
    const { peerClock } = this.options;
    return peerClock === undefined ? null : [peerClock + Math.floor(this.host.age), this.lastTsVal];
  }

  /** The peer's SYN or SYN-ACK with its options. */
  syn(flags: "S" | "S."): Arriving {
    const { mss = 1_460, wscale = null } = this.options;
    return {
      flags: this.options.peerEcn ? (flags === "S" ? "SEW" : "SE.") : flags,
      seq: 0,
      ...(mss === null ? {} : { mss }),
      ...(this.options.peerSack ? { sackPermitted: true } : {}),
      ...(wscale === null ? {} : { wscale }),
    };
  }

  /** Nothing was sent that no one has looked at. */
  nothingMore(): void {
    const [more] = this.host.outbox;
    if (more !== undefined) this.host.fail(`sent, and not expected: ${this.format(more)}`);
  }

  private sendsOne(expected: Expected): void {
    const host: TestHost = this.host;
    const at = expected.after === undefined ? expected.at : this.now + expected.after;
    if (at !== undefined && host.outbox.length === 0) host.moveTo(at, () => host.outbox.length > 0);
    const actual = host.outbox.shift();
    if (actual === undefined) host.fail(`nothing was sent\nexpected: ${formatExpected(expected)}`);
    const problem = this.difference(actual, expected, at);
    if (problem === null) return;
    host.fail(`${problem}\nexpected: ${formatExpected(expected)}\nsent:     ${this.format(actual)}`);
  }

  private difference(actual: Emitted, expected: Expected, at: number | undefined): string | null {
    const { seg } = actual;
    if (seg.destinationPort !== this.peerPort) return `sent to port ${seg.destinationPort}`;
    const time = this.host.sinceStart(actual.at);
    if (at !== undefined && Math.abs(time - at) > 1e-6) return `sent at ${time} ms, not at ${at}`;
    const flags = formatFlags(seg.flags);
    const length = lengthOf(expected);
    if (expected.flags !== undefined) {
      if (parseFlags(expected.flags) !== seg.flags) return `flags [${flags}]`;
    } else if (flags !== "." && (flags !== "P." || length === 0)) {
      return `flags [${flags}]`;
    }
    const seq = (seg.seq - this.iss) | 0;
    const expectedSeq = expected.seq ?? this.watch.sndNxtBefore(actual);
    if (expected.rawSeq !== undefined ? seg.seq !== expected.rawSeq : seq !== expectedSeq)
      return `seq ${seq}`;
    const ack = (seg.ack - this.irs) | 0;
    if (expected.ack !== undefined && (!(seg.flags & ACK) || ack !== expected.ack)) return `ack ${ack}`;
    if (!(seg.flags & ACK) && seg.ack !== 0) return `ack field ${seg.ack} without the flag`;
    if (expected.win !== undefined && seg.window !== expected.win) return `win ${seg.window}`;
    if (seg.payloadLength !== length) return `length ${seg.payloadLength}`;
    const ecn = ipv4Tos(actual.bytes, 0) & ECN_MASK;
    if (expected.ecn !== undefined && ecn !== expected.ecn) return `ECN ${ecn}`;
    if (expected.cutInto !== undefined && actual.segmentSize !== expected.cutInto) {
      return `to be cut into ${actual.segmentSize}`;
    }
    if (expected.mss !== undefined && seg.mss !== (expected.mss ?? 0)) return `mss ${seg.mss}`;
    if (expected.wscale !== undefined && seg.windowScale !== (expected.wscale ?? -1)) {
      return `wscale ${seg.windowScale}`;
    }
    const sack = Array.from({ length: seg.sackCount }, (_, i) =>
      [0, 1].map((k) => (seg.sackEdges[2 * i + k] - this.irs) | 0),
    );
    if (expected.sack !== undefined && JSON.stringify(expected.sack) !== JSON.stringify(sack)) {
      return `sack ${JSON.stringify(sack)}`;
    }
    if (expected.sackPermitted !== undefined && seg.sackPermitted !== expected.sackPermitted) {
      return `sackPermitted ${seg.sackPermitted}`;
    }
    if (
      expected.ts !== undefined &&
      `${expected.ts}` !== `${seg.hasTimestamp ? [seg.tsVal, seg.tsEcr] : null}`
    ) {
      return `ts ${seg.hasTimestamp ? `${seg.tsVal} ${seg.tsEcr}` : "none"}`;
    }
    return null;
  }

  private calls(name: "shutdown" | "close" | "abort"): void {
    this.nothingMore();
    this.host.note(`  ${name}()`);
    this.socket[name]();
    this.host.run();
  }

  private throws(code: ErrorCode, action: () => unknown): void {
    let result: unknown;
    try {
      result = action();
    } catch (error) {
      if (error instanceof StackError && error.code === code) return;
      throw error;
    }
    this.host.fail(`returned ${result} instead of failing with ${code}`);
  }

  private onEmitted(emitted: Emitted): void {
    if (this.options.cookie && emitted.seg.flags & SYN) this.iss = emitted.seg.seq;
    this.host.note(`> ${this.format(emitted)}`);
    this.watch.onEmitted(emitted, this.iss, this.irs);
    this.lastTsVal = emitted.seg.tsVal;
  }

  private format(emitted: Emitted): string {
    return formatRelative(emitted.bytes, this.iss, this.irs);
  }
}

function setTos(packet: Uint8Array, tos: number): void {
  // The header's checksum is a sum, so what is added to one byte is taken off it.
  let sum = ((packet[10] << 8) | packet[11]) - tos;
  if (sum < 0) sum += 0xffff;
  packet[1] = tos;
  packet[10] = sum >> 8;
  packet[11] = sum & 0xff;
}
