import { describe, expect } from "bun:test";
import { READABLE } from "../../../src/index.ts";
import { established, scenario, segments } from "../../support/tcp.ts";

/** RFC 9293 3.10.7.4, SHLD-31: segments with higher beginning sequence numbers are held for later processing. */

describe("segments out of order", () => {
  scenario("are read once the gap is filled, and not before", () => {
    const s = established();
    s.receives({ seq: 101, length: 100 });
    s.sends({ ack: 1 });
    s.readsNothing();
    s.wasToldOf(0);
    s.receives({ seq: 1, length: 100 });
    s.sends({ ack: 201 });
    s.wasToldOf(READABLE);
    s.reads(200);
  });

  scenario("also where one byte is missing", () => {
    const s = established();
    s.receives({ seq: 2, length: 9 });
    s.sends({ ack: 1 });
    s.readsNothing();
    s.receives({ seq: 1, length: 1 });
    s.sends({ ack: 11 });
    s.reads(10);
  });

  scenario("in reverse", () => {
    const s = established();
    for (let i = 9; i > 0; i--) {
      s.receives({ seq: 1 + i * 100, length: 100 });
      s.sends({ ack: 1 });
    }
    s.receives({ seq: 1, length: 100 });
    s.sends({ ack: 1_001 });
    s.reads(1_000);
  });

  scenario("every second one first", () => {
    const s = established();
    for (let i = 1; i < 20; i += 2) {
      s.receives({ seq: 1 + i * 100, length: 100 });
      s.sends({ ack: 1 });
    }
    for (let i = 0; i < 20; i += 2) {
      s.receives({ seq: 1 + i * 100, length: 100 });
      s.sends({ ack: 1 + (i + 2) * 100 });
      s.reads(200);
    }
  });

  scenario("across pages, with a reader in between", () => {
    const s = established();
    for (let round = 0; round < 10; round++) {
      const at = 1 + round * 10_000;
      s.receives(...segments(9, 1_000, at + 1_000));
      s.sent();
      s.receives({ seq: at, length: 1_000 });
      s.sends({ ack: at + 10_000 });
      s.reads(10_000);
      s.sent();
    }
  });
});

describe("overlaps: each byte is delivered once", () => {
  scenario("a segment that overlaps two others and the gap between them", () => {
    const s = established();
    s.receives({ seq: 101, length: 100 });
    s.sends({ ack: 1 });
    s.receives({ seq: 301, length: 100 });
    s.sends({ ack: 1 });
    s.receives({ seq: 151, length: 200 });
    s.sends({ ack: 1 });
    s.receives({ seq: 1, length: 150 });
    s.sends({ ack: 401 });
    s.reads(400);
  });

  scenario("a segment that another contains", () => {
    const s = established();
    s.receives({ seq: 101, length: 300 });
    s.sends({ ack: 1 });
    s.receives({ seq: 201, length: 100 });
    s.sends({ ack: 1 });
    s.receives({ seq: 1, length: 100 });
    s.sends({ ack: 401 });
    s.reads(400);
  });

  scenario("one that contains everything so far", () => {
    const s = established();
    s.receives({ seq: 101, length: 10 });
    s.sends({ ack: 1 });
    s.receives({ seq: 201, length: 10 });
    s.sends({ ack: 1 });
    s.receives({ seq: 1, length: 1_000 });
    s.sends({ ack: 1_001 });
    s.reads(1_000);
    s.readsNothing();
  });

  scenario("a duplicate of what was read is acknowledged and not delivered", () => {
    const s = established();
    s.receives(...segments(2, 100, 1));
    s.sends({ ack: 201 });
    s.reads(200);
    s.receives({ seq: 1, length: 100 });
    s.sends({ ack: 201 });
    s.receives({ seq: 1, length: 200 });
    s.sends({ ack: 201 });
    s.readsNothing();
  });

  scenario("a duplicate of what waits ahead of the gap", () => {
    const s = established();
    for (let i = 0; i < 3; i++) {
      s.receives({ seq: 101, length: 100 });
      s.sends({ ack: 1 });
    }
    s.receives({ seq: 1, length: 100 });
    s.sends({ ack: 201 });
    s.reads(200);
  });

  scenario("old text, a gap's and new text in one segment", () => {
    const s = established();
    s.receives(...segments(2, 100, 1));
    s.sends({ ack: 201 });
    s.receives({ seq: 301, length: 100 });
    s.sends({ ack: 201 });
    s.receives({ seq: 101, length: 500 });
    s.sends({ ack: 601 });
    s.reads(600);
  });
});

describe("a FIN ahead of a gap", () => {
  scenario("is reached when the gap is filled", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 101, length: 100 });
    s.sends({ ack: 1 });
    s.is("ESTABLISHED");
    s.receives({ seq: 1, length: 100 });
    s.sends({ ack: 202 });
    s.is("CLOSE_WAIT");
    s.reads(200);
    s.readsEnd();
  });

  scenario("without text of its own", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 201 });
    s.sends({ ack: 1 });
    s.receives({ seq: 1, length: 100 });
    s.sends({ ack: 101, at: 40 });
    s.is("ESTABLISHED");
    s.receives({ seq: 101, length: 100 });
    s.sends({ ack: 202 });
    s.is("CLOSE_WAIT");
  });

  scenario("sent again in sequence counts once", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 101, length: 100 });
    s.sends({ ack: 1 });
    s.receives({ flags: "F.", seq: 1, length: 200 });
    s.sends({ ack: 202 });
    s.is("CLOSE_WAIT");
    s.reads(200);
    s.readsEnd();
  });

  scenario("with two gaps before it", () => {
    const s = established();
    s.receives({ flags: "F.", seq: 301, length: 10 });
    s.sends({ ack: 1 });
    s.receives({ seq: 101, length: 100 });
    s.sends({ ack: 1 });
    s.receives({ seq: 1, length: 100 });
    s.sends({ ack: 201 });
    s.is("ESTABLISHED");
    s.receives({ seq: 201, length: 100 });
    s.sends({ ack: 312 });
    s.is("CLOSE_WAIT");
    s.reads(310);
    s.readsEnd();
  });

  scenario("what a liar sends behind its FIN is not delivered, and holds no memory in the end", () => {
    const s = established();
    s.receives({ seq: 40_001, length: 1_000 });
    s.sends({ ack: 1 });
    s.receives({ flags: "F.", seq: 1, length: 100 });
    s.sends({ ack: 102 });
    s.is("CLOSE_WAIT");
    s.reads(100);
    s.readsEnd();
    s.shutdown();
    s.sends({ flags: "F." });
    s.receives({ seq: 102, ack: 2 });
    s.failedWith(null);
    const { pool } = s.host.stack.sockets.context;
    expect(pool.freePages).toBe(pool.pageCount);
  });
});

describe("limits", () => {
  scenario("1,024 ranges are kept; what would be one more is dropped, and sent again by the peer", () => {
    const s = established();
    for (let i = 1; i <= 1_030; i++) {
      s.receives({ seq: 1 + i * 20, length: 10 });
      s.sends({ ack: 1 });
    }
    expect(s.host.stack.stats).toMatchObject({ tcpOutOfOrder: 1_030, tcpNoBuffer: 6 });
    // What a range grows by is no range more.
    s.receives({ seq: 1 + 1_024 * 20 + 10, length: 5 });
    s.sends({ ack: 1 });
    expect(s.host.stack.stats.tcpNoBuffer).toBe(6);
    // In sequence, text is always taken.
    s.receives({ seq: 1, length: 20 });
    s.sends({ ack: 31 });
    s.receives({ seq: 31, length: 1_023 * 20 });
    s.sends({ ack: 1 + 1_024 * 20 + 15 });
    s.receives({ seq: 1 + 1_024 * 20 + 15, length: 200 });
    s.reads(1_024 * 20 + 215);
  });

  scenario("a full pool: the text is dropped, an ACK says what arrived, and the peer sends it again", () => {
    const s = established();
    const giveBack = s.host.leavePages(0);
    s.receives({ seq: 1, length: 1_000 });
    s.sends({ ack: 1 });
    s.readsNothing();
    s.receives({ flags: "F.", seq: 1, length: 1_000 });
    s.sends({ ack: 1 });
    s.is("ESTABLISHED");
    s.receives({ seq: 1_001, length: 1_000 });
    s.sends({ ack: 1 });
    expect(s.host.stack.stats.tcpNoBuffer).toBe(3);
    s.wasToldOf(0);
    giveBack();
    s.receives({ flags: "F.", seq: 1, length: 1_000 });
    s.sends({ ack: 1_002 });
    s.reads(1_000);
    s.readsEnd();
  });

  scenario("a segment of which only a part finds a page: that part is acknowledged, at once", () => {
    const s = established();
    const giveBack = s.host.leavePages(1);
    s.receives(...segments(16, 1_000, 1));
    s.sends({ ack: 16_001 });
    s.receives({ flags: "F.", seq: 16_001, length: 1_000 });
    s.sends({ ack: 16_385 });
    s.receives({ seq: 17_001, length: 1_000 });
    s.sends({ ack: 16_385 });
    s.is("ESTABLISHED");
    giveBack();
    s.reads(16_384);
    s.sent();
    s.receives({ flags: "F.", seq: 16_385, length: 616 });
    s.sends({ ack: 17_002 });
    s.reads(616);
    s.readsEnd();
  });

  scenario("text ahead of a gap is given up when what fills the gap finds no page", () => {
    const s = established({ mtu: 20_000 });
    s.receives({ seq: 20_001, length: 1_000 });
    s.sends({ ack: 1 });
    const giveBack = s.host.leavePages(0);
    s.receives({ seq: 1, length: 1_000 });
    s.sends({ ack: 1_001 });
    expect(s.host.stack.stats.tcpNoBuffer).toBe(1);
    s.reads(1_000);
    giveBack();
    // The peer has to send again what was given up.
    s.receives({ seq: 1_001, length: 19_000 });
    s.sends({ ack: 20_001 });
    s.receives({ seq: 20_001, length: 1_000 });
    s.reads(20_000);
  });

  scenario("and not before: as long as there is a page, both are kept", () => {
    const s = established({ mtu: 20_000 });
    s.receives({ seq: 20_001, length: 1_000 });
    s.sends({ ack: 1 });
    const giveBack = s.host.leavePages(1);
    s.receives({ seq: 1, length: 1_000 });
    s.sends({ ack: 1_001 });
    s.reads(1_000);
    giveBack();
    s.receives({ seq: 1_001, length: 19_000 });
    s.sends({ ack: 21_001 });
    s.reads(20_000);
  });
});
