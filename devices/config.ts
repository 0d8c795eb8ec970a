/** Configuration files: from TOML, JSON or an object to a configuration that was checked. */

import { type Config, complete } from "./config-complete.ts";
import { readSettings, readSettingsFile } from "./config-read.ts";

export type {
  Config,
  DeviceConfig,
  InterfaceConfig,
  MiddlewareConfig,
  StackConfig,
} from "./config-complete.ts";
export {
  type OpenConfigOptions,
  type OpenedConfig,
  type OpenedDevice,
  openConfig,
  openDevices,
  openInterfaces,
} from "./config-open.ts";
export type { DeviceType, MiddlewareType } from "./config-schema.ts";
export type { RouteConfig } from "./config-values.ts";

/**
 * Checks a configuration object as it comes out of a TOML or JSON file, and fills in the defaults.
 *
 * A TUN or TAP device has the address 192.168.69.1/24 and the kernel 192.168.69.100/24, other devices 192.168.69.1/24.
 * CONFIG.md has every key.
 *
 * @param object tables `device`, `middleware` and `interface`, or lists of them, with kebab-case keys
 * @param source what messages call it, usually the file's name
 * @throws StackError `EINVAL` that names the key and what is expected there
 *
 * @example
 * ```ts
 * const config = parseConfig({ device: { type: "memory", mtu: 9000 } }, "settings");
 * config.interfaces[0].addresses; // ["192.168.69.1/24"]
 * ```
 */
export function parseConfig(object: unknown, source: string): Config {
  return complete(readSettings(object, source));
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
