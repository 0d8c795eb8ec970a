import { describe, expect } from "bun:test";
import { scenario } from "../../support/tcp.ts";
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

/** RFC 3042, limited transmit: the first two duplicate ACKs let a new segment out each, so that a third can come. */

describe("2: without SACK", () => {
  scenario("one new segment for each of the first two; the third finds the loss", () => {
    const s = withoutSack();
    expect(flies(s, 20_000)).toHaveLength(10);
    s.passes(RTT_MS);
    expect(acks(s, 1)).toEqual(segment(11));
    expect(acks(s, 1)).toEqual(segment(12));
    expect(s.socket.info()).toMatchObject({ cwnd: 10_000, ssthresh: null });
    expect(acks(s, 1)).toEqual([1]);
    // RFC 5681 3.2, step 2: what it let out is not part of the FlightSize that is halved.
    expect(s.socket.info().ssthresh).toBe(5_000);
  });

  scenario("where nothing new is to be sent, nothing is", () => {
    const s = withoutSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    expect(acks(s, 1)).toEqual([]);
    expect(acks(s, 1)).toEqual([]);
  });

  scenario("no more than the peer's window", () => {
    const s = withoutSack({ wscale: null, win: 11_000 });
    flies(s, 20_000);
    s.passes(RTT_MS);
    expect(acks(s, 1)).toEqual(segment(11));
    expect(acks(s, 1)).toEqual([]);
  });

  scenario("two segments at most, whatever the ACKs divide", () => {
    const s = withoutSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    expect([acks(s, 1), acks(s, 1)].flat()).toEqual(segment(11, 12));
    expect(s.tcb?.pipe).toBe(12_000);
  });
});

describe("2: with SACK, what is SACKed is under way no more", () => {
  scenario("a segment for each that is SACKed", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(2))).toEqual(segment(11));
    expect(sacks(s, 1, block(2, 3))).toEqual(segment(12));
    expect(s.socket.info()).toMatchObject({ cwnd: 10_000, ssthresh: null });
    expect(sacks(s, 1, block(2, 4))).toEqual([1]);
    expect(s.socket.info().ssthresh).toBe(5_000);
  });

  scenario("a duplicate ACK that SACKs nothing new lets nothing out", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    expect(acks(s, 1)).toEqual([]);
    expect(sacks(s, 1, block(2))).toEqual(segment(11));
    for (let i = 0; i < 5; i++) expect(sacks(s, 1, block(2))).toEqual([]);
  });
});
