/**
 * Falsifies one claim of a script at a time and says which of these lies the runner did not notice:
 * `bun test/packetdrill/falsify.ts [options] FILE_OR_FOLDER...`, with the options of the runner.
 */
import { readFileSync } from "node:fs";
import { readCommandLine } from "./command-line.ts";
import { parse, runText, scriptFiles } from "./files.ts";
import { mutations } from "./mutate.ts";

const { settings, paths } = readCommandLine(process.argv.slice(2));
let lies = 0;
let unnoticed = 0;
let broken = 0;
for (const file of scriptFiles(paths)) {
  const text = readFileSync(file, "utf8");
  const honest = runText(file, text, settings).failure;
  if (honest !== null) {
    console.log(`${file}: does not pass as it is: ${honest.split("\n")[0]}`);
    broken++;
    continue;
  }
  for (const { claim, line, was, is, text: lie } of mutations(parse(file, text, settings))) {
    lies++;
    if (runText(file, lie, settings).failure !== null) continue;
    unnoticed++;
    console.log(
      `${file}:${line}: ${claim.kind} ${JSON.stringify(was)} -> ${JSON.stringify(is)} was not noticed`,
    );
  }
}
console.log(`${lies} falsified, ${unnoticed} not noticed; ${broken} scripts do not pass as they are`);
process.exitCode = unnoticed + broken > 0 ? 1 : 0;
