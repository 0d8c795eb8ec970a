/**
 * Transfers over bad networks, from seeds: see `run.ts` for what must come out. What was run is kept, so that a run that is
 * stopped goes on where it was.
 *
 *   bun run soak [--seeds 10000] [--from 1] [--state soak.json] [--restart]
 *   bun run soak --seed N          one seed, with all it says
 *   bun run soak --transfer 10     so many GiB in memory, through as many wraps of the sequence numbers
 *   bun run soak --closings 1000 [--capture file.pcap]
 *                                  so many connections send 1 MiB each and close at once, over 50 ms and 2 % loss both ways
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { capture, pcapFile } from "../../devices/index.ts";
import type { Device } from "../../src/index.ts";
import { runCrowd } from "./closings.ts";
import { transferInMemory } from "./long-transfer.ts";
import { runSeed } from "./run.ts";
import { scenarioOf } from "./scenario.ts";

interface State {
  from: number;
  next: number;
  bytes: number;
  virtualMs: number;
  packets: number;
  retransmissions: number;
  wallMs: number;
  /** Connections that ended with an error, by what it was. */
  errors: Record<string, number>;
  /** Seeds of which something did not hold. */
  failed: number[];
}

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "10000" },
    from: { type: "string", default: "1" },
    state: { type: "string", default: "soak.json" },
    seed: { type: "string" },
    transfer: { type: "string" },
    closings: { type: "string" },
    capture: { type: "string" },
    restart: { type: "boolean", default: false },
  },
});
const SAVE_EVERY_MS = 2_000;

function whole(name: "seeds" | "from" | "seed" | "transfer" | "closings"): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 32) return value;
  console.error(`soak: --${name} wants a whole number, not ${values[name]}`);
  process.exit(2);
}

if (values.transfer !== undefined) {
  const started = performance.now();
  transferInMemory(whole("transfer") * 2 ** 30);
  const seconds = (performance.now() - started) / 1_000;
  console.log(`${values.transfer} GiB arrived as they were sent, in ${seconds.toFixed(0)} s`);
} else if (values.closings !== undefined) {
  await close(whole("closings"));
} else if (values.seed !== undefined) {
  console.log(JSON.stringify(scenarioOf(whole("seed")), null, 2));
  console.log(runSeed(whole("seed")));
} else {
  const state = soak(load());
  report(state);
  process.exit(state.failed.length > 0 ? 1 : 0);
}

async function close(connections: number): Promise<void> {
  const sink = values.capture === undefined ? null : pcapFile(values.capture);
  const wrap = (device: Device, clock: () => number) =>
    sink === null ? device : capture(device, sink, { clock });
  const started = performance.now();
  const outcome = await runCrowd({
    connections,
    bytes: 2 ** 20,
    loss: 0.02,
    delayMs: 50,
    seed: whole("from"),
    wrap,
  });
  const seconds = (performance.now() - started) / 1_000;
  console.log(outcome);
  console.log(`${seconds.toFixed(0)} s`);
  process.exit(outcome.delivered + outcome.errors.length === connections && outcome.resets === 0 ? 0 : 1);
}

function load(): State {
  const from = whole("from");
  if (!values.restart && existsSync(values.state)) {
    const kept: State = JSON.parse(readFileSync(values.state, "utf8"));
    if (kept.from === from) return kept;
  }
  const counts = { bytes: 0, virtualMs: 0, packets: 0, retransmissions: 0, wallMs: 0 };
  return { from, next: from, ...counts, errors: {}, failed: [] };
}

function soak(state: State): State {
  const end = state.from + whole("seeds");
  let savedAt = performance.now();
  while (state.next < end) {
    const started = performance.now();
    runOne(state);
    const now = performance.now();
    state.wallMs += now - started;
    if (now - savedAt < SAVE_EVERY_MS) continue;
    savedAt = now;
    save(state);
    process.stderr.write(`\r${state.next - state.from} of ${end - state.from} seeds`);
  }
  process.stderr.write("\r\x1b[K");
  save(state);
  return state;
}

function runOne(state: State): void {
  const seed = state.next++;
  try {
    const { bytes, ms, packets, retransmissions, failure } = runSeed(seed);
    state.bytes += bytes;
    state.virtualMs += ms;
    state.packets += packets;
    state.retransmissions += retransmissions;
    if (failure !== null) state.errors[failure] = (state.errors[failure] ?? 0) + 1;
  } catch (error) {
    state.failed.push(seed);
    console.error(`\r${(error as Error).message}\n`);
  }
}

function save(state: State): void {
  writeFileSync(values.state, `${JSON.stringify(state)}\n`);
}

function report(state: State): void {
  const { from, next, bytes, virtualMs, packets, retransmissions, wallMs, errors, failed } = state;
  const many = (value: number) => Math.round(value).toLocaleString("en-US");
  console.log(`${many(next - from)} seeds from ${from} on, in ${many(wallMs / 1_000)} s of computing`);
  console.log(`${many(virtualMs / 3_600_000)} hours of virtual time, ${many(packets)} packets`);
  console.log(`${many(bytes)} bytes delivered, ${many(retransmissions)} segments sent again`);
  const reported = Object.entries(errors).map(([code, count]) => `${code} ${count}`);
  console.log(`connections that ended with an error: ${reported.join(", ") || "none"}`);
  console.log(`seeds that failed: ${failed.join(", ") || "none"}`);
}
