/** tcpdump(8) on any device: prints or records what passes, without a TCP/IP stack; or reads a capture file. */

import { parseArgs } from "node:util";
import { CaptureReader } from "../devices/capture-reader.ts";
import { fileSource } from "../devices/capture-source.ts";
import { captureFile, openDevices } from "../devices/index.ts";
import {
  DEVICE_USAGE,
  describeDevice,
  deviceFlags,
  numberFlag,
  run,
  UsageError,
  withInterface,
} from "./lib/command.ts";
import { Dump, mediumOf } from "./lib/dump.ts";
import { FILTER_USAGE, parseFilter } from "./lib/filter.ts";
import { pingNeighbour } from "./lib/neighbour.ts";

const USAGE = `\
Usage: bun run examples/tcpdump.ts [flags] [FILTER]

Prints a line for every frame that a device receives. On a raw device that is all that comes in on its interface.

  -i NAME                the interface; without --device a raw socket on it
  -c COUNT               stop after this many frames
  -e                     print hardware addresses
  -n                     as always: addresses and ports are numbers
  -r FILE                read a pcap or pcapng file instead of a device; - is standard input
  -w FILE                write frames to FILE, in pcapng if it is called so, and print none; - is standard output
${DEVICE_USAGE}
  -h, --help             print this

Filters:
${FILTER_USAGE}

In memory, a neighbour:  bun run examples/tcpdump.ts -c 3 icmp
On an interface:         sudo bun run examples/tcpdump.ts -i eth0 tcp port 80 and not host 192.168.69.1
`;

function parseFlags(argv: string[]) {
  const { config, rest } = deviceFlags(withInterface(argv, "en"));
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const { values, positionals } = parseArgs({
    args: rest,
    allowPositionals: true,
    options: {
      ...{ count: { ...text, short: "c" }, read: { ...text, short: "r" }, write: { ...text, short: "w" } },
      ...{ "link-headers": { ...flag, short: "e" }, numeric: { ...flag, short: "n" } },
    },
  });
  const count = numberFlag("-c", values.count ?? "Infinity", 1);
  const { read, write, "link-headers": linkHeaders } = values;
  const expression = positionals.join(" ");
  const filters = { ip: parseFilter(expression, "ip"), ethernet: parseFilter(expression, "ethernet") };
  return { config, count, read, write, linkHeaders, filters };
}

type Flags = ReturnType<typeof parseFlags>;

function openDump({ write, ...flags }: Flags): Dump {
  const sink = write === undefined ? null : captureFile(write === "-" ? "/dev/stdout" : write);
  return new Dump({ ...flags, sink, print: console.log });
}

function readFile(flags: Flags, path: string): number {
  const [file, name] = path === "-" ? ["/dev/stdin", "on standard input"] : [path, path];
  const reader = new CaptureReader(fileSource(file), name);
  try {
    const dump = openDump(flags);
    try {
      while (!dump.enough && reader.next()) {
        const { bytes, offset, length, originalLength, time } = reader;
        dump.frame(mediumOf(reader.linkType, name), bytes, offset, length, originalLength, time);
      }
    } finally {
      dump.end();
    }
    return 0;
  } finally {
    reader.close();
  }
}

async function listen(flags: Flags): Promise<number> {
  const { devices, interfaces } = flags.config;
  if (devices.length > 1) {
    throw new UsageError(
      `The configuration has ${devices.length} devices, and one is listened on: leave the others out.`,
    );
  }
  const [opened] = openDevices({ ...flags.config, interfaces: [] }, { promiscuous: true });
  const { device } = opened;
  const { promise: interrupted, resolve: interrupt } = Promise.withResolvers<void>();
  try {
    const dump = openDump(flags);
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => interrupt());
    process.stderr.write(`listening on ${describeDevice(opened)}\n`);
    const stop = await pingNeighbour(opened, interfaces[0]);
    try {
      await Promise.race([dump.watch(device), interrupted]);
    } finally {
      await stop();
    }
    dump.end();
    process.stderr.write(`${dump.taken} packets captured, ${dump.seen} received\n`);
    return 0;
  } finally {
    device.close();
  }
}

await run(USAGE, async (argv) => {
  const flags = parseFlags(argv);
  return flags.read === undefined ? listen(flags) : readFile(flags, flags.read);
});
