import { describe, expect } from "bun:test";
import { type Conversation, established, scenario, synSent } from "../../support/tcp.ts";

/** RFC 6928: the initial window. */

const wide = { mss: 1_000, wscale: 7 };

function cwnd(s: Conversation): number {
  return s.socket.info().cwnd;
}

/** Lets the stack send what it may; returns how many bytes of text that were. */
function flush(s: Conversation): number {
  return s.sent().reduce((sum, { seg }) => sum + seg.payloadLength, 0);
}

describe("RFC 6928: IW = min(10 * MSS, max(2 * MSS, 14,600))", () => {
  for (const [mss, mtu, window] of [
    [1_460, 1_500, 14_600],
    [1_000, 1_500, 10_000],
    [536, 1_500, 5_360],
    [4_000, 9_000, 14_600],
    [8_960, 9_000, 17_920],
  ]) {
    scenario(`an MSS of ${mss}: ${window} bytes`, () => {
      const s = established({ mss, mtu, wscale: 7, iss: 0x7fff_0000 });
      expect(cwnd(s)).toBe(window);
      s.writes(100_000);
      expect(flush(s)).toBe(Math.floor(window / mss) * mss);
    });
  }

  scenario("2: a SYN that was sent twice does not change it", () => {
    const s = synSent(wide);
    s.sends({ flags: "S", seq: 0, at: 1_000 });
    s.receives(s.syn("S."));
    s.sends({ ack: 1 });
    expect(cwnd(s)).toBe(10_000);
  });

  scenario("RFC 5681 3.1: after a SYN that was lost twice it MUST be one segment at most", () => {
    const s = synSent(wide);
    s.sends({ flags: "S", seq: 0, at: 1_000 });
    s.sends({ flags: "S", seq: 0, at: 3_000 });
    s.receives(s.syn("S."));
    s.sends({ ack: 1 });
    expect(cwnd(s)).toBe(1_000);
    s.writes(5_000);
    s.sends({ length: 1_000 });
  });

  scenario("likewise after a SYN-ACK that was lost twice", () => {
    const s = established({ ...wide, passive: true });
    const t = s.from(5_001, wide);
    t.receives(t.syn("S"));
    t.sends({ flags: "S.", seq: 0 });
    t.sends({ flags: "S.", seq: 0, after: 1_000 });
    t.sends({ flags: "S.", seq: 0, after: 2_000 });
    t.receives({ seq: 1, ack: 1 });
    t.accepts();
    expect(cwnd(t)).toBe(1_000);
  });
});
