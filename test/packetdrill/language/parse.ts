import type { Event, EventTime, Script, Shell } from "../script.ts";
import { readPacket } from "./packets.ts";
import { Reader, ScriptError } from "./reader.ts";
import { readCall } from "./values.ts";

const SECONDS = /[0-9]*\.[0-9]+|[0-9]+/y;
const NEGATIVE = /-[0-9.]/y;
const COMMAND = /`(?:\\[\s\S]|[^`\\])*`/y;
const CODE = /%\{[\s\S]*?\}%/y;
const OPTION = /--[A-Za-z0-9_]+/y;
const OPTION_VALUE = /(?:\w+=)?(?:"[^"\n]*"|`[^`\n]*`|[^\s"`]+)/y;

/** What `parseScript` takes beside the text. */
export interface ParseOptions {
  /** Names with their values, from the command line; those of the script come on top. */
  readonly defines?: ReadonlyMap<string, string>;
}

/**
 * Reads a script. Everything in it is understood, or it is an error.
 *
 * @param file its name, for messages
 * @throws ScriptError
 *
 * @example
 * ```ts
 * parseScript("a.pkt", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3").events.length; // 1
 * ```
 */
export function parseScript(file: string, text: string, options: ParseOptions = {}): Script {
  const defines = new Map(options.defines);
  const reader = new Reader(file, text, defines);
  const found = readOptions(reader, defines);
  const init = readCommands(reader);
  const events: Event[] = [];
  let cleanup: Shell[] = [];
  while (!reader.atEnd) {
    if (reader.looksAt(COMMAND)) {
      cleanup = readCommands(reader);
      if (!reader.atEnd) reader.fail("a command without a time is for the top and the end of a script");
      break;
    }
    reader.event = events.length;
    const event = readEvent(reader);
    checkTime(event);
    events.push(event);
  }
  if (events.length === 0) reader.fail("the script has no events");
  return { file, text, options: found, init, cleanup, events, claims: reader.claims };
}

function readOptions(reader: Reader, defines: Map<string, string>): Script["options"] {
  const options: { name: string; value: string; place: { file: string; line: number } }[] = [];
  while (reader.looksAt(OPTION)) {
    reader.skip();
    const { place } = reader;
    const name = (reader.take(OPTION) ?? "").slice(2);
    const value = reader.eat("=")
      ? (reader.takeHere(OPTION_VALUE) ?? reader.expected(`a value for --${name}`))
      : "";
    options.push({ name, value: name === "define" ? value : value.replace(/^"(.*)"$/, "$1"), place });
    if (name === "define") define(defines, value, place);
  }
  return options;
}

/**
 * Takes in `NAME=VALUE`.
 *
 * @throws ScriptError
 */
export function define(
  defines: Map<string, string>,
  text: string,
  place: { file: string; line: number },
): void {
  const found = /^([A-Za-z_][A-Za-z0-9_]*)=([\s\S]*)$/.exec(text);
  if (found === null) throw new ScriptError(place, `--define=${text}: write --define=NAME=VALUE`);
  defines.set(found[1] ?? "", found[2] ?? "");
}

function readCommands(reader: Reader): Shell[] {
  const commands: Shell[] = [];
  for (let text = reader.take(COMMAND); text !== null; text = reader.take(COMMAND)) {
    commands.push({ kind: "shell", command: text.slice(1, -1) });
  }
  return commands;
}

function readEvent(reader: Reader): Event {
  reader.skip();
  const { place } = reader;
  const start = reader.at;
  const time = readTime(reader);
  const timeEnd = reader.at;
  const until = readUntil(reader, time);
  reader.skip();
  const isExpected = reader.text[reader.at] === ">";
  if (isExpected && time.kind !== "any") reader.claim("time", start, timeEnd);
  const before = reader.claims.length;
  const action = readAction(reader);
  // What is put on the wire claims nothing.
  if (action.kind === "packet" && action.direction === "in") reader.claims.length = before;
  if (until !== undefined && action.kind !== "call") reader.fail("only calls have an end", start);
  return { place, time, ...(until === undefined ? {} : { until }), action };
}

function readTime(reader: Reader): EventTime {
  if (reader.eat("*")) return { kind: "any" };
  const relative = reader.eat("+");
  const from = readSeconds(reader);
  if (!reader.eat("~")) return relative ? { kind: "relative", after: from } : { kind: "absolute", at: from };
  if (relative) reader.need("+");
  const to = readSeconds(reader);
  if (to < from) reader.fail(`the time range from ${from} to ${to} goes backward`);
  return { kind: "range", from, to, relative };
}

function readUntil(reader: Reader, time: EventTime): Event["until"] | undefined {
  if (!reader.eat("...")) return undefined;
  reader.eat("+");
  return { at: readSeconds(reader), relative: time.kind === "relative" };
}

function readSeconds(reader: Reader): number {
  if (reader.looksAt(NEGATIVE)) reader.fail("a time cannot be negative");
  const digits = reader.take(SECONDS) ?? reader.expected("a time: 0.1, +.1, +0~+.5 or *");
  return Number(digits);
}

function readAction(reader: Reader): Event["action"] {
  reader.skip();
  const start = reader.at;
  const first = reader.text[reader.at];
  if (first === "<" || first === ">") return readPacket(reader);
  const command = reader.take(COMMAND);
  if (command !== null) return { kind: "shell", command: command.slice(1, -1) };
  const code = reader.take(CODE);
  if (code !== null) {
    reader.claim("assertion", start + 2, reader.at - 2);
    return { kind: "assertion", text: code.slice(2, -2) };
  }
  const word = reader.defined();
  if (word?.startsWith("`")) return { kind: "shell", command: word.slice(1, -1) };
  reader.at = start;
  return readCall(reader);
}

/** Only what is expected from the wire may happen at any time, or within a range. */
function checkTime({ time, action, place }: Event): void {
  if (time.kind !== "any" && time.kind !== "range") return;
  if (action.kind === "packet" && action.direction === "out") return;
  const what = time.kind === "any" ? "the time *" : "a time range";
  throw new ScriptError(place, `${what} is for expected packets only`);
}
