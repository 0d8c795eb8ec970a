import { describe, expect } from "bun:test";
import { established, finWait2, scenario, synSent, timeWait } from "../../support/tcp.ts";

/** RFC 9293 3.8.4: keep-alives. */

/** A connection that is probed after 1,000 ms, every 300 ms, three times. */
function kept(options = {}) {
  const s = established(options);
  s.socket.setKeepAlive(1_000, 300, 3);
  return s;
}

describe("turning them on and off", () => {
  scenario("MUST-25: they default to off", () => {
    const s = established();
    s.sendsNothing({ for: 100_000_000 });
    expect(s.host.isQuiet).toBe(true);
  });

  scenario("MUST-24: on, and off again, for one connection", () => {
    const s = kept();
    s.sends({ seq: 0, ack: 1, at: 1_000 });
    s.socket.setKeepAlive(0);
    s.sendsNothing({ for: 100_000_000 });
    s.is("ESTABLISHED");
  });

  scenario("MUST-27 and 28: the interval is configurable; the stack's own is two hours", () => {
    const s = established();
    const { tcp } = s.host.stack.sockets.context;
    expect(tcp.keepAliveIdleMs).toBe(7_200_000);
    s.socket.setKeepAlive(tcp.keepAliveIdleMs);
    s.sends({ seq: 0, ack: 1, at: 7_200_000 });
    for (let i = 1; i < 9; i++) s.sends({ seq: 0, ack: 1, after: 75_000 });
    s.sends({ flags: "R.", seq: 1, after: 75_000 });
  });

  scenario("before the handshake: it counts from there", () => {
    const s = synSent();
    s.socket.setKeepAlive(1_000, 300, 3);
    s.passes(500);
    s.receives(s.syn("S."));
    s.sends({ seq: 1, ack: 1 });
    s.sendsNothing({ until: 1_499 });
    s.sends({ seq: 0, ack: 1, at: 1_500 });
  });

  scenario("turned on late: idle time that has passed counts", () => {
    const s = established();
    s.passes(800);
    s.socket.setKeepAlive(1_000, 300, 3);
    s.sends({ seq: 0, ack: 1, at: 1_000 });
  });

  scenario("after the end of a connection it does nothing", () => {
    const s = timeWait();
    s.socket.setKeepAlive(1_000);
    s.sendsNothing({ until: 60_000 });
    s.is("CLOSED");
    s.socket.setKeepAlive(1_000);
    s.sendsNothing({ for: 100_000 });
  });
});

describe("probing", () => {
  scenario("a segment with SEG.SEQ = SND.NXT-1, and no data (SHLD-12)", () => {
    const s = kept();
    s.sends({ flags: ".", seq: 0, ack: 1, length: 0, at: 1_000 });
    expect(s.host.stack.stats.tcpKeepAlives).toBe(1);
  });

  scenario("with the window as it was offered last", () => {
    const s = kept({ tcp: { receiveBuffer: 4_000 } });
    s.receives({ length: 1_000 }, { length: 1_000 });
    s.sends({ ack: 2_001, win: 2_000 });
    s.sends({ seq: 0, ack: 2_001, win: 2_000, at: 1_000 });
    const t = kept({ wscale: 0 });
    t.sends({ seq: 0, ack: 1, win: 32_768, at: 1_000 });
  });

  scenario("the answer starts the idle time anew", () => {
    const s = kept();
    for (let i = 1; i <= 20; i++) {
      s.sends({ seq: 0, ack: 1, at: i * 1_000 });
      s.receives({ seq: 1, ack: 1 });
    }
    s.is("ESTABLISHED");
  });

  scenario("MUST-29: one probe without an answer means nothing; all of them do", () => {
    const s = kept();
    s.sends({ seq: 0, ack: 1, at: 1_000 });
    s.sends({ seq: 0, ack: 1, at: 1_300 });
    s.sends({ seq: 0, ack: 1, at: 1_600 });
    s.is("ESTABLISHED");
    s.sends({ flags: "R.", seq: 1, ack: 1, at: 1_900 });
    s.failedWith("ETIMEDOUT");
    s.sendsNothing({ for: 100_000 });
  });

  scenario("an answer to the last one is in time", () => {
    const s = kept();
    s.sends({ seq: 0, at: 1_000 });
    s.sends({ seq: 0, at: 1_300 });
    s.sends({ seq: 0, at: 1_600 });
    s.passes(299);
    s.receives({ seq: 1, ack: 1 });
    s.sendsNothing({ for: 999 });
    s.sends({ seq: 0, after: 1 });
  });

  scenario("a reset in answer ends the connection: the peer has forgotten it", () => {
    const s = kept();
    s.sends({ seq: 0, ack: 1, at: 1_000 });
    s.receives({ flags: "R", seq: 1 });
    s.failedWith("ECONNRESET");
  });

  scenario("behind what was sent and acknowledged", () => {
    const s = kept();
    s.writes(100);
    s.sends({ length: 100 });
    s.receives({ ack: 101 });
    s.sends({ seq: 100, ack: 1, at: 1_000 });
  });

  scenario("a half-closed connection is probed too: behind the FIN", () => {
    const s = finWait2();
    s.socket.setKeepAlive(1_000, 300, 1);
    s.sends({ seq: 1, ack: 1, at: 1_000 });
    s.sends({ flags: "R.", seq: 2, at: 1_300 });
    s.failedWith("ETIMEDOUT");
  });
});

describe("MUST-26: only when the connection is idle", () => {
  scenario("text of the peer counts", () => {
    const s = kept();
    s.passes(900);
    s.receives({ length: 10 });
    s.sends({ ack: 11, at: 940 });
    s.sendsNothing({ until: 1_899 });
    s.sends({ seq: 0, ack: 11, at: 1_900 });
  });

  scenario("an ACK counts", () => {
    const s = kept();
    s.passes(500);
    s.writes(10);
    s.sends({ length: 10 });
    s.passes(100);
    s.receives({ ack: 11 });
    s.sendsNothing({ until: 1_599 });
    s.sends({ seq: 10, at: 1_600 });
  });

  scenario("not while sent data are outstanding: retransmission finds out by itself", () => {
    const s = kept();
    s.passes(900);
    s.writes(10);
    s.sends({ length: 10 });
    s.sends({ flags: "P.", seq: 1, length: 10, at: 1_100 });
    s.sends({ flags: "P.", seq: 1, length: 10, at: 1_500 });
    s.receives({ ack: 11 });
    s.sendsNothing({ until: 2_499 });
    s.sends({ seq: 10, length: 0, at: 2_500 });
  });
});

describe("a probe is dropped by the peer as unacceptable, so it is no way to send anything else", () => {
  scenario("an ACK that is due goes out besides it", () => {
    const s = kept();
    s.receives({ length: 10 });
    s.sends({ ack: 11, at: 40 });
    s.host.device.room = 0;
    s.passes(1_000);
    s.receives({ seq: 1, length: 10 });
    s.host.device.room = 100;
    s.host.run();
    s.sends({ seq: 0, ack: 11, length: 0 }, { seq: 1, ack: 11 });
  });

  scenario("text of the peer that comes again shows that it is there", () => {
    const s = kept();
    s.receives({ length: 10 });
    s.sends({ ack: 11, at: 40 });
    s.receivesAt(1_000, { seq: 1, length: 10 });
    s.sends({ seq: 1, ack: 11 });
    s.sends({ seq: 0, ack: 11, at: 2_000 });
    s.passes(100);
    s.receives({ seq: 0 });
    s.sends({ seq: 1, ack: 11 });
    s.sendsNothing({ for: 999 });
    s.sends({ seq: 0, ack: 11, after: 1 });
  });
});

describe("probes of the peer", () => {
  scenario("are answered by an ACK, with one garbage octet or without", () => {
    const s = established();
    s.receives({ seq: 0, ack: 1 });
    s.sends({ seq: 1, ack: 1 });
    s.receives({ seq: 0, ack: 1, data: "x" });
    s.sends({ seq: 1, ack: 1 });
    s.readsNothing();
  });
});

describe("a peer whose text we have no room for", () => {
  scenario("answers behind the byte that it has probed our window with, and is heard", () => {
    const s = kept({ tcp: { receiveBuffer: 1_000 } });
    s.receives({ length: 1_000 });
    s.sends({ after: 40, ack: 1_001, win: 0 });
    s.receives({ seq: 1_001, length: 1 });
    s.sends({ ack: 1_001, win: 0 });
    for (let i = 0; i < 6; i++) {
      s.sends({ seq: 0, ack: 1_001, after: 1_000 });
      s.receives({ seq: 1_002 });
      s.sends({ seq: 1, ack: 1_001 });
    }
    s.is("ESTABLISHED");
  });
});
