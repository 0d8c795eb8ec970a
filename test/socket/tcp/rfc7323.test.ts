import { describe, expect } from "bun:test";
import { closeWait, established, listening, scenario, synReceived, synSent } from "../../support/tcp.ts";

/** RFC 7323 2: the window scale option. */

describe("2.2 and 1.3: who sends the option", () => {
  for (const [buffer, shift] of [
    [1_000, 0],
    [65_535, 0],
    [65_536, 1],
    [131_070, 1],
    [131_071, 2],
    [1 << 20, 5],
    [1 << 30, 14],
  ]) {
    scenario(`a SYN: the smallest shift that names a buffer of ${buffer} bytes is ${shift}`, () => {
      const s = synSent({ tcp: { receiveBuffer: buffer } });
      s.receives({ flags: "R.", seq: 0, ack: 1 });
      const again = s.from(80);
      again.use(s.host.stack.sockets.connect({ address: "10.0.0.2", port: 80 }));
      s.host.run();
      again.sends({ flags: "S", seq: 0, wscale: shift });
    });
  }

  scenario("a SYN-ACK, where the SYN had it", () => {
    const s = listening();
    s.receives({ ...s.syn("S"), wscale: 5 });
    s.sends({ flags: "S.", wscale: 3 });
  });

  scenario("a SYN-ACK, where the SYN had not: none", () => {
    const s = listening();
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", wscale: null });
  });

  scenario("no other segment has it", () => {
    const s = established({ wscale: 2 });
    s.writes(10);
    s.sends({ length: 10, wscale: null, mss: null });
    s.shutdown();
    s.sends({ flags: "F.", seq: 11, wscale: null });
  });
});

describe("2.3: using the scale", () => {
  scenario("SND.WND = SEG.WND << Snd.Wind.Shift", () => {
    const s = established({ wscale: 7, win: 1_000 });
    expect(s.socket.info().sndWnd).toBe(128_000);
    s.receives({ win: 65_535 });
    expect(s.socket.info().sndWnd).toBe(65_535 * 128);
  });

  scenario("2.2: the window of a SYN or SYN-ACK is not scaled", () => {
    const s = synSent();
    s.receives({ flags: "S.", seq: 0, ack: 1, win: 1_000, wscale: 7, mss: 1_460 });
    s.sends({ ack: 1 });
    expect(s.socket.info().sndWnd).toBe(1_000);
    const t = synReceived({ passive: false, wscale: 7, win: 1_000 });
    expect(t.socket.info().sndWnd).toBe(1_000);
  });

  scenario("nor that of the SYN-ACK which ends a simultaneous open", () => {
    const s = synReceived({ passive: false, wscale: 7, win: 12_800 });
    s.receives({ ...s.syn("S."), ack: 1 });
    s.sends({ ack: 1 });
    expect(s.socket.info().sndWnd).toBe(12_800);
  });

  scenario("ours: SEG.WND = RCV.WND >> Rcv.Wind.Shift", () => {
    const s = established({ wscale: 0, tcp: { receiveBuffer: 1 << 20 }, memory: 8 << 20 });
    // 2^20 bytes, in units of 32.
    expect(s.socket.info().rcvWnd).toBe(1 << 20);
    s.receives({ length: 1_440 }, { length: 1_440 });
    s.sends({ ack: 2_881, win: (1 << 15) - 90 });
  });

  scenario("a shift of 0 is an option as well: the other direction may be scaled", () => {
    const s = listening();
    s.receives({ ...s.syn("S"), wscale: 0 });
    s.sends({ flags: "S.", wscale: 3, win: 65_535 });
    s.receives({ seq: 1, ack: 1, wscale: 0 });
    s.accepts();
    expect(s.socket.info().sndWnd).toBe(65_535);
    s.receives({ length: 1_000 }, { length: 1_000 });
    s.sends({ ack: 2_001, win: (262_144 - 2_000) / 8 });
  });

  scenario("a shift above 14 counts as 14", () => {
    const s = established({ wscale: 15, win: 2 });
    expect(s.socket.info().sndWnd).toBe(2 << 14);
  });

  scenario("only one side sent the option: neither scales", () => {
    const s = established({ wscale: null, win: 1_000, tcp: { receiveBuffer: 65_535 } });
    expect(s.socket.info().sndWnd).toBe(1_000);
    s.receives({ length: 1_000 }, { length: 1_000 });
    s.sends({ ack: 2_001, win: 63_535 });
    // A scale in a later segment means nothing.
    s.receives({ win: 500, wscale: 7 });
    expect(s.socket.info().sndWnd).toBe(500);
  });

  scenario("only the peer sent it: neither scales", () => {
    const s = established({ passive: true, wscale: null, win: 700 });
    expect(s.socket.info().sndWnd).toBe(700);
    s.writes(2_000);
    s.sends({ length: 700, win: 65_535 });
  });

  scenario("a window larger than 64 KiB can be filled", () => {
    const s = established({ wscale: 4, tcp: { sendBuffer: 1_000_000 } });
    s.writes(1_000_000);
    // Each segment is acknowledged when all that was sent with it is out: cwnd doubles.
    for (let round = 0; round < 4; round++) {
      for (const { seg } of s.sent()) {
        const others = s.sent();
        s.receives({ ack: ((seg.seq - s.iss) | 0) + seg.payloadLength });
        s.host.outbox.unshift(...others);
      }
    }
    expect(s.socket.info().flightSize).toBeGreaterThan(65_535);
    s.sent();
  });
});

describe("RFC 9293 3.7.1: the MSS option, which goes with it", () => {
  scenario("SHLD-5: sent in every SYN and SYN-ACK: the MTU less the fixed headers", () => {
    const s = listening({ mtu: 576 });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", mss: 536 });
    const t = listening({ mtu: 9_000 });
    t.receives(t.syn("S"));
    t.sends({ flags: "S.", mss: 8_960 });
  });

  scenario("MUST-15: not received: 536", () => {
    const s = established({ mss: null });
    s.writes(1_000);
    s.sends({ length: 536 });
  });

  scenario("MUST-16: Eff.snd.MSS is the smaller of the peer's and what the IP layer takes", () => {
    const s = established({ mss: 9_000, mtu: 1_000 });
    s.writes(2_000);
    s.sends({ length: 960 }, { length: 960 });
    const t = established({ mss: 100 });
    t.writes(200);
    t.sends({ length: 100 }, { length: 100 });
  });

  scenario("a peer cannot push us below 88 bytes a segment", () => {
    const s = established({ mss: 1 });
    s.writes(176);
    s.sends({ length: 88 }, { length: 88 });
  });

  scenario("but a link with a smaller MTU can", () => {
    const s = established({ mss: 1_460, mtu: 100 });
    s.writes(120);
    s.sends({ length: 60 }, { length: 60 });
    const t = closeWait({ mss: 10, mtu: 68 });
    t.writes(56);
    t.sends({ length: 28 }, { length: 28 });
  });
});
