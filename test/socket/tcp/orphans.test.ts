import { describe, expect, test } from "bun:test";
import { StackError, TcpSettings } from "../../../src/index.ts";
import { seededRandom } from "../../../src/random.ts";
import { tcpSettings } from "../../../src/socket/tcp/settings.ts";
import { Stack } from "../../../src/stack.ts";
import { ACK, FIN, RST, SYN } from "../../../src/wire/tcp.ts";
import { tcpPacket } from "../../support/packets.ts";
import {
  type Conversation,
  established,
  finWait1,
  finWait2,
  scenario,
  synReceived,
} from "../../support/tcp.ts";
import { decode } from "../../support/tcp-segment.ts";
import { TestDevice } from "../../support/test-device.ts";

/** Connections that the program has closed, and whose peers do not get on: their time, and their number. */

/** The program has written 100 bytes and closed; the peer has acknowledged nothing. */
function closed(options = {}): Conversation {
  const s = established(options);
  s.writes(100);
  s.sent();
  s.close();
  s.sent();
  s.host.startClock();
  return s;
}

const orphansOf = (s: Conversation) => s.host.stack.sockets.orphans;

describe("orphanTimeoutMs", () => {
  scenario("a peer that acknowledges nothing has that long, and is reset then", () => {
    const s = closed({ tcp: { orphanTimeoutMs: 10_000 } });
    expect(orphansOf(s)).toBe(1);
    s.passes(9_999);
    expect(s.sent().every(({ seg }) => (seg.flags & RST) === 0)).toBe(true);
    s.is("FIN_WAIT_1");
    s.passes(1);
    s.sends({ flags: "R.", seq: 102, ack: 1 });
    s.failedWith("ETIMEDOUT");
    expect(s.socket.unacknowledgedBytes).toBe(100);
    expect(s.socket.error?.message).toContain("bytes that it has not acknowledged: 100");
    expect(s.host.stack.stats.tcpOrphansTimedOut).toBe(1);
    expect(orphansOf(s)).toBe(0);
  });

  scenario("each ACK of something new gives it that time anew", () => {
    const s = closed({ tcp: { orphanTimeoutMs: 10_000 } });
    for (let acked = 10; acked <= 90; acked += 10) {
      s.passes(9_000);
      s.sent();
      s.receives({ ack: 1 + acked });
    }
    s.is("FIN_WAIT_1");
    s.passes(9_999);
    s.is("FIN_WAIT_1");
    s.passes(1);
    s.failedWith("ETIMEDOUT");
    expect(s.socket.unacknowledgedBytes).toBe(10);
  });

  scenario("an ACK of nothing new does not, nor does an answer to a window probe", () => {
    const s = closed({ tcp: { orphanTimeoutMs: 10_000 } });
    s.receives({ ack: 51, win: 0 });
    for (let i = 0; i < 99; i++) {
      s.passes(100);
      s.sent();
      s.receives({ ack: 51, win: 0 });
    }
    s.is("FIN_WAIT_1");
    s.passes(100);
    s.failedWith("ETIMEDOUT");
    expect(s.socket.unacknowledgedBytes).toBe(50);
  });

  scenario("holds in LAST-ACK and CLOSING as well", () => {
    for (const state of ["LAST_ACK", "CLOSING"] as const) {
      const s = established({ tcp: { orphanTimeoutMs: 10_000 } });
      if (state === "CLOSING") s.close();
      s.sent();
      s.receives({ flags: "F.", seq: 1, ack: 1 });
      s.sent();
      s.close();
      s.sent();
      s.host.startClock();
      s.is(state);
      s.passes(9_999);
      s.is(state);
      s.passes(1);
      s.failedWith("ETIMEDOUT");
    }
  });

  scenario("does not hold for a program that still reads", () => {
    const s = finWait1({ tcp: { orphanTimeoutMs: 10_000 } });
    s.passes(100_000);
    s.is("FIN_WAIT_1");
    expect(orphansOf(s)).toBe(0);
    const half = finWait2({ tcp: { orphanTimeoutMs: 10_000, finWait2Ms: 10_000 } });
    half.passes(10_000_000);
    half.is("FIN_WAIT_2");
  });

  scenario("the minute of FIN-WAIT-2 takes its place when the FIN is acknowledged", () => {
    const s = closed({ tcp: { orphanTimeoutMs: 10_000, finWait2Ms: 20_000 } });
    s.receives({ ack: 102 });
    s.is("FIN_WAIT_2");
    s.sendsNothing({ until: 19_999 });
    s.is("FIN_WAIT_2");
    expect(orphansOf(s)).toBe(1);
    s.sendsNothing({ until: 20_000 });
    s.failedWith(null);
    expect(orphansOf(s)).toBe(0);
  });

  scenario("begins anew where CLOSE came before the handshake was complete", () => {
    const s = synReceived({ passive: false, tcp: { orphanTimeoutMs: 10_000 } });
    s.writes(10);
    s.close();
    expect(orphansOf(s)).toBe(1);
    s.passes(5_000);
    s.sent();
    s.receives({ seq: 1, ack: 1 });
    s.is("FIN_WAIT_1");
    s.passes(9_999);
    s.sent();
    s.is("FIN_WAIT_1");
    s.passes(1);
    s.failedWith("ETIMEDOUT");
  });

  scenario("holds where the program has shut down and says that it only drains", () => {
    const s = established({ tcp: { orphanTimeoutMs: 10_000 } });
    s.writes(100);
    s.sent();
    s.shutdown();
    s.socket.orphan();
    s.sent();
    s.host.startClock();
    s.receives({ length: 10, ack: 1 });
    s.reads(10);
    s.passes(9_999);
    s.is("FIN_WAIT_1");
    s.passes(1);
    s.failedWith("ETIMEDOUT");
  });
});

describe("maxOrphans", () => {
  test("the one that has not got on for longest goes first, with a reset", () => {
    const rig = new Rig({ maxOrphans: 2 });
    const [first, second, third] = [1, 2, 3].map((i) => rig.connect(i));
    for (const { socket } of [first, second]) {
      socket.write(new Uint8Array(100));
      socket.close();
    }
    rig.run();
    rig.receives(first.peer, { flags: ACK, ack: 51 });
    third.socket.write(new Uint8Array(100));
    third.socket.close();
    rig.run();
    expect([first, second, third].map(({ socket }) => socket.state)).toEqual([
      "FIN_WAIT_1",
      "CLOSED",
      "FIN_WAIT_1",
    ]);
    expect([second.socket.errorCode, second.socket.unacknowledgedBytes]).toEqual(["ENOBUFS", 100]);
    expect(second.socket.error?.message).toContain("maxOrphans");
    expect(rig.resetTo).toEqual([second.peer]);
    expect(rig.stack.stats.tcpOrphansReset).toBe(1);
    expect(rig.stack.sockets.orphans).toBe(2);
  });

  test("half of the sockets are left to others in any case", () => {
    const rig = new Rig({}, 8);
    for (let i = 1; i <= 20; i++) {
      rig.connect(i).socket.close();
      rig.run();
    }
    expect([rig.stack.sockets.orphans, rig.stack.sockets.size]).toEqual([4, 5]);
  });

  test("who is through, or in TIME-WAIT, does not count", () => {
    const rig = new Rig({ maxOrphans: 1 });
    for (let i = 1; i <= 10; i++) {
      const { socket, peer } = rig.connect(i);
      socket.close();
      rig.run();
      rig.receives(peer, { flags: ACK | FIN, ack: 2 });
      expect(socket.state).toBe("TIME_WAIT");
      expect(rig.stack.sockets.orphans).toBe(0);
    }
    expect(rig.stack.stats.tcpOrphansReset).toBe(0);
    expect(rig.stack.sockets.timeWaits).toBe(10);
  });
});

describe("maxTimeWait", () => {
  test("the one that has been there longest is over, without a segment", () => {
    const rig = new Rig({ maxTimeWait: 3 });
    const all = [1, 2, 3, 4, 5].map((i) => {
      const end = rig.connect(i);
      end.socket.close();
      rig.run();
      rig.receives(end.peer, { flags: ACK | FIN, ack: 2 });
      return end;
    });
    expect(all.map(({ socket }) => socket.state)).toEqual([
      "CLOSED",
      "CLOSED",
      "TIME_WAIT",
      "TIME_WAIT",
      "TIME_WAIT",
    ]);
    expect(all[0].socket.error).toBeNull();
    // A FIN again makes the third the youngest.
    rig.receives(all[2].peer, { seq: 1, flags: ACK | FIN, ack: 2 });
    const { socket, peer } = rig.connect(6);
    socket.close();
    rig.run();
    rig.receives(peer, { flags: ACK | FIN, ack: 2 });
    expect(all.map((end) => end.socket.state).slice(2)).toEqual(["TIME_WAIT", "CLOSED", "TIME_WAIT"]);
    expect(rig.stack.stats.tcpTimeWaitRecycled).toBe(3);
    expect(rig.stack.sockets.timeWaits).toBe(3);
    expect(rig.resetTo).toEqual([]);
  });
});

describe("100,000 peers that do not get on", () => {
  const PEERS = 100_000;
  const limits = { maxOrphans: 500, orphanTimeoutMs: 30_000, finWait2Ms: 30_000 };
  const kinds: readonly ((rig: Rig, peer: number) => void)[] = [
    // Silent.
    () => {},
    // Its window is shut.
    (rig, peer) => rig.receives(peer, { flags: ACK, ack: 1, window: 0 }),
    // It acknowledges everything, and never closes its side.
    (rig, peer) => rig.receives(peer, { flags: ACK, ack: 102 }),
  ];

  test("the limits hold, and who is well-behaved is served", () => {
    const rig = new Rig(limits);
    const good = rig.connect(PEERS + 1);
    const { sockets, stats } = rig.stack;
    const { pool } = sockets.context;
    let [most, leastFree] = [0, pool.pageCount];
    for (let i = 1; i <= PEERS; i++) {
      const { socket, peer } = rig.connect(i);
      socket.write(new Uint8Array(100));
      socket.close();
      rig.run();
      kinds[i % kinds.length](rig, peer);
      most = Math.max(most, sockets.size);
      leastFree = Math.min(leastFree, pool.freePages);
      // Less than a tenth of the time that an orphan has.
      if (i % 1_000 === 0) rig.passes(20);
    }
    // The listener, the good one, the orphans, and one that is being closed.
    expect(most).toBeLessThanOrEqual(limits.maxOrphans + 3);
    expect(leastFree).toBeGreaterThanOrEqual(pool.pageCount - limits.maxOrphans - 2);
    expect(stats.tcpOrphansReset).toBe(PEERS - limits.maxOrphans);
    expect(rig.resetTo.length).toBe(PEERS - limits.maxOrphans);
    good.socket.write(new Uint8Array(10));
    rig.run();
    rig.receives(good.peer, { flags: ACK, ack: 11 });
    expect([good.socket.state, good.socket.unacknowledgedBytes]).toEqual(["ESTABLISHED", 0]);
    for (let i = 0; i < 40; i++) rig.passes(1_000);
    expect([sockets.orphans, sockets.size]).toEqual([0, 2]);
    expect(stats.tcpOrphansTimedOut).toBe(limits.maxOrphans);
    expect(pool.freePages).toBe(pool.pageCount);
  }, 60_000);
});

describe("settings", () => {
  test("are checked, and have defaults", () => {
    const { maxOrphans, maxTimeWait, orphanTimeoutMs, finWait2Ms } = new TcpSettings();
    expect([maxOrphans, maxTimeWait, orphanTimeoutMs, finWait2Ms]).toEqual([16_384, 32_768, 60_000, 60_000]);
    for (const wrong of [
      { maxOrphans: 0 },
      { maxTimeWait: 1.5 },
      { orphanTimeoutMs: 0 },
      { finWait2Ms: Number.NaN },
    ]) {
      expect(() => tcpSettings(wrong)).toThrow(StackError);
    }
  });
});

interface PeerSegment {
  readonly flags: number;
  readonly seq?: number;
  readonly ack: number;
  readonly window?: number;
}

/** A stack that listens, and any number of peers, by number, whose sequence numbers begin at 0 as ours do. */
class Rig {
  readonly stack: Stack;
  /** Peers that were reset, in order. */
  readonly resetTo: number[] = [];
  private readonly device = new TestDevice();
  private now = 1_000;

  constructor(tcp: Partial<TcpSettings>, maxSockets = 2_048) {
    const plain = { timestamps: false, sack: false, ecn: false };
    this.stack = new Stack({
      memory: 64 << 20,
      maxSockets,
      random: seededRandom(1),
      tcp: { ...plain, ...tcp },
    });
    this.stack.addInterface({ device: this.device, addresses: ["10.0.0.1/8"] });
    Object.assign(this.stack.sockets.context.isn, { next: () => 0 });
    this.listener = this.stack.sockets.listen({ port: 80 });
    this.run();
  }

  private readonly listener;

  /** Both ends of a new connection. */
  connect(peer: number) {
    this.receives(peer, { flags: SYN, seq: 0, ack: 0 });
    this.receives(peer, { flags: ACK, ack: 1 });
    const socket = this.listener.accept();
    if (socket === null) throw new Error(`peer ${peer} is not connected`);
    return { socket, peer };
  }

  receives(peer: number, { flags, seq = 1, ack, window = 65_535 }: PeerSegment): void {
    const ends = { from: addressOf(peer), to: "10.0.0.1" };
    const fields = { sourcePort: 5_000, destinationPort: 80, seq, ack, flags, window };
    this.device.inject(tcpPacket(ends, fields));
    this.run();
  }

  passes(ms: number): void {
    this.now += ms;
    this.run();
  }

  run(): void {
    while (this.stack.poll(this.now));
    for (const packet of this.device.take()) {
      const { seg } = decode(packet, this.now, 0);
      if (seg.flags & RST) this.resetTo.push(peerAt(packet));
    }
    this.device.segmentSizes.length = 0;
  }
}

const addressOf = (peer: number) => `10.${1 + (peer >> 16)}.${(peer >> 8) & 0xff}.${peer & 0xff}`;

const peerAt = (packet: Uint8Array) => ((packet[17] - 1) << 16) | (packet[18] << 8) | packet[19];
