import { describe, expect } from "bun:test";
import { closing, established, lastAck, scenario, timeWait } from "../../support/tcp.ts";

/** RFC 1337: TIME-WAIT is not ended before its time. */

describe("3, (F1): resets are ignored in TIME-WAIT", () => {
  scenario("at RCV.NXT, elsewhere in the window, with an ACK, with text", () => {
    const s = timeWait();
    s.receives({ flags: "R", seq: 2 });
    s.receives({ flags: "R", seq: 3 });
    s.receives({ flags: "R.", seq: 2, ack: 2 });
    s.receives({ flags: "R.", seq: 2, ack: 2, length: 10 });
    s.sendsNothing({ until: 59_999 });
    s.is("TIME_WAIT");
    expect(s.host.stack.stats).toMatchObject({ tcpTimeWaitResetsIgnored: 4, tcpResetsReceived: 0 });
    s.sendsNothing({ until: 60_000 });
    s.failedWith(null);
  });

  scenario("figure 1: an old segment is acknowledged, what the peer answers does not end the wait", () => {
    const s = timeWait();
    // Old text; our ACK finds nobody there any more.
    s.receives({ seq: -50, ack: 1, length: 10 });
    s.sends({ seq: 2, ack: 2 });
    s.receives({ flags: "R", seq: 2 });
    s.is("TIME_WAIT");
    // Without that, this one would be taken for the next connection's.
    s.receives({ seq: -40, ack: 1, length: 10 });
    s.sends({ seq: 2, ack: 2 });
    s.is("TIME_WAIT");
  });

  scenario("the connections that are not there yet are reset as before", () => {
    for (const open of [closing, lastAck]) {
      const s = open();
      s.receives({ flags: "R", seq: 2 });
      s.is("CLOSED");
    }
  });
});

describe("nor made to last", () => {
  scenario("only the peer's own FIN starts the timeout anew, not one from anywhere", () => {
    const s = timeWait();
    s.sendsNothing({ until: 50_000 });
    for (const seq of [-100_000, -500, 500_000]) {
      s.receives({ flags: "F.", seq, ack: 2 });
      s.sent();
    }
    s.receives({ flags: "SF", seq: 0 });
    s.sent();
    s.sendsNothing({ until: 60_000 });
    s.is("CLOSED");
  });

  scenario("an old duplicate of text in the window of a later connection is no concern of ours", () => {
    const s = established();
    s.receives({ length: 10 });
    s.sends({ ack: 11, at: 40 });
    s.receives({ seq: 1, length: 10 });
    s.sends({ ack: 11 });
    s.reads(10);
    s.readsNothing();
  });
});
