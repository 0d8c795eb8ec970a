/**
 * Fetches a page over tapwire's own TCP, like a small curl. By default from a server at the other end of a memory pair;
 * on other devices from whoever is there.
 */

import { parseArgs } from "node:util";
import { openConfig, trace } from "../devices/index.ts";
import { type Connection, type Host, open } from "../src/index.ts";
import { DEVICE_USAGE, deviceFlags, run, UsageError } from "./lib/command.ts";
import { printEvents } from "./lib/events.ts";
import { failureOf, fetchPage, parseTarget } from "./lib/http-client.ts";
import { serveHttp } from "./lib/http-server.ts";
import { otherHost } from "./lib/neighbour.ts";
import { openOutput } from "./lib/output.ts";
import { serve } from "./lib/services.ts";
import { site } from "./lib/site.ts";

const USAGE = `\
Usage: bun run examples/get.ts [flags] URL

Fetches http://ADDRESS[:PORT]/PATH over a TCP/IP stack of its own. In memory, a small server waits at that address.

  -i, --include          print the header, too
  -o, --output FILE      write to FILE instead of standard output
  -v, --verbose          print each packet on standard error, as tcpdump does
  -H, --header LINE      send a header field; may be repeated
  -m, --max-time SECONDS give up after this time
${DEVICE_USAGE}
  -h, --help             print this

Exit code: 0, or curl's: 1 other protocol, 2 usage, 3 bad URL, 6 a name, 7 no connection, 8 no HTTP, 18 cut short,
23 can't write, 28 timed out, 52 no answer, 56 connection broken.

In memory:               bun run examples/get.ts -i http://192.168.69.100/
On a TUN interface:      sudo bun run examples/get.ts --config examples/config/tun.toml http://192.168.69.100:8000/
`;

function parseFlags(argv: string[]) {
  const { config, rest } = deviceFlags(argv);
  const { values, positionals } = parseArgs({
    args: rest,
    allowPositionals: true,
    options: {
      include: { type: "boolean", short: "i", default: false },
      output: { type: "string", short: "o" },
      verbose: { type: "boolean", short: "v", default: false },
      header: { type: "string", short: "H", multiple: true, default: [] },
      "max-time": { type: "string", short: "m" },
    },
  });
  if (positionals.length !== 1) throw new UsageError("Give one URL, for example http://192.168.69.100/.");
  const seconds = Number(values["max-time"] ?? 1e9);
  if (!(seconds > 0)) throw new UsageError("--max-time is a number of seconds above 0.");
  return { ...values, config, seconds, headers: parseHeaders(values.header), text: positionals[0] };
}

function parseHeaders(lines: readonly string[]): Headers {
  const headers = new Headers();
  for (const line of lines) {
    const [, name, value] = /^([^\s:]+):(.*)$/.exec(line) ?? [];
    try {
      headers.append(name ?? "", value?.trim() ?? "");
    } catch {
      throw new UsageError(`-H "${line}" is no header field; write "Name: value".`);
    }
  }
  return headers;
}

await run(USAGE, async (argv) => {
  const flags = parseFlags(argv);
  const target = parseTarget(flags.text);
  const opened = openConfig(flags.config);
  const print = (line: string) => process.stderr.write(`${line}\n`);
  const device = flags.verbose
    ? trace(opened.device, print, { clock: () => performance.now() })
    : opened.device;
  const onDeviceEvent = printEvents([{ ...opened, device }]);
  const host = await open({ ...flags.config.stack, ...opened, device, onDeviceEvent });
  const signal = AbortSignal.timeout(Math.min(flags.seconds * 1000, 0x7fff_ffff));
  let server: Host | null = null;
  let connection: Connection | null = null;
  try {
    server = await otherHost(opened, target.address, 7);
    if (server !== null) serve(server, target.port, (each) => serveHttp(each, site("memory")));
    connection = await host.connect({ address: target.address, port: target.port, signal });
    signal.addEventListener("abort", () => connection?.abort(signal.reason));
    const { head, body } = await fetchPage(connection, target.url, flags.headers);
    const output = await openOutput(flags.output);
    if (flags.include) await output.write(head.text);
    for await (const piece of body) await output.write(piece);
    await output.close();
    await connection.close();
    return 0;
  } catch (error) {
    throw failureOf(signal.aborted ? signal.reason : error, connection);
  } finally {
    await host.close();
    await server?.close();
  }
});
