/** The documentation of every key: what CONFIG.md shows, made of the schema. `bun run devices/config-doc.ts` renews it. */

import { readFileSync, writeFileSync } from "node:fs";
import { type Key, keysOf, type TableName } from "./config-schema.ts";

const FILE = `${import.meta.dir}/CONFIG.md`;
const BEGIN = "<!-- made by config-doc.ts: begin -->";
const END = "<!-- made by config-doc.ts: end -->";

const HEADINGS: Readonly<Record<TableName, string>> = {
  device: "[device]",
  middleware: "[[middleware]]",
  interface: "[interface]",
  host: "[host]",
};
const COLUMNS = ["table", "key", "value", "unless given", "of", "flag", "what it does"];

/** The table of all keys, in Markdown. */
export function configTable(): string {
  const rows = (Object.keys(HEADINGS) as TableName[]).flatMap((table) =>
    Object.entries(keysOf(table)).map(([name, key]) => row(HEADINGS[table], name, key)),
  );
  const all = [COLUMNS, COLUMNS.map(() => "---"), ...rows];
  return all.map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

function row(table: string, name: string, key: Key<unknown>): string[] {
  const flag =
    key.flag === undefined ? "" : code(key.default === true ? key.flag.replace("--", "--no-") : key.flag);
  return [
    code(table),
    code(name),
    key.kind.shown,
    fallback(key),
    key.only?.join(", ") ?? "all",
    flag,
    key.doc,
  ];
}

function fallback(key: Key<unknown>): string {
  if (key.default !== undefined) return code(JSON.stringify(key.default));
  return key.required ? "has to be given" : (key.otherwise ?? "");
}

function code(text: string): string {
  return `\`${text}\``;
}

/** The part of a document that the table fills. */
export function withTable(document: string): string {
  const begin = document.indexOf(BEGIN) + BEGIN.length;
  const end = document.indexOf(END);
  return `${document.slice(0, begin)}\n\n${configTable()}\n${document.slice(end)}`;
}

if (import.meta.main) writeFileSync(FILE, withTable(readFileSync(FILE, "utf8")));
