/**
 * A server with several workers for workers.test.ts: echo on port 7 in each; and each does what a client does, when a line
 * says so: `connect N` opens N connections to port 9 of the kernel and answers the line that comes on each, `udp` sends to
 * a port that nobody has, `ping` pings, `throw` fails in the last worker, `count` prints the counters. It is told of by
 * lines `worker 0: ...`.
 */

import { BroadcastChannel } from "node:worker_threads";
import {
  configFromFlags,
  isWorker,
  runWorker,
  startWorkers,
  type WorkerContext,
} from "../../devices/index.ts";
import { type Connection, type Host, open } from "../../src/index.ts";

const KERNEL = "192.168.69.100";
/** Lines of standard input, which the main thread reads. */
const LINES = "worker-server";

async function echo(connection: Connection): Promise<void> {
  for await (const chunk of connection) await connection.write(chunk);
  await connection.close();
}

async function answer(host: Host): Promise<number> {
  const connection = await host.connect({ address: KERNEL, port: 9, timeout: 10_000 });
  const line = await connection.read();
  if (line !== null) await connection.write(line);
  await connection.close();
  return line?.length ?? 0;
}

async function work({ interfaces, worker }: WorkerContext): Promise<Host> {
  const host = await open({ interfaces, worker });
  const say = (text: string) => console.log(`worker ${worker.index}: ${text}`);
  void (async () => {
    for await (const connection of host.listen({ port: 7 })) void echo(connection).catch(() => {});
  })();
  const lines = new BroadcastChannel(LINES);
  lines.onmessage = async (event) => {
    const [command, number] = String((event as unknown as { data: unknown }).data).split(" ");
    if (command === "connect") {
      const all = await Promise.allSettled(Array.from({ length: Number(number) }, () => answer(host)));
      const failed = all.find((each) => each.status === "rejected");
      const bytes = all.reduce((sum, each) => sum + (each.status === "fulfilled" ? each.value : 0), 0);
      say(failed === undefined ? `${bytes} bytes on ${all.length} connections` : String(failed.reason));
    } else if (command === "udp") {
      const endpoint = host.udp({ onError: (error) => say(`udp ${error.code}`) });
      await endpoint.send(new Uint8Array(8), { address: KERNEL, port: 4242 });
    } else if (command === "ping") {
      await host.ping(KERNEL, { timeout: 3000 });
      say("pong");
    } else if (command === "throw" && worker.index === worker.count - 1) {
      throw new Error("asked to");
    }
  };
  return host;
}

async function main(): Promise<void> {
  const { config } = configFromFlags(process.argv.slice(2));
  const workers = await startWorkers(config, import.meta.url);
  const lines = new BroadcastChannel(LINES);
  process.on("SIGTERM", async () => {
    console.log(`closed: ${JSON.stringify(await workers.close())}`);
    process.exit(0);
  });
  console.log(`ready: ${workers.devices.map(({ name }) => name).join()}`);
  workers.ended.catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
  for await (const line of console) {
    if (line === "count") console.log(`counters: ${JSON.stringify(await workers.counters())}`);
    else lines.postMessage(line);
  }
}

if (isWorker()) await runWorker(work);
else await main();
