import { open } from "node:fs/promises";
import { Failure } from "./command.ts";

/** Where a page goes. */
export interface Output {
  /** Resolves when the bytes may be changed. */
  write(bytes: Uint8Array | string): Promise<void>;
  close(): Promise<void>;
}

/** A file, or standard output where there is no name. */
export async function openOutput(path: string | undefined): Promise<Output> {
  if (path === undefined) return standardOutput();
  const file = await open(path, "w").catch((error) => {
    throw unwritable(path, error);
  });
  return {
    async write(bytes) {
      await file.writeFile(bytes).catch((error) => {
        throw unwritable(path, error);
      });
    },
    close: () => file.close(),
  };
}

function standardOutput(): Output {
  const { stdout } = process;
  // The callback of `write` gets it, too.
  stdout.on("error", () => {});
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        stdout.write(bytes, (error) => (error ? reject(unwritable("Standard output", error)) : resolve()));
      }),
    close: async () => {},
  };
}

function unwritable(what: string, error: unknown): Failure {
  return new Failure(`${what} can't be written: ${error instanceof Error ? error.message : error}.`, 23);
}
