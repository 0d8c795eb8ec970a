import { describe, expect } from "bun:test";
import { established, listening, scenario, synSent } from "../../support/tcp.ts";

/** RFC 3168: explicit congestion notification. */

const NOT_ECT = 0;
const ECT_0 = 2;
const CE = 3;
const both = { tcp: { ecn: true }, peerEcn: true, mss: 1_000, wscale: 7 };

describe("6.1.1: initialization", () => {
  scenario("an ECN-setup SYN, answered by an ECN-setup SYN-ACK: text may be marked", () => {
    const s = established(both);
    s.writes(1_000);
    s.sends({ seq: 1, length: 1_000, ecn: ECT_0 });
  });

  scenario("an ECN-setup SYN is answered by an ECN-setup SYN-ACK", () => {
    const s = established({ ...both, passive: true });
    s.writes(1_000);
    s.sends({ seq: 1, length: 1_000, ecn: ECT_0 });
  });

  scenario("a SYN-ACK without ECE, or with both flags: no ECN", () => {
    for (const flags of ["S.", "SEW.", "SW."]) {
      const s = synSent({ ...both, peerEcn: false });
      s.receives({ ...s.syn("S."), flags });
      s.sends({ seq: 1, ack: 1 });
      s.writes(1_000);
      s.sends({ seq: 1, length: 1_000, ecn: NOT_ECT });
    }
  });

  scenario("a SYN with one of the flags only: a SYN-ACK without", () => {
    for (const flags of ["S", "SE", "SW"]) {
      const s = listening({ ...both, peerEcn: false });
      s.receives({ ...s.syn("S"), flags });
      s.sends({ flags: "S.", seq: 0, ack: 1 });
    }
  });

  scenario("where it is turned off, neither is offered nor answered", () => {
    const s = established({ ...both, tcp: { ecn: false }, passive: true });
    s.writes(1_000);
    s.sends({ seq: 1, length: 1_000, ecn: NOT_ECT });
  });

  scenario("6.1.1.1: a SYN that goes unanswered is sent again without, and ECN is not used", () => {
    const s = synSent(both);
    s.sends({ flags: "S", seq: 0, at: 1_000 });
    s.receives(s.syn("S."));
    s.sends({ seq: 1, ack: 1 });
    s.writes(1_000);
    s.sends({ seq: 1, length: 1_000, ecn: NOT_ECT });
  });

  scenario("the SYN, and bare ACKs, are not ECN-capable (6.1.4)", () => {
    const s = established(both);
    expect(s.host.stack.stats.tcpSegmentsSent).toBeGreaterThan(1);
    s.receives({ seq: 1, length: 1_000 }, { seq: 1_001, length: 1_000 });
    s.sends({ ack: 2_001, ecn: NOT_ECT });
  });
});

describe("6.1.3: the receiver", () => {
  scenario("every ACK behind a marked packet has ECE, until CWR comes", () => {
    const s = established(both);
    s.receives({ seq: 1, length: 1_000, tos: CE }, { seq: 1_001, length: 1_000 });
    s.sends({ flags: "E.", ack: 2_001 });
    s.receives({ seq: 2_001, length: 1_000 }, { seq: 3_001, length: 1_000 });
    s.sends({ flags: "E.", ack: 4_001 });
    s.writes(10);
    s.sends({ flags: "EP.", seq: 1, length: 10, ack: 4_001 });
    s.receives({ flags: "W.", seq: 4_001, length: 1_000, ack: 11 }, { seq: 5_001, length: 1_000, ack: 11 });
    s.sends({ flags: ".", ack: 6_001 });
    expect(s.host.stack.stats.tcpCongestionExperienced).toBe(1);
  });

  scenario("a packet with CWR that is marked itself: it goes on", () => {
    const s = established(both);
    s.receives({ seq: 1, length: 1_000, tos: CE }, { seq: 1_001, length: 1_000 });
    s.sends({ flags: "E.", ack: 2_001 });
    s.receives({ flags: "W.", seq: 2_001, length: 1_000, tos: CE }, { seq: 3_001, length: 1_000 });
    s.sends({ flags: "E.", ack: 4_001 });
  });

  scenario("neither CWR nor a mark counts with an ACK that the peer cannot have sent (RFC 5961 5.2)", () => {
    const s = established(both);
    s.receives({ seq: 1, length: 100, ack: 1_000_000, tos: CE });
    s.sends({ flags: ".", ack: 1 });
    s.receives({ seq: 1, length: 1_000, tos: CE }, { seq: 1_001, length: 1_000 });
    s.sends({ flags: "E.", ack: 2_001 });
    s.receives({ flags: "W.", seq: 2_001, length: 100, ack: 1_000_000 });
    s.sends({ flags: "E.", ack: 2_001 });
  });

  scenario("without agreement a mark means nothing; nor does one on a bare ACK", () => {
    const s = established({ ...both, peerEcn: false });
    s.receives({ seq: 1, length: 1_000, tos: CE }, { seq: 1_001, length: 1_000 });
    s.sends({ flags: ".", ack: 2_001 });
    const t = established(both);
    t.receives({ seq: 1, tos: CE });
    t.receives({ seq: 1, length: 1_000 }, { seq: 1_001, length: 1_000 });
    t.sends({ flags: ".", ack: 2_001 });
  });

  scenario("a reset has no ECE", () => {
    const s = established(both);
    s.receives({ seq: 1, length: 1_000, tos: CE }, { seq: 1_001, length: 1_000 });
    s.sends({ flags: "E.", ack: 2_001 });
    s.abort();
    s.sends({ flags: "R." });
  });
});

describe("6.1.2: the sender", () => {
  scenario("ECE halves the window, once for a window's worth of text; the next new text has CWR", () => {
    const s = established(both);
    s.writes(30_000);
    expect(s.sent()).toHaveLength(10);
    s.receives({ flags: "E.", ack: 1_001 });
    // 10,000 bytes were under way.
    expect(s.socket.info()).toMatchObject({ ssthresh: 5_000, retransmissions: 0 });
    const { cwnd } = s.socket.info();
    expect(cwnd).toBeLessThan(6_000);
    s.receives({ flags: "E.", ack: 2_001 });
    expect(s.socket.info().ssthresh).toBe(5_000);
    expect(s.sent()).toHaveLength(0);
    s.receives({ flags: "E.", ack: 7_001 });
    s.sends(
      { flags: "W.", seq: 10_001, length: 1_000, ecn: ECT_0 },
      { flags: ".", seq: 11_001, length: 1_000 },
      { flags: ".", seq: 12_001, length: 1_000 },
    );
    expect(s.host.stack.stats.tcpCongestionEchoes).toBe(1);
    s.sent();
    // All that was under way has been acknowledged: what is marked now was sent slower.
    s.receives({ flags: "E.", ack: 11_001 });
    expect(s.host.stack.stats.tcpCongestionEchoes).toBe(2);
  });

  scenario("what was under way counts as it was before the ACK, which may be for all of it", () => {
    const s = established(both);
    s.writes(10_000);
    expect(s.sent()).toHaveLength(10);
    s.receives({ flags: "E.", ack: 10_001 });
    expect(s.socket.info().ssthresh).toBe(5_000);
  });

  scenario("without agreement ECE means nothing", () => {
    const s = established({ ...both, peerEcn: false });
    s.writes(10_000);
    s.sent();
    s.receives({ flags: "E.", ack: 1_001 });
    expect(s.socket.info().ssthresh).toBe(null);
  });

  scenario("6.1.5: text that is sent again may not be marked, and has no CWR", () => {
    const s = established(both);
    s.writes(1_000);
    s.sends({ seq: 1, length: 1_000, ecn: ECT_0 });
    s.sends({ flags: "P.", seq: 1, length: 1_000, ecn: NOT_ECT, at: 200 });
  });

  scenario("a loss in the same window does not count twice", () => {
    const s = established({ ...both, tcp: { ecn: true, sack: true }, peerSack: true });
    s.writes(10_000);
    s.sent();
    s.receives({ ack: 1, sack: [[1_001, 5_001]] });
    s.sends({ seq: 1, length: 1_000, ecn: NOT_ECT });
    const { ssthresh } = s.socket.info();
    s.receives({ flags: "E.", ack: 1, sack: [[1_001, 6_001]] });
    expect(s.socket.info().ssthresh).toBe(ssthresh);
    expect(s.host.stack.stats.tcpCongestionEchoes).toBe(0);
  });
});

describe("super-segments", () => {
  scenario("CWR goes out in a segment of its own: a device that cuts would say it in each", () => {
    const s = established({ ...both, offload: true });
    s.writes(40_000);
    s.sent();
    s.receives({ flags: "E.", ack: 1_001 });
    s.receives({ ack: 10_001 });
    s.sends(
      { flags: "W.", seq: 10_001, length: 1_000, cutInto: 0 },
      { flags: ".", seq: 11_001, length: 5_000, cutInto: 1_000 },
    );
  });
});
