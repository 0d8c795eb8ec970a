import { describe, expect, test } from "bun:test";
import { Stack, StackError } from "../../../src/index.ts";
import { seededRandom } from "../../../src/random.ts";
import { SynCookies } from "../../../src/socket/tcp/syn-cookie.ts";
import { parseAddress } from "../../../src/wire/ip-address.ts";
import { ACK, CWR, ECE, RST, SYN, TcpSegment } from "../../../src/wire/tcp.ts";
import {
  type Conversation,
  LISTENING_PORT,
  listening,
  type ScenarioOptions,
  scenario,
} from "../../support/tcp.ts";
import { formatFlags } from "../../support/tcp-segment.ts";

/** RFC 4987 3.6: SYN cookies. */

/** The peer's clock, whose numbers wrap soon. */
const CLOCK = 0x7fff_fff0;

/** A listener that remembers nobody before the ACK. */
function cookies(options: ScenarioOptions = {}): Conversation {
  return listening({ cookie: true, ...options, tcp: { synCookies: "always", ...options.tcp } });
}

/** The peer's SYN has been answered by a cookie. */
function answered(options: ScenarioOptions = {}): Conversation {
  const s = cookies(options);
  s.receives(s.syn("S"));
  s.sends({ flags: "S.", seq: 0, ack: 1 });
  return s;
}

const stats = (s: Conversation) => s.host.stack.stats;
const counted = (s: Conversation) => [
  stats(s).tcpSynCookiesSent,
  stats(s).tcpSynCookiesAccepted,
  stats(s).tcpSynCookiesRejected,
];

describe("a connection by a cookie", () => {
  scenario("is opened by the ACK; nothing is there before", () => {
    const s = answered();
    expect(s.host.stack.sockets.size).toBe(1);
    expect(s.host.isQuiet).toBe(true);
    expect([stats(s).tcpSegmentsSent, stats(s).tcpResetsSent]).toEqual([1, 0]);
    s.is("CLOSED");
    s.passes(20);
    s.receives({ seq: 1, ack: 1 });
    s.is("ESTABLISHED");
    s.accepts();
    s.writes(5);
    s.sends({ seq: 1, ack: 1, length: 5 });
    s.receives({ seq: 1, ack: 6, length: 3 });
    s.reads(3);
    expect(counted(s)).toEqual([1, 1, 0]);
    s.close();
    s.sends({ flags: "F.", seq: 6, ack: 4 });
    s.receives({ flags: "F.", seq: 4, ack: 7 });
    s.sends({ seq: 7, ack: 5 });
    s.is("TIME_WAIT");
  });

  scenario("has no round-trip time: the first RTO is the initial one", () => {
    const s = answered({ peerClock: CLOCK, tcp: { timestamps: true } });
    s.passes(300);
    s.receives({ seq: 1, ack: 1 });
    s.accepts();
    expect(s.tcb!.srtt).toBeLessThan(0);
    s.writes(10);
    s.sends({ length: 10 });
    s.sends({ seq: 1, length: 10, after: 1_000 });
    s.passes(5);
    s.receives({ ack: 11 });
    expect(s.tcb!.srtt).toBeLessThan(10);
  });

  scenario("text and FIN on the ACK are delivered", () => {
    const s = answered();
    s.receives({ flags: "FP.", seq: 1, ack: 1, length: 100 });
    s.sends({ seq: 1, ack: 102 });
    s.accepts();
    s.reads(100);
    s.readsEnd();
    s.is("CLOSE_WAIT");
  });

  scenario("where the ACK is lost, the text behind it opens it", () => {
    const s = answered();
    s.receives({ flags: "P.", seq: 1, ack: 1, length: 10 });
    s.accepts();
    s.reads(10);
  });

  scenario("the window that the SYN-ACK offers is honoured, and not more", () => {
    for (const [receiveBuffer, window] of [
      [1 << 20, 65_535],
      [3_000, 3_000],
    ]) {
      const s = cookies({ tcp: { receiveBuffer } });
      s.receives(s.syn("S"));
      s.sends({ flags: "S.", win: window });
      s.receives({ seq: 1, ack: 1 });
      s.receives({ flags: "P.", seq: window - 9, ack: 1, length: 20 });
      expect((s.sent()[0].seg.ack - s.irs) | 0).toBe(1);
      expect([s.tcb!.outOfOrder.start(0), s.tcb!.outOfOrder.end(0)]).toEqual([window - 10, window]);
    }
  });

  scenario("a SYN again gets the same cookie in the same period", () => {
    const s = answered();
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0, ack: 1 });
    expect(counted(s)).toEqual([2, 0, 0]);
  });
});

describe("what is kept of the SYN", () => {
  scenario("the MSS, as one of eight", () => {
    for (const [said, kept] of [
      [null, 536],
      [1, 88],
      [535, 88],
      [536, 536],
      [1_219, 536],
      [1_220, 1_220],
      [1_300, 1_300],
      [1_400, 1_400],
      [1_459, 1_440],
      [1_460, 1_460],
      [1_461, 1_460],
      [65_535, 1_460],
    ]) {
      const s = answered({ mss: said });
      s.receives({ seq: 1, ack: 1 });
      s.accepts();
      expect([said, s.tcb!.mss]).toEqual([said, kept]);
      s.writes(3_000);
      expect(s.sent()[0].seg.payloadLength).toBe(kept!);
    }
  });

  scenario("jumbo frames, where ours are", () => {
    const s = answered({ mss: 8_960, mtu: 9_000 });
    s.receives({ seq: 1, ack: 1 });
    expect(s.tcb!.mss).toBe(8_960);
  });

  scenario("a bound for our own, of the stack or of the listener, is announced and kept", () => {
    const s = cookies({ tcp: { maxSegmentSize: 1_100 } });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", mss: 1_100 });
    s.receives({ seq: 1, ack: 1 });
    expect([s.tcb!.mss, s.tcb!.rcvMss]).toEqual([1_100, 1_100]);
    const { sockets } = s.host.stack;
    sockets.listen({ port: 81, maxSegmentSize: 1_000 });
    const t = s.from(9, { cookie: true });
    t.localPort = 81;
    t.receives(t.syn("S"));
    t.sends({ flags: "S.", mss: 1_000 });
    t.receives({ seq: 1, ack: 1 });
    expect([t.tcb!.mss, t.tcb!.rcvMss]).toEqual([1_000, 1_000]);
  });

  const ON = { timestamps: true, sack: true, ecn: true } as const;

  scenario("by timestamps: window scale, SACK and ECN", () => {
    for (const wscale of [null, 0, 1, 7, 14]) {
      for (const peerSack of [false, true]) {
        for (const peerEcn of [false, true]) {
          const s = cookies({ peerClock: CLOCK, wscale, peerSack, peerEcn, tcp: ON });
          s.receives(s.syn("S"));
          const flags = peerEcn ? "SE." : "S.";
          s.sends({ flags, mss: 1_460, wscale: wscale === null ? null : 3, sackPermitted: peerSack });
          s.passes(63);
          s.receives({ seq: 1, ack: 1, win: 1_000 });
          s.accepts();
          const tcb = s.tcb!;
          expect(tcb.timestamps).toBe(true);
          expect(tcb.sack).toBe(peerSack);
          expect(tcb.ecn).toBe(peerEcn ? 1 : 0);
          expect([tcb.sndWindShift, tcb.rcvWindShift]).toEqual(wscale === null ? [0, 0] : [wscale, 3]);
          expect(tcb.sndWnd).toBe(1_000 << (wscale ?? 0));
        }
      }
    }
  });

  scenario("without timestamps, none of these: and none is promised", () => {
    const s = cookies({ wscale: 7, peerSack: true, peerEcn: true, tcp: ON });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", mss: 1_460, wscale: null, sackPermitted: false, ts: null });
    s.receives({ seq: 1, ack: 1 });
    const tcb = s.tcb!;
    expect([tcb.timestamps, tcb.sack, tcb.ecn, tcb.sndWindShift, tcb.rcvWindShift]).toEqual([
      false,
      false,
      0,
      0,
      0,
    ]);
  });

  scenario("what is turned off here is not promised either", () => {
    const s = cookies({ peerClock: CLOCK, wscale: 7, peerSack: true, peerEcn: true });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", wscale: null, sackPermitted: false, ts: null });
    s.receives({ seq: 1, ack: 1 });
    expect([s.tcb!.timestamps, s.tcb!.sack, s.tcb!.ecn]).toEqual([false, false, 0]);
    const t = cookies({
      peerClock: CLOCK,
      wscale: 7,
      peerSack: true,
      peerEcn: true,
      tcp: { timestamps: true },
    });
    t.receives(t.syn("S"));
    t.sends({ flags: "S.", wscale: 3, sackPermitted: false });
    t.receives({ seq: 1, ack: 1 });
    expect([t.tcb!.timestamps, t.tcb!.sack, t.tcb!.ecn]).toEqual([true, false, 0]);
  });

  scenario("our timestamps never go back: not from one SYN-ACK to the next, nor to what follows", () => {
    const offset = 0x7fff_ffc0;
    const s = cookies({
      peerClock: CLOCK,
      wscale: 14,
      peerSack: true,
      timestampOffset: offset,
      tcp: { timestamps: true, sack: true },
    });
    let before = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < 150; i++) {
      s.receives(s.syn("S"));
      const [{ seg }] = s.sent();
      const shown = (seg.tsVal - offset) | 0;
      expect(seg.tsEcr).toBe((CLOCK + s.host.age) | 0);
      expect(shown).toBeGreaterThanOrEqual(before);
      expect(shown).toBeGreaterThan(s.host.age - 64);
      expect(shown).toBeLessThanOrEqual(s.host.age);
      before = shown;
      s.passes(1);
    }
    s.receives({ seq: 1, ack: 1 });
    s.accepts();
    s.writes(1);
    const [{ seg }] = s.sent();
    expect((seg.tsVal - offset) | 0).toBe(s.host.age);
  });

  scenario("a timestamp that is no echo of ours is no witness", () => {
    const s = answered({ peerClock: CLOCK, tcp: { timestamps: true } });
    const now = () => s.host.age;
    for (const echo of [now() + 64, now() - 200_000, now() ^ 0x4000_0000]) {
      s.receives({ seq: 1, ack: 1, ts: [CLOCK, echo] });
      s.sends({ flags: "R", seq: 1 });
    }
    expect(counted(s)).toEqual([1, 0, 3]);
  });
});

describe("what is no cookie", () => {
  scenario("an ACK while none were sent is answered as ever, and not looked at", () => {
    const s = listening();
    s.receives({ seq: 1, ack: 1 });
    s.sends({ flags: "R", seq: 1 });
    expect(counted(s)).toEqual([0, 0, 0]);
  });

  scenario("any other acknowledgment or sequence number: a reset", () => {
    const s = answered();
    const others = [
      { seq: 1, ack: 2 },
      { seq: 1, ack: 0 },
      { seq: 2, ack: 1 },
      { seq: 0, ack: 1 },
      { seq: 1, ack: 1 + 16 },
      { seq: 1, ack: 1 + (1 << 30) },
    ];
    for (const other of others) {
      s.receives(other);
      s.sends({ flags: "R", seq: other.ack });
    }
    expect(counted(s)).toEqual([1, 0, others.length]);
    expect(s.host.stack.sockets.size).toBe(1);
    s.receives({ seq: 1, ack: 1 });
    s.is("ESTABLISHED");
  });

  scenario("another peer's, or one with a SYN or a reset", () => {
    const s = answered();
    const thief = s.from(s.peerPort + 1);
    thief.iss = s.iss;
    thief.receives({ seq: 1, ack: 1 });
    thief.sends({ flags: "R", seq: 1 });
    s.receives({ flags: "S.", seq: 1, ack: 1 });
    s.sends({ flags: "R", seq: 1 });
    s.receives({ flags: "R.", seq: 1, ack: 1 });
    s.sendsNothing();
    s.receives({ flags: "", seq: 1 });
    s.sendsNothing();
    expect(counted(s)).toEqual([1, 0, 1]);
    expect(s.host.stack.sockets.size).toBe(1);
  });

  scenario("guesses", () => {
    const s = answered();
    const random = seededRandom(4_987);
    for (let i = 0; i < 3_000; i++) s.host.inject(s.packet({ seq: 1, ack: random.next() }));
    expect(s.sent().every(({ seg }) => seg.flags === RST)).toBe(true);
    expect(counted(s)).toEqual([1, 0, 3_000]);
  });

  scenario("one from the period before the last: made late in a period, or early", () => {
    // The host's clock is 777,000 ms when it is made: 55,000 before the next period begins.
    for (const [made, good, bad] of [
      [0, 118_999, 119_000],
      [54_999, 118_999, 119_000],
      [55_000, 182_999, 183_000],
    ]) {
      for (const [at, isGood] of [
        [good, true],
        [bad, false],
      ] as const) {
        const s = cookies();
        s.passes(made);
        s.receives(s.syn("S"));
        s.sends({ flags: "S." });
        s.passes(at - made);
        // Another one's SYN keeps the listener looking.
        const other = s.from(9);
        other.receives(other.syn("S"));
        other.sent();
        s.receives({ seq: 1, ack: 1 });
        s.is(isGood ? "ESTABLISHED" : "CLOSED");
        expect(s.sent().map(({ seg }) => formatFlags(seg.flags))).toEqual(isGood ? [] : ["R"]);
        expect(stats(s).tcpSynCookiesRejected).toBe(isGood ? 0 : 1);
      }
    }
  });

  scenario("two periods after the last one was sent, nobody looks", () => {
    const s = answered();
    s.passes(128_001);
    s.receives({ seq: 1, ack: 1 });
    s.sends({ flags: "R", seq: 1 });
    expect(counted(s)).toEqual([1, 0, 0]);
  });
});

describe("the generator", () => {
  function segment(seq: number): TcpSegment {
    const seg = new TcpSegment();
    seg.source = parseAddress("192.0.2.7");
    seg.destination = parseAddress("10.0.0.1");
    seg.sourcePort = 40_000;
    seg.destinationPort = 443;
    seg.seq = seq;
    return seg;
  }

  test("holds at any time, and with any sequence number", () => {
    const cookies = new SynCookies(seededRandom(1));
    for (const now of [0, 63_999.5, 64_000, 2 ** 31, 2 ** 32 + 1, 1.8e12, 2 ** 45]) {
      for (const irs of [0, -1, 0x7fff_ffff, -0x8000_0000]) {
        const syn = segment(irs);
        const ack = segment((irs + 1) | 0);
        ack.ack = (cookies.make(syn, 1_400, now) + 1) | 0;
        expect(cookies.check(ack, now)).toBe(1_400);
        expect(cookies.check(ack, now + 64_000)).toBe(1_400);
        expect(cookies.check(ack, now + 128_000)).toBe(0);
        ack.ack = (ack.ack + 16) | 0;
        expect(cookies.check(ack, now)).toBe(0);
      }
    }
  });

  test("cookies of different connections, times and secrets have nothing in common", () => {
    const one = new SynCookies(seededRandom(1));
    const two = new SynCookies(seededRandom(2));
    const seen = new Set<number>();
    for (let i = 0; i < 1_000; i++) {
      const syn = segment(i);
      seen.add(one.make(syn, 1_460, 0) >>> 4);
      seen.add(one.make(syn, 1_400, 0) >>> 4);
      seen.add(one.make(syn, 1_460, 64_000) >>> 4);
      seen.add(two.make(syn, 1_460, 0) >>> 4);
    }
    expect(seen.size).toBeGreaterThan(3_990);
  });

  test("every part of an IPv6 address counts", () => {
    const cookies = new SynCookies(seededRandom(2));
    const seen = new Set<number>();
    const seg = segment(1);
    for (const [source, destination] of [
      ["2001:db8::1", "2001:db8::2"],
      ["2001:db8::3", "2001:db8::2"],
      ["2001:db8:0:1::1", "2001:db8::2"],
      ["2001:db9::1", "2001:db8::2"],
      ["2001:db8::1:0:1", "2001:db8::2"],
      ["2001:db8::1", "2001:db8::3"],
      ["2001:db8::1", "2001:db8:0:1::2"],
      ["2001:db8::1", "2001:db9::2"],
      ["2001:db8::1", "2001:db8::1:0:2"],
    ]) {
      seg.source = parseAddress(source);
      seg.destination = parseAddress(destination);
      seen.add(cookies.make(seg, 1_220, 0));
    }
    expect(seen.size).toBe(9);
  });

  test("sixteen numbers of 2^32 fit: every MSS, in two periods", () => {
    const cookies = new SynCookies(seededRandom(3));
    const good = new Set<number>();
    for (const now of [0, 64_000]) {
      for (let mss = 1; mss < 9_000; mss += 8) good.add(cookies.make(segment(5), mss, now));
    }
    expect(good.size).toBe(16);
    const ack = segment(6);
    for (const cookie of good) {
      ack.ack = (cookie + 1) | 0;
      expect(cookies.check(ack, 64_000)).toBeGreaterThan(0);
    }
  });
});

describe("when", () => {
  const opens = (s: Conversation, port: number) => {
    const t = s.from(port);
    t.receives(t.syn("S"));
    return t;
  };

  scenario("the first ones are remembered, the rest get cookies", () => {
    const s = listening({ backlog: 1, maxSockets: 1_000 });
    for (let i = 0; i < 256; i++) opens(s, 10_000 + i).sends({ flags: "S.", seq: 0 });
    expect(counted(s)).toEqual([0, 0, 0]);
    const late = s.from(9_999, { cookie: true });
    late.receives(late.syn("S"));
    late.sends({ flags: "S.", ack: 1 });
    expect(counted(s)).toEqual([1, 0, 0]);
    expect(s.host.stack.sockets.size).toBe(257);
    late.receives({ flags: "P.", seq: 1, ack: 1, length: 20 });
    late.accepts();
    late.reads(20);
    // Who is remembered is sent the SYN-ACK again.
    s.passes(1_000);
    expect(s.sent().filter(({ seg }) => seg.flags === (SYN | ACK))).toHaveLength(256);
  });

  scenario("the stack has a limit, too, for all listeners", () => {
    const s = listening({ tcp: { maxHalfOpen: 2 } });
    s.host.stack.sockets.listen({ port: 81 });
    opens(s, 1).sends({ flags: "S.", seq: 0 });
    const other = s.from(2);
    other.localPort = 81;
    other.receives(other.syn("S"));
    other.sends({ flags: "S.", seq: 0 });
    opens(s, 3).sent();
    expect(counted(s)).toEqual([1, 0, 0]);
    // One that completes makes room, and so does one that ends.
    s.from(1).receives({ seq: 1, ack: 1 });
    opens(s, 4).sends({ flags: "S.", seq: 0 });
    other.receives({ flags: "R", seq: 1 });
    opens(s, 5).sends({ flags: "S.", seq: 0 });
    expect(counted(s)).toEqual([1, 0, 0]);
  });

  scenario("half-open ones that never complete make room again", () => {
    const s = listening({ tcp: { maxHalfOpen: 1, synAckRetries: 1 } });
    opens(s, 1).sends({ flags: "S.", seq: 0 });
    s.passes(3_100);
    expect(s.sent()).toHaveLength(1);
    expect(s.host.stack.sockets.size).toBe(1);
    opens(s, 2).sends({ flags: "S.", seq: 0 });
    expect(counted(s)).toEqual([0, 0, 0]);
  });

  scenario("no socket number is left: the ACK waits for one", () => {
    const s = listening({ maxSockets: 2 });
    const first = opens(s, 1);
    first.sends({ flags: "S.", seq: 0 });
    first.receives({ seq: 1, ack: 1 });
    const late = s.from(9, { cookie: true });
    late.receives(late.syn("S"));
    late.sends({ flags: "S." });
    late.receives({ flags: "P.", seq: 1, ack: 1, length: 5 });
    late.sendsNothing();
    late.is("CLOSED");
    expect(stats(s).tcpListenOverflow).toBe(1);
    first.receives({ flags: "R", seq: 1 });
    late.receives({ flags: "P.", seq: 1, ack: 1, length: 5 });
    late.is("ESTABLISHED");
    late.accepts();
    late.reads(5);
  });

  scenario("never: then SYNs are dropped", () => {
    const s = listening({ tcp: { maxHalfOpen: 1, synCookies: false } });
    opens(s, 1).sends({ flags: "S.", seq: 0 });
    opens(s, 2).sendsNothing();
    expect(stats(s).tcpListenOverflow).toBe(1);
    expect(counted(s)).toEqual([0, 0, 0]);
  });

  scenario("the accept queue is full: no SYN is answered, and an ACK waits until there is room", () => {
    const s = answered({ backlog: 1 });
    const t = s.from(s.peerPort + 1, { cookie: true });
    t.receives(t.syn("S"));
    t.sends({ flags: "S." });
    s.receives({ seq: 1, ack: 1 });
    t.receives({ seq: 1, ack: 1 });
    t.is("CLOSED");
    const u = s.from(s.peerPort + 2, { cookie: true });
    u.receives(u.syn("S"));
    u.sendsNothing();
    expect(stats(s).tcpListenOverflow).toBe(2);
    expect(counted(s)).toEqual([2, 1, 0]);
    s.accepts();
    // The peer has something to say, and says it again.
    t.receives({ flags: "P.", seq: 1, ack: 1, length: 7 });
    t.accepts();
    t.reads(7);
  });

  scenario("the queue had room again when the peer asked again: what it acknowledges counts", () => {
    const s = listening({ cookie: true, tcp: { maxHalfOpen: 1 } });
    const other = s.from(1, { cookie: false });
    other.receives(other.syn("S"));
    other.sends({ flags: "S.", seq: 0 });
    s.receives(s.syn("S"));
    s.sends({ flags: "S." });
    const cookie = s.iss;
    other.receives({ flags: "R", seq: 1 });
    s.receives(s.syn("S"));
    s.sent();
    expect(s.iss).not.toBe(cookie);
    s.is("SYN_RECEIVED");
    // The first SYN-ACK was late, not lost.
    s.iss = cookie;
    s.receives({ flags: "P.", seq: 1, ack: 1, length: 5 });
    s.accepts();
    s.reads(5);
    s.is("ESTABLISHED");
    expect(s.host.stack.sockets.size).toBe(2);
    s.sends({ ack: 6, after: 40 });
    s.sendsNothing({ for: 100_000 });
    expect(counted(s)).toEqual([1, 1, 0]);
  });

  scenario("but of the two only what was sent", () => {
    const s = listening({ tcp: { maxHalfOpen: 1 } });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0 });
    opens(s, 2).sent();
    s.receives({ seq: 1, ack: 77 });
    s.sends({ flags: "R", seq: 77 });
    s.is("SYN_RECEIVED");
    s.receives({ seq: 1, ack: 1 });
    s.is("ESTABLISHED");
    expect(counted(s)).toEqual([1, 0, 0]);
  });

  scenario("TIME-WAIT gives its place to a new connection: no cookie could say what it has sent", () => {
    const s = listening({ tcp: { maxHalfOpen: 1 } });
    const t = opens(s, 1);
    t.sends({ flags: "S.", seq: 0 });
    t.receives({ seq: 1, ack: 1 });
    t.accepts();
    t.close();
    t.sends({ flags: "F.", seq: 1, ack: 1 });
    t.receives({ flags: "F.", seq: 1, ack: 2 });
    t.sends({ seq: 2, ack: 2 });
    t.is("TIME_WAIT");
    opens(s, 2).sends({ flags: "S.", seq: 0 });
    s.host.iss = (s.host.iss + 1_000_000) | 0;
    const again = s.from(1, { irs: (t.irs + 1_000) | 0 });
    again.receives(again.syn("S"));
    again.sends({ flags: "S.", seq: 0 });
    expect(counted(s)).toEqual([0, 0, 0]);
    again.receives({ seq: 1, ack: 1 });
    again.is("ESTABLISHED");
  });

  scenario("the device is full: the peer asks again", () => {
    const s = cookies();
    s.host.device.room = 0;
    s.receives(s.syn("S"));
    s.sendsNothing();
    expect(stats(s).framesDroppedDeviceFull).toBe(1);
    s.host.device.room = 10;
    s.receives(s.syn("S"));
    s.sends({ flags: "S." });
  });

  scenario("a closed listener's cookies are nobody's, unless the port is shared", () => {
    const s = answered();
    s.listener!.close();
    s.receives({ seq: 1, ack: 1 });
    s.sends({ flags: "R", seq: 1 });
    expect(stats(s).tcpNoConnection).toBe(1);
  });
});

describe("settings", () => {
  test("what can't be", () => {
    const stacks = [
      () => new Stack({ tcp: { synCookies: "never" as "always" } }),
      () => new Stack({ tcp: { maxHalfOpen: 0 } }),
      () => new Stack({ tcp: { maxHalfOpen: 1.5 } }),
    ];
    for (const stack of stacks) expect(stack).toThrow(StackError);
  });
});

test("ECN is asked for by both bits", () => {
  for (const [flags, answer] of [
    [SYN | ECE | CWR, SYN | ACK | ECE],
    [SYN | ECE, SYN | ACK],
    [SYN | CWR, SYN | ACK],
  ]) {
    const s = cookies({ peerClock: CLOCK, tcp: { timestamps: true, ecn: true } });
    s.receives({ ...s.syn("S"), flags: formatFlags(flags) });
    expect(s.sent()[0].seg.flags).toBe(answer);
    expect(s.localPort).toBe(LISTENING_PORT);
  }
});
