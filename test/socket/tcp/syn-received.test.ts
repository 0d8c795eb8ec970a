import { describe, expect } from "bun:test";
import { CLOSED_EVENT, CONNECTED, READABLE, WRITABLE } from "../../../src/index.ts";
import { scenario, synReceived, synSent } from "../../support/tcp.ts";

/** RFC 9293 3.10.1 to 3.10.8 for SYN-RECEIVED, from a passive OPEN, and from an active one whose SYN crossed the peer's. */

const PASSIVE = { passive: true };
const ACTIVE = { passive: false };
const challenge = { seq: 1, ack: 1 };

for (const [opened, options] of [
  ["passive", PASSIVE],
  ["active", ACTIVE],
] as const) {
  describe(`after ${opened} OPEN, 3.10.7.4`, () => {
    scenario("first: an unacceptable segment is answered by <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>", () => {
      const s = synReceived(options);
      s.receives({ seq: 70_000, ack: 1 });
      s.sends(challenge);
      s.receives({ seq: 1 + 65_535, ack: 1 });
      s.sends(challenge);
      s.receives({ flags: "S", seq: -500 });
      s.sends(challenge);
      s.is("SYN_RECEIVED");
    });

    scenario("first: the last sequence number of the window is acceptable", () => {
      const s = synReceived(options);
      s.receives({ seq: 65_535, ack: 1 });
      s.is("ESTABLISHED");
    });

    scenario("first: nor is what has the SYN's sequence number and is no SYN", () => {
      const s = synReceived(options);
      s.receives({ seq: 0, ack: 1 });
      s.sends(challenge);
      s.receives({ seq: 0, ack: 1, length: 1 });
      s.sends(challenge);
      s.receives({ flags: "SR", seq: 0 });
      s.sendsNothing();
      s.is("SYN_RECEIVED");
    });

    scenario("the peer's SYN again: our SYN-ACK must have been lost, and is sent again", () => {
      const s = synReceived(options);
      for (let i = 0; i < 3; i++) {
        s.receives(s.syn("S"));
        s.sends({ flags: "S.", seq: 0, ack: 1, mss: 1_460 });
      }
      s.is("SYN_RECEIVED");
      s.receives({ seq: 1, ack: 1 });
      s.is("ESTABLISHED");
    });

    scenario("second: a RST outside of the window is dropped, and one inside is challenged", () => {
      const s = synReceived(options);
      s.receives({ flags: "R", seq: 0 });
      s.receives({ flags: "R", seq: 70_000 });
      s.sendsNothing();
      s.receives({ flags: "R", seq: 2 });
      s.sends(challenge);
      s.is("SYN_RECEIVED");
    });

    scenario("fifth: the ACK bit is off: dropped", () => {
      const s = synReceived(options);
      s.receives({ flags: "P", seq: 1, length: 4 });
      s.receives({ flags: "F", seq: 1 });
      s.sendsNothing();
      s.is("SYN_RECEIVED");
    });

    scenario("fifth: an unacceptable ACK: <SEQ=SEG.ACK><CTL=RST>, and the connection remains (3.5.2)", () => {
      const s = synReceived(options);
      for (const ack of [-1, 0, 2, 500]) {
        s.receives({ seq: 1, ack });
        s.sends({ flags: "R", seq: ack });
      }
      s.is("SYN_RECEIVED");
      s.receives({ seq: 1, ack: 1 });
      s.is("ESTABLISHED");
    });

    scenario("fifth: SND.UNA < SEG.ACK =< SND.NXT: ESTABLISHED, with SND.WND <- SEG.WND", () => {
      const s = synReceived(options);
      s.receives({ seq: 1, ack: 1, win: 4_321 });
      s.sendsNothing({ for: 1_000_000 });
      if (options.passive) s.accepts();
      s.is("ESTABLISHED");
      expect(s.socket.info().sndWnd).toBe(4_321);
    });

    scenario("seventh and eighth: text and FIN of the same segment are processed", () => {
      const s = synReceived(options);
      s.receives({ flags: "FP.", seq: 1, ack: 1, length: 30 });
      s.sends({ seq: 1, ack: 32 });
      if (options.passive) s.accepts();
      s.is("CLOSE_WAIT");
      s.reads(30);
      s.readsEnd();
    });

    scenario("text ahead of a gap completes the handshake as well", () => {
      const s = synReceived(options);
      s.receives({ seq: 11, ack: 1, length: 10 });
      s.sends({ seq: 1, ack: 1 });
      s.is("ESTABLISHED");
      s.receives({ seq: 1, ack: 1, length: 10 });
      s.sends({ ack: 21 });
    });
  });
}

describe("after a passive OPEN", () => {
  scenario("second: a RST returns it to LISTEN, and the user need not be informed", () => {
    const s = synReceived(PASSIVE);
    s.receives({ flags: "R", seq: 1 });
    s.sendsNothing({ for: 100_000 });
    s.acceptsNothing();
    expect(s.host.stack.sockets.size).toBe(1);
    s.receives({ flags: "S", seq: 0 });
    s.sends({ flags: "S.", seq: 0, ack: 1 });
  });

  scenario("fourth: another SYN in the window returns it to LISTEN", () => {
    const s = synReceived(PASSIVE);
    s.receives({ flags: "S", seq: 10 });
    s.sendsNothing({ for: 100_000 });
    s.is("CLOSED");
    s.acceptsNothing();
    expect(s.host.stack.sockets.size).toBe(1);
  });

  scenario("a SYN-ACK of the peer is no answer to ours, and completes nothing", () => {
    const s = synReceived(PASSIVE);
    for (const ack of [1, 7]) {
      s.receives({ flags: "S.", seq: 0, ack });
      s.sends(challenge);
      s.is("SYN_RECEIVED");
    }
  });

  scenario("RFC 5961 7: a SYN that is repeated without end gets no more SYN-ACKs than challenges", () => {
    const s = synReceived({ ...PASSIVE, tcp: { challengeAcksPerSecond: 3 } });
    let answers = 0;
    for (let i = 0; i < 50; i++) {
      s.receives(s.syn("S"));
      answers += s.sent().length;
    }
    expect(answers).toBe(3);
    expect(s.host.stack.stats.tcpChallengeAcksRateLimited).toBe(47);
  });

  scenario(
    "3.10.8: the SYN-ACK is sent again five times; then the connection is given up, in silence",
    () => {
      const s = synReceived(PASSIVE);
      for (const seconds of [1, 3, 7, 15, 31]) {
        s.sends({ flags: "S.", seq: 0, ack: 1, mss: 1_460, at: seconds * 1_000 });
      }
      s.sendsNothing({ until: 62_999 });
      s.is("SYN_RECEIVED");
      s.sendsNothing({ until: 63_000 });
      s.is("CLOSED");
      expect(s.host.stack.sockets.size).toBe(1);
      expect(s.host.isQuiet).toBe(true);
      // Who answers that late is told that there is nothing.
      s.receives({ seq: 1, ack: 1 });
      s.sends({ flags: "R", seq: 1 });
    },
  );

  scenario("a SYN-ACK after a SYN without window scale has none either", () => {
    const s = synReceived({ passive: true, wscale: null });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0, ack: 1, wscale: null });
  });
});

describe("after an active OPEN", () => {
  scenario("second: a RST is a refusal, and the program is told", () => {
    const s = synReceived(ACTIVE);
    s.receives({ flags: "R", seq: 1 });
    s.sendsNothing({ for: 100_000 });
    s.failedWith("ECONNREFUSED");
    s.wasToldOf(CLOSED_EVENT | READABLE | WRITABLE);
  });

  scenario("fourth: another SYN in the window is challenged", () => {
    const s = synReceived(ACTIVE);
    s.receives({ flags: "S", seq: 10 });
    s.sends(challenge);
    s.is("SYN_RECEIVED");
  });

  scenario("figure 7: the peer's SYN-ACK acknowledges our SYN", () => {
    const s = synReceived(ACTIVE);
    s.receives({ ...s.syn("S."), ack: 1 });
    s.sends({ seq: 1, ack: 1 });
    s.is("ESTABLISHED");
    s.wasToldOf(CONNECTED | WRITABLE);
  });

  scenario("a SYN-ACK that acknowledges something else is answered by a reset, and by nothing else", () => {
    const s = synReceived(ACTIVE);
    s.receives({ ...s.syn("S."), ack: 2 });
    s.sends({ flags: "R", seq: 2 });
    s.is("SYN_RECEIVED");
  });

  scenario("3.10.2, SEND: queued until ESTABLISHED", () => {
    const s = synReceived(ACTIVE);
    s.writes(10);
    s.sendsNothing({ until: 900 });
    s.receives({ seq: 1, ack: 1 });
    s.sends({ seq: 1, ack: 1, length: 10 });
  });

  scenario("3.10.3, RECEIVE: nothing yet", () => {
    synReceived(ACTIVE).readsNothing();
  });

  scenario("3.10.4, CLOSE: queued until ESTABLISHED, behind what was written", () => {
    const s = synReceived(ACTIVE);
    s.writes(10);
    s.close();
    s.is("SYN_RECEIVED");
    s.writeFails("EPIPE");
    s.receives({ seq: 1, ack: 1 });
    s.sends({ flags: "FP.", seq: 1, ack: 1, length: 10 });
    s.is("FIN_WAIT_1");
  });

  scenario("3.10.5, ABORT: <SEQ=SND.NXT><CTL=RST>", () => {
    const s = synReceived(ACTIVE);
    s.abort();
    s.sends({ flags: "R.", seq: 1, ack: 1, win: 0 });
    s.failedWith("ECONNABORTED");
    s.sendsNothing({ for: 1_000_000 });
  });

  scenario("3.10.6, STATUS", () => {
    expect(synReceived(ACTIVE).socket.info().state).toBe("SYN_RECEIVED");
  });

  scenario("3.10.8: the user timeout counts from the peer's SYN: until then nobody had answered", () => {
    const s = synSent({ tcp: { userTimeoutMs: 10_000 } });
    s.passes(60_000);
    expect(s.sent()).toHaveLength(5);
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    s.sends({ flags: "S.", seq: 0, ack: 1, at: 63_000 });
    s.is("SYN_RECEIVED");
    s.passes(60_000);
    s.sent();
    s.failedWith("ETIMEDOUT");
  });

  scenario("3.10.8: the SYN-ACK is sent again until the user timeout; then the program is told", () => {
    const s = synReceived(ACTIVE);
    for (const seconds of [1, 3, 7, 15, 31, 63, 123, 183, 243]) {
      s.sends({ flags: "S.", seq: 0, ack: 1, at: seconds * 1_000 });
    }
    s.sends({ flags: "R.", seq: 1, ack: 1, at: 303_000 });
    s.failedWith("ETIMEDOUT");
  });
});
