import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { Frame } from "../../src/device.ts";
import { CONNECTED, END_OF_STREAM, READABLE, Stack, type TcpSocket } from "../../src/index.ts";
import { seededRandom } from "../../src/random.ts";
import { IpAddress, parseAddress } from "../../src/wire/ip-address.ts";
import { ipv4HeaderLength, PROTOCOL_TCP, readIpv4Source, writeIpv4 } from "../../src/wire/ipv4.ts";
import {
  ACK,
  FIN,
  finishTcpChecksum,
  PSH,
  parseTcp,
  RST,
  SYN,
  TcpSegment,
  writeTcp,
} from "../../src/wire/tcp.ts";

/**
 * A server with 100,000 peers that connect and then do no more: they say nothing, have closed their side, keep their window
 * shut, or take an answer and do not acknowledge it. What they may have is limited, and a client that means it is served.
 */

const PEERS = 100_000;
const TAKERS = 200;
const PORT = 80;
const SERVER = parseAddress("10.0.0.1");
const ANSWER = 8_192;
const PAGES = 512;
const OPEN_WINDOW = 65_535;

const SILENT = 0;
const HALF_CLOSED = 1;
const SHUT = 2;
const TAKER = 3;

/** What peer number `i` is like; the takers come when the others are there. */
function kindOf(i: number): number {
  if (i >= PEERS) return TAKER;
  return i % 5 < 2 ? SILENT : i % 5 < 4 ? HALF_CLOSED : SHUT;
}

/** All the peers, played by one device: numbers stand for address and port. */
class Crowd {
  readonly device;
  readonly theirs;
  resets = 0;
  private readonly received = new Frame(new Uint8Array(0));
  private readonly out = new TcpSegment();
  private readonly in = new TcpSegment();
  private readonly source = new IpAddress(4, 0, 0, 0xffff, 0);

  constructor() {
    [this.theirs, this.device] = memoryPair();
  }

  connects(i: number): void {
    this.send(i, SYN, 100, 0, kindOf(i) === SHUT ? 0 : OPEN_WINDOW, 0);
  }

  /** Answers what has come, as each kind does; returns whether anything had. */
  answers(): boolean {
    let any = false;
    while (this.device.receive(this.received)) {
      const { bytes, offset, length } = this.received;
      const header = ipv4HeaderLength(bytes, offset);
      parseTcp(bytes, offset + header, length - header, this.in);
      readIpv4Source(bytes, offset, this.source);
      const to = (bytes[offset + 18] << 8) | bytes[offset + 19];
      this.answer((to - 0x100) * 50_000 + this.in.destinationPort - 1_024);
      any = true;
    }
    return any;
  }

  private answer(i: number): void {
    const { flags, seq, payloadLength } = this.in;
    const kind = kindOf(i);
    if (flags & RST) this.resets++;
    else if (flags & SYN) {
      const window = kind === SHUT ? 0 : OPEN_WINDOW;
      const text = kind === SHUT || kind === TAKER ? 1 : 0;
      this.send(i, ACK | PSH | (kind === HALF_CLOSED ? FIN : 0), 101, (seq + 1) | 0, window, text);
    } else if (kind === SHUT && payloadLength === 1) {
      // A window probe: it stays shut.
      this.send(i, ACK, 102, seq, 0, 0);
    }
  }

  private send(i: number, flags: number, seq: number, ack: number, window: number, text: number): void {
    const frame = this.device.transmit(41);
    if (frame === null) throw new Error("the device is full");
    const { out } = this;
    out.sourcePort = 1_024 + (i % 50_000);
    out.destinationPort = PORT;
    Object.assign(out, { flags, seq, ack, window });
    const { bytes, offset } = frame;
    const source = new IpAddress(4, 0, 0, 0xffff, 0x0a000100 + Math.floor(i / 50_000));
    writeIpv4(bytes, offset, 40 + text, PROTOCOL_TCP, 64, source, SERVER);
    const header = writeTcp(bytes, offset + 20, out);
    if (text > 0) bytes[offset + 20 + header] = 0x3f;
    finishTcpChecksum(bytes, offset + 20, header + text, source, SERVER, true);
    frame.length = 40 + text;
    this.device.commit(frame);
  }
}

test("100,000 of them: memory stays within its limits, and a client is served", () => {
  const crowd = new Crowd();
  const [ours, friends] = memoryPair();
  const stack = new Stack({
    random: seededRandom(1),
    memory: PAGES << 14,
    maxSockets: PEERS + TAKERS + 8,
    tcp: { stallUnderPressureMs: 2_000 },
  });
  stack.addInterface({ device: crowd.theirs, addresses: ["10.0.0.1/8"] });
  stack.addInterface({ device: ours, addresses: ["192.168.69.1/24"] });
  const friend = new Stack({ random: seededRandom(2), memory: 1 << 20, maxSockets: 16 });
  friend.addInterface({ device: friends, addresses: ["192.168.69.2/24"] });
  const { context } = stack.sockets;
  const { pool } = context;
  let now = 1_000;
  let fewestFree: number = PAGES;

  serve(stack);
  const poll = () => {
    for (let again = true, rounds = 0; again && rounds < 50; rounds++) {
      again = stack.poll(now);
      if (friend.poll(now)) again = true;
      if (crowd.answers()) again = true;
      fewestFree = Math.min(fewestFree, pool.freePages);
    }
  };
  const passes = (ms: number) => {
    for (const until = now + ms; now < until; ) {
      now = Math.min(until, Math.max(Math.min(stack.nextDeadline(now), friend.nextDeadline(now)), now + 20));
      poll();
    }
  };
  const connect = (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      crowd.connects(i);
      if (i % 64 === 63) poll();
    }
    poll();
  };
  const before = heap();

  connect(0, PEERS);
  expect(stack.sockets.size).toBe(PEERS + 1);
  expect(stack.stats.tcpPassiveOpens).toBe(PEERS);
  // Each costs its control block; text was put by for as many with a shut window as half of the memory is for.
  expect((heap() - before) / PEERS).toBeLessThan(4_000);
  expect(pool.freePages).toBe(PAGES / 2);
  passes(500);
  expect(pool.freePages).toBe(PAGES / 2);
  expect(download(friend, passes)).toBeLessThan(1_000);

  // Now all that writers may have is taken.
  connect(PEERS, PEERS + TAKERS);
  expect(pool.freePages).toBe(pool.reserve);
  expect(stack.stats.tcpStalledDropped).toBe(0);
  expect(download(friend, passes)).toBeLessThan(10_000);
  expect(stack.stats.tcpStalledDropped).toBeGreaterThan(0);
  expect(crowd.resets).toBe(stack.stats.tcpStalledDropped);
  expect(fewestFree).toBeGreaterThanOrEqual(pool.reserve - 1);
  expect(stack.sockets.size).toBeLessThanOrEqual(PEERS + TAKERS + 8);

  // No more sockets than there may be: a SYN is dropped, and counted.
  const room = PEERS + TAKERS + 8 - stack.sockets.size;
  for (let i = 0; i < room; i++) stack.sockets.connect({ address: "10.0.2.1", port: 1 + i });
  connect(PEERS + TAKERS, PEERS + TAKERS + 5);
  expect(stack.stats.tcpListenOverflow).toBe(5);
}, 60_000);

/** Answers each that asks, and says nothing to the others. */
function serve(stack: Stack): void {
  const listener = stack.sockets.listen({ port: PORT });
  const answer = new Uint8Array(ANSWER).fill(0x21);
  listener.handler = () => {
    for (let socket = listener.accept(); socket !== null; socket = listener.accept()) attend(socket);
  };
  const question = new Uint8Array(16);
  function attend(socket: TcpSocket): void {
    let left = 0;
    const proceed = () => {
      if (socket.isClosed) return;
      const got = socket.read(question);
      if (got > 0) left = ANSWER;
      if (got === END_OF_STREAM || left === 0) return;
      left -= socket.write(answer, 0, left);
    };
    socket.handler = proceed;
    proceed();
  }
}

/** A client asks, and reads the answer; returns how many ms it took. */
function download(friend: Stack, passes: (ms: number) => void): number {
  const socket = friend.sockets.connect({ address: "192.168.69.1", port: PORT });
  const target = new Uint8Array(ANSWER);
  let got = 0;
  socket.handler = (events) => {
    if (events & CONNECTED) socket.write(new Uint8Array([0x3f]));
    if (events & READABLE) got += Math.max(socket.read(target), 0);
  };
  let ms = 0;
  for (; got < ANSWER && ms < 60_000; ms += 100) passes(100);
  expect(got).toBe(ANSWER);
  socket.close();
  passes(100);
  return ms;
}

function heap(): number {
  Bun.gc(true);
  const { heapSize, extraMemorySize } = heapStats();
  return heapSize + extraMemorySize;
}
