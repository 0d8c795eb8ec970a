import type { Call, Value } from "../script.ts";

/** What a system call gave: the number it returned, the error's name where that is -1, and what it wrote through pointers. */
export interface CallResult {
  readonly value: bigint;
  /** `ECONNREFUSED`; `null` where the call succeeded. */
  readonly errno: string | null;
  /** Out-arguments by their place among the call's arguments, from 0, as a script would write them. */
  readonly out: ReadonlyMap<number, Value>;
}

/** A system call under way, or over. */
export interface PendingCall {
  readonly call: Call;
  /** It has returned; a call that blocks does later, by `Kernel.progress`. */
  readonly done: boolean;
  /** `null` until it is done. */
  readonly result: CallResult | null;
  /**
   * How what it gave differs from what the script says of it, in words (`expected read to return 10, but it returned 5`),
   * or `null`: all is as expected. Only where it is done.
   */
  mismatch(): string | null;
}

/** A call, a constant or an argument that this kernel does not know: the script cannot be run. */
export class CallError extends Error {
  override readonly name = "CallError";
}

/** One attempt at a call: what it gives, or `null` where it has to wait. */
export type Attempt = (now: number) => CallResult | null;

/** A call that has begun: tried now and after every poll, until it gives something or its time is over. */
export interface Begun {
  readonly attempt: Attempt;
  /** ms; no end by default. */
  readonly until?: number;
  /** What it gives at `until`. */
  readonly atEnd?: () => CallResult;
}

const NOTHING: ReadonlyMap<number, Value> = new Map();

export function gives(value: number | bigint, out: ReadonlyMap<number, Value> = NOTHING): CallResult {
  return { value: BigInt(value), errno: null, out };
}

export function fails(errno: string): CallResult {
  return { value: -1n, errno, out: NOTHING };
}
