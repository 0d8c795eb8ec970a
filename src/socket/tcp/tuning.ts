import { requireWhole, StackError } from "../../errors.ts";
import { flightSize, type Tcb } from "./tcb.ts";
import { FEWEST_UNITS, LARGEST_BUFFER } from "./window.ts";

/**
 * What a program may set for one connection, or for those that a listener is to get: sizes in bytes. A connection shares
 * the record of its listener, so nobody changes one: `tuned` makes another.
 */
export interface Tuning {
  /** The receive buffer's size, which then does not grow; 0 for the stack's `receiveBuffer`, which does. */
  readonly receiveBuffer: number;
  /** The send buffer's size, which then does not grow; 0 for the stack's `sendBuffer`, which does. */
  readonly sendBuffer: number;
  /**
   * As long as so much waits to be sent for the first time, `write` takes no more; what is under way does not count. So what
   * a program writes is what it last decided to, as with Linux's TCP_NOTSENT_LOWAT. No limit by default.
   */
  readonly notSentLimit: number;
  /** The IP header's type of service, 0 to 255; its two ECN bits are the stack's own (RFC 2474, RFC 3168). */
  readonly typeOfService: number;
  /** Hops that packets may take: 1 to 255, 64 unless told. */
  readonly timeToLive: number;
}

/** What `listen`, `connect` and `tune` take of it: what is absent stays as it is. */
export interface TuningOptions extends Partial<Tuning> {}

/** Of a connection that nothing was set for. */
export const UNTUNED: Tuning = {
  receiveBuffer: 0,
  sendBuffer: 0,
  notSentLimit: Number.POSITIVE_INFINITY,
  typeOfService: 0,
  timeToLive: 64,
};

/**
 * `tuning` with changes; other members that `changes` may have are left alone.
 *
 * @throws StackError EINVAL
 */
export function tuned(tuning: Tuning, changes: TuningOptions): Tuning {
  if (changesNothing(changes)) return tuning;
  const next: Tuning = {
    receiveBuffer: changes.receiveBuffer ?? tuning.receiveBuffer,
    sendBuffer: changes.sendBuffer ?? tuning.sendBuffer,
    notSentLimit: changes.notSentLimit ?? tuning.notSentLimit,
    typeOfService: changes.typeOfService ?? tuning.typeOfService,
    timeToLive: changes.timeToLive ?? tuning.timeToLive,
  };
  requireWhole("receiveBuffer", next.receiveBuffer, 0, LARGEST_BUFFER);
  requireWhole("sendBuffer", next.sendBuffer, 0, LARGEST_BUFFER);
  requireWhole("typeOfService", next.typeOfService, 0, 255);
  requireWhole("timeToLive", next.timeToLive, 1, 255);
  if (!(next.notSentLimit >= 1)) {
    throw new StackError(
      "EINVAL",
      `notSentLimit must be a number of bytes from 1 on, not ${next.notSentLimit}`,
    );
  }
  return next;
}

/** Connections that want nothing in particular share one record. */
function changesNothing(changes: TuningOptions): boolean {
  return (
    changes.receiveBuffer === undefined &&
    changes.sendBuffer === undefined &&
    changes.notSentLimit === undefined &&
    changes.typeOfService === undefined &&
    changes.timeToLive === undefined
  );
}

/** Gives a connection another tuning: its buffers become what that says, its segments are settled by the SYNs. */
export function applyTuning(tcb: Tcb, tuning: Tuning): void {
  tcb.tuning = tuning;
  if (tuning.receiveBuffer > 0) {
    tcb.receiveBuffer.resize(Math.max(tuning.receiveBuffer, FEWEST_UNITS << tcb.rcvWindShift));
  }
  if (tuning.sendBuffer > 0) tcb.sendBuffer.resize(tuning.sendBuffer);
}

/** Bytes that wait to be sent for the first time. */
export function notSent(tcb: Tcb): number {
  // A SYN or a FIN that is under way is in no buffer.
  return Math.max(tcb.sendBuffer.length - flightSize(tcb), 0);
}

/** How much of `length` bytes the program may write, as far as what waits is concerned. */
export function withinNotSentLimit(tcb: Tcb, length: number): number {
  const { notSentLimit } = tcb.tuning;
  return notSentLimit === Number.POSITIVE_INFINITY
    ? length
    : Math.min(length, Math.max(notSentLimit - notSent(tcb), 0));
}

/** Is the program to be woken for what it may write? Half of what may wait is gone, as with the buffer. */
export function isBelowNotSentLimit(tcb: Tcb): boolean {
  return 2 * notSent(tcb) < tcb.tuning.notSentLimit;
}

/** Most that the buffers may grow to, in bytes. */
export function receiveBufferLimit(tcb: Tcb): number {
  return tcb.tuning.receiveBuffer || tcb.context.tcp.maxReceiveBuffer;
}

export function sendBufferLimit(tcb: Tcb): number {
  return tcb.tuning.sendBuffer || tcb.context.tcp.maxSendBuffer;
}
