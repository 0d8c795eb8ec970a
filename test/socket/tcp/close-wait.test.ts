import { describe, expect } from "bun:test";
import { CLOSED_EVENT, FINISHED, READABLE, WRITABLE } from "../../../src/index.ts";
import { closeWait, established, scenario } from "../../support/tcp.ts";
import { behavesAsSynchronized } from "../../support/tcp-synchronized.ts";

/** RFC 9293 3.10.1 to 3.10.8 for CLOSE-WAIT: the peer has closed, and we have not. */

behavesAsSynchronized({
  state: "CLOSE_WAIT",
  open: closeWait,
  rcvNxt: 2,
  sndUna: 1,
  sndNxt: 1,
  resetError: "ECONNRESET",
});

describe("3.10.7.4, fifth: the ACK field, as in ESTABLISHED", () => {
  scenario("what we send is acknowledged, and sent again where it is not", () => {
    const s = closeWait();
    s.writes(3_000);
    s.sends({ seq: 1, ack: 2, length: 1_460 }, { seq: 1_461, length: 1_460 });
    s.receives({ ack: 1_461 });
    s.sendsNothing({ until: 199 });
    s.sends({ seq: 1_461, length: 1_460, at: 200 });
    s.receives({ ack: 2_921 });
    s.sends({ flags: "P.", seq: 2_921, length: 80 });
    s.receives({ ack: 3_001 });
    s.is("CLOSE_WAIT");
  });

  scenario("the window is updated", () => {
    const s = closeWait();
    s.receives({ win: 500 });
    expect(s.socket.info().sndWnd).toBe(500);
  });
});

describe("3.10.7.4, sixth to eighth: a FIN has been received", () => {
  scenario("URG and text are ignored", () => {
    const s = closeWait();
    s.receives({ flags: "UP.", seq: 2, length: 10, urgent: 5 });
    s.sendsNothing({ for: 1_000 });
    s.readsEnd();
    s.is("CLOSE_WAIT");
  });

  scenario("the FIN again is acknowledged again; remain in CLOSE-WAIT", () => {
    const s = closeWait();
    for (let i = 0; i < 20; i++) {
      s.receives({ flags: "F.", seq: 1, ack: 1 });
      s.sends({ seq: 1, ack: 2 });
    }
    s.receives({ flags: "F.", seq: 2, ack: 1 });
    s.sends({ seq: 1, ack: 2 });
    s.is("CLOSE_WAIT");
    s.wasToldOf(0);
  });
});

describe("user calls", () => {
  scenario("3.10.2, SEND: as in ESTABLISHED", () => {
    const s = closeWait();
    s.writes(10);
    s.sends({ flags: "P.", seq: 1, ack: 2, length: 10 });
  });

  scenario("3.10.3, RECEIVE: satisfied by data already on hand; then the end", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 1, length: 100 });
    s.sends({ seq: 1, ack: 102 });
    s.reads(60);
    s.reads(40);
    s.readsEnd();
    s.readsEnd();
    s.sendsNothing({ for: 1_000 });
  });

  scenario("3.10.4, CLOSE: a FIN behind all preceding SENDs, LAST-ACK", () => {
    const s = closeWait();
    s.socket.write(new Uint8Array(0));
    s.writes(10);
    s.sends({ length: 10 });
    s.shutdown();
    s.sends({ flags: "F.", seq: 11, ack: 2 });
    s.is("LAST_ACK");
    s.receives({ ack: 12 });
    s.failedWith(null);
    s.wasToldOf(FINISHED | CLOSED_EVENT | READABLE | WRITABLE);
  });

  scenario("CLOSE with text unread: a reset (3.6.1, SHLD-3)", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 1, length: 100 });
    s.sends({ ack: 102 });
    s.reads(99);
    s.close();
    s.sends({ flags: "R.", seq: 1, ack: 102 });
    s.failedWith("ECONNABORTED");
  });

  scenario("3.10.5, ABORT: <SEQ=SND.NXT><CTL=RST>", () => {
    const s = closeWait();
    s.abort();
    s.sends({ flags: "R.", seq: 1, ack: 2 });
    s.failedWith("ECONNABORTED");
  });

  scenario("3.10.6, STATUS", () => {
    const s = closeWait();
    expect(s.socket.info().state).toBe("CLOSE_WAIT");
    expect(s.socket.ended).toBe(true);
  });
});

describe("the peer's window, after its FIN filled ours beyond the edge", () => {
  scenario(
    "ACKs are acceptable at RCV.NXT, also where the FIN took the sequence number behind a full window",
    () => {
      const s = established({ tcp: { receiveBuffer: 1_000 }, wscale: null });
      s.receives({ flags: "F.", seq: 1, length: 1_000 });
      s.sends({ seq: 1, ack: 1_002, win: 0 });
      s.is("CLOSE_WAIT");
      s.writes(10);
      s.sends({ seq: 1, ack: 1_002, length: 10, win: 0 });
      s.receives({ seq: 1_002, ack: 11 });
      expect(s.socket.unacknowledgedBytes).toBe(0);
      s.sendsNothing({ for: 10_000 });
      s.reads(1_000);
      s.readsEnd();
    },
  );

  scenario("a FIN alone is accepted while the window is shut, so that the end can be reached", () => {
    const s = established({ tcp: { receiveBuffer: 1_000 }, wscale: null });
    s.receives({ seq: 1, length: 1_000 });
    s.sends({ ack: 1_001, win: 0, at: 40 });
    s.receives({ flags: "F.", seq: 1_001 });
    s.sends({ ack: 1_002, win: 0 });
    s.is("CLOSE_WAIT");
    s.shutdown();
    s.sends({ flags: "F.", seq: 1, ack: 1_002, win: 0 });
    s.receives({ seq: 1_002, ack: 2 });
    s.failedWith(null);
    s.reads(1_000);
    s.readsEnd();
  });
});
