/** A worker's side of `startWorkers`. */

import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { StackError } from "../src/errors.ts";
import type { WorkerPlace } from "../src/wire/worker-share.ts";
import type { Config } from "./config-complete.ts";
import { type OpenedConfig, openInterfaces } from "./config-open.ts";
import type { Counters, Order, Report, WorkerOrders } from "./worker-messages.ts";
import type { WorkerShare } from "./worker-share.ts";

/** What a worker's program has to work with. */
export interface WorkerContext {
  /** For `open`, so that connections that are opened here get their answers. */
  readonly worker: WorkerPlace;
  /** Its part of the devices, for `open`. */
  readonly interfaces: readonly OpenedConfig[];
  readonly config: Config;
  /** What `startWorkers` was given. */
  readonly data: unknown;
}

/** What is to be counted and, in the end, closed: a `Host`, for example. */
export interface WorkerProgram {
  /** Numbers by name. */
  readonly stats: object;
  close(): Promise<unknown>;
}

/** Whether this is a worker of `startWorkers`. */
export function isWorker(): boolean {
  return !isMainThread && (workerData as Partial<WorkerOrders> | null)?.tapwire === true;
}

/**
 * Runs a program in a worker that `startWorkers` has started: opens this worker's part of the devices and, once every worker
 * has its own, calls `start`. When `startWorkers` is told to close, what `start` has returned is closed.
 *
 * @param start opens a host on the devices, with `worker`, and the ports that it serves
 * @throws StackError `EINVAL` where this is no such worker
 *
 * @example
 * ```ts
 * if (isWorker()) {
 *   await runWorker(async ({ interfaces, worker, config }) => {
 *     const host = await open({ ...config.stack, interfaces, worker });
 *     serve(host);
 *     return host;
 *   });
 * }
 * ```
 */
export async function runWorker(start: (context: WorkerContext) => Promise<WorkerProgram>): Promise<void> {
  if (!isWorker() || parentPort === null) {
    throw new StackError("EINVAL", "This is no worker of startWorkers: ask isWorker() before.");
  }
  const port = parentPort;
  const { worker, config, data } = workerData as WorkerOrders;
  const report = (message: Report) => port.postMessage(message);
  let share: WorkerShare = { worker, lines: [], opened: [] };
  let interfaces: readonly OpenedConfig[] = [];
  let program: WorkerProgram | null = null;
  const counters = (): Counters => countersOf(program, share);

  const obey = async (order: Order): Promise<void> => {
    switch (order.type) {
      case "open":
        share = { worker, lines: order.lines, opened: [] };
        interfaces = openInterfaces(config, { share });
        report({ type: "opened", lines: interfaces.map((each, i) => openedLine(each, share, i)) });
        return;
      case "start":
        program = await start({ worker, interfaces, config, data });
        report({ type: "started" });
        return;
      case "count":
        report({ type: "counted", id: order.id, counters: counters() });
        return;
      case "close":
        await program?.close();
        for (const { device } of interfaces) device.close();
        report({ type: "closed", counters: counters() });
        port.close();
    }
  };
  port.on("message", (order: Order) => {
    obey(order).catch((error: unknown) => {
      const code = error instanceof StackError ? error.code : null;
      report({ type: "failed", code, message: error instanceof Error ? error.message : String(error) });
    });
  });
}

function openedLine({ name, mtu }: OpenedConfig, share: WorkerShare, i: number) {
  const { capabilities, fanoutGroup } = share.opened[i];
  return { name, mtu, hardwareAddress: capabilities.hardwareAddress, fanoutGroup };
}

function countersOf(program: WorkerProgram | null, share: WorkerShare): Counters {
  const counters: Counters = {};
  for (const [name, value] of Object.entries(program?.stats ?? {})) {
    if (typeof value === "number") counters[name] = value;
  }
  const sum = { framesGiven: 0, framesTaken: 0, framesGivenLost: 0 };
  for (const { handOver } of share.opened) {
    sum.framesGiven += handOver.given;
    sum.framesTaken += handOver.taken;
    sum.framesGivenLost += handOver.lost;
  }
  return { ...counters, ...sum };
}
