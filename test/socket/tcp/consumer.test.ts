import { describe, expect } from "bun:test";
import { END_OF_STREAM } from "../../../src/index.ts";
import { established, scenario } from "../../support/tcp.ts";

/** RFC 9293 3.10.7.4, seventh: text that the program takes in the moment it arrives. */

describe("a consumer", () => {
  scenario("is shown what arrives in order, and nothing is left to read", () => {
    const s = established();
    s.takesAtOnce();
    s.receives({ seq: 1, length: 1_000 });
    s.receives({ seq: 1_001, length: 1_000 });
    s.sends({ ack: 2_001 });
    expect(s.taken).toBe(2_000);
    s.readsNothing();
    expect(s.socket.info().bytesReceived).toBe(2_000);
  });

  scenario("what it leaves is buffered, and so is what comes behind until that has been read", () => {
    const s = established();
    s.takesAtOnce(300);
    s.receives({ seq: 1, length: 1_000 });
    expect(s.socket.readableBytes).toBe(700);
    s.receives({ seq: 1_001, length: 1_000 });
    s.sends({ ack: 2_001 });
    expect(s.taken).toBe(300);
    s.reads(1_700);
    s.receives({ seq: 2_001, length: 100 });
    expect(s.taken).toBe(2_100);
  });

  scenario("text behind a gap is not shown, and comes by the buffer when the gap is filled", () => {
    const s = established();
    s.takesAtOnce();
    s.receives({ seq: 1_001, length: 1_000 });
    s.sends({ ack: 1 });
    s.receives({ seq: 1, length: 1_000 });
    s.sends({ ack: 2_001 });
    expect(s.taken).toBe(0);
    s.reads(2_000);
    s.receives({ seq: 2_001, length: 10 });
    expect(s.taken).toBe(2_010);
  });

  scenario("is shown only the part that is new", () => {
    const s = established();
    s.takesAtOnce();
    s.receives({ seq: 1, length: 500 });
    s.receives({ seq: 1, length: 800 });
    expect(s.taken).toBe(800);
  });

  scenario("the window stays open: nothing is stored", () => {
    const s = established({ tcp: { receiveBuffer: 4_000 }, mss: 1_000 });
    s.takesAtOnce();
    for (let i = 0; i < 12; i += 2) {
      s.receives({ seq: 1 + i * 1_000, length: 1_000 }, { seq: 1_001 + i * 1_000, length: 1_000 });
      s.sends({ ack: 2_001 + i * 1_000, win: 4_000 });
    }
  });

  scenario("the FIN behind the text is reached", () => {
    const s = established();
    s.takesAtOnce();
    s.receives({ flags: "F.", seq: 1, length: 5 });
    s.sends({ ack: 7 });
    expect(s.taken).toBe(5);
    expect(s.socket.consume(() => 0)).toBe(END_OF_STREAM);
  });

  scenario("it may shut down when it has had enough", () => {
    const s = established();
    s.takesAtOnce(5, () => s.socket.shutdown());
    s.receives({ seq: 1, length: 5 });
    s.sends({ flags: "F.", seq: 1, ack: 6 });
    expect(s.socket.state).toBe("FIN_WAIT_1");
  });

  scenario("where it closes and has taken all, the end is an orderly one", () => {
    const s = established();
    s.takesAtOnce(5, () => s.socket.close());
    s.receives({ seq: 1, length: 5 });
    s.sends({ flags: "F.", seq: 1, ack: 6 });
    s.receives({ flags: "F.", seq: 6, ack: 2 });
    s.sends({ ack: 7 });
    expect(s.socket.state).toBe("TIME_WAIT");
  });

  scenario("where it closes and leaves some, the peer is told by a reset", () => {
    const s = established();
    s.takesAtOnce(2, () => s.socket.close());
    s.receives({ flags: "F.", seq: 1, length: 5 });
    s.sends({ flags: "R.", seq: 1, ack: 1 });
    expect(s.socket.state).toBe("CLOSED");
  });

  scenario("it may abort the connection", () => {
    const s = established();
    s.takesAtOnce(5, () => s.socket.abort());
    s.receives({ flags: "F.", seq: 1, length: 5 });
    s.sends({ flags: "R.", seq: 1, ack: 1 });
    expect(s.socket.errorCode).toBe("ECONNABORTED");
  });

  for (const wrong of [-1, 6, Number.NaN]) {
    scenario(`that takes ${wrong} of 5 bytes is told so by poll, and they count as not received`, () => {
      const s = established();
      s.socket.consumer = () => wrong;
      expect(() => s.receives({ seq: 1, length: 5 })).toThrow("of 5 bytes: return 0 to 5");
      s.socket.consumer = null;
      s.receives({ seq: 1, length: 5 });
      s.reads(5);
    });
  }
});
