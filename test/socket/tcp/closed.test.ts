import { describe, expect } from "bun:test";
import { closed, established, LISTENING_PORT, scenario, synSent, timeWait } from "../../support/tcp.ts";

/** RFC 9293 3.10.1 to 3.10.8 for CLOSED: there is no connection, or not any more. */

describe("3.10.7.1, SEGMENT ARRIVES", () => {
  scenario("a RST is discarded", () => {
    const s = closed();
    s.receives({ flags: "R", seq: 5 });
    s.receives({ flags: "R.", seq: 5, ack: 7 });
    s.sendsNothing();
  });

  scenario("without an ACK: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>", () => {
    const s = closed();
    s.receives({ flags: "S", seq: 100 });
    s.sends({ flags: "R.", rawSeq: 0, ack: 101, win: 0 });
    // SEG.LEN counts text, SYN and FIN.
    s.receives({ flags: "SF", seq: 100, length: 20 });
    s.sends({ flags: "R.", rawSeq: 0, ack: 122 });
    s.receives({ flags: "P", seq: 100, length: 20 });
    s.sends({ flags: "R.", rawSeq: 0, ack: 120 });
  });

  scenario("with an ACK: <SEQ=SEG.ACK><CTL=RST>", () => {
    const s = closed();
    s.receives({ flags: ".", seq: 100, ack: 300 });
    s.sends({ flags: "R", seq: 300, win: 0 });
    s.receives({ flags: "S.", seq: 100, ack: 300 });
    s.sends({ flags: "R", seq: 300 });
    s.receives({ flags: "FP.", seq: 100, ack: 300, length: 50 });
    s.sends({ flags: "R", seq: 300 });
  });

  scenario("a segment with a wrong checksum is answered by nothing", () => {
    const s = closed();
    s.receives({ flags: "S", seq: 100, badChecksum: true });
    s.sendsNothing();
    expect(s.host.stack.stats.tcpBadChecksum).toBe(1);
  });

  scenario("nothing of what was sent before is left in a reset", () => {
    const s = synSent();
    const t = s.from(9_999, { passive: true });
    t.localPort = 7;
    t.receives({ flags: "S", seq: 100 });
    t.sends({ flags: "R.", rawSeq: 0, ack: 101, win: 0, mss: null, wscale: null });
    t.receives({ flags: ".", seq: 100, ack: 55 });
    t.sends({ flags: "R", seq: 55, win: 0, mss: null, wscale: null });
  });

  scenario("each reset is counted", () => {
    const s = closed();
    s.receives({ flags: "S", seq: 100 });
    s.sent();
    expect(s.host.stack.stats).toMatchObject({ tcpNoConnection: 1, tcpResetsSent: 1 });
  });
});

describe("user calls, after an orderly end", () => {
  function afterTimeWait() {
    const s = timeWait();
    s.sendsNothing({ until: 60_000 });
    s.failedWith(null);
    return s;
  }

  scenario("3.10.2, SEND: error", () => {
    afterTimeWait().writeFails("EPIPE");
  });

  scenario("3.10.3, RECEIVE: the end of the stream", () => {
    afterTimeWait().readsEnd();
  });

  scenario("3.10.4 and 3.10.5, CLOSE and ABORT: nothing is left to do", () => {
    const s = afterTimeWait();
    s.shutdown();
    s.close();
    s.abort();
    s.failedWith(null);
    s.sendsNothing({ for: 1_000_000 });
  });

  scenario("3.10.6, STATUS: CLOSED", () => {
    expect(afterTimeWait().socket.info().state).toBe("CLOSED");
  });

  scenario("segments of the old connection are answered by resets", () => {
    const s = afterTimeWait();
    s.receives({ flags: "F.", seq: 1, ack: 2 });
    s.sends({ flags: "R", seq: 2 });
  });
});

describe("user calls, after an error", () => {
  scenario("SEND and RECEIVE say what ended the connection, each time", () => {
    const s = established();
    s.receives({ flags: "R", seq: 1 });
    for (let i = 0; i < 2; i++) {
      s.writeFails("ECONNRESET");
      s.readFails("ECONNRESET");
    }
    s.close();
    s.failedWith("ECONNRESET");
  });

  scenario("after CLOSE in SYN-SENT there is no error: the program ended it", () => {
    const s = synSent();
    s.close();
    s.failedWith(null);
    s.writeFails("EPIPE");
    s.readsEnd();
  });
});

describe("3.10.1, OPEN", () => {
  scenario("the ports of a connection that is over are free again", () => {
    const s = timeWait();
    const { localPort } = s;
    s.sendsNothing({ until: 60_000 });
    const again = s.host.stack.sockets.connect({ address: "10.0.0.2", port: LISTENING_PORT, localPort });
    expect(again.state).toBe("SYN_SENT");
  });
});
