import { describe, expect } from "bun:test";
import { FINISHED, READABLE } from "../../../src/index.ts";
import { established, finWait1, scenario } from "../../support/tcp.ts";
import { behavesAsSynchronized } from "../../support/tcp-synchronized.ts";

/** RFC 9293 3.10.1 to 3.10.8 for FIN-WAIT-1: we have closed, and our FIN is not acknowledged. */

behavesAsSynchronized({
  state: "FIN_WAIT_1",
  open: finWait1,
  rcvNxt: 1,
  sndUna: 1,
  sndNxt: 2,
  resetError: "ECONNRESET",
});

describe("3.10.7.4, fifth: the ACK field", () => {
  scenario("if the FIN segment is now acknowledged, then enter FIN-WAIT-2", () => {
    const s = finWait1();
    s.receives({ seq: 1, ack: 2 });
    s.sendsNothing({ for: 1_000_000 });
    s.is("FIN_WAIT_2");
    s.wasToldOf(FINISHED);
  });

  scenario("an ACK of the text before the FIN does not do it", () => {
    const s = established();
    s.writes(100);
    s.sends({ length: 100 });
    s.shutdown();
    s.sends({ flags: "F.", seq: 101 });
    s.receives({ ack: 101 });
    s.is("FIN_WAIT_1");
    s.wasToldOf(0);
    s.receives({ ack: 102 });
    s.is("FIN_WAIT_2");
    s.wasToldOf(FINISHED);
  });
});

describe("3.10.7.4, seventh: the segment text", () => {
  scenario("is delivered as before", () => {
    const s = finWait1();
    s.receives({ seq: 1, ack: 1, length: 10 });
    s.reads(10);
    s.sends({ seq: 2, ack: 11, at: 40 });
    s.is("FIN_WAIT_1");
  });

  scenario("3.6.1, SHLD-3: after CLOSE it is answered by a reset, to show that data was lost", () => {
    const s = established();
    s.close();
    s.sends({ flags: "F.", seq: 1 });
    s.receives({ seq: 1, ack: 1, length: 10 });
    s.sends({ flags: "R.", seq: 2 });
    s.failedWith("ECONNABORTED");
    s.sendsNothing({ for: 1_000_000 });
  });

  scenario("after CLOSE, text that had arrived before is no new data", () => {
    const s = established();
    s.receives({ seq: 1, length: 10 });
    s.reads(10);
    s.close();
    s.sends({ flags: "F.", seq: 1, ack: 11 });
    s.receives({ seq: 1, length: 10, ack: 1 });
    s.sends({ seq: 2, ack: 11 });
    s.is("FIN_WAIT_1");
  });
});

describe("3.10.7.4, eighth: the FIN bit", () => {
  scenario("our FIN has not been acknowledged: CLOSING", () => {
    const s = finWait1();
    s.receives({ flags: "F.", seq: 1, ack: 1 });
    s.sends({ seq: 2, ack: 2 });
    s.is("CLOSING");
    s.wasToldOf(READABLE);
  });

  scenario("our FIN has been acknowledged by this very segment: TIME-WAIT", () => {
    const s = finWait1();
    s.receives({ flags: "F.", seq: 1, ack: 2 });
    s.sends({ seq: 2, ack: 2 });
    s.is("TIME_WAIT");
    s.wasToldOf(READABLE | FINISHED);
    s.sendsNothing({ for: 1_000_000 });
    s.is("CLOSED");
  });

  scenario("text and FIN of the peer in one segment", () => {
    const s = finWait1();
    s.receives({ flags: "FP.", seq: 1, ack: 2, length: 10 });
    s.sends({ seq: 2, ack: 12 });
    s.is("TIME_WAIT");
    s.reads(10);
    s.readsEnd();
  });
});

describe("user calls", () => {
  scenario("3.10.2, SEND: error", () => {
    finWait1().writeFails("EPIPE");
  });

  scenario("3.10.3, RECEIVE: as in ESTABLISHED", () => {
    const s = finWait1();
    s.readsNothing();
    s.receives({ seq: 1, ack: 1, length: 5 });
    s.reads(5);
  });

  scenario("3.10.4, CLOSE: as long as a second FIN is not emitted", () => {
    const s = finWait1();
    s.shutdown();
    s.close();
    s.close();
    s.sendsNothing({ until: 199 });
    s.is("FIN_WAIT_1");
    s.receives({ seq: 1, ack: 2 });
    s.is("FIN_WAIT_2");
  });

  scenario("3.10.5, ABORT: <SEQ=SND.NXT><CTL=RST>", () => {
    const s = finWait1();
    s.abort();
    s.sends({ flags: "R.", seq: 2, ack: 1 });
    s.failedWith("ECONNABORTED");
  });

  scenario("3.10.6, STATUS", () => {
    expect(finWait1().socket.info()).toMatchObject({ state: "FIN_WAIT_1", flightSize: 1 });
  });
});

describe("3.10.8, RETRANSMISSION TIMEOUT", () => {
  scenario("the FIN is sent again, by itself", () => {
    const s = finWait1();
    s.sends({ flags: "F.", seq: 1, ack: 1, at: 200 });
    s.sends({ flags: "F.", seq: 1, ack: 1, at: 600 });
    s.receives({ seq: 1, ack: 2 });
    s.is("FIN_WAIT_2");
    s.sendsNothing({ for: 1_000_000 });
  });

  scenario("or with the text before it, in one segment", () => {
    const s = established();
    s.writes(100);
    s.sends({ length: 100 });
    s.shutdown();
    s.sends({ flags: "F.", seq: 101 });
    s.sends({ flags: "FP.", seq: 1, length: 100, at: 200 });
    s.receives({ ack: 101 });
    s.sendsNothing({ for: 399 });
    s.sends({ flags: "F.", seq: 101, after: 1 });
  });

  scenario(
    "3.6, case 2: if an ACK is not forthcoming, the connection is aborted and the user is told",
    () => {
      const s = finWait1({ tcp: { userTimeoutMs: 1_000 } });
      for (const at of [200, 600, 1_400]) {
        if (at < 1_000) s.sends({ flags: "F.", seq: 1, at });
        else s.sends({ flags: "R.", seq: 2, at });
      }
      s.failedWith("ETIMEDOUT");
    },
  );
});
