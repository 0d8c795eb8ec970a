/**
 * Collections of the engine in the part of a program that it puts between MEASURE and DONE on its standard error.
 *
 * @throws Error where the program fails
 */
export async function collectionsOf(program: string, ...parameters: string[]): Promise<number> {
  const child = Bun.spawn({
    cmd: [process.execPath, program, ...parameters],
    env: { ...process.env, BUN_JSC_logGC: "1" },
    stdout: "ignore",
    stderr: "pipe",
  });
  const log = await new Response(child.stderr).text();
  const exitCode = await child.exited;
  if (exitCode !== 0) throw new Error(`${program} ended with ${exitCode}: ${log}`);
  const [, measured] = log.split(/\nMEASURE\n|\nDONE\n/);
  return measured.split("START M").length - 1;
}
