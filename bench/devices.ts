/**
 * The kernel's TCP against tapwire on each device, beside the device's floor and other stacks: TUN, TAP, and a raw socket
 * on a veth pair, with and without offload. Each server is in a network namespace of its own, and all take turns.
 * Root, Linux. A peer that can't be built is left out.
 *
 *   bun bench/devices.ts [--rounds 5] [--seconds 2] [--only tun,tap,raw] [--offload on|off] [--pin]
 *                        [--peers DIRECTORY] [--json FILE] [--details]
 *
 * `--pin` puts the kernel's sockets on one core and the servers on another. `--peers` keeps what is built for the next
 * run. `--json` writes every single measurement. `--details` leaves out the first table.
 */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { requirement } from "../test/support/system.ts";
import { Arena, type Server } from "./arena.ts";
import type { DeviceType } from "./floor-link.ts";
import { atLeast, printGoals, type Row, ratios, writeReport } from "./goals.ts";
import { buildClient, buildPeers, FLOOR, GVISOR, GVISOR_GSO, LOOP, LWIP, ours, theirs } from "./servers.ts";
import { describeMachine, interleaved, median, printTable, spread, WARM_UPS } from "./support.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    only: { type: "string", default: "tun,tap,raw" },
    offload: { type: "string", default: "on,off" },
    pin: { type: "boolean", default: false },
    peers: { type: "string" },
    json: { type: "string" },
    details: { type: "boolean", default: false },
  },
});
/** Tapwire in a loop is to be at least so many times as fast as these. */
const TARGETS = [
  { offload: true, name: FLOOR, least: 0.5 },
  { offload: true, name: GVISOR_GSO, least: 1.5 },
  { offload: false, name: FLOOR, least: 0.9 },
  { offload: false, name: GVISOR, least: 1 },
  { offload: false, name: LWIP, least: 1 },
] as const;
const DIRECTIONS = [
  ["receives", "receiving"],
  ["sends", "sending"],
] as const;
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);

/** What was measured of one server, a number for each round; NaN where a measurement failed. */
class Results {
  /** Gbit/s that the server received and sent. */
  readonly receives: number[] = [];
  readonly sends: number[] = [];
  /** The same for each second of the server's processor time. */
  readonly receivesPerCpu: number[] = [];
  readonly sendsPerCpu: number[] = [];
  /** Medians of 500 pings, us. */
  readonly ping: number[] = [];
  /** Percent of a core, without traffic. */
  readonly idle: number[] = [];
}

/** One device with or without offload: everyone who is measured there. */
interface Contest {
  readonly title: string;
  readonly device: DeviceType;
  readonly offload: boolean;
  readonly entries: { readonly arena: Arena; readonly results: Results }[];
}

async function measure({ arena, results }: Contest["entries"][number]): Promise<void> {
  for (const [direction, gbits, perCpu] of [
    ["tx", results.receives, results.receivesPerCpu],
    ["rx", results.sends, results.sendsPerCpu],
  ] as const) {
    const transfer = await arena.transfer(direction, seconds).catch((error) => {
      console.log(`${error}\n`);
      return { gbits: Number.NaN, gbitsPerCpuSecond: Number.NaN };
    });
    gbits.push(transfer.gbits);
    perCpu.push(transfer.gbitsPerCpuSecond);
  }
  results.ping.push(median(await arena.ping()));
  results.idle.push(await arena.idle(0.5));
}

function ratio(a: readonly number[] | undefined, b: readonly number[] | undefined): string {
  return a === undefined || b === undefined ? "-" : spread(ratios(a, b), 2);
}

const known = (numbers: readonly number[]) => numbers.filter((number) => !Number.isNaN(number));

const of = (contest: Contest, name: string) =>
  contest.entries.find(({ arena }) => arena.server.name === name)?.results;

/** What is asked of TUN and TAP: see the README. */
function rowsOf(contests: readonly Contest[]): Row[] {
  return contests.flatMap((contest) => {
    const { title, device, offload } = contest;
    const loop = of(contest, LOOP);
    if (device === "raw" || loop === undefined) return [];
    return TARGETS.filter((target) => target.offload === offload).flatMap(({ name, least }) => {
      const other = of(contest, name);
      if (other === undefined) return [];
      return DIRECTIONS.map(([verb, word]) => ({
        name: `${device}-${offload ? "" : "no-"}offload-${word}-${name.split(/\W/)[0]}`.toLowerCase(),
        measure: `${title}, ${word}, of ${name}`,
        unit: "ratio",
        values: ratios(loop[verb], other[verb]),
        target: atLeast(least),
      }));
    });
  });
}

function printContests(contests: readonly Contest[]): void {
  console.log("tapwire, in a loop with `wait`, as a multiple of\n");
  const lines = contests.map((contest) => {
    const loop = of(contest, LOOP);
    const others = [FLOOR, contest.offload ? GVISOR_GSO : GVISOR, ...(contest.offload ? [] : [LWIP])];
    const against = (name: string, what: "receives" | "sends" | "receivesPerCpu" | "sendsPerCpu") =>
      ratio(loop?.[what], of(contest, name)?.[what]);
    const row = (name: string) => [
      contest.title,
      name,
      against(name, "receives"),
      against(name, "receivesPerCpu"),
      against(name, "sends"),
      against(name, "sendsPerCpu"),
    ];
    return others.map(row).filter((cells) => cells[2] !== "-");
  });
  printTable(["device", "", "receiving", "a CPU second", "sending", "a CPU second"], lines.flat());
  for (const { title, entries } of contests) {
    printTable(
      [title, "receives, Gbit/s", "a CPU second", "sends, Gbit/s", "a CPU second", "ping, us", "idle, %"],
      entries.map(({ arena, results }) => [
        arena.server.name,
        ...[results.receives, results.receivesPerCpu, results.sends, results.sendsPerCpu].map((numbers) =>
          spread(known(numbers), 1),
        ),
        spread(known(results.ping), 0),
        spread(known(results.idle), 1),
      ]),
    );
  }
}

function allOf(contests: readonly Contest[]): object[] {
  return contests.flatMap(({ device, offload, entries }) =>
    entries.map(({ arena, results }) => ({ device, offload, server: arena.server.name, ...results })),
  );
}

const reason = requirement(["tun", "cc", "ping", "pgrep", ...(values.pin ? ["taskset"] : [])]);
if (reason !== null) {
  console.log(`bench/devices.ts ${reason}`);
  process.exit(1);
}
const into = values.peers ?? mkdtempSync(join(tmpdir(), "tapwire-bench-"));
mkdirSync(into, { recursive: true });
const arenas: Arena[] = [];
try {
  const client = await buildClient(into);
  const peers = await buildPeers(into);
  const contests: Contest[] = [];
  for (const device of values.only.split(",") as DeviceType[]) {
    for (const offload of values.offload.split(",").map((word) => word === "on")) {
      const entries: Contest["entries"] = [];
      const open = async (server: Server) => {
        try {
          const arena = await Arena.open(server, client, values.pin, arenas.length);
          arenas.push(arena);
          // Once for nothing, and long.
          await arena.warmUp("tx", WARM_UPS * seconds);
          await arena.warmUp("rx", WARM_UPS * seconds);
          entries.push({ arena, results: new Results() });
        } catch (error) {
          console.log(`${server.name} is left out, it did not start: ${error}\n`);
        }
      };
      for (const server of [...ours(device, offload, into), ...theirs(device, offload, peers)])
        await open(server);
      const name = { tun: "TUN", tap: "TAP", raw: "raw socket on veth" }[device];
      contests.push({ title: `${name}, ${offload ? "offload" : "no offload"}`, device, offload, entries });
    }
  }
  await interleaved(
    rounds,
    contests.flatMap(({ entries }) => entries.map((entry) => () => measure(entry))),
  );
  const pinned = values.pin ? "pinned, " : "";
  console.log(
    `${describeMachine()}; ${pinned}median (lowest .. highest) of ${rounds} rounds of ${seconds} s\n`,
  );
  const rows = rowsOf(contests);
  printGoals(rows);
  printContests(contests);
  writeReport(values.json, rounds, rows, { seconds, pinned: values.pin, servers: allOf(contests) });
} finally {
  await Promise.all(arenas.map((arena) => arena.close()));
  if (values.peers === undefined) rmSync(into, { recursive: true });
}
