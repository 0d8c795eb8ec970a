import { describe, expect, test } from "bun:test";
import { CONNECTED } from "../../../src/index.ts";
import { STATE_NAMES, SYN_SENT } from "../../../src/socket/tcp/tcb.ts";
import { type Arriving, type Conversation, scenario } from "../../support/tcp.ts";
import type { Emitted } from "../../support/tcp-segment.ts";
import { formatFlags } from "../../support/tcp-segment.ts";
import { ACKS_TEXT_FIN } from "./segment-table/acks-text-fin.ts";
import { HANDSHAKE } from "./segment-table/handshake.ts";
import { finish, KIND_NAMES, type Kind, type KindName, kindOf } from "./segment-table/kinds.ts";
import { open, PEER_CLOCK, type Place, placeOf, STATES, type State } from "./segment-table/places.ts";
import type { Answer, Rule } from "./segment-table/rule.ts";
import { ALIKE } from "./segment-table/synchronized.ts";
import { UNSYNCHRONIZED } from "./segment-table/unsynchronized.ts";

/**
 * RFC 9293 3.10.7, SEGMENT ARRIVES: every state by every kind of segment. The rules are in the files of `segment-table/`,
 * each with its section; here they are held against the stack, and it is made sure that each cell has one.
 */

const RULES: readonly Rule[] = [...UNSYNCHRONIZED, ...HANDSHAKE, ...ALIKE, ...ACKS_TEXT_FIN];

const DELAYED_ACK_MS = 40;

test("the table has one rule for each cell", () => {
  const wrong: string[] = [];
  for (const state of STATES) {
    for (const name of KIND_NAMES) {
      const count = rulesFor(state, name).length;
      if (count !== 1) wrong.push(`${state} x ${name}: ${count} rules`);
    }
  }
  expect(wrong).toEqual([]);
  expect(STATES.length * KIND_NAMES.length).toBeGreaterThan(1_300);
});

test("the kinds have all flags, alone and with ACK, and the table all answers", () => {
  const flags = new Set(KIND_NAMES.map((name) => kindOf(name).flags));
  for (const some of ["", ".", "S", "S.", "R", "R.", "F", "F.", "U", "U.", "P", "P."]) {
    expect(flags.has(some)).toBe(true);
  }
  expect(new Set(RULES.map(({ answer }) => answer)).size).toBe(7);
});

for (const state of STATES) {
  describe(state, () => {
    for (const name of KIND_NAMES) {
      const [rule] = rulesFor(state, name);
      if (rule === undefined) continue;
      const next = rule.next === undefined ? "" : `, ${rule.next}`;
      scenario(`${name}: ${rule.impossible ? "none such" : rule.answer}${next} (${rule.section})`, () =>
        check(state, kindOf(name), rule),
      );
    }
  });
}

function rulesFor(state: State, name: KindName): Rule[] {
  return RULES.filter((rule) => rule.states.includes(state) && rule.kinds.includes(name));
}

function check(state: State, kind: Kind, rule: Rule): void {
  const s = open(state, kind);
  const place = s === null ? null : placeOf(s, state);
  const arriving = place === null ? null : segmentOf(s!, place, kind);
  expect(arriving === null).toBe(rule.impossible ?? false);
  if (s === null || place === null || arriving === null) return;
  const before = snapshot(s);
  // Where a SYN is elsewhere than at IRS, what is watched of all conversations does not hold.
  if (rule.syn) s.host.onEmitted = () => {};
  arrives(s, arriving, kind);
  const takes = rule.takes === "window" ? place.rcvWnd : (rule.takes ?? 0);
  const start = rule.syn ? arriving.seq! + 1 : place.rcvNxt;
  const rcvNxt = start + takes + (rule.fin ? 1 : 0);
  checkAnswer(s, rule.answer, arriving, rcvNxt, before.challenges);
  checkState(s, state, rule);
  checkProgram(s, state, rule, takes, before);
  checkVariables(s, place, rule, arriving, rcvNxt, before);
}

function snapshot(s: Conversation) {
  const { tcb } = s;
  return {
    challenges: s.host.stack.stats.tcpChallengeAcks,
    readable: tcb?.receiveBuffer.length ?? 0,
    sndWnd: tcb?.sndWnd ?? 0,
    expireAt: tcb?.expireAt ?? 0,
  };
}

type Snapshot = ReturnType<typeof snapshot>;

function segmentOf(s: Conversation, place: Place, kind: Kind): Arriving | null {
  const ack = kind.ack === undefined ? place.sndUna : kind.ack(place);
  if (ack === null) return null;
  const { win, urgent, tos, options, badChecksum } = kind;
  const lastTsVal = s.tcb === null || s.tcb.tsRecent === 0 ? PEER_CLOCK : s.tcb.tsRecent;
  return {
    flags: kind.flags,
    seq: kind.seq?.(place) ?? place.rcvNxt,
    ack,
    length: kind.length?.(place) ?? 0,
    ...(win === undefined ? {} : { win }),
    ...(urgent === undefined ? {} : { urgent }),
    ...(tos === undefined ? {} : { tos }),
    ...options,
    ...(badChecksum ? { badChecksum } : {}),
    ...(kind.later === undefined ? {} : { ts: kind.later === null ? null : [lastTsVal + kind.later, 0] }),
  };
}

function arrives(s: Conversation, arriving: Arriving, kind: Kind): void {
  const packet = s.packet(arriving);
  if (kind.patch !== undefined) {
    kind.patch(packet);
    finish(packet);
  }
  s.receivesPacket(packet);
}

function checkAnswer(
  s: Conversation,
  answer: Answer,
  arriving: Arriving,
  rcvNxt: number,
  challenges: number,
): void {
  let sent = s.sent();
  if (answer === "ACK, delayed") {
    expect(describeAll(s, sent)).toEqual([]);
    s.passes(DELAYED_ACK_MS);
    sent = s.sent();
  }
  expect(s.host.stack.stats.tcpChallengeAcks - challenges).toBe(answer === "challenge ACK" ? 1 : 0);
  expect(describeAll(s, sent)).toEqual(expectedSegments(s, answer, arriving, rcvNxt));
  if (answer !== "nothing" && answer !== "challenge ACK") return;
  s.passes(DELAYED_ACK_MS);
  expect(describeAll(s, s.sent())).toEqual([]);
}

function expectedSegments(s: Conversation, answer: Answer, arriving: Arriving, rcvNxt: number): string[] {
  const sndNxt = s.tcb === null ? 0 : (s.tcb.sndNxt - s.iss) | 0;
  const length = (arriving.length ?? 0) + count(arriving, "S") + count(arriving, "F");
  switch (answer) {
    case "nothing":
      return [];
    case "RST at SEG.ACK":
      return [`R seq ${arriving.ack! | 0}`];
    case "RST-ACK":
      return [`R. field 0 ack ${(arriving.seq! + length) | 0}`];
    case "SYN-ACK":
      return [`S. ack ${rcvNxt | 0}`];
    default:
      return [`. seq ${sndNxt} ack ${rcvNxt}`];
  }
}

function count(arriving: Arriving, flag: string): number {
  return arriving.flags?.includes(flag) ? 1 : 0;
}

/** What was sent, without what is not the table's matter: a SYN-ACK that reopens has another ISS. */
function describeAll(s: Conversation, sent: Emitted[]): string[] {
  return sent.map(({ seg }) => {
    const flags = formatFlags(seg.flags);
    const seq = flags === "S." ? "" : flags === "R." ? ` field ${seg.seq}` : ` seq ${(seg.seq - s.iss) | 0}`;
    const ack = flags === "R" ? "" : ` ack ${(seg.ack - s.irs) | 0}`;
    return `${flags}${seq}${ack}${seg.payloadLength > 0 ? ` length ${seg.payloadLength}` : ""}`;
  });
}

function checkState(s: Conversation, state: State, rule: Rule): void {
  const { tcb } = s;
  const actual = tcb === null ? "CLOSED" : STATE_NAMES[tcb.state];
  const stays = state.startsWith("SYN_RECEIVED") ? "SYN_RECEIVED" : state;
  const next = rule.next ?? stays;
  expect(actual).toBe(next === "LISTEN" ? "CLOSED" : (next as typeof actual));
  if (next === "LISTEN") expect(s.listener?.index).not.toBe(-1);
}

/** What the program gets, and learns. */
function checkProgram(s: Conversation, state: State, rule: Rule, takes: number, before: Snapshot): void {
  const { told } = rule;
  if (s.listener !== null && state !== "TIME_WAIT") {
    const accepted = s.listener.accept();
    expect(accepted !== null).toBe(told === "connected");
    if (accepted === null) return;
    s.use(accepted);
  } else if (state === "CLOSED") {
    return;
  } else if (told === undefined || told === "connected") {
    expect(s.socket.error).toBeNull();
    expect((s.events & CONNECTED) !== 0).toBe(told === "connected");
  } else {
    s.failedWith(told === "closed" ? null : told);
    return;
  }
  const readable = s.socket.readableBytes;
  expect(readable - before.readable).toBe(takes);
  if (takes > 0 && before.readable === 0) s.reads(takes);
  if (rule.fin && s.socket.readableBytes === 0) s.readsEnd();
}

function checkVariables(
  s: Conversation,
  place: Place,
  rule: Rule,
  arriving: Arriving,
  rcvNxt: number,
  before: Snapshot,
): void {
  const { tcb } = s;
  if (tcb === null) return;
  if (tcb.state !== SYN_SENT) expect((tcb.rcvNxt - s.irs) | 0).toBe(rcvNxt | 0);
  if (rule.told === "closed") return;
  if (rule.answer !== "SYN-ACK") {
    const acked = { "a part": 50, "all but our FIN": 100, everything: place.sndNxt - place.sndUna };
    expect((tcb.sndUna - s.iss) | 0).toBe(place.sndUna + (rule.acks === undefined ? 0 : acked[rule.acks]));
  }
  const sndWnd = rule.window ? (arriving.win ?? s.win) : before.sndWnd;
  if (rule.next !== "SYN_RECEIVED") expect(tcb.sndWnd).toBe(sndWnd);
  if (STATE_NAMES[tcb.state] !== "TIME_WAIT" || rule.next === "TIME_WAIT") return;
  expect(tcb.expireAt > before.expireAt).toBe(rule.restarts ?? false);
}
