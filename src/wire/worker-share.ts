/**
 * Which of several stacks with the same addresses a packet is for, where its port or identifier says so. Each has a share
 * of the ephemeral ports and of the echo identifiers, so that what answers it can be told from what answers another one:
 * by the stacks, by whoever hands packets over between them, and by the kernel where a filter of ours does it.
 */

import { requireWhole } from "../errors.ts";

/** The dynamic ports of RFC 6056 3.2: 49152 to 65535. */
export const FIRST_EPHEMERAL = 49_152;
/** 2 to the power of this are ephemeral, and of the other identify echo requests. */
export const EPHEMERAL_BITS = 14;
export const IDENTIFIER_BITS = 16;

export const MOST_WORKERS = 64;

/** One of several stacks with the same addresses, which share nothing else. */
export interface WorkerPlace {
  /** 0 .. `count` - 1, each once. */
  readonly index: number;
  /** How many there are, 1 .. 64. */
  readonly count: number;
}

/** A stack that has its addresses for itself. */
export const ALONE: WorkerPlace = { index: 0, count: 1 };

/** @throws StackError EINVAL */
export function checkPlace({ index, count }: WorkerPlace): void {
  requireWhole("worker.count", count, 1, MOST_WORKERS);
  requireWhole("worker.index", index, 0, count - 1);
}

/** The worker that an ephemeral port belongs to; -1 for a port below, which is everybody's. */
export function portOwner(port: number, count: number): number {
  return port < FIRST_EPHEMERAL ? -1 : ((port - FIRST_EPHEMERAL) * count) >>> EPHEMERAL_BITS;
}

/** The worker that an echo identifier belongs to. */
export function identifierOwner(identifier: number, count: number): number {
  return (identifier * count) >>> IDENTIFIER_BITS;
}

/** Where a worker's share of 2 to the power of `bits` numbers begins; with the next index, where it ends. */
export function shareStart(index: number, count: number, bits: number): number {
  return Math.ceil((index * 2 ** bits) / count);
}
