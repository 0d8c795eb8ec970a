/** From a file or an object to settings: every key known, every value of its kind, nothing filled in yet. */

import { readFileSync } from "node:fs";
import { StackError } from "../src/errors.ts";
import { keysOf, TABLES, type TableName } from "./config-schema.ts";
import { isTable, wrong } from "./config-values.ts";
import { nearest } from "./suggest.ts";

/** One setting, and where it was found: `tun.toml: device.mtu` or `--mtu`. */
export interface Given {
  readonly value: unknown;
  readonly where: string;
}

/** One table, and where it stands: `tun.toml: device`. */
export interface Section {
  readonly where: string;
  readonly given: Readonly<Record<string, Given>>;
}

/** A table that is not there. */
export const NOTHING: Section = { where: "", given: {} };

/** Settings before the defaults: all tables of each name. */
export type Settings = Readonly<Record<TableName, readonly Section[]>>;

const NAMES = Object.keys(TABLES) as TableName[];

/**
 * Checks every key and value of a configuration object, without filling in defaults.
 *
 * @throws StackError `EINVAL`
 */
export function readSettings(object: unknown, source: string): Settings {
  if (!isTable(object)) {
    throw new StackError("EINVAL", `${source}: a configuration is a table with [device] and [interface].`);
  }
  for (const key of Object.keys(object)) {
    if (!Object.hasOwn(TABLES, key)) throw unknownKey(source, "", "", key);
  }
  const sections = (name: TableName) => readSections(object[name], name, source);
  return {
    host: sections("host"),
    device: sections("device"),
    middleware: sections("middleware"),
    interface: sections("interface"),
  };
}

/** `[name]` is one table, `[[name]]` a list of them. */
function readSections(value: unknown, name: TableName, source: string): Section[] {
  if (value === undefined) return [];
  if (isTable(value)) return [readSection(value, name, name, source)];
  if (!Array.isArray(value)) throw wrong(`${source}: ${name}`, value, `write a table [${name}]`);
  return value.map((item, i) => {
    if (!isTable(item)) throw wrong(`${source}: ${name}[${i}]`, item, `write a table [[${name}]]`);
    return readSection(item, name, value.length === 1 ? name : `${name}[${i}]`, source);
  });
}

function readSection(
  values: Record<string, unknown>,
  name: TableName,
  place: string,
  source: string,
): Section {
  const keys = keysOf(name);
  const given: Record<string, Given> = {};
  for (const key of Object.keys(values)) {
    if (!Object.hasOwn(keys, key)) throw unknownKey(source, name, place, key);
    const where = `${source}: ${place}.${key}`;
    given[key] = { value: keys[key].kind.check(values[key], where), where };
  }
  return { where: `${source}: ${place}`, given };
}

/** Why `key` is not allowed in a table ("" for the top level), and what may have been meant. */
function unknownKey(source: string, name: TableName | "", place: string, key: string): StackError {
  const known = name === "" ? NAMES : Object.keys(keysOf(name));
  const home = NAMES.find((other) => other !== name && Object.hasOwn(keysOf(other), key));
  const meant = nearest(key, known);
  const path = place === "" ? key : `${place}.${key}`;
  let advice = `known are ${known.join(", ")}.`;
  if (home !== undefined) advice = `it belongs in [${home}].`;
  else if (meant !== null) advice = `did you mean "${meant}"?`;
  return new StackError("EINVAL", `${source}: there is no key ${path}; ${advice}`);
}

/**
 * Reads the settings in a file; TOML or JSON, as its name says.
 *
 * @throws StackError `ENOENT` or `EACCES` where it can't be read, `EINVAL` that names file, key and what is expected
 */
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
