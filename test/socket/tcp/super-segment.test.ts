import { describe, expect } from "bun:test";
import { type Conversation, established, type ScenarioOptions, scenario } from "../../support/tcp.ts";

/**
 * Segments that a device cuts, or has joined: TCP treats one as the segments that it stands for, sent or received one
 * right after the other.
 */

const MSS = 1_460;
/** The most that 65,535 bytes of packet have room for, with IPv4 header and as many options as can be. */
const MOST = 44 * MSS;

function offloaded(options: ScenarioOptions = {}): Conversation {
  return established({ offload: true, wscale: 7, ...options });
}

/** Slow start has opened the congestion window beyond any super-segment. */
function warm(options: ScenarioOptions = {}): Conversation {
  const s = offloaded(options);
  let end = 1;
  while (s.socket.info().cwnd < 3 * MOST) {
    s.writes(s.socket.info().cwnd);
    end += s.socket.info().cwnd;
    while (s.host.outbox.length > 0) s.sent();
    s.receives({ ack: end });
    s.receives({ ack: end + s.socket.info().flightSize });
    end += s.socket.info().flightSize;
  }
  while (s.host.outbox.length > 0) s.sent();
  return s;
}

describe("sending", () => {
  scenario("the initial window goes out as one, to be cut into segments of the effective MSS", () => {
    const s = offloaded();
    s.writes(14 * MSS);
    s.sends({ flags: ".", seq: 1, length: 10 * MSS, cutInto: MSS });
    s.receives({ ack: 1 + 10 * MSS });
    s.sends({ flags: "P.", seq: 1 + 10 * MSS, length: 4 * MSS, cutInto: MSS });
  });

  scenario("the reset that follows one is not to be cut", () => {
    const s = offloaded();
    s.writes(10 * MSS);
    s.sends({ length: 10 * MSS, cutInto: MSS, flags: "P." });
    const nobody = s.from(9_999);
    nobody.localPort = 9_999;
    nobody.receives({ seq: 1, ack: 1 });
    nobody.sends({ flags: "R", seq: 1, cutInto: 0 });
  });

  scenario("what fits into one segment is not to be cut", () => {
    const s = offloaded();
    s.writes(MSS);
    s.sends({ length: MSS, cutInto: 0 });
  });

  scenario("without such a device segments are sent one by one", () => {
    const s = established();
    s.writes(3 * MSS);
    s.sends({ flags: ".", length: MSS, cutInto: 0 }, { flags: ".", length: MSS }, { length: MSS });
  });

  scenario(
    "Nagle's algorithm holds back what is no full segment, as if the others had been sent before",
    () => {
      const s = offloaded();
      s.writes(3 * MSS + 100);
      s.sends({ flags: ".", seq: 1, length: 3 * MSS, cutInto: MSS });
      s.sendsNothing({ for: 150 });
      s.receives({ ack: 1 + 3 * MSS });
      s.sends({ flags: "P.", seq: 1 + 3 * MSS, length: 100, cutInto: 0 });
    },
  );

  scenario("with noDelay the shorter segment goes along", () => {
    const s = offloaded({ noDelay: true });
    s.writes(3 * MSS + 100);
    s.sends({ flags: "P.", seq: 1, length: 3 * MSS + 100, cutInto: MSS });
  });

  scenario("and in front of a FIN, which goes along as well", () => {
    const s = offloaded();
    s.host.device.room = 0;
    s.writes(3 * MSS + 100);
    s.shutdown();
    s.sendsNothing();
    s.host.device.room = Number.POSITIVE_INFINITY;
    s.host.run();
    s.sends({ flags: "FP.", seq: 1, length: 3 * MSS + 100, cutInto: MSS });
  });

  scenario("only whole segments where the peer's window ends within one", () => {
    const s = offloaded({ win: 30 });
    s.writes(8_000);
    s.sends({ flags: ".", seq: 1, length: 2 * MSS, cutInto: MSS });
    s.receives({ ack: 1 + 2 * MSS, win: 40 });
    s.sends({ flags: ".", seq: 1 + 2 * MSS, length: 3 * MSS, cutInto: MSS });
  });

  scenario("no more than the largest packet has room for", () => {
    const s = warm({ win: 60_000 });
    const before = s.socket.unacknowledgedBytes;
    expect(before).toBe(0);
    s.writes(MOST + 2 * MSS);
    s.sends({ flags: ".", length: MOST, cutInto: MSS }, { length: 2 * MSS, cutInto: MSS });
  });

  scenario(
    "slow start counts all that one ACK acknowledges: it may be the only one for a super-segment",
    () => {
      const s = offloaded();
      s.writes(100_000);
      s.sends({ flags: ".", length: 10 * MSS });
      s.receives({ ack: 1 + 10 * MSS });
      s.sends({ flags: ".", length: 20 * MSS, cutInto: MSS });
      expect(s.socket.info().cwnd).toBe(20 * MSS);
    },
  );

  scenario("the round trip of a super-segment is measured, from its sending to the ACK of all of it", () => {
    const s = offloaded();
    s.writes(4 * MSS);
    s.sends({ length: 4 * MSS });
    s.sendsNothing({ for: 70 });
    s.receives({ ack: 1 + 4 * MSS });
    const { srttMs } = s.socket.info();
    // The handshake took no time: 7/8 of 0 and 1/8 of 70.
    expect(srttMs).toBeCloseTo(70 / 8, 6);
  });

  scenario("a timeout sends segment by segment", () => {
    const s = offloaded();
    s.writes(4 * MSS);
    s.sends({ seq: 1, length: 4 * MSS, cutInto: MSS });
    const { rtoMs } = s.socket.info();
    s.sends({ flags: ".", seq: 1, length: MSS, cutInto: 0, after: rtoMs });
  });

  scenario("and three duplicate ACKs the first segment of it", () => {
    const s = offloaded();
    s.writes(8 * MSS);
    s.sends({ seq: 1, length: 8 * MSS, cutInto: MSS });
    s.receives({ ack: 1 }, { ack: 1 }, { ack: 1 });
    s.sends({ flags: ".", seq: 1, length: MSS, cutInto: 0 });
    s.receives({ ack: 1 + 8 * MSS });
    s.sendsNothing();
  });
});

describe("receiving", () => {
  scenario("a super-segment is more than two segments, and acknowledged at once", () => {
    const s = offloaded();
    s.receivesJoined(MSS, { seq: 1, length: 40 * MSS });
    s.sends({ ack: 1 + 40 * MSS });
    s.reads(40 * MSS);
  });

  scenario("what it has beyond the window is cut off, and the window stated", () => {
    const s = offloaded({ tcp: { receiveBuffer: 20_000 } });
    const window = s.socket.info().rcvWnd;
    s.receivesJoined(MSS, { seq: 1, length: 20 * MSS });
    s.sends({ ack: 1 + window });
    s.reads(window);
    s.sends({ ack: 1 + window });
  });

  scenario("what it has before RCV.NXT is cut off", () => {
    const s = offloaded();
    s.receives({ seq: 1, length: 1_000 }, { seq: 1_001, length: 1_000 });
    s.sends({ ack: 2_001 });
    s.receivesJoined(MSS, { seq: 1, length: 10 * MSS });
    s.sends({ ack: 1 + 10 * MSS });
    s.reads(10 * MSS);
  });

  scenario(
    "behind a gap it was several segments, and the peer hears of the loss by as many duplicates",
    () => {
      const s = offloaded();
      s.receivesJoined(MSS, { seq: 1 + MSS, length: 2 * MSS });
      s.sends({ ack: 1 }, { ack: 1 });
      s.receivesJoined(MSS, { seq: 1 + 3 * MSS, length: 30 * MSS });
      s.sends({ ack: 1 }, { ack: 1 }, { ack: 1 });
      s.receives({ seq: 1, length: MSS });
      s.sends({ ack: 1 + 33 * MSS });
      s.reads(33 * MSS);
    },
  );
});
