import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

const root = join(import.meta.dir, "..");

/** Every source file under `folder`, as a path from the project's root. */
function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
}

const read = (file: string) => readFileSync(join(root, file), "utf8");

/** The code without its comments, so that a rule may be named in one. */
const code = (file: string) => read(file).replace(/\/\*[\s\S]*?\*\/|(?<![:"'`])\/\/.*$/gm, "");

/** What `file` imports: paths from the root for the project's own files, names for everything else. */
function imports(file: string): string[] {
  const found = code(file).matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)(["'])([^"']+)\1/g);
  return [...found].map(([, , name]) => (name.startsWith(".") ? normalize(join(dirname(file), name)) : name));
}

/** The layer that a file of the project belongs to: its folder, or its own name directly under src. */
function layer(file: string): string {
  const [top, second, third] = file.split("/");
  if (top !== "src") return top;
  return third === undefined ? second.replace(/\.ts$/, "") : second;
}

/** What each layer may import besides itself. Imports point downward only. */
const ALLOWED: Record<string, readonly string[]> = {
  errors: [],
  device: ["errors"],
  stats: [],
  random: ["errors"],
  wire: ["errors"],
  storage: ["errors"],
  socket: ["wire", "storage", "errors", "stats", "random"],
  iface: ["socket", "device", "wire", "storage", "errors", "stats", "random"],
  stack: ["iface", "socket", "device", "wire", "storage", "errors", "stats", "random"],
  host: ["stack", "iface", "socket", "device", "wire", "storage", "errors", "stats", "random"],
  sim: ["host", "stack", "iface", "socket", "device", "wire", "storage", "errors", "stats", "random"],
  index: ["host", "stack", "iface", "socket", "device", "wire", "storage", "errors", "stats", "random"],
  devices: ["device", "wire", "errors", "random"],
};

const src = sources("src");
const devices = sources("devices");

describe("architecture", () => {
  test("there is something to check", () => {
    expect(src.length).toBeGreaterThan(40);
    expect(devices.length).toBeGreaterThan(5);
    expect(imports("src/stack.ts")).toContain("src/iface/interface.ts");
  });

  test("imports point downward only", () => {
    const wrong: string[] = [];
    for (const file of [...src, ...devices]) {
      const own = layer(file);
      const allowed = ALLOWED[own];
      if (allowed === undefined) wrong.push(`${file}: the layer "${own}" is not in the table of this test`);
      for (const name of imports(file)) {
        const isOurs = name.startsWith("src/") || name.startsWith("devices/");
        if (!isOurs) continue;
        const target = layer(name);
        if (target !== own && !allowed?.includes(target)) wrong.push(`${file} imports ${name}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("the stack runs anywhere: no bun:*, no node:*, no package under src", () => {
    const wrong = src.flatMap((file) =>
      imports(file)
        .filter((name) => !name.startsWith("src/"))
        .map((name) => `${file} imports ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  test("devices need nothing but Bun", () => {
    const wrong = devices.flatMap((file) =>
      imports(file)
        .filter((name) => !/^(src\/|devices\/|bun$|bun:|node:)/.test(name))
        .map((name) => `${file} imports ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  test("only host/ has a clock and timers, and nobody has Math.random", () => {
    const clock =
      /\b(Date\s*\.\s*now|new Date|performance\b|setTimeout|setInterval|setImmediate|queueMicrotask)/;
    const wrong = src.filter((file) => layer(file) !== "host" && clock.test(code(file)));
    expect(wrong).toEqual([]);
    expect([...src, ...devices].filter((file) => /\bMath\s*\.\s*random\b/.test(code(file)))).toEqual([]);
  });

  test("sequence numbers are compared and subtracted in seq.ts only", () => {
    const variable =
      "(?:sndUna|sndNxt|rcvNxt|rcvAdv|iss|irs|recover|rtxNxt|rtxEnd|rttSeq|finSeq|sndWl1|sndWl2)";
    const raw = new RegExp(
      `\\b${variable}\\s*(?:<=?|>=?|[-+])\\s*[\\w(]|[\\w)]\\s*(?:<=?|>=?|[-+])\\s*[\\w.]*\\.${variable}\\b`,
    );
    const wrong = src.flatMap((file) =>
      code(file)
        .split("\n")
        .filter((line) => file !== "src/socket/tcp/seq.ts" && raw.test(line))
        .map((line) => `${file}: ${line.trim()}`),
    );
    expect(wrong).toEqual([]);
  });

  test("no enum, no any, no class that extends one of ours", () => {
    const wrong = [...src, ...devices].filter((file) =>
      /\benum\s+\w|:\s*any\b|\bas any\b|<any>|@ts-ignore|@ts-nocheck/.test(code(file)),
    );
    expect(wrong).toEqual([]);
    const classes = [...src, ...devices].flatMap((file) => [
      ...code(file).matchAll(/\bclass\s+\w+\s+extends\s+(\w+)/g),
    ]);
    expect(classes.map(([, name]) => name).filter((name) => name !== "Error")).toEqual([]);
  });

  test("a file has one reason to exist", () => {
    const lines = (file: string) => read(file).split("\n").length;
    expect([...src, ...devices].filter((file) => lines(file) > 500)).toEqual([]);
    const examples = sources("examples").filter((file) => !file.startsWith("examples/lib/"));
    expect(examples.filter((file) => lines(file) > 130)).toEqual([]);
  });

  test("there is no dependency at run time", () => {
    const manifest = JSON.parse(read("package.json"));
    expect(manifest.dependencies).toEqual({});
    expect(manifest.peerDependencies).toBeUndefined();
    expect(manifest.optionalDependencies).toBeUndefined();
  });
});
