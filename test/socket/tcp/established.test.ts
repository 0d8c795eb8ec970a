import { describe, expect } from "bun:test";
import { CLOSED_EVENT, READABLE, WRITABLE } from "../../../src/index.ts";
import { established, scenario } from "../../support/tcp.ts";
import { behavesAsSynchronized } from "../../support/tcp-synchronized.ts";

/** RFC 9293 3.10.1 to 3.10.8 for ESTABLISHED. */

behavesAsSynchronized({
  state: "ESTABLISHED",
  open: established,
  rcvNxt: 1,
  sndUna: 1,
  sndNxt: 1,
  resetError: "ECONNRESET",
});

describe("3.10.7.4, first: only the new parts of a segment are processed", () => {
  scenario("the part before RCV.NXT is cut off", () => {
    const s = established();
    s.receives({ seq: 1, length: 100 });
    s.receives({ seq: 51, length: 100 });
    s.sends({ ack: 151, at: 40 });
    s.reads(150);
  });

  scenario("the part behind the window is cut off, with the FIN that follows it", () => {
    const s = established({ tcp: { receiveBuffer: 1_000 } });
    s.receives({ seq: 1, length: 600 });
    s.receives({ flags: "F.", seq: 601, length: 800 });
    s.sends({ ack: 1_001, win: 0 });
    s.is("ESTABLISHED");
    s.reads(1_000);
    s.sends({ ack: 1_001, win: 1_000 });
  });

  scenario("text that is old as a whole is acknowledged at once: our ACK was lost", () => {
    const s = established();
    s.receives({ seq: 1, length: 100 });
    s.reads(100);
    s.receives({ seq: 1, length: 100 });
    s.sends({ ack: 101 });
    s.readsNothing();
  });
});

describe("3.10.7.4, second: the RST bit", () => {
  scenario("SENDs and RECEIVEs get reset responses, queues are flushed, the program is told", () => {
    const s = established();
    s.writes(100);
    s.sends({ length: 100 });
    s.receives({ length: 50, ack: 1 });
    s.events = 0;
    s.receives({ flags: "R", seq: 51 });
    s.sendsNothing({ for: 1_000_000 });
    s.failedWith("ECONNRESET");
    s.wasToldOf(CLOSED_EVENT | READABLE | WRITABLE);
    s.readFails("ECONNRESET");
    s.writeFails("ECONNRESET");
    const { pool } = s.host.stack.sockets.context;
    expect(pool.freePages).toBe(pool.pageCount);
  });

  scenario("figure 9: a peer that has rebooted ends our half-open connection, and connects anew", () => {
    const s = established({ passive: true });
    s.writes(10);
    s.sends({ length: 10 });
    s.receives({ seq: 1, ack: 11 });
    // Its new SYN is challenged; that ACK means nothing to it, and it answers by a reset.
    s.receives({ flags: "S", seq: 400_000 });
    s.sends({ seq: 11, ack: 1 });
    s.receives({ flags: "R", seq: 1 });
    s.sendsNothing();
    s.failedWith("ECONNRESET");
    const again = s.from(s.peerPort, { irs: s.irs + 400_000 });
    again.receives(again.syn("S"));
    again.sends({ flags: "S.", seq: 0, ack: 1 });
  });
});

describe("3.10.7.4, fifth: the ACK field", () => {
  scenario("SND.UNA < SEG.ACK =< SND.NXT: what was acknowledged is removed, whole or in part", () => {
    const s = established();
    s.writes(100);
    s.sends({ length: 100 });
    s.receives({ ack: 41 });
    expect(s.socket.info()).toMatchObject({ flightSize: 60, bytesSent: 40 });
    expect(s.socket.unacknowledgedBytes).toBe(60);
    s.sends({ flags: "P.", seq: 41, length: 60, at: 200 });
    s.receives({ ack: 101 });
    expect(s.socket.unacknowledgedBytes).toBe(0);
    s.sendsNothing({ for: 1_000_000 });
  });

  scenario("SND.WL1 < SEG.SEQ, or equal and SND.WL2 =< SEG.ACK: the window is updated", () => {
    const s = established();
    s.receives({ seq: 1, ack: 1, win: 1_000 });
    expect(s.socket.info().sndWnd).toBe(1_000);
    s.writes(10);
    s.sends({ length: 10 });
    s.receives({ seq: 1, ack: 11, win: 900 });
    expect(s.socket.info().sndWnd).toBe(900);
    s.receives({ seq: 1, ack: 11, win: 800, length: 5 });
    expect(s.socket.info().sndWnd).toBe(800);
    s.receives({ seq: 6, ack: 11, win: 700 });
    expect(s.socket.info().sndWnd).toBe(700);
  });

  scenario("an old segment does not update the window", () => {
    const s = established();
    s.writes(10);
    s.sends({ length: 10 });
    s.receives({ seq: 11, ack: 11, win: 900, length: 5 });
    s.sends({ ack: 1 });
    // Older in sequence, with the same ACK.
    s.receives({ seq: 1, ack: 11, win: 800, length: 5 });
    expect(s.socket.info().sndWnd).toBe(900);
    s.sends({ ack: 6 });
    // As new as the one that was used, but with an older ACK.
    s.receives({ seq: 11, ack: 1, win: 700 });
    expect(s.socket.info().sndWnd).toBe(900);
    // Newer in sequence, but SEG.ACK < SND.UNA.
    s.receives({ seq: 31, ack: 1, win: 600 });
    expect(s.socket.info().sndWnd).toBe(900);
  });
});

describe("3.10.7.4, sixth: the URG bit", () => {
  scenario("urgent text is delivered in line (RFC 6093)", () => {
    const s = established();
    s.receives({ flags: "U.", seq: 1, length: 10, urgent: 3 });
    s.reads(10);
    s.receives({ flags: "U.", seq: 11, urgent: 60_000 });
    s.is("ESTABLISHED");
    s.receives({ flags: "P.", seq: 11, length: 5 });
    expect(s.host.stack.stats.tcpUrgentIgnored).toBe(2);
  });
});

describe("3.10.7.4, seventh: the segment text", () => {
  scenario("is delivered, and acknowledged within the delay", () => {
    const s = established();
    s.receives({ seq: 1, length: 10 });
    s.wasToldOf(READABLE);
    s.reads(4);
    s.reads(6);
    s.readsNothing();
    s.sends({ ack: 11, at: 40 });
    s.receives({ seq: 11, length: 5 });
    expect(s.socket.info().bytesReceived).toBe(15);
  });

  scenario("the acknowledgment is piggybacked on a segment that goes out anyway", () => {
    const s = established();
    s.receives({ seq: 1, length: 10 });
    s.writes(20);
    s.sends({ seq: 1, ack: 11, length: 20 });
    s.receives({ ack: 21 });
    s.sendsNothing({ for: 1_000 });
  });

  scenario("MUST-58 and 59: a series of segments is processed before any ACK is sent", () => {
    const s = established();
    s.receives(...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => ({ seq: 1 + i * 1_000, length: 1_000 })));
    s.sends({ ack: 8_001 });
    s.reads(8_000);
  });

  scenario("PSH makes no difference: what has arrived can be read", () => {
    const s = established();
    s.receives({ flags: "P.", seq: 1, length: 3 });
    s.reads(3);
  });
});

describe("3.10.7.4, eighth: the FIN bit", () => {
  scenario(
    "CLOSE-WAIT: RCV.NXT moves over the FIN, which is acknowledged at once; the program is told",
    () => {
      const s = established();
      s.receives({ flags: "F.", seq: 1 });
      s.sends({ seq: 1, ack: 2 });
      s.is("CLOSE_WAIT");
      s.wasToldOf(READABLE);
      s.readsEnd();
      expect(s.socket.ended).toBe(true);
    },
  );

  scenario("behind the text of the same segment", () => {
    const s = established();
    s.receives({ flags: "FP.", seq: 1, length: 10 });
    s.sends({ seq: 1, ack: 12 });
    s.is("CLOSE_WAIT");
    expect(s.socket.ended).toBe(false);
    s.reads(10);
    s.readsEnd();
  });
});

describe("user calls", () => {
  scenario("3.10.2, SEND: segmentized, and sent with a piggybacked acknowledgment", () => {
    const s = established({ mss: 1_000 });
    s.writes(2_500);
    s.sends({ flags: ".", seq: 1, ack: 1, length: 1_000 }, { flags: ".", seq: 1_001, ack: 1, length: 1_000 });
    s.receives({ ack: 2_001 });
    s.sends({ flags: "P.", seq: 2_001, ack: 1, length: 500 });
  });

  scenario("SEND: no more is taken than the send buffer holds, and an event says when to go on", () => {
    const s = established({ tcp: { sendBuffer: 5_000 }, noDelay: true });
    expect(s.write(4_000)).toBe(4_000);
    s.sends({ length: 1_460 }, { length: 1_460 }, { length: 1_080 });
    expect(s.write(2_000)).toBe(1_000);
    s.sends({ length: 1_000 });
    expect(s.write(1)).toBe(0);
    s.wasToldOf(0);
    s.receives({ ack: 2_500 });
    // There is room now, but too little to be worth telling.
    s.wasToldOf(0);
    s.receives({ ack: 2_501 });
    s.wasToldOf(WRITABLE);
    s.receives({ ack: 5_001 });
    s.wasToldOf(0);
    expect(s.write(5_001)).toBe(5_000);
    s.sent();
  });

  scenario("3.10.3, RECEIVE: as many bytes as there are, in as many calls as wanted", () => {
    const s = established();
    const target = new Uint8Array(100);
    s.receives({ seq: 1, data: "hello" });
    expect(s.socket.read(target, 10, 0)).toBe(0);
    expect(s.socket.read(target, 10, 3)).toBe(3);
    expect(s.socket.read(target, 13)).toBe(2);
    expect(s.socket.read(target)).toBe(0);
    expect(new TextDecoder().decode(target.subarray(9, 16))).toBe("\0hello\0");
  });

  scenario("a range outside of the array is the program's mistake", () => {
    const { socket } = established();
    const bytes = new Uint8Array(10);
    expect(() => socket.write(bytes, 5, 6)).toThrow(/outside/);
    expect(() => socket.write(bytes, -1)).toThrow(/outside/);
    expect(() => socket.read(bytes, 0, -1)).toThrow(/outside/);
    expect(() => socket.read(bytes, 11)).toThrow(/outside/);
  });

  scenario("3.10.4, CLOSE: FIN-WAIT-1 at once; the FIN follows all preceding SENDs", () => {
    const s = established({ mss: 1_000, win: 1_500 });
    s.writes(2_000);
    s.sends({ flags: ".", length: 1_000 });
    s.shutdown();
    s.is("FIN_WAIT_1");
    s.writeFails("EPIPE");
    s.receives({ ack: 1_001 });
    s.sends({ flags: "FP.", seq: 1_001, length: 1_000 });
  });

  scenario("CLOSE without anything to send: a FIN", () => {
    const s = established();
    s.close();
    s.sends({ flags: "F.", seq: 1, ack: 1 });
    s.is("FIN_WAIT_1");
  });

  scenario("3.10.5, ABORT: <SEQ=SND.NXT><CTL=RST>, and everything is flushed", () => {
    const s = established();
    s.writes(100);
    s.sends({ length: 100 });
    s.receives({ length: 100, ack: 1 });
    s.abort();
    s.sends({ flags: "R.", seq: 101, ack: 101, win: 0 });
    s.sendsNothing({ for: 1_000_000 });
    s.failedWith("ECONNABORTED");
    s.writeFails("ECONNABORTED");
    s.readFails("ECONNABORTED");
    const { pool } = s.host.stack.sockets.context;
    expect(pool.freePages).toBe(pool.pageCount);
    expect(s.host.stack.sockets.size).toBe(0);
  });

  scenario("3.10.6, STATUS", () => {
    const s = established({ rttMs: 80, mss: 1_200, win: 9_000, iss: 5, irs: 9 });
    expect(s.socket.info()).toMatchObject({
      state: "ESTABLISHED",
      srttMs: 80,
      rttvarMs: 40,
      rtoMs: 280,
      cwnd: 12_000,
      ssthresh: null,
      flightSize: 0,
      mss: 1_200,
      sndWnd: 9_000,
      rcvWnd: 65_535,
      bytesSent: 0,
      bytesReceived: 0,
      retransmissions: 0,
      openedAtMs: 777_000,
    });
    expect(s.socket).toMatchObject({
      remotePort: 80,
      isClosed: false,
      ended: false,
      readableBytes: 0,
      unacknowledgedBytes: 0,
      error: null,
      errorCode: null,
    });
    expect(`${s.socket.localAddress} ${s.socket.remoteAddress}`).toBe("10.0.0.1 10.0.0.2");
  });
});
