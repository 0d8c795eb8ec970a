/** From a configuration file or object to an open device and the settings of the interface on top of it. */

import { readFileSync } from "node:fs";
import type { Device } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { cidrContains, parseAddress, parseCidr } from "../src/wire/ip-address.ts";
import { interfaceNameProblem } from "./linux/tun-ioctl.ts";
import { memoryPair } from "./memory.ts";
import { capture, pcapFile } from "./pcap.ts";
import { nearest } from "./suggest.ts";
import { openTun } from "./tun.ts";

export type DeviceType = "tun" | "memory";

/** A configuration that was checked, with defaults in place. */
export interface Config {
  readonly device: DeviceConfig;
  readonly interface: InterfaceConfig;
}

export interface DeviceConfig {
  readonly type: DeviceType;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** TUN only: the interface's name; chosen by the kernel where it is missing. */
  readonly name?: string;
  /** TUN only: the kernel's address on the interface, with its prefix; left as it is where it is missing. */
  readonly hostAddress?: string;
  /** The file that every frame is recorded in. */
  readonly capture?: string;
}

export interface InterfaceConfig {
  /** The stack's own addresses, with their prefixes; one at least. */
  readonly addresses: readonly string[];
  /** Where packets to other networks go. */
  readonly gateway?: string;
}

/** What `openConfig` makes of a configuration. */
export interface OpenedConfig {
  readonly device: Device;
  /** The other end of a memory pair; `null` for a device whose other end is the kernel. */
  readonly peer: Device | null;
  readonly addresses: readonly string[];
  readonly gateway?: string;
  readonly mtu: number;
  /** The interface's name as the kernel knows it; `null` for a device that has none. */
  readonly name: string | null;
}

/** One setting, and where it was found: `tun.toml: device.mtu` or `--mtu`. */
export interface Given<T> {
  readonly value: T;
  readonly where: string;
}

/** Settings before the defaults: those of a file, of the command line, or of both. */
export interface Settings {
  type?: Given<DeviceType>;
  name?: Given<string>;
  mtu?: Given<number>;
  hostAddress?: Given<string>;
  capture?: Given<string>;
  addresses?: Given<readonly string[]>;
  gateway?: Given<string>;
}

const DEFAULT_ADDRESS = "192.168.69.1/24";
const DEFAULT_HOST_ADDRESS = "192.168.69.100/24";
const DEFAULT_MTU = 1500;

const TYPES: readonly DeviceType[] = ["tun", "memory"];
const TABLES: Readonly<Record<string, readonly string[]>> = {
  device: ["type", "name", "mtu", "host-address", "capture"],
  interface: ["addresses", "gateway"],
};

/** Checks of single values; `where` names the place for the message. */
export function checkType(value: unknown, where: string): Given<DeviceType> {
  for (const type of TYPES) if (value === type) return { value: type, where };
  throw wrong(
    where,
    value,
    'write "tun" or "memory"',
    typeof value === "string" ? nearest(value, TYPES) : null,
  );
}

export function checkName(value: unknown, where: string): Given<string> {
  const problem = typeof value === "string" ? interfaceNameProblem(value) : "is no text";
  if (typeof value !== "string" || problem !== null) {
    throw wrong(where, value, 'write an interface name of 1 to 15 bytes, without spaces, "/" and ":"');
  }
  return { value, where };
}

export function checkMtu(value: unknown, where: string): Given<number> {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 68 || value > 65_535) {
    throw wrong(where, value, "write a whole number from 68 to 65535");
  }
  return { value, where };
}

export function checkCidr(value: unknown, where: string): Given<string> {
  return checkText(value, where, parseCidr, "write an address with its prefix, like 192.168.69.1/24");
}

export function checkAddress(value: unknown, where: string): Given<string> {
  return checkText(value, where, parseAddress, "write an address without a prefix, like 192.168.69.100");
}

export function checkPath(value: unknown, where: string): Given<string> {
  if (typeof value !== "string" || value === "") throw wrong(where, value, "write the name of a file");
  return { value, where };
}

function checkText(
  value: unknown,
  where: string,
  parse: (text: string) => unknown,
  advice: string,
): Given<string> {
  if (typeof value !== "string") throw wrong(where, value, advice);
  try {
    parse(value);
  } catch {
    throw wrong(where, value, advice);
  }
  return { value, where };
}

function checkAddresses(value: unknown, where: string): Given<readonly string[]> {
  if (!Array.isArray(value) || value.length === 0) {
    throw wrong(where, value, 'write a list of addresses with their prefixes, like ["192.168.69.1/24"]');
  }
  return { value: value.map((item, i) => checkCidr(item, `${where}[${i}]`).value), where };
}

function wrong(where: string, value: unknown, advice: string, meant: string | null = null): StackError {
  const suggestion = meant === null ? "" : ` Did you mean "${meant}"?`;
  return new StackError(
    "EINVAL",
    `${where} is ${JSON.stringify(value) ?? typeof value}; ${advice}.${suggestion}`,
  );
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Why `key` is not allowed in `table` ("" for the top level), and what may have been meant. */
function unknownKey(source: string, table: string, key: string): StackError {
  const known = table === "" ? Object.keys(TABLES) : TABLES[table];
  const home = Object.keys(TABLES).find((name) => name !== table && TABLES[name].includes(key));
  const meant = nearest(key, known);
  const path = table === "" ? key : `${table}.${key}`;
  let advice = `known are ${known.join(", ")}.`;
  if (home !== undefined) advice = `it belongs in [${home}].`;
  else if (meant !== null) advice = `did you mean "${meant}"?`;
  return new StackError("EINVAL", `${source}: there is no key ${path}; ${advice}`);
}

/** Checks every key and value of a configuration object, without filling in defaults. */
export function readSettings(object: unknown, source: string): Settings {
  if (!isTable(object)) {
    throw new StackError("EINVAL", `${source}: a configuration is a table with [device] and [interface].`);
  }
  for (const key of Object.keys(object)) {
    if (!Object.hasOwn(TABLES, key)) throw unknownKey(source, "", key);
    if (!isTable(object[key])) throw wrong(`${source}: ${key}`, object[key], `write a table [${key}]`);
    for (const inner of Object.keys(object[key])) {
      if (!TABLES[key].includes(inner)) throw unknownKey(source, key, inner);
    }
  }
  const get = <T>(table: string, key: string, check: (value: unknown, where: string) => T): T | undefined => {
    const values = object[table];
    if (!isTable(values) || !Object.hasOwn(values, key)) return undefined;
    return check(values[key], `${source}: ${table}.${key}`);
  };
  return withoutMissing({
    type: get("device", "type", checkType),
    name: get("device", "name", checkName),
    mtu: get("device", "mtu", checkMtu),
    hostAddress: get("device", "host-address", checkCidr),
    capture: get("device", "capture", checkPath),
    addresses: get("interface", "addresses", checkAddresses),
    gateway: get("interface", "gateway", checkAddress),
  });
}

type MaybeMissing<T> = { [K in keyof T]: T[K] | undefined };
type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The same object without the keys whose values are `undefined`. */
function withoutMissing<T extends MaybeMissing<T>>(object: T): Present<T> {
  const present: Present<T> = {};
  for (const key of Object.keys(object) as (keyof T)[]) {
    const value = object[key];
    if (value !== undefined) present[key] = value as Exclude<T[keyof T], undefined>;
  }
  return present;
}

/** Checks what settings mean together, and fills in the defaults. */
export function complete(settings: Settings): Config {
  const type = settings.type?.value ?? "tun";
  if (type === "memory") {
    for (const given of [settings.name, settings.hostAddress]) {
      if (given === undefined) continue;
      throw new StackError(
        "EINVAL",
        `${given.where} is only for a TUN device, and this one is in memory: leave it out.`,
      );
    }
  }
  const addresses = settings.addresses?.value ?? [DEFAULT_ADDRESS];
  const hostAddress =
    type === "tun" ? (settings.hostAddress?.value ?? defaultHostAddress(addresses)) : undefined;
  checkTogether(settings, addresses, hostAddress);
  return {
    device: {
      type,
      mtu: settings.mtu?.value ?? DEFAULT_MTU,
      ...withoutMissing({
        name: settings.name?.value,
        hostAddress,
        capture: settings.capture?.value,
      }),
    },
    interface: { addresses, ...withoutMissing({ gateway: settings.gateway?.value }) },
  };
}

/** The kernel gets the usual address where that is in one of the stack's networks, and none elsewhere. */
function defaultHostAddress(addresses: readonly string[]): string | undefined {
  const { address } = parseCidr(DEFAULT_HOST_ADDRESS);
  const reachable = addresses.some((own) => cidrContains(parseCidr(own), address));
  return reachable && !addresses.some((own) => own.startsWith(`${address}/`))
    ? DEFAULT_HOST_ADDRESS
    : undefined;
}

function checkTogether(
  settings: Settings,
  addresses: readonly string[],
  hostAddress: string | undefined,
): void {
  if (hostAddress === undefined || settings.hostAddress === undefined) return;
  const host = parseCidr(hostAddress).address;
  if (addresses.some((own) => parseCidr(own).address.toString() === host.toString())) {
    throw new StackError(
      "EINVAL",
      `${settings.hostAddress.where} is ${hostAddress}, which is an address of the stack too; kernel and stack need one each.`,
    );
  }
  if (settings.addresses === undefined && !cidrContains(parseCidr(DEFAULT_ADDRESS), host)) {
    throw new StackError(
      "EINVAL",
      `${settings.hostAddress.where} is ${hostAddress}, and the stack has ${DEFAULT_ADDRESS} unless told: give it an address in the kernel's network (interface.addresses, --address).`,
    );
  }
}

/**
 * Checks a configuration object as it comes out of a TOML or JSON file, and fills in the defaults.
 *
 * A TUN device has the address 192.168.69.1/24 and the kernel 192.168.69.100/24, a memory device 192.168.69.1/24.
 *
 * @param object tables `device` and `interface` with kebab-case keys
 * @param source what messages call it, usually the file's name
 * @throws StackError `EINVAL` that names the key and what is expected there
 *
 * @example
 * ```ts
 * parseConfig({ device: { type: "memory", mtu: 9000 } }, "settings").interface.addresses; // ["192.168.69.1/24"]
 * ```
 */
export function parseConfig(object: unknown, source: string): Config {
  return complete(readSettings(object, source));
}

/** Reads the settings in a file; TOML or JSON, as its name says. */
export function readSettingsFile(path: string): Settings {
  const isJson = path.endsWith(".json");
  if (!isJson && !path.endsWith(".toml")) {
    throw new StackError(
      "EINVAL",
      `${path} is neither .toml nor .json; give the configuration file one of these names.`,
    );
  }
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const notFound = error instanceof Error && "code" in error && error.code === "ENOENT";
    throw new StackError(
      notFound ? "ENOENT" : "EACCES",
      `The configuration file ${path} ${notFound ? "does not exist" : "can't be read"}; check its name.`,
      { cause: error },
    );
  }
  let object: unknown;
  try {
    object = isJson ? JSON.parse(text) : Bun.TOML.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StackError("EINVAL", `${path} is not valid ${isJson ? "JSON" : "TOML"}: ${reason}`, {
      cause: error,
    });
  }
  return readSettings(object, path);
}

/**
 * Reads a configuration file.
 *
 * @param path a `.toml` or `.json` file, relative to the working directory
 * @throws StackError `ENOENT` or `EACCES` where it can't be read, `EINVAL` that names file, key and what is expected
 *
 * @example
 * ```ts
 * const { device, addresses } = openConfig(await loadConfig("examples/config/memory.toml"));
 * ```
 */
export async function loadConfig(path: string): Promise<Config> {
  return complete(readSettingsFile(path));
}

/**
 * Opens the device that a configuration describes, with its capture file if there is one.
 *
 * @throws StackError as {@link openTun} and {@link pcapFile} do; nothing stays open then
 */
export function openConfig(config: Config): OpenedConfig {
  const { type, mtu, capture: path } = config.device;
  let device: Device;
  let peer: Device | null = null;
  let name: string | null = null;
  if (type === "memory") {
    [device, peer] = memoryPair({ mtu });
  } else {
    const tun = openTun({
      mtu,
      ...withoutMissing({ name: config.device.name, hostAddress: config.device.hostAddress }),
    });
    device = tun;
    name = tun.name;
  }
  if (path !== undefined) {
    try {
      device = capture(device, pcapFile(path));
    } catch (error) {
      device.close();
      throw error;
    }
  }
  return { device, peer, mtu, name, ...config.interface };
}
