/**
 * Everything that the README quotes, one program after the other: `bun run bench`. First what was asked for beside what it
 * is now, then the tables of each program. What cannot run here is left out, and said so.
 *
 *   bun bench/bench.ts [--quick] [--rounds N] [--peers DIRECTORY] [--json FILE]
 *
 * `--quick` takes a few minutes, and its numbers are only a hint. `--peers` keeps what is built for the next run. `--json`
 * writes every single measurement.
 */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requirement } from "../test/support/system.ts";
import { printGoals, type Report } from "./goals.ts";
import { describeMachine, word } from "./support.ts";

/** A program that measures; by itself it prints its rows and its tables. */
interface Program {
  readonly file: string;
  /** Why it cannot run here, or `null`. */
  readonly obstacle: string | null;
  /** What makes it short. */
  readonly quick: readonly string[];
  /** What it is told besides. */
  readonly words: readonly string[];
}

/** What came of one. */
interface Outcome {
  readonly file: string;
  readonly report: Report | null;
  /** What it printed, or why it did not run to its end. */
  readonly text: string;
  readonly failed: boolean;
}

const DETAILS = "--details";
const directory = mkdtempSync(join(tmpdir(), "tapwire-bench-"));
const peers = ["--peers", word("peers") ?? join(directory, "peers")];

const PROGRAMS: readonly Program[] = [
  {
    file: "memory.ts",
    obstacle: null,
    quick: ["--rounds", "1", "--mib", "256", "--connections", "20000"],
    words: [DETAILS],
  },
  {
    file: "devices.ts",
    obstacle: requirement(["tun", "cc", "ping", "pgrep"]),
    quick: ["--rounds", "1", "--seconds", "1", "--only", "tun,tap"],
    words: [DETAILS, ...peers],
  },
  {
    file: "tun.ts",
    obstacle: requirement(["tun", "cc", "ping", "pgrep", "sysctl"]),
    quick: ["--rounds", "1"],
    words: [DETAILS, ...peers],
  },
];

async function run({ file, obstacle, quick, words }: Program): Promise<Outcome> {
  if (obstacle !== null)
    return { file, report: null, text: `It is left out: it ${obstacle}.`, failed: false };
  const json = join(directory, `${file}.json`);
  const rounds = word("rounds");
  const command = [process.execPath, join(import.meta.dir, file), ...words, "--json", json];
  if (process.argv.includes("--quick")) command.push(...quick);
  else if (rounds !== undefined) command.push("--rounds", rounds);
  process.stderr.write(`${file}\n`);
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  const exitCode = await child.exited;
  const report: Report | null = existsSync(json) ? JSON.parse(readFileSync(json, "utf8")) : null;
  const end = exitCode === 0 ? "" : `\nIt ended with ${exitCode}.\n`;
  return { file, report, text: `${text.trim()}\n${end}`, failed: exitCode !== 0 };
}

const outcomes: Outcome[] = [];
try {
  for (const program of PROGRAMS) outcomes.push(await run(program));
} finally {
  rmSync(directory, { recursive: true });
}

console.log(`${describeMachine()}, ${new Date().toISOString().slice(0, 10)}\n`);
printGoals(outcomes.flatMap(({ report }) => report?.rows ?? []));
for (const { file, text } of outcomes) console.log(`## ${file}\n\n${text}`);

const json = word("json");
if (json !== undefined) {
  const programs = Object.fromEntries(outcomes.map(({ file, report, text }) => [file, report ?? text]));
  writeFileSync(json, `${JSON.stringify(programs, null, 1)}\n`);
}
process.exit(outcomes.some(({ failed }) => failed) ? 1 : 0);
