import { describe, expect, test } from "bun:test";
import { type ConnectOptions, type TcpSocket, WRITABLE } from "../../../src/index.ts";
import { ipv4Tos, ipv4Ttl } from "../../../src/wire/ipv4.ts";
import { codeOf } from "../../support/errors.ts";
import {
  type Conversation,
  closed,
  established,
  LISTENING_PORT,
  listening,
  type ScenarioOptions,
  scenario,
  segments,
} from "../../support/tcp.ts";
import { PEER_ADDRESS } from "../../support/tcp-host.ts";

/** What a program sets for one connection, or for those of a listener: `tuning.ts`. */

/** The program connects with options; the SYN is for the test to look at. */
function opening(options: Partial<ConnectOptions>, scene: ScenarioOptions = {}): Conversation {
  const s = closed({ ...scene, passive: false });
  s.use(s.host.stack.sockets.connect({ address: PEER_ADDRESS, port: LISTENING_PORT, ...options }));
  s.host.run();
  return s;
}

describe("buffers", () => {
  scenario("a send buffer takes so much and does not grow", () => {
    const s = opening(
      { sendBuffer: 4_000 },
      { mss: 1_000, tcp: { sendBuffer: 4_096, maxSendBuffer: 1 << 20 } },
    );
    s.sends({ flags: "S", seq: 0 });
    s.passes(50);
    s.receives(s.syn("S."));
    s.sends({ ack: 1 });
    expect(s.write(10_000)).toBe(4_000);
    s.sent();
    s.passes(50);
    s.receives({ ack: 4_001 });
    expect(s.write(10_000)).toBe(4_000);
  });

  scenario("a smaller one takes nothing more until what is there has gone", () => {
    const s = established();
    s.writes(3_000);
    s.sent();
    s.socket.tune({ sendBuffer: 2_000 });
    expect(s.write(100)).toBe(0);
    s.receives({ ack: 2_001 });
    expect(s.write(5_000)).toBe(1_000);
  });

  scenario("a receive buffer is the window that is offered", () => {
    const s = opening({ receiveBuffer: 5_000 });
    s.sends({ flags: "S", seq: 0, win: 5_000 });
    const t = listening();
    t.listener?.tune({ receiveBuffer: 7_000 });
    t.receives(t.syn("S"));
    t.sends({ flags: "S.", seq: 0, ack: 1, win: 7_000 });
  });

  scenario("a small one has a smaller scale than the stack's, so that there is a window at all", () => {
    const tcp = { receiveBuffer: 64 * 1_024, maxReceiveBuffer: 32 << 20 };
    const s = opening({}, { tcp });
    s.sends({ flags: "S", seq: 0, wscale: 10 });
    const small = opening({ receiveBuffer: 2_000 }, { tcp, wscale: 0 });
    small.sends({ flags: "S", seq: 0, wscale: 8, win: 2_000 });
    small.receives(small.syn("S."));
    small.sends({ ack: 1, win: 2_000 >> 8 });
  });

  scenario("does not grow either", () => {
    const tcp = { receiveBuffer: 64 * 1_024, maxReceiveBuffer: 1 << 20 };
    for (const receiveBuffer of [0, 64 * 1_024]) {
      const s = opening({ receiveBuffer }, { tcp, wscale: 0, rttMs: 50, memory: 16 << 20 });
      s.sent();
      s.passes(50);
      s.receives(s.syn("S."));
      s.sent();
      for (let round = 0; round < 4; round++) {
        const read = Math.max(s.peerNxt, 1);
        s.receives(...segments(30, 1_000, read));
        s.reads(s.socket.readableBytes);
        s.passes(50);
        s.sent();
      }
      expect(s.tcb?.receiveBuffer.limit === 64 * 1_024).toBe(receiveBuffer > 0);
    }
  });
});

describe("notSentLimit", () => {
  scenario("bounds what waits, not what is under way", () => {
    const s = established({ win: 3_000, mss: 1_000 });
    s.socket.tune({ notSentLimit: 2_000 });
    expect(s.write(10_000)).toBe(2_000);
    s.sent();
    expect(s.write(10_000)).toBe(2_000);
    s.sent();
    expect(s.write(10_000)).toBe(1_000);
    expect(s.write(10_000)).toBe(0);
  });

  scenario("the program is woken when half of it has gone", () => {
    const s = established({ win: 3_000, mss: 1_000 });
    s.socket.tune({ notSentLimit: 2_000 });
    s.write(2_000);
    s.write(2_000);
    s.write(2_000);
    s.sent();
    s.events = 0;
    s.receives({ ack: 2_001, win: 1_000 });
    s.wasToldOf(0);
    s.receives({ ack: 2_001, win: 20_000 });
    s.sends({ seq: 3_001, length: 1_000 }, { seq: 4_001, length: 1_000 });
    s.receives({ ack: 3_001 });
    s.wasToldOf(WRITABLE);
  });
});

describe("the IP header", () => {
  scenario("has the type of service and the time to live that are set", () => {
    const s = opening({ typeOfService: 0xb9, timeToLive: 3 });
    const [syn] = s.sent();
    expect([ipv4Tos(syn.bytes, 0), ipv4Ttl(syn.bytes, 0)]).toEqual([0xb8, 3]);
    s.receives(s.syn("S."));
    const [ack] = s.sent();
    expect([ipv4Tos(ack.bytes, 0), ipv4Ttl(ack.bytes, 0)]).toEqual([0xb8, 3]);
    s.socket.tune({ typeOfService: 0, timeToLive: 64 });
    s.writes(10);
    const [text] = s.sent();
    expect([ipv4Tos(text.bytes, 0), ipv4Ttl(text.bytes, 0)]).toEqual([0, 64]);
  });

  scenario("a reset that answers nothing known has the usual ones", () => {
    const s = opening({ typeOfService: 0xb8, timeToLive: 3 });
    s.sent();
    s.host.inject(s.from(9_999).packet({ flags: "S", seq: 0 }));
    const [reset] = s.host.outbox.splice(0);
    expect([ipv4Tos(reset.bytes, 0), ipv4Ttl(reset.bytes, 0)]).toEqual([0, 64]);
  });
});

describe("quickAck", () => {
  scenario("acknowledges what waits, and the next segments at once", () => {
    const s = established();
    s.receives({ length: 10 });
    s.sendsNothing();
    s.socket.quickAck(true);
    s.host.run();
    s.sends({ ack: 11 });
    s.receives({ length: 10 });
    s.sends({ ack: 21 });
  });

  scenario("off, lets even the first wait", () => {
    const s = established({ tcp: { quickAcks: 16 } });
    s.socket.quickAck(false);
    s.receives({ length: 10 });
    s.sendsNothing({ for: 39 });
    s.sends({ ack: 11, after: 1 });
  });

  scenario("with nothing owed, sends nothing", () => {
    const s = established();
    s.socket.quickAck(true);
    s.host.run();
    s.sendsNothing({ for: 1_000 });
  });
});

describe("what is wrong", () => {
  test("is refused when it is said, and changes nothing", () => {
    const s = established();
    const { socket } = s;
    for (const changes of [
      { sendBuffer: 1.5 },
      { receiveBuffer: -1 },
      { sendBuffer: 2 ** 31 },
      { notSentLimit: 0 },
      { notSentLimit: Number.NaN },
      { typeOfService: 256 },
      { timeToLive: 0 },
    ]) {
      const before = socket.tuning;
      expect(codeOf(() => socket.tune(changes))).toBe("EINVAL");
      expect(socket.tuning).toBe(before);
      expect(codeOf(() => s.host.stack.sockets.connect({ address: PEER_ADDRESS, port: 1, ...changes }))).toBe(
        "EINVAL",
      );
      expect(codeOf(() => s.host.stack.sockets.listen({ port: 7, ...changes }))).toBe("EINVAL");
    }
  });

  test("a connection's own do not reach its listener's others", () => {
    const s = listening();
    s.listener?.tune({ sendBuffer: 5_000 });
    s.receives(s.syn("S"));
    s.sent();
    s.receives({ seq: 1, ack: 1 });
    const socket = s.listener?.accept() as TcpSocket;
    socket.tune({ sendBuffer: 6_000, notSentLimit: 100 });
    expect(s.listener?.tuning).toMatchObject({ sendBuffer: 5_000, notSentLimit: Number.POSITIVE_INFINITY });
    expect(socket.tuning).toMatchObject({ sendBuffer: 6_000, notSentLimit: 100 });
  });
});
