import type { Tcb } from "../../../../src/socket/tcp/tcb.ts";
import { receiveWindow } from "../../../../src/socket/tcp/window.ts";
import {
  type Conversation,
  closed,
  connects,
  established,
  listening,
  type ScenarioOptions,
  synSent,
} from "../../../support/tcp.ts";

/** The states of the table, how each is reached, and where the sequence numbers are in it. */

export const STATES = [
  "CLOSED",
  "LISTEN",
  "SYN_SENT",
  "SYN_RECEIVED, passive",
  "SYN_RECEIVED, active",
  "ESTABLISHED",
  "FIN_WAIT_1",
  "FIN_WAIT_2",
  "CLOSE_WAIT",
  "CLOSING",
  "LAST_ACK",
  "TIME_WAIT",
] as const;

export type State = (typeof STATES)[number];

/** What segments are aimed by; relative, as in all tests. */
export interface Place {
  readonly rcvNxt: number;
  readonly rcvWnd: number;
  readonly sndUna: number;
  readonly sndNxt: number;
  /** Our FIN is out and not acknowledged. */
  readonly finInFlight: boolean;
}

/** How a connection is made before a segment arrives. */
export interface Setting {
  /** What has arrived fills the receive window, and the program has not read it. */
  readonly full?: boolean;
  /** Both sides have timestamps. */
  readonly timestamps?: boolean;
}

/** Of our stream are in flight, where the state lets any be; of the peer's so many have been read. */
const IN_FLIGHT = 100;
const READ = 20;
const RECEIVE_BUFFER = 1_000;
/** The peer's clock when the host is made. */
export const PEER_CLOCK = 500_000;

/** Where nothing is known of the peer, segments are aimed as if this were so. */
const NOWHERE: Place = { rcvNxt: 1, rcvWnd: RECEIVE_BUFFER, sndUna: 1, sndNxt: 1, finInFlight: false };

/** A connection in this state, or `null` where the state cannot be in this setting. */
export function open(state: State, setting: Setting): Conversation | null {
  const options: ScenarioOptions = {
    tcp: { receiveBuffer: RECEIVE_BUFFER, timestamps: setting.timestamps ?? false },
    ...(setting.timestamps ? { peerClock: PEER_CLOCK } : {}),
  };
  if (state === "CLOSED" || state === "LISTEN" || state === "SYN_SENT") {
    if (setting.full) return null;
    if (state === "CLOSED") return closed(options);
    return state === "LISTEN" ? listening(options) : synSent(options);
  }
  if (state === "SYN_RECEIVED, passive" || state === "SYN_RECEIVED, active") {
    return halfOpen(state === "SYN_RECEIVED, passive", setting.full ?? false, options);
  }
  const s = established({ ...options, passive: state === "TIME_WAIT" });
  s.receives({ length: READ });
  s.passes(40);
  s.sent();
  s.reads(READ);
  if (setting.full) s.receives({ length: receiveWindow(tcbOf(s)) });
  s.sent();
  reach(s, state);
  s.sent();
  s.events = 0;
  return s;
}

/** A full window here: no page is free, so our SYN offers none. */
function halfOpen(passive: boolean, full: boolean, options: ScenarioOptions): Conversation {
  const s = passive ? listening(options) : closed({ ...options, passive: false });
  if (full) s.host.leavePages(0);
  if (!passive) connects(s);
  s.sent();
  s.receives(s.syn("S"));
  s.sent();
  return s;
}

/** From ESTABLISHED. */
function reach(s: Conversation, state: State): void {
  s.writes(IN_FLIGHT);
  s.sent();
  if (state === "CLOSE_WAIT" || state === "LAST_ACK") s.receives({ flags: "F.", ack: 1 });
  s.sent();
  if (state === "ESTABLISHED" || state === "CLOSE_WAIT") return;
  s.shutdown();
  s.sent();
  if (state === "FIN_WAIT_2" || state === "TIME_WAIT") s.receives({});
  if (state === "TIME_WAIT" || state === "CLOSING") {
    s.receives({ flags: "F.", ...(state === "CLOSING" ? { ack: 1 } : {}) });
    s.sent();
  }
  // So that a timeout that is restarted can be told from one that is not.
  if (state === "TIME_WAIT") s.passes(1_000);
}

export function placeOf(s: Conversation, state: State): Place {
  if (state === "CLOSED" || state === "LISTEN") return NOWHERE;
  if (state === "SYN_SENT") return { ...NOWHERE, rcvNxt: 0, sndUna: 0 };
  const tcb = tcbOf(s);
  return {
    rcvNxt: (tcb.rcvNxt - s.irs) | 0,
    rcvWnd: receiveWindow(tcb),
    sndUna: (tcb.sndUna - s.iss) | 0,
    sndNxt: (tcb.sndNxt - s.iss) | 0,
    finInFlight: tcb.finSent && tcb.sndUna !== tcb.sndNxt,
  };
}

export function tcbOf(s: Conversation): Tcb {
  const { tcb } = s;
  if (tcb === null) throw new Error("there is no connection");
  return tcb;
}
