import { describe, expect } from "bun:test";
import { type Conversation, scenario } from "../../support/tcp.ts";
import {
  acks,
  block,
  flies,
  RTT_MS,
  sacks,
  segment,
  starts,
  withoutSack,
  withSack,
} from "../../support/tcp-recovery.ts";
import { checkScoreboard } from "../../support/tcp-scoreboard.ts";

/** RFC 8985: RACK finds losses by the times of sending; TLP asks for an ACK where the end of a flight is lost. */

/** A quarter of the shortest round trip: how much reordering is allowed for. */
const WINDOW_MS = RTT_MS / 4;

const OPEN = 0;
const RECOVERY = 1;

/** The peer has seen reordering: the last of three segments comes first. What is sent is new text. */
function reorders(s: Conversation): void {
  const una = (s.tcb!.sndUna - s.iss) | 0;
  const nxt = (s.tcb!.sndNxt - s.iss) | 0;
  sacks(s, una, [nxt - 1_000, nxt]);
  sacks(s, una, [nxt - 2_000, nxt]);
  acks(s, nxt);
  expect(s.tcb?.loss.reorderingSeen).toBe(true);
}

describe("6.2: RACK, what is lost", () => {
  scenario(
    "step 5: sent before what was delivered, by more than the reordering window: the timer finds it",
    () => {
      const s = withSack();
      flies(s, 3_000);
      s.passes(RTT_MS);
      expect(sacks(s, 1, block(2))).toEqual([]);
      s.sendsNothing({ for: WINDOW_MS - 1 });
      s.sends({ seq: 1, length: 1_000, after: 1 });
      expect(s.tcb?.loss.phase).toBe(RECOVERY);
      expect(s.host.stack.stats).toMatchObject({ tcpFastRetransmissions: 1, tcpTimeouts: 0 });
    },
  );

  scenario("what arrives within the window was not lost", () => {
    const s = withSack();
    flies(s, 3_000);
    s.passes(RTT_MS);
    sacks(s, 1, block(2));
    s.passes(WINDOW_MS - 1);
    acks(s, 2_001);
    s.sendsNothing({ for: 50 });
    expect(s.host.stack.stats.tcpRetransmissions).toBe(0);
    expect(s.tcb?.loss.reorderingSeen).toBe(true);
  });

  scenario("what was sent after it is not looked at", () => {
    const s = withSack();
    flies(s, 3_000);
    s.passes(50);
    expect(flies(s, 1_000)).toEqual(segment(4));
    s.passes(50);
    sacks(s, 1, block(3));
    s.passes(WINDOW_MS);
    expect(starts(s)).toEqual(segment(1));
    expect(s.tcb?.sent).toMatchObject({ lostBytes: 1_000, pipe: 2_000 });
  });

  scenario("step 4: three SACKed segments leave no time for reordering, where none was seen", () => {
    const s = withSack();
    flies(s, 5_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(2, 3))).toEqual([]);
    expect(sacks(s, 1, block(2, 4))).toEqual([1]);
  });

  scenario("step 4: they do where it was seen", () => {
    const s = withSack();
    flies(s, 3_000);
    s.passes(RTT_MS);
    reorders(s);
    flies(s, 8_000);
    s.passes(RTT_MS);
    expect(sacks(s, 3_001, block(5, 10))).toEqual([]);
    s.sends({ seq: 3_001, length: 1_000, after: WINDOW_MS });
  });

  scenario("step 4: none is left either while losses are repaired", () => {
    const s = withSack();
    flies(s, 6_000);
    s.passes(RTT_MS);
    sacks(s, 1, block(2));
    s.sends({ seq: 1, length: 1_000, after: WINDOW_MS });
    sacks(s, 1, block(2), block(4));
    expect(s.tcb?.sent.lostBytes).toBe(1_000);
  });

  scenario("step 3: an ACK of the first segments of a flight, and then a gap, is no reordering", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    acks(s, 2_001);
    expect(s.tcb?.loss.fack).toBe((s.iss + 2_001) | 0);
    sacks(s, 2_001, block(4));
    sacks(s, 2_001, block(4, 5));
    expect(s.tcb?.loss.reorderingSeen).toBe(false);
    expect(sacks(s, 2_001, block(4, 6))).toEqual(segment(3));
  });

  scenario("step 3: nor does the order of blocks tell of any", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    sacks(s, 1, block(6), block(4), block(2));
    expect(s.tcb?.loss.reorderingSeen).toBe(false);
  });

  scenario("step 3: nor what was sent again", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    sacks(s, 1, block(2, 10));
    s.passes(RTT_MS);
    acks(s, 10_001);
    expect(s.tcb?.loss.reorderingSeen).toBe(false);
  });

  scenario("the window is no wider than the smoothed round-trip time", () => {
    const s = withSack();
    flies(s, 3_000);
    s.passes(RTT_MS);
    s.tcb!.loss.reorderMultiplier = 40;
    const srtt = s.tcb!.srtt;
    sacks(s, 1, block(2));
    expect(s.tcb?.reorderAt).toBeCloseTo(s.host.stack.sockets.context.now + srtt, 6);
  });

  scenario("the ACK that ends a recovery leaves time for the reordering of what was sent since", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(2, 4))).toEqual([1]);
    s.passes(1);
    expect(sacks(s, 1, block(2, 5))).toEqual(segment(11));
    s.passes(1);
    expect([7, 8, 9, 10].flatMap((i) => sacks(s, 1, block(2, i)))).toEqual(segment(12, 13, 14));
    s.passes(RTT_MS);
    // 13 overtakes 11 and 12.
    expect(sacks(s, 10_001, block(13))).not.toContain(10_001);
    expect(s.tcb?.loss.phase).toBe(OPEN);
    expect(s.tcb?.sent.lostBytes).toBe(0);
    acks(s, 13_001);
    s.passes(WINDOW_MS);
    expect(s.host.stack.stats.tcpRetransmissions).toBe(1);
  });

  scenario("6.2, step 5: a retransmission that is lost again is found by what was sent after it", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(2, 4))).toEqual([1]);
    s.passes(1);
    // What is delivered lets new text out; its SACK finds that the first is lost again.
    expect(sacks(s, 1, block(2, 5))).toEqual(segment(11));
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(2, 5), block(11))).toContain(1);
    expect(s.host.stack.stats).toMatchObject({ tcpTimeouts: 0, tcpFastRetransmissions: 1 });
    checkScoreboard(s.tcb!);
  });

  scenario("step 2: an answer that comes too early for the retransmission is the first sending's", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    sacks(s, 1, block(2, 4));
    const before = s.tcb!.loss.rackSentAt;
    s.passes(10);
    acks(s, 4_001);
    expect(s.tcb?.loss.rackSentAt).toBe(before);
    // So what was sent with the first sending is not lost by it.
    expect(s.tcb?.sent).toMatchObject({ lostBytes: 0 });
  });
});

describe("6.2, step 4: the reordering window is adapted", () => {
  /** The peer reports that it got twice what ends at `end`; we had sent that twice. */
  function reports(s: Conversation, end: number): void {
    s.tcb!.bytesRetransmitted += 1_000;
    const una = (s.tcb!.sndUna - s.iss) | 0;
    sacks(s, una, [end - 1_000, end]);
  }

  scenario("wider by a quarter for each round trip with a D-SACK", () => {
    const s = withSack();
    flies(s, 5_000);
    s.passes(RTT_MS);
    acks(s, 1_001);
    reports(s, 1_001);
    expect(s.tcb?.loss.reorderMultiplier).toBe(2);
    reports(s, 1_001);
    expect(s.tcb?.loss.reorderMultiplier).toBe(2);
    acks(s, 5_001);
    reports(s, 5_001);
    expect(s.tcb?.loss.reorderMultiplier).toBe(3);
    flies(s, 3_000);
    s.passes(RTT_MS);
    sacks(s, 5_001, block(7));
    s.sends({ seq: 5_001, length: 1_000, after: 3 * WINDOW_MS });
  });

  scenario("also with the ACK that ends a round", () => {
    const s = withSack();
    flies(s, 5_000);
    s.passes(RTT_MS);
    acks(s, 1_001);
    reports(s, 1_001);
    s.tcb!.bytesRetransmitted += 1_000;
    sacks(s, 5_001, block(3));
    expect(s.tcb?.loss.reorderMultiplier).toBe(3);
  });

  scenario("as it was, after sixteen recoveries without", () => {
    const s = withSack();
    flies(s, 5_000);
    s.passes(RTT_MS);
    acks(s, 5_001);
    reports(s, 5_001);
    for (let i = 0; i < 16; i++) {
      expect(s.tcb?.loss.reorderMultiplier).toBe(2);
      s.tcb!.cwnd = 10_000;
      flies(s, 4_000);
      s.passes(RTT_MS);
      const una = (s.tcb!.sndUna - s.iss) | 0;
      expect(sacks(s, una, [una + 1_000, una + 4_000])).toEqual([una]);
      s.passes(RTT_MS);
      acks(s, una + 4_000);
    }
    expect(s.tcb?.loss.reorderMultiplier).toBe(1);
  });

  scenario("a round does not seem to last again after 2^31 bytes", () => {
    const s = withSack();
    flies(s, 5_000);
    s.passes(RTT_MS);
    acks(s, 1_001);
    reports(s, 1_001);
    acks(s, 5_001);
    expect(s.tcb?.loss.inReorderRound).toBe(false);
  });

  scenario("a network that doubles what was sent once does not widen it", () => {
    const s = withSack();
    flies(s, 5_000);
    s.passes(RTT_MS);
    acks(s, 3_001);
    for (let i = 1; i <= 3; i++) sacks(s, 3_001, block(i));
    expect(s.host.stack.stats.tcpDuplicateReports).toBe(3);
    expect(s.tcb?.loss.reorderMultiplier).toBe(1);
  });
});

describe("7.2: when the probe is sent", () => {
  scenario("two round trips after the last text, and a little", () => {
    const s = withSack();
    flies(s, 3_000);
    s.sends({ flags: "P.", seq: 2_001, length: 1_000, after: 2 * RTT_MS + 2 });
  });

  scenario("later by the delay of an ACK where one segment is out", () => {
    const s = withSack({ tcp: { minRtoMs: 1_000 } });
    flies(s, 1_000);
    s.sends({ flags: "P.", seq: 1, length: 1_000, after: 2 * RTT_MS + 2 + 200 });
  });

  scenario("at the latest in the place of a timeout", () => {
    const s = withSack();
    flies(s, 1_000);
    const { rto } = s.tcb!;
    expect(rto).toBe(300);
    s.sends({ flags: "P.", seq: 1, length: 1_000, after: rto });
    expect(s.host.stack.stats).toMatchObject({ tcpTailProbes: 1, tcpTimeouts: 0 });
    // 7.3: the timer runs anew behind it.
    s.sends({ flags: "P.", seq: 1, length: 1_000, after: rto });
    expect(s.host.stack.stats).toMatchObject({ tcpTailProbes: 1, tcpTimeouts: 1 });
  });

  scenario("an ACK moves it", () => {
    const s = withSack();
    flies(s, 5_000);
    s.passes(RTT_MS);
    acks(s, 2_001);
    const { srtt } = s.tcb!;
    s.sends({ flags: "P.", seq: 4_001, length: 1_000, after: 2 * srtt + 2 });
  });

  scenario("one at a time", () => {
    const s = withSack();
    flies(s, 5_000);
    s.sends({ flags: "P.", seq: 4_001, length: 1_000, after: 202 });
    s.passes(RTT_MS);
    acks(s, 2_001);
    s.sends({ seq: 2_001, length: 1_000, after: s.tcb!.rto });
    expect(s.host.stack.stats).toMatchObject({ tcpTailProbes: 1, tcpTimeouts: 1 });
  });

  scenario("not while something is SACKed, nor in recovery", () => {
    const s = withSack();
    flies(s, 5_000);
    s.passes(RTT_MS);
    sacks(s, 1, block(2));
    expect(s.tcb?.probeAt).toBe(Number.POSITIVE_INFINITY);
    s.passes(WINDOW_MS);
    expect(starts(s)).toEqual([1]);
    expect(s.tcb).toMatchObject({ probeAt: Number.POSITIVE_INFINITY });
  });

  scenario("not where the peer has no SACK", () => {
    const s = withoutSack();
    flies(s, 5_000);
    s.sends({ seq: 1, length: 1_000, after: s.tcb!.rto });
    expect(s.host.stack.stats).toMatchObject({ tcpTailProbes: 0, tcpTimeouts: 1 });
  });

  scenario("not after a timeout, before all is acknowledged", () => {
    const s = withSack();
    flies(s, 5_000);
    s.passes(202);
    starts(s);
    s.sends({ seq: 1, length: 1_000, after: s.tcb!.rto });
    expect(s.tcb?.probeAt).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("the device takes nothing when the probe is due", () => {
  scenario("and an ACK shows the loss before it does: there is no probe", () => {
    const s = withSack();
    flies(s, 10_000);
    const { device } = s.host;
    device.room = 0;
    s.passes(202);
    sacks(s, 1, block(2, 4));
    device.room = Number.POSITIVE_INFINITY;
    s.passes(1);
    expect(starts(s)).toEqual([1]);
    expect(s.host.stack.stats).toMatchObject({ tcpTailProbes: 0, tcpFastRetransmissions: 1 });
  });
});

describe("7.3: what the probe is", () => {
  scenario("new text where there is some, whatever the congestion window says", () => {
    const s = withSack();
    expect(flies(s, 15_000)).toHaveLength(10);
    s.sends({ seq: 10_001, length: 1_000, after: 202 });
    expect(s.host.stack.stats).toMatchObject({ tcpTailProbes: 1, tcpRetransmissions: 0 });
  });

  scenario("the last segment where the peer's window is full", () => {
    const s = withSack({ wscale: null, win: 5_000 });
    expect(flies(s, 15_000)).toHaveLength(5);
    s.sends({ seq: 4_001, length: 1_000, after: 202 });
  });

  scenario("the last segment, with its FIN", () => {
    const s = withSack();
    flies(s, 2_500);
    s.shutdown();
    s.sends({ flags: "FP.", seq: 2_001, length: 500 });
    // A full segment: where the last one began is not kept.
    s.sends({ flags: "FP.", seq: 1_501, length: 1_000, after: 202 });
    s.receives({ ack: 2_502 });
    s.is("FIN_WAIT_2");
  });

  scenario("a FIN alone", () => {
    const s = withSack();
    flies(s, 2_000);
    s.shutdown();
    s.sends({ flags: "F.", seq: 2_001 });
    s.passes(RTT_MS);
    acks(s, 2_001);
    const { probeAt } = s.tcb!;
    expect(probeAt).toBeLessThan(Number.POSITIVE_INFINITY);
    s.passes(probeAt - s.host.stack.sockets.context.now);
    s.sends({ flags: "F.", seq: 2_001 });
    expect(s.host.stack.stats).toMatchObject({ tcpTailProbes: 1 });
  });
});

describe("7.4: what the probe's answer tells", () => {
  scenario("7.4.2: the tail was lost, and is repaired: one reduction", () => {
    const s = withSack();
    flies(s, 10_000);
    s.sends({ flags: "P.", seq: 9_001, length: 1_000, after: 202 });
    s.passes(RTT_MS);
    acks(s, 10_001);
    // Nothing yet: the first sending might have arrived as well.
    expect(s.socket.info()).toMatchObject({ ssthresh: null });
    const { cwnd } = s.socket.info();
    expect(flies(s, 1_000)).toEqual(segment(11));
    s.passes(RTT_MS);
    acks(s, 11_001);
    expect(s.socket.info().ssthresh).toBeLessThan(cwnd);
    expect(s.tcb?.loss.phase).toBe(OPEN);
    expect(s.tcb?.loss.probing).toBe(false);
  });

  scenario("7.4.2: both have arrived: the second one's ACK is a duplicate, with a D-SACK or without", () => {
    for (const report of [true, false]) {
      const s = withSack();
      flies(s, 10_000);
      s.sends({ flags: "P.", seq: 9_001, length: 1_000, after: 202 });
      acks(s, 10_001);
      s.passes(RTT_MS);
      if (report) sacks(s, 10_001, block(10));
      else acks(s, 10_001);
      expect(flies(s, 1_000)).toEqual(segment(11));
      // Without a report the duplicate comes while something is outstanding.
      if (!report) acks(s, 10_001);
      s.passes(RTT_MS);
      acks(s, 11_001);
      expect(s.socket.info()).toMatchObject({ ssthresh: null });
      // A probe that was no loss does not widen the reordering window.
      expect(s.tcb?.loss.reorderMultiplier).toBe(1);
    }
  });

  scenario("new text as a probe shows what was lost before it, by its SACK", () => {
    const s = withSack();
    expect(flies(s, 15_000)).toHaveLength(10);
    s.sends({ seq: 10_001, length: 1_000, after: 202 });
    s.passes(RTT_MS);
    // All ten are lost: they were sent long before.
    expect(sacks(s, 1, block(11))).toEqual([1]);
    expect(s.tcb?.sent).toMatchObject({ lostBytes: 9_000 });
    expect(s.host.stack.stats).toMatchObject({ tcpTimeouts: 0, tcpFastRetransmissions: 1 });
  });

  scenario("the last segment again shows what was lost before it", () => {
    const s = withSack();
    flies(s, 10_000);
    s.sends({ flags: "P.", seq: 9_001, length: 1_000, after: 202 });
    s.passes(RTT_MS);
    expect(sacks(s, 7_001, block(10))).toEqual(segment(8, 9));
    expect(s.host.stack.stats).toMatchObject({ tcpTimeouts: 0, tcpFastRetransmissions: 1 });
  });

  scenario("the probe does not make what was sent with it seem older", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    acks(s, 2_001);
    s.passes(2 * s.tcb!.srtt + 2);
    expect(starts(s)).toEqual(segment(10));
    s.passes(50);
    // 3 arrives, late: 4 to 9 may do so as well.
    acks(s, 3_001);
    s.passes(WINDOW_MS);
    expect(starts(s)).toEqual([]);
    expect(s.tcb?.sent).toMatchObject({ lostBytes: 0 });
  });
});
