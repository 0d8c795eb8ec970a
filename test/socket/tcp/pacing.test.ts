import { describe, expect } from "bun:test";
import { type Conversation, established, scenario } from "../../support/tcp.ts";

/** Pacing: `pacingRate` of a congestion control, draft-ietf-ccwg-bbr 5.6.2. Here 100 bytes a ms: a segment takes 10 ms. */

function paced(): Conversation {
  const s = established({ mss: 1_000, wscale: 7 });
  s.tcb!.pacingRate = 100;
  return s;
}

/** So much has been written, and the window allows `cwnd` bytes: three segments have left, the next one is due at 26 ms. */
function sending(bytes: number, cwnd = bytes): Conversation {
  const s = paced();
  s.writes(bytes);
  s.tcb!.cwnd = cwnd;
  expect(times(s, 20)).toEqual([0, 6, 16]);
  return s;
}

/** When, in ms since the scenario began, what is sent until `until` leaves. */
function times(s: Conversation, until: number): number[] {
  s.passes(until - s.now);
  return s.sent().map(({ at }) => Math.round(s.host.sinceStart(at)));
}

describe("a connection that is paced", () => {
  scenario("sends at its rate, not at once what the window allows", () => {
    const s = paced();
    s.writes(6_000);
    expect(times(s, 100)).toEqual([0, 6, 16, 26, 36, 46]);
  });

  scenario("makes up for 4 ms in which it sent nothing, as timers are late, and for no more", () => {
    const s = paced();
    s.writes(2_000);
    expect(times(s, 50)).toEqual([0, 6]);
    s.receives({ ack: 2_001 });
    s.passes(1_000);
    s.writes(4_000);
    expect(times(s, 1_200)).toEqual([1_050, 1_056, 1_066, 1_076]);
  });

  scenario("makes up for a timer that is late by more, at twice the pace", () => {
    const s = sending(20_000);
    s.pauses(26);
    expect(times(s, 100)).toEqual([46, 46, 52, 57, 66, 76, 86, 96]);
  });

  scenario("but for no more than 50 ms", () => {
    const s = sending(60_000);
    s.pauses(90);
    // 80 of 84 ms have been lost; ten intervals are half as long.
    const sent = times(s, 195);
    expect(sent.slice(0, 4)).toEqual([110, 110, 116, 121]);
    expect(sent.slice(-3)).toEqual([166, 176, 186]);
    expect(sent).toHaveLength(14);
  });

  scenario("makes up for nothing where the window, or the program, held it back", () => {
    const s = sending(60_000, 3_000);
    s.pauses(80);
    s.tcb!.cwnd = 6_000;
    s.receives({ ack: 3_001 });
    expect(times(s, 130)).toEqual([100, 106, 116, 126]);
  });

  scenario("sends at once what is due within a ms: no timer is finer", () => {
    const s = paced();
    s.tcb!.pacingRate = 4_000;
    s.writes(8_000);
    // A quarter of a ms each: the credit, and a ms ahead.
    const sent = times(s, 0);
    expect(sent.length).toBe(8);
  });

  scenario("what is sent again is paced, too; what stops it being paced lets the rest go", () => {
    const s = paced();
    s.writes(5_000);
    expect(times(s, 60)).toHaveLength(5);
    s.tcb!.cwnd = 10_000;
    // The retransmission timer: all of it again, as far as the window goes.
    const again = times(s, 300);
    expect(again[0]).toBe(200);
    s.tcb!.pacingRate = Number.POSITIVE_INFINITY;
    s.receives({ ack: 1_001 });
    expect(s.sent()).toHaveLength(2);
  });

  scenario("an acknowledgment is not held back", () => {
    const s = paced();
    s.writes(3_000);
    s.sent();
    s.receives({ seq: 1, ack: 1, length: 1_000 }, { seq: 1_001, ack: 1, length: 1_000 });
    s.sends({ ack: 2_001, at: 0 });
  });
});
