import { describe, expect } from "bun:test";
import { FINISHED } from "../../../src/index.ts";
import { closing, established, scenario } from "../../support/tcp.ts";
import { behavesAsSynchronized } from "../../support/tcp-synchronized.ts";

/** RFC 9293 3.10.1 to 3.10.8 for CLOSING: both FINs have crossed, and ours is not acknowledged. */

behavesAsSynchronized({
  state: "CLOSING",
  open: closing,
  rcvNxt: 2,
  sndUna: 1,
  sndNxt: 2,
  resetError: null,
});

describe("3.10.7.4, second: the RST bit", () => {
  scenario("the connection is deleted; where text was never acknowledged, the program is told", () => {
    const s = established();
    s.writes(10);
    s.sends({ length: 10 });
    s.shutdown();
    s.sends({ flags: "F.", seq: 11 });
    s.receives({ flags: "F.", seq: 1, ack: 1 });
    s.sends({ ack: 2 });
    s.is("CLOSING");
    s.receives({ flags: "R", seq: 2 });
    s.failedWith("ECONNRESET");
  });
});

describe("3.10.7.4, fifth: the ACK field", () => {
  scenario("if the ACK acknowledges our FIN, then enter the TIME-WAIT state", () => {
    const s = closing();
    s.receives({ seq: 2, ack: 2 });
    s.sendsNothing();
    s.is("TIME_WAIT");
    s.wasToldOf(FINISHED);
    s.sendsNothing({ until: 59_999 });
    s.is("TIME_WAIT");
    s.sendsNothing({ until: 60_000 });
    s.is("CLOSED");
  });

  scenario("otherwise, ignore the segment", () => {
    const s = established();
    s.writes(10);
    s.sends({ length: 10 });
    s.shutdown();
    s.sends({ flags: "F.", seq: 11 });
    s.receives({ flags: "F.", seq: 1, ack: 1 });
    s.sends({ ack: 2 });
    s.receives({ seq: 2, ack: 11 });
    s.sendsNothing();
    s.is("CLOSING");
    s.receives({ seq: 2, ack: 12 });
    s.is("TIME_WAIT");
  });
});

describe("3.10.7.4, sixth to eighth: a FIN has been received", () => {
  scenario("URG and text are ignored", () => {
    const s = closing();
    s.receives({ flags: "U.", seq: 2, ack: 1, length: 10, urgent: 1 });
    s.sendsNothing({ until: 100 });
    s.is("CLOSING");
    s.readsEnd();
  });

  scenario("the FIN again is acknowledged again; remain in CLOSING", () => {
    const s = closing();
    s.receives({ flags: "F.", seq: 1, ack: 1 });
    s.sends({ seq: 2, ack: 2 });
    s.is("CLOSING");
  });
});

describe("user calls", () => {
  scenario("3.10.2, SEND: error", () => {
    closing().writeFails("EPIPE");
  });

  scenario("3.10.3, RECEIVE: the end", () => {
    closing().readsEnd();
  });

  scenario("3.10.4, CLOSE: nothing more is sent", () => {
    const s = closing();
    s.shutdown();
    s.close();
    s.sendsNothing({ until: 199 });
    s.is("CLOSING");
  });

  scenario("3.10.5, ABORT: the connection is deleted, and no reset is sent", () => {
    const s = closing();
    s.abort();
    s.sendsNothing({ for: 1_000_000 });
    s.failedWith("ECONNABORTED");
    expect(s.host.stack.sockets.size).toBe(0);
  });

  scenario("3.10.6, STATUS", () => {
    expect(closing().socket.info().state).toBe("CLOSING");
  });
});

describe("3.10.8, RETRANSMISSION TIMEOUT", () => {
  scenario("our FIN is sent again", () => {
    const s = closing();
    s.sends({ flags: "F.", seq: 1, ack: 2, at: 200 });
    s.receives({ seq: 2, ack: 2 });
    s.is("TIME_WAIT");
    s.sendsNothing({ for: 59_999 });
  });
});
