import { describe, expect, test } from "bun:test";
import {
  TcpSettings as Defaults,
  Stack,
  StackError,
  type TcpSettings,
  WRITABLE,
} from "../../../src/index.ts";
import {
  type Conversation,
  established,
  listening,
  type ScenarioOptions,
  scenario,
  segments,
} from "../../support/tcp.ts";

/** Buffers, and with them windows, that grow with the path: RFC 7323 1.1 and 2. */

const KIB = 1_024;
const TUNED: Partial<TcpSettings> = {
  receiveBuffer: 64 * KIB,
  maxReceiveBuffer: KIB * KIB,
  sendBuffer: 20_000,
  maxSendBuffer: 200_000,
  timestamps: true,
};

/** A connection with a round-trip time of 50 ms, whose buffers may grow. */
function tuned(options: ScenarioOptions = {}): Conversation {
  const tcp = { ...TUNED, ...options.tcp };
  const clock = tcp.timestamps ? { peerClock: 0 } : {};
  return established({ rttMs: 50, memory: 16 * KIB * KIB, wscale: 0, ...clock, ...options, tcp });
}

/** So many bytes arrive in a round-trip time, half of them a ms later; the program reads what it wants. */
function roundTrip(s: Conversation, bytes: number, reads = true): void {
  const half = bytes / 2;
  for (const pause of [s.now === 0 ? 0 : 49, 1]) {
    s.passes(pause);
    s.sent();
    const count = Math.ceil(half / 1_448);
    arrive(s, count);
    if (reads) s.reads(s.socket.readableBytes);
    s.sent();
  }
}

/** So many segments of the peer, one after the other; it has heard of what we sent a round-trip time ago. */
function arrive(s: Conversation, count: number, rttMs = 50): void {
  const clock = Math.floor(s.host.age);
  const ts = s.tcb?.timestamps ? ([clock, Math.floor(clock - rttMs)] as const) : null;
  for (const segment of segments(count, 1_448, s.peerNxt)) {
    s.receives({ ...segment, ts });
    s.sent();
  }
}

/** Twelve times the program writes all it can, and a round-trip time later all that is under way is acknowledged. */
function writesOften(s: Conversation, rttMs: number): void {
  for (let i = 0; i < 12; i++) {
    s.write(300_000);
    s.sent();
    s.passes(rttMs);
    s.receives({});
    s.sent();
  }
}

const limits = (s: Conversation) => ({
  receive: s.tcb?.receiveBuffer.limit ?? 0,
  send: s.tcb?.sendBuffer.limit ?? 0,
});

describe("the receive buffer", () => {
  scenario("grows to four times what the program has taken in a round-trip time, and a step ahead", () => {
    const s = tuned();
    for (let i = 0; i < 4; i++) roundTrip(s, 8 * KIB);
    expect(limits(s).receive).toBe(64 * KIB);
    for (let i = 0; i < 4; i++) roundTrip(s, 40 * KIB);
    const { receive } = limits(s);
    expect(receive).toBeGreaterThan(160 * KIB);
    expect(receive).toBeLessThan(600 * KIB);
    // The peer is offered it with the next ACK.
    expect(s.socket.info().rcvWnd).toBeGreaterThan(receive - 30_000);
    // And no more, as long as no more comes.
    const { tcpReceiveBufferGrown } = s.host.stack.stats;
    expect(tcpReceiveBufferGrown).toBeGreaterThan(0);
    for (let i = 0; i < 10; i++) roundTrip(s, 40 * KIB);
    expect(limits(s).receive).toBe(receive);
    expect(s.host.stack.stats).toMatchObject({ tcpReceiveBufferGrown });
  });

  scenario("grows as fast as a peer in slow start, up to the maximum", () => {
    const s = tuned();
    let held = 0;
    for (let bytes = 15 * KIB; bytes < 600 * KIB; bytes *= 2) {
      if (s.socket.info().rcvWnd < bytes) held++;
      roundTrip(s, Math.min(bytes, s.socket.info().rcvWnd - 3_000));
    }
    // Only the first window was too small, by the time that it had shown to be.
    expect(held).toBeLessThanOrEqual(1);
    expect(limits(s).receive).toBe(KIB * KIB);
  });

  scenario(
    "does not grow for a peer near by whose packets wait in a queue: that would only be longer",
    () => {
      const s = tuned({ rttMs: 0.5 });
      for (let i = 0; i < 8; i++) roundTrip(s, 40 * KIB);
      expect(limits(s).receive).toBe(64 * KIB);
    },
  );

  scenario("does not grow for a program that does not read", () => {
    const s = tuned();
    roundTrip(s, 60 * KIB, false);
    for (let i = 0; i < 5; i++) {
      s.passes(50);
      s.reads(2 * KIB);
      s.sent();
      arrive(s, 1);
    }
    expect(limits(s).receive).toBe(64 * KIB);
  });

  scenario("nor where a window's worth comes in a longer time", () => {
    const s = tuned({ tcp: { timestamps: false } });
    for (let i = 0; i < 300; i++) {
      s.passes(50);
      s.sent();
      arrive(s, 2);
      s.reads(s.socket.readableBytes);
      s.sent();
    }
    expect(s.taken).toBeGreaterThan(5 * 64 * KIB);
    expect(limits(s).receive).toBe(64 * KIB);
  });

  scenario("nor for a peer beside us, who needs no large window", () => {
    const s = tuned({ rttMs: 0.2 });
    for (let i = 0; i < 50; i++) {
      s.passes(0.4);
      s.sent();
      arrive(s, 30, 0.2);
      s.reads(s.socket.readableBytes);
      s.sent();
    }
    expect(limits(s).receive).toBe(64 * KIB);
  });

  scenario("grows without timestamps as well: a round is over beyond the window it began with", () => {
    const s = tuned({ tcp: { timestamps: false } });
    for (let i = 0; i < 8; i++) roundTrip(s, 50 * KIB);
    expect(limits(s).receive).toBeGreaterThan(100 * KIB);
  });

  scenario("leaves the greater part of a pool of which much is used to others", () => {
    const s = tuned();
    s.host.leavePages(16);
    for (let i = 0; i < 8; i++) roundTrip(s, 50 * KIB);
    // A quarter of what is left, and the text that is there.
    expect(limits(s).receive).toBeLessThan(64 * KIB + 50 * KIB);
  });

  scenario("without a window scale it stays below what the field can say", () => {
    const s = tuned({ wscale: null, tcp: { receiveBuffer: 40 * KIB } });
    for (let i = 0; i < 8; i++) roundTrip(s, 30 * KIB);
    expect(limits(s).receive).toBe(0xffff);
  });

  scenario("is as large as a program has said, where it has said so", () => {
    const s = tuned({ tcp: { receiveBuffer: 64 * KIB, maxReceiveBuffer: 64 * KIB } });
    for (let i = 0; i < 8; i++) roundTrip(s, 50 * KIB);
    expect(limits(s).receive).toBe(64 * KIB);
  });

  scenario("the scale of the SYN is that of the largest window", () => {
    for (const [most, shift] of [
      [64 * KIB, 1],
      [KIB * KIB, 5],
      [2 ** 30, 14],
    ]) {
      const s = listening({ tcp: { receiveBuffer: 64 * KIB, maxReceiveBuffer: most } });
      s.receives({ ...s.syn("S"), wscale: 7 });
      s.sends({ flags: "S.", wscale: shift });
    }
  });

  scenario("the first window is not lost in the units of a large scale", () => {
    const s = listening({ tcp: { receiveBuffer: 1_000, maxReceiveBuffer: 2 ** 30 } });
    s.receives({ ...s.syn("S"), wscale: 7 });
    s.sends({ flags: "S.", wscale: 14 });
    s.receives({ seq: 1, ack: 1 });
    s.accepts();
    s.receives({ length: 1_000 }, { length: 1_000 });
    const [ack] = s.sent();
    expect(ack.seg.window << 14).toBeGreaterThanOrEqual(2 ** 15);
  });
});

describe("the send buffer", () => {
  scenario("grows when half of it is under way: what follows must be there when that is acknowledged", () => {
    const s = tuned();
    expect(s.write(100_000)).toBe(20_000);
    s.sent();
    s.events = 0;
    s.passes(50);
    s.receives({ ack: 1_449 });
    s.sent();
    // It had ten segments under way.
    expect(limits(s).send).toBe(43_440);
    s.wasToldOf(WRITABLE);
    expect(s.host.stack.stats.tcpSendBufferGrown).toBe(1);
  });

  scenario("up to the maximum", () => {
    const s = tuned({ win: 65_535, wscale: 4 });
    for (let i = 0; i < 100; i++) {
      s.write(20_000);
      s.sent();
      s.passes(5);
      s.receives({ ack: s.socket.info().bytesSent + 1 + 2 * 1_448 });
      s.sent();
    }
    expect(limits(s).send).toBe(200_000);
  });

  scenario("not where the peer's window is what holds text back", () => {
    const s = tuned({ win: 5_000 });
    writesOften(s, 50);
    expect(limits(s).send).toBe(20_000);
  });

  scenario("nor for a peer beside us", () => {
    const s = tuned({ rttMs: 0.3 });
    writesOften(s, 0.3);
    expect(limits(s).send).toBe(20_000);
    // What is under way waits in a queue now, and more would only wait longer.
    writesOften(s, 5);
    expect(limits(s).send).toBe(20_000);
  });

  scenario("nor beyond what writers may take of the pool", () => {
    const s = tuned();
    // A quarter of the pool's 1,024 pages is not for writers.
    s.host.leavePages(256 + 4);
    writesOften(s, 50);
    expect(limits(s).send).toBeLessThan(100_000);
  });

  scenario("a program is told that it may write when half of the buffer is free", () => {
    const s = tuned({ tcp: { sendBuffer: 20_000, maxSendBuffer: 20_000 } });
    s.events = 0;
    s.write(100_000);
    s.sent();
    s.receives({ ack: 9_999 });
    s.sent();
    s.wasToldOf(0);
    s.receives({ ack: 10_001 });
    s.wasToldOf(WRITABLE);
    s.sent();
  });
});

describe("settings", () => {
  const settings = (tcp: Partial<TcpSettings>) =>
    new Stack({ tcp, memory: KIB * KIB, maxSockets: 4 }).sockets.context.tcp;

  test("who sets a size gets that size; who sets a maximum as well, a buffer that grows", () => {
    const { receiveBuffer, maxReceiveBuffer, maxSendBuffer } = new Defaults();
    expect(maxReceiveBuffer).toBeGreaterThan(receiveBuffer);
    expect(settings({})).toMatchObject({ receiveBuffer, maxReceiveBuffer });
    expect(settings({ receiveBuffer: 5_000 })).toMatchObject({ maxReceiveBuffer: 5_000, maxSendBuffer });
    expect(settings({ sendBuffer: 5_000 })).toMatchObject({ maxReceiveBuffer, maxSendBuffer: 5_000 });
    expect(settings({ sendBuffer: 5_000, maxSendBuffer: 9_000 })).toMatchObject({
      sendBuffer: 5_000,
      maxSendBuffer: 9_000,
    });
    expect(settings({ maxReceiveBuffer: 5_000 })).toMatchObject({ receiveBuffer: 5_000 });
  });

  test.each([0, -1, 1.5, 2 ** 30 + 1, Number.NaN])("a buffer of %p bytes is refused", (bytes) => {
    for (const name of ["receiveBuffer", "maxReceiveBuffer", "sendBuffer", "maxSendBuffer"]) {
      expect(() => settings({ [name]: bytes })).toThrow(StackError);
    }
  });
});

describe("memory", () => {
  scenario("a connection whose buffers have grown holds no page when it is idle", () => {
    const s = tuned();
    for (let i = 0; i < 4; i++) roundTrip(s, 50 * KIB);
    expect(limits(s).receive).toBeGreaterThan(64 * KIB);
    const { pool } = s.host.stack.sockets.context;
    expect(pool.freePages).toBe(pool.pageCount);
  });
});
