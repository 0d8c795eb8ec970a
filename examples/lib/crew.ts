import { type Config, startWorkers, type WorkerCounters } from "../../devices/index.ts";
import { parseCidr } from "../../src/index.ts";
import { describeDevice } from "./command.ts";
import { closeAtSignal } from "./signals.ts";

/** What the main thread of a server with several workers does. */

/**
 * Starts the workers, says what they serve, and waits for a signal to close them; in the end it says what each has done. A
 * worker that fails ends the server.
 *
 * @returns the exit code
 */
export async function supervise(config: Config, program: string): Promise<number> {
  const workers = await startWorkers(config, program);
  const addresses = config.interfaces.flatMap((each) =>
    each.addresses.map((text) => `${parseCidr(text).address}`),
  );
  const devices = workers.devices.map((device, i) => describeDevice({ ...config.devices[i], ...device }));
  console.log(
    `tapwire serves on ${addresses.join(", ")} (${devices.join("; ")}) with ${config.workers} workers:`,
  );
  console.log("  http 80; echo 7, discard 9, daytime 13, chargen 19, on TCP and UDP");
  const done = closeAtSignal(async () => report(await workers.close()));
  console.log(`Try: curl http://${addresses[0]}/`);
  await Promise.race([done, workers.ended]);
  return done;
}

function report({ total, each }: WorkerCounters): void {
  const parts = (name: string) => `${total[name]} (${each.map((counters) => counters[name]).join(" + ")})`;
  console.log(
    `connections accepted: ${parts("tcpPassiveOpens")}; segments received: ${parts("tcpSegmentsReceived")}; ` +
      `frames handed over: ${parts("framesGiven")}`,
  );
}
