import { describe, expect } from "bun:test";
import { CLOSED_EVENT, FINISHED, READABLE, WRITABLE } from "../../../src/index.ts";
import { closeWait, established, lastAck, scenario } from "../../support/tcp.ts";
import { behavesAsSynchronized } from "../../support/tcp-synchronized.ts";

/** RFC 9293 3.10.1 to 3.10.8 for LAST-ACK: the peer closed first, and our FIN is not acknowledged. */

behavesAsSynchronized({
  state: "LAST_ACK",
  open: lastAck,
  rcvNxt: 2,
  sndUna: 1,
  sndNxt: 2,
  resetError: null,
});

describe("3.10.7.4, fifth: the ACK field", () => {
  scenario("if our FIN is now acknowledged, delete the TCB, enter the CLOSED state", () => {
    const s = lastAck();
    s.receives({ seq: 2, ack: 2 });
    s.sendsNothing({ for: 1_000_000 });
    s.failedWith(null);
    s.wasToldOf(FINISHED | CLOSED_EVENT | READABLE | WRITABLE);
    expect(s.host.stack.sockets.size).toBe(0);
    expect(s.host.isQuiet).toBe(true);
  });

  scenario("an ACK of the text before it does not do it", () => {
    const s = closeWait();
    s.writes(10);
    s.sends({ length: 10 });
    s.shutdown();
    s.sends({ flags: "F.", seq: 11 });
    s.receives({ seq: 2, ack: 11 });
    s.is("LAST_ACK");
    s.receives({ seq: 2, ack: 12 });
    s.is("CLOSED");
  });

  scenario("what has been received can still be read then", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 1, length: 100 });
    s.sends({ ack: 102 });
    s.shutdown();
    s.sends({ flags: "F.", seq: 1 });
    s.receives({ seq: 102, ack: 2 });
    s.failedWith(null);
    s.reads(100);
    s.readsEnd();
    const { pool } = s.host.stack.sockets.context;
    expect(pool.freePages).toBe(pool.pageCount);
  });
});

describe("3.10.7.4, second: the RST bit", () => {
  scenario("text that was not acknowledged may be lost, and the program is told", () => {
    const s = closeWait();
    s.writes(10);
    s.sends({ length: 10 });
    s.shutdown();
    s.sends({ flags: "F.", seq: 11 });
    s.receives({ flags: "R", seq: 2 });
    s.failedWith("ECONNRESET");
  });
});

describe("3.10.7.4, sixth to eighth: a FIN has been received", () => {
  scenario("URG and text are ignored", () => {
    const s = lastAck();
    s.receives({ flags: "U.", seq: 2, ack: 1, length: 10, urgent: 1 });
    s.sendsNothing({ until: 100 });
    s.is("LAST_ACK");
  });

  scenario("the FIN again is acknowledged again; remain in LAST-ACK", () => {
    const s = lastAck();
    s.receives({ flags: "F.", seq: 1, ack: 1 });
    s.sends({ seq: 2, ack: 2 });
    s.is("LAST_ACK");
  });
});

describe("user calls", () => {
  scenario("3.10.2, SEND: error", () => {
    lastAck().writeFails("EPIPE");
  });

  scenario("3.10.3, RECEIVE: the end", () => {
    lastAck().readsEnd();
  });

  scenario("3.10.4, CLOSE: nothing more is sent", () => {
    const s = lastAck();
    s.shutdown();
    s.close();
    s.sendsNothing({ until: 199 });
    s.is("LAST_ACK");
  });

  scenario("3.10.5, ABORT: the connection is deleted, and no reset is sent", () => {
    const s = lastAck();
    s.abort();
    s.sendsNothing({ for: 1_000_000 });
    s.failedWith("ECONNABORTED");
  });

  scenario(
    "ABORT while the FIN still waits behind text: the peer is told by a reset, as in CLOSE-WAIT",
    () => {
      const s = closeWait({ win: 100 });
      s.writes(200);
      s.sends({ length: 100 });
      s.shutdown();
      s.is("LAST_ACK");
      s.abort();
      s.sends({ flags: "R.", seq: 101, ack: 2 });
      s.failedWith("ECONNABORTED");
    },
  );

  scenario("3.10.6, STATUS", () => {
    expect(lastAck().socket.info().state).toBe("LAST_ACK");
  });
});

describe("3.10.8, timeouts", () => {
  scenario("our FIN is sent again", () => {
    const s = lastAck();
    s.sends({ flags: "F.", seq: 1, ack: 2, at: 200 });
    s.sends({ flags: "F.", seq: 1, ack: 2, at: 600 });
    s.receives({ seq: 2, ack: 2 });
    s.is("CLOSED");
  });

  scenario("3.6, case 2: after the user timeout the connection is aborted and the user is told", () => {
    const s = lastAck({ tcp: { userTimeoutMs: 500 } });
    s.sends({ flags: "F.", seq: 1, at: 200 });
    s.sends({ flags: "R.", seq: 2, at: 600 });
    s.failedWith("ETIMEDOUT");
  });
});
