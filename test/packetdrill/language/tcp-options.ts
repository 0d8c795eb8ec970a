import type { TcpOption } from "../script.ts";
import type { Reader } from "./reader.ts";

const HEX = /[0-9a-fA-F]+(?![A-Za-z0-9_])/y;
const OPTION_NAME = /(?:exp-)?[A-Za-z][A-Za-z0-9_]*/y;
const LARGEST_U32 = 0xffff_ffff;
const LARGEST_U24 = 0xff_ffff;

const EXPERIMENTAL = 254;
/** Experiment identifiers (RFC 6994) of TCP Fast Open, of AccECN's two orders, and of TARR. */
const FAST_OPEN_ID = 0xf989;
const ACCECN_IDS = [0xacc0, 0xacc1] as const;
const TARR_ID = 0x00ac;

/**
 * Options up to `>`, from behind `<` on: `<mss 1460,sackOK,TS val 100 ecr 0>`, `<...>`.
 *
 * @throws ScriptError
 */
export function readTcpOptions(reader: Reader): TcpOption[] | "any" {
  if (reader.eat("...")) {
    reader.need(">");
    return "any";
  }
  const options: TcpOption[] = [];
  do {
    options.push(readOption(reader));
  } while (reader.eat(","));
  reader.need(">");
  return options;
}

function readOption(reader: Reader): TcpOption {
  const name = reader.take(OPTION_NAME) ?? reader.expected("a TCP option");
  if (name === "nop") return other(name, [1]);
  if (name === "eol") return other(name, [0]);
  if (name === "sackOK") return other(name, [4, 2]);
  if (name === "mss") return other(name, [2, 4, ...big(claimed(reader, "mss", 0xffff), 2)]);
  if (name === "wscale") return other(name, [3, 3, claimed(reader, "window scale", 0xff)]);
  if (name === "sack") return readSack(reader);
  if (name === "TS") return readTimestamps(reader);
  if (name === "FO") return tlv(name, 34, readHex(reader));
  if (name === "FOEXP" || name === "exp-FO")
    return tlv(name, EXPERIMENTAL, [...big(FAST_OPEN_ID, 2), ...readHex(reader)]);
  if (name === "md5") return tlv(name, 19, readHex(reader));
  if (/^(?:exp-)?AccECN[01]$/i.test(name) || name === "ECN") return readAccEcn(reader, name);
  if (/^exp-tarr$/i.test(name)) return readTarr(reader, name);
  return reader.fail(`the TCP option "${name}" is not supported`);
}

/** A number that an expected packet claims. */
function claimed(reader: Reader, what: string, most: number): number {
  reader.skip();
  const start = reader.at;
  const value = reader.integer(what, 0, most);
  reader.claim("option", start);
  return value;
}

function readSack(reader: Reader): TcpOption {
  const blocks: { left: number; right: number }[] = [];
  while (reader.looksAt(/[0-9]/y)) {
    const left = claimed(reader, "the left edge", LARGEST_U32);
    reader.need(":");
    const right = claimed(reader, "the right edge", LARGEST_U32);
    blocks.push({ left, right });
  }
  if (blocks.length === 0) reader.expected("a SACK block");
  return { kind: "sack", blocks };
}

function readTimestamps(reader: Reader): TcpOption {
  if (!reader.eatWord("val")) reader.expected('"val"');
  const value = reader.eat("...") ? undefined : reader.integer("a timestamp", 0, LARGEST_U32);
  if (!reader.eatWord("ecr")) reader.expected('"ecr"');
  const echo = claimed(reader, "a timestamp echoed", LARGEST_U32);
  const absoluteEcho = reader.eat("!");
  return { kind: "TS", ...(value === undefined ? {} : { value }), echo, absoluteEcho };
}

/**
 * Accurate ECN (RFC 9768 3.2.3): up to three counters of three bytes, in the order that the kind says. `ECN` says the
 * order by the counter that comes first.
 */
function readAccEcn(reader: Reader, name: string): TcpOption {
  const counters: number[] = [];
  let isE1First = name.endsWith("1");
  while (reader.looksAt(/(?:e?e[01]b|e?ceb)\b/iy)) {
    const counter = reader.take(/\w+/y) ?? "";
    if (counters.length === 0 && name === "ECN") isE1First = /e1b$/i.test(counter);
    counters.push(claimed(reader, counter, LARGEST_U24));
  }
  if (counters.length > 3) reader.fail(`${name} has ${counters.length} counters: three is most`);
  const data = counters.flatMap((counter) => big(counter, 3));
  if (!name.startsWith("exp-")) return tlv(name, isE1First ? 174 : 172, data);
  return tlv(name, EXPERIMENTAL, [...big(ACCECN_IDS[isE1First ? 1 : 0], 2), ...data]);
}

function readTarr(reader: Reader, name: string): TcpOption {
  const rate = reader.looksAt(/[0-9]/y) ? big(claimed(reader, "a rate", 0x7ff) << 5, 2) : [];
  return tlv(name, EXPERIMENTAL, [...big(TARR_ID, 2), ...rate]);
}

/** Bytes as hexadecimal digits, or a name that `--define` gave them. */
function readHex(reader: Reader): number[] {
  reader.skip();
  const start = reader.at;
  let digits = reader.take(HEX);
  if (digits === null && reader.looksAt(/[A-Za-z_]/y)) {
    digits = reader.defined();
    if (digits === null || !/^[0-9a-fA-F]*$/.test(digits)) {
      reader.fail(
        `"${digits}" is no row of hexadecimal digits; --define=${digits}=... gives a name a value`,
        start,
      );
    }
  }
  if (digits === null) return [];
  if (digits.length % 2 !== 0) reader.fail(`${digits} has an odd number of digits`, start);
  return [...(digits.match(/../g) ?? [])].map((pair) => Number.parseInt(pair, 16));
}

function tlv(name: string, kind: number, data: readonly number[]): TcpOption {
  return other(name, [kind, data.length + 2, ...data]);
}

function other(name: string, bytes: readonly number[]): TcpOption {
  return { kind: "other", name, bytes: new Uint8Array(bytes) };
}

function big(value: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (value >>> (8 * (length - 1 - i))) & 0xff);
}
