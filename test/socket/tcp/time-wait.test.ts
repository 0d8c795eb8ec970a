import { describe, expect } from "bun:test";
import { CLOSED_EVENT, READABLE, StackError, WRITABLE } from "../../../src/index.ts";
import {
  closing,
  established,
  finWait2,
  LISTENING_PORT,
  PEER_PORT,
  scenario,
  timeWait,
} from "../../support/tcp.ts";
import { behavesAsSynchronized } from "../../support/tcp-synchronized.ts";

/** RFC 9293 3.10.1 to 3.10.8 for TIME-WAIT. */

behavesAsSynchronized({
  state: "TIME_WAIT",
  open: timeWait,
  rcvNxt: 2,
  sndUna: 2,
  sndNxt: 2,
  resetError: "ignored",
});

describe("3.10.7.4: a retransmission of the remote FIN", () => {
  scenario("is acknowledged, and restarts the 2 MSL timeout", () => {
    const s = timeWait();
    s.sendsNothing({ until: 50_000 });
    s.receives({ flags: "F.", seq: 1, ack: 2 });
    s.sends({ seq: 2, ack: 2 });
    s.sendsNothing({ until: 109_999 });
    s.is("TIME_WAIT");
    s.sendsNothing({ until: 110_000 });
    s.is("CLOSED");
  });

  scenario("a FIN behind the first one as well: beyond that there is nothing", () => {
    const s = timeWait();
    s.sendsNothing({ until: 50_000 });
    s.receives({ flags: "F.", seq: 2, ack: 2 });
    s.sends({ seq: 2, ack: 2 });
    s.sendsNothing({ until: 109_999 });
    s.is("TIME_WAIT");
    s.sendsNothing({ until: 110_000 });
    s.is("CLOSED");
  });

  scenario("with the text before it", () => {
    const s = finWait2();
    s.receives({ flags: "F.", seq: 1, ack: 2, length: 10 });
    s.sends({ seq: 2, ack: 12 });
    s.receives({ flags: "F.", seq: 1, ack: 2, length: 10 });
    s.sends({ seq: 2, ack: 12 });
    s.is("TIME_WAIT");
    s.reads(10);
    s.readsEnd();
  });
});

describe("3.10.7.4, sixth and seventh", () => {
  scenario("URG and text are ignored", () => {
    const s = timeWait();
    s.receives({ flags: "U.", seq: 2, ack: 2, length: 10, urgent: 1 });
    s.sendsNothing({ for: 1_000 });
    s.is("TIME_WAIT");
    s.readsEnd();
  });

  scenario("an ACK is nothing new, and does not restart the timeout", () => {
    const s = timeWait();
    s.sendsNothing({ until: 50_000 });
    s.receives({ seq: 2, ack: 2 });
    s.sendsNothing({ until: 60_000 });
    s.is("CLOSED");
  });
});

describe("user calls", () => {
  scenario("3.10.2, SEND: error", () => {
    timeWait().writeFails("EPIPE");
  });

  scenario("3.10.3, RECEIVE: what is there, then the end", () => {
    const s = finWait2();
    s.receives({ flags: "F.", seq: 1, ack: 2, length: 10 });
    s.sends({ ack: 12 });
    s.reads(10);
    s.readsEnd();
  });

  scenario("3.10.4, CLOSE: nothing is sent, and the timeout goes on", () => {
    const s = timeWait();
    s.shutdown();
    s.close();
    s.sendsNothing({ until: 59_999 });
    s.is("TIME_WAIT");
  });

  scenario("CLOSE with text unread: no reset any more, and the memory is given back", () => {
    const s = finWait2();
    s.receives({ flags: "F.", seq: 1, ack: 2, length: 10 });
    s.sends({ ack: 12 });
    s.close();
    s.sendsNothing({ for: 1_000 });
    s.is("TIME_WAIT");
    const { pool } = s.host.stack.sockets.context;
    expect(pool.freePages).toBe(pool.pageCount);
  });

  scenario("3.10.5, ABORT: the connection is deleted, and no reset is sent", () => {
    const s = timeWait();
    s.abort();
    s.sendsNothing({ for: 1_000_000 });
    s.failedWith("ECONNABORTED");
  });

  scenario("3.10.6, STATUS", () => {
    expect(timeWait().socket.info().state).toBe("TIME_WAIT");
  });

  scenario("3.10.1, OPEN of the same pair of sockets: it already exists", () => {
    const s = timeWait();
    const again = () =>
      s.host.stack.sockets.connect({ address: "10.0.0.2", port: LISTENING_PORT, localPort: s.localPort });
    expect(again).toThrow(StackError);
  });
});

describe("3.10.8, TIME-WAIT TIMEOUT", () => {
  scenario("MUST-13: 2 MSL, then the TCB is deleted", () => {
    const s = timeWait();
    s.sendsNothing({ until: 59_999 });
    s.is("TIME_WAIT");
    s.wasToldOf(0);
    s.sendsNothing({ until: 60_000 });
    s.failedWith(null);
    s.wasToldOf(CLOSED_EVENT | READABLE | WRITABLE);
    expect(s.host.stack.sockets.size).toBe(0);
    expect(s.host.isQuiet).toBe(true);
  });
});

describe("3.10.7.4, eighth: turn off the other timers", () => {
  scenario(
    "after a long half-close, with no other timer running, the timeout is started all the same",
    () => {
      const s = finWait2();
      s.sendsNothing({ until: 500_000 });
      s.receives({ flags: "F.", seq: 1, ack: 2 });
      s.sends({ seq: 2, ack: 2 });
      s.sendsNothing({ until: 559_999 });
      s.is("TIME_WAIT");
      s.sendsNothing({ until: 560_000 });
      s.is("CLOSED");
    },
  );

  scenario("no keep-alive", () => {
    const s = finWait2();
    s.socket.setKeepAlive(1_000, 100, 3);
    s.receives({ flags: "F.", seq: 1, ack: 2 });
    s.sends({ seq: 2, ack: 2 });
    s.sendsNothing({ until: 60_000 });
    s.failedWith(null);
  });

  scenario("no retransmission", () => {
    const s = closing();
    s.receives({ seq: 2, ack: 2 });
    s.sendsNothing({ until: 60_000 });
    s.failedWith(null);
    expect(s.host.stack.stats.tcpTimeouts).toBe(0);
  });
});

describe("3.6.1, MAY-2: a new SYN reopens the connection", () => {
  /** TIME-WAIT of a connection to our listener, with RCV.NXT at `2 + received`. */
  function served(received = 0) {
    const s = established({ passive: true });
    if (received > 0) {
      s.receives({ length: received });
      s.sent();
      s.reads(received);
      s.sent();
    }
    s.shutdown();
    s.sends({ flags: "F.", seq: 1 });
    s.receives({ flags: "F.", ack: 2 });
    s.sends({ seq: 2, ack: 2 + received });
    s.is("TIME_WAIT");
    s.events = 0;
    return s;
  }

  scenario("when its sequence number is beyond all that the old one received", () => {
    const s = served();
    s.receives({ flags: "S", seq: 3 });
    const [answer] = s.sent();
    // (1) ISS is larger than the largest sequence number used before.
    const ahead = (answer.seg.seq - (s.iss + 2)) | 0;
    expect(ahead).toBeGreaterThan(0);
    expect((answer.seg.ack - s.irs) | 0).toBe(4);
    s.failedWith(null);
    s.wasToldOf(CLOSED_EVENT | READABLE | WRITABLE);
    expect(s.host.stateOf(LISTENING_PORT, PEER_PORT)).toBe("SYN_RECEIVED");
    s.receives({ seq: 4, ack: 2 + ahead + 1 });
    s.sendsNothing();
    expect(s.host.stateOf(LISTENING_PORT, PEER_PORT)).toBe("ESTABLISHED");
  });

  scenario("(1) holds by itself where the clock of RFC 6528 has gone on far enough", () => {
    const s = served();
    s.host.iss += 1_000_000;
    s.receives({ flags: "S", seq: 3 });
    s.sends({ flags: "S.", seq: 1_000_000, ack: 4 });
  });

  scenario("not when it might be an old one: that is challenged", () => {
    const s = served(100);
    for (const seq of [0, 50, 101, 102]) {
      s.receives({ flags: "S", seq });
      s.sends({ seq: 2, ack: 102 });
    }
    s.is("TIME_WAIT");
  });

  scenario("not when nobody listens any more", () => {
    const s = served();
    s.listener!.close();
    s.host.run();
    s.receives({ flags: "S", seq: 100 });
    s.sends({ seq: 2, ack: 2 });
    s.is("TIME_WAIT");
  });

  scenario("not on our own connections, which no listener made", () => {
    const s = timeWait();
    s.receives({ flags: "S", seq: 100 });
    s.sends({ seq: 2, ack: 2 });
    s.is("TIME_WAIT");
  });
});

describe("when socket numbers run out", () => {
  scenario("the connection that is in TIME-WAIT longest makes room, and its program is told", () => {
    const s = timeWait({ maxSockets: 2 });
    s.wasToldOf(0);
    const { sockets, stats } = s.host.stack;
    sockets.connect({ address: "10.0.0.2", port: 1 });
    sockets.connect({ address: "10.0.0.2", port: 2 });
    expect(stats.tcpTimeWaitRecycled).toBe(1);
    s.host.run();
    s.failedWith(null);
    s.wasToldOf(CLOSED_EVENT | READABLE | WRITABLE);
    expect(sockets.size).toBe(2);
    expect(() => sockets.connect({ address: "10.0.0.2", port: 3 })).toThrow(/in use/);
  });
});
