/** Requests of 64 bytes and answers, one after the other on one connection: tapwire on TUN as a multiple of Bun.listen. */

import type { Arena } from "../arena.ts";
import {
  atLeast,
  type Contest,
  countPerSecond,
  openArena,
  orNaN,
  Series,
  type Setting,
  tapwireAndBun,
} from "./contest.ts";

const BYTES = 64;
const ECHO = 7;
const TARGET = atLeast(0.8);

export async function openRequests(setting: Setting): Promise<Contest> {
  const arenas: Arena[] = [];
  for (const server of tapwireAndBun(setting.directory)) arenas.push(await openArena(server, setting.load));
  const series = arenas.map(
    (arena) => new Series(`${BYTES} bytes and back: ${arena.server.name}`, "a second", 0),
  );
  const measurements = arenas.map((arena, i) => async () => {
    series[i].values.push(
      await orNaN(series[i].name, () => countPerSecond(arena, setting, "ask", ECHO, BYTES)),
    );
  });
  const [loop, events, cable, lo] = series;
  const words = `transactions of ${BYTES} bytes`;
  const rows = [
    {
      name: "request",
      measure: `${words}: loop, of Bun.listen by a cable`,
      subject: loop,
      reference: cable,
      target: TARGET,
    },
    {
      name: "request-events",
      measure: `${words}: event loop, of Bun.listen by a cable`,
      subject: events,
      reference: cable,
      target: TARGET,
    },
    {
      name: "request-lo",
      measure: `${words}: loop, of Bun.listen by lo`,
      subject: loop,
      reference: lo,
      target: null,
    },
  ];
  const close = async () => void (await Promise.all(arenas.map((arena) => arena.close())));
  return { rows, series, measurements, close };
}
