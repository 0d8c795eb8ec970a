/** Connections a second from kernel clients, 64 under way at a time: tapwire on TUN as a multiple of Bun.listen. */

import type { Arena } from "../arena.ts";
import {
  atLeast,
  type Contest,
  countPerSecond,
  openArena,
  orNaN,
  type Row,
  Series,
  type Setting,
  tapwireAndBun,
} from "./contest.ts";

const AT_ONCE = 64;
/** Who closes first has the connection in TIME-WAIT, where a client may need its port again after a second. */
const REUSE = ["net.ipv4.tcp_tw_reuse=1", "net.ipv4.tcp_max_tw_buckets=262144"];
const WAYS = [
  { key: "accept", words: "a byte there and back, the client closes", port: 7, how: "echo" },
  { key: "accept-server-closes", words: "30 bytes from the server, which closes", port: 13, how: "read" },
] as const;

export async function openAccept(setting: Setting): Promise<Contest> {
  const arenas: Arena[] = [];
  for (const server of tapwireAndBun(setting.directory)) {
    const arena = await openArena(server, setting.load);
    arenas.push(arena);
    await arena.sysctl(...REUSE);
    // Once for nothing: engines compile what runs often, and a connection's way is a long one.
    for (const { port, how } of WAYS) await countPerSecond(arena, setting, "open", port, AT_ONCE, how);
  }
  const rows: Row[] = [];
  const series: Series[] = [];
  const measurements: (() => Promise<void>)[] = [];
  for (const { key, words, port, how } of WAYS) {
    const each = arenas.map((arena) => {
      const into = new Series(`${words}: ${arena.server.name}`, "connections a second", 0);
      measurements.push(async () => {
        into.values.push(
          await orNaN(into.name, () => countPerSecond(arena, setting, "open", port, AT_ONCE, how)),
        );
      });
      return into;
    });
    series.push(...each);
    const [loop, events, cable, lo] = each;
    const row = (name: string, subject: Series, reference: Series, by: string, target: Row["target"]) =>
      rows.push({ name, measure: `connections, ${words}: ${by}`, subject, reference, target });
    row(key, loop, cable, "loop, of Bun.listen by a cable", how === "echo" ? atLeast(0.8) : null);
    row(`${key}-events`, events, cable, "event loop, of Bun.listen by a cable", null);
    row(`${key}-lo`, loop, lo, "loop, of Bun.listen by lo", null);
  }
  const close = async () => void (await Promise.all(arenas.map((arena) => arena.close())));
  return { rows, series, measurements, close };
}
