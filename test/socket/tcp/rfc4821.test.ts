import { describe, expect, test } from "bun:test";
import { tooLarge } from "../../support/icmp-quote.ts";
import { type Conversation, established, type ScenarioOptions, scenario } from "../../support/tcp.ts";

/** RFC 4821 for TCP: what a path carries is found out without ICMP. */

const TEN_MINUTES = 600_000;
const WITH_SACK = { tcp: { sack: true, mtuProbing: "always" }, peerSack: true, rttMs: 100 } as const;

const lengths = (s: Conversation) => s.sent().map(({ seg }) => seg.payloadLength);

/** What the path does not carry does not arrive; the peer acknowledges, or SACKs, the rest of what was sent since. */
function answers(s: Conversation, carries: number): number[] {
  const sent = s.sent();
  const arrived = sent.filter(({ bytes, seg }) => seg.payloadLength > 0 && bytes.length <= carries);
  for (const { seg } of arrived) {
    const seq = (seg.seq - s.iss) | 0;
    ranges.push([seq, seq + seg.payloadLength]);
  }
  ranges.sort((a, b) => a[0] - b[0]);
  while (ranges.length > 0 && ranges[0][0] <= una) una = Math.max(una, ranges.shift()?.[1] ?? 0);
  const sack: [number, number][] = [];
  for (const [from, to] of ranges) {
    const last = sack.at(-1);
    if (last !== undefined && last[1] === from) last[1] = to;
    else sack.push([from, to]);
  }
  s.host.inject(s.packet({ ack: una, ...(sack.length === 0 ? {} : { sack: sack.slice(0, 3) }) }));
  return sent.map(({ bytes }) => bytes.length);
}
let una = 1;
const ranges: [number, number][] = [];

function begin(options: ScenarioOptions): Conversation {
  una = 1;
  ranges.length = 0;
  return established(options);
}

/** The program always has more to send; the path carries packets of `carries` bytes. Returns the sizes of what was sent. */
function runs(s: Conversation, carries: number, rounds: number): number[] {
  const sizes: number[] = [];
  for (let round = 0; round < rounds; round++) {
    s.write(20_000);
    s.passes(100);
    sizes.push(...answers(s, carries));
  }
  return sizes;
}

describe("7.7: full-sized segments that time out again and again become smaller", () => {
  scenario("after three retransmissions in vain: 1,024 bytes, then half, then no less than the least", () => {
    const s = established();
    s.writes(14_600);
    lengths(s);
    for (const at of [200, 600, 1_400]) s.sends({ seq: 1, length: 1_460, at });
    s.sends({ seq: 1, length: 1_024, at: 3_000 });
    s.sends({ seq: 1, length: 512, at: 6_200 });
    s.sends({ seq: 1, length: 512, at: 12_600 });
    expect(s.socket.info()).toMatchObject({ mss: 512, pathMtu: 552 });
    expect(s.host.stack.stats.tcpBlackHoles).toBe(2);
    // What is sent now gets through, and all the rest follows.
    s.receives({ ack: 513 });
    s.sends({ seq: 513, length: 512 }, { seq: 1_025, length: 436 });
    s.receives({ ack: 1_461 });
    expect(lengths(s)).toEqual([512, 512, 512]);
  });

  scenario("the least is a setting, and a path that is smaller already has nothing to lose", () => {
    const s = established({ tcp: { minPathMtu: 1_280 } });
    s.writes(1_460);
    s.passes(20_000);
    expect(lengths(s).slice(-3)).toEqual([1_240, 1_240, 1_240]);
    const t = established({ mss: 500 });
    t.writes(1_460);
    t.passes(20_000);
    expect(lengths(t).at(-1)).toBe(500);
    expect(t.host.stack.stats.tcpBlackHoles).toBe(0);
  });

  scenario("segments that are not full are not too large", () => {
    const s = established();
    s.writes(1_459);
    s.sends({ length: 1_459 });
    s.passes(20_000);
    expect(new Set(lengths(s))).toEqual(new Set([1_459]));
    expect(s.host.stack.stats.tcpBlackHoles).toBe(0);
  });

  scenario("a window that is shut is no path that is", () => {
    const s = established();
    s.receives({ win: 0 });
    s.writes(5_000);
    s.passes(60_000);
    expect(new Set(lengths(s))).toEqual(new Set([1]));
    s.receives({ ack: 2, win: 65_535 });
    expect(lengths(s)[0]).toBe(1_460);
  });

  scenario("with options and a FIN", () => {
    const s = established({ tcp: { timestamps: true }, peerClock: 4 });
    s.writes(1_448);
    s.sends({ length: 1_448 });
    s.shutdown();
    s.passes(3_300);
    expect(
      s
        .sent()
        .map(({ bytes }) => bytes.length)
        .at(-1),
    ).toBe(1_064);
    expect(s.socket.info()).toMatchObject({ mss: 1_012, pathMtu: 1_064 });
  });

  scenario('"off": they stay as they are', () => {
    const s = established({ tcp: { mtuProbing: "off" } });
    s.writes(1_460);
    s.passes(60_000);
    expect(new Set(lengths(s))).toEqual(new Set([1_460]));
  });

  test("other words are refused", () => {
    expect(() => established({ tcp: { mtuProbing: "sometimes" as "off" } })).toThrow(
      'mtuProbing must be one of "off", "blackhole", "always", not "sometimes"',
    );
  });
});

describe("7.2 to 7.5: the search", () => {
  scenario('"always": from 1,024 bytes on; all of it is tried first', () => {
    const s = begin(WITH_SACK);
    expect(s.socket.info()).toMatchObject({ mss: 1_024, mtuSearch: { high: 1_500, probe: null } });
    s.writes(40_000);
    const [first, ...rest] = lengths(s);
    expect(first).toBe(1_460);
    expect(new Set(rest)).toEqual(new Set([1_024]));
    expect(s.socket.info().mtuSearch).toEqual({ high: 1_500, probe: 1_500 });
    s.passes(100);
    s.receives({ ack: 1 + 1_460 + 1_024 });
    expect(s.socket.info()).toMatchObject({ mss: 1_460, pathMtu: 1_500, mtuSearch: { probe: null } });
    expect(new Set(lengths(s))).toEqual(new Set([1_460]));
    expect(s.host.stack.stats).toMatchObject({ tcpMtuProbes: 1, tcpMtuProbesArrived: 1 });
  });

  for (const carries of [1_064, 1_070, 1_200, 1_300, 1_450, 1_492, 1_499]) {
    scenario(`a path that carries ${carries} bytes is found, within 8, and the rest is no congestion`, () => {
      const s = begin(WITH_SACK);
      const sizes = runs(s, carries, 40);
      const { pathMtu, recovery, ssthresh, backoff } = s.socket.info();
      expect(pathMtu).toBeLessThanOrEqual(carries);
      expect(pathMtu).toBeGreaterThan(carries - 8);
      expect({ recovery, ssthresh, backoff }).toEqual({ recovery: "open", ssthresh: null, backoff: 0 });
      const probes = sizes.filter((size) => size > carries).length;
      expect(probes).toBeLessThanOrEqual(8);
      expect(s.host.stack.stats).toMatchObject({ tcpTimeouts: 0, tcpFastRetransmissions: 0 });
    });
  }

  scenario("a probe is lost: its text is sent again in segments that fit, and the window stays", () => {
    const s = begin(WITH_SACK);
    s.writes(20_000);
    expect(lengths(s)[0]).toBe(1_460);
    const { cwnd } = s.socket.info();
    s.passes(100);
    s.receives({ ack: 1, sack: [[1_461, 4_533]] });
    const [again, rest] = s.sent();
    expect([again.seg.payloadLength, rest.seg.payloadLength]).toEqual([1_024, 436]);
    expect(s.socket.info().cwnd).toBeGreaterThanOrEqual(cwnd);
    expect(s.socket.info()).toMatchObject({ ssthresh: null, recovery: "open", bytesLost: 0 });
    expect(s.socket.info().mtuSearch).toEqual({ high: 1_499, probe: null });
  });

  scenario("without SACK three duplicate ACKs tell", () => {
    const s = begin({ tcp: { mtuProbing: "always" }, rttMs: 100 });
    s.writes(20_000);
    expect(lengths(s)[0]).toBe(1_460);
    s.passes(100);
    for (let copy = 0; copy < 2; copy++) {
      s.receives({ ack: 1 });
      expect(lengths(s)).toEqual([1_024]);
    }
    s.receives({ ack: 1 });
    s.sends({ seq: 1, length: 1_024 });
    expect(s.socket.info()).toMatchObject({ ssthresh: null, recovery: "open", mtuSearch: { high: 1_499 } });
    expect(s.host.stack.stats.tcpFastRetransmissions).toBe(0);
  });

  scenario("a router that refuses it names what to try next", () => {
    const s = begin(WITH_SACK);
    s.writes(40_000);
    lengths(s);
    s.passes(10);
    tooLarge(s, 1, 1_300);
    const [again, rest] = s.sent();
    expect([again.seg.payloadLength, rest.seg.payloadLength]).toEqual([1_024, 436]);
    expect(s.socket.info().mtuSearch).toEqual({ high: 1_300, probe: null });
    s.passes(90);
    s.receives({ ack: 9_653 });
    s.passes(50);
    expect(Math.max(...lengths(s))).toBe(1_024);
    s.passes(250);
    s.sent();
    s.receives({ ack: 9_653 + 9_216 });
    expect(Math.max(...lengths(s))).toBe(1_260);
    expect(s.host.stack.stats.tcpPathMtuDecreases).toBe(0);
  });

  scenario("a probe is not cut where the device cuts", () => {
    const s = begin({ ...WITH_SACK, offload: true });
    s.writes(40_000);
    const [probe, next] = s.sent();
    expect([probe.seg.payloadLength, probe.segmentSize]).toEqual([1_460, 0]);
    expect(next.segmentSize).toBe(1_024);
  });

  scenario("with little to send, or a small window, nothing is tried", () => {
    const s = begin(WITH_SACK);
    s.writes(1_460 + 3 * 1_024 - 1);
    expect(Math.max(...lengths(s))).toBe(1_024);
    const t = begin({ ...WITH_SACK, win: 4_000 });
    t.writes(20_000);
    expect(Math.max(...lengths(t))).toBe(1_024);
    expect(t.host.stack.stats.tcpMtuProbes).toBe(0);
  });

  scenario("a probe among other losses says nothing, three times; then it counts as lost", () => {
    const s = begin(WITH_SACK);
    const highs: (number | undefined)[] = [];
    let lastSeq = 1;
    for (let round = 0; round < 40 && highs.length < 3; round++) {
      s.write(30_000);
      const sent = s.sent();
      const probe = sent.find(({ bytes }) => bytes.length > 1_064);
      const last = sent.at(-1);
      if (last === undefined) throw new Error("nothing was sent");
      lastSeq = ((last.seg.seq - s.iss) | 0) + last.seg.payloadLength;
      s.passes(100);
      if (probe !== undefined) {
        const at = (probe.seg.seq - s.iss) | 0;
        // The one behind it is lost as well.
        const edge = at + probe.seg.payloadLength + 1_024;
        s.sent();
        s.receives({ ack: at, sack: [[edge, lastSeq]] });
        // Where little was sent behind it, it may have been overtaken for so long.
        s.passes(30);
        expect(s.socket.info()).toMatchObject({ recovery: "recovery", mtuSearch: { probe: null } });
        highs.push(s.socket.info().mtuSearch?.high);
      }
      s.sent();
      s.passes(100);
      s.sent();
      const { sndNxt = 0 } = s.tcb ?? {};
      s.receives({ ack: (sndNxt - s.iss) | 0 });
    }
    expect(highs).toEqual([1_500, 1_500, 1_499]);
  });

  scenario("a window that opens segment by segment is let open wide enough for a probe", () => {
    const s = begin(WITH_SACK);
    const { tcb } = s;
    if (tcb === null || tcb.path === null) throw new Error("nothing is searched");
    tcb.path.nextAt = tcb.context.now + 100;
    tcb.ssthresh = tcb.cwnd;
    s.writes(200_000);
    let ack = 1;
    const sizes: number[][] = [];
    for (let i = 0; i < 15; i++) {
      s.sent();
      s.passes(20);
      ack += 1_024;
      s.receives({ ack });
      sizes.push(lengths(s));
    }
    // One by one, nothing once, and then a larger one.
    const first = sizes.findIndex((each) => each.includes(1_460));
    expect(first).toBeGreaterThan(2);
    expect(sizes.slice(first - 2, first)).toEqual([[1_024], []]);
  });

  scenario("probes that time out are no endless loop", () => {
    const s = begin(WITH_SACK);
    let probes = 0;
    for (let round = 0; round < 60; round++) {
      s.write(40_000);
      // The ACKs take so long that everything is sent again before.
      s.passes(1_500);
      probes += answers(s, 1_064).filter((size) => size > 1_064).length;
    }
    expect(probes).toBeGreaterThan(3);
    expect(probes).toBeLessThan(25);
    expect(s.socket.info().bytesSent).toBeGreaterThan(100_000);
  });
});

describe("7.6, RFC 1191 6.3: a path that has become smaller is tried again", () => {
  scenario("ten minutes after a message, by a probe of all of it", () => {
    const s = begin({ tcp: { sack: true }, peerSack: true, rttMs: 100 });
    s.writes(14_600);
    lengths(s);
    tooLarge(s, 1, 1_000);
    lengths(s);
    s.passes(100);
    s.receives({ ack: 9_601 });
    una = 9_601;
    expect(Math.max(...runs(s, 1_000, 20))).toBe(1_000);
    for (let round = 0; round < 40; round++) {
      s.passes(100);
      answers(s, 1_000);
    }
    s.passes(TEN_MINUTES);
    const sizes = runs(s, 1_500, 20);
    expect(sizes.find((size) => size > 1_000)).toBe(1_500);
    expect(s.socket.info()).toMatchObject({ mss: 1_460, pathMtu: 1_500 });
    expect(s.host.stack.sockets.context.pathMtus.size).toBe(0);
  });

  scenario("soon after timeouts: what was found is there for others", () => {
    const s = begin({ tcp: { sack: true }, peerSack: true, rttMs: 100 });
    s.writes(14_600);
    s.passes(5_000);
    lengths(s);
    expect(s.socket.info().mss).toBe(1_024);
    s.receives({ ack: 1_025 });
    una = 1_025;
    runs(s, 1_200, 60);
    const { pathMtu } = s.socket.info();
    expect(pathMtu).toBeGreaterThan(1_192);
    expect(pathMtu).toBeLessThanOrEqual(1_200);
    const { pathMtus, now } = s.host.stack.sockets.context;
    expect(pathMtus.find(s.host.peers, now)).toBe(pathMtu);
  });
});
