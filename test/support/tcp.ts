import { test } from "bun:test";
import type { TcpState } from "../../src/index.ts";
import { Conversation, LISTENING_PORT, PEER_PORT, type ScenarioOptions } from "./tcp-conversation.ts";
import { PEER_ADDRESS, TestHost } from "./tcp-host.ts";
import type { Arriving } from "./tcp-segment.ts";

export * from "./tcp-conversation.ts";
export type { Arriving, Expected } from "./tcp-segment.ts";

/**
 * The language of the TCP tests: one connection of a real stack, with the test as its peer.
 *
 * @example
 * ```ts
 * const s = established();
 * s.writes(100);
 * s.sends({ seq: 1, length: 100, ack: 1 });
 * s.receives({ seq: 1, ack: 101, length: 10 });
 * s.sendsNothing({ until: 39 });
 * s.sends({ ack: 11, at: 40 });
 * ```
 */

/** Where sequence numbers may start: in the middle of nowhere, and so that each side's wrap early, together or alone. */
const PLACES: readonly { iss: number; irs: number }[] = [
  { iss: 0, irs: 0 },
  { iss: 0x7fff_fff0, irs: 0xffff_ff80 },
  { iss: 0xffff_fffe, irs: 0x7fff_fffe },
  { iss: 0xffff_fa00, irs: 0xffff_ffff },
];

let place = PLACES[0];

/** A test that is run with the initial sequence numbers at several places, so that they wrap at different moments. */
export function scenario(title: string, run: () => void): void {
  test(title, () => {
    for (const candidate of PLACES) {
      place = candidate;
      try {
        run();
      } finally {
        place = PLACES[0];
      }
    }
  });
}

function start(options: ScenarioOptions): Conversation {
  const placed = { ...place, ...options };
  const host = new TestHost(placed);
  host.note(`  our ISN is ${placed.iss}, the peer's ${placed.irs}`);
  return new Conversation(host, placed, options.passive ? PEER_PORT : LISTENING_PORT);
}

/** A stack without any connection or listener. */
export function closed(options: ScenarioOptions = {}): Conversation {
  return start({ passive: true, ...options });
}

export function listening(options: ScenarioOptions = {}): Conversation {
  const s = start({ ...options, passive: true });
  s.listener = s.host.stack.sockets.listen({
    port: LISTENING_PORT,
    ...(options.backlog === undefined ? {} : { backlog: options.backlog }),
  });
  s.host.startClock();
  return s;
}

/** We have sent a SYN. */
export function synSent(options: ScenarioOptions = {}): Conversation {
  const s = start({ ...options, passive: false });
  connects(s, options);
  s.sends({ flags: options.tcp?.ecn ? "SEW" : "S", seq: 0 });
  s.host.startClock();
  return s;
}

/** The program connects; the SYN is for the test to look at. */
export function connects(s: Conversation, options: { noDelay?: boolean; localPort?: number } = {}): void {
  const { noDelay, localPort } = options;
  const socket = s.host.stack.sockets.connect({
    address: PEER_ADDRESS,
    port: s.peerPort,
    ...(noDelay === undefined ? {} : { noDelay }),
    ...(localPort === undefined ? {} : { localPort }),
  });
  s.use(socket);
  s.host.note("  connect()");
  s.host.run();
}

/** The peer's SYN has arrived, and our SYN-ACK is out; or, where we had sent a SYN, both have crossed. */
export function synReceived(options: ScenarioOptions = {}): Conversation {
  if (options.passive === false) {
    const s = synSent(options);
    s.receives(s.syn("S"));
    s.sends({ flags: options.peerEcn && options.tcp?.ecn ? "SE." : "S.", seq: 0, ack: 1 });
    s.is("SYN_RECEIVED");
    s.host.startClock();
    return s;
  }
  const s = listening(options);
  s.receives(s.syn("S"));
  s.sends({ flags: options.peerEcn && options.tcp?.ecn ? "SE." : "S.", seq: 0, ack: 1 });
  s.is("SYN_RECEIVED");
  s.host.startClock();
  return s;
}

export function established(options: ScenarioOptions = {}): Conversation {
  const s = options.passive ? synReceived(options) : synSent(options);
  s.passes(options.rttMs ?? 0);
  if (options.passive) {
    s.receives({ seq: 1, ack: 1 });
    s.accepts();
  } else {
    s.receives(s.syn("S."));
    s.sends({ seq: 1, ack: 1 });
    // The window of a SYN-ACK is not scaled: the first one that is comes with the peer's next segment.
    if ((options.wscale ?? 0) > 0) s.receives({ seq: 1, ack: 1 });
  }
  s.is("ESTABLISHED");
  s.host.run();
  s.events = 0;
  s.host.startClock();
  return s;
}

/** Our FIN is out. */
export function finWait1(options: ScenarioOptions = {}): Conversation {
  const s = established(options);
  s.shutdown();
  s.sends({ flags: "F.", seq: 1, ack: 1 });
  return reached(s, "FIN_WAIT_1");
}

/** Our FIN has been acknowledged. */
export function finWait2(options: ScenarioOptions = {}): Conversation {
  const s = finWait1(options);
  s.receives({ seq: 1, ack: 2 });
  return reached(s, "FIN_WAIT_2");
}

/** The peer's FIN has arrived and is acknowledged. */
export function closeWait(options: ScenarioOptions = {}): Conversation {
  const s = established(options);
  s.receives({ flags: "F.", seq: 1, ack: 1 });
  s.sends({ seq: 1, ack: 2 });
  return reached(s, "CLOSE_WAIT");
}

/** Both FINs have crossed; ours is not acknowledged. */
export function closing(options: ScenarioOptions = {}): Conversation {
  const s = finWait1(options);
  s.receives({ flags: "F.", seq: 1, ack: 1 });
  s.sends({ seq: 2, ack: 2 });
  return reached(s, "CLOSING");
}

/** The peer's FIN came first, and ours is out. */
export function lastAck(options: ScenarioOptions = {}): Conversation {
  const s = closeWait(options);
  s.shutdown();
  s.sends({ flags: "F.", seq: 1, ack: 2 });
  return reached(s, "LAST_ACK");
}

export function timeWait(options: ScenarioOptions = {}): Conversation {
  const s = finWait2(options);
  s.receives({ flags: "F.", seq: 1, ack: 2 });
  s.sends({ seq: 2, ack: 2 });
  return reached(s, "TIME_WAIT");
}

/** So many segments of the peer in a row. */
export function segments(count: number, length: number, seq: number): Arriving[] {
  return Array.from({ length: count }, (_, i) => ({ seq: seq + i * length, length }));
}

function reached(s: Conversation, state: TcpState): Conversation {
  s.is(state);
  s.events = 0;
  s.host.startClock();
  return s;
}
