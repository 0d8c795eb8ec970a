import { describe, expect, test } from "bun:test";
import { randomBelow, seededRandom } from "../../../src/random.ts";
import { ChallengeBudget } from "../../../src/socket/tcp/challenge.ts";
import { established, scenario } from "../../support/tcp.ts";

/** RFC 5961: robustness to blind in-window attacks. What every state does is in the files of the states. */

describe("3.2: the RST bit", () => {
  scenario("only the exact sequence number resets, wherever in the window the others are", () => {
    const s = established();
    for (const seq of [2, 3, 1_000, 32_768, 65_535]) {
      s.receives({ flags: "R", seq });
      s.sends({ seq: 1, ack: 1 });
    }
    s.is("ESTABLISHED");
    s.receives({ flags: "R", seq: 1 });
    s.failedWith("ECONNRESET");
  });

  scenario("the peer that meant it answers the challenge by a reset that is exact", () => {
    const s = established();
    s.receives({ length: 100 });
    s.sends({ ack: 101, at: 40 });
    s.receives({ flags: "R", seq: 151 });
    s.sends({ ack: 101 });
    s.receives({ flags: "R", seq: 101 });
    s.failedWith("ECONNRESET");
  });

  scenario("RCV.NXT moves with what arrives: an old reset is none any more", () => {
    const s = established();
    s.receives({ length: 1_460 }, { length: 1_460 });
    s.sends({ ack: 2_921 });
    s.receives({ flags: "R", seq: 1 });
    s.sendsNothing();
    s.is("ESTABLISHED");
  });

  scenario("text ahead of a gap does not move it", () => {
    const s = established();
    s.receives({ seq: 101, length: 100 });
    s.sends({ ack: 1 });
    s.receives({ flags: "R", seq: 201 });
    s.sends({ ack: 1 });
    s.receives({ flags: "R", seq: 1 });
    s.failedWith("ECONNRESET");
  });
});

describe("4.2: the SYN bit", () => {
  scenario("a challenge ACK, irrespective of the sequence number", () => {
    const s = established();
    for (const seq of [0, 1, 2, 65_535, 65_536, 1_000_000, -1_000_000]) {
      s.receives({ flags: "S", seq });
      s.sends({ seq: 1, ack: 1 });
    }
    s.is("ESTABLISHED");
  });
});

describe("5.2: the ACK field", () => {
  scenario("text with an ACK out of ((SND.UNA - MAX.SND.WND) .. SND.NXT) is not taken", () => {
    const s = established({ win: 1_000 });
    s.receives({ seq: 1, ack: 1 - 1_001, length: 10 });
    s.sends({ seq: 1, ack: 1 });
    s.receives({ seq: 1, ack: 2, length: 10 });
    s.sends({ seq: 1, ack: 1 });
    s.readsNothing();
    s.receives({ seq: 1, ack: 1 - 1_000, length: 10 });
    s.reads(10);
  });

  scenario("MAX.SND.WND is the largest window the peer ever offered, subject to scaling", () => {
    const s = established({ win: 1_000, wscale: 2 });
    s.receives({ win: 500 });
    s.receives({ win: 100 });
    s.receives({ seq: 1, ack: 1 - 4_001, length: 10 });
    s.sends({ seq: 1, ack: 1 });
    s.receives({ seq: 1, ack: 1 - 4_000, length: 10 });
    s.reads(10);
  });
});

describe("7: ACK throttling", () => {
  scenario("ten challenge ACKs a second", () => {
    const s = established();
    for (let i = 0; i < 10; i++) {
      s.receives({ flags: "R", seq: 1_000 });
      s.sends({ seq: 1, ack: 1 });
      s.passes(50);
    }
    for (let i = 0; i < 5; i++) s.receives({ flags: "S", seq: 5 });
    s.sendsNothing({ until: 999 });
    s.receives({ flags: "R", seq: 1_000 });
    s.receives({ seq: 500_000 });
    s.receives({ seq: 1, ack: 5 });
    s.sendsNothing({ until: 1_000 });
    s.receives({ flags: "R", seq: 1_000 });
    s.sends({ seq: 1, ack: 1 });
    expect(s.host.stack.stats).toMatchObject({ tcpChallengeAcks: 11, tcpChallengeAcksRateLimited: 8 });
  });

  scenario("each connection has a limit of its own: a shared one would tell of other connections", () => {
    const s = established({ passive: true });
    const t = s.from(5_001);
    t.receives(t.syn("S"));
    t.sends({ flags: "S." });
    t.receives({ seq: 1, ack: 1 });
    for (let i = 0; i < 20; i++) {
      s.receives({ flags: "R", seq: 1_000 });
      if (i < 10) s.sends({ ack: 1 });
    }
    t.receives({ flags: "R", seq: 1_000 });
    t.sends({ ack: 1 });
  });

  scenario("the limit does not hold back the ACK of text or of a FIN that comes again", () => {
    const s = established();
    s.receives({ length: 10 });
    s.sends({ ack: 11, at: 40 });
    for (let i = 0; i < 30; i++) {
      s.receives({ seq: 1, length: 10 });
      s.sends({ ack: 11 });
    }
  });
});

describe("7: what is sent to somebody who guesses", () => {
  scenario(
    "text, FINs and SYNs from anywhere: no more than the limit, and the connection does not notice",
    () => {
      const s = established();
      const random = seededRandom(3);
      let answers = 0;
      for (let i = 0; i < 500; i++) {
        const flags = [".", "P.", "F.", "S", "S.", "R", "U.", "FP."][i % 8];
        // Anywhere but where an honest peer might be.
        const seq = 100_000 + randomBelow(random, 0x7fff_0000);
        s.receives({ flags, seq, ack: 1, length: flags.includes("P") || i % 3 === 0 ? 100 : 0 });
        answers += s.sent().length;
      }
      expect(answers).toBe(10);
      s.is("ESTABLISHED");
      s.receives({ seq: 1, ack: 1, length: 10 });
      s.reads(10);
    },
  );

  scenario("a peer that answers each challenge wrongly: as many as the limit allows, not a loop", () => {
    const s = established();
    let answers = 0;
    s.receives({ seq: 1, ack: 99 });
    for (let ms = 0; ms < 3_000; ms++) {
      for (const _ of s.sent()) {
        answers++;
        s.receives({ seq: 1, ack: 99 });
        s.host.outbox.splice(1);
      }
      s.passes(1);
      if (answers === 10 && s.host.outbox.length === 0) break;
    }
    expect(answers).toBe(10);
  });

  scenario("the connection's limit is a setting", () => {
    const s = established({ tcp: { challengeAcksPerSecond: 2 } });
    let answers = 0;
    for (let i = 0; i < 9; i++) {
      s.receives({ flags: "R", seq: 5 });
      answers += s.sent().length;
    }
    expect(answers).toBe(2);
  });

  scenario("segments from far away do not keep a silent peer alive", () => {
    const s = established();
    s.socket.setKeepAlive(10_000, 1_000, 2);
    for (let i = 0; i < 11; i++) {
      s.passes(1_000);
      s.sent();
      s.receives({ seq: 1_000_000, length: 10 });
      s.sent();
    }
    s.passes(1_000);
    s.sent();
    s.failedWith("ETIMEDOUT");
  });
});

describe("7: the limit of all connections together", () => {
  const PER_SECOND = 100;

  /** How many are granted in each of so many seconds. */
  function granted(seconds: number, seed: number): number[] {
    const budget = new ChallengeBudget(PER_SECOND, seededRandom(seed));
    return Array.from({ length: seconds }, (_, second) => {
      let count = 0;
      while (budget.take(second * 1_000)) count++;
      return count;
    });
  }

  test("from half of what is set to one and a half of it, on average what is set", () => {
    const counts = granted(5_000, 1);
    expect(Math.min(...counts)).toBe(PER_SECOND / 2);
    expect(Math.max(...counts)).toBe(PER_SECOND * 1.5 - 1);
    const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
    expect(Math.abs(mean - PER_SECOND)).toBeLessThan(2);
  });

  test("each number is as likely as another, whatever the one before was", () => {
    const counts = granted(10_000, 2);
    const bins = new Float64Array(10);
    for (const count of counts) bins[Math.floor((count - PER_SECOND / 2) / 10)]++;
    const chiSquare = bins.reduce((sum, n) => sum + (n - 1_000) ** 2 / 1_000, 0);
    // 9 degrees of freedom: beyond it in one of a thousand runs.
    expect(chiSquare).toBeLessThan(27.9);
    let product = 0;
    for (let i = 1; i < counts.length; i++) product += (counts[i] - 99.5) * (counts[i - 1] - 99.5);
    expect(Math.abs(product / counts.length / 833)).toBeLessThan(0.04);
  });

  test("who counts what is left cannot tell whether another connection was challenged (CVE-2016-5696)", () => {
    const random = seededRandom(4);
    let right = 0;
    const counts = granted(4_000, 3);
    for (const count of counts) {
      const challenged = randomBelow(random, 2);
      const seen = count - challenged;
      // With a limit that is known, this is right every time.
      if (seen < PER_SECOND === (challenged === 1)) right++;
    }
    expect(Math.abs(right / counts.length - 0.5)).toBeLessThan(0.03);
  });

  scenario("holds for connections that have used up nothing of their own", () => {
    const s = established({ passive: true, tcp: { challengeAcksPerSecondInAll: 10 } });
    let answers = 0;
    for (let port = 5_001; port < 5_031; port++) {
      const t = s.from(port);
      t.receives(t.syn("S"));
      t.sends({ flags: "S." });
      t.receives({ seq: 1, ack: 1 });
      t.receives({ flags: "R", seq: 1_000 });
      answers += t.sent().length;
    }
    expect(answers).toBeGreaterThanOrEqual(5);
    expect(answers).toBeLessThan(15);
    const { stats } = s.host.stack;
    expect(stats.tcpChallengeAcks + stats.tcpChallengeAcksRateLimited).toBe(30);
  });
});
