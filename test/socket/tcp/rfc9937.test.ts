import { describe, expect } from "bun:test";
import { type Conversation, scenario } from "../../support/tcp.ts";
import { acks, block, flies, RTT_MS, sacks, segment, withSack } from "../../support/tcp-recovery.ts";

/**
 * RFC 9937, proportional rate reduction; all numbers are worked by hand. Ten segments are out when loss is found, ssthresh
 * is five. Times are apart, so that what was sent before what is clear.
 */

/** Ten segments of 1,000 bytes are out, of which so many were not written before; a round trip has passed. */
function tenOut(more = 10_000): Conversation {
  const s = withSack();
  expect(flies(s, 10_000 + more)).toHaveLength(10);
  s.passes(RTT_MS);
  return s;
}

function passing<T>(s: Conversation, value: T): T {
  s.passes(1);
  return value;
}

describe("6: the proportional part, while pipe is above ssthresh", () => {
  scenario("one segment is sent for two that are delivered", () => {
    const s = tenOut(0);
    // RecoverFS: 10,000 less 0 SACKed before. 3,000 are delivered, one lost: pipe is 6,000, above 5,000.
    // CEIL(3,000 * 5,000 / 10,000) = 1,500: the fast retransmit.
    expect(passing(s, sacks(s, 1, block(2, 4)))).toEqual(segment(1));
    expect(s.tcb?.loss).toMatchObject({ recoverFlight: 10_000, prrDelivered: 3_000, prrOut: 1_000 });
    expect(s.socket.info()).toMatchObject({ cwnd: 7_500, ssthresh: 5_000 });
    s.writes(10_000);
    // 4,000: 2,000 - 1,000 sent = 1,000; pipe, 6,000 by now, and that.
    expect(passing(s, sacks(s, 1, block(2, 5)))).toEqual(segment(11));
    expect(s.socket.info().cwnd).toBe(7_000);
  });

  scenario("what was SACKed before does not count as delivered; limited transmit was sent", () => {
    const s = tenOut();
    expect(passing(s, sacks(s, 1, block(2)))).toEqual(segment(11));
    expect(passing(s, sacks(s, 1, block(2, 3)))).toEqual(segment(12));
    // 12,000 outstanding, 2,000 of them SACKed before.
    expect(passing(s, sacks(s, 1, block(2, 4)))).toEqual(segment(1));
    expect(s.tcb?.loss).toMatchObject({ recoverFlight: 10_000, prrDelivered: 1_000, prrOut: 1_000 });
    // pipe: 12,000 - 3,000 - 1,000 + 1,000 = 9,000. 2,000 delivered, 1,000 may be out, and is.
    expect(passing(s, sacks(s, 1, block(2, 5)))).toEqual([]);
    expect(s.socket.info().cwnd).toBe(8_000);
    // 3,000: half a segment is no segment. 4,000: it is one.
    expect(passing(s, sacks(s, 1, block(2, 6)))).toEqual([]);
    expect(passing(s, sacks(s, 1, block(2, 7)))).toEqual(segment(13));
    expect(passing(s, sacks(s, 1, block(2, 8)))).toEqual([]);
    // 6,000 delivered: 3,000 - 2,000. pipe is 6,000 - 1,000 = 5,000, no more above ssthresh.
    expect(s.tcb?.sent.pipe).toBe(6_000);
  });

  scenario("a window that is reduced by less: ssthresh is 7,000", () => {
    const s = withSack({ tcp: { congestionControl: "cubic" } });
    expect(flies(s, 20_000)).toHaveLength(10);
    s.passes(RTT_MS);
    const sent = [2, 3, 4, 5, 6, 7].map((i) => passing(s, sacks(s, 1, block(2, i))));
    // 2,000 delivered: 1,400 - 1,000. 3,000: pipe has come down to ssthresh, where it stays: one for one.
    expect(sent).toEqual([segment(11), segment(12), segment(1), [], [], segment(13)]);
    expect(s.socket.info().ssthresh).toBe(7_000);
    expect(s.tcb?.sent.pipe).toBe(7_000);
  });
});

describe("6: below ssthresh", () => {
  scenario("packet conservation, while ACKs do not show that losses are over", () => {
    const s = tenOut();
    // Seven are lost, three delivered: pipe is 0. As much is sent as was delivered.
    expect(passing(s, sacks(s, 1, block(8, 10)))).toEqual(segment(1, 2, 3));
    expect(s.socket.info().cwnd).toBe(3_000);
  });

  scenario("the slow-start reduction bound where they do: a segment more for each such ACK", () => {
    const s = tenOut();
    expect(passing(s, sacks(s, 1, block(8, 10)))).toEqual(segment(1, 2, 3));
    s.passes(RTT_MS - 1);
    // 1 arrives: SND.UNA advances, nothing more is lost. 4,000 delivered, 3,000 sent: 1,000, and one more.
    expect(sacks(s, 1_001, block(8, 10))).toEqual(segment(4, 5));
    expect(s.socket.info().cwnd).toBe(2_000 + 2_000);
    expect(sacks(s, 2_001, block(8, 10))).toEqual(segment(6, 7));
    // pipe is 4,000: no more than ssthresh.
    expect(sacks(s, 3_001, block(8, 10))).toEqual(segment(11));
    expect(s.socket.info().cwnd).toBe(5_000);
    expect(s.tcb?.sent.pipe).toBe(5_000);
  });

  scenario("not where the ACK shows another loss", () => {
    const s = tenOut();
    expect(passing(s, sacks(s, 1, block(8, 10)))).toEqual(segment(1, 2, 3));
    s.passes(RTT_MS - 1);
    // 1 was lost again: 2, sent after it, is SACKed. One is delivered, and one is sent.
    expect(sacks(s, 1, block(2), block(8, 10))).toEqual(segment(1));
    expect(s.tcb?.loss).toMatchObject({ prrDelivered: 4_000, prrOut: 4_000 });
  });

  scenario("also where SND.UNA advances with it", () => {
    const s = tenOut();
    expect(passing(s, sacks(s, 1, block(8, 10)))).toEqual(segment(1, 2, 3));
    s.passes(RTT_MS - 1);
    // 1 and 3 have arrived, 2 is lost again: two are delivered, and two are sent.
    expect(sacks(s, 1_001, block(3), block(8, 10))).toEqual(segment(2, 4));
  });

  scenario("an ACK that delivers nothing changes nothing", () => {
    const s = tenOut();
    expect(passing(s, sacks(s, 1, block(2, 4)))).toEqual(segment(1));
    const { cwnd } = s.socket.info();
    for (let i = 0; i < 5; i++) expect(acks(s, 1)).toEqual([]);
    for (let i = 0; i < 5; i++) expect(sacks(s, 1, block(2, 4))).toEqual([]);
    expect(s.socket.info().cwnd).toBe(cwnd);
  });

  scenario("what divides an ACK gets no more for it than ssthresh", () => {
    const s = tenOut();
    expect(passing(s, sacks(s, 1, block(8, 10)))).toEqual(segment(1, 2, 3));
    s.passes(RTT_MS - 1);
    for (let i = 2; i <= 1_001; i += 9) {
      sacks(s, i, block(8, 10));
      expect(s.tcb!.sent.pipe).toBeLessThanOrEqual(5_000);
    }
  });
});

describe("6: the end of recovery", () => {
  scenario("the window is ssthresh, whatever was sent", () => {
    const s = tenOut(0);
    passing(s, sacks(s, 1, block(2, 10)));
    s.passes(RTT_MS);
    expect(acks(s, 10_001)).toEqual([]);
    expect(s.socket.info()).toMatchObject({ cwnd: 5_000, ssthresh: 5_000 });
    expect(s.tcb?.loss.phase).toBe(0);
    expect(flies(s, 10_000)).toEqual(segment(11, 12, 13, 14, 15));
  });

  scenario("the timer finds the loss: one segment goes, and no more than that", () => {
    const s = tenOut();
    expect(sacks(s, 1, block(2))).toEqual(segment(11));
    s.passes(24);
    expect(s.host.outbox).toHaveLength(0);
    s.sends({ seq: 1, length: 1_000, after: 1 });
    expect(s.tcb?.loss).toMatchObject({ recoverFlight: 10_000, prrDelivered: 0, prrOut: 1_000 });
    expect(s.tcb?.sent.pipe).toBe(s.socket.info().cwnd);
  });
});
