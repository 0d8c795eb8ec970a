/** Processor time that a server needs to receive a GiB through TAP without offload: tapwire as a multiple of lwIP. */

import { Arena, type Server } from "../arena.ts";
import { LWIP, theirs } from "../servers.ts";
import { atMost, type Contest, type Row, Series, type Setting, tapwireLoop } from "./contest.ts";

const GIB = 2 ** 30;
const WARM_UPS = 6;

/** What is measured of one server. */
class Costs {
  readonly user: Series;
  readonly system: Series;
  readonly rate: Series;

  constructor(name: string) {
    this.user = new Series(`TAP, no offload, receiving: ${name}, user`, "s a GiB", 2);
    this.system = new Series(`TAP, no offload, receiving: ${name}, system`, "s a GiB", 2);
    this.rate = new Series(`TAP, no offload, receiving: ${name}`, "Gbit/s", 1);
  }
}

async function measure(arena: Arena, { user, system, rate }: Costs, seconds: number): Promise<void> {
  const { gbits, bytes, processor } = await arena.transfer("tx", seconds);
  user.values.push((processor.user * GIB) / bytes);
  system.values.push((processor.system * GIB) / bytes);
  rate.values.push(gbits);
}

export async function openProcessor(setting: Setting): Promise<Contest> {
  const { directory, client, lwip, seconds, warmSeconds } = setting;
  const peers = theirs("tap", false, { lwip, gvisor: null });
  const servers: Server[] = [tapwireLoop("tap", false, directory), ...peers];
  const arenas: Arena[] = [];
  for (const [i, server] of servers.entries()) {
    const arena = await Arena.open(server, client, false, 900 + i);
    arenas.push(arena);
    // Once for nothing, and long: what an engine needs to compile what runs often is no cost of a GiB.
    await arena.warmUp("tx", WARM_UPS * warmSeconds);
  }
  const ours = new Costs(arenas[0].server.name);
  const lwips = new Costs(LWIP);
  const all = [ours, lwips].slice(0, arenas.length);
  const row = (what: "user" | "system", target: Row["target"]): Row => ({
    name: `processor-${what}`,
    measure: `processor time to receive a GiB, TAP, no offload, ${what}, of lwIP`,
    subject: ours[what],
    reference: lwips[what],
    target,
  });
  return {
    rows: [row("user", atMost(1)), row("system", null)],
    series: all.flatMap(({ user, system, rate }) => [user, system, rate]),
    measurements: arenas.map((arena, i) => () => measure(arena, all[i], seconds)),
    close: async () => void (await Promise.all(arenas.map((arena) => arena.close()))),
  };
}
