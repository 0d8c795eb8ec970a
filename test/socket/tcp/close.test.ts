import { describe, expect } from "bun:test";
import { CLOSED_EVENT, FINISHED, READABLE, WRITABLE } from "../../../src/index.ts";
import { type Conversation, closeWait, established, scenario } from "../../support/tcp.ts";

/** RFC 9293 3.6: closing a connection, as programs see it. */

function poolIsFull(s: Conversation): void {
  const { pool } = s.host.stack.sockets.context;
  expect(pool.freePages).toBe(pool.pageCount);
}

describe("figure 12: normal close sequence", () => {
  scenario("we close first", () => {
    const s = established();
    s.close();
    s.sends({ flags: "F.", seq: 1, ack: 1 });
    s.receives({ seq: 1, ack: 2 });
    s.is("FIN_WAIT_2");
    s.receives({ flags: "F.", seq: 1, ack: 2 });
    s.sends({ seq: 2, ack: 2 });
    s.is("TIME_WAIT");
    s.sendsNothing({ for: 60_000 });
    s.failedWith(null);
  });

  scenario("the peer closes first", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 1, ack: 1 });
    s.sends({ seq: 1, ack: 2 });
    s.is("CLOSE_WAIT");
    s.close();
    s.sends({ flags: "F.", seq: 1, ack: 2 });
    s.is("LAST_ACK");
    s.receives({ seq: 2, ack: 2 });
    s.failedWith(null);
    expect(s.host.stack.sockets.size).toBe(0);
  });
});

describe("figure 13: simultaneous close sequence", () => {
  scenario("both sides go through CLOSING to TIME-WAIT", () => {
    const s = established();
    s.close();
    s.sends({ flags: "F.", seq: 1, ack: 1 });
    s.receives({ flags: "F.", seq: 1, ack: 1 });
    s.sends({ seq: 2, ack: 2 });
    s.is("CLOSING");
    s.receives({ seq: 2, ack: 2 });
    s.is("TIME_WAIT");
    s.sendsNothing({ for: 60_000 });
    s.is("CLOSED");
  });

  scenario("the ACK of our FIN is lost: the FIN goes out again, and both end well", () => {
    const s = established();
    s.close();
    s.sends({ flags: "F.", seq: 1, ack: 1 });
    s.receives({ flags: "F.", seq: 1, ack: 1 });
    s.sends({ seq: 2, ack: 2 });
    s.sends({ flags: "F.", seq: 1, ack: 2, at: 200 });
    s.receives({ seq: 2, ack: 2 });
    s.is("TIME_WAIT");
  });
});

describe("all buffers SENT before the connection was CLOSED are delivered", () => {
  scenario("what was written is sent, and sent again, before the FIN", () => {
    const s = established({ mss: 1_000, win: 2_000 });
    s.writes(5_000);
    s.sends({ length: 1_000 }, { length: 1_000 });
    s.close();
    s.sends({ seq: 1, length: 1_000, at: 200 });
    s.receives({ ack: 2_001 });
    s.sends({ seq: 2_001, length: 1_000 }, { seq: 3_001, length: 1_000 });
    s.receives({ ack: 4_001 });
    s.sends({ flags: "FP.", seq: 4_001, length: 1_000 });
    s.receives({ ack: 5_002 });
    s.is("FIN_WAIT_2");
    s.wasToldOf(FINISHED);
  });

  scenario("also where the peer's window is shut when the program closes", () => {
    const s = established();
    s.receives({ win: 0 });
    s.win = 0;
    s.writes(100);
    s.close();
    s.is("FIN_WAIT_1");
    s.sends({ seq: 1, length: 1, at: 200 });
    s.receives({ ack: 1, win: 1_000 });
    s.sends({ seq: 1, length: 1 }, { flags: "FP.", seq: 2, length: 99 });
    s.receives({ ack: 102, win: 1_000 });
    s.is("FIN_WAIT_2");
  });

  scenario("the last segment and the FIN are lost together", () => {
    const s = established();
    s.writes(100);
    s.sends({ length: 100 });
    s.close();
    s.sends({ flags: "F.", seq: 101 });
    s.sends({ flags: "FP.", seq: 1, length: 100, at: 200 });
    s.sends({ flags: "FP.", seq: 1, length: 100, at: 600 });
    s.receives({ ack: 102 });
    s.is("FIN_WAIT_2");
    s.sendsNothing({ for: 59_999 });
  });

  scenario("only the FIN is lost", () => {
    const s = established();
    s.writes(100);
    s.sends({ flags: "P.", seq: 1, length: 100 });
    s.close();
    s.sends({ flags: "F.", seq: 101 });
    s.receives({ ack: 101 });
    s.is("FIN_WAIT_1");
    s.sends({ flags: "F.", seq: 101, after: 200 });
    s.receives({ ack: 102 });
    s.is("FIN_WAIT_2");
  });

  scenario("a FIN that the fast retransmit finds lost", () => {
    const s = established({ mss: 1_000, wscale: 7 });
    s.writes(5_000);
    s.sent();
    s.shutdown();
    s.sends({ flags: "F.", seq: 5_001 });
    for (let i = 0; i < 3; i++) {
      s.receives({ ack: 5_001 });
      s.sendsNothing();
    }
    s.receives({ ack: 5_001 });
    s.sends({ flags: "F.", seq: 5_001 });
    s.receives({ ack: 5_002 });
    s.is("FIN_WAIT_2");
  });

  scenario("text in a shut window, FIN-WAIT-1 and the peer's FIN meanwhile", () => {
    const s = established();
    s.receives({ win: 0 });
    s.win = 0;
    s.writes(100);
    s.shutdown();
    s.receives({ flags: "F.", seq: 1, ack: 1 });
    s.sends({ ack: 2 });
    s.is("CLOSING");
    s.receives({ seq: 2, ack: 1, win: 1_000 });
    s.sends({ flags: "FP.", seq: 1, ack: 2, length: 100 });
    s.receives({ seq: 2, ack: 102, win: 1_000 });
    s.is("TIME_WAIT");
    s.wasToldOf(READABLE | FINISHED);
  });
});

describe("3.6.1: half-closed connections", () => {
  scenario("a host may continue to send in the open direction", () => {
    const s = closeWait();
    for (let i = 0; i < 5; i++) {
      s.writes(1_460);
      s.sends({ seq: 1 + i * 1_460, ack: 2, length: 1_460 });
      s.receives({ ack: 1 + (i + 1) * 1_460 });
    }
    s.close();
    s.sends({ flags: "F.", seq: 7_301, ack: 2 });
    s.receives({ ack: 7_302 });
    s.failedWith(null);
  });

  scenario("SHLD-3: CLOSE with received data pending: a reset shows that data were lost", () => {
    const s = established();
    s.receives({ length: 10 });
    s.writes(100);
    s.sent();
    s.close();
    s.sends({ flags: "R.", seq: 101, ack: 11 });
    s.failedWith("ECONNABORTED");
    poolIsFull(s);
    s.sendsNothing({ for: 1_000_000 });
  });

  scenario("also where these wait behind a gap", () => {
    const s = established();
    s.receives({ seq: 11, length: 10 });
    s.sends({ ack: 1 });
    s.close();
    s.sends({ flags: "R.", seq: 1, ack: 1 });
    s.failedWith("ECONNABORTED");
    poolIsFull(s);
  });

  scenario("CLOSE with everything read is an orderly one", () => {
    const s = established();
    s.receives({ length: 10 });
    s.reads(10);
    s.close();
    s.sends({ flags: "F.", seq: 1, ack: 11 });
  });

  scenario("after CLOSE, reading says that there is nothing", () => {
    const s = established();
    s.close();
    s.sends({ flags: "F." });
    s.readsEnd();
    s.writeFails("EPIPE");
  });

  scenario("SHUTDOWN, then CLOSE: one FIN; the program stops reading with CLOSE", () => {
    const s = established();
    s.shutdown();
    s.sends({ flags: "F.", seq: 1 });
    s.receives({ ack: 2, length: 10 });
    s.reads(10);
    s.close();
    s.sends({ seq: 2, ack: 11, at: 40 });
    s.receives({ length: 10, ack: 2 });
    s.sends({ flags: "R.", seq: 2, ack: 11 });
    s.failedWith("ECONNABORTED");
  });
});

describe("what has arrived can be read when the connection is over", () => {
  scenario("in an orderly way: by both FINs", () => {
    const s = established();
    s.shutdown();
    s.sends({ flags: "F.", seq: 1 });
    s.receives({ flags: "F.", seq: 1, ack: 2, length: 360 });
    s.sends({ seq: 2 });
    s.sendsNothing({ for: 60_000 });
    s.failedWith(null);
    expect(s.socket.readableBytes).toBe(360);
    s.reads(360);
    s.readsEnd();
    poolIsFull(s);
  });

  scenario("not after a reset: all segment queues are flushed (3.10.7.4, second)", () => {
    const s = established();
    s.receives({ length: 10 });
    s.receives({ flags: "R", seq: 11 });
    s.readFails("ECONNRESET");
    poolIsFull(s);
  });

  scenario("CLOSE after the end gives back what was not read", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 1, length: 100 });
    s.sends({ ack: 102 });
    s.shutdown();
    s.sends({ flags: "F." });
    s.receives({ seq: 102, ack: 2 });
    s.failedWith(null);
    s.close();
    s.sendsNothing();
    poolIsFull(s);
    s.readsEnd();
  });
});

describe("MUST-12: the program is informed whether the connection closed normally or was aborted", () => {
  scenario("normally: no error", () => {
    const s = closeWait();
    s.shutdown();
    s.sends({ flags: "F." });
    s.receives({ ack: 2 });
    s.wasToldOf(CLOSED_EVENT | READABLE | WRITABLE | FINISHED);
    expect(s.socket.error).toBeNull();
    expect(s.socket.errorCode).toBeNull();
  });

  scenario("aborted: an error with the connection's name", () => {
    const s = established({ passive: true });
    s.receives({ flags: "R", seq: 1 });
    s.wasToldOf(CLOSED_EVENT | READABLE | WRITABLE);
    expect(s.socket.errorCode).toBe("ECONNRESET");
    expect(s.socket.error?.message).toContain("(10.0.0.1:80 - 10.0.0.2:5000)");
  });
});

describe("the number of a socket", () => {
  scenario("is kept until its reset could be sent, and given back then", () => {
    const s = established({ maxSockets: 1 });
    s.host.device.room = 0;
    s.abort();
    s.failedWith("ECONNABORTED");
    expect(s.host.stack.sockets.size).toBe(1);
    s.host.device.room = 10;
    s.host.run();
    s.sends({ flags: "R.", seq: 1, ack: 1 });
    expect(s.host.stack.sockets.size).toBe(0);
  });

  scenario("what arrives before the reset could be sent finds no connection any more", () => {
    const s = established();
    s.host.device.room = 0;
    s.abort();
    s.host.device.room = 1;
    s.receives({ length: 10 });
    s.sends({ flags: "R", seq: 1 });
    s.host.device.room = 10;
    s.host.run();
    s.sends({ flags: "R.", seq: 1, ack: 1 });
  });
});

describe("the memory of a connection", () => {
  scenario("an idle one holds none", () => {
    const s = established();
    s.writes(100);
    s.sends({ length: 100 });
    s.receives({ ack: 101, length: 100 });
    s.reads(100);
    poolIsFull(s);
  });

  scenario("nor one that was aborted, reset or has timed out", () => {
    for (const end of [
      (s: Conversation) => s.abort(),
      (s: Conversation) => s.receives({ flags: "R", seq: 101 }),
      (s: Conversation) => s.passes(400_000),
    ]) {
      const s = established();
      s.writes(50_000);
      s.sent();
      s.receives({ seq: 1, length: 100, ack: 1 }, { seq: 40_001, length: 100, ack: 1 });
      s.sent();
      end(s);
      s.sent();
      s.is("CLOSED");
      poolIsFull(s);
      expect(s.host.stack.sockets.size).toBe(0);
    }
  });
});
