/**
 * What the stack costs without a kernel: two of them in one thread, joined by a memory pair, and one of them with a
 * million idle connections. Each part runs in a process of its own.
 *
 *   bun bench/memory.ts [--rounds 5] [--mib 1024] [--connections 60000] [--idle 1000000] [--paced 200]
 *                       [--segments 1000000] [--json FILE] [--details]
 *
 * `--json` writes every single measurement. `--details` leaves out the first table.
 */

import { join } from "node:path";
import { collectionsOf } from "../test/support/collections.ts";
import { printGoals, writeReport } from "./goals.ts";
import { bulk } from "./memory/bulk.ts";
import { connections } from "./memory/connections.ts";
import { frames } from "./memory/floors.ts";
import { idle } from "./memory/idle.ts";
import { AT_A_TIME, IDLE, memoryRows, printDetails, type Sizes, WAYS } from "./memory/tables.ts";
import { describeMachine, flag, interleaved, Samples, WARM_UPS, word } from "./support.ts";

/** A part that has not ended by then has gone wrong. */
const PART_TIMEOUT_MS = 600_000;
const MIB = 1024 * 1024;

const rounds = flag("rounds", 5);
/** Exchanges at 10 KB/s. */
const paced = flag("paced", 200);
const sizes: Sizes = {
  mib: flag("mib", 1024),
  connections: flag("connections", 60_000),
  idle: flag("idle", 1_000_000),
  segments: flag("segments", 1_000_000),
};

const bytes = sizes.mib * MIB;
const exchanges = sizes.segments / 10;

async function collections(way: string): Promise<number> {
  const child = join(import.meta.dir, "../test/stack/allocation-child.ts");
  const count = await collectionsOf(child, way, `${sizes.segments / 5}`, `${sizes.segments}`, "0");
  return (count * 1_000_000) / sizes.segments;
}

/** What `run` comes to when it is warm. */
function warmed<T>(run: () => T): T {
  for (let i = 0; i < WARM_UPS; i++) run();
  return run();
}

type Part = () => object | Promise<object>;

const PARTS: Record<string, Part> = {
  "without checksums": () => bulk(bytes, { checksumOffload: true }),
  "with checksums": () => bulk(bytes, {}),
  "super-segments": () => bulk(bytes, { offload: true }),
  "one at a time": () => ({ rate: warmed(() => connections(sizes.connections, 1)) }),
  "many at a time": () => ({ rate: warmed(() => connections(sizes.connections, AT_A_TIME)) }),
};
for (const [part, { count, used }] of Object.entries(IDLE)) {
  PARTS[part] = () => idle({ count: count(sizes), used, paced, exchanges });
}
for (const way of WAYS) PARTS[way] = async () => ({ collections: await collections(way) });
for (const batch of [1, 64]) {
  PARTS[`frames, ${batch}`] = () => ({ ns: warmed(() => frames(2 * sizes.segments, batch)) });
}

/** Runs one part in a process of its own, so that neither heap nor compiled code of another one is in its way. */
function apart(part: string): Record<string, number> {
  const command = [process.execPath, import.meta.path, "--part", part, ...process.argv.slice(2)];
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, { timeout: PART_TIMEOUT_MS });
  if (exitCode !== 0) throw new Error(`${part}: ${stderr.toString().trim() || "it did not end in time"}`);
  return JSON.parse(stdout.toString());
}

async function main(): Promise<void> {
  const samples = new Samples();
  await interleaved(
    rounds,
    Object.keys(PARTS).map((part) => () => {
      for (const [key, value] of Object.entries(apart(part))) samples.add(`${part}: ${key}`, value);
    }),
  );
  const values = (part: string, key: string) => samples.of(`${part}: ${key}`);
  console.log(`${describeMachine()}; median (lowest .. highest) of ${rounds} interleaved runs\n`);
  const rows = memoryRows(values, sizes);
  printGoals(rows);
  printDetails(values, sizes);
  writeReport(word("json"), rounds, rows, samples.all());
}

const part = word("part");
if (part === undefined) await main();
else console.log(JSON.stringify(await PARTS[part]()));
