/** The kinds of values that a configuration may hold: what each accepts, and the sentence for what it does not. */

import { StackError } from "../src/errors.ts";
import { parseHardwareAddress } from "../src/wire/ethernet.ts";
import { isBroadcast, isMulticast, isUnspecified, parseAddress, parseCidr } from "../src/wire/ip-address.ts";
import { interfaceNameProblem } from "./linux/tun-ioctl.ts";
import { nearest } from "./suggest.ts";

/** A kind of value. */
export interface Kind<T> {
  /** In the documentation: `68 .. 65535`. */
  readonly shown: string;
  /** What a flag's value is called in a usage text. */
  readonly word: string;
  /** All that is accepted, where that is a list. */
  readonly words?: readonly string[];
  /** Checks what a file holds; `where` names the place in messages. */
  check(value: unknown, where: string): T;
  /** What a file would hold where a command line has `text`. */
  fromText(text: string): unknown;
}

/** A route of an interface to a network behind one of its neighbours. */
export interface RouteConfig {
  /** The network: `10.0.0.0/8`. */
  readonly to: string;
  /** The neighbour's address. */
  readonly via: string;
}

/** The error for a value that is not accepted. */
export function wrong(
  where: string,
  value: unknown,
  advice: string,
  meant: string | null = null,
): StackError {
  const suggestion = meant === null ? "" : ` Did you mean "${meant}"?`;
  const shown = JSON.stringify(value) ?? typeof value;
  return new StackError("EINVAL", `${where} is ${shown}; ${advice}.${suggestion}`);
}

/** `"a", "b" or "c"`. */
export function alternatives(words: readonly string[]): string {
  const quoted = words.map((word) => JSON.stringify(word));
  const last = quoted.pop() ?? "";
  return quoted.length === 0 ? last : `${quoted.join(", ")} or ${last}`;
}

export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

const asItIs = (text: string): unknown => text;
/** Not `Number(text)`: what is no plain number is to be refused, and shown, as it was written. */
const asNumber = (text: string): unknown => (/^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : text);

export function choice<const T extends string>(words: readonly T[], word: string): Kind<T> {
  return {
    shown: words.map((each) => `\`"${each}"\``).join(", "),
    word,
    words,
    fromText: asItIs,
    check(value, where) {
      for (const each of words) if (value === each) return each;
      const meant = typeof value === "string" ? nearest(value, words) : null;
      throw wrong(where, value, `write ${alternatives(words)}`, meant);
    },
  };
}

export function integer(low: number, high: number, word = "N"): Kind<number> {
  const most = high === Number.MAX_SAFE_INTEGER ? "" : `${high}`;
  return {
    shown: most === "" ? `${low} ..` : `${low} .. ${most}`,
    word,
    fromText: asNumber,
    check(value, where) {
      if (typeof value === "number" && Number.isInteger(value) && value >= low && value <= high) return value;
      throw wrong(where, value, `write a whole number from ${low}${most === "" ? " up" : ` to ${most}`}`);
    },
  };
}

/** A number with fractions; `low` itself is accepted. */
export function number(low: number, high = Number.POSITIVE_INFINITY): Kind<number> {
  const isBounded = high !== Number.POSITIVE_INFINITY;
  return {
    shown: isBounded ? `${low} .. ${high}` : `${low} ..`,
    word: "NUMBER",
    fromText: asNumber,
    check(value, where) {
      if (typeof value === "number" && value >= low && value <= high) return value;
      throw wrong(where, value, `write a number from ${low}${isBounded ? ` to ${high}` : " up"}`);
    },
  };
}

export const PROBABILITY: Kind<number> = { ...number(0, 1), shown: "probability, 0 .. 1" };

export const BOOLEAN: Kind<boolean> = {
  shown: "`true`, `false`",
  word: "true|false",
  fromText: (text) => (text === "true" ? true : text === "false" ? false : text),
  check(value, where) {
    if (typeof value === "boolean") return value;
    throw wrong(where, value, "write true or false, without quotes");
  },
};

export const PATH: Kind<string> = {
  shown: "file name",
  word: "FILE",
  fromText: asItIs,
  check(value, where) {
    if (typeof value === "string" && value !== "") return value;
    throw wrong(where, value, "write the name of a file");
  },
};

export const INTERFACE_NAME: Kind<string> = {
  shown: "interface name",
  word: "NAME",
  fromText: asItIs,
  check(value, where) {
    if (typeof value === "string" && interfaceNameProblem(value) === null) return value;
    throw wrong(where, value, 'write an interface name of 1 to 15 bytes, without spaces, "/" and ":"');
  },
};

function text(word: string, shown: string, advice: string, isGood: (value: string) => boolean): Kind<string> {
  return {
    shown,
    word,
    fromText: asItIs,
    check(value, where) {
      if (typeof value === "string" && succeeds(() => isGood(value))) return value;
      throw wrong(where, value, advice);
    },
  };
}

function succeeds(check: () => boolean): boolean {
  try {
    return check();
  } catch {
    return false;
  }
}

/** An address with its prefix, of a host or of a network. */
export const CIDR = text(
  "CIDR",
  "address with prefix",
  "write an address with its prefix, like 192.168.69.1/24",
  (value) => parseCidr(value) !== null,
);

/** An address that a single host can have. */
export const ADDRESS = text(
  "ADDRESS",
  "address",
  "write the address of a host without a prefix, like 192.168.69.100",
  (value) => {
    const address = parseAddress(value);
    return !isUnspecified(address) && !isMulticast(address) && !isBroadcast(address);
  },
);

/** The hardware address of a station. */
export const STATION = text(
  "MAC",
  "hardware address",
  "write the six bytes of a single station's hardware address, like 02:00:00:00:00:01",
  (value) => parseHardwareAddress(value) !== null,
);

/** The hardware address that a device is to have. */
export const HARDWARE_ADDRESS = text(
  "MAC",
  'hardware address; on raw also `"interface"`\'s',
  'write the six bytes of a single station\'s hardware address, like 02:00:00:00:00:01, or for raw "interface"',
  (value) => value === "interface" || parseHardwareAddress(value) !== null,
);

/** One value or more of `kind`, all different. */
export function list<T extends string>(kind: Kind<T>, shown: string, example: string): Kind<readonly T[]> {
  return {
    shown,
    word: kind.word,
    fromText: asItIs,
    check(value, where) {
      if (!Array.isArray(value) || value.length === 0)
        throw wrong(where, value, `write a list, like ${example}`);
      // Flags have no index: each is one item.
      const place = (i: number) => (where.startsWith("--") ? where : `${where}[${i}]`);
      const values = value.map((item, i) => kind.check(item, place(i)));
      const again = values.findIndex((item, i) => values.indexOf(item) < i);
      if (again >= 0) throw wrong(place(again), values[again], "it is there twice: leave one out");
      return values;
    },
  };
}

const ROUTE_KEYS = ["to", "via"];
const ROUTES_EXAMPLE = '[{ to = "10.0.0.0/8", via = "192.168.69.100" }]';

export const ROUTES: Kind<readonly RouteConfig[]> = {
  shown: "list of `{ to, via }`",
  word: "ROUTES",
  fromText: asItIs,
  check(value, where) {
    if (!Array.isArray(value)) throw wrong(where, value, `write a list, like ${ROUTES_EXAMPLE}`);
    return value.map((route, i) => checkRoute(route, `${where}[${i}]`));
  },
};

function checkRoute(value: unknown, where: string): RouteConfig {
  if (!isTable(value)) throw wrong(where, value, `write a table, as in ${ROUTES_EXAMPLE}`);
  for (const key of Object.keys(value)) {
    if (ROUTE_KEYS.includes(key)) continue;
    const meant = nearest(key, ROUTE_KEYS);
    const advice = meant === null ? `known are ${ROUTE_KEYS.join(", ")}.` : `did you mean "${meant}"?`;
    throw new StackError("EINVAL", `${where}: there is no key ${key}; ${advice}`);
  }
  for (const key of ROUTE_KEYS) {
    if (!Object.hasOwn(value, key)) {
      throw new StackError("EINVAL", `${where} has no key ${key}: write a route like ${ROUTES_EXAMPLE}.`);
    }
  }
  return { to: CIDR.check(value.to, `${where}.to`), via: ADDRESS.check(value.via, `${where}.via`) };
}
