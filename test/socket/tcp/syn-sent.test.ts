import { describe, expect } from "bun:test";
import { CLOSED_EVENT, CONNECTED, READABLE, StackError, WRITABLE } from "../../../src/index.ts";
import { LISTENING_PORT, scenario, synSent } from "../../support/tcp.ts";

/** RFC 9293 3.10.1 to 3.10.8 for SYN-SENT. */

describe("3.10.7.3, first: check the ACK bit", () => {
  scenario("SEG.ACK =< ISS or SEG.ACK > SND.NXT: <SEQ=SEG.ACK><CTL=RST>", () => {
    const s = synSent();
    for (const ack of [-1, 0, 2, 1_000]) {
      s.receives({ flags: "S.", seq: 0, ack });
      s.sends({ flags: "R", seq: ack });
      s.receives({ flags: ".", seq: 5, ack });
      s.sends({ flags: "R", seq: ack });
    }
    s.is("SYN_SENT");
  });

  scenario("unless the RST bit is set: then the segment is dropped", () => {
    const s = synSent();
    s.receives({ flags: "R.", seq: 0, ack: 0 });
    s.receives({ flags: "R.", seq: 0, ack: 2 });
    s.sendsNothing();
    s.is("SYN_SENT");
  });
});

describe("3.10.7.3, second: check the RST bit", () => {
  scenario("if the ACK was acceptable: refused, and the connection is deleted", () => {
    const s = synSent();
    s.receives({ flags: "R.", seq: 0, ack: 1 });
    s.sendsNothing({ for: 200_000 });
    s.failedWith("ECONNREFUSED");
    s.wasToldOf(CLOSED_EVENT | READABLE | WRITABLE);
    expect(s.host.stack.sockets.size).toBe(0);
  });

  scenario("without an ACK it shows nothing, and is dropped", () => {
    const s = synSent();
    s.receives({ flags: "R", seq: 0 });
    s.receives({ flags: "SR", seq: 0 });
    s.sendsNothing();
    s.is("SYN_SENT");
  });
});

describe("3.10.7.3, fourth: check the SYN bit", () => {
  scenario("our SYN is acknowledged: ESTABLISHED, and <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>", () => {
    const s = synSent();
    s.receives({ flags: "S.", seq: 0, ack: 1, win: 5_000, mss: 1_000 });
    s.sends({ seq: 1, ack: 1 });
    s.is("ESTABLISHED");
    s.wasToldOf(CONNECTED | WRITABLE);
    expect(s.socket.info()).toMatchObject({ sndWnd: 5_000, mss: 1_000, flightSize: 0 });
  });

  scenario("the SYN is not sent again then", () => {
    const s = synSent();
    s.receives(s.syn("S."));
    s.sends({ seq: 1, ack: 1 });
    s.sendsNothing({ for: 1_000_000 });
    s.is("ESTABLISHED");
  });

  scenario("text and FIN in the segment are processed at the sixth step", () => {
    const s = synSent();
    s.receives({ flags: "SF.", seq: 0, ack: 1, length: 20 });
    s.sends({ seq: 1, ack: 22 });
    s.is("CLOSE_WAIT");
    s.reads(20);
    s.readsEnd();
  });

  scenario("text alone in the SYN-ACK is acknowledged with it", () => {
    const s = synSent();
    s.receives({ flags: "S.", seq: 0, ack: 1, length: 20 });
    s.sends({ seq: 1, ack: 21 });
    s.is("ESTABLISHED");
    s.reads(20);
  });

  scenario("queued text MAY be included in the ACK", () => {
    const s = synSent();
    s.writes(100);
    s.receives(s.syn("S."));
    s.sends({ flags: "P.", seq: 1, ack: 1, length: 100 });
  });

  scenario("no ACK: SYN-RECEIVED, and <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>", () => {
    const s = synSent();
    s.receives({ flags: "S", seq: 0, win: 3_000, mss: 700 });
    s.sends({ flags: "S.", seq: 0, ack: 1, mss: 1_460 });
    s.is("SYN_RECEIVED");
    expect(s.socket.info()).toMatchObject({ sndWnd: 3_000, mss: 700 });
  });
});

describe("3.10.7.3, fifth: neither SYN nor RST", () => {
  scenario("the segment is dropped", () => {
    const s = synSent();
    s.receives({ flags: ".", seq: 1, ack: 1 });
    s.receives({ flags: "F.", seq: 1, ack: 1, length: 10 });
    s.receives({ flags: "P", seq: 1, length: 10 });
    s.sendsNothing();
    s.is("SYN_SENT");
    s.readsNothing();
  });
});

describe("user calls", () => {
  scenario("3.10.1, OPEN: the connection already exists", () => {
    const s = synSent();
    const again = () =>
      s.host.stack.sockets.connect({ address: "10.0.0.2", port: LISTENING_PORT, localPort: s.localPort });
    expect(again).toThrow(StackError);
    expect(again).toThrow(/in use/);
    s.sendsNothing();
  });

  scenario("3.10.2, SEND: the text is queued, and sent when the connection is established", () => {
    const s = synSent();
    s.writes(1_000);
    s.writes(1_000);
    s.sendsNothing({ until: 999 });
    s.receives(s.syn("S."));
    s.sends({ seq: 1, ack: 1, length: 1_460 });
    s.receives({ ack: 1_461 });
    s.sends({ flags: "P.", seq: 1_461, length: 540 });
  });

  scenario("3.10.3, RECEIVE: nothing yet", () => {
    synSent().readsNothing();
  });

  scenario("3.10.4, CLOSE: the connection is deleted, and no segment is sent", () => {
    const s = synSent();
    s.writes(10);
    s.close();
    s.sendsNothing({ for: 200_000 });
    // "Return error: closing responses to any queued SENDs."
    s.failedWith("ECONNABORTED");
    expect(s.socket.unacknowledgedBytes).toBe(10);
    // The answer to the SYN finds nobody.
    s.receives(s.syn("S."));
    s.sends({ flags: "R", seq: 1 });
  });

  scenario("a half-close is queued behind the text", () => {
    const s = synSent();
    s.writes(10);
    s.shutdown();
    s.is("SYN_SENT");
    s.writeFails("EPIPE");
    s.receives(s.syn("S."));
    s.sends({ flags: "FP.", seq: 1, ack: 1, length: 10 });
    s.is("FIN_WAIT_1");
  });

  scenario("however little that is", () => {
    for (const count of [1, 2]) {
      const s = synSent();
      s.writes(count);
      s.shutdown();
      s.sendsNothing({ until: 999 });
      s.sends({ flags: "S", seq: 0, at: 1_000 });
      s.receives(s.syn("S."));
      s.sends({ flags: "FP.", seq: 1, length: count });
    }
  });

  scenario("a half-close without any text follows the handshake at once", () => {
    const s = synSent();
    s.shutdown();
    s.receives(s.syn("S."));
    s.sends({ flags: "F.", seq: 1, ack: 1 });
    s.is("FIN_WAIT_1");
    s.receives({ seq: 1, ack: 2 });
    s.is("FIN_WAIT_2");
  });

  scenario("3.10.5, ABORT: the connection is deleted, and no reset is sent", () => {
    const s = synSent();
    s.abort();
    s.sendsNothing({ for: 200_000 });
    s.failedWith("ECONNABORTED");
    expect(s.host.stack.sockets.size).toBe(0);
  });

  scenario("3.10.6, STATUS", () => {
    expect(synSent().socket.info()).toMatchObject({ state: "SYN_SENT", srttMs: null, bytesSent: 0 });
  });
});

describe("3.10.8, timeouts", () => {
  scenario("the SYN is sent again after 1, 3, 7, ... s; then the interval is a minute", () => {
    const s = synSent();
    for (const seconds of [1, 3, 7, 15, 31, 63, 123]) {
      s.sends({ flags: "S", seq: 0, mss: 1_460, wscale: 3, win: 65_535, at: seconds * 1_000 });
    }
  });

  scenario("3.8.3, MUST-23: R2 for a SYN is at least 3 minutes, and then the program is told", () => {
    const s = synSent();
    s.passes(179_999);
    expect(s.sent()).toHaveLength(7);
    s.is("SYN_SENT");
    s.sendsNothing({ until: 180_000 });
    s.failedWith("ETIMEDOUT");
    s.wasToldOf(CLOSED_EVENT | READABLE | WRITABLE);
    s.readFails("ETIMEDOUT");
    s.sendsNothing({ for: 1_000_000 });
    expect(s.host.isQuiet).toBe(true);
  });

  scenario("the attempt may be given up sooner", () => {
    const s = synSent({ tcp: { connectTimeoutMs: 2_500 } });
    s.sends({ flags: "S", seq: 0, at: 1_000 });
    s.sendsNothing({ until: 2_500 });
    s.failedWith("ETIMEDOUT");
  });
});
