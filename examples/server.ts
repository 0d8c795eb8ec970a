/**
 * A web server and some classic small services on tapwire's own TCP/IP. By default in memory, where no privileges are
 * needed; `--config examples/config/tun.toml` puts it on a TUN interface.
 */

import { parseArgs } from "node:util";
import { openConfig } from "../devices/index.ts";
import { type Host, open } from "../src/index.ts";
import { DEVICE_USAGE, describeDevice, deviceFlags, run, UsageError } from "./lib/command.ts";
import { type Forwarding, forward } from "./lib/forward.ts";
import { serveHttp } from "./lib/http-server.ts";
import { neighbourOf } from "./lib/neighbour.ts";
import { serve, startServices } from "./lib/services.ts";
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
  const inMemory = config.device.type === "memory";
  const given = values.forward ?? (inMemory ? ["8080:80"] : []);
  const forwards = given.filter((text) => text !== "none").map(parseForward);
  if (!inMemory && forwards.length > 0) {
    throw new UsageError("--forward is for the memory device: the kernel reaches a TUN interface by itself.");
  }
  return { config, forwards };
}

/** Closes everything at the first signal; the second one does not wait for that. */
function closeAtSignal(hosts: readonly Host[]): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  let isClosing = false;
  const onSignal = async (_name: string, number: number) => {
    if (isClosing) process.exit(128 + number);
    isClosing = true;
    // The server first: what it still sends is to reach whoever was forwarded to it.
    for (const host of hosts) await host.close();
    resolve(0);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return promise;
}

await run(USAGE, async (argv) => {
  const { config, forwards } = parseFlags(argv);
  const opened = openConfig(config);
  const host = await open(opened);
  const hosts = [host];
  try {
    const [address] = host.addresses;
    const device = describeDevice(opened);
    serve(host, 80, (connection) => serveHttp(connection, site(device)));
    startServices(host);
    console.log(`tapwire serves on ${address} (${device}):`);
    console.log("  http 80; echo 7, discard 9, daytime 13, chargen 19, on TCP and UDP");
    const ways: string[] = [];
    if (opened.peer !== null) {
      const client = await open({ device: opened.peer, addresses: [neighbourOf(opened.addresses[0])] });
      hosts.push(client);
      for (const forwarding of forwards) {
        const port = await forward(client, address, forwarding);
        console.log(`  localhost:${port} of this machine leads to port ${forwarding.to}`);
        ways.push(forwarding.to === 80 ? `curl http://localhost:${port}/` : `nc localhost ${port}`);
      }
    } else {
      ways.push(`curl http://${address}/`);
    }
    const done = closeAtSignal(hosts);
    console.log(ways.length === 0 ? "Nothing of this machine leads there." : `Try: ${ways[0]}`);
    return await done;
  } catch (error) {
    await Promise.all(hosts.map((each) => each.close()));
    throw error;
  }
});
