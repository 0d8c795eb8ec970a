/** A thousand flows at once through one TUN device: all together as a multiple of one alone. */

import {
  atLeast,
  type Contest,
  countPerSecond,
  openArena,
  orNaN,
  type Row,
  Series,
  type Setting,
  tapwireLoop,
} from "./contest.ts";

const MANY = 1000;
const TARGET = atLeast(0.8);
const [DISCARD, CHARGEN] = [9, 19];

export async function openFlows(setting: Setting, offload: boolean): Promise<Contest> {
  const arena = await openArena(tapwireLoop("tun", offload, setting.directory), setting.load);
  const rows: Row[] = [];
  const measurements: (() => Promise<void>)[] = [];
  const key = offload ? "" : "-no-offload";
  const words = offload ? "TUN" : "TUN without offload";
  for (const [direction, verb, port] of [
    ["tx", "receiving", DISCARD],
    ["rx", "sending", CHARGEN],
  ] as const) {
    const series = (flows: string) => new Series(`${words}, ${verb}, ${flows}`, "Gbit/s", 1);
    const [one, many] = [series("one flow"), series(`${MANY} flows`)];
    for (const [into, flows] of [
      [one, 1],
      [many, MANY],
    ] as const) {
      measurements.push(async () => {
        const bytes = await orNaN(into.name, () =>
          countPerSecond(arena, setting, "bulk", port, flows, direction),
        );
        into.values.push((bytes * 8) / 1e9);
      });
    }
    const measure = `${MANY} flows as a multiple of one, ${words}, ${verb}`;
    rows.push({ name: `flows-${verb}${key}`, measure, subject: many, reference: one, target: TARGET });
  }
  const series = rows.flatMap(({ subject, reference }) => [reference!, subject]);
  return { rows, series, measurements, close: () => arena.close() };
}
