/** ping(8) over tapwire's own ICMP. By default a host at the other end of a memory pair answers. */

import { parseArgs } from "node:util";
import { openConfig } from "../devices/index.ts";
import { type Host, open, type Pinger } from "../src/index.ts";
import { atMost } from "./lib/at-most.ts";
import { DEVICE_USAGE, deviceFlags, numberFlag, run, UsageError } from "./lib/command.ts";
import { neighbourOf, otherHost } from "./lib/neighbour.ts";
import { answerLine, PingStatistics } from "./lib/ping-report.ts";
import { PingTarget } from "./lib/ping-target.ts";

const USAGE = `\
Usage: bun run examples/ping.ts [flags] ADDRESS

Sends ICMP echo requests over a TCP/IP stack of its own. In memory, a host at that address answers.

  -c COUNT               stop after this many requests and their answers (without end)
  -i SECONDS             time between two requests (1)
  -s BYTES               data in each request (56)
  -t HOPS                time to live (64)
  -W SECONDS             where no reply has come at all, time to wait for one after the last request (10)
  -q, --quiet            print the first and the last lines only
${DEVICE_USAGE}
  -h, --help             print this

Exit code: 0, 1 without any reply, 2 for other errors.

In memory:               bun run examples/ping.ts -c 3 192.168.69.100
On a TUN interface:      sudo bun run examples/ping.ts --config examples/config/tun.toml 192.168.69.100
`;

function parseFlags(argv: string[]) {
  const { config, rest } = deviceFlags(argv);
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    args: rest,
    allowPositionals: true,
    options: {
      ...{ count: { ...text, short: "c" }, interval: { ...text, short: "i" }, size: { ...text, short: "s" } },
      ...{ ttl: { ...text, short: "t" }, wait: { ...text, short: "W" } },
      quiet: { type: "boolean", short: "q", default: false },
    },
  });
  if (positionals.length !== 1) throw new UsageError("Give one address, for example 192.168.69.100.");
  return {
    config,
    target: positionals[0],
    quiet: values.quiet,
    count: numberFlag("-c", values.count ?? "Infinity", 1),
    intervalMs: 1000 * numberFlag("-i", values.interval ?? "1", 0.001, 3600, 0.001),
    size: numberFlag("-s", values.size ?? "56", 0, 65_507),
    ttl: numberFlag("-t", values.ttl ?? "64", 1, 255),
    waitMs: 1000 * numberFlag("-W", values.wait ?? "10", 0, 3600, 0.001),
  };
}

type Flags = ReturnType<typeof parseFlags>;

/** Sends requests and prints answers until there are enough of them, or the user has. */
async function ping(host: Host, target: PingTarget, flags: Flags, interrupted: AbortSignal): Promise<number> {
  const { address } = target;
  const { count, intervalMs, size, ttl, waitMs } = flags;
  const statistics = new PingStatistics();
  const pinger: Pinger = host.pinger({ signal: interrupted });
  const print = (text: string) => process.stdout.write(text);
  const enough = Promise.withResolvers<void>();
  const receiving = (async () => {
    for await (const arrived of pinger) {
      const answer = target.accept(arrived);
      if (answer === null) continue;
      statistics.add(answer);
      if (!flags.quiet) print(`${answerLine(answer)}\n`);
      if (statistics.answers >= count) enough.resolve();
    }
    enough.resolve();
  })();
  print(`PING ${address} (${address}) ${size}(${size + 28}) bytes of data.\n`);
  const start = performance.now();
  try {
    while (statistics.sent < count && statistics.answers < count && !interrupted.aborted) {
      statistics.sent++;
      const sequence = statistics.sent & 0xffff;
      target.asking(sequence);
      await pinger.send({ address, sequence, size, ttl, signal: interrupted });
      const due = start + statistics.sent * intervalMs - performance.now();
      if (statistics.sent < count) await atMost(Math.max(0, due), enough.promise);
    }
    // As ping(8): twice the longest time where there was a reply, else what -W says.
    const patience = statistics.received > 0 ? Math.max(2 * statistics.longest, intervalMs) : waitMs;
    await atMost(patience, enough.promise);
  } catch (error) {
    if (!interrupted.aborted) throw error;
  } finally {
    pinger.close();
  }
  await receiving;
  print(statistics.summary(address, performance.now() - start));
  return statistics.received > 0 ? 0 : 1;
}

await run(
  USAGE,
  async (argv) => {
    const flags = parseFlags(argv);
    const opened = openConfig(flags.config);
    const host = await open({ ...flags.config.stack, ...opened });
    let other: Host | null = null;
    const interruption = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => interruption.abort());
    try {
      const target = new PingTarget(flags.target, opened.addresses);
      other = await otherHost(
        opened,
        target.isBroadcast ? neighbourOf(opened.addresses[0]) : target.address,
        2,
      );
      return await ping(host, target, flags, interruption.signal);
    } finally {
      await host.close();
      await other?.close();
    }
  },
  2,
);
