/** tcpdump(8) on any device: prints or records what passes, without a TCP/IP stack; or reads a capture file. */

import { parseArgs } from "node:util";
import { LINKTYPE_ETHERNET, LINKTYPE_RAW } from "../devices/capture.ts";
import { CaptureReader } from "../devices/capture-reader.ts";
import { fileSource } from "../devices/capture-source.ts";
import { type CaptureSink, captureFile, openDevices } from "../devices/index.ts";
import { Frame, type Medium } from "../src/index.ts";
import { completeChecksum } from "../src/wire/offload.ts";
import { DEVICE_USAGE, describeDevice, deviceFlags, Failure, numberFlag, run } from "./lib/command.ts";
import { Dump } from "./lib/dump.ts";
import { FILTER_USAGE, parseFilter } from "./lib/filter.ts";
import { pingNeighbour } from "./lib/neighbour.ts";

const USAGE = `\
Usage: bun run examples/tcpdump.ts [flags] [FILTER]

Prints a line for every frame that a device receives. On a raw device that is all that comes in on its interface.

  -i NAME                the interface; without --device a raw socket on it
  -c COUNT               stop after this many frames
  -e                     print hardware addresses
  -n                     as always: addresses and ports are numbers
  -r FILE                read a pcap or pcapng file instead of a device
  -w FILE                write frames to FILE instead of printing them; in pcapng if it is called so
${DEVICE_USAGE}
  -h, --help             print this

Filters:
${FILTER_USAGE}

In memory, a neighbour:  bun run examples/tcpdump.ts -c 3 icmp
On an interface:         sudo bun run examples/tcpdump.ts -i eth0 tcp port 80 and not host 192.168.69.1
`;

function parseFlags(argv: string[]) {
  const named = argv.map((argument) => (argument === "-i" ? "--name" : argument));
  const chosen = named.some((argument) => /^--(config|device)(=|$)/.test(argument));
  const { config, rest } = deviceFlags(
    named.includes("--name") && !chosen ? ["--device", "raw", ...named] : named,
  );
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
  return { config, count, read, write, linkHeaders, expression: positionals.join(" ") };
}

type Flags = ReturnType<typeof parseFlags>;

/** What is done with frames, and what is to be called when there are no more. */
function openDump(flags: Flags, medium: Medium, snaplen: number): { dump: Dump; end: () => void } {
  const { count, linkHeaders } = flags;
  const filter = parseFilter(flags.expression, medium);
  const sink: CaptureSink | null = flags.write === undefined ? null : captureFile(flags.write);
  const linkType = medium === "ethernet" ? LINKTYPE_ETHERNET : LINKTYPE_RAW;
  const id = sink?.begin({ linkType, snaplen, name: null }) ?? 0;
  const dump = new Dump({ medium, filter, count, linkHeaders, sink, print: console.log }, id);
  return { dump, end: () => sink?.end() };
}

function readFile(flags: Flags, path: string): number {
  const reader = new CaptureReader(fileSource(path), path);
  let opened: ReturnType<typeof openDump> | null = null;
  try {
    while (opened?.dump.enough !== true && reader.next()) {
      const { bytes, offset, length, originalLength, time } = reader;
      opened ??= openDump(flags, mediumOf(reader.linkType, path), 262_144);
      opened.dump.frame(bytes, offset, length, originalLength, time);
    }
    return 0;
  } finally {
    opened?.end();
    reader.close();
  }
}

function mediumOf(linkType: number, path: string): Medium {
  if (linkType === LINKTYPE_ETHERNET) return "ethernet";
  if (linkType === LINKTYPE_RAW || linkType === 228 || linkType === 229) return "ip";
  throw new Failure(`${path} has frames of link type ${linkType}; only Ethernet and IP can be read.`);
}

async function listen(flags: Flags): Promise<number> {
  const [opened] = openDevices({ ...flags.config, interfaces: [] }, { promiscuous: true });
  const { device } = opened;
  const { medium } = device.capabilities;
  const { promise, resolve } = Promise.withResolvers<void>();
  const frame = new Frame(new Uint8Array(0));
  try {
    const { dump, end } = openDump(flags, medium, 262_144);
    device.onReadable(() => {
      while (!dump.enough && device.receive(frame)) {
        const { bytes, offset, length } = frame;
        if (frame.checksumOffloaded) completeChecksum(bytes, offset, length, medium);
        dump.frame(bytes, offset, length, length, performance.timeOrigin + performance.now());
      }
      if (dump.enough) resolve();
    });
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => resolve());
    process.stderr.write(`listening on ${describeDevice(opened)}\n`);
    const stop = await pingNeighbour(opened, flags.config.interfaces[0]);
    await promise;
    await stop();
    end();
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
