import { describe, expect } from "bun:test";
import { AFTER_TIMEOUT, OPEN } from "../../../src/socket/tcp/loss-recovery.ts";
import { type Conversation, scenario } from "../../support/tcp.ts";
import {
  acks,
  block,
  flies,
  RTT_MS,
  sacks,
  segment,
  withoutSack,
  withSack,
} from "../../support/tcp-recovery.ts";
import { checkScoreboard } from "../../support/tcp-scoreboard.ts";

/** RFC 5682, F-RTO: was a timeout spurious? Ten segments are out when the timer expires, and cwnd is 10,000. */

/** The timer has expired, and the first segment is out again. `more` bytes were written that the window does not let go. */
function timedOut(s: Conversation, more = 10_000): Conversation {
  expect(flies(s, 10_000 + more)).toHaveLength(10);
  while (s.host.stack.stats.tcpTimeouts === 0) {
    s.passes(s.tcb!.retransmitAt - s.host.stack.sockets.context.now);
    s.sent();
  }
  expect(s.tcb).toMatchObject({ cwnd: 1_000, pipe: 1_000 });
  return s;
}

/** Nothing was lost: all is as it was. */
function isUndone(s: Conversation): void {
  expect(s.tcb?.loss.phase).toBe(OPEN);
  expect(s.host.stack.stats.tcpSpuriousRecoveries).toBe(1);
  expect(s.socket.info().cwnd).toBeGreaterThanOrEqual(10_000);
  expect(s.socket.info()).toMatchObject({ ssthresh: null });
  expect(s.tcb?.sent.lostBytes).toBe(0);
  checkScoreboard(s.tcb!);
}

function isReal(s: Conversation): void {
  expect(s.tcb?.loss.phase).toBe(AFTER_TIMEOUT);
  expect(s.host.stack.stats.tcpSpuriousRecoveries).toBe(0);
  expect(s.socket.info()).toMatchObject({ ssthresh: 5_000 });
}

describe("2: without SACK", () => {
  scenario("spurious: the first ACK lets two new segments out, the second is for what was sent once", () => {
    const s = timedOut(withoutSack());
    expect(acks(s, 1_001)).toEqual(segment(11, 12));
    acks(s, 2_001);
    isUndone(s);
    expect(s.host.stack.stats.tcpRetransmissions).toBe(1);
    // It goes on as if nothing had been.
    expect(acks(s, 3_001).every((start) => start > 12_000)).toBe(true);
  });

  scenario("2a: a duplicate ACK first: the loss was real, and all is sent again", () => {
    const s = timedOut(withoutSack());
    expect(acks(s, 1)).toEqual([]);
    isReal(s);
    expect(acks(s, 1_001)).toEqual(segment(2, 3));
  });

  scenario("3a: a duplicate ACK second: likewise", () => {
    const s = timedOut(withoutSack());
    expect(acks(s, 1_001)).toEqual(segment(11, 12));
    // Only 11 and 12 make the peer answer.
    s.passes(RTT_MS);
    acks(s, 1_001);
    isReal(s);
    acks(s, 1_001);
    expect(acks(s, 2_001)).toContain(segment(3)[0]);
  });

  scenario(
    "an ACK of more than what was sent again: what arrived late, and what waited for it, look the same",
    () => {
      const s = timedOut(withoutSack());
      expect(acks(s, 5_001)).toEqual(segment(11, 12));
      expect(s.host.stack.stats.tcpSpuriousRecoveries).toBe(0);
      acks(s, 6_001);
      isUndone(s);
    },
  );

  scenario("2b: an ACK of all that was outstanding ends it", () => {
    const s = timedOut(withoutSack());
    acks(s, 10_001);
    expect(s.tcb?.loss.phase).toBe(OPEN);
    expect(s.host.stack.stats.tcpSpuriousRecoveries).toBe(0);
    expect(s.socket.info()).toMatchObject({ ssthresh: 5_000 });
  });
});

describe("2 (2): no new text can be sent", () => {
  scenario("there is none: what was lost is sent again", () => {
    const s = timedOut(withoutSack(), 0);
    expect(acks(s, 1_001)).toEqual(segment(2, 3));
  });

  scenario("the peer's window is full", () => {
    const s = timedOut(withoutSack({ wscale: null, win: 10_000 }));
    s.receives({ ack: 1_001, win: 9_000 });
    expect(s.sent().map(({ seg }) => (seg.seq - s.iss) | 0)).toEqual(segment(2, 3));
  });

  scenario(
    "the peer's window has room for a little: waiting for more would be waiting for the next timeout",
    () => {
      const s = timedOut(withoutSack({ wscale: null, win: 10_000 }));
      s.receives({ ack: 1_001, win: 9_100 });
      expect(s.sent().map(({ seg }) => (seg.seq - s.iss) | 0)).toEqual(segment(2, 3));
    },
  );

  scenario("Nagle's algorithm holds the last bytes back", () => {
    for (const open of [withSack, withoutSack]) {
      const s = timedOut(open(), 400);
      expect(acks(s, 1_001)).toEqual(segment(2, 3));
      checkScoreboard(s.tcb!);
    }
  });

  scenario("what is left in the end goes, and the connection with it", () => {
    const s = timedOut(withoutSack(), 400);
    for (let i = 2; i <= 10; i++) acks(s, (i - 1) * 1_000 + 1);
    acks(s, 10_001);
    expect(s.host.stack.stats.tcpTimeouts).toBe(1);
    expect(s.tcb?.sndNxt).toBe((s.iss + 10_401) | 0);
  });
});

describe("3: with SACK", () => {
  scenario("spurious: an ACK, and what was sent once is acknowledged or SACKed", () => {
    for (const sacked of [false, true]) {
      const s = timedOut(withSack());
      acks(s, 1_001);
      if (sacked) sacks(s, 1_001, block(3));
      else acks(s, 2_001);
      expect(s.tcb?.loss.phase).toBe(OPEN);
      expect(s.host.stack.stats.tcpSpuriousRecoveries).toBe(1);
      expect(s.socket.info()).toMatchObject({ ssthresh: null });
    }
  });

  scenario("at once, where the first ACK tells so much", () => {
    const s = timedOut(withSack());
    acks(s, 3_001);
    isUndone(s);
  });

  scenario("3a: only what was sent after the timeout is SACKed: the loss was real", () => {
    const s = timedOut(withSack());
    const before = (s.tcb!.sndNxt - s.iss) | 0;
    const sent = acks(s, 1_001);
    expect(sent).toEqual([before, before + 1_000]);
    s.passes(RTT_MS);
    const again = sacks(s, 1_001, [before, before + 1_000]);
    expect(again).toContain(1_001);
    expect(s.tcb?.loss.phase).toBe(AFTER_TIMEOUT);
    expect(s.host.stack.stats.tcpSpuriousRecoveries).toBe(0);
  });
});

describe("timeouts that follow one another", () => {
  scenario("nothing was heard in between: the question is the same", () => {
    const s = timedOut(withoutSack());
    const { rto } = s.tcb!;
    s.sends({ seq: 1, length: 1_000, after: rto });
    expect(s.host.stack.stats.tcpTimeouts).toBe(2);
    expect(acks(s, 1_001)).toEqual(segment(11, 12));
    acks(s, 2_001);
    isUndone(s);
    expect(s.tcb?.backoff).toBe(0);
  });

  scenario("while losses were being repaired, which were real: nothing is undone", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(2, 4))).toEqual([1]);
    const { ssthresh } = s.socket.info();
    s.sends({ seq: 1, length: 1_000, after: s.tcb!.rto });
    // What was sent once arrives, long after.
    sacks(s, 1, block(2, 6));
    acks(s, 6_001);
    expect(s.host.stack.stats).toMatchObject({ tcpTimeouts: 1, tcpSpuriousRecoveries: 0 });
    expect(s.socket.info().ssthresh).toBe(ssthresh);
  });
});

describe("RFC 4015: the answer", () => {
  scenario("RTO is again what was measured, the late answers included", () => {
    const s = timedOut(withoutSack());
    const backedOff = s.tcb!.rto;
    acks(s, 1_001);
    acks(s, 2_001);
    expect(s.tcb!.rto).toBeLessThan(backedOff);
  });

  scenario("CUBIC goes on where it was", () => {
    const s = withSack({ tcp: { congestionControl: "cubic" } });
    timedOut(s);
    acks(s, 3_001);
    isUndone(s);
  });
});
