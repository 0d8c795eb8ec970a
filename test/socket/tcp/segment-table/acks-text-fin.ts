import type { TcpState } from "../../../../src/index.ts";
import type { KindName } from "./kinds.ts";
import type { State } from "./places.ts";
import type { Rule } from "./rule.ts";

/** What tells the synchronized states apart: an ACK of everything, text and FIN. RFC 9293 3.10.7.4, fifth to eighth. */

/** Where text still may arrive, the state that the peer's FIN leads to, and that an ACK of ours leads to. */
const RECEIVING = [
  { state: "ESTABLISHED", onFin: "CLOSE_WAIT", onAck: "ESTABLISHED", onBoth: "CLOSE_WAIT" },
  { state: "FIN_WAIT_1", onFin: "CLOSING", onAck: "FIN_WAIT_2", onBoth: "TIME_WAIT" },
  { state: "FIN_WAIT_2", onFin: "TIME_WAIT", onAck: "FIN_WAIT_2", onBoth: "TIME_WAIT" },
] as const;

const RECEIVERS = ["ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2"] as const;
const AFTER_FIN = ["CLOSE_WAIT", "CLOSING", "LAST_ACK", "TIME_WAIT"] as const;

const TEXT: KindName[] = [
  "text in order",
  "text in order, PSH",
  "URG, pointer 0",
  "URG, pointer within the text",
  "URG, pointer far beyond the text",
  "an urgent pointer without URG",
  "text with CE",
  "text with CWR and ECE",
  "text with reserved bits",
  "text with an unknown option",
  "text with an option of length 0",
  "text with an option that is too long",
  "text with SYN's options",
  "timestamps: text in order",
];
const TEXT_AHEAD: KindName[] = [
  "text ahead of a gap",
  "text ahead of a gap, partly right",
  "the window's last byte",
];
const TEXT_TOO_WIDE: KindName[] = ["text partly right", "text wider than the window"];
const TEXT_INTO_NO_WINDOW: KindName[] = ["window 0: text at RCV.NXT", "window 0: URG at RCV.NXT"];
const FINS: KindName[] = [
  "FIN in order",
  "FIN in order behind old text",
  "URG with FIN",
  "window 0: FIN at RCV.NXT",
];

const TAKEN: Rule[] = [
  {
    states: RECEIVERS,
    kinds: TEXT,
    section: "3.10.7.4, seventh",
    rule: "text at RCV.NXT is taken, and acknowledged with what may be sent soon; whatever else the header says, it is text",
    answer: "ACK, delayed",
    takes: 10,
  },
  {
    states: RECEIVERS,
    kinds: ["text partly left"],
    section: "3.10.7.4, first and seventh",
    rule: "of text that straddles RCV.NXT the new part is taken",
    answer: "ACK, delayed",
    takes: 5,
  },
  {
    states: RECEIVERS,
    kinds: TEXT_TOO_WIDE,
    section: "3.10.7.4, first and seventh",
    rule: "of text that straddles the edges the part within is taken, and an ACK states the window",
    answer: "ACK",
    takes: "window",
  },
  {
    states: RECEIVERS,
    kinds: TEXT_AHEAD,
    section: "3.10.7.4, first and seventh; SHLD-31, MAY-13",
    rule: "text ahead of RCV.NXT is held, and an ACK tells that there is a gap",
    by: "RFC 5681 4.2: at once",
    answer: "ACK",
  },
  {
    states: RECEIVERS,
    kinds: TEXT_INTO_NO_WINDOW,
    section: "3.10.7.4, first; 3.8.6.1",
    rule: "nothing fits a window of 0: the text is answered by an ACK that says so",
    answer: "ACK",
  },
  {
    states: RECEIVERS,
    kinds: ["FIN ahead of a gap"],
    section: "3.10.7.4, first and eighth; SHLD-31",
    rule: "a FIN ahead of RCV.NXT is held, and an ACK tells that there is a gap",
    answer: "ACK",
  },
  {
    states: RECEIVERS,
    kinds: ["window 0: FIN behind text"],
    section: "3.10.7.4, first",
    rule: "text that fits no window is trimmed off with what follows it, and answered by an ACK",
    answer: "ACK",
  },
  {
    states: AFTER_FIN,
    kinds: [...TEXT, "text partly left", ...TEXT_TOO_WIDE, ...TEXT_AHEAD, ...TEXT_INTO_NO_WINDOW],
    section: "3.10.7.4, sixth and seventh",
    rule: "behind the peer's FIN there is no text: it is ignored, and so is URG",
    answer: "nothing",
  },
  {
    states: AFTER_FIN,
    kinds: ["window 0: FIN behind text"],
    section: "3.10.7.4, first and seventh",
    rule: "a FIN outside of the window is trimmed off, and the text ignored",
    answer: "nothing",
  },
];

function onAck(state: State, next: TcpState, rest: Partial<Rule> = {}): Rule[] {
  const alike: Omit<Rule, "kinds"> = {
    states: [state],
    section: "3.10.7.4, fifth",
    rule: "all that we have sent is acknowledged, a FIN included, which moves the state on",
    answer: "nothing",
    next,
    ...(state === "FIN_WAIT_2" || state === "TIME_WAIT" ? {} : { acks: "everything" }),
    ...rest,
  };
  return [
    { ...alike, kinds: ["ACK of everything", "window 0: ACK at RCV.NXT"] },
    {
      ...alike,
      kinds: ["ACK of everything, window 0", "ACK of everything, another window"],
      ...(state === "TIME_WAIT" || state === "LAST_ACK" ? {} : { window: true }),
    },
  ];
}

const ACKS: Rule[] = [
  ...RECEIVING.flatMap(({ state, onAck: next }) => onAck(state, next)),
  ...onAck("CLOSE_WAIT", "CLOSE_WAIT"),
  ...onAck("CLOSING", "TIME_WAIT"),
  ...onAck("LAST_ACK", "CLOSED", { told: "closed" }),
  ...onAck("TIME_WAIT", "TIME_WAIT", {
    rule: "nothing but a FIN that comes again means anything any more",
  }),
];

const WITH_ACK: Rule[] = [
  ...RECEIVING.flatMap(({ state, onAck: next }): Rule[] => {
    const acks = state === "FIN_WAIT_2" ? {} : { acks: "everything" as const };
    return [
      {
        states: [state],
        kinds: ["text in order, ACK of everything"],
        section: "3.10.7.4, fifth and seventh",
        rule: "the ACK is processed first, then the text is taken in the state that this leads to",
        answer: "ACK, delayed",
        next,
        takes: 10,
        ...acks,
      },
      {
        states: [state],
        kinds: ["window 0: text at RCV.NXT, ACK of everything"],
        section: "3.10.7.4, first and fifth",
        rule: "nothing fits a window of 0, but a valid ACK is processed",
        answer: "ACK",
        next,
        ...acks,
      },
    ];
  }),
  {
    states: ["CLOSE_WAIT"],
    kinds: ["text in order, ACK of everything", "window 0: text at RCV.NXT, ACK of everything"],
    section: "3.10.7.4, fifth and seventh",
    rule: "the ACK is processed, and the text ignored",
    answer: "nothing",
    acks: "everything",
  },
  {
    states: ["CLOSING"],
    kinds: ["text in order, ACK of everything", "window 0: text at RCV.NXT, ACK of everything"],
    section: "3.10.7.4, fifth and seventh",
    rule: "our FIN is acknowledged: TIME-WAIT; the text is ignored",
    answer: "nothing",
    next: "TIME_WAIT",
    acks: "everything",
  },
  {
    states: ["LAST_ACK"],
    kinds: [
      "text in order, ACK of everything",
      "window 0: text at RCV.NXT, ACK of everything",
      "FIN in order, ACK of everything",
    ],
    section: "3.10.7.4, fifth",
    rule: "our FIN is acknowledged: the connection is deleted, and nothing more is processed",
    answer: "nothing",
    next: "CLOSED",
    acks: "everything",
    told: "closed",
  },
  {
    states: ["TIME_WAIT"],
    kinds: ["text in order, ACK of everything", "window 0: text at RCV.NXT, ACK of everything"],
    section: "3.10.7.4, fifth and seventh",
    rule: "nothing is left to acknowledge, and text is ignored",
    answer: "nothing",
  },
];

const FIN_RULES: Rule[] = [
  ...RECEIVING.flatMap(({ state, onFin, onBoth }): Rule[] => [
    {
      states: [state],
      kinds: FINS,
      section: "3.10.7.4, eighth",
      rule: "the FIN is reached: RCV.NXT moves over it, it is acknowledged, and the program learns of the end; also where the window is 0",
      answer: "ACK",
      next: onFin,
      fin: true,
    },
    {
      states: [state],
      kinds: ["FIN in order behind text"],
      section: "3.10.7.4, seventh and eighth",
      rule: "the text first, then the FIN, with one ACK for both",
      answer: "ACK",
      next: onFin,
      takes: 10,
      fin: true,
    },
    {
      states: [state],
      kinds: ["FIN behind text that fills the window"],
      section: "3.10.7.4, first, seventh and eighth",
      rule: "a FIN at the right edge is outside of the window by the letter of table 6",
      by: "it needs no room: where all text before it is taken, so is the FIN, as with a window of 0",
      answer: "ACK",
      next: onFin,
      takes: "window",
      fin: true,
    },
    {
      states: [state],
      kinds: ["FIN in order, ACK of everything"],
      section: "3.10.7.4, fifth and eighth",
      rule: "where our FIN is acknowledged by the same segment, TIME-WAIT is reached at once",
      answer: "ACK",
      next: onBoth,
      fin: true,
      ...(state === "FIN_WAIT_2" ? {} : { acks: "everything" }),
    },
  ]),
  {
    states: ["CLOSE_WAIT", "CLOSING", "LAST_ACK"],
    kinds: [
      ...FINS,
      "FIN in order behind text",
      "FIN ahead of a gap",
      "FIN behind text that fills the window",
    ],
    section: "3.10.7.4, eighth",
    rule: "a FIN behind the first one says nothing new: it is answered by an ACK, and the state stays",
    answer: "ACK",
  },
  {
    states: ["CLOSE_WAIT"],
    kinds: ["FIN in order, ACK of everything"],
    section: "3.10.7.4, fifth and eighth",
    rule: "the ACK is processed, and the state stays",
    answer: "ACK",
    acks: "everything",
  },
  {
    states: ["CLOSING"],
    kinds: ["FIN in order, ACK of everything"],
    section: "3.10.7.4, fifth and eighth",
    rule: "our FIN is acknowledged: TIME-WAIT, which the FIN finds",
    answer: "ACK",
    next: "TIME_WAIT",
    acks: "everything",
  },
  {
    states: ["TIME_WAIT"],
    kinds: [
      ...FINS,
      "FIN in order behind text",
      "FIN ahead of a gap",
      "FIN behind text that fills the window",
      "FIN in order, ACK of everything",
    ],
    section: "3.10.7.4, eighth",
    rule: "a FIN is answered by an ACK, and the 2 MSL timeout starts anew",
    answer: "ACK",
    restarts: true,
  },
];

export const ACKS_TEXT_FIN: readonly Rule[] = [...ACKS, ...TAKEN, ...WITH_ACK, ...FIN_RULES];
