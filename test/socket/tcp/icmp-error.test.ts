import { describe, expect } from "bun:test";
import { quoted, reports, unreachable } from "../../support/icmp-quote.ts";
import { icmpPacket } from "../../support/packets.ts";
import { closed, established, listening, scenario, synReceived, synSent } from "../../support/tcp.ts";
import { OUR_ADDRESS } from "../../support/tcp-host.ts";

/** RFC 9293 3.9.2.2 and RFC 5927: ICMP messages about segments of ours. */

const NET = 0;
const HOST = 1;
const PROTOCOL = 2;
const PORT = 3;
const TIME_EXCEEDED = 11;
const PARAMETER_PROBLEM = 12;

const ends = { from: "10.0.0.254", to: OUR_ADDRESS };

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
  for (const [name, type, code, error] of [
    ["net unreachable", 3, NET, "ENETUNREACH"],
    ["host unreachable", 3, HOST, "EHOSTUNREACH"],
    ["source route failed", 3, 5, "EHOSTUNREACH"],
    ["net unknown", 3, 6, "ENETUNREACH"],
    ["host unknown", 3, 7, "EHOSTUNREACH"],
    ["source host isolated", 3, 8, "EHOSTUNREACH"],
    ["net prohibited", 3, 9, "ENETUNREACH"],
    ["host prohibited", 3, 10, "EHOSTUNREACH"],
    ["net unreachable for the type of service", 3, 11, "ENETUNREACH"],
    ["host unreachable for the type of service", 3, 12, "EHOSTUNREACH"],
    ["prohibited by a filter", 3, 13, "EHOSTUNREACH"],
    ["host precedence violation", 3, 14, "EHOSTUNREACH"],
    ["precedence cutoff", 3, 15, "EHOSTUNREACH"],
    ["time exceeded on the way", TIME_EXCEEDED, 0, "EHOSTUNREACH"],
    ["time exceeded in reassembly", TIME_EXCEEDED, 1, "EHOSTUNREACH"],
    ["parameter problem", PARAMETER_PROBLEM, 0, "EPROTO"],
    ["parameter problem, an option is missing", PARAMETER_PROBLEM, 1, "EPROTO"],
  ] as const) {
    scenario(`${name}, of an attempt to connect`, () => {
      const s = synSent({ tcp: { connectTimeoutMs: 5_000 } });
      reports(s, type, code, 0);
      s.is("SYN_SENT");
      s.sends({ flags: "S", at: 1_000, seq: 0 });
      s.sends({ flags: "S", at: 3_000, seq: 0 });
      s.sendsNothing({ until: 5_000 });
      s.failedWith(error);
    });

    scenario(`${name}, of a connection`, () => {
      const s = established({ tcp: { userTimeoutMs: 1_000 } });
      s.writes(10);
      s.sends({ length: 10 });
      reports(s, type, code, 1);
      s.is("ESTABLISHED");
      s.passes(2_000);
      s.sent();
      s.failedWith(error);
      expect(s.socket.error?.message).toMatch(error === "EPROTO" ? /router finds fault/ : /no route/);
    });
  }

  for (const [type, code] of [
    [3, NET],
    [3, HOST],
    [3, PROTOCOL],
    [3, PORT],
    [3, 4],
    [3, 5],
    [3, 13],
    [TIME_EXCEEDED, 0],
    [PARAMETER_PROBLEM, 0],
  ] as const) {
    scenario(`type ${type}, code ${code} does not end what a peer has half opened`, () => {
      const s = synReceived();
      reports(s, type, code, 0);
      s.is("SYN_RECEIVED");
      s.receives({ seq: 1, ack: 1 });
      s.accepts();
      s.is("ESTABLISHED");
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
    expect(s.host.stack.stats.tcpErrorsIgnored).toBe(3);
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
  scenario("codes that nobody has defined", () => {
    const s = synSent({ tcp: { connectTimeoutMs: 1_500 } });
    for (const code of [16, 200, 255]) unreachable(s, code, 0);
    s.sends({ flags: "S", seq: 0, at: 1_000 });
    s.sendsNothing({ until: 1_500 });
    s.failedWith("ETIMEDOUT");
  });

  scenario("MUST-55: Source Quench; and Redirect", () => {
    const s = synSent({ tcp: { connectTimeoutMs: 1_500 } });
    for (const type of [4, 5]) reports(s, type, 0, 0);
    s.is("SYN_SENT");
    expect(s.host.stack.stats.icmpErrorsReceived).toBe(2);
    s.sends({ flags: "S", seq: 0, at: 1_000 });
    s.sendsNothing({ until: 1_500 });
    s.failedWith("ETIMEDOUT");
  });

  scenario("Source Quench does not slow a connection down", () => {
    const s = established();
    s.writes(10);
    s.sends({ length: 10 });
    const { cwnd } = s.socket.info();
    reports(s, 4, 0, 1);
    expect(s.socket.info().cwnd).toBe(cwnd);
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
