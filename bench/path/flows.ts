/** Connections over one emulated path, and what they have moved. */

import { type EmulatedPath, type End, reportOf, untilSaid } from "./emulated-path.ts";
import { BUCKET_MS, type Received } from "./meter.ts";

export type Stack = "kernel" | "tapwire";

/** One connection: A sends, B receives. */
export interface Flow {
  readonly sender: Stack;
  readonly receiver: Stack;
  /** The sender's congestion control, as the kernel calls it. */
  readonly cc: string;
}

export interface FlowOptions {
  /** From the acceptance of a connection; 0 to send `bytes` instead. */
  readonly seconds: number;
  readonly bytes: number;
  /** Bytes of each of tapwire's buffers; 0 for as many as the stack thinks right. */
  readonly buffer: number;
  /** Until everything must be over. */
  readonly timeoutMs: number;
}

/** What a sender has to say: its state at the end, and of tapwire its counters. */
export interface Sent {
  readonly sha256?: string;
  readonly info: Record<string, number | string | null>;
  readonly stats?: Record<string, number>;
}

export interface FlowResult {
  readonly received: Received;
  readonly sent: Sent;
}

const FIRST_PORT = 9000;
/** For a sender to end after its receiver. */
const END_MS = 5000;

/** Runs connections beside each other over one path. */
export async function runFlows(
  path: EmulatedPath,
  flows: readonly Flow[],
  options: FlowOptions,
): Promise<FlowResult[]> {
  const { seconds, bytes, timeoutMs } = options;
  const start = (stack: Stack, side: "a" | "b", ...flags: string[]): End =>
    stack === "kernel"
      ? path.kernelEnd(side, ...flags)
      : path.tapwireEnd(side, ...flags, "--buffer", `${options.buffer}`);
  const receivers = flows.map(({ receiver }, i) =>
    start(receiver, "b", "receive", "--port", `${FIRST_PORT + i}`, "--seconds", `${seconds}`),
  );
  await Promise.all(receivers.map((end) => untilSaid(end, "listening")));
  const senders = flows.map(({ sender, cc }, i) => {
    const to = ["--to", receivers[i].address, "--port", `${FIRST_PORT + i}`];
    return start(sender, "a", "send", ...to, "--cc", cc, "--bytes", `${bytes}`);
  });
  // All begin together, however long each has warmed up.
  await Promise.all(senders.map((end) => untilSaid(end, "ready")));
  await Promise.all(senders.map(({ running }) => running.write("\n")));
  // A sender that fails is not waited for.
  const failed = senders.map(async ({ running }) => {
    const { exitCode, stderr } = await running.end(timeoutMs + END_MS);
    if (exitCode !== 0) throw new Error(`a sender failed: ${stderr}`);
    return new Promise<never>(() => {});
  });
  for (const each of failed) each.catch(() => {});
  const reports = Promise.all(receivers.map((receiver) => reportOf<Received>(receiver, timeoutMs)));
  const received = await Promise.race([reports, ...failed]);
  for (const { running } of senders) running.closeInput();
  const sent = await Promise.all(senders.map((sender) => reportOf<Sent>(sender, END_MS)));
  return received.map((each, i) => ({ received: each, sent: sent[i] }));
}

/** Mbit/s from a second on, which is 0 for all of it. */
export function goodput({ buckets, bytes, seconds }: Received, from = 0): number {
  if (from === 0) return (bytes * 8) / seconds / 1e6;
  const first = Math.round((from * 1000) / BUCKET_MS);
  let sum = 0;
  for (let i = first; i < buckets.length; i++) sum += buckets[i];
  return (sum * 8) / (seconds - (first * BUCKET_MS) / 1000) / 1e6;
}
