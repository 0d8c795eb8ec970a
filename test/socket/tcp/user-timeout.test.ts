import { describe, expect, test } from "bun:test";
import { StackError, TcpSettings } from "../../../src/index.ts";
import {
  established,
  LISTENING_PORT,
  listening,
  type ScenarioOptions,
  scenario,
  synSent,
} from "../../support/tcp.ts";

/** When a peer is given up: RFC 9293 3.8.3, RFC 1122 4.2.3.5; and of RFC 5482 the name. */

const UNACKED = { flags: "P.", seq: 1, length: 10 } as const;

/** A connection with a user timeout of its own, and ten bytes under way. */
function waiting(userTimeout: number, options: ScenarioOptions = {}) {
  const s = established({ rttMs: 100, ...options });
  s.socket.setUserTimeout(userTimeout);
  s.writes(10);
  s.sends(UNACKED);
  return s;
}

describe("MUST-21: R2, settable for a connection", () => {
  scenario("ends it at that time, to the ms, not at the next retransmission", () => {
    const s = waiting(1_000);
    s.sends({ ...UNACKED, at: 300 });
    s.sends({ ...UNACKED, at: 900 });
    s.sends({ flags: "R.", seq: 11, at: 1_000 });
    s.failedWith("ETIMEDOUT");
  });

  scenario("also where it is shorter than RTO", () => {
    const s = waiting(50);
    s.sends({ flags: "R.", seq: 11, at: 50 });
    s.failedWith("ETIMEDOUT");
  });

  scenario("also where an ACK, or a tail loss probe, has started the retransmission timer anew", () => {
    for (const [userTimeout, acked] of [
      [150, true],
      [400, false],
    ] as const) {
      const s = established({ rttMs: 100, tcp: { sack: true }, peerSack: true, mss: 100 });
      s.socket.setUserTimeout(userTimeout);
      s.writes(200);
      s.sends({ seq: 1, length: 100 }, { seq: 101, length: 100 });
      if (acked) {
        s.passes(100);
        s.receives({ ack: 101 });
        s.sends({ flags: "R.", seq: 201, at: 250 });
      } else {
        s.sends({ seq: 101, length: 100, at: 202 });
        s.sends({ flags: "R.", seq: 201, at: 400 });
      }
      s.failedWith("ETIMEDOUT");
    }
  });

  scenario("longer than the stack's", () => {
    const s = waiting(100_000, { tcp: { userTimeoutMs: 1_000 } });
    s.passes(50_000);
    s.sent();
    s.is("ESTABLISHED");
    s.passes(50_000);
    s.sent();
    s.failedWith("ETIMEDOUT");
  });

  scenario("0 is the stack's", () => {
    const s = waiting(0, { tcp: { userTimeoutMs: 1_000 } });
    s.passes(2_100);
    s.sent();
    s.failedWith("ETIMEDOUT");
  });

  scenario("set while something is under way: it counts from when that was sent", () => {
    const s = waiting(0);
    s.sends({ ...UNACKED, at: 300 });
    s.passes(100);
    s.socket.setUserTimeout(500);
    s.sends({ flags: "R.", seq: 11, at: 500 });
    s.failedWith("ETIMEDOUT");
  });

  scenario("progress starts it anew", () => {
    const s = waiting(1_000, { mss: 100 });
    for (let i = 0; i < 20; i++) {
      s.passes(900);
      s.sent();
      s.receives({ ack: 11 + i * 10 });
      s.writes(10);
      s.sent();
    }
    s.is("ESTABLISHED");
  });

  scenario("a passive opener gives it to those that it accepts", () => {
    const s = listening();
    s.listener?.close();
    s.listener = s.host.stack.sockets.listen({ port: LISTENING_PORT, userTimeout: 700 });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    s.receives({ seq: 1, ack: 1 });
    s.accepts();
    s.writes(10);
    s.sends(UNACKED);
    const start = s.now;
    s.passes(699);
    s.sent();
    s.is("ESTABLISHED");
    s.sends({ flags: "R.", seq: 11, at: start + 700 });
    s.failedWith("ETIMEDOUT");
  });

  test("what is no time is refused", () => {
    const s = established();
    for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => s.socket.setUserTimeout(ms)).toThrow(StackError);
      expect(() => s.host.stack.sockets.connect({ address: "10.0.0.2", port: 9, userTimeout: ms })).toThrow(
        StackError,
      );
      expect(() => s.host.stack.sockets.listen({ port: 9, userTimeout: ms })).toThrow(StackError);
    }
  });
});

describe("R2 for a SYN", () => {
  const attempt = (options: { connectTimeout?: number; userTimeout?: number }, ms: number) => {
    const s = synSent({ tcp: { connectTimeoutMs: 60_000 } });
    s.receives({ flags: "R.", seq: 0, ack: 1 });
    const socket = s.host.stack.sockets.connect({ address: "10.0.0.2", port: 81, ...options });
    const other = s.from(81);
    other.use(socket);
    s.host.run();
    s.passes(ms - 1);
    other.is("SYN_SENT");
    s.passes(1);
    other.sent();
    other.failedWith("ETIMEDOUT");
  };

  scenario("is the stack's", () => attempt({}, 60_000));
  scenario("or the connection's own", () => attempt({ connectTimeout: 2_500 }, 2_500));
  scenario("no longer than its user timeout", () => attempt({ userTimeout: 2_500 }, 2_500));

  test("SHLD-12: three minutes at least, unless told", () => {
    expect(new TcpSettings().connectTimeoutMs).toBeGreaterThanOrEqual(180_000);
  });
});

describe("MUST-20: R1", () => {
  scenario("SHLD-10: after three retransmissions the way to the peer is doubted, once", () => {
    const s = waiting(0);
    const { stats } = s.host.stack;
    s.sends({ ...UNACKED, at: 300 });
    s.sends({ ...UNACKED, at: 900 });
    expect(stats.tcpPathsDoubted).toBe(0);
    s.sends({ ...UNACKED, at: 2_100 });
    expect(stats.tcpPathsDoubted).toBe(1);
    s.passes(50_000);
    s.sent();
    expect(stats.tcpPathsDoubted).toBe(1);
    s.receives({ ack: 11 });
    s.writes(10);
    s.passes(200_000);
    s.sent();
    expect(stats.tcpPathsDoubted).toBe(2);
  });
});

describe("a window that is shut", () => {
  scenario("is probed as long as the peer answers, however short the user timeout is", () => {
    const s = established({ rttMs: 100 });
    s.socket.setUserTimeout(5_000);
    s.receives({ win: 0 });
    s.win = 0;
    s.writes(10);
    let probes = 0;
    for (let i = 0; i < 600; i++) {
      s.passes(1_000);
      for (const { seg } of s.sent()) {
        probes++;
        expect(seg.payloadLength).toBe(1);
        s.receives({ ack: 1, win: 0 });
      }
    }
    expect(probes).toBeGreaterThan(100);
    s.is("ESTABLISHED");
  });

  scenario("and no longer", () => {
    const s = established({ rttMs: 100 });
    s.socket.setUserTimeout(5_000);
    s.receives({ win: 0 });
    s.writes(10);
    s.passes(4_999);
    s.is("ESTABLISHED");
    s.sent();
    s.passes(1);
    s.sent();
    s.failedWith("ETIMEDOUT");
  });
});

describe("keep-alive", () => {
  scenario("gives up after the user timeout where there is one, not after a number of probes", () => {
    const s = established();
    s.socket.setKeepAlive(1_000, 300, 3);
    s.socket.setUserTimeout(4_000);
    s.sends({ seq: 0, ack: 1, at: 1_000 });
    for (let at = 1_300; at < 4_000; at += 300) s.sends({ seq: 0, ack: 1, at });
    s.sends({ flags: "R.", seq: 1, at: 4_000 });
    s.failedWith("ETIMEDOUT");
  });

  scenario("asks once at least, however short it is", () => {
    const s = established();
    s.socket.setKeepAlive(1_000, 300, 3);
    s.socket.setUserTimeout(100);
    s.sends({ seq: 0, ack: 1, at: 1_000 });
    s.sends({ flags: "R.", seq: 1, at: 1_300 });
  });
});
