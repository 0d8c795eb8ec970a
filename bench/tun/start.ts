/** From the start of examples/server.ts to the first byte of its page, and how much of that an empty program takes. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Namespace } from "../../test/support/system.ts";
import { ADDRESS, KERNEL } from "../arena.ts";
import { atMost, type Contest, orNaN, Series, type Setting } from "./contest.ts";

const TIMEOUT_MS = 25_000;

export async function openStart({ load, directory }: Setting): Promise<Contest> {
  const ns = await Namespace.open();
  const bun = process.execPath;
  const example = join(import.meta.dir, "../../examples/server.ts");
  const empty = join(directory, "empty.ts");
  writeFileSync(empty, "\n");
  const onTun = ["--device", "tun", "--address", `${ADDRESS}/24`, "--host-address", `${KERNEL}/24`];
  const first = (address: string, port: number, flags: string[]) => [
    load,
    "first",
    address,
    `${port}`,
    bun,
    example,
    ...flags,
  ];
  const commands = [
    { name: "first page, TUN", command: first(ADDRESS, 80, onTun) },
    { name: "first page, memory", command: first("127.0.0.1", 8080, []) },
    { name: "an empty program, from start to end", command: [load, "span", bun, empty] },
  ];
  const series = commands.map(({ name }) => new Series(name, "ms", 0));
  const measurements = commands.map(({ name, command }, i) => async () => {
    const ms = await orNaN(name, async () => milliseconds(await ns.ok(command, { timeoutMs: TIMEOUT_MS })));
    series[i].values.push(ms);
  });
  const [tun, memory, nothing] = series;
  const words = "ms from the start of examples/server.ts to its first page";
  const rows = [
    { name: "start-tun", measure: `${words}, TUN`, subject: tun, reference: null, target: atMost(400) },
    {
      name: "start-memory",
      measure: `${words}, in memory`,
      subject: memory,
      reference: null,
      target: atMost(400),
    },
    {
      name: "start-empty",
      measure: "ms of an empty program",
      subject: nothing,
      reference: null,
      target: null,
    },
  ];
  return { rows, series, measurements, close: () => ns.close() };
}

const milliseconds = (printed: string) => Number(/^([0-9.]+) ms /.exec(printed)?.[1] ?? Number.NaN);
