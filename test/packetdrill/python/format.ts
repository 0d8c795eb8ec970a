import { PythonError } from "./tokens.ts";

export type Value = number | string | boolean | null | readonly Value[];

/** As Python's `str`. */
export function str(value: Value | undefined): string {
  return typeof value === "string" ? value : repr(value);
}

/** As Python's `repr`. */
export function repr(value: Value | undefined): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return `'${value}'`;
  if (typeof value === "number") return String(value);
  return `(${value.map(repr).join(", ")})`;
}

/** `"cwnd=%d" % x`: conversions d, i, u, x, X, o, f, g, s, r with flags, width and precision. */
export function formatPercent(format: string, values: Value): string {
  const list = Array.isArray(values) ? [...values] : [values];
  return format.replace(/%(%|[-+ 0#]*\d*(?:\.\d+)?l?[diuxXofgsr])/g, (_, conversion: string) => {
    if (conversion === "%") return "%";
    if (list.length === 0) throw new PythonError(`not enough values for "${format}"`);
    return formatValue(list.shift() as Value, conversion.replace("l", ""));
  });
}

/** One value by a format such as `08x`, `.3f` or `d`; "" is as `str`. */
export function formatValue(value: Value, format: string): string {
  const found = /^([-+ 0#<>]*)(\d*)(?:\.(\d+))?([diuxXofgsr]?)$/.exec(format);
  if (found === null) throw new PythonError(`the format "${format}" is not supported`);
  const [, flags = "", width = "", precision, conversion = ""] = found;
  const text = converted(value, conversion, precision === undefined ? undefined : Number(precision));
  const signed = flags.includes("+") && !text.startsWith("-") ? `+${text}` : text;
  if (flags.includes("-") || flags.includes("<")) return signed.padEnd(Number(width));
  return signed.padStart(Number(width), flags.includes("0") ? "0" : " ");
}

function converted(value: Value, conversion: string, precision: number | undefined): string {
  if (conversion === "" || conversion === "s") return str(value);
  if (conversion === "r") return repr(value);
  const number = typeof value === "boolean" ? Number(value) : value;
  if (typeof number !== "number") throw new PythonError(`%${conversion} wants a number, not ${repr(value)}`);
  switch (conversion) {
    case "x":
      return Math.trunc(number).toString(16);
    case "X":
      return Math.trunc(number).toString(16).toUpperCase();
    case "o":
      return Math.trunc(number).toString(8);
    case "f":
      return number.toFixed(precision ?? 6);
    case "g":
      return String(Number(number.toPrecision(precision ?? 6)));
    default:
      return String(Math.trunc(number));
  }
}
