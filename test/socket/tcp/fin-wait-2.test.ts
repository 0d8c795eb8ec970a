import { describe, expect } from "bun:test";
import { CLOSED_EVENT, READABLE, WRITABLE } from "../../../src/index.ts";
import { established, finWait2, scenario } from "../../support/tcp.ts";
import { behavesAsSynchronized } from "../../support/tcp-synchronized.ts";

/** RFC 9293 3.10.1 to 3.10.8 for FIN-WAIT-2: our FIN has been acknowledged, the peer goes on. */

behavesAsSynchronized({
  state: "FIN_WAIT_2",
  open: finWait2,
  rcvNxt: 1,
  sndUna: 2,
  sndNxt: 2,
  resetError: "ECONNRESET",
});

/** FIN-WAIT-2 after CLOSE: the program does not read any more. */
function closedFinWait2(tcp = {}) {
  const s = established({ tcp });
  s.close();
  s.sends({ flags: "F.", seq: 1, ack: 1 });
  s.receives({ seq: 1, ack: 2 });
  s.is("FIN_WAIT_2");
  s.events = 0;
  return s;
}

describe("3.10.7.4, seventh: the segment text", () => {
  scenario("3.6.1: a half-closed connection goes on receiving", () => {
    const s = finWait2();
    for (let i = 0; i < 20; i++) {
      s.receives({ seq: 1 + i * 1_000, ack: 2, length: 1_000 });
      s.reads(1_000);
      if (i % 2 === 1) s.sends({ seq: 2, ack: 1 + (i + 1) * 1_000 });
    }
    s.is("FIN_WAIT_2");
  });

  scenario("3.6.1, SHLD-3: after CLOSE it is answered by a reset", () => {
    const s = closedFinWait2();
    s.receives({ seq: 1, ack: 2, length: 10 });
    s.sends({ flags: "R.", seq: 2, ack: 1 });
    s.failedWith("ECONNABORTED");
  });
});

describe("3.10.7.4, eighth: the FIN bit", () => {
  scenario("enter the TIME-WAIT state, and acknowledge the FIN", () => {
    const s = finWait2();
    s.receives({ flags: "F.", seq: 1, ack: 2 });
    s.sends({ seq: 2, ack: 2 });
    s.is("TIME_WAIT");
    s.wasToldOf(READABLE);
    s.readsEnd();
  });

  scenario("a FIN ahead of a gap waits until the gap is filled", () => {
    const s = finWait2();
    s.receives({ flags: "F.", seq: 11, ack: 2, length: 10 });
    s.sends({ seq: 2, ack: 1 });
    s.is("FIN_WAIT_2");
    s.receives({ seq: 1, ack: 2, length: 10 });
    s.sends({ seq: 2, ack: 22 });
    s.is("TIME_WAIT");
    s.reads(20);
    s.readsEnd();
  });
});

describe("user calls", () => {
  scenario("3.10.2, SEND: error", () => {
    finWait2().writeFails("EPIPE");
  });

  scenario("3.10.4, CLOSE: no second FIN; the program does not read any more", () => {
    const s = finWait2();
    s.shutdown();
    s.close();
    s.sendsNothing({ for: 1_000 });
    s.is("FIN_WAIT_2");
    s.receives({ flags: "F.", seq: 1, ack: 2 });
    s.sends({ seq: 2, ack: 2 });
    s.is("TIME_WAIT");
  });

  scenario("CLOSE with text unread: a reset (3.6.1, SHLD-3)", () => {
    const s = finWait2();
    s.receives({ seq: 1, ack: 2, length: 10 });
    s.close();
    s.sends({ flags: "R.", seq: 2, ack: 11 });
    s.failedWith("ECONNABORTED");
  });

  scenario("3.10.5, ABORT: <SEQ=SND.NXT><CTL=RST>", () => {
    const s = finWait2();
    s.abort();
    s.sends({ flags: "R.", seq: 2, ack: 1 });
    s.failedWith("ECONNABORTED");
  });

  scenario("3.10.6, STATUS", () => {
    expect(finWait2().socket.info()).toMatchObject({ state: "FIN_WAIT_2", flightSize: 0 });
  });
});

describe("3.10.8, timeouts", () => {
  scenario("a program that reads may wait for the peer's FIN for ever", () => {
    const s = finWait2();
    s.sendsNothing({ for: 100_000_000 });
    s.is("FIN_WAIT_2");
    expect(s.host.isQuiet).toBe(true);
  });

  scenario("after CLOSE nobody waits: the connection goes after a minute", () => {
    const s = closedFinWait2();
    s.sendsNothing({ until: 59_999 });
    s.is("FIN_WAIT_2");
    s.sendsNothing({ until: 60_000 });
    s.failedWith(null);
    s.wasToldOf(CLOSED_EVENT | READABLE | WRITABLE);
    expect(s.host.stack.sockets.size).toBe(0);
  });

  scenario("a second CLOSE does not start the minute anew", () => {
    const s = closedFinWait2();
    s.sendsNothing({ until: 50_000 });
    s.close();
    s.sendsNothing({ until: 60_000 });
    s.failedWith(null);
  });

  scenario("the minute begins with CLOSE, where the FIN was acknowledged before", () => {
    const s = finWait2();
    s.sendsNothing({ until: 500_000 });
    s.close();
    s.sendsNothing({ until: 559_999 });
    s.is("FIN_WAIT_2");
    s.sendsNothing({ until: 560_000 });
    s.failedWith(null);
  });

  scenario("TIME-WAIT lasts its 2 MSL also where CLOSE had started that minute just before the FIN", () => {
    const s = finWait2({ tcp: { finWait2Ms: 5_000 } });
    s.socket.close();
    s.receives({ flags: "F.", seq: 1, ack: 2 });
    s.sends({ seq: 2, ack: 2 });
    s.sendsNothing({ until: 59_999 });
    s.is("TIME_WAIT");
    s.sendsNothing({ until: 60_000 });
    s.is("CLOSED");
  });
});
