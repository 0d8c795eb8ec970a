import { describe, expect } from "bun:test";
import { established, scenario } from "../../support/tcp.ts";

/** Segments that look like the next text of a bulk transfer, and are more than that. */

describe("not taken for the next text alone", () => {
  scenario("text behind the peer's FIN", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 1 });
    s.sends({ ack: 2 });
    s.receives({ seq: 2, length: 100 });
    s.readsEnd();
    expect(s.socket.info().bytesReceived).toBe(0);
  });

  scenario("text of a peer whose window is shut: it is alive, and our text may wait for ever", () => {
    const s = established({ win: 0, tcp: { userTimeoutMs: 10_000, receiveBuffer: 65_535 } });
    s.writes(100);
    for (let i = 0; i < 40; i++) {
      s.receives({ seq: 1 + i * 10, ack: 1, win: 0, length: 10 });
      s.host.moveTo((i + 1) * 1_000);
      while (s.host.outbox.length > 0) s.sent();
    }
    s.is("ESTABLISHED");
  });
});
