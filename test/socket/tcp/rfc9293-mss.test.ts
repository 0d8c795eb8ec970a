import { describe, expect, test } from "bun:test";
import { StackError } from "../../../src/errors.ts";
import { closed, connects, established, scenario, synSent } from "../../support/tcp.ts";
import { LISTENING_PORT, PEER_PORT } from "../../support/tcp-conversation.ts";
import { PEER_ADDRESS } from "../../support/tcp-host.ts";

/** RFC 9293 3.7.1, RFC 6691: the MSS that is announced and obeyed, and what programs may make of it. */

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof StackError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "none";
}

describe("MUST-14, MUST-15: what is announced, and what a peer's option means", () => {
  scenario("the MTU's room, without headers", () => {
    const s = closed({ passive: false, mtu: 1_000 });
    connects(s);
    s.sends({ flags: "S", seq: 0, mss: 960 });
  });

  for (const [name, mss, length] of [
    ["none", null, 536],
    ["1", 1, 88],
    ["87", 87, 88],
    ["88", 88, 88],
    ["1,000", 1_000, 1_000],
    ["65,535", 65_535, 1_460],
  ] as const) {
    scenario(`a peer that names ${name} gets segments of ${length} bytes`, () => {
      const s = established({ mss });
      s.writes(length + 1);
      s.sends({ length });
    });
  }

  scenario("the least that a peer can push us to is a setting", () => {
    const s = established({ mss: 1, tcp: { minSegmentSize: 300 } });
    s.writes(301);
    s.sends({ length: 300 });
    const t = established({ mss: 50, tcp: { minSegmentSize: 48 } });
    t.writes(51);
    t.sends({ length: 50 });
  });
});

describe("a bound of the program's (TCP_MAXSEG)", () => {
  scenario("of the stack: for what is announced and what is sent", () => {
    const s = closed({ passive: false, tcp: { maxSegmentSize: 700 } });
    connects(s);
    s.sends({ flags: "S", seq: 0, mss: 700 });
    s.receives(s.syn("S."));
    s.sends({ ack: 1 });
    s.writes(701);
    s.sends({ length: 700 });
  });

  scenario("of one connection; options count", () => {
    const s = closed({ passive: false, tcp: { timestamps: true }, peerClock: 5 });
    const socket = s.host.stack.sockets.connect({
      address: PEER_ADDRESS,
      port: LISTENING_PORT,
      maxSegmentSize: 300,
    });
    s.use(socket);
    s.host.run();
    s.sends({ flags: "S", seq: 0, mss: 300 });
    s.receives(s.syn("S."));
    s.sends({ ack: 1 });
    s.writes(301);
    s.sends({ length: 288 });
    expect(socket.info()).toMatchObject({ mss: 288, rcvMss: 300 });
  });

  scenario("of a listener", () => {
    const s = closed({ passive: true });
    s.listener = s.host.stack.sockets.listen({ port: LISTENING_PORT, maxSegmentSize: 400 });
    s.receives(s.syn("S"));
    s.sends({ flags: "S.", seq: 0, ack: 1, mss: 400 });
    s.receives({ seq: 1, ack: 1 });
    s.accepts();
    s.writes(401);
    s.sends({ length: 400 });
    expect(s.peerPort).toBe(PEER_PORT);
  });

  scenario("raises nothing: not above the peer's, the stack's or the MTU's", () => {
    const s = closed({ passive: false, tcp: { maxSegmentSize: 700 } });
    s.use(s.host.stack.sockets.connect({ address: PEER_ADDRESS, port: 7, maxSegmentSize: 9_000 }));
    s.host.run();
    expect(s.socket.info().rcvMss).toBe(700);
    const t = synSent({ mss: 500, tcp: { maxSegmentSize: 60_000 } });
    expect(t.socket.info().rcvMss).toBe(1_460);
    t.receives(t.syn("S."));
    t.sends({ ack: 1 });
    t.writes(501);
    t.sends({ length: 500 });
  });

  test("out of its range it is refused", () => {
    const { stack } = closed().host;
    for (const maxSegmentSize of [87, 65_536, 100.5, Number.NaN]) {
      const said = codeOf(() => stack.sockets.listen({ port: 1, maxSegmentSize }));
      expect(said).toBe(
        `EINVAL: maxSegmentSize must be a whole number of bytes from 88 to 65535, not ${maxSegmentSize}`,
      );
      expect(codeOf(() => closed({ tcp: { maxSegmentSize } }))).toBe(said);
    }
    expect(codeOf(() => closed({ tcp: { minSegmentSize: 47 } }))).toStartWith(
      "EINVAL: minSegmentSize must be a whole number of bytes from 48 to 536",
    );
    expect(stack.sockets.size).toBe(0);
  });
});
