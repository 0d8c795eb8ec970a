import { CONFIG_USAGE, type Config, configFromFlags, type OpenedConfig } from "../../devices/index.ts";
import { StackError } from "../../src/index.ts";

/** What the example commands share: their command lines, messages and exit codes. */

/** A command could not do what it was told; the message is for its user. */
export class Failure extends Error {
  override readonly name: string = "Failure";
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The command line is wrong: the usage goes along with the message. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The flags of devices, with the default of the examples. */
export const DEVICE_USAGE = CONFIG_USAGE.replace("carries the frames (tun)", "carries the frames (memory)");

/** Takes the device's flags out of a command line; without any, frames stay in memory and no privileges are needed. */
export function deviceFlags(argv: readonly string[]): { config: Config; rest: string[] } {
  const chosen = argv.some((argument) => /^--(config|device)(=|$)/.test(argument));
  try {
    return configFromFlags(chosen ? argv : ["--device", "memory", ...argv]);
  } catch (error) {
    if (error instanceof StackError && error.code === "EINVAL") throw new UsageError(error.message);
    throw error;
  }
}

/** What the device is, in words. */
export function describeDevice({ name, mtu }: OpenedConfig): string {
  return name === null ? `memory, MTU ${mtu}` : `TUN interface ${name}, MTU ${mtu}`;
}

/** Runs a command to its end: an exit code and, where something went wrong, a sentence instead of a stack trace. */
export async function run(usage: string, main: (argv: string[]) => Promise<number>): Promise<void> {
  const argv = process.argv.slice(2);
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(usage);
    return;
  }
  try {
    process.exitCode = await main(argv);
  } catch (error) {
    const isUsage = error instanceof UsageError || isParseError(error);
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(isUsage ? `${message}\n\n${usage}` : `${message}\n`);
    process.exitCode = isUsage ? 2 : error instanceof Failure ? error.exitCode : 1;
  }
}

/** What `parseArgs` throws. */
function isParseError(error: unknown): boolean {
  return error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
}
