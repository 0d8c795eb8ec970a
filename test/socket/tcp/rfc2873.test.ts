import { describe, expect } from "bun:test";
import { established, finWait1, listening, scenario, synReceived, synSent } from "../../support/tcp.ts";

/** RFC 2873: a TCP ignores the precedence of what it receives, and in no state resets or closes a connection for it. */

const precedences = [0x00, 0x20, 0xa0, 0xe0, 0xb8, 0x03];

describe("5.1: precedence and security/compartment checks of RFC 793 are gone", () => {
  scenario("a SYN may have any, and so may what follows", () => {
    for (const tos of precedences) {
      const s = listening();
      s.receives({ ...s.syn("S"), tos });
      s.sends({ flags: "S.", seq: 0, ack: 1 });
      s.receives({ seq: 1, ack: 1, tos: tos ^ 0x40 });
      s.accepts();
      s.is("ESTABLISHED");
    }
  });

  scenario("a SYN-ACK may have another than our SYN", () => {
    for (const tos of precedences) {
      const s = synSent();
      s.receives({ ...s.syn("S."), tos });
      s.sends({ seq: 1, ack: 1 });
      s.is("ESTABLISHED");
    }
  });

  scenario("it may change in every state", () => {
    for (const tos of precedences) {
      const s = synReceived();
      s.receives({ seq: 1, ack: 1, tos });
      s.is("ESTABLISHED");
      const t = established();
      t.receives({ length: 10, tos });
      t.reads(10);
      const u = finWait1();
      u.receives({ seq: 1, ack: 2, tos });
      u.is("FIN_WAIT_2");
      expect(u.host.stack.stats.tcpResetsSent).toBe(0);
    }
  });
});
