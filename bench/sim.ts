/** What a packet of the simulated network costs: `bun bench/sim.ts [--rounds N]`. */

import { parseArgs } from "node:util";
import type { TcpSocket } from "../src/index.ts";
import { type Link, Network } from "../src/sim/index.ts";
import { describeMachine, interleaved, printTable, Samples, spread } from "./support.ts";

const BYTES = 200_000_000;
const CHUNK = 64 * 1024;
const LINK = { rateMbit: 1_000, delayMs: 1 };
const MEMORY = { memory: 16 << 20 };

const packets = ({ there, back }: Link): number => there.stats.delivered + back.stats.delivered;

/** One bulk transfer between two stacks, moved by hand. */
function byHand(checksumOffload: boolean): number {
  const net = new Network({ checksumOffload });
  const server = net.stack({ addresses: ["10.0.0.1/24"], ...MEMORY });
  const client = net.stack({ addresses: ["10.0.0.2/24"], ...MEMORY });
  const link = net.link(client, server, LINK);
  const listener = server.stack.sockets.listen({ port: 7 });
  const sender = client.stack.sockets.connect({ address: "10.0.0.1", port: 7 });
  client.wake();
  const [source, target] = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)];
  let [writable, readable, read] = [true, false, 0];
  let receiver: TcpSocket | null = null;
  sender.handler = () => {
    writable = true;
  };
  while (read < BYTES && net.step()) {
    if (receiver === null) {
      receiver = listener.accept();
      if (receiver === null) continue;
      receiver.handler = () => {
        readable = true;
      };
      readable = true;
    }
    if (writable) {
      if (sender.write(source) === 0) writable = false;
      else client.wake();
    }
    if (!readable) continue;
    readable = false;
    for (let count = receiver.read(target); count > 0; count = receiver.read(target)) read += count;
    server.wake();
  }
  return packets(link);
}

/** The same between two hosts, with `await`. */
async function withAwait(): Promise<number> {
  const net = new Network();
  const server = net.host({ addresses: ["10.0.0.1/24"], ...MEMORY });
  const client = net.host({ addresses: ["10.0.0.2/24"], ...MEMORY });
  const link = net.link(client, server, LINK);
  await net.run(async () => {
    const listener = server.listen({ port: 7 });
    const sender = await client.connect({ address: "10.0.0.1", port: 7 });
    const receiver = await listener.accept();
    const [source, target] = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)];
    net.spawn(async () => {
      for (let sent = 0; sent < BYTES; sent += CHUNK) await sender.write(source);
      await sender.shutdown();
    });
    while ((await receiver.readInto(target)) > 0);
  });
  return packets(link);
}

const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });
const samples = new Samples();

async function measure(name: string, run: () => number | Promise<number>): Promise<void> {
  const before = process.cpuUsage();
  const started = performance.now();
  const count = await run();
  const cpu = process.cpuUsage(before);
  samples.add(`${name}, cpu`, count / ((cpu.user + cpu.system) / 1_000));
  samples.add(`${name}, time`, count / (performance.now() - started));
}

const RUNS: [string, () => number | Promise<number>][] = [
  ["stacks by hand", () => byHand(false)],
  ["stacks by hand, checksums offloaded", () => byHand(true)],
  ["hosts with await", withAwait],
];
await interleaved(
  Number(values.rounds),
  RUNS.map(
    ([name, run]) =>
      () =>
        measure(name, run),
  ),
);

console.log(`${describeMachine()}\n`);
printTable(
  ["two hosts, 1 Gbit/s, 2 ms, one transfer", "1,000 packets a second of processor time", "of time"],
  RUNS.map(([name]) => [name, spread(samples.of(`${name}, cpu`), 0), spread(samples.of(`${name}, time`), 0)]),
);
