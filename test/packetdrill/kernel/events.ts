import type { Value } from "../script.ts";
import { constant } from "./constants.ts";
import { number } from "./values.ts";

/** Bits of poll and epoll, which have the same. */
export const POLL = {
  IN: constant("POLLIN"),
  PRI: constant("POLLPRI"),
  OUT: constant("POLLOUT"),
  ERR: constant("POLLERR"),
  HUP: constant("POLLHUP"),
  NVAL: constant("POLLNVAL"),
  RDNORM: constant("POLLRDNORM"),
  WRNORM: constant("POLLWRNORM"),
  RDHUP: constant("POLLRDHUP"),
} as const;

/** Who waits for one of a kind is told of both. */
export function withNormal(mask: number): number {
  return mask | (mask & POLL.IN ? POLL.RDNORM : 0) | (mask & POLL.OUT ? POLL.WRNORM : 0);
}

/** A mask as a script would write it. */
export function toldBits(mask: number, prefix: "POLL" | "EPOLL"): Value {
  const names = Object.entries(POLL).flatMap(([name, bit]) => (mask & bit ? [`${prefix}${name}`] : []));
  return names.length === 0 ? number(mask) : { kind: "flags", names };
}
