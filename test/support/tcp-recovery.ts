import { type Conversation, established, type ScenarioOptions } from "./tcp.ts";

/** What the tests of loss recovery have in common. Segments have 1,000 bytes, and a round trip takes 100 ms. */

export const RTT_MS = 100;

/** A connection with SACK. */
export function withSack(options: ScenarioOptions = {}): Conversation {
  return established({
    mss: 1_000,
    wscale: 7,
    rttMs: RTT_MS,
    peerSack: true,
    ...options,
    tcp: { sack: true, ...options.tcp },
  });
}

/** One without. */
export function withoutSack(options: ScenarioOptions = {}): Conversation {
  return established({ mss: 1_000, wscale: 7, rttMs: RTT_MS, ...options });
}

/** The program writes; returns where the segments that leave at once begin. */
export function flies(s: Conversation, bytes: number): number[] {
  s.writes(bytes);
  return starts(s);
}

/** An ACK with SACK blocks arrives; returns where the segments that it lets out begin. */
export function sacks(s: Conversation, ack: number, ...blocks: [number, number][]): number[] {
  s.receives({ seq: 1, ack, sack: blocks });
  return starts(s);
}

/** The same for an ACK without blocks. */
export function acks(s: Conversation, ack: number): number[] {
  s.receives({ seq: 1, ack });
  return starts(s);
}

/** Where the segments begin that were sent and not looked at. */
export function starts(s: Conversation): number[] {
  return s.sent().map(({ seg }) => (seg.seq - s.iss) | 0);
}

/** Segment numbers, from 1 on, as sequence numbers. */
export function segment(...numbers: number[]): number[] {
  return numbers.map((number) => (number - 1) * 1_000 + 1);
}

/** The blocks of the segments `first` to `last`. */
export function block(first: number, last: number = first): [number, number] {
  return [(first - 1) * 1_000 + 1, last * 1_000 + 1];
}
