import { except, KIND_NAMES, type KindName, kindsWith } from "./kinds.ts";
import type { Rule } from "./rule.ts";

/** CLOSED, LISTEN and SYN-SENT: RFC 9293 3.10.7.1 to 3.10.7.3. */

const NO_WINDOW: KindName[] = KIND_NAMES.filter((name) => name.startsWith("window 0:"));

const BROKEN: KindName[] = [
  "a header length below 20",
  "a header longer than the segment",
  "a wrong checksum",
  "RST with a wrong checksum",
];

const NO_SUCH_ACK: KindName[] = ["ACK of a part", "ACK of all but our FIN"];

const NOT_THERE: KindName[] = [...NO_WINDOW, ...NO_SUCH_ACK, ...BROKEN];

/** What is left of a selection that needs no window, nothing in flight, and is not broken. */
function there(names: readonly KindName[]): KindName[] {
  return names.filter((name) => !NOT_THERE.includes(name));
}

const RESETS = there(kindsWith("R"));
const ACKS = there(kindsWith(".", "R"));
const SYNS = there(kindsWith("S", "R."));
const NEITHER = there(kindsWith("", "SR."));

const SYN_ACKS = there(kindsWith("S.", "R"));
const BAD_SYN_ACKS: KindName[] = ["SYN-ACK at IRS, of nothing new", "SYN-ACK at IRS, beyond SND.NXT"];
/** With SND.UNA = ISS, all that acknowledges nothing new acknowledges nothing. */
const GOOD_ACKS: KindName[] = [
  "ACK of everything",
  "ACK of everything, window 0",
  "ACK of everything, another window",
  "text in order, ACK of everything",
  "FIN in order, ACK of everything",
];
const GOOD_RESETS: KindName[] = [
  "RST-ACK at RCV.NXT",
  "RST-ACK in the window",
  "RST-ACK far right",
  "all flags at RCV.NXT",
];

export const UNSYNCHRONIZED: readonly Rule[] = [
  {
    states: ["CLOSED", "LISTEN", "SYN_SENT"],
    kinds: NO_WINDOW,
    section: "3.3.1",
    rule: "without a peer there is no receive window that might be 0",
    impossible: true,
    answer: "nothing",
  },
  {
    states: ["CLOSED", "LISTEN", "SYN_SENT"],
    kinds: NO_SUCH_ACK,
    section: "3.3.1",
    rule: "no text and no FIN of ours is in flight that might be acknowledged",
    impossible: true,
    answer: "nothing",
  },
  {
    states: ["CLOSED", "LISTEN", "SYN_SENT"],
    kinds: BROKEN,
    section: "3.1",
    rule: "a segment with a wrong checksum, or without a whole header, is no segment",
    answer: "nothing",
  },
  {
    states: ["CLOSED"],
    kinds: RESETS,
    section: "3.10.7.1",
    rule: "without a connection a reset is thrown away",
    answer: "nothing",
  },
  {
    states: ["CLOSED"],
    kinds: ACKS,
    section: "3.10.7.1",
    rule: "without a connection any other segment is answered by a reset that its sender finds acceptable: at the number that it acknowledges",
    answer: "RST at SEG.ACK",
  },
  {
    states: ["CLOSED"],
    kinds: [...SYNS, ...NEITHER],
    section: "3.10.7.1",
    rule: "the same: where it acknowledges nothing, at 0, and the reset acknowledges all of the segment",
    answer: "RST-ACK",
  },
  {
    states: ["LISTEN"],
    kinds: RESETS,
    section: "3.10.7.2, first",
    rule: "nothing has been sent that a reset might answer: it is ignored",
    answer: "nothing",
  },
  {
    states: ["LISTEN"],
    kinds: ACKS,
    section: "3.10.7.2, second",
    rule: "nothing has been sent that could be acknowledged: a reset at the number that is",
    answer: "RST at SEG.ACK",
  },
  {
    states: ["LISTEN"],
    kinds: SYNS,
    section: "3.10.7.2, third",
    rule: "IRS and RCV.NXT are taken from the SYN, and a SYN-ACK goes back; what else it carries is for later",
    by: "text and FIN of a SYN are not kept: they are not acknowledged either, so the peer sends them again; whoever has not shown that his address is his own costs no buffer",
    answer: "SYN-ACK",
    next: "SYN_RECEIVED",
    syn: true,
  },
  {
    states: ["LISTEN"],
    kinds: NEITHER,
    section: "3.10.7.2, fourth",
    rule: "neither RST nor ACK nor SYN: dropped",
    answer: "nothing",
  },
  {
    states: ["SYN_SENT"],
    kinds: except(RESETS, ...GOOD_RESETS),
    section: "3.10.7.3, first and second",
    rule: "a reset that does not acknowledge our SYN, or acknowledges something else, is dropped",
    answer: "nothing",
  },
  {
    states: ["SYN_SENT"],
    kinds: GOOD_RESETS,
    section: "3.10.7.3, second",
    rule: "a reset that acknowledges our SYN: the program is told, and the connection deleted",
    by: "node's ECONNREFUSED instead of a reset, as in SYN-RECEIVED",
    answer: "nothing",
    next: "CLOSED",
    told: "ECONNREFUSED",
  },
  {
    states: ["SYN_SENT"],
    kinds: [...BAD_SYN_ACKS, ...except(ACKS, ...SYN_ACKS, ...GOOD_ACKS)],
    section: "3.10.7.3, first",
    rule: "an ACK of what was not sent, or of nothing, is answered by a reset at its number, and the segment is dropped",
    answer: "RST at SEG.ACK",
  },
  {
    states: ["SYN_SENT"],
    kinds: except(SYN_ACKS, ...BAD_SYN_ACKS, "SYN-ACK at IRS, with text", "SYN-ACK at IRS, with FIN"),
    section: "3.10.7.3, fourth",
    rule: "SYN and ACK of ours: ESTABLISHED, and an ACK goes back",
    answer: "ACK",
    next: "ESTABLISHED",
    syn: true,
    acks: "everything",
    window: true,
    told: "connected",
  },
  {
    states: ["SYN_SENT"],
    kinds: ["SYN-ACK at IRS, with text"],
    section: "3.10.7.3, fourth",
    rule: "the text of a SYN-ACK is processed by the sixth step and on, with one ACK for both",
    answer: "ACK",
    next: "ESTABLISHED",
    syn: true,
    takes: 10,
    acks: "everything",
    window: true,
    told: "connected",
  },
  {
    states: ["SYN_SENT"],
    kinds: ["SYN-ACK at IRS, with FIN"],
    section: "3.10.7.3, fourth",
    rule: "a control of a SYN-ACK likewise: the FIN leads to CLOSE-WAIT",
    answer: "ACK",
    next: "CLOSE_WAIT",
    syn: true,
    fin: true,
    acks: "everything",
    window: true,
    told: "connected",
  },
  {
    states: ["SYN_SENT"],
    kinds: SYNS,
    section: "3.10.7.3, fourth",
    rule: "a SYN alone has crossed ours: SYN-RECEIVED, and a SYN-ACK goes back; what else it carries is for later",
    by: "text and FIN are not kept, and not acknowledged: the peer sends them again",
    answer: "SYN-ACK",
    next: "SYN_RECEIVED",
    syn: true,
    window: true,
  },
  {
    states: ["SYN_SENT"],
    kinds: [...GOOD_ACKS, ...NEITHER],
    section: "3.10.7.3, fifth",
    rule: "neither SYN nor RST: dropped",
    answer: "nothing",
  },
];
