/** What workers share, and each has to know to open its part of a device. */

import type { WorkerPlace } from "../src/wire/worker-share.ts";
import type { Fanout } from "./raw.ts";
import type { WorkerDevice } from "./worker-device.ts";

/** What the workers share of one device. */
export interface WorkerLine {
  /** Where they hand frames over: see `HandOver`. */
  readonly memory: SharedArrayBuffer;
  /** An eventfd for each worker. */
  readonly bells: readonly number[];
  /** The kernel gives each worker what is its own, but for what is about neighbours. */
  readonly divided: boolean;
  /** What stands in the place of the configuration's own settings. */
  readonly settings: LineSettings;
}

export interface LineSettings {
  readonly name?: string;
  readonly hardwareAddress?: Uint8Array;
  readonly multiQueue?: boolean;
  readonly fanout?: Fanout;
}

/** What one worker has of the devices. */
export interface WorkerShare {
  readonly worker: WorkerPlace;
  /** One for each device of the configuration. */
  readonly lines: readonly WorkerLine[];
  /** Its parts of the devices, as far as they are open. */
  readonly opened: WorkerDevice[];
}

/** `frames.pcap` is `frames-worker0.pcap` for the first worker. */
export function workerFile(path: string, index: number): string {
  const dot = path.lastIndexOf(".");
  const end = dot > path.lastIndexOf("/") + 1 ? dot : path.length;
  return `${path.slice(0, end)}-worker${index}${path.slice(end)}`;
}
