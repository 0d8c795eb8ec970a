import type { Call, Member, Value } from "../script.ts";
import type { Reader } from "./reader.ts";

const NUMBER = /(?:0[xX][0-9a-fA-F]+|-?[0-9]+)(?![A-Za-z0-9_.])/y;
const FLOAT = /-?[0-9]*\.[0-9]+(?![A-Za-z0-9_.])/y;
const STRING = /"(?:\\[\s\S]|[^"\\])*"/y;
const NOTE = /\((?:[^()]|\([^()]*\))*\)/y;
const ERRNO = /E[A-Z0-9]+\b/y;
const MEMBER = /[A-Za-z_][A-Za-z0-9_]*\s*(?:=|\()/y;
const FUNCTIONS = new Set(["htons", "htonl", "inet_addr", "inet6_addr", "ntohs", "ntohl"]);

const ANY: Value = { kind: "any" };

/**
 * `name(arguments) = result ERRNO (note)`, from the name on.
 *
 * @throws ScriptError
 */
export function readCall(reader: Reader): Call {
  const name = reader.defined() ?? reader.expected("a packet, a call, a command or code");
  if (/^[0-9]/.test(name)) reader.fail(`${name} is neither a packet, a call, a command nor code`);
  reader.need("(");
  const args = reader.eat(")") ? [] : readList(reader, ")");
  claimValues(reader, name);
  reader.need("=");
  reader.skip();
  const start = reader.at;
  const result = readValue(reader);
  reader.claim("result", start);
  const errno = readErrno(reader);
  reader.take(NOTE);
  return { kind: "call", name, args, result, ...(errno === undefined ? {} : { errno }) };
}

function readErrno(reader: Reader): string | undefined {
  reader.skip();
  const start = reader.at;
  const errno = reader.take(ERRNO);
  if (errno === null) return undefined;
  reader.claim("errno", start);
  return errno;
}

/** What a call is to write through a pointer stands among its arguments: the numbers of a getsockopt, poll or recvmsg. */
const TELLING = new Set(["getsockopt", "poll", "epoll_wait", "ioctl"]);

function claimValues(reader: Reader, name: string): void {
  if (!TELLING.has(name)) return;
  const open = reader.text.lastIndexOf(`${name}`, reader.at);
  const text = reader.text.slice(open, reader.at);
  const found = /\[\s*(-?[0-9]+)\s*\]/.exec(text);
  if (found === null || found.index === undefined) return;
  const start = open + found.index + found[0].indexOf(found[1] ?? "");
  reader.claim("value", start, start + (found[1]?.length ?? 0));
}

/** Values up to `close`, with commas between. */
function readList(reader: Reader, close: string): Value[] {
  const values: Value[] = [];
  do {
    values.push(readValue(reader));
  } while (reader.eat(","));
  reader.need(close);
  return values;
}

/** @throws ScriptError */
export function readValue(reader: Reader): Value {
  const first = readSimple(reader);
  if (!reader.looksAt(/\|/y)) return first;
  const parts = [first];
  while (reader.eat("|")) parts.push(readSimple(reader));
  const names = parts.map(nameOf);
  if (names.every((name) => name !== null)) return { kind: "flags", names: names as string[] };
  return { kind: "expression", operator: "|", operands: parts };
}

function nameOf(value: Value): string | null {
  if (value.kind === "flags") return value.names.length === 1 ? (value.names[0] ?? null) : null;
  return value.kind === "number" ? String(value.value) : null;
}

function readSimple(reader: Reader): Value {
  if (reader.eat("...")) return ANY;
  const number = reader.take(NUMBER);
  if (number !== null) return { kind: "number", value: BigInt(number) };
  const float = reader.take(FLOAT);
  if (float !== null) return { kind: "float", value: Number(float) };
  if (reader.looksAt(STRING)) return readStrings(reader);
  if (reader.eat("[")) return { kind: "array", items: reader.eat("]") ? [] : readList(reader, "]") };
  if (reader.eat("{")) return { kind: "structure", members: reader.eat("}") ? [] : readMembers(reader) };
  if (reader.eat("(")) {
    const inner = readValue(reader);
    reader.need(")");
    return inner;
  }
  return readNamed(reader);
}

function readNamed(reader: Reader): Value {
  const word = reader.defined() ?? reader.expected("a value");
  if (word.startsWith('"')) return { kind: "string", value: unescapeString(word) };
  if (/^(?:0x[0-9a-f]+|-?[0-9]+)$/i.test(word)) return { kind: "number", value: BigInt(word) };
  if (FUNCTIONS.has(word)) {
    reader.need("(");
    return { kind: "function", name: word, args: readList(reader, ")") };
  }
  const name: Value = { kind: "flags", names: [word] };
  if (!reader.looksAt(/=(?!=)/y)) return name;
  reader.need("=");
  return { kind: "expression", operator: "=", operands: [name, readValue(reader)] };
}

/** Strings one after the other are one. */
function readStrings(reader: Reader): Value {
  const parts: number[] = [];
  for (let part = reader.take(STRING); part !== null; part = reader.take(STRING))
    parts.push(...unescapeString(part));
  const value = new Uint8Array(parts);
  return reader.eat("...") ? { kind: "string", value, open: true } : { kind: "string", value };
}

function readMembers(reader: Reader): Member[] {
  const members: Member[] = [];
  do {
    members.push(readMember(reader));
  } while (reader.eat(","));
  reader.need("}");
  return members;
}

function readMember(reader: Reader): Member {
  if (!reader.looksAt(MEMBER) || FUNCTIONS.has(peekWord(reader)))
    return { name: "", value: readValue(reader) };
  const name = reader.word() ?? "";
  let count: Value | undefined;
  if (reader.eat("(")) {
    count = readValue(reader);
    reader.need(")");
  }
  reader.need("=");
  const value = readValue(reader);
  return count === undefined ? { name, value } : { name, count, value };
}

function peekWord(reader: Reader): string {
  const start = reader.at;
  const word = reader.word() ?? "";
  reader.at = start;
  return word;
}

const ESCAPES: Record<string, number> = { n: 10, t: 9, r: 13, "0": 0, a: 7, b: 8, f: 12, v: 11 };

/** The bytes of a string with its quotes: `\n`, `\xff`, `\\` and the like are one each. */
function unescapeString(quoted: string): Uint8Array {
  const text = quoted.slice(1, -1);
  const bytes: number[] = [];
  const encoder = new TextEncoder();
  for (const part of text.match(/\\x[0-9a-fA-F]{1,2}|\\[\s\S]|[^\\]+/g) ?? []) {
    if (!part.startsWith("\\")) bytes.push(...encoder.encode(part));
    else if (part.startsWith("\\x")) bytes.push(Number.parseInt(part.slice(2), 16));
    else bytes.push(ESCAPES[part.slice(1)] ?? part.charCodeAt(1));
  }
  return new Uint8Array(bytes);
}
