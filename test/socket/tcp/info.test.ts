import { describe, expect } from "bun:test";
import {
  type Conversation,
  established,
  type ScenarioOptions,
  scenario,
  segments,
} from "../../support/tcp.ts";

/** What a connection tells of itself: RFC 9293 3.10.6, STATUS, and what the later RFCs measure. */

const limited = (s: Conversation) => s.socket.info().limited;
const start = (options: ScenarioOptions = {}) => established({ rttMs: 100, mss: 1_000, ...options });

describe("counters", () => {
  scenario("of bytes and segments, those sent again apart", () => {
    const s = start();
    const before = s.socket.info();
    // SYN and ACK, and the SYN-ACK.
    expect(before).toMatchObject({ segmentsSent: 2, segmentsReceived: 1, bytesSent: 0, bytesReceived: 0 });
    s.writes(2_500);
    s.sends({ length: 1_000 }, { length: 1_000 });
    expect(s.socket.info()).toMatchObject({ flightSize: 2_000, pipe: 2_000, notSent: 500, segmentsSent: 4 });
    s.sends({ seq: 1, length: 1_000, flags: ".", at: 300 });
    expect(s.socket.info()).toMatchObject({
      backoff: 1,
      recovery: "timeout",
      retransmissions: 1,
      bytesRetransmitted: 1_000,
      bytesLost: 2_000,
      segmentsSent: 5,
    });
    s.receives({ ack: 2_001, seq: 1, length: 10 });
    s.sends({ seq: 2_001, length: 500, ack: 11 });
    expect(s.socket.info()).toMatchObject({
      bytesSent: 2_000,
      bytesReceived: 10,
      notRead: 10,
      notSent: 0,
      segmentsReceived: 2,
      backoff: 0,
    });
  });

  scenario("of segments that header prediction takes, and of those sent in a burst", () => {
    const s = start({ win: 60_000 });
    s.receives(...segments(5, 1_000, 1));
    s.sends({ ack: 5_001 });
    const { segmentsSent, segmentsReceived } = s.socket.info();
    expect(segmentsReceived).toBe(6);
    s.writes(9_000);
    expect(s.sent()).toHaveLength(9);
    expect(s.socket.info().segmentsSent).toBe(segmentsSent + 9);
  });
});

describe("times and rates", () => {
  scenario("are null before there are any", () => {
    const s = start({ rttMs: 0 });
    expect(s.socket.info()).toMatchObject({
      deliveryRate: null,
      pacingRate: null,
      ssthresh: null,
      lastSentAtMs: null,
      lastTextAtMs: null,
      rcvRttMs: null,
    });
  });

  scenario("delivery rate in bytes a second; when something was sent and received last", () => {
    const s = start();
    s.writes(5_000);
    s.sent();
    s.passes(100);
    s.receives({ ack: 5_001, seq: 1, length: 10 });
    const info = s.socket.info();
    expect(info.deliveryRate).toBeCloseTo(50_000, 0);
    expect(info.minRttMs).toBe(100);
    expect((info.lastTextAtMs ?? 0) - (info.lastSentAtMs ?? 0)).toBe(100);
    expect(info.lastHeardAtMs).toBe(info.lastTextAtMs);
  });
});

describe("what was agreed on", () => {
  scenario("nothing", () => {
    expect(start().socket.info()).toMatchObject({
      congestionControl: "newreno",
      noDelay: false,
      corked: false,
      options: { timestamps: false, sack: false, ecn: false, sndWindShift: null, rcvWindShift: null },
    });
  });

  scenario("everything", () => {
    const tcp = { timestamps: true, sack: true, ecn: true };
    const s = start({ tcp, peerClock: 0, peerSack: true, wscale: 7, passive: true, peerEcn: true });
    expect(s.socket.info().options).toMatchObject({
      timestamps: true,
      sack: true,
      sndWindShift: 7,
      rcvWindShift: 3,
    });
  });
});

describe("what held text back, and for how long", () => {
  scenario("nothing, where the program has no more", () => {
    const s = start();
    s.writes(100);
    s.sent();
    s.passes(50);
    expect(limited(s)).toEqual({ congestionMs: 0, peerMs: 0, bufferMs: 0 });
  });

  scenario("Nagle's algorithm is no limit", () => {
    const s = start();
    s.writes(100);
    s.sent();
    s.writes(100);
    s.passes(50);
    expect(limited(s)).toEqual({ congestionMs: 0, peerMs: 0, bufferMs: 0 });
  });

  scenario("the congestion window, until everything is out", () => {
    const s = start();
    s.writes(15_000);
    s.sent();
    s.passes(60);
    expect(limited(s)).toEqual({ congestionMs: 60, peerMs: 0, bufferMs: 0 });
    s.receives({ ack: 10_001 });
    s.sent();
    s.passes(50);
    expect(limited(s)).toEqual({ congestionMs: 60, peerMs: 0, bufferMs: 0 });
  });

  scenario("the peer's window", () => {
    const s = start({ win: 3_000 });
    s.writes(15_000);
    s.sent();
    s.passes(70);
    expect(limited(s)).toEqual({ congestionMs: 0, peerMs: 70, bufferMs: 0 });
  });

  scenario("a send buffer too small, until the connection ends", () => {
    const s = start({ tcp: { sendBuffer: 4_000 } });
    s.write(15_000);
    s.sent();
    s.passes(80);
    expect(limited(s)).toEqual({ congestionMs: 0, peerMs: 0, bufferMs: 80 });
    s.abort();
    s.sent();
    s.passes(1_000);
    expect(limited(s)).toEqual({ congestionMs: 0, peerMs: 0, bufferMs: 80 });
  });
});
