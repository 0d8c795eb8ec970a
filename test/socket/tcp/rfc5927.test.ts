import { describe, expect } from "bun:test";
import { randomBelow, seededRandom } from "../../../src/random.ts";
import { tooLarge, unreachable } from "../../support/icmp-quote.ts";
import {
  type Conversation,
  established,
  finWait2,
  type ScenarioOptions,
  scenario,
  synReceived,
  synSent,
  timeWait,
} from "../../support/tcp.ts";

/** RFC 5927 7: an attacker says that packets were too large. Of other ICMP errors see `icmp-error.test.ts`. */

const lengths = (s: Conversation) => s.sent().map(({ seg }) => seg.payloadLength);

/** A connection with `count` segments in flight, of which nothing has arrived. */
function inFlight(count: number, options: ScenarioOptions = {}): Conversation {
  const s = established({ rttMs: 100, ...options });
  s.writes(count * 1_460);
  expect(lengths(s)).toEqual(Array(count).fill(1_460));
  return s;
}

/** The same, behind one that has: packets of 1,500 bytes are known to get through. The next byte is 1,461. */
function proven(count: number, options: ScenarioOptions = {}): Conversation {
  const s = inFlight(1, options);
  s.passes(100);
  s.receives({ ack: 1_461 });
  s.writes(count * 1_460);
  expect(lengths(s)).toEqual(Array(count).fill(1_460));
  return s;
}

function changesNothing(s: Conversation): void {
  s.sendsNothing();
  expect(s.socket.info()).toMatchObject({ mss: 1_460, pathMtu: 1_500 });
  expect(s.host.stack.stats.tcpPathMtuDecreases).toBe(0);
}

describe("4.1, 7.2: what the message quotes", () => {
  scenario("has to be in flight", () => {
    const s = inFlight(3);
    for (const seq of [-1_460, 0, 4_381, 100_000, 0x7fff_ffff]) tooLarge(s, seq, 1_000);
    changesNothing(s);
    expect(s.host.stack.stats.tcpPathMtuIgnored).toBe(5);
  });

  scenario("is not what has been acknowledged", () => {
    const s = inFlight(3, { tcp: { timestamps: true }, peerClock: 1, mss: 1_472, mtu: 1_512 });
    s.receives({ ack: 4_381 });
    tooLarge(s, 1, 1_000);
    tooLarge(s, 4_381, 1_000);
    s.sendsNothing();
    expect(s.host.stack.stats.tcpPathMtuDecreases).toBe(0);
  });

  scenario("is not what the peer has reported", () => {
    const s = inFlight(3, { tcp: { sack: true }, peerSack: true });
    s.passes(100);
    s.receives({ ack: 1, sack: [[1_461, 2_921]] });
    tooLarge(s, 1_461, 1_000);
    changesNothing(s);
    expect(s.host.stack.stats.tcpPathMtuIgnored).toBe(1);
  });

  scenario("was larger than what the message says is possible", () => {
    const s = inFlight(3);
    for (const [mtu, length] of [
      [1_000, 1_000],
      [1_000, 999],
      [1_000, 40],
      [1_000, 0],
    ]) {
      tooLarge(s, 1, mtu, length);
    }
    changesNothing(s);
    expect(s.host.stack.stats.tcpPathMtuIgnored).toBe(4);
  });

  scenario("is text: a SYN is never too large", () => {
    const s = synSent();
    tooLarge(s, 0, 1_000);
    s.is("SYN_SENT");
    const t = synReceived();
    tooLarge(t, 0, 1_000);
    t.is("SYN_RECEIVED");
    t.receives({ seq: 1, ack: 1 });
    t.accepts();
    t.writes(1_460);
    t.sends({ length: 1_460 });
  });

  scenario("nor is there any in a state without a flight", () => {
    for (const s of [finWait2(), timeWait()]) {
      for (const seq of [0, 1, 2]) tooLarge(s, seq, 1_000);
      s.sendsNothing({ for: 100 });
      expect(s.host.stack.stats.tcpPathMtuIgnored).toBe(3);
    }
  });
});

describe("7.2: before a segment of the size has arrived, a message is believed at once", () => {
  scenario("that is how a path is discovered", () => {
    const s = inFlight(3);
    tooLarge(s, 1, 1_000);
    expect(lengths(s)).toEqual([960, 960, 960, 960, 540]);
  });

  scenario("also after smaller ones have arrived", () => {
    const s = established();
    s.writes(1_000);
    s.sends({ length: 1_000 });
    s.receives({ ack: 1_001 });
    s.writes(1_460);
    s.sends({ length: 1_460 });
    tooLarge(s, 1_001, 1_400);
    s.sends({ seq: 1_001, length: 1_360 }, { seq: 2_361, length: 100 });
  });

  scenario("and for the new size, until one of that has", () => {
    const s = inFlight(3);
    tooLarge(s, 1, 1_000);
    lengths(s);
    tooLarge(s, 1, 800, 1_000);
    expect(lengths(s)).toEqual([760, 760, 760, 760, 760, 580]);
    s.receives({ ack: 761 });
    lengths(s);
    tooLarge(s, 761, 600, 800);
    s.sendsNothing();
    expect(s.socket.info().pathMtu).toBe(800);
  });
});

describe("7.2: afterwards it waits for its segment to time out", () => {
  scenario("which the ACK of that segment ends", () => {
    const s = proven(3);
    tooLarge(s, 1_461, 1_000);
    changesNothing(s);
    s.passes(50);
    s.receives({ ack: 2_921 });
    s.passes(2_000);
    expect(Math.max(...lengths(s))).toBe(1_460);
    expect(s.socket.info().pathMtu).toBe(1_500);
  });

  scenario("then it explains the silence: no congestion, no back-off", () => {
    const s = proven(3);
    const { cwnd, rtoMs } = s.socket.info();
    s.passes(10);
    tooLarge(s, 1_461, 1_000);
    s.sendsNothing({ for: rtoMs - 11 });
    s.passes(1);
    expect(lengths(s)).toEqual([960, 960, 960, 960, 540]);
    expect(s.socket.info()).toMatchObject({ mss: 960, backoff: 0, rtoMs, recovery: "open", ssthresh: null });
    expect(s.socket.info().cwnd).toBe(Math.min(cwnd, 9_600));
    expect(s.host.stack.stats).toMatchObject({ tcpPathMtuDecreases: 1, tcpTimeouts: 1 });
    // RTO starts anew; the next one is an ordinary one.
    s.sendsNothing({ for: rtoMs - 1 });
    s.sends({ seq: 1_461, length: 960, after: 1 });
    expect(s.socket.info()).toMatchObject({ backoff: 1, cwnd: 960 });
  });

  scenario("with SACK: the tail loss probe's time is enough", () => {
    const s = proven(3, { tcp: { sack: true }, peerSack: true });
    tooLarge(s, 1_461, 1_000);
    s.sendsNothing({ for: 201 });
    s.passes(1);
    expect(lengths(s)).toEqual([960, 960, 960, 960, 540]);
    expect(s.socket.info()).toMatchObject({ mss: 960, backoff: 0, recovery: "open", ssthresh: null });
    expect(s.host.stack.stats).toMatchObject({ tcpTailProbes: 0, tcpTimeouts: 0 });
  });

  scenario(
    "one about a later segment of the flight explains it as well, one about what has arrived does not",
    () => {
      const s = proven(3);
      tooLarge(s, 2_921, 1_000);
      s.passes(s.socket.info().rtoMs);
      expect(lengths(s)[0]).toBe(960);
      const t = proven(3);
      tooLarge(t, 1_461, 1_000);
      t.receives({ ack: 2_921 });
      t.passes(t.socket.info().rtoMs);
      expect(lengths(t)[0]).toBe(1_460);
    },
  );

  scenario("where nothing in flight was as large, the timeout is an ordinary one", () => {
    const s = proven(1);
    s.receives({ ack: 2_921 });
    s.writes(100);
    s.sends({ length: 100 });
    tooLarge(s, 2_921, 1_000);
    s.sends({ seq: 2_921, length: 100, after: s.socket.info().rtoMs });
    expect(s.socket.info()).toMatchObject({ backoff: 1, cwnd: s.socket.info().mss });
  });
});

describe("attackers who know the 4-tuple", () => {
  const flood = 5_000;

  scenario("and guess sequence numbers, change nothing", () => {
    const random = seededRandom(5);
    const s = proven(6);
    for (let i = 0; i < flood; i++) tooLarge(s, randomBelow(random, 2 ** 32), 68);
    expect(s.host.stack.stats.tcpPathMtuIgnored).toBeGreaterThan(flood - 10);
    changesNothing(s);
  });

  scenario("and guess right now and then, change nothing as long as data get through", () => {
    const s = proven(4);
    let una = 1_461;
    for (let round = 0; round < 50; round++) {
      // All of the flight, from end to end.
      for (let seq = una; seq < una + 4 * 1_460; seq += 365) tooLarge(s, seq, 68);
      changesNothing(s);
      s.passes(100);
      una += 4 * 1_460;
      s.receives({ ack: una });
      s.writes(4 * 1_460);
      expect(lengths(s)).toEqual([1_460, 1_460, 1_460, 1_460]);
    }
  });

  scenario("and know them, do not get below the least, and little is sent again", () => {
    const s = inFlight(10);
    let segments = 0;
    for (let mtu = 1_499; mtu >= 68; mtu -= 1) {
      tooLarge(s, 1, mtu);
      segments += lengths(s).length;
    }
    // Five were believed before anything had arrived.
    expect(s.socket.info().pathMtu).toBe(1_495);
    expect(segments).toBeLessThanOrEqual(5 * 11);
    s.receives({ ack: 1_451 });
    lengths(s);
    for (let i = 0; i < 3; i++) {
      tooLarge(s, 1_451, 68);
      s.passes(70_000);
      expect(Math.min(...lengths(s).slice(0, 5))).toBe(512);
    }
    expect(s.socket.info().pathMtu).toBe(552);
  });

  scenario("cannot have hard errors end a connection either", () => {
    const s = proven(4);
    for (let i = 0; i < 100; i++) unreachable(s, i % 4, 1_461 + 10 * i);
    s.is("ESTABLISHED");
    s.receives({ ack: 1_461 + 4 * 1_460 });
    s.is("ESTABLISHED");
  });
});
