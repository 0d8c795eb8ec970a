/**
 * Runs scripts of packetdrill's language against the stack: `bun run packetdrill [options] FILE...`; see README.md.
 */
import { readCommandLine, UsageError } from "./command-line.ts";
import { runFile, scriptFiles } from "./files.ts";
import type { RunResult } from "./run/runner.ts";

const USAGE = `bun run packetdrill [options] FILE_OR_FOLDER...

  --verbose, -v            tell all packets, and what was ignored
  --dry_run                read scripts only
  --tolerance_usecs=N      how far off times may be; 4000
  --tolerance_percent=N    the same, of the time between two events, where that is more; 12.5
  --strict_segments        segments are as large as expected, not larger or in pieces
  --strict_options         options of TCP are in the order expected, with the same padding
  --non_fatal=WHAT         packet, syscall: warn and go on
  --define NAME=VALUE, -D  a name that scripts use
  --fail_on_leftovers      packets that nobody expected are a failure at the end, too
  --local_ip, --remote_ip, --bind_port, --connect_port, --mtu, ... as in packetdrill

README.md beside this program says what scripts can do.`;

function main(): number {
  const { settings, paths, wantsHelp } = readCommandLine(process.argv.slice(2));
  if (wantsHelp || paths.length === 0) {
    console.log(USAGE);
    return wantsHelp ? 0 : 2;
  }
  const files = scriptFiles(paths);
  let failed = 0;
  for (const file of files) {
    const result = runFile(file, settings);
    tell(file, result, settings.verbose, files.length > 1);
    if (result.failure !== null) failed++;
  }
  if (files.length > 1) console.log(`${files.length - failed} passed, ${failed} failed`);
  return failed > 0 || files.length === 0 ? 1 : 0;
}

function tell(
  file: string,
  { failure, warnings, notes }: RunResult,
  isVerbose: boolean,
  isOneOfMany: boolean,
): void {
  if (isVerbose) for (const note of notes) console.log(note);
  for (const warning of warnings) console.error(warning);
  if (isOneOfMany) console.log(`${failure === null ? "ok  " : "FAIL"} ${file}`);
  if (failure !== null) console.error(failure);
}

try {
  process.exitCode = main();
} catch (error) {
  if (!(error instanceof UsageError) && !(error instanceof Error && "code" in error)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
