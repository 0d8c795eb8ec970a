import type { ErrorCode, TcpState } from "../../../../src/index.ts";
import type { KindName } from "./kinds.ts";
import type { State } from "./places.ts";

/** What goes back. */
export type Answer =
  /** Nothing, now or later. */
  | "nothing"
  /** <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, at once. */
  | "ACK"
  /** The same when the delay is over, as there may be an answer to send it with (3.8.6.3). */
  | "ACK, delayed"
  /** The same as `ACK`, as far as RFC 5961's limits allow. */
  | "challenge ACK"
  /** <SEQ=SEG.ACK><CTL=RST> */
  | "RST at SEG.ACK"
  /** <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK> */
  | "RST-ACK"
  /** <SEQ=ISS><ACK=SEG.SEQ+1><CTL=SYN,ACK> */
  | "SYN-ACK";

/** One cell of the table, or several that are alike. What is not said does not happen. */
export interface Rule {
  readonly states: readonly State[];
  readonly kinds: readonly KindName[];
  /** Section and step of RFC 9293. */
  readonly section: string;
  /** What it asks for, in our words. */
  readonly rule: string;
  /** The later RFC, or the decision of ours, that has it otherwise than the section says, or where that leaves a choice. */
  readonly by?: string;
  readonly answer: Answer;
  /** The state that follows; LISTEN where only the listener is left. */
  readonly next?: TcpState;
  /** Bytes of text that the program gets, `"window"` for as many as the window lets in. */
  readonly takes?: number | "window";
  /** The segment's SYN, or FIN, is taken: RCV.NXT moves over it. */
  readonly syn?: boolean;
  readonly fin?: boolean;
  /** What is acknowledged of ours. */
  readonly acks?: "a part" | "all but our FIN" | "everything";
  /** SND.WND becomes the segment's. */
  readonly window?: boolean;
  /** The program learns of a connection, or of an end: by the book, or with an error. */
  readonly told?: "connected" | "closed" | ErrorCode;
  /** The 2 MSL timeout starts anew. */
  readonly restarts?: boolean;
  /** There is no such segment in these states: nothing that it might acknowledge is in flight, or there is no window. */
  readonly impossible?: boolean;
}

/** Of these kinds, those that no rule has for this state yet. */
export function remaining(kinds: readonly KindName[], rules: readonly Rule[], state: State): KindName[] {
  const known = new Set(rules.filter((rule) => rule.states.includes(state)).flatMap((rule) => rule.kinds));
  return kinds.filter((name) => !known.has(name));
}
