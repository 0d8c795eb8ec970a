import { afterEach, beforeEach, describe, expect, type Mock, spyOn, test } from "bun:test";
import { HeldAck } from "../../src/iface/held-ack.ts";
import { randomBelow, seededRandom } from "../../src/random.ts";
import { mayBeSuperseded } from "../../src/socket/tcp/input.ts";
import { IPV4_HEADER_LENGTH } from "../../src/wire/ipv4.ts";
import { ACK, ECE, FIN, PSH, RST, TcpSegment } from "../../src/wire/tcp.ts";
import { plainTcb } from "../support/congestion.ts";
import { tcpPacket } from "../support/packets.ts";
import { Both, CLOCK, IRS, type Policy, type Setting } from "./flow-pair.ts";

/** Bare ACKs of one batch, of which the last is all that TCP is told of: as if each had been looked at. */

/** Fewer than half of the initial window: an ACK does not make it grow. */
const SEGMENTS = 4;

let replaced: Mock<(bytes: Uint8Array, tcp: number) => void>;
beforeEach(() => {
  replaced = spyOn(HeldAck.prototype, "replace");
});
afterEach(() => replaced.mockRestore());

const settings = (): Setting[] =>
  [false, true].flatMap((timestamps) => [{ timestamps }, { timestamps, vlan: 0 }, { timestamps, vlan: 5 }]);

/** Stacks that know the flow, with `SEGMENTS` segments under way. */
function underWay(setting: Setting): Both {
  const both = new Both(setting);
  both.open();
  both.arrives(both.segment({ seq: IRS + 1, ack: both.iss + 1 }, 100));
  both.writes(SEGMENTS * both.mss);
  expect(both.flightSize).toBe(SEGMENTS * both.mss);
  return both;
}

/** The peer's ACK of the first `count` segments. */
function ackOf(
  both: Both,
  count: number,
  fields: Parameters<Both["segment"]>[0] = {},
  length = 0,
): Uint8Array {
  return both.segment({ seq: IRS + 101, ack: both.iss + 1 + count * both.mss, ...fields }, length);
}

describe("of the ACKs of a batch", () => {
  test("the last one is enough, and all are counted", () => {
    for (const setting of settings()) {
      const both = underWay(setting);
      replaced.mockClear();
      both.arrive([1, 2, 3, 4].map((count) => ackOf(both, count)));
      expect(both.flightSize).toBe(0);
      expect(replaced).toHaveBeenCalledTimes(3);
    }
  });

  test("one alone is processed before the poll is over", () => {
    for (const setting of settings()) {
      const both = underWay(setting);
      both.arrives(ackOf(both, 2));
      expect(both.flightSize).toBe(2 * both.mss);
    }
  });

  test("the last one's window counts", () => {
    const both = underWay({});
    both.arrive([ackOf(both, 1, { window: 100 }), ackOf(both, 2, { window: 0 })]);
    both.writes(both.mss);
    both.arrive([ackOf(both, 3, { window: 0 }), ackOf(both, 4, { window: 5_000 })]);
    expect(both.flightSize).toBe(both.mss);
  });

  test("an older one, the same one, or one of what was never sent takes no place", () => {
    for (const setting of settings()) {
      for (const other of [1, 2, SEGMENTS + 1, -1]) {
        const both = underWay(setting);
        replaced.mockClear();
        both.arrive([ackOf(both, 2), ackOf(both, other), ackOf(both, 3)]);
        expect(both.flightSize).toBe(both.mss);
        expect(replaced).toHaveBeenCalledTimes(0);
      }
    }
  });

  test("one with an older timestamp takes no place", () => {
    const both = underWay({ timestamps: true });
    both.arrive([ackOf(both, 1), ackOf(both, 2, { hasTimestamp: true, tsVal: CLOCK - 10 }), ackOf(both, 1)]);
    expect(both.flightSize).toBe(3 * both.mss);
    expect(both.stats.tcpFromThePast).toBe(1);
  });

  test("another flag, text and whatever else is processed behind those that came before", () => {
    for (const setting of settings()) {
      for (const flags of [ACK | PSH, ACK | FIN, ACK | ECE, ACK | RST, RST, ACK]) {
        for (const length of [0, 10]) {
          const both = underWay(setting);
          both.arrive([1, 2].map((count) => ackOf(both, count)).concat(ackOf(both, 3, { flags }, length)));
          both.arrive([ackOf(both, 3), ackOf(both, 4)]);
        }
      }
    }
  });

  test("duplicates are counted, each one: the third shows a loss", () => {
    const both = underWay({});
    both.arrive([ackOf(both, 1), ...Array.from({ length: 3 }, () => ackOf(both, 1))]);
    expect(both.stats.tcpFastRetransmissions).toBe(1);
    replaced.mockClear();
    // While a loss is repaired each ACK counts.
    both.arrive([2, 3, 4].map((count) => ackOf(both, count)));
    expect(replaced).toHaveBeenCalledTimes(0);
  });

  test("none is left out where the window is used in slow start, and grows by each", () => {
    const both = underWay({});
    both.writes(20 * both.mss);
    replaced.mockClear();
    both.arrive([1, 2, 3].map((count) => ackOf(both, count)));
    expect(replaced).toHaveBeenCalledTimes(0);
  });

  test("what a trace is to show is not left out", () => {
    const policy: Policy = (socket, _piece, length) => {
      socket.startTrace();
      return length;
    };
    const both = underWay({ policy });
    both.arrives(ackOf(both, 0, {}, 10));
    replaced.mockClear();
    both.arrive([1, 2, 3].map((count) => ackOf(both, count, { seq: IRS + 111 })));
    expect(replaced).toHaveBeenCalledTimes(0);
  });
});

test("none is left out while a tail probe is under way, which the next ACKs tell the fate of", () => {
  const tcb = plainTcb();
  expect(mayBeSuperseded(tcb)).toBe(true);
  tcb.loss.probing = true;
  expect(mayBeSuperseded(tcb)).toBe(false);
});

test("TCP is told the last one's numbers, its timestamps, too", () => {
  const tcb = plainTcb();
  const held = new HeldAck();
  const seg = new TcpSegment();
  Object.assign(seg, { ack: 10, window: 1, hasTimestamp: true, tsVal: 2, tsEcr: 3 });
  held.hold(tcb, seg);
  const later = { ack: 20, window: 4, hasTimestamp: true, tsVal: 5, tsEcr: 6, flags: ACK };
  held.replace(tcpPacket({ from: "10.0.0.1", to: "10.0.0.2" }, later), IPV4_HEADER_LENGTH);
  held.release(tcb, seg);
  expect(seg).toMatchObject({ ack: 20, window: 4, tsVal: 5, tsEcr: 6, seq: tcb.rcvNxt, payloadLength: 0 });
  expect(tcb.segmentsReceived).toBe(2);
  expect(held.count).toBe(0);
});

describe("an ACK among others, with one byte changed,", () => {
  for (const setting of settings()) {
    const { timestamps, vlan } = setting;
    const where = `${timestamps ? "with timestamps" : "without"}${vlan === undefined ? "" : `, Ethernet, tag ${vlan}`}`;
    test(`is what it is: ${where}`, () => {
      const { linkLength } = new Both(setting);
      for (let at = 0; at < linkLength + (timestamps ? 52 : 40); at++) {
        for (const bit of [1, 8, 128]) {
          const both = underWay(setting);
          const changed = ackOf(both, 2);
          changed[at] ^= bit;
          both.arrive([ackOf(both, 1), changed, ackOf(both, 3)]);
          expect(both.flightSize).toBe(both.mss);
        }
      }
    });
  }
});

test("any ACKs and text, in any order, come to the same as long as none shows a loss", () => {
  const random = seededRandom(5);
  for (let round = 0; round < 60; round++) {
    const both = underWay(settings()[round % 6]);
    let [acked, sent, seq] = [0, SEGMENTS, 101];
    for (let i = 0; i < 20; i++) {
      const packets: Uint8Array[] = [];
      for (let count = randomBelow(random, 6); count >= 0; count--) {
        const before = acked;
        acked = Math.min(acked + randomBelow(random, 3), sent);
        // What acknowledges nothing brings text, or it would be a duplicate.
        const length = acked === before || randomBelow(random, 8) === 0 ? 30 : 0;
        const window = randomBelow(random, 4) === 0 ? 9_000 : 65_535;
        packets.push(ackOf(both, acked, { seq: IRS + seq, window }, length));
        seq += length;
      }
      both.arrive(packets);
      if (both.flightSize > both.mss) continue;
      both.writes(3 * both.mss);
      sent += 3;
    }
    expect(both.stats.tcpRetransmissions).toBe(0);
  }
  expect(replaced.mock.calls.length).toBeGreaterThan(100);
});
