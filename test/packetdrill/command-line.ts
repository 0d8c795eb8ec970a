import { applyOption, Settings, takesValue } from "./run/settings.ts";

/** What a command line asks for. */
export interface CommandLine {
  readonly settings: Settings;
  /** Files and folders. */
  readonly paths: readonly string[];
  readonly wantsHelp: boolean;
}

/** A command line that is not understood: the sentence says what to do. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const SHORT: Record<string, string> = { v: "verbose", D: "define", n: "dry_run" };

/**
 * Reads `--name=value`, `--name value`, `-v`, `-D NAME=VALUE`, and paths.
 *
 * @throws UsageError
 */
export function readCommandLine(args: readonly string[]): CommandLine {
  const settings = new Settings();
  const paths: string[] = [];
  let wantsHelp = false;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    if (!arg.startsWith("-") || arg === "-") {
      paths.push(arg);
      continue;
    }
    if (arg === "--help" || arg === "-h") {
      wantsHelp = true;
      continue;
    }
    const { name, value } = splitOption(arg);
    const wants = takesValue(name);
    let text = value ?? "";
    if (wants === true && value === null) {
      i++;
      text = args[i] ?? "";
    }
    if (wants === false && value !== null) throw new UsageError(`--${name} takes no value`);
    const wrong = applyOption(settings, name, text);
    if (wrong !== null) throw new UsageError(wrong);
  }
  return { settings, paths, wantsHelp };
}

function splitOption(arg: string): { name: string; value: string | null } {
  if (!arg.startsWith("--")) {
    const letter = arg[1] ?? "";
    return { name: SHORT[letter] ?? letter, value: arg.length > 2 ? arg.slice(2) : null };
  }
  const equals = arg.indexOf("=");
  // Names are written with `_`, and in some suites with `-`.
  const name = arg.slice(2, equals < 0 ? undefined : equals).replaceAll("-", "_");
  return { name, value: equals < 0 ? null : arg.slice(equals + 1) };
}
