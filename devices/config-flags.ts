/** The flags of a command line that say what a configuration file could. */

import { StackError } from "../src/errors.ts";
import { type Config, complete, mediumOf } from "./config-complete.ts";
import { type Given, NOTHING, readSettingsFile, type Section, type Settings } from "./config-read.ts";
import { belongsTo, DEVICE, type DeviceType, type Key, keysOf } from "./config-schema.ts";
import { alternatives, BOOLEAN } from "./config-values.ts";

const CONFIG_FLAG = "--config";
const EXAMPLE_FILE = "examples/config/tun.toml";

/** A flag, and the key that it stands for. */
interface Flag {
  readonly flag: string;
  readonly table: "device" | "interface" | "host";
  readonly name: string;
  readonly key: Key<unknown>;
}

const FLAGS: readonly Flag[] = (["device", "interface", "host"] as const).flatMap((table) =>
  Object.entries(keysOf(table)).flatMap(([name, key]) =>
    key.flag === undefined ? [] : [{ flag: key.flag, table, name, key }],
  ),
);

/** Values that may stand behind a flag, for messages. */
const EXAMPLES: Readonly<Record<string, string>> = {
  name: "tun7",
  "host-address": "192.168.69.100/24",
  "hardware-address": "02:00:00:00:00:01",
  capture: "frames.pcap",
  gateway: "192.168.69.100",
};

/**
 * What `configFromFlags` understands, one line a flag, for a program's own help.
 *
 * @param type the device without `--device` and `--config`
 */
export function configUsage(type: DeviceType = "tun"): string {
  const lines = [
    usageLine(`${CONFIG_FLAG} FILE`, "settings from a .toml or .json file; the flags below override it"),
  ];
  for (const { flag, name, key } of FLAGS) {
    const { kind, doc, only } = key;
    const fallback = name === "type" ? type : key.default === true ? "" : shownDefault(key);
    const words = kind.words === undefined ? "" : `: ${alternatives(kind.words).replaceAll('"', "")}`;
    const owners = only === undefined ? "" : ` (${only.join(", ")})`;
    const isList = Array.isArray(key.default) ? "; may be repeated" : "";
    const text = `${doc}${words}${isList}${owners}${fallback === "" ? "" : ` [${fallback}]`}`;
    if (kind !== BOOLEAN) lines.push(usageLine(`${flag} ${kind.word}`, text));
    else if (key.default === true) lines.push(usageLine(negated(flag), `no ${doc}`));
    else lines.push(usageLine(flag, text));
  }
  return lines.join("\n");
}

/** The usage text for programs that run on TUN unless told. */
export const CONFIG_USAGE: string = configUsage();

function usageLine(flag: string, text: string): string {
  return `  ${flag.padEnd(22)} ${text}`;
}

function shownDefault({ default: value }: Key<unknown>): string {
  return value === undefined || value === false ? "" : String(value);
}

function negated(flag: string): string {
  return flag.replace("--", "--no-");
}

/**
 * Takes the flags of devices and interfaces out of a command line; see {@link CONFIG_USAGE}.
 *
 * `--flag value` and `--flag=value` both work; of a repeated flag the last one counts, except for `--address`, which
 * adds up. Without `--config` and flags the defaults of `parseConfig` are what comes out. What stands behind `--` is
 * left alone. `--device` of another type than the file's leaves out what the file says for that type only.
 *
 * @param argv arguments without the program's name: `Bun.argv.slice(2)`
 * @returns the complete configuration, and the arguments that are not part of it, in their order
 * @throws StackError `EINVAL` that names the flag, and what `loadConfig` throws for the file
 *
 * @example
 * ```ts
 * const { config, rest } = configFromFlags(["--mtu=1400", "--port", "80"]);
 * config.devices[0].mtu; // 1400
 * rest; // ["--port", "80"]
 * ```
 */
export function configFromFlags(argv: readonly string[]): { config: Config; rest: string[] } {
  const rest: string[] = [];
  const given: Record<Flag["table"], Record<string, Given>> = { device: {}, interface: {}, host: {} };
  let file: Settings = { host: [], device: [], middleware: [], interface: [] };
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i];
    if (argument === "--") {
      rest.push(...argv.slice(i));
      break;
    }
    const equals = argument.indexOf("=");
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const inline = equals < 0 ? undefined : argument.slice(equals + 1);
    if (name === CONFIG_FLAG) {
      file = readSettingsFile(inline ?? checkValue(name, argv[++i], EXAMPLE_FILE));
      continue;
    }
    const flag = FLAGS.find((each) => each.flag === name || isNegated(each, name));
    if (flag === undefined) rest.push(argument);
    else if (flag.flag !== name && inline !== undefined) {
      throw new StackError(
        "EINVAL",
        `${name} takes no value: write ${name} alone, or ${flag.flag}=true or ${flag.flag}=false.`,
      );
    } else if (flag.key.kind === BOOLEAN && inline === undefined) {
      given[flag.table][flag.name] = { value: flag.flag === name, where: name };
    } else {
      const example = String(EXAMPLES[flag.name] ?? flag.key.default);
      const text = checkValue(name, inline ?? argv[++i], example, inline !== undefined);
      given[flag.table][flag.name] = readFlag(flag, text, given[flag.table][flag.name]);
    }
  }
  return { config: complete(override(file, given)), rest };
}

function isNegated({ flag, key }: Flag, name: string): boolean {
  return key.kind === BOOLEAN && name === negated(flag);
}

function checkValue(flag: string, value: string | undefined, example: string, isInline = false): string {
  if (value !== undefined && value !== "" && (isInline || !value.startsWith("--"))) return value;
  throw new StackError("EINVAL", `${flag} needs a value: write for example ${flag} ${example}.`);
}

/** The flag's value; a list takes each as one more item. */
function readFlag({ flag, key }: Flag, text: string, before: Given | undefined): Given {
  const value = key.kind.fromText(text);
  if (!Array.isArray(key.default)) return { value: key.kind.check(value, flag), where: flag };
  const items = Array.isArray(before?.value) ? before.value : [];
  return { value: key.kind.check([...items, value], flag), where: flag };
}

function override(file: Settings, given: Record<Flag["table"], Record<string, Given>>): Settings {
  for (const { flag, table, name, key } of FLAGS) {
    const count = file[table].length;
    if (given[table][name] === undefined || count < 2 || key.shared) continue;
    throw new StackError(
      "EINVAL",
      `${flag} could be for any of the file's ${count} ${table}s: change the file instead.`,
    );
  }
  const type = given.device.type?.value;
  const before =
    file.device.length === 1 ? (file.device[0].given.type?.value ?? DEVICE.type.default) : undefined;
  const isOther = type !== undefined && before !== type;
  // No flag says what a memory pair carries.
  const medium = mediumOf({ type: type as DeviceType });
  const devices = file.device.length === 0 ? [NOTHING] : file.device;
  const interfaces = file.interface.length === 0 && file.device.length < 2 ? [NOTHING] : file.interface;
  const [host = NOTHING, ...others] = file.host;
  return {
    host: [merge(host, given.host), ...others],
    device: devices.map((section) =>
      merge(isOther ? fitting(section, String(type), "device") : section, given.device),
    ),
    middleware: file.middleware,
    interface: interfaces.map((section) =>
      merge(isOther ? fitting(section, medium, "interface") : section, given.interface),
    ),
  };
}

function merge(section: Section, given: Readonly<Record<string, Given>>): Section {
  return { where: section.where, given: { ...section.given, ...given } };
}

/** What remains of a section for one type of device where the device is of another. */
function fitting({ where, given }: Section, type: string, table: Flag["table"]): Section {
  const keys = keysOf(table);
  return {
    where,
    given: Object.fromEntries(Object.entries(given).filter(([name]) => belongsTo(keys[name], type))),
  };
}
