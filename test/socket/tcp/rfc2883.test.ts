import { describe, expect } from "bun:test";
import { type Conversation, scenario } from "../../support/tcp.ts";
import { acks, block, flies, RTT_MS, sacks, segment, withSack } from "../../support/tcp-recovery.ts";

/** RFC 2883, the sender's side (what the receiver tells: `rfc2018`), as RFC 3708 uses it: what had not been lost after all. */

/** Segment 1 was found lost and sent again; the window is halved. */
function repairing(): Conversation {
  const s = withSack();
  flies(s, 20_000);
  s.passes(RTT_MS);
  expect(sacks(s, 1, block(2, 4))).toEqual([1]);
  expect(s.socket.info()).toMatchObject({ ssthresh: 5_000 });
  s.passes(10);
  return s;
}

const undone = { tcpSpuriousRecoveries: 1 };
const notUndone = { tcpSpuriousRecoveries: 0 };

describe("an ACK that was overtaken", () => {
  scenario("still tells of what has arrived, and is no duplicate", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    sacks(s, 4_001, block(8));
    sacks(s, 3_001, block(5, 7));
    expect(s.tcb?.sent.sackedBytes).toBe(4_000);
    expect(s.host.stack.stats.tcpDuplicateReports).toBe(0);
  });
});

describe("4: a D-SACK is the first block", () => {
  scenario(
    "below the acknowledgment number: what was sent again came twice, and the window is as it was",
    () => {
      const s = repairing();
      sacks(s, 4_001, block(1));
      expect(s.host.stack.stats).toMatchObject({ ...undone, tcpDuplicateReports: 1 });
      expect(s.socket.info()).toMatchObject({ ssthresh: null });
      expect(s.socket.info().cwnd).toBeGreaterThanOrEqual(10_000);
      expect(s.tcb?.loss.phase).toBe(0);
    },
  );

  scenario("within the second block, ahead of what is acknowledged", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    // 1 and 3 are missing, both are sent again; 3 had only been late, 1 is still missing.
    sacks(s, 1, block(4, 8), block(2));
    s.passes(RTT_MS);
    sacks(s, 1, block(3), block(2, 8));
    expect(s.host.stack.stats).toMatchObject({ tcpDuplicateReports: 1, ...notUndone });
    // The block is no news of other text: 3 counts once.
    expect(s.tcb?.sent.sackedBytes).toBe(7_000);
  });

  scenario("after recovery has ended as well", () => {
    const s = repairing();
    acks(s, 10_001);
    expect(s.tcb?.loss.phase).toBe(0);
    expect(s.socket.info()).toMatchObject({ ssthresh: 5_000 });
    s.passes(RTT_MS - 10);
    sacks(s, 10_001, block(1));
    expect(s.host.stack.stats).toMatchObject(undone);
    expect(s.socket.info()).toMatchObject({ ssthresh: null });
  });

  scenario("and when nothing is outstanding any more", () => {
    const s = withSack();
    flies(s, 5_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(2, 4))).toEqual([1]);
    s.passes(10);
    acks(s, 5_001);
    s.passes(RTT_MS);
    sacks(s, 5_001, block(1));
    expect(s.host.stack.stats).toMatchObject({ ...undone, tcpDuplicateReports: 1 });
  });

  scenario("not before all that was sent again is reported", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    sacks(s, 1, block(8, 10));
    const sent = s.tcb!.bytesRetransmitted;
    expect(sent).toBe(3_000);
    s.passes(10);
    sacks(s, 3_001, block(1), block(8, 10));
    expect(s.host.stack.stats).toMatchObject(notUndone);
  });

  scenario("what is known to be lost by then, and was not sent again, is under way after all", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    // Of seven that seem lost, three are sent again; all of it had only been overtaken.
    expect(sacks(s, 1, block(8, 10))).toEqual(segment(1, 2, 3));
    expect(s.tcb?.sent.lostBytes).toBe(4_000);
    s.passes(10);
    s.tcb!.loss.undoBytes = 1_000;
    sacks(s, 1_001, block(1), block(8, 10));
    expect(s.host.stack.stats).toMatchObject(undone);
    // What RACK does not find lost once more is not sent again.
    expect(s.tcb!.sent.lostBytes + s.tcb!.sent.pipe + s.tcb!.sent.sackedBytes).toBe(
      (s.tcb!.sndNxt - s.tcb!.sndUna) | 0,
    );
  });
});

describe("a timeout while losses are repaired", () => {
  scenario("what was sent again before it is to be reported as well", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(8, 10))).toEqual(segment(1, 2, 3));
    s.sends({ seq: 1, length: 1_000, after: s.tcb!.rto });
    // 1 came three times, with what was sent for the first time.
    sacks(s, 1_001, block(1), block(8, 10));
    expect(s.host.stack.stats).toMatchObject({ tcpDuplicateReports: 1, ...notUndone });
    expect(s.socket.info().ssthresh).toBe(5_000);
  });
});

describe("reports that tell nothing", () => {
  scenario("of text before that loss", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    acks(s, 5_001);
    expect(sacks(s, 5_001, block(7, 9))).toEqual(segment(6));
    s.passes(10);
    sacks(s, 5_001, block(1));
    sacks(s, 5_001, block(2));
    expect(s.host.stack.stats).toMatchObject(notUndone);
    expect(s.socket.info().ssthresh).not.toBeNull();
  });

  scenario("of what was never sent", () => {
    const s = repairing();
    for (const edges of [
      [50_001, 51_001],
      [-2_000_000_000, 1],
      [-100_000_000, 4_001],
    ] as [number, number][]) {
      sacks(s, 4_001, edges);
    }
    expect(s.host.stack.stats).toMatchObject({ ...notUndone, tcpDuplicateReports: 0 });
  });

  scenario("of what the network has doubled: nothing had been sent twice", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    acks(s, 4_001);
    for (let i = 1; i <= 4; i++) sacks(s, 4_001, block(i));
    expect(s.host.stack.stats).toMatchObject({ tcpDuplicateReports: 4 });
    expect(s.tcb?.loss.reorderMultiplier).toBe(1);
    // Nor does that count for what is lost afterwards.
    expect(sacks(s, 4_001, block(6, 8))).toEqual(segment(5));
    expect(s.host.stack.stats).toMatchObject(notUndone);
  });

  scenario("a report by itself changes neither window nor what is under way", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    acks(s, 4_001);
    s.sent();
    const { cwnd, pipe, delivered } = s.tcb!;
    for (let i = 0; i < 50; i++) expect(sacks(s, 4_001, block(1 + (i % 4)))).toEqual([]);
    expect(s.tcb).toMatchObject({ cwnd, pipe, delivered });
  });
});
