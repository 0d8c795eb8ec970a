/** What the main thread and its workers say to each other. */

import type { ErrorCode } from "../src/errors.ts";
import type { WorkerPlace } from "../src/wire/worker-share.ts";
import type { Config } from "./config-complete.ts";
import type { WorkerLine } from "./worker-share.ts";

/** Numbers by name: the counters of a stack, with those of the hand-over. */
export type Counters = Record<string, number>;

/** What a worker is started with. */
export interface WorkerOrders {
  /** Tells a worker of `startWorkers` from others. */
  readonly tapwire: true;
  readonly worker: WorkerPlace;
  readonly config: Config;
  /** The program's own. */
  readonly data: unknown;
}

/** To a worker. */
export type Order =
  /** Open your part of the devices: those before you have. */
  | { readonly type: "open"; readonly lines: readonly WorkerLine[] }
  /** All have: serve. */
  | { readonly type: "start" }
  | { readonly type: "count"; readonly id: number }
  | { readonly type: "close" };

/** What a worker has found out about a device by opening it. */
export interface OpenedLine {
  readonly name: string | null;
  readonly mtu: number;
  readonly hardwareAddress: Uint8Array | undefined;
  readonly fanoutGroup: number;
}

/** From a worker. */
export type Report =
  | { readonly type: "opened"; readonly lines: readonly OpenedLine[] }
  | { readonly type: "started" }
  | { readonly type: "counted"; readonly id: number; readonly counters: Counters }
  | { readonly type: "closed"; readonly counters: Counters }
  | { readonly type: "failed"; readonly code: ErrorCode | null; readonly message: string };

/** The sum of each counter. */
export function addUp(list: readonly Counters[]): Counters {
  const sum: Counters = {};
  for (const counters of list) {
    for (const [name, value] of Object.entries(counters)) sum[name] = (sum[name] ?? 0) + value;
  }
  return sum;
}
