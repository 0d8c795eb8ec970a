/** Several workers on the same devices, each with a stack of its own: what the main thread does for them. */

import { Worker } from "node:worker_threads";
import { StackError } from "../src/errors.ts";
import type { Config, DeviceConfig } from "./config-complete.ts";
import { handOverMemory } from "./hand-over.ts";
import { libc } from "./linux/libc.ts";
import { randomStationAddress } from "./linux/station-address.ts";
import {
  addUp,
  type Counters,
  type OpenedLine,
  type Order,
  type Report,
  type WorkerOrders,
} from "./worker-messages.ts";
import type { LineSettings, WorkerLine } from "./worker-share.ts";

export interface StartWorkersOptions {
  /** Handed to each worker: anything that can be cloned. */
  readonly data?: unknown;
}

/** The counters of all workers. */
export interface WorkerCounters {
  /** Each counter of `Host.stats`, added up, and how many frames workers have handed to each other: `framesGiven`. */
  readonly total: Counters;
  readonly each: readonly Counters[];
}

const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;
/** A worker that does not close in time is ended. */
const CLOSE_TIMEOUT_MS = 5_000;

/** Workers that serve. */
export class Workers {
  /** The devices, as the first worker has opened them. */
  readonly devices: readonly OpenedLine[];
  /** Resolves when `close` is done; rejects when a worker has failed, and after that all are closed. */
  readonly ended: Promise<void>;
  private readonly crew: readonly Member[];
  private readonly lines: readonly WorkerLine[];
  private readonly end = Promise.withResolvers<void>();
  private closing: Promise<WorkerCounters> | null = null;
  private failure: Error | null = null;

  /** Made by `startWorkers`. */
  constructor(crew: readonly Member[], lines: readonly WorkerLine[], devices: readonly OpenedLine[]) {
    this.crew = crew;
    this.lines = lines;
    this.devices = devices;
    this.ended = this.end.promise;
    this.ended.catch(() => {});
    for (const member of crew) {
      void member.failed.then((error) => {
        if (this.closing !== null) return;
        this.failure = error;
        void this.close();
      });
    }
  }

  /** What all workers have counted until now. */
  async counters(): Promise<WorkerCounters> {
    const each = await Promise.all(this.crew.map((member) => member.count()));
    return { total: addUp(each), each };
  }

  /** Closes every worker's host, then its devices, and ends them. Returns the last counters. Twice is fine. */
  close(): Promise<WorkerCounters> {
    this.closing ??= this.closeAll();
    return this.closing;
  }

  private async closeAll(): Promise<WorkerCounters> {
    const each = await Promise.all(this.crew.map((member) => member.close()));
    closeBells(this.lines);
    if (this.failure === null) this.end.resolve();
    else this.end.reject(this.failure);
    return { total: addUp(each), each };
  }
}

/** One worker, as the main thread sees it. */
class Member {
  /** Resolves, with the reason, if it fails. */
  readonly failed: Promise<Error>;
  private readonly worker: Worker;
  private readonly index: number;
  private readonly failure = Promise.withResolvers<Error>();
  private readonly exit = Promise.withResolvers<void>();
  private answer = Promise.withResolvers<Report>();
  private readonly counts = new Map<number, (counters: Counters) => void>();
  private counted = 0;
  private last: Counters = {};

  constructor(program: string | URL, orders: WorkerOrders) {
    this.index = orders.worker.index;
    this.failed = this.failure.promise;
    this.worker = new Worker(new URL(program, import.meta.url), { workerData: orders });
    this.worker.on("message", (report: Report) => this.hear(report));
    this.worker.on("error", (error: unknown) =>
      this.fail(error instanceof Error ? error : new Error(String(error))),
    );
    this.worker.on("exit", () => {
      this.fail(new Error("it ended by itself"));
      this.exit.resolve();
    });
  }

  private fail(reason: Error): void {
    const sentence = `Worker ${this.index} failed: ${reason.message}`;
    const error =
      reason instanceof StackError ? reason : Object.assign(new Error(sentence, { cause: reason }));
    this.failure.resolve(error);
  }

  private hear(report: Report): void {
    switch (report.type) {
      case "counted":
        this.counts.get(report.id)?.(report.counters);
        this.counts.delete(report.id);
        return;
      case "failed":
        this.fail(
          report.code === null ? new Error(report.message) : new StackError(report.code, report.message),
        );
        return;
      default:
        this.answer.resolve(report);
        this.answer = Promise.withResolvers();
    }
  }

  /** Tells it to do something, and waits for the answer. */
  async order(order: Order): Promise<Report> {
    const { promise } = this.answer;
    this.worker.postMessage(order);
    const first = await Promise.race([promise, this.failed]);
    if (first instanceof Error) throw first;
    return first;
  }

  async count(): Promise<Counters> {
    const id = ++this.counted;
    const { promise, resolve } = Promise.withResolvers<Counters>();
    this.counts.set(id, resolve);
    this.worker.postMessage({ type: "count", id } satisfies Order);
    const first = await Promise.race([promise, this.failed]);
    if (!(first instanceof Error)) this.last = first;
    return this.last;
  }

  async close(): Promise<Counters> {
    const limit = Promise.withResolvers<null>();
    const timer = setTimeout(() => limit.resolve(null), CLOSE_TIMEOUT_MS);
    const report = await Promise.race([this.order({ type: "close" }).catch(() => null), limit.promise]);
    clearTimeout(timer);
    if (report?.type === "closed") this.last = report.counters;
    await this.worker.terminate();
    return this.last;
  }
}

/**
 * Starts `config.workers` workers that run the same program, each with a stack of its own on the same devices: a queue of
 * the TUN or TAP interface each, or a packet socket each of a raw one. The program calls `runWorker`. It is up when
 * every worker serves; a connection stays on one worker for its life.
 *
 * Where a worker fails, `ended` rejects and all are closed: the kernel would give connections of the others to other
 * workers than before, where nobody knows them.
 *
 * @param program the address of the module that the workers run, for example `import.meta.url`
 * @throws StackError what opening the devices throws in a worker, what the program's `start` throws; nothing stays open then
 *
 * @example
 * ```ts
 * async function run(config: Config, program: URL): Promise<void> {
 *   const workers = await startWorkers(config, program);
 *   process.on("SIGTERM", () => workers.close());
 *   await workers.ended;
 * }
 * ```
 */
export async function startWorkers(
  config: Config,
  program: string | URL,
  options: StartWorkersOptions = {},
): Promise<Workers> {
  const count = config.workers ?? 1;
  let lines = config.devices.map((device) => newLine(device, count));
  const crew: Member[] = [];
  try {
    for (let index = 0; index < count; index++) {
      crew.push(new Member(program, { tapwire: true, worker: { index, count }, config, data: options.data }));
    }
    let devices: readonly OpenedLine[] = [];
    // One after the other: the first makes what the others join, and the kernel counts them in this order.
    for (const member of crew) {
      const report = await member.order({ type: "open", lines });
      if (report.type !== "opened" || devices.length > 0) continue;
      devices = report.lines;
      lines = lines.map((line, i) => joinable(line, devices[i]));
    }
    await Promise.all(crew.map((member) => member.order({ type: "start" })));
    return new Workers(crew, lines, devices);
  } catch (error) {
    await Promise.all(crew.map((member) => member.close()));
    closeBells(lines);
    throw error;
  }
}

function newLine(device: DeviceConfig, count: number): WorkerLine {
  const bells = Array.from({ length: count }, () => libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const divided = device.type === "raw";
  return { memory: handOverMemory(count), bells, divided, settings: firstSettings(device, count) };
}

function firstSettings({ type, hardwareAddress }: DeviceConfig, count: number): LineSettings {
  if (type === "raw") {
    const [a, b] = crypto.getRandomValues(new Uint32Array(2));
    return { fanout: { group: -1, count, key: [a | 1, b | 1] } };
  }
  const own =
    type === "tap" && hardwareAddress === undefined ? { hardwareAddress: randomStationAddress() } : {};
  return { multiQueue: true, ...own };
}

/** What the others need to know of what the first one has opened. */
function joinable(line: WorkerLine, { name, hardwareAddress, fanoutGroup }: OpenedLine): WorkerLine {
  const { settings } = line;
  return {
    ...line,
    settings: {
      ...settings,
      ...(name === null ? {} : { name }),
      ...(hardwareAddress === undefined ? {} : { hardwareAddress }),
      ...(settings.fanout === undefined ? {} : { fanout: { ...settings.fanout, group: fanoutGroup } }),
    },
  };
}

function closeBells(lines: readonly WorkerLine[]): void {
  for (const { bells } of lines) for (const bell of bells) libc().close(bell);
}
