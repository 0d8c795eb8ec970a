/**
 * A web server and some classic small services on tapwire's own TCP/IP. By default in memory, where no privileges are
 * needed; `--config` with a file of examples/config/ puts it on TUN, TAP or a raw socket.
 */

import { parseArgs } from "node:util";
import {
  isWorker,
  type OpenedConfig,
  openInterfaces,
  runWorker,
  type WorkerContext,
} from "../devices/index.ts";
import { type Host, open } from "../src/index.ts";
import { DEVICE_USAGE, describeDevice, deviceFlags, run, UsageError } from "./lib/command.ts";
import { supervise } from "./lib/crew.ts";
import { printEvents } from "./lib/events.ts";
import { type Forwarding, forward } from "./lib/forward.ts";
import { serveHttp } from "./lib/http-server.ts";
import { neighbourOf, otherHost } from "./lib/neighbour.ts";
import { serve, startServices } from "./lib/services.ts";
import { closeAtSignal } from "./lib/signals.ts";
import { site } from "./lib/site.ts";

const USAGE = `\
Usage: bun run examples/server.ts [flags]

A web server on port 80, and echo (7), discard (9), daytime (13) and chargen (19) on TCP and UDP, on a TCP/IP stack of
their own.

${DEVICE_USAGE}
  --forward FROM:TO      in memory: connect port FROM of this machine's localhost to port TO of the server; 0 for any
                         free port; may be repeated; "none" for no forwarding (8080:80)
  -h, --help             print this

Without flags:           curl http://localhost:8080/
On a TUN interface:      sudo bun run examples/server.ts --config examples/config/tun.toml
                         curl http://192.168.69.1/
`;

function parseForward(text: string): Forwarding {
  const match = /^([0-9]{1,5}):([0-9]{1,5})$/.exec(text);
  const [from, to] = match === null ? [-1, -1] : [Number(match[1]), Number(match[2])];
  if (match === null || from > 65_535 || to > 65_535 || to === 0) {
    throw new UsageError(`--forward is "${text}"; write two ports like 8080:80, or "none".`);
  }
  return { from, to };
}

function parseFlags(argv: string[]) {
  const { config, rest } = deviceFlags(argv);
  const { values } = parseArgs({ args: rest, options: { forward: { type: "string", multiple: true } } });
  const inMemory = config.devices[0].type === "memory";
  const given = values.forward ?? (inMemory ? ["8080:80"] : []);
  const forwards = given.filter((text) => text !== "none").map(parseForward);
  if (!inMemory && forwards.length > 0) {
    throw new UsageError("--forward is for the memory device: the kernel reaches the others by itself.");
  }
  return { config, forwards };
}

/** Forwards ports of this machine to the server, by way of a host at the other end of a memory pair. */
async function openWays(
  opened: OpenedConfig,
  forwards: readonly Forwarding[],
  hosts: Host[],
): Promise<string[]> {
  const [address] = hosts[0].addresses;
  const client = await otherHost(opened, neighbourOf(opened.addresses[0]));
  if (client === null) return [`curl http://${address}/`];
  hosts.push(client);
  const ways: string[] = [];
  for (const forwarding of forwards) {
    const port = await forward(client, address, forwarding);
    console.log(`  localhost:${port} of this machine leads to port ${forwarding.to}`);
    ways.push(forwarding.to === 80 ? `curl http://localhost:${port}/` : `nc localhost ${port}`);
  }
  return ways;
}

/** Opens all the ports of a host. */
function serveAll(host: Host, place: string): void {
  serve(host, 80, (connection) => serveHttp(connection, site(place)));
  startServices(host);
}

/** One of several workers: the same ports as the others have, on a part of the same devices. */
async function work({ interfaces, worker, config }: WorkerContext): Promise<Host> {
  // What befalls a device befalls it for all: one tells.
  const tell = worker.index === 0 ? { onDeviceEvent: printEvents(interfaces) } : {};
  const host = await open({ ...config.stack, interfaces, worker, ...tell });
  serveAll(host, `${interfaces.map(describeDevice).join("; ")}, worker ${worker.index} of ${worker.count}`);
  return host;
}

async function main(argv: string[]): Promise<number> {
  const { config, forwards } = parseFlags(argv);
  if (config.workers !== undefined) return supervise(config, import.meta.url);
  const opened = openInterfaces(config);
  const host = await open({ ...config.stack, interfaces: opened, onDeviceEvent: printEvents(opened) });
  const hosts = [host];
  try {
    const devices = opened.map(describeDevice).join("; ");
    serveAll(host, devices);
    console.log(`tapwire serves on ${host.addresses.join(", ")} (${devices}):`);
    console.log("  http 80; echo 7, discard 9, daytime 13, chargen 19, on TCP and UDP");
    const ways = await openWays(opened[0], forwards, hosts);
    const done = closeAtSignal(async () => {
      // The server first: what it still sends is to reach whoever was forwarded to it.
      for (const each of hosts) await each.close();
    });
    console.log(ways.length === 0 ? "Nothing of this machine leads there." : `Try: ${ways[0]}`);
    return await done;
  } catch (error) {
    await Promise.all(hosts.map((each) => each.close()));
    throw error;
  }
}

if (isWorker()) await runWorker(work);
else await run(USAGE, main);
