import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../../src/random.ts";
import { IsnGenerator } from "../../../src/socket/tcp/isn.ts";
import { parseAddress } from "../../../src/wire/ip-address.ts";
import { established, listening, type ScenarioOptions, scenario, synSent } from "../../support/tcp.ts";

/** RFC 7323 3 to 5: timestamps and PAWS. */

const ON = { timestamps: true };
/** The peer's clock, whose numbers wrap soon. */
const CLOCK = 0x7fff_fff0;

const open = (options: ScenarioOptions = {}) =>
  established({ peerClock: CLOCK, ...options, tcp: { ...ON, ...options.tcp } });
const wrapped = (value: number) => value | 0;

describe("3.2: who sends the option", () => {
  scenario("a SYN, and where the answer has it, every segment", () => {
    const s = synSent({ tcp: ON, peerClock: CLOCK });
    s.receives({ ...s.syn("S."), ack: 1 });
    s.sends({ ack: 1, ts: [0, CLOCK] });
    s.writes(10);
    s.sends({ length: 10, ts: [0, CLOCK] });
    s.shutdown();
    s.sends({ flags: "F.", seq: 11, ts: [0, CLOCK] });
  });

  scenario("the SYN has no echo", () => {
    const s = synSent({ tcp: ON });
    s.receives({ flags: "R.", seq: 0, ack: 1 });
    const again = s.from(80);
    again.use(s.host.stack.sockets.connect({ address: "10.0.0.2", port: 80 }));
    s.host.run();
    again.sends({ flags: "S", seq: 0, ts: [0, 0] });
  });

  scenario("where the answer has none, no segment", () => {
    const s = established({ tcp: ON });
    s.writes(10);
    s.sends({ length: 10, ts: null });
    s.receives({ ack: 11, length: 5 });
    s.receives({ length: 1_000 });
    s.receives({ length: 1_000 });
    s.sends({ ts: null });
  });

  scenario("a SYN-ACK, where the SYN had it", () => {
    const s = listening({ tcp: ON, peerClock: CLOCK });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", ts: [0, CLOCK] });
  });

  scenario("a SYN-ACK, where the SYN had not: none", () => {
    const s = listening({ tcp: ON });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", ts: null });
  });

  scenario("none at all where it is turned off, whatever the peer has", () => {
    const s = listening({ peerClock: CLOCK });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", ts: null });
    s.receives({});
    s.receives({ length: 10 });
    s.sends({ after: 40, ack: 11, ts: null });
  });

  scenario("RFC 6691 2: the option takes its place from the text", () => {
    const s = open();
    expect(s.socket.info().mss).toBe(1_448);
    s.writes(2_000);
    s.sends({ length: 1_448 });
    s.receives({ ack: 1_449 });
    s.sends({ length: 552 });
  });

  scenario("a segment without it is dropped, but a reset", () => {
    const s = open();
    s.receives({ length: 10, ts: null });
    s.sendsNothing({ for: 100 });
    s.readsNothing();
    expect(s.host.stack.stats.tcpWithoutTimestamp).toBe(1);
    s.receives({ flags: "R.", seq: 1, ts: null });
    expect(s.socket.state).toBe("CLOSED");
  });
});

describe("4.3: which timestamp to echo", () => {
  scenario("of the first segment that the ACK is for, where it is delayed", () => {
    const s = open();
    s.receives({ length: 1_000, ts: [CLOCK + 5, 0] });
    s.receives({ length: 100, ts: [CLOCK + 9, 0] });
    s.sends({ after: 40, ack: 1_101, ts: [40, CLOCK + 5] });
  });

  scenario("of the last one in order, where a segment is missing", () => {
    const s = open();
    s.receives({ length: 1_448, ts: [CLOCK + 5, 0] });
    s.receives({ length: 1_448, ts: [CLOCK + 6, 0] });
    s.sends({ ack: 2_897, ts: [0, CLOCK + 5] });
    s.receives({ seq: 2_997, length: 100, ts: [CLOCK + 7, 0] });
    s.sends({ ack: 2_897, ts: [0, CLOCK + 5] });
    s.receives({ seq: 2_897, length: 100, ts: [CLOCK + 8, 0] });
    s.sends({ ack: 3_097, ts: [0, CLOCK + 8] });
  });

  scenario("a clock that wraps goes on", () => {
    const s = open();
    for (let i = 0; i < 40; i += 2) {
      s.receives({ length: 1_000, ts: [CLOCK + i, 0] });
      s.receives({ length: 1_000, ts: [CLOCK + i + 1, 0] });
      s.sends({ ack: s.peerNxt, ts: [0, wrapped(CLOCK + i)] });
    }
  });
});

describe("5.3: protection against wrapped sequence numbers", () => {
  scenario("R1: a segment from the past is answered and dropped, although it is in the window", () => {
    const s = open();
    s.receives({ length: 100, ts: [CLOCK + 50, 0] });
    s.sends({ after: 40, ack: 101 });
    s.receives({ seq: 101, length: 100, ts: [CLOCK + 49, 0] });
    s.sends({ ack: 101, ts: [40, wrapped(CLOCK + 50)] });
    expect(s.host.stack.stats.tcpFromThePast).toBe(1);
    s.reads(100);
    s.readsNothing();
    s.receives({ seq: 101, length: 100, ts: [CLOCK + 50, 0] });
    s.reads(100);
  });

  scenario("a reset is not looked at that way", () => {
    const s = open();
    s.receives({ length: 100, ts: [CLOCK + 50, 0] });
    s.receives({ flags: "R.", seq: 101, ts: [CLOCK, 0] });
    expect(s.socket.state).toBe("CLOSED");
  });

  scenario("an ACK from the past acknowledges nothing", () => {
    const s = open();
    s.receives({ length: 100, ts: [CLOCK + 50, 0] });
    s.writes(100);
    s.sends({ length: 100, ack: 101 });
    s.receives({ ack: 101, ts: [CLOCK + 1, 0] });
    expect(s.socket.info().flightSize).toBe(100);
  });

  scenario("5.5: after 24 days of silence any timestamp will do", () => {
    const s = open({ tcp: { keepAliveIdleMs: 0 } });
    s.passes(24 * 86_400_000 + 1_000);
    s.receives({ length: 100, ts: [CLOCK - 1, 0] });
    s.sends({ after: 40, ack: 101, ts: [s.now + 40, CLOCK - 1].map(wrapped) as [number, number] });
  });
});

describe("4.1: the round-trip time", () => {
  scenario("of a segment that was sent twice is known by the echo", () => {
    const s = open({ rttMs: 50 });
    s.writes(100);
    s.sends({ length: 100 });
    const first = s.now;
    s.passes(s.socket.info().rtoMs);
    s.sends({ seq: 1, length: 100 });
    const second = s.now;
    expect(second - first).toBeGreaterThan(200);
    s.passes(30);
    const { srttMs } = s.socket.info();
    s.receives({ ack: 101 });
    // The second one was answered: 30 ms.
    expect(s.socket.info().srttMs).toBeCloseTo((srttMs as number) * 0.875 + 30 * 0.125, 3);
  });

  scenario("an echo of what we never sent tells nothing", () => {
    const s = open({ rttMs: 50 });
    for (const echo of [1_000_000, -1_000_000, CLOCK]) {
      const s2 = open({ rttMs: 50 });
      s2.writes(100);
      s2.sends({ length: 100 });
      s2.passes(s2.socket.info().rtoMs);
      s2.sends({ seq: 1, length: 100 });
      const { srttMs } = s2.socket.info();
      s2.receives({ ack: 101, ts: [CLOCK + 500, echo] });
      expect(s2.socket.info().srttMs).toBe(srttMs);
    }
    s.close();
    s.sends({ flags: "F." });
  });
});

test("7.1: each connection's clock has an offset of its own, and the same one between the same ports", () => {
  const generator = new IsnGenerator(seededRandom(3));
  const [a, b] = [parseAddress("10.0.0.1"), parseAddress("10.0.0.2")];
  const offsets = [1, 2, 3, 4].map((port) => generator.timestampOffset(a, port, b, 80));
  expect(new Set(offsets).size).toBe(4);
  expect(generator.timestampOffset(a, 1, b, 80)).toBe(offsets[0]);
  expect(generator.next(a, 1, b, 80, 0)).not.toBe(offsets[0]);
  expect(new IsnGenerator(seededRandom(4)).timestampOffset(a, 1, b, 80)).not.toBe(offsets[0]);
});

describe("a segment whose ACK the peer cannot have sent (RFC 5961 5.2)", () => {
  scenario("leaves TS.Recent as it is: what the peer sends then is not from the past", () => {
    const s = open();
    s.receives({ ack: 1_000_000, length: 10, ts: [wrapped(CLOCK + 1_000_000), 0] });
    s.sends({ ack: 1, ts: [0, CLOCK] });
    s.receives({ seq: 1, ack: 1, length: 10, ts: [CLOCK + 1, 0] });
    s.sends({ after: 40, ack: 11, ts: [40, CLOCK + 1] });
    expect(s.host.stack.stats.tcpFromThePast).toBe(0);
  });
});
