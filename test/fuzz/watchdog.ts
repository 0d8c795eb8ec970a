import { Worker } from "node:worker_threads";

/** Real time without a new round, after which the process is taken to hang. */
const PATIENCE_MS = 60_000;

/** Looks at the process from outside: code that never returns cannot be asked. */
export interface Watchdog {
  /** A round has begun. */
  note(seed: number): void;
  stop(): void;
}

/** A thread that ends the process, with the seed of its last round, once no other round has begun for a long time. */
export function startWatchdog(): Watchdog {
  const shared = new Float64Array(new SharedArrayBuffer(16));
  const worker = new Worker(
    `const { workerData: shared } = require("node:worker_threads");
    const { writeSync } = require("node:fs");
    let last = -1, since = 0;
    setInterval(() => {
      since = shared[1] === last ? since + 1_000 : 0;
      last = shared[1];
      if (since < ${PATIENCE_MS}) return;
      writeSync(2, "\\nseed " + shared[0] + ": it does not come back\\n");
      process.kill(process.pid, "SIGKILL");
    }, 1_000);`,
    { eval: true, workerData: shared },
  );
  worker.unref();
  return {
    note(seed) {
      shared[0] = seed;
      shared[1]++;
    },
    stop: () => void worker.terminate(),
  };
}
