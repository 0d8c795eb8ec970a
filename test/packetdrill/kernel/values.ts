import type { Member, Value } from "../script.ts";
import { CallError } from "./call.ts";
import { constant } from "./constants.ts";

/** Reading what a script has as arguments, and writing what a call gives. */

export type Structure = Extract<Value, { kind: "structure" }>;

/** Stands in for an argument that is not there: `...`. */
export const ANY: Value = { kind: "any" };

export function isAny(value: Value | undefined): boolean {
  return value === undefined || value.kind === "any";
}

/** @throws CallError where the value is no number */
export function toBig(value: Value): bigint {
  switch (value.kind) {
    case "number":
      return value.value;
    case "flags":
      return value.names.reduce((bits, name) => bits | BigInt(constant(name)), 0n);
    case "float":
      return BigInt(Math.trunc(value.value));
    case "function":
      // Numbers here are in the host's order.
      if (/^(hton|ntoh)[sl]$/.test(value.name)) return toBig(argument(value.args, 0));
      break;
    case "expression":
      if (value.operator === "|")
        return value.operands.map(toBig).reduce((bits, operand) => bits | operand, 0n);
      break;
    case "array":
      if (value.items.length === 1) return toBig(value.items[0]);
      break;
  }
  throw new CallError(`${describe(value)} stands where a number should`);
}

/** @throws CallError where the value is no number */
export function toNumber(value: Value): number {
  return Number(toBig(value));
}

/** The number, or `otherwise` where the script has `...`. */
export function numberOr(value: Value | undefined, otherwise: number): number {
  return value === undefined || value.kind === "any" ? otherwise : toNumber(value);
}

/** The argument at `index`; `...` where the script has fewer. */
export function argument(args: readonly Value[], index: number): Value {
  return args[index] ?? ANY;
}

/** The name that a flags value consists of, or `null`. */
export function nameOf(value: Value): string | null {
  return value.kind === "flags" && value.names.length === 1 ? value.names[0] : null;
}

/** Bytes of a string; its terminating zero is not among them. */
export function toText(value: Value): string | null {
  if (value.kind !== "string") return null;
  return new TextDecoder().decode(value.value).replace(/\0+$/, "");
}

/** The member of a structure, or `undefined`. */
export function member(value: Value, name: string): Value | undefined {
  if (value.kind !== "structure") return undefined;
  return value.members.find((candidate) => candidate.name === name)?.value;
}

/** What a function of addresses names: `inet_addr("192.0.2.1")`; of a string, the string. */
export function toAddressText(value: Value): string | null {
  if (value.kind === "function") {
    const text = value.args.map(toText).find((candidate) => candidate !== null);
    return text ?? null;
  }
  return toText(value);
}

export function number(value: number | bigint): Value {
  return { kind: "number", value: BigInt(value) };
}

export function text(value: string): Value {
  return { kind: "string", value: new TextEncoder().encode(value) };
}

export function array(...items: Value[]): Value {
  return { kind: "array", items };
}

export function structure(members: Readonly<Record<string, Value | number>>): Structure {
  const list = Object.entries(members).map(([name, value]) => ({
    name,
    value: typeof value === "number" ? number(value) : value,
  }));
  return { kind: "structure", members: list };
}

/** As a script has it, for messages. */
export function describe(value: Value): string {
  switch (value.kind) {
    case "number":
    case "float":
      return String(value.value);
    case "string":
      return JSON.stringify(new TextDecoder().decode(value.value));
    case "flags":
      return value.names.join("|");
    case "any":
      return "...";
    case "array":
      return `[${value.items.map(describe).join(", ")}]`;
    case "structure":
      return `{${value.members.map(describeMember).join(", ")}}`;
    case "function":
      return `${value.name}(${value.args.map(describe).join(", ")})`;
    case "expression":
      return value.operands.map(describe).join(value.operator);
  }
}

function describeMember({ name, count, value }: Member): string {
  if (name === "") return describe(value);
  return `${name}${count === undefined ? "" : `(${describe(count)})`}=${describe(value)}`;
}
