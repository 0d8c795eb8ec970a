import { describe, expect } from "bun:test";
import { icmpPacket } from "../../support/packets.ts";
import {
  type Conversation,
  closed,
  established,
  listening,
  scenario,
  synReceived,
  synSent,
} from "../../support/tcp.ts";
import { OUR_ADDRESS } from "../../support/tcp-host.ts";

/** RFC 9293 3.9.2.2 and RFC 5927: ICMP messages about segments of ours. */

const NET = 0;
const HOST = 1;
const PROTOCOL = 2;
const PORT = 3;
const FRAGMENTATION_NEEDED = 4;

const ends = { from: "10.0.0.254", to: OUR_ADDRESS };

/** A packet of ours with this sequence number, as far as a router quotes it. */
function quoted(s: Conversation, seq: number, bytes = 28): Uint8Array {
  // What the peer would send, the other way round.
  const packet = s.packet({ seq: 0, ack: 0 });
  const view = new DataView(packet.buffer, packet.byteOffset);
  const [source, destination] = [view.getUint32(12), view.getUint32(16)];
  view.setUint32(12, destination);
  view.setUint32(16, source);
  const [from, to] = [view.getUint16(20), view.getUint16(22)];
  view.setUint16(20, to);
  view.setUint16(22, from);
  view.setUint32(24, s.iss + seq);
  return packet.subarray(0, bytes);
}

/** A router says that our segment with this sequence number did not arrive. */
function unreachable(s: Conversation, code: number, seq: number, bytes?: number): void {
  s.receivesPacket(icmpPacket(ends, 3, code, 0, quoted(s, seq, bytes)));
}

describe("SHLD-26: hard errors abort an attempt to connect", () => {
  for (const [name, code] of [
    ["protocol", PROTOCOL],
    ["port", PORT],
  ] as const) {
    scenario(`${name} unreachable`, () => {
      const s = synSent();
      unreachable(s, code, 0);
      s.sendsNothing({ for: 200_000 });
      s.failedWith("ECONNREFUSED");
    });
  }

  scenario("eight bytes of the segment are enough", () => {
    const s = synSent();
    unreachable(s, PORT, 0, 27);
    s.is("SYN_SENT");
    unreachable(s, PORT, 0, 28);
    s.failedWith("ECONNREFUSED");
  });

  scenario("RFC 5927 5.2: not a connection that is established, or was once answered", () => {
    const s = established();
    s.writes(10);
    s.sends({ length: 10 });
    unreachable(s, PORT, 1);
    s.is("ESTABLISHED");
    const t = synReceived({ passive: false });
    unreachable(t, PORT, 0);
    t.is("SYN_RECEIVED");
  });
});

describe("MUST-56: soft errors do not abort a connection, but are named when it times out", () => {
  for (const [error, code] of [
    ["ENETUNREACH", NET],
    ["EHOSTUNREACH", HOST],
  ] as const) {
    scenario(`${error}, of an attempt to connect`, () => {
      const s = synSent({ tcp: { connectTimeoutMs: 5_000 } });
      unreachable(s, code, 0);
      s.is("SYN_SENT");
      s.sends({ flags: "S", at: 1_000, seq: 0 });
      s.sends({ flags: "S", at: 3_000, seq: 0 });
      s.sendsNothing({ until: 5_000 });
      s.failedWith(error);
    });

    scenario(`${error}, of a connection`, () => {
      const s = established({ tcp: { userTimeoutMs: 1_000 } });
      s.writes(10);
      s.sends({ length: 10 });
      unreachable(s, code, 1);
      s.is("ESTABLISHED");
      s.passes(2_000);
      s.sent();
      s.failedWith(error);
      expect(s.socket.error?.message).toMatch(/no route/);
    });
  }

  scenario("of a window that is probed", () => {
    const s = established({ tcp: { userTimeoutMs: 1_000 } });
    s.receives({ win: 0 });
    s.writes(10);
    s.sends({ length: 1, at: 200 });
    unreachable(s, HOST, 1);
    s.passes(5_000);
    s.sent();
    s.failedWith("EHOSTUNREACH");
  });

  scenario("of a keep-alive's peer", () => {
    const s = established();
    s.writes(1);
    s.sends({ length: 1 });
    unreachable(s, HOST, 1);
    s.socket.setKeepAlive(1_000, 100, 1);
    s.receives({ ack: 2 });
    s.sends({ seq: 1, length: 0, after: 1_000 });
    s.sends({ flags: "R.", after: 100 });
    // The path had worked since.
    s.failedWith("ETIMEDOUT");
  });

  scenario("an error is forgotten when the path works again", () => {
    const s = established({ tcp: { userTimeoutMs: 1_000 } });
    s.writes(10);
    s.sends({ length: 10 });
    unreachable(s, HOST, 1);
    s.receives({ ack: 11 });
    s.writes(10);
    s.passes(5_000);
    s.sent();
    s.failedWith("ETIMEDOUT");
  });
});

describe("RFC 5927 4.1: only what is in flight counts", () => {
  scenario("SND.UNA =< SEG.SEQ < SND.NXT", () => {
    const s = synSent();
    for (const seq of [-1, 1, 1_000]) unreachable(s, PORT, seq);
    s.is("SYN_SENT");
  });

  scenario("also of a soft error", () => {
    const s = established({ tcp: { userTimeoutMs: 1_000 } });
    s.writes(10);
    s.sends({ length: 10 });
    unreachable(s, HOST, 0);
    unreachable(s, HOST, 11);
    s.passes(5_000);
    s.sent();
    s.failedWith("ETIMEDOUT");
  });

  scenario("the last byte in flight", () => {
    const s = established({ tcp: { userTimeoutMs: 1_000 } });
    s.writes(10);
    s.sends({ length: 10 });
    unreachable(s, HOST, 10);
    s.passes(5_000);
    s.sent();
    s.failedWith("EHOSTUNREACH");
  });

  scenario("another connection's quotation means nothing", () => {
    const s = synSent();
    const packet = icmpPacket(ends, 3, PORT, 0, quoted(s, 0));
    // The local port in the quoted header.
    packet[20 + 8 + 20 + 1] ^= 1;
    s.receivesPacket(icmpPacket(ends, 3, PORT, 0, packet.subarray(28)));
    s.is("SYN_SENT");
  });
});

describe("other messages are ignored", () => {
  scenario("other codes of Destination Unreachable", () => {
    const s = synSent({ tcp: { connectTimeoutMs: 1_500 } });
    for (const code of [FRAGMENTATION_NEEDED, 5, 9, 13]) unreachable(s, code, 0);
    s.sends({ flags: "S", seq: 0, at: 1_000 });
    s.sendsNothing({ until: 1_500 });
    s.failedWith("ETIMEDOUT");
  });

  scenario("MUST-55: Source Quench; and Time Exceeded, Parameter Problem", () => {
    const s = synSent();
    for (const type of [4, 11, 12]) s.receivesPacket(icmpPacket(ends, type, 0, 0, quoted(s, 0)));
    s.is("SYN_SENT");
    expect(s.host.stack.stats.icmpErrorsReceived).toBe(3);
  });

  scenario("who listens, and who is not there", () => {
    const s = listening();
    unreachable(s, PORT, 0);
    s.receives(s.syn("S"));
    s.sends({ flags: "S." });
    const t = closed();
    unreachable(t, PORT, 0);
    t.sendsNothing();
  });

  scenario("a quotation that is cut short, or is no TCP segment", () => {
    const s = synSent();
    for (const bytes of [0, 19, 20, 27]) unreachable(s, PORT, 0, bytes);
    for (const [at, value] of [
      [0, 0x65],
      [0, 0x44],
      [0, 0x4f],
      [9, 17],
      [6, 0x20],
    ]) {
      const packet = quoted(s, 0, 40).slice();
      packet[at] = value;
      s.receivesPacket(icmpPacket(ends, 3, PORT, 0, packet));
    }
    s.is("SYN_SENT");
  });
});
