import { describe, expect, test } from "bun:test";
import { loseFlight, noteResent, noteSent } from "../../../src/socket/tcp/scoreboard.ts";
import { seqAdd } from "../../../src/socket/tcp/seq.ts";
import { NONE } from "../../../src/socket/tcp/transmissions.ts";
import { plainTcb } from "../../support/congestion.ts";
import { scenario } from "../../support/tcp.ts";
import { acks, block, flies, RTT_MS, sacks, segment, starts, withSack } from "../../support/tcp-recovery.ts";
import { checkRecords, checkScoreboard } from "../../support/tcp-scoreboard.ts";

/** RFC 6675 (and RFC 2018 5 and 8, the sender's side): what is outstanding, what is lost, and what is sent next. */

describe("2 and 4: pipe, the scoreboard", () => {
  scenario("what was sent is under way, until it is acknowledged or SACKed", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    expect(s.tcb).toMatchObject({ pipe: 10_000 });
    sacks(s, 2_001);
    expect(s.tcb).toMatchObject({ pipe: 8_000 });
    sacks(s, 2_001, block(5));
    expect(s.tcb).toMatchObject({ pipe: 7_000 });
    expect(s.tcb?.sent).toMatchObject({ sackedBytes: 1_000, lostBytes: 0 });
    checkScoreboard(s.tcb!);
  });

  scenario("what is SACKed twice, or below what is acknowledged, counts once", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    sacks(s, 1, block(3));
    sacks(s, 1, block(3));
    sacks(s, 1, block(3), block(3));
    sacks(s, 1_001, block(3));
    expect(s.tcb?.sent).toMatchObject({ sackedBytes: 1_000, pipe: 8_000 });
    expect(s.tcb).toMatchObject({ delivered: 2_000 });
    acks(s, 3_001);
    expect(s.tcb?.sent).toMatchObject({ sackedBytes: 0, pipe: 7_000 });
    expect(s.tcb).toMatchObject({ delivered: 3_000 });
  });

  scenario("blocks may begin and end within segments, and come in any order", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    sacks(s, 1, [7_501, 8_001], [1_001, 1_002], [5_001, 6_500]);
    expect(s.tcb?.sent).toMatchObject({ sackedBytes: 2_000 });
    sacks(s, 1, [1_000, 8_500]);
    expect(s.tcb?.sent).toMatchObject({ sackedBytes: 7_500 });
    checkScoreboard(s.tcb!);
    acks(s, 7_777);
    checkScoreboard(s.tcb!);
    expect(s.tcb?.sent).toMatchObject({ sackedBytes: 723 });
  });

  scenario("a segment of the peer that has text tells as much", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    s.receives({ seq: 1, length: 10, ack: 1, sack: [block(2, 4)] });
    expect(starts(s)).toContain(1);
    expect(s.tcb?.sent).toMatchObject({ sackedBytes: 3_000 });
  });

  scenario("a peer that has not permitted SACK is not listened to", () => {
    const s = withSack({ peerSack: false });
    flies(s, 10_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(2, 5))).toEqual([]);
    expect(s.tcb).toMatchObject({ pipe: 10_000, delivered: 0 });
  });
});

describe("where other connections have all the records", () => {
  scenario("what could not be noted is when it is told again", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    const { transmissions } = s.host.stack.sockets.context;
    const taken: number[] = [];
    const many = 1_000_000;
    for (let record = transmissions.take(many); record !== NONE; record = transmissions.take(many))
      taken.push(record);
    sacks(s, 1, block(5));
    expect(s.tcb?.sent).toMatchObject({ sackedBytes: 0, pipe: 10_000 });
    for (const record of taken) transmissions.give(record, many);
    sacks(s, 1, block(5));
    expect(s.tcb?.sent).toMatchObject({ sackedBytes: 1_000, pipe: 9_000 });
    checkScoreboard(s.tcb!);
  });
});

describe("blocks that cannot be", () => {
  const nonsense: [string, [number, number]][] = [
    ["beyond SND.NXT", [9_001, 10_002]],
    ["far beyond it", [50_001, 60_001]],
    ["that end before they begin", [5_001, 4_001]],
    ["of nothing", [5_001, 5_001]],
    ["that span half of the sequence space", [5_001, 5_001 + 0x7fff_ffff]],
    ["that begin below SND.UNA and end above it", [-5, 3_001]],
    ["of what was never sent, far below", [-70_000, -60_000]],
  ];
  for (const [what, edges] of nonsense) {
    scenario(what, () => {
      const s = withSack();
      flies(s, 10_000);
      s.passes(RTT_MS);
      expect(sacks(s, 1, edges, edges, edges)).toEqual([]);
      expect(s.tcb).toMatchObject({ pipe: 10_000, delivered: 0, cwnd: 10_000 });
      checkScoreboard(s.tcb!);
      // The others of the same ACK count.
      sacks(s, 1, edges, block(3));
      expect(s.tcb?.sent).toMatchObject({ sackedBytes: 1_000 });
    });
  }
});

describe("5: fast recovery", () => {
  scenario(
    "begins when more than two segments above are SACKed: ssthresh is halved, the first goes at once",
    () => {
      const s = withSack();
      flies(s, 10_000);
      s.passes(RTT_MS);
      expect(sacks(s, 1, block(2))).toEqual([]);
      expect(sacks(s, 1, block(2, 3))).toEqual([]);
      expect(sacks(s, 1, block(2, 4))).toEqual([1]);
      expect(s.socket.info()).toMatchObject({ ssthresh: 5_000 });
      expect(s.host.stack.stats).toMatchObject({ tcpFastRetransmissions: 1, tcpTimeouts: 0 });
      expect(s.tcb?.sent).toMatchObject({ sackedBytes: 3_000, lostBytes: 0, pipe: 7_000 });
    },
  );

  scenario("segments of few bytes: three duplicate ACKs that tell of something", () => {
    const s = withSack({ noDelay: true });
    for (let i = 0; i < 5; i++) flies(s, 10);
    s.passes(RTT_MS);
    expect(sacks(s, 1, [11, 21])).toEqual([]);
    expect(sacks(s, 1, [11, 31])).toEqual([]);
    expect(sacks(s, 1, [11, 41])).toEqual([1]);
  });

  scenario("2: a duplicate ACK that tells of nothing is none, whatever number of them come", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    for (let i = 0; i < 6; i++) expect(sacks(s, 1, block(2))).toEqual([]);
    for (let i = 0; i < 6; i++) expect(acks(s, 1)).toEqual([]);
    expect(sacks(s, 1, block(2, 3))).toEqual([]);
    expect(s.host.stack.stats.tcpFastRetransmissions).toBe(0);
  });

  scenario("NextSeg: the lowest lost first, then new text, as far as the window goes", () => {
    const s = withSack();
    flies(s, 20_000);
    s.passes(RTT_MS);
    // 1, 3 and 5 are missing. Each ACK has let out what limited transmit would.
    expect(sacks(s, 1, block(2))).toEqual(segment(11));
    expect(sacks(s, 1, block(4), block(2))).toEqual(segment(12));
    s.passes(1);
    expect(sacks(s, 1, block(6), block(4), block(2))).toEqual(segment(1));
    expect(s.tcb?.sent).toMatchObject({ lostBytes: 2_000 });
    // Two delivered segments for one sent (RFC 9937).
    expect([7, 8, 9, 10].flatMap((i) => sacks(s, 1, block(6, i), block(4), block(2)))).toEqual(segment(3, 5));
    expect(s.tcb?.sent).toMatchObject({ lostBytes: 0 });
    checkScoreboard(s.tcb!);
    s.passes(RTT_MS);
    // What is missing arrives; all that was outstanding when it began is acknowledged by and by.
    sacks(s, 2_001, block(4), block(6, 12));
    sacks(s, 4_001, block(6, 12));
    expect(s.tcb?.loss.phase).toBe(1);
    acks(s, 12_001);
    expect(s.tcb?.loss.phase).toBe(0);
    expect(s.socket.info()).toMatchObject({ cwnd: 5_000, ssthresh: 5_000 });
    expect(s.host.stack.stats).toMatchObject({
      tcpFastRetransmissions: 1,
      tcpTimeouts: 0,
      tcpRetransmissions: 3,
    });
  });

  scenario("4 (C): a loss found while others are repaired is part of the same recovery", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(2, 4))).toEqual([1]);
    const { ssthresh } = s.socket.info();
    s.passes(1);
    sacks(s, 1, block(6, 10), block(2, 4));
    expect(s.tcb?.loss.phase).toBe(1);
    expect(s.socket.info().ssthresh).toBe(ssthresh);
    expect(s.host.stack.stats.tcpFastRetransmissions).toBe(1);
    s.passes(RTT_MS);
    sacks(s, 4_001, block(6, 10));
    expect(s.host.stack.stats.tcpRetransmissions).toBe(2);
  });

  scenario("a loss of what was sent after that is a new one", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(2, 4))).toEqual([1]);
    s.passes(RTT_MS);
    acks(s, 10_001);
    expect(s.socket.info()).toMatchObject({ cwnd: 5_000, ssthresh: 5_000 });
    expect(flies(s, 5_000)).toEqual(segment(11, 12, 13, 14, 15));
    s.passes(RTT_MS);
    expect(sacks(s, 10_001, block(12, 14))).toEqual(segment(11));
    expect(s.socket.info()).toMatchObject({ ssthresh: 2_500 });
  });

  scenario("a FIN is repaired with the text before it", () => {
    const s = withSack();
    flies(s, 4_500);
    s.shutdown();
    s.sends({ flags: "FP.", seq: 4_001, length: 500 });
    s.passes(RTT_MS);
    // All but the last, with its FIN, and the first.
    expect(sacks(s, 1, block(2, 4))).toEqual([1]);
    s.passes(RTT_MS);
    acks(s, 4_001);
    s.sends({ flags: "FP.", seq: 4_001, length: 500, after: 300 });
    s.receives({ ack: 4_502 });
    s.is("FIN_WAIT_2");
  });

  scenario("all that is lost at once: what is sent again is as much as was delivered", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(8, 10))).toEqual(segment(1, 2, 3));
    expect(s.tcb?.sent).toMatchObject({ lostBytes: 4_000, pipe: 3_000 });
    checkScoreboard(s.tcb!);
  });
});

describe("5.1: the retransmission timer", () => {
  scenario("starts anew when the first segment is sent again", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    expect(sacks(s, 1, block(2, 4))).toEqual([1]);
    s.sendsNothing({ for: s.tcb!.rto - 1 });
    s.sends({ seq: 1, length: 1_000, after: 1 });
  });

  scenario("a timeout: all that is not SACKed counts as lost, and is sent again in slow start", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    sacks(s, 1, block(2, 4));
    const { rto } = s.tcb!;
    s.sends({ seq: 1, length: 1_000, after: rto });
    expect(s.tcb?.sent).toMatchObject({ lostBytes: 6_000, pipe: 1_000, sackedBytes: 3_000 });
    expect(s.socket.info().cwnd).toBe(1_000);
    s.passes(RTT_MS);
    // What was SACKed is not sent again.
    expect(acks(s, 4_001)).toEqual(segment(5, 6));
    checkScoreboard(s.tcb!);
  });

  scenario("what the SACKed records have between them is sent, none of it twice", () => {
    const s = withSack();
    flies(s, 10_000);
    s.passes(RTT_MS);
    // Losses that are never found by ACKs: nothing above the last ones is SACKed.
    sacks(s, 1_001, block(3));
    const sent = new Set<number>();
    for (let i = 0; i < 30 && s.tcb!.sndUna !== s.tcb!.sndNxt; i++) {
      s.passes(RTT_MS);
      for (const start of starts(s)) {
        expect(sent).not.toContain(start);
        sent.add(start);
      }
      checkScoreboard(s.tcb!);
      if (sent.has(1_001)) {
        // The peer has the first ones, up to the next that is missing.
        let una = 1_001;
        while (sent.has(una) || una === 2_001) una += 1_000;
        for (const start of acks(s, una)) sent.add(start);
      }
    }
    expect([...sent].sort((a, b) => a - b)).toEqual(segment(2, 4, 5, 6, 7, 8, 9, 10));
  });
});

describe("RFC 2018 8: a peer that forgets what it has SACKed", () => {
  scenario("it is sent again after a timeout", () => {
    const s = withSack();
    flies(s, 5_000);
    s.passes(RTT_MS);
    sacks(s, 1, block(2, 5));
    starts(s);
    s.passes(RTT_MS);
    // 1 has arrived; the peer has 2 to 5 no more.
    acks(s, 1_001);
    expect(s.tcb?.sent).toMatchObject({ sackedBytes: 4_000 });
    s.sends({ seq: 1_001, length: 1_000, after: s.tcb!.rto });
    expect(s.tcb?.sent).toMatchObject({ sackedBytes: 0, lostBytes: 3_000 });
    s.passes(RTT_MS);
    expect(acks(s, 2_001)).toEqual(segment(3, 4));
    s.passes(RTT_MS);
    expect(acks(s, 4_001)).toEqual(segment(5));
    acks(s, 5_001);
    expect(s.tcb?.sent).toMatchObject({ pipe: 0, count: 0 });
  });
});

describe("records are short", () => {
  test("what is sent again bit by bit is under way, and the rest is not", () => {
    const tcb = plainTcb();
    tcb.sndNxt = tcb.sndUna;
    for (let now = 1; now <= 4; now++) {
      expect(noteSent(tcb, 1_000, now)).toBe(true);
      tcb.sndNxt = seqAdd(tcb.sndNxt, 1_000);
    }
    loseFlight(tcb);
    for (let sent = 100; sent <= 4_000; sent += 100) {
      noteResent(tcb, 100, 1_000 + sent);
      expect([tcb.sent.pipe, tcb.sent.lostBytes]).toEqual([sent, 4_000 - sent]);
      checkRecords(tcb.sent, tcb.context.transmissions);
    }
    expect(tcb.context.stats.tcpNoRecord).toBeGreaterThan(10);
  });
});
