import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { parseScript } from "./language/parse.ts";
import { ScriptError } from "./language/reader.ts";
import { type RunResult, runScript } from "./run/runner.ts";
import { type Settings, settingsFor } from "./run/settings.ts";
import type { Script } from "./script.ts";

/** The scripts that paths name: files as they are, and `*.pkt` in folders, with those below, in order. */
export function scriptFiles(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && basename(entry.name).endsWith(".pkt"))
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  });
}

/** Names that the Linux kernel's own way to run its scripts defines. */
const KERNEL_DEFINES: readonly (readonly [string, string])[] = [
  ["CMSG_LEVEL_IP", "SOL_IP"],
  ["CMSG_TYPE_RECVERR", "IP_RECVERR"],
  ["TFO_COOKIE", "3021b9d889017eeb"],
  ["TFO_COOKIE_ZERO", "b7c12350a90dc8f5"],
];

/** @throws ScriptError */
export function parse(file: string, text: string, given: Settings): Script {
  return parseScript(file, text, { defines: new Map([...KERNEL_DEFINES, ...given.defines]) });
}

/** Reads and runs a script; what is wrong with its text is its failure. */
export function runText(file: string, text: string, given: Settings): RunResult {
  try {
    const script = parse(file, text, given);
    const settings = settingsFor(script, given);
    if (settings.dryRun) return { failure: null, warnings: [], notes: [] };
    return runScript(script, settings);
  } catch (error) {
    if (error instanceof ScriptError) return { failure: error.message, warnings: [], notes: [] };
    throw error;
  }
}

export function runFile(file: string, given: Settings): RunResult {
  return runText(file, readFileSync(file, "utf8"), given);
}
