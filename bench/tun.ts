/**
 * What a kernel is needed for beside bulk on one connection: a thousand flows at once, connections a second, requests and
 * answers, processor time beside lwIP's, and how soon a server is there. All sides take turns, in network namespaces of their
 * own. Root, Linux. What can't be built is left out.
 *
 *   bun bench/tun.ts [--rounds 5] [--seconds 2] [--only flows,accept,request,processor,start] [--no-peers]
 *                    [--peers DIRECTORY] [--json FILE] [--details]
 *
 * `--peers` keeps what is built for the next run; `--no-peers` builds none of them. `--json` writes every single measurement.
 * `--details` leaves out the first table, but for the rows of which nothing is asked.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { requirement } from "../test/support/system.ts";
import { buildClient, buildLoad, buildLwip } from "./servers.ts";
import { describeMachine, interleaved, median, printTable, spread } from "./support.ts";
import { openAccept } from "./tun/accept.ts";
import { type Contest, isMet, type Row, type Series, type Setting, valuesOf } from "./tun/contest.ts";
import { openFlows } from "./tun/flows.ts";
import { openProcessor } from "./tun/processor.ts";
import { openRequests } from "./tun/request.ts";
import { openStart } from "./tun/start.ts";

const PARTS: Readonly<Record<string, readonly ((setting: Setting) => Promise<Contest>)[]>> = {
  flows: [(setting) => openFlows(setting, true), (setting) => openFlows(setting, false)],
  accept: [openAccept],
  request: [openRequests],
  processor: [openProcessor],
  start: [openStart],
};

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    only: { type: "string", default: Object.keys(PARTS).join(",") },
    peers: { type: "string" },
    "no-peers": { type: "boolean", default: false },
    json: { type: "string" },
    details: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
/** A thousand slow starts are over by then, and the engines have compiled what runs often. */
const warmSeconds = Math.min(1, seconds);

function verdict(row: Row): string {
  const met = isMet(row);
  return met === null ? "" : met ? "met" : "missed";
}

function print(contests: readonly Contest[]): void {
  const rows = contests
    .flatMap((contest) => contest.rows)
    .filter((row) => !values.details || row.target === null);
  printTable(
    ["", "median (lowest .. highest)", "target", ""],
    rows.map((row) => [
      row.measure,
      spread(valuesOf(row), row.reference === null ? row.subject.digits : 2),
      row.target === null ? "" : `${row.target.bound} ${row.target.value}`,
      verdict(row),
    ]),
  );
  printTable(
    ["", "median (lowest .. highest)", ""],
    contests
      .flatMap(({ series }) => series)
      .map(({ name, unit, digits, values }) => [name, spread(known(values), digits), unit]),
  );
}

const known = (numbers: readonly number[]) => numbers.filter((number) => !Number.isNaN(number));

function writeJson(file: string, contests: readonly Contest[]): void {
  const plain = ({ name, unit, values }: Series) => ({ name, unit, values });
  const rows = contests.flatMap((contest) =>
    contest.rows.map((row) => {
      const numbers = valuesOf(row);
      return {
        name: row.name,
        measure: row.measure,
        unit: row.reference === null ? row.subject.unit : "ratio",
        median: numbers.length === 0 ? null : median(numbers),
        values: numbers,
        target: row.target,
        met: isMet(row),
        subject: plain(row.subject),
        reference: row.reference === null ? null : plain(row.reference),
      };
    }),
  );
  const about = { machine: describeMachine(), date: new Date().toISOString(), rounds, seconds };
  const measured = contests.flatMap((contest) => contest.series.map(plain));
  writeFileSync(file, `${JSON.stringify({ ...about, rows, measured }, null, 1)}\n`);
}

const reason = requirement(["tun", "cc", "ping", "pgrep", "sysctl"]);
if (reason !== null) {
  console.log(`bench/tun.ts ${reason}`);
  process.exit(1);
}
const into = values.peers ?? mkdtempSync(join(tmpdir(), "tapwire-bench-"));
mkdirSync(into, { recursive: true });
const contests: Contest[] = [];
try {
  const parts = values.only.split(",").flatMap((name) => {
    if (PARTS[name] !== undefined) return PARTS[name];
    throw new Error(`--only has no "${name}": choose from ${Object.keys(PARTS).join(", ")}`);
  });
  const setting: Setting = {
    seconds,
    warmSeconds,
    directory: into,
    load: await buildLoad(into),
    client: await buildClient(into),
    lwip: values["no-peers"] || !values.only.includes("processor") ? null : await buildLwip(into),
  };
  for (const open of parts) contests.push(await open(setting));
  await interleaved(
    rounds,
    contests.flatMap(({ measurements }) => measurements),
  );
  console.log(`${describeMachine()}; ${rounds} rounds of ${seconds} s\n`);
  print(contests);
  if (values.json !== undefined) writeJson(values.json, contests);
} finally {
  await Promise.all(contests.map((contest) => contest.close()));
  if (values.peers === undefined) rmSync(into, { recursive: true });
}
