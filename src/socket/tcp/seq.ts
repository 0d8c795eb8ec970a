/**
 * Sequence numbers: 32-bit, modulo 2^32, kept as signed integers (RFC 9293 3.4). They are compared and subtracted only
 * here: a difference is right as long as the two are less than 2^31 apart, wherever the numbers wrap.
 */

/** `a` < `b` */
export function seqLt(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** `a` =< `b` */
export function seqLeq(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0;
}

/** `a` > `b` */
export function seqGt(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/** `a` >= `b` */
export function seqGeq(a: number, b: number): boolean {
  return ((a - b) | 0) >= 0;
}

/** The sequence number `count` behind `a`; `count` may be negative. */
export function seqAdd(a: number, count: number): number {
  return (a + count) | 0;
}

/** How far `a` is ahead of `b`: a signed number of sequence numbers. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0;
}

/** The later of two. */
export function seqMax(a: number, b: number): number {
  return seqGt(a, b) ? a : b;
}
