import type { Call, Value } from "../script.ts";
import type { CallResult } from "./call.ts";
import { describe, toAddressText, toBig } from "./values.ts";

/** Comparing what a call gave with what the script says it gives. */

/** How they differ, in words, or `null`. */
export function mismatchOf(call: Call, result: CallResult): string | null {
  const expected = describeExpected(call);
  const actual = result.errno === null ? String(result.value) : `-1 ${result.errno}`;
  const differs = () => `expected ${call.name} to return ${expected}, but it returned ${actual}`;
  if (call.errno !== undefined && call.errno !== result.errno && !isSameError(call.errno, result.errno)) {
    return differs();
  }
  if (call.result.kind !== "any" && toBig(call.result) !== result.value) return differs();
  if (result.errno !== null) return null;
  for (const [index, given] of result.out) {
    const wanted = call.args[index];
    const difference = wanted === undefined ? null : differenceOf(wanted, given, argumentName(call, index));
    if (difference !== null) return `${call.name}: ${difference}`;
  }
  return null;
}

function describeExpected(call: Call): string {
  const { result, errno } = call;
  return errno === undefined ? describe(result) : `${describe(result)} ${errno}`;
}

/** Two names of one number. */
function isSameError(expected: string, actual: string | null): boolean {
  const canonical = (name: string) =>
    name === "EWOULDBLOCK" ? "EAGAIN" : name === "ENOTSUP" ? "EOPNOTSUPP" : name;
  return actual !== null && canonical(expected) === canonical(actual);
}

function argumentName(call: Call, index: number): string {
  const option = call.args[2];
  if (call.name === "getsockopt" && index === 3 && option !== undefined) return describe(option);
  return `argument ${index + 1}`;
}

/** How `actual` differs from what the script has in that place, or `null`; `...` is anything. */
function differenceOf(expected: Value, actual: Value, what: string): string | null {
  if (expected.kind === "any" || actual.kind === "any") return null;
  const differs = () => `expected ${what} to be ${describe(expected)}, but it is ${describe(actual)}`;
  if (actual.kind === "structure") {
    if (expected.kind === "array" && expected.items.length === 1) {
      return differenceOf(expected.items[0], actual, what);
    }
    if (expected.kind !== "structure") return differs();
    for (const { name, value } of expected.members) {
      if (value.kind === "any") continue;
      const given = actual.members.find((candidate) => candidate.name === name);
      if (given === undefined) return `expected ${what} to have ${name}=${describe(value)}, but it has none`;
      const inner = differenceOf(value, given.value, `${what}'s ${name}`);
      if (inner !== null) return inner;
    }
    return null;
  }
  if (actual.kind === "array") {
    const items = expected.kind === "array" ? expected.items : [expected];
    if (items.length !== actual.items.length) return differs();
    for (const [i, item] of items.entries()) {
      const inner = differenceOf(item, actual.items[i], items.length === 1 ? what : `${what}[${i}]`);
      if (inner !== null) return inner;
    }
    return null;
  }
  if (actual.kind === "string") {
    const written = expected.kind === "array" && expected.items.length === 1 ? expected.items[0] : expected;
    return toAddressText(written) === toAddressText(actual) ? null : differs();
  }
  if (expected.kind === "string" || expected.kind === "structure") return differs();
  return isSameNumber(toBig(expected), toBig(actual)) ? null : differs();
}

/** `0xffffffff` and -1 are the same int. */
function isSameNumber(a: bigint, b: bigint): boolean {
  return a === b || (fits(a) && fits(b) && BigInt.asIntN(32, a) === BigInt.asIntN(32, b));
}

function fits(value: bigint): boolean {
  return value >= -0x80000000n && value <= 0xffffffffn;
}
