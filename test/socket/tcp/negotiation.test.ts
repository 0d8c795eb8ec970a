import { describe, expect, test } from "bun:test";
import { type TcpSettings, tcpSettings } from "../../../src/socket/tcp/settings.ts";
import { closed, connects, established, listening, scenario } from "../../support/tcp.ts";
import { PEER_ADDRESS } from "../../support/tcp-host.ts";

/** Settings of what SYNs offer and answer, and of what follows from it. */

describe("windowScale: false", () => {
  scenario("a SYN offers none, and a SYN-ACK that has one all the same is not believed", () => {
    const s = closed({ passive: false, tcp: { windowScale: false }, wscale: 4 });
    connects(s);
    s.sends({ flags: "S", seq: 0, wscale: null });
    s.receives(s.syn("S."));
    s.sends({ ack: 1 });
    expect(s.socket.info().options).toMatchObject({ sndWindShift: null, rcvWindShift: null });
  });

  scenario("a SYN that offers one is answered without", () => {
    const s = listening({ tcp: { windowScale: false }, wscale: 4 });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0, ack: 1, wscale: null });
  });
});

describe('ecn: "passive"', () => {
  scenario("a SYN does not offer it, and a SYN-ACK that has it all the same is not believed", () => {
    const s = closed({ passive: false, tcp: { ecn: "passive" }, peerEcn: true });
    connects(s);
    s.sends({ flags: "S", seq: 0 });
    s.receives(s.syn("S."));
    s.sends({ ack: 1 });
    expect(s.socket.info().options.ecn).toBe(false);
  });

  scenario("a SYN that offers it is answered", () => {
    const s = listening({ tcp: { ecn: "passive" }, peerEcn: true });
    s.receives(s.syn("S"));
    s.sends({ flags: "SE.", seq: 0, ack: 1 });
  });
});

describe("requireTimestamps", () => {
  scenario("RFC 7323 3.2: a segment without them is dropped, or taken where the program says so", () => {
    for (const requireTimestamps of [true, false]) {
      const s = established({ peerClock: 100, tcp: { timestamps: true, requireTimestamps } });
      s.receives({ length: 10, ts: null });
      expect(s.socket.readableBytes).toBe(requireTimestamps ? 0 : 10);
    }
  });
});

describe("slowStartAfterIdle", () => {
  scenario("RFC 5681 4.1: after an idle RTO the window is the initial one again, or what it was", () => {
    for (const slowStartAfterIdle of [true, false]) {
      const s = established({ mss: 1_000, rttMs: 10, tcp: { slowStartAfterIdle } });
      s.writes(10_000);
      s.sent();
      s.passes(10);
      s.receives({ ack: 10_001 });
      const grown = s.socket.info().cwnd;
      expect(grown).toBeGreaterThan(10_000);
      s.passes(10_000);
      s.writes(1_000);
      s.sent();
      expect(s.socket.info().cwnd).toBe(slowStartAfterIdle ? 10_000 : grown);
    }
  });
});

describe("boundSlowStart", () => {
  scenario("an ACK opens the window by eight segments, or by all that it acknowledges", () => {
    for (const boundSlowStart of [true, false]) {
      const s = established({ mss: 1_000, wscale: 7, tcp: { boundSlowStart, congestionControl: "cubic" } });
      s.writes(10_000);
      s.sent();
      s.receives({ ack: 10_001 });
      expect(s.socket.info().cwnd).toBe(boundSlowStart ? 18_000 : 20_000);
    }
  });
});

describe("reduceWindow", () => {
  scenario("what a timeout leaves is a part of what was under way, or of the window", () => {
    for (const congestionControl of ["cubic", "newreno"] as const) {
      for (const reduceWindow of ["flight", "window"] as const) {
        const s = established({ mss: 1_000, tcp: { reduceWindow, congestionControl } });
        s.writes(1_000);
        s.sent();
        s.passes(5_000);
        const ofWindow = congestionControl === "cubic" ? 7_000 : 5_000;
        expect(s.socket.info().ssthresh).toBe(reduceWindow === "window" ? ofWindow : 2_000);
      }
    }
  });

  test("another value is refused", () => {
    const wrong = { reduceWindow: "all" } as unknown as Partial<TcpSettings>;
    expect(() => tcpSettings(wrong)).toThrow('reduceWindow must be "flight" or "window", not "all"');
  });
});

describe("wideWindowScale", () => {
  scenario("the scale is that of the largest buffer, or of the one that the program has chosen", () => {
    for (const wideWindowScale of [true, false]) {
      const s = closed({ passive: false, tcp: { wideWindowScale, maxReceiveBuffer: 8 << 20 } });
      s.use(s.host.stack.sockets.connect({ address: PEER_ADDRESS, port: s.peerPort, receiveBuffer: 20_000 }));
      s.host.run();
      s.sends({ flags: "S", wscale: wideWindowScale ? 8 : 0 });
    }
  });
});

describe("the window that is told", () => {
  scenario("behind a handshake is all there is: the SYN's had no scale", () => {
    const s = closed({
      passive: false,
      tcp: { receiveBuffer: 65_700, maxReceiveBuffer: 2 << 20 },
      wscale: 0,
    });
    connects(s);
    s.sends({ flags: "S", seq: 0, wscale: 6, win: 65_535 });
    s.receives(s.syn("S."));
    s.sends({ ack: 1, win: 1_026 });
  });

  scenario("behind a FIN is that before it: it takes no room", () => {
    const s = established({ tcp: { receiveBuffer: 65_535 } });
    s.receives({ flags: "F." });
    s.sends({ ack: 2, win: 65_535 });
  });
});
