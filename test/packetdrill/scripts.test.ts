import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parse, runText, scriptFiles } from "./files.ts";
import { mutations } from "./mutate.ts";
import { Settings } from "./run/settings.ts";

const settings = new Settings();
settings.failOnLeftovers = true;
settings.memory = 2 * 1024 * 1024;

const root = join(import.meta.dir, "scripts");

/** Every script passes, and falsified in any one thing that it claims it fails. */
for (const path of scriptFiles([root])) {
  const file = relative(root, path);
  const text = readFileSync(path, "utf8");

  describe(file, () => {
    test("passes", () => expect(runText(file, text, settings).failure).toBeNull());

    test("fails when it is falsified", () => {
      const lies = mutations(parse(file, text, settings));
      expect(lies.length).toBeGreaterThan(0);
      const unnoticed = lies.filter(({ text: lie }) => runText(file, lie, settings).failure === null);
      expect(unnoticed.map(({ line, was, is }) => `${file}:${line}: ${was} -> ${is}`)).toEqual([]);
    });
  });
}

test("there are scripts", () => expect(scriptFiles([root]).length).toBeGreaterThanOrEqual(80));
