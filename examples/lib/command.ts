import {
  type Config,
  configFromFlags,
  configUsage,
  type DeviceType,
  type OpenedDevice,
} from "../../devices/index.ts";
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
export const DEVICE_USAGE = configUsage("memory");

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

/**
 * `-i NAME` becomes `--name NAME`, also as `-iNAME` and behind the letters of other flags, as in `-ni NAME`. A name is that
 * of an interface with a raw socket unless the command line has another device.
 *
 * @param switches the letters of flags without a value
 */
export function withInterface(argv: readonly string[], switches: string): string[] {
  const pattern = new RegExp(`^-([${switches}]*)i(.*)$`);
  const end = argv.includes("--") ? argv.indexOf("--") : argv.length;
  const flags = argv.slice(0, end).flatMap((argument) => {
    const [, before, name] = pattern.exec(argument) ?? [];
    if (before === undefined) return [argument];
    return [before === "" ? [] : [`-${before}`], "--name", name === "" ? [] : [name]].flat();
  });
  const has = (flag: RegExp) => flags.some((argument) => flag.test(argument));
  const isRaw = has(/^--name(=|$)/) && !has(/^--(config|device)(=|$)/);
  return [...(isRaw ? ["--device", "raw"] : []), ...flags, ...argv.slice(end)];
}

const KINDS: Readonly<Record<DeviceType, string>> = {
  memory: "memory",
  tun: "TUN interface",
  tap: "TAP interface",
  raw: "raw socket on",
};

/** What the device is, in words. */
export function describeDevice({ type, name, mtu }: Pick<OpenedDevice, "type" | "name" | "mtu">): string {
  return `${KINDS[type]}${name === null ? "" : ` ${name}`}, MTU ${mtu}`;
}

/** A flag's number, whole where `step` is 1. */
export function numberFlag(flag: string, text: string, low: number, high = Infinity, step = 1): number {
  const value = Number(text === "" ? Number.NaN : text);
  if (value >= low && value <= high && (step !== 1 || Number.isInteger(value) || value === Infinity))
    return value;
  const most = high === Infinity ? " up" : ` to ${high}`;
  throw new UsageError(
    `${flag} is "${text}"; write a ${step === 1 ? "whole " : ""}number from ${low}${most}.`,
  );
}

/**
 * Runs a command to its end: an exit code and, where something went wrong, a sentence instead of a stack trace.
 *
 * @param failed the exit code for an error that has none of its own
 */
export async function run(
  usage: string,
  main: (argv: string[]) => Promise<number>,
  failed = 1,
): Promise<void> {
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
    process.exitCode = isUsage ? 2 : error instanceof Failure ? error.exitCode : failed;
  }
}

/** What `parseArgs` throws. */
function isParseError(error: unknown): boolean {
  return error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
}
