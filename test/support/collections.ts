import { expect } from "bun:test";

/** Collections of the engine in the part of a program that it puts between MEASURE and DONE on its standard error. */
export async function collectionsOf(program: string, ...parameters: string[]): Promise<number> {
  const child = Bun.spawn({
    cmd: [process.execPath, program, ...parameters],
    env: { ...process.env, BUN_JSC_logGC: "1" },
    stdout: "ignore",
    stderr: "pipe",
  });
  const log = await new Response(child.stderr).text();
  expect(await child.exited).toBe(0);
  const [, measured] = log.split(/\nMEASURE\n|\nDONE\n/);
  return measured.split("START M").length - 1;
}
