/** From settings to a configuration: defaults filled in, and every reference resolved. */

import type { Medium } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { cidrContains, parseCidr } from "../src/wire/ip-address.ts";
import {
  checkAddressesDiffer,
  checkDevice,
  checkInterface,
  checkMiddleware,
  checkWorkers,
} from "./config-check.ts";
import { type Given, NOTHING, type Section, type Settings } from "./config-read.ts";
import {
  belongsTo,
  camelCase,
  DEVICE,
  type DeviceType,
  type HOST,
  type INTERFACE,
  keysOf,
  MIDDLEWARE,
  type MiddlewareType,
  type TableName,
  type Values,
} from "./config-schema.ts";
import { alternatives } from "./config-values.ts";
import { nearest } from "./suggest.ts";

/** A configuration that was checked, with defaults in place. */
export interface Config {
  /** Threads that the program is to run in, each with a stack of its own, where that are several; see `startWorkers`. */
  readonly workers?: number;
  /** What of the stack, or of each worker's, is to be otherwise than usual; for `open`. */
  readonly stack?: StackConfig;
  /** One at least. */
  readonly devices: readonly DeviceConfig[];
  /** In the order in which they are put around the devices: the first is nearest. */
  readonly middleware: readonly MiddlewareConfig[];
  /** One for a single device; none where a file with several devices has none. */
  readonly interfaces: readonly InterfaceConfig[];
}

/** The keys of `[host]` that are the stack's, as `StackOptions` has them. */
export interface StackConfig extends Pick<Values<typeof HOST>, "memory" | "maxSockets"> {
  readonly tcp?: Pick<Values<typeof HOST>, "maxAwake" | "receiveBuffer" | "sendBuffer">;
}

/** The keys of `[device]`, which CONFIG.md describes. */
export interface DeviceConfig extends Values<typeof DEVICE> {
  readonly type: DeviceType;
}

/** The keys of `[[middleware]]`. */
export interface MiddlewareConfig extends Omit<Values<typeof MIDDLEWARE>, "device"> {
  readonly type: MiddlewareType;
  /** The index of the device that it is put around; all of them where it is missing. */
  readonly device?: number;
}

/** The keys of `[interface]`. */
export interface InterfaceConfig extends Omit<Values<typeof INTERFACE>, "device"> {
  /** The index of the device beneath. */
  readonly device: number;
  /** The stack's own addresses, with their prefixes; one at least. */
  readonly addresses: readonly string[];
}

const DEFAULT_HOST_ADDRESS = "192.168.69.100/24";

/**
 * Fills in the defaults, and checks what settings mean together.
 *
 * @throws StackError `EINVAL`
 */
export function complete(settings: Settings): Config {
  const sections = settings.device.length === 0 ? [NOTHING] : settings.device;
  const { workers, stack } = completeHost(settings.host);
  checkNamesDiffer(sections);
  const devices = sections.map(completeDevice);
  const middleware = settings.middleware.map((section) => completeMiddleware(section, sections));
  const own = settings.interface.length === 0 && devices.length === 1 ? [NOTHING] : settings.interface;
  const taken = new Map<number, Section>();
  const interfaces = own.map((section, i) => {
    const index = deviceBeneath(section, i, sections, taken);
    const iface = completeInterface(section, index, devices[index], own.length > 1);
    devices[index] = withHostAddress(devices[index], iface);
    checkInterface(section, iface, sections[index], devices[index]);
    return iface;
  });
  checkAddressesDiffer(own, interfaces);
  const host = settings.host[0]?.given.workers;
  if (workers > 1 && host !== undefined) checkWorkers(host, devices, middleware);
  return { ...(workers > 1 ? { workers } : {}), ...given({ stack }), devices, middleware, interfaces };
}

function completeHost(sections: readonly Section[]): {
  workers: number;
  stack: StackConfig | undefined;
} {
  if (sections.length > 1) {
    throw new StackError("EINVAL", `${sections[1].where} is one [host] too many: a program has one.`);
  }
  const values = fill("host", sections[0] ?? NOTHING, "", "program") as Values<typeof HOST>;
  const { workers = 1, memory, maxSockets, maxAwake, receiveBuffer, sendBuffer } = values;
  const tcp = nonEmpty(given({ maxAwake, receiveBuffer, sendBuffer }));
  return { workers, stack: nonEmpty(given({ memory, maxSockets, tcp })) };
}

function nonEmpty<T extends object>(values: T): T | undefined {
  return Object.keys(values).length > 0 ? values : undefined;
}

/** Without what is `undefined`. */
function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}

/** What frames of the device start with. */
export function mediumOf({ type, medium }: Pick<DeviceConfig, "type" | "medium">): Medium {
  if (type === "memory") return medium ?? "ip";
  return type === "tun" ? "ip" : "ethernet";
}

/** The table's keys in camelCase, with their defaults; a key that `type` does not have is an error. */
function fill(table: TableName, section: Section, type: string, what: string): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, key] of Object.entries(keysOf(table))) {
    const given = section.given[name];
    if (!belongsTo(key, type)) {
      if (given === undefined) continue;
      const owners = key.only?.join(", ").replace(/, ([^,]*)$/, " and $1");
      throw new StackError(
        "EINVAL",
        `${given.where} is only for ${owners}, and this ${what} is ${type}: leave it out.`,
      );
    }
    const value = given?.value ?? key.default;
    if (value !== undefined) values[camelCase(name)] = value;
    else if (key.required) {
      const advice = key.kind.words === undefined ? `the ${key.kind.shown}` : alternatives(key.kind.words);
      throw new StackError("EINVAL", `${section.where}.${name} is missing: write ${advice}.`);
    }
  }
  return values;
}

function completeDevice(section: Section): DeviceConfig {
  const type = (section.given.type?.value ?? DEVICE.type.default) as DeviceType;
  const config = fill("device", section, type, "device") as unknown as DeviceConfig;
  if (type === "raw" && config.name === undefined) {
    throw new StackError(
      "EINVAL",
      `${section.where === "" ? "--device raw" : section.where} has no name: say which interface frames go through (device.name, --name).`,
    );
  }
  checkDevice(section, config);
  return config;
}

function completeMiddleware(section: Section, devices: readonly Section[]): MiddlewareConfig {
  const type = section.given.type?.value ?? "";
  if (type === "") {
    const known = alternatives(MIDDLEWARE.type.kind.words ?? []);
    throw new StackError("EINVAL", `${section.where}.type is missing: write ${known}.`);
  }
  const { device: _, ...config } = fill("middleware", section, String(type), "middleware");
  checkMiddleware(section);
  const { device } = section.given;
  const where = device === undefined ? {} : { device: indexOf(device, devices) };
  return { ...config, ...where } as unknown as MiddlewareConfig;
}

function completeInterface(
  section: Section,
  index: number,
  device: DeviceConfig,
  isOneOfSeveral: boolean,
): InterfaceConfig {
  if (isOneOfSeveral && section.given.addresses === undefined) {
    throw new StackError(
      "EINVAL",
      `${section.where}.addresses is missing: with several interfaces, each needs addresses of its own.`,
    );
  }
  const config = fill("interface", section, mediumOf(device), "device's medium");
  return { ...config, device: index } as unknown as InterfaceConfig;
}

/** The index of the device that an interface names, or else of the one at its own place. */
function deviceBeneath(
  section: Section,
  place: number,
  devices: readonly Section[],
  taken: Map<number, Section>,
): number {
  const { device } = section.given;
  const index = device === undefined ? place : indexOf(device, devices);
  if (index >= devices.length) {
    throw new StackError(
      "EINVAL",
      `${section.where} has no device beneath it: there ${devices.length === 1 ? "is one" : `are ${devices.length}`}, and each carries one interface.`,
    );
  }
  const other = taken.get(index);
  if (other !== undefined) {
    throw new StackError(
      "EINVAL",
      `${device?.where ?? section.where} is on the same device as ${other.where.replace(/^.*: /, "")}: give each interface a device of its own.`,
    );
  }
  taken.set(index, section);
  return index;
}

/** The index of the device with the name that was given. */
function indexOf({ value, where }: Given, devices: readonly Section[]): number {
  const names = devices.map(nameOf);
  const index = names.indexOf(String(value));
  if (index >= 0) return index;
  const known = names.filter((name) => name !== null);
  const meant = nearest(String(value), known);
  const advice =
    known.length === 0
      ? "but no device has a name: give it one"
      : `but the devices are ${known.map((name) => JSON.stringify(name)).join(", ")}`;
  const suggestion = meant === null ? "" : ` Did you mean "${meant}"?`;
  throw new StackError("EINVAL", `${where} is ${JSON.stringify(value)}, ${advice}.${suggestion}`);
}

function nameOf(section: Section): string | null {
  const name = section.given.name?.value;
  return typeof name === "string" ? name : null;
}

function checkNamesDiffer(devices: readonly Section[]): void {
  const names = devices.map(nameOf);
  names.forEach((name, i) => {
    if (name === null || names.indexOf(name) === i || name.includes("%d")) return;
    throw new StackError(
      "EINVAL",
      `${devices[i].given.name.where} is ${JSON.stringify(name)}, which another device has: give each a name of its own.`,
    );
  });
}

/** The kernel gets the usual address where that is in one of the stack's networks, and none elsewhere. */
function withHostAddress(device: DeviceConfig, { addresses }: InterfaceConfig): DeviceConfig {
  if (device.hostAddress !== undefined || !belongsTo(DEVICE["host-address"], device.type)) return device;
  const { address } = parseCidr(DEFAULT_HOST_ADDRESS);
  const isReachable = addresses.some((own) => cidrContains(parseCidr(own), address));
  const isTaken = addresses.some((own) => own.startsWith(`${address}/`));
  return isReachable && !isTaken ? { ...device, hostAddress: DEFAULT_HOST_ADDRESS } : device;
}
