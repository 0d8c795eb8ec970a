import type { Claim, Script } from "./script.ts";

/** A script with one claim falsified. */
export interface Mutation {
  readonly claim: Claim;
  /** Line of the claim, from 1. */
  readonly line: number;
  /** What stood there and what stands there now. */
  readonly was: string;
  readonly is: string;
  readonly text: string;
}

/**
 * All scripts that differ from this one in one thing that it claims: a number of an expected packet, its flags, its time, a
 * call's result or errno, a value that it gives, a number of an assertion. Positions are those of the text, and so what a
 * reader of the script sees is what is falsified.
 *
 * @example
 * ```ts
 * const script = parseScript("a.pkt", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3");
 * mutations(script).map(({ was, is }) => `${was} -> ${is}`); // ["3 -> -1"]
 * ```
 */
export function mutations(script: Script): Mutation[] {
  return script.claims.flatMap((claim) => {
    const was = script.text.slice(claim.start, claim.end);
    return falsified(script, claim, was).map((is) => ({
      claim,
      line: script.text.slice(0, claim.start).split("\n").length,
      was,
      is,
      text: script.text.slice(0, claim.start) + is + script.text.slice(claim.end),
    }));
  });
}

/** What these return is a name for what they made, which a script chooses as it likes: only that they succeed is a claim. */
const MAKERS = new Set([
  "socket",
  "accept",
  "accept4",
  "epoll_create",
  "epoll_create1",
  "dup",
  "open",
  "eventfd",
]);

function falsified(script: Script, claim: Claim, was: string): string[] {
  const action = script.events[claim.event]?.action;
  switch (claim.kind) {
    case "result":
      if (action?.kind === "call" && MAKERS.has(action.name) && was !== "-1") return ["-1"];
      return [incremented(was)].filter((is) => is !== was);
    case "sequence":
      return sequences(was);
    case "flags":
      return flags(was);
    case "time":
      return times(was);
    case "errno":
      return [was === "EINVAL" ? "ENOENT" : "EINVAL"];
    case "icmp":
      return [was.startsWith("echo_reply") ? "source_quench" : "echo_reply"];
    case "assertion":
      return assertions(was);
    case "value":
    case "option":
    case "ack":
    case "window":
    case "urgent":
    case "length":
    case "ip":
      return [incremented(was)].filter((is) => is !== was);
  }
}

/** One more; one less where that is too much for the field. */
function incremented(was: string): string {
  if (/^0x[0-9a-f]+$/i.test(was)) return `0x${(Number.parseInt(was, 16) ^ 1).toString(16)}`;
  const ecn: Record<string, string> = { noecn: "ce", ce: "ect0", ect0: "ect1", ect1: "ect0", ect01: "noecn" };
  if (ecn[was] !== undefined) return ecn[was];
  const number = Number(was);
  if (!/^-?[0-9]+$/.test(was)) return was;
  // A call that fails gives -1: a success is what is false.
  if (number === -1) return "0";
  return String(number === 65_535 || number === 255 ? number - 1 : number + 1);
}

/** `1:101(100)`: the whole moved, and the end by one. */
function sequences(was: string): string[] {
  const found = /^(\d+)(\s*:\s*)(\d+)(\s*\(\s*)(\d+)(\s*\))$/.exec(was);
  if (found === null) return [];
  const [, from = "", colon = "", to = "", open = "", length = "", close = ""] = found;
  const moved = `${Number(from) + 1}${colon}${Number(to) + 1}${open}${length}${close}`;
  const longer = `${from}${colon}${Number(to) + 1}${open}${Number(length) + 1}${close}`;
  if (length === "0") return [moved, longer];
  return [moved, longer, `${from}${colon}${Number(to) - 1}${open}${Number(length) - 1}${close}`];
}

function flags(was: string): string[] {
  return ["P", "F", "R", "S"].map((flag) =>
    was.includes(flag) ? was.replace(flag, "") || "-" : `${flag}${was.replace("-", "")}`,
  );
}

/** Half as long again and a second: more than any tolerance of a script. */
function times(was: string): string[] {
  const isRange = was.includes("~");
  return [was.replace(/[0-9]*\.?[0-9]+/g, (time) => later(Number(time), isRange))];
}

function later(time: number, isRange: boolean): string {
  return String(Number((time + (isRange ? 30 : 1 + time / 2)).toFixed(6)));
}

/** Each number of it, one by one. */
function assertions(was: string): string[] {
  const mutated: string[] = [];
  for (const found of was.matchAll(/(?<![\w.'"%{])\d+(?![\w.'"}])/g)) {
    const at = found.index ?? 0;
    if (isComment(was, at) || isMessage(was, at)) continue;
    mutated.push(was.slice(0, at) + String(Number(found[0]) + 1) + was.slice(at + found[0].length));
  }
  return mutated;
}

function isComment(text: string, at: number): boolean {
  return text.slice(text.lastIndexOf("\n", at) + 1, at).includes("#");
}

/** Behind the comma of an assertion stands what it says when it fails. */
function isMessage(text: string, at: number): boolean {
  const statement = text.slice(Math.max(text.lastIndexOf("\n", at), text.lastIndexOf(";", at)) + 1, at);
  let depth = 0;
  for (const c of statement) {
    if (c === "(") depth++;
    if (c === ")") depth--;
    if (c === "," && depth === 0) return true;
  }
  return false;
}
