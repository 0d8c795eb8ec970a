import { describe, expect, test } from "bun:test";
import { MOST_PATHS, PathMtus, plateauBelow } from "../../../src/socket/path-mtus.ts";
import { ipv4Address } from "../../../src/wire/ip-address.ts";
import { ipv4DontFragment } from "../../../src/wire/ipv4.ts";
import { ACK, RST } from "../../../src/wire/tcp.ts";
import { tooLarge } from "../../support/icmp-quote.ts";
import { type Conversation, connects, established, scenario } from "../../support/tcp.ts";
import { PEER_ADDRESS } from "../../support/tcp-host.ts";

/** RFC 1191: path MTU discovery. Verification of what routers say is RFC 5927's, probing RFC 4821's: see there. */

const TEN_MINUTES = 600_000;

/** Lengths of the segments that were sent since. */
const lengths = (s: Conversation) => s.sent().map(({ seg }) => seg.payloadLength);

/** A connection with three segments in flight, of which nothing has arrived. */
function inFlight(options: Parameters<typeof established>[0] = {}): Conversation {
  const s = established(options);
  s.writes(4_380);
  s.sends({ length: 1_460 }, { length: 1_460 }, { length: 1_460 });
  return s;
}

describe("3: DF", () => {
  scenario("is set in every packet", () => {
    const s = inFlight();
    tooLarge(s, 1, 1_000);
    const sent = s.sent();
    s.receives({ seq: 1, length: 100 });
    s.socket.abort();
    s.host.run();
    sent.push(...s.sent());
    expect(sent.at(-1)?.seg.flags).toBe(RST | ACK);
    for (const { bytes } of sent) expect(ipv4DontFragment(bytes, 0)).toBe(true);
  });
});

describe("6.4, 6.5: what was too large is sent again at once, smaller, and is no loss by congestion", () => {
  scenario("all of the flight from the segment on that a router names", () => {
    const s = inFlight();
    tooLarge(s, 1, 1_000);
    s.sends(
      { seq: 1, length: 960 },
      { seq: 961, length: 960 },
      { seq: 1_921, length: 960 },
      { seq: 2_881, length: 960 },
      { seq: 3_841, length: 540 },
    );
    expect(s.socket.info()).toMatchObject({ mss: 960, pathMtu: 1_000, rcvMss: 1_460, pipe: 4_380 });
    expect(s.host.stack.stats).toMatchObject({ tcpPathMtuDecreases: 1, tcpFastRetransmissions: 0 });
    s.receives({ ack: 4_381 });
    s.writes(961);
    s.sends({ length: 960 });
  });

  scenario("what went before it has gone through", () => {
    const s = inFlight();
    tooLarge(s, 1_461, 1_000);
    s.sends(
      { seq: 1_461, length: 960 },
      { seq: 2_421, length: 960 },
      { seq: 3_381, length: 960 },
      {
        seq: 4_341,
        length: 40,
      },
    );
    expect(s.tcb?.sent).toMatchObject({ pipe: 4_380, lostBytes: 0 });
  });

  scenario("each further message about that flight says what is known", () => {
    const s = inFlight();
    tooLarge(s, 1, 1_000);
    expect(lengths(s)).toHaveLength(5);
    tooLarge(s, 1_461, 1_000);
    tooLarge(s, 2_921, 1_000);
    s.sendsNothing();
    expect(s.host.stack.stats).toMatchObject({ tcpPathMtuDecreases: 1, tcpPathMtuIgnored: 0 });
  });

  scenario(
    "the window stays what it was, and is reached in slow start; RTO is not backed off and starts anew",
    () => {
      const s = inFlight({ rttMs: 20 });
      const before = s.socket.info();
      s.passes(100);
      tooLarge(s, 1, 1_000);
      lengths(s);
      expect(s.socket.info()).toMatchObject({
        cwnd: 9_600,
        ssthresh: null,
        recovery: "open",
        rtoMs: before.rtoMs,
        backoff: 0,
      });
      s.sendsNothing({ for: before.rtoMs - 1 });
      s.sends({ seq: 1, length: 960, after: 1 });
    },
  );

  scenario("after a loss, ssthresh is what the window was", () => {
    const s = inFlight();
    s.sends({ seq: 1, length: 1_460, at: 200 });
    s.receives({ ack: 4_381 });
    const text = 20_000;
    s.writes(text);
    for (let round = 0; round < 3; round++) {
      s.passes(10);
      const last = s.sent().at(-1);
      if (last !== undefined) s.receives({ ack: ((last.seg.seq - s.iss) | 0) + last.seg.payloadLength });
    }
    s.sent();
    const { cwnd } = s.socket.info();
    expect(cwnd).toBeGreaterThan(2_920);
    // A full-sized segment has arrived: it takes a timeout until a message is believed.
    tooLarge(s, (s.tcb?.bytesSent ?? 0) + 1, 1_000);
    s.sendsNothing({ for: 100 });
    s.passes(200);
    expect(lengths(s).every((length) => length <= 960)).toBe(true);
    const info = s.socket.info();
    expect(info.ssthresh).toBeGreaterThanOrEqual(cwnd);
    expect(info.backoff).toBe(0);
  });

  scenario("with SACK: what the peer has is not sent again, and the pipe is what is under way", () => {
    const s = inFlight({ tcp: { sack: true }, peerSack: true, rttMs: 100 });
    s.passes(100);
    s.receives({ ack: 1, sack: [[1_461, 2_921]] });
    tooLarge(s, 1, 1_000);
    s.sends(
      { seq: 1, length: 960 },
      { seq: 961, length: 500 },
      { seq: 2_921, length: 960 },
      { seq: 3_881, length: 500 },
    );
    expect(s.tcb?.sent).toMatchObject({ pipe: 2_920, sackedBytes: 1_460, lostBytes: 0 });
    s.receives({ ack: 4_381 });
    expect(s.socket.info()).toMatchObject({ pipe: 0, recovery: "open", bytesLost: 0 });
  });

  scenario("with a FIN behind it", () => {
    const s = established();
    s.writes(1_460);
    s.sends({ length: 1_460 });
    s.shutdown();
    s.sends({ flags: "F.", seq: 1_461 });
    tooLarge(s, 1, 1_000);
    s.sends({ seq: 1, length: 960 }, { flags: "FP.", seq: 961, length: 500 });
    s.receives({ ack: 1_462 });
    s.is("FIN_WAIT_2");
  });

  scenario("super-segments are cut into smaller ones", () => {
    const s = established({ offload: true });
    s.writes(14_600);
    s.sends({ length: 14_600, cutInto: 1_460 });
    tooLarge(s, 1, 1_000);
    s.sends({ seq: 1, length: 9_600, cutInto: 960 });
    s.receives({ ack: 9_601 });
    s.sends({ seq: 9_601, length: 4_800, cutInto: 960 }, { seq: 14_401, length: 200 });
  });

  scenario("options of every segment count", () => {
    const s = established({ tcp: { timestamps: true }, peerClock: 9 });
    s.writes(1_448);
    s.sends({ length: 1_448 });
    tooLarge(s, 1, 1_000);
    s.sends({ seq: 1, length: 948 }, { seq: 949, length: 500 });
    expect(s.socket.info()).toMatchObject({ mss: 948, pathMtu: 1_000 });
  });

  scenario("a window that is probed: the probe was not too large", () => {
    const s = established({ noDelay: true });
    s.receives({ win: 0 });
    s.writes(3_000);
    s.sends({ length: 1, after: 200 });
    tooLarge(s, 1, 1_000);
    s.sendsNothing();
    s.receives({ ack: 2, win: 65_535 });
    s.sends({ length: 960 }, { length: 960 }, { length: 960 }, { length: 119 });
  });
});

describe("3: it is never raised by a message, and lowered no further than allowed", () => {
  scenario("a larger one", () => {
    const s = inFlight();
    tooLarge(s, 1, 1_000);
    lengths(s);
    for (const mtu of [1_000, 1_001, 1_400, 65_535]) tooLarge(s, 1, mtu, 65_535);
    s.sendsNothing();
    expect(s.socket.info().pathMtu).toBe(1_000);
  });

  for (const [minPathMtu, claimed, becomes] of [
    [undefined, 68, 552],
    [undefined, 551, 552],
    [undefined, 600, 600],
    [68, 100, 100],
    [1_280, 576, 1_280],
  ] as const) {
    scenario(`${claimed} becomes ${becomes} where the least is ${minPathMtu ?? "552"}`, () => {
      const s = inFlight({ tcp: minPathMtu === undefined ? {} : { minPathMtu } });
      tooLarge(s, 1, claimed);
      expect(Math.max(...lengths(s))).toBe(becomes - 40);
      expect(s.socket.info().pathMtu).toBe(becomes);
    });
  }

  test("settings out of their range are refused", () => {
    expect(() => established({ tcp: { minPathMtu: 67 } })).toThrow(
      "minPathMtu must be a whole number of bytes from 68 to 65535, not 67",
    );
  });
});

describe("5, 7: routers that do not say what their next link takes", () => {
  for (const claimed of [0, 1, 67]) {
    scenario(`${claimed}: the next plateau`, () => {
      const s = inFlight();
      tooLarge(s, 1, claimed);
      lengths(s);
      expect(s.socket.info().pathMtu).toBe(1_492);
      tooLarge(s, 1, claimed, 1_492);
      lengths(s);
      expect(s.socket.info().pathMtu).toBe(1_280);
    });
  }

  scenario("a packet that was shorter than most tells more; one whose length is wrong does not", () => {
    const s = inFlight();
    tooLarge(s, 1, 0, 1_200);
    lengths(s);
    expect(s.socket.info().pathMtu).toBe(1_006);
    const t = inFlight();
    // RFC 1191 5: some add the header's length.
    tooLarge(t, 1, 0, 1_520);
    lengths(t);
    expect(t.socket.info().pathMtu).toBe(1_492);
  });

  test("plateaus go down to the smallest MTU there is", () => {
    const seen: number[] = [];
    for (let size = 65_535; size > 68; size = plateauBelow(size)) seen.push(plateauBelow(size));
    expect(seen).toEqual([32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_280, 1_006, 576, 552, 508, 296, 68]);
    expect(plateauBelow(20)).toBe(68);
  });
});

describe("6.2, 6.3: what is known of a path", () => {
  const host = (n: number) => ipv4Address(192, 0, 2, n);

  test("is found by its host, until it has aged", () => {
    const paths = new PathMtus();
    paths.learn(host(1), 1_000, 5_000);
    expect(paths.find(host(1), 5_000)).toBe(1_000);
    expect(paths.find(host(2), 5_000)).toBe(Number.POSITIVE_INFINITY);
    expect(paths.find(host(1), 5_000 + TEN_MINUTES - 1)).toBe(1_000);
    expect(paths.find(host(1), 5_000 + TEN_MINUTES)).toBe(Number.POSITIVE_INFINITY);
    paths.forget(host(1));
    expect(paths.find(host(1), 5_000)).toBe(Number.POSITIVE_INFINITY);
  });

  test("is bounded: who was heard of first is forgotten first", () => {
    const paths = new PathMtus();
    for (let i = 0; i < MOST_PATHS + 10; i++) {
      paths.learn(ipv4Address(10, 0, i >> 8, i & 0xff), 1_000, 0);
      // Heard of again and again.
      paths.learn(ipv4Address(10, 0, 0, 0), 1_000, 0);
    }
    expect(paths.size).toBe(MOST_PATHS);
    expect(paths.find(ipv4Address(10, 0, 0, 0), 1)).toBe(1_000);
    expect(paths.find(ipv4Address(10, 0, 0, 1), 1)).toBe(Number.POSITIVE_INFINITY);
    expect(paths.find(ipv4Address(10, 0, 4, 9), 1)).toBe(1_000);
  });

  scenario("the next connection to the host starts with it, and announces what it takes itself", () => {
    const s = inFlight();
    tooLarge(s, 1, 1_000);
    lengths(s);
    const next = s.from(s.peerPort + 1);
    next.iss = s.iss;
    connects(next);
    next.sends({ flags: "S", seq: 0, mss: 1_460 });
    next.receives(next.syn("S."));
    next.sends({ ack: 1 });
    next.writes(961);
    next.sends({ length: 960 });
    expect(next.socket.info()).toMatchObject({ mss: 960, mtuSearch: { high: 1_500, probe: null } });
  });

  scenario("datagrams and echo requests that do not fit are refused, and fit again when it has aged", () => {
    const s = inFlight();
    const { stack, peers } = s.host;
    const udp = stack.sockets.bindUdp();
    const icmp = stack.sockets.bindIcmp();
    tooLarge(s, 1, 1_000);
    lengths(s);
    expect(() => udp.send(new Uint8Array(973), peers, 9)).toThrow(
      "a datagram of 973 bytes does not fit the path's MTU of 1000: at most 972 go into one",
    );
    expect(() => icmp.send(new Uint8Array(973), peers, 1)).toThrow("the path's MTU of 1000: at most 972");
    s.socket.abort();
    s.host.run();
    s.sent();
    s.passes(TEN_MINUTES);
    expect(udp.send(new Uint8Array(1_472), peers, 9)).toBe(true);
    expect(() => udp.send(new Uint8Array(1_473), peers, 9)).toThrow("does not fit the MTU: at most 1472");
    expect(`${peers}`).toBe(PEER_ADDRESS);
  });

  scenario("after ten minutes something larger is tried: without probes, all of it", () => {
    const s = inFlight({ tcp: { mtuProbing: "off" } });
    tooLarge(s, 1, 1_000);
    lengths(s);
    s.receives({ ack: 4_381 });
    s.passes(TEN_MINUTES - 1);
    s.writes(960);
    s.sends({ length: 960 });
    s.receives({});
    s.passes(1);
    s.writes(3_880);
    s.sends({ length: 960 }, { length: 1_460 }, { length: 1_460 });
    expect(s.socket.info()).toMatchObject({ mss: 1_460, pathMtu: 1_500 });
  });
});
