import { describe, expect } from "bun:test";
import { ACCEPTABLE, CONNECTED, READABLE, WRITABLE } from "../../../src/index.ts";
import {
  closed,
  connects,
  established,
  LISTENING_PORT,
  listening,
  scenario,
  synReceived,
  synSent,
} from "../../support/tcp.ts";

/** RFC 9293 3.5: establishing a connection, in the figures' order; and the queue of a listener. */

describe("figure 6: basic three-way handshake", () => {
  scenario("as TCP peer A", () => {
    const s = synSent();
    s.receives(s.syn("S."));
    s.sends({ flags: ".", seq: 1, ack: 1 });
    s.writes(5);
    s.sends({ flags: "P.", seq: 1, ack: 1, length: 5 });
    s.wasToldOf(CONNECTED | WRITABLE);
  });

  scenario("as TCP peer B", () => {
    const s = listening();
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    s.receives({ seq: 1, ack: 1 });
    s.accepts();
    s.receives({ seq: 1, ack: 1, length: 5 });
    s.reads(5);
  });

  scenario("line 4 is lost: line 5 completes the handshake as well", () => {
    const s = synReceived();
    s.receives({ flags: "P.", seq: 1, ack: 1, length: 5 });
    s.accepts();
    s.is("ESTABLISHED");
    s.reads(5);
  });

  scenario("line 4 is lost, and the SYN-ACK comes again: it is acknowledged again", () => {
    const s = established();
    s.receives(s.syn("S."));
    s.sends({ seq: 1, ack: 1 });
    s.is("ESTABLISHED");
  });

  scenario("the SYN-ACK is lost: the peer's SYN, or our timer, sends it again", () => {
    const s = synReceived();
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0, ack: 1, mss: 1_460, win: 65_535 });
    s.sends({ flags: "S.", seq: 0, ack: 1, mss: 1_460, win: 65_535, at: 1_000 });
    s.receives({ seq: 1, ack: 1 });
    s.is("ESTABLISHED");
    s.sendsNothing({ for: 1_000_000 });
  });

  scenario("what arrived before the program accepted is told when it has a handler", () => {
    const s = synReceived();
    s.receives({ seq: 1, ack: 1, length: 5 });
    s.accepts();
    s.host.run();
    s.wasToldOf(CONNECTED | WRITABLE | READABLE);
    s.reads(5);
  });
});

describe("figure 7: simultaneous connection synchronization (MUST-10)", () => {
  scenario("SYN-SENT, SYN-RECEIVED, ESTABLISHED", () => {
    const s = synSent();
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    s.is("SYN_RECEIVED");
    s.receives({ ...s.syn("S."), ack: 1 });
    s.sends({ seq: 1, ack: 1 });
    s.is("ESTABLISHED");
    s.writes(10);
    s.sends({ seq: 1, ack: 1, length: 10 });
    s.receives({ seq: 1, ack: 11, length: 10 });
    s.reads(10);
  });

  scenario("the peer's SYN-ACK is lost, our SYN-ACK was answered by an ACK", () => {
    const s = synSent();
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    s.receives({ seq: 1, ack: 1 });
    s.sendsNothing({ for: 100_000 });
    s.is("ESTABLISHED");
  });

  scenario("our SYN-ACK is lost", () => {
    const s = synSent();
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    s.sends({ flags: "S.", seq: 0, ack: 1, at: 1_000 });
    s.receives({ seq: 1, ack: 1 });
    s.is("ESTABLISHED");
  });

  scenario("before our own SYN could leave: the device was full", () => {
    const s = closed();
    s.host.device.room = 0;
    s.use(s.host.stack.sockets.connect({ address: "10.0.0.2", port: s.peerPort, localPort: LISTENING_PORT }));
    s.host.run();
    s.receives(s.syn("S"));
    s.host.device.room = 1_000;
    s.host.run();
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    s.receives({ seq: 1, ack: 1 });
    s.is("ESTABLISHED");
  });
});

describe("figure 8: recovery from old duplicate SYN", () => {
  scenario("as TCP peer A: the ACK of something else is answered by a reset, and the attempt goes on", () => {
    const s = synSent();
    s.receives({ flags: "S.", seq: 300, ack: -9 });
    s.sends({ flags: "R", seq: -9 });
    s.is("SYN_SENT");
    s.receives(s.syn("S."));
    s.sends({ seq: 1, ack: 1 });
    s.is("ESTABLISHED");
  });

  scenario("as TCP peer B: the reset returns it to LISTEN, and the real SYN opens the connection", () => {
    const s = listening();
    const old = s.from(s.peerPort, { irs: s.irs - 10_000 });
    old.receives(old.syn("S"));
    old.sends({ flags: "S.", seq: 0, ack: 1 });
    old.receives({ flags: "R", seq: 1 });
    old.sendsNothing();
    const real = s.from(s.peerPort);
    real.receives(real.syn("S"));
    real.sends({ flags: "S.", seq: 0, ack: 1 });
    real.receives({ seq: 1, ack: 1 });
    real.accepts();
    real.is("ESTABLISHED");
  });

  scenario("the real SYN overtakes the reset: it is challenged, and comes through in the end", () => {
    const s = listening();
    const old = s.from(s.peerPort, { irs: s.irs - 100_000 });
    old.receives(old.syn("S"));
    old.sends({ flags: "S.", seq: 0, ack: 1 });
    // Far outside of the window that was opened for the old one.
    old.receives({ flags: "S", seq: 100_000 });
    old.sends({ seq: 1, ack: 1 });
    old.receives({ flags: "R", seq: 1 });
    const real = s.from(s.peerPort);
    real.receives(real.syn("S"));
    real.sends({ flags: "S.", seq: 0, ack: 1 });
  });
});

describe("figures 9 to 11: half-open connections", () => {
  scenario("figure 9 as TCP peer A, rebooted: the old connection's ACK gets a reset, then we connect", () => {
    const s = synSent();
    s.receives({ seq: 300, ack: 100 });
    s.sends({ flags: "R", seq: 100 });
    s.is("SYN_SENT");
    s.sends({ flags: "S", seq: 0, at: 1_000 });
    s.receives(s.syn("S."));
    s.sends({ ack: 1 });
    s.is("ESTABLISHED");
  });

  scenario("figure 10: text for a connection that is no more gets a reset, which is believed", () => {
    const gone = closed();
    gone.receives({ seq: 300, ack: 100, length: 10 });
    gone.sends({ flags: "R", seq: 100 });
    const s = established();
    s.writes(10);
    s.sends({ length: 10 });
    s.receives({ flags: "R", seq: 1 });
    s.failedWith("ECONNRESET");
  });

  scenario("figure 11: a SYN-ACK to a listener gets a reset", () => {
    const s = listening();
    s.receives({ flags: "S.", seq: 0, ack: 77 });
    s.sends({ flags: "R", seq: 77 });
    s.acceptsNothing();
  });
});

describe("the queue of a listener", () => {
  scenario("backlog connections wait to be accepted; the handshake of the next one is not completed", () => {
    const s = listening({ backlog: 2 });
    const peers = [5_000, 5_001, 5_002].map((port) => s.from(port));
    for (const t of peers) {
      t.receives(t.syn("S"));
      t.sends({ flags: "S.", seq: 0, ack: 1 });
    }
    for (const t of peers) t.receives({ seq: 1, ack: 1 });
    peers[0].is("ESTABLISHED");
    peers[1].is("ESTABLISHED");
    peers[2].is("SYN_RECEIVED");
    expect(s.host.stack.stats.tcpListenOverflow).toBe(1);
    // Its SYN-ACK is sent again, as if the ACK had been lost, and now there is room.
    peers[0].accepts();
    peers[2].sends({ flags: "S.", seq: 0, ack: 1, at: 1_000 });
    peers[2].receives({ seq: 1, ack: 1 });
    peers[2].is("ESTABLISHED");
    peers[1].accepts();
    peers[2].accepts();
    s.acceptsNothing();
  });

  scenario("text counts as an ACK: it is not taken either, nor acknowledged", () => {
    const s = listening({ backlog: 1 });
    const [t, u] = [5_000, 5_001].map((port) => s.from(port));
    for (const peer of [t, u]) {
      peer.receives(peer.syn("S"));
      peer.sends({ flags: "S." });
    }
    t.receives({ seq: 1, ack: 1 });
    u.receives({ seq: 1, ack: 1, length: 10 });
    u.sendsNothing();
    t.accepts();
    u.receives({ seq: 1, ack: 1, length: 10 });
    u.accepts();
    u.reads(10);
  });

  scenario(
    "a SYN while the queue is full is dropped: the peer sends it again, and a reset would end its attempt",
    () => {
      const s = listening({ backlog: 1 });
      const [t, u] = [5_000, 5_001].map((port) => s.from(port));
      t.receives(t.syn("S"));
      t.sends({ flags: "S." });
      t.receives({ seq: 1, ack: 1 });
      u.receives(u.syn("S"));
      u.sendsNothing();
      u.is("CLOSED");
      t.accepts();
      u.receives(u.syn("S"));
      u.sends({ flags: "S." });
    },
  );

  scenario("half-open connections have a limit of their own: 256, or twice the backlog", () => {
    for (const [backlog, limit] of [
      [1, 256],
      [200, 400],
    ]) {
      const s = listening({ backlog, maxSockets: 1_000, tcp: { synCookies: false } });
      for (let i = 0; i < limit; i++) {
        const t = s.from(10_000 + i);
        s.host.inject(t.packet(t.syn("S")));
      }
      expect(s.sent()).toHaveLength(limit);
      const late = s.from(9_999);
      late.receives(late.syn("S"));
      late.sendsNothing();
      // One that completes makes room.
      const first = s.from(10_000);
      first.receives({ seq: 1, ack: 1 });
      first.accepts();
      late.receives(late.syn("S"));
      late.sends({ flags: "S." });
    }
  });

  scenario("a connection that is reset while it waits is not accepted", () => {
    const s = synReceived();
    s.receives({ seq: 1, ack: 1 });
    s.receives({ flags: "R", seq: 1 });
    s.acceptsNothing();
    expect(s.host.stack.sockets.size).toBe(1);
  });

  scenario("one that the peer has closed meanwhile is, with what it had sent", () => {
    const s = synReceived();
    s.receives({ seq: 1, ack: 1, length: 10 });
    s.receives({ flags: "F.", seq: 11, ack: 1 });
    s.sends({ ack: 12 });
    s.accepts();
    s.is("CLOSE_WAIT");
    s.reads(10);
    s.readsEnd();
  });

  scenario("the listener is told once a poll, and again for the next", () => {
    const s = listening();
    const told: number[] = [];
    s.listener!.handler = (events) => told.push(events);
    const [t, u, v] = [5_000, 5_001, 5_002].map((port) => s.from(port));
    for (const peer of [t, u, v]) {
      peer.receives(peer.syn("S"));
      peer.sends({ flags: "S." });
    }
    s.host.inject(t.packet({ seq: 1, ack: 1 }), u.packet({ seq: 1, ack: 1 }));
    expect(told).toEqual([ACCEPTABLE]);
    v.receives({ seq: 1, ack: 1 });
    expect(told).toEqual([ACCEPTABLE, ACCEPTABLE]);
  });
});

describe("socket numbers", () => {
  scenario("none is left for a SYN: it is dropped", () => {
    const s = listening({ maxSockets: 2, tcp: { synCookies: false } });
    const [t, u] = [5_000, 5_001].map((port) => s.from(port));
    t.receives(t.syn("S"));
    t.sends({ flags: "S." });
    u.receives(u.syn("S"));
    u.sendsNothing();
    expect(s.host.stack.stats.tcpListenOverflow).toBe(1);
    t.receives({ flags: "R", seq: 1 });
    u.receives(u.syn("S"));
    u.sends({ flags: "S." });
  });

  scenario("a number that was given back serves the next connection, without a trace of the old one", () => {
    const s = synSent({ maxSockets: 1 });
    s.socket.setKeepAlive(500, 100, 1);
    s.receives(s.syn("S."));
    s.sends({ ack: 1 });
    s.receives({ length: 10 });
    s.abort();
    s.sends({ flags: "R." });
    const t = s.from(81);
    connects(t);
    t.sends({ flags: "S", seq: 0 });
    t.sends({ flags: "S", seq: 0, after: 1_000 });
    t.receives(t.syn("S."));
    t.sends({ ack: 1 });
    t.sendsNothing({ for: 1_000_000 });
    t.is("ESTABLISHED");
    s.failedWith("ECONNABORTED");
  });
});
