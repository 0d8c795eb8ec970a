/** Whether many bytes arrive as they were sent. */

import { printTable } from "../support.ts";
import { EmulatedPath } from "./emulated-path.ts";
import { type Flow, runFlows } from "./flows.ts";

export interface TransferOptions {
  readonly bytes: number;
  /** Mbit/s, ms, percent. */
  readonly rate: number;
  readonly rtt: number;
  readonly loss: number;
  readonly cc: string;
  readonly seed: number;
  readonly buffer: number;
  readonly flows: readonly Flow[];
}

/** What a transfer may take at the slowest: bytes a second. */
const SLOWEST = 250_000;
const START_MS = 30_000;

/** Returns whether all has arrived in each direction. */
export async function transfer(options: TransferOptions): Promise<boolean> {
  const { bytes, rate, rtt, loss, seed, buffer } = options;
  const rows: string[][] = [];
  let right = true;
  for (const flow of options.flows) {
    const path = await EmulatedPath.open({ rate, rtt, loss, seed });
    try {
      const timeoutMs = START_MS + (bytes / SLOWEST) * 1000;
      const [{ received, sent }] = await runFlows(path, [flow], { seconds: 0, bytes, buffer, timeoutMs });
      const same = received.bytes === bytes && received.sha256 === sent.sha256;
      right &&= same;
      const { forth } = await path.close();
      rows.push([
        `${flow.sender} to ${flow.receiver}, ${flow.cc}`,
        `${received.bytes}`,
        same ? "equal" : "DIFFERENT",
        received.sha256!.slice(0, 16),
        received.seconds.toFixed(1),
        ((received.bytes * 8) / received.seconds / 1e6).toFixed(1),
        `${forth.received}`,
        `${forth.dropped}`,
        `${forth.queueDropped}`,
      ]);
    } finally {
      await path.close();
    }
  }
  const head = [
    "",
    "bytes",
    "hash",
    "SHA-256 begins",
    "seconds",
    "Mbit/s",
    "packets",
    "lost",
    "by the queue",
  ];
  printTable(head, rows);
  return right;
}
