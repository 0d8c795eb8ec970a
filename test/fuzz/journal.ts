import { formatPacket } from "../../src/wire/print.ts";
import { formatEthernet } from "../../src/wire/print-ethernet.ts";
import type { Scenario } from "./scenario.ts";

/** What happened in a round, in order: frames that came at once, and time that passed. */
export type Item =
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "burst"; readonly frames: readonly Uint8Array[] };

/** A round that can be played again, without its seed. */
export interface Journal {
  readonly scenario: Scenario;
  readonly items: readonly Item[];
}

/** A line each for the scenario, a wait, the beginning of a burst, and a frame; behind `#` what it is. */
export function formatJournal({ scenario, items }: Journal, title: string): string {
  const lines = [`# ${title.split("\n").join("\n# ")}`, `scenario ${JSON.stringify(scenario)}`];
  for (const item of items) {
    if (item.kind === "wait") {
      lines.push(`wait ${item.ms}`);
      continue;
    }
    lines.push("burst");
    for (const frame of item.frames) {
      lines.push(`# ${describeFrame(frame, scenario).split("\n")[0]}`);
      lines.push(`frame ${Buffer.from(frame).toString("hex")}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** A frame as tcpdump prints it. */
export function describeFrame(frame: Uint8Array, { medium }: Scenario): string {
  return (medium === "ethernet" ? formatEthernet : formatPacket)(frame, 0, frame.length);
}

/** @throws Error where the text is none of `formatJournal`'s */
export function parseJournal(text: string): Journal {
  let scenario: Scenario | null = null;
  const items: Item[] = [];
  let frames: Uint8Array[] | null = null;
  for (const [i, line] of text.split("\n").entries()) {
    const [word, rest] = [line.split(" ", 1)[0], line.slice(line.indexOf(" ") + 1)];
    if (word === "" || word === "#") continue;
    if (word === "scenario") {
      scenario = JSON.parse(rest);
    } else if (word === "wait") {
      items.push({ kind: "wait", ms: Number(rest) });
    } else if (word === "burst") {
      frames = [];
      items.push({ kind: "burst", frames });
    } else if (word === "frame" && frames !== null) {
      frames.push(Uint8Array.from(Buffer.from(rest, "hex")));
    } else {
      throw new Error(
        `line ${i + 1} is neither a scenario nor a wait, a burst or one of its frames: ${line}`,
      );
    }
  }
  if (scenario === null) throw new Error("there is no scenario");
  return { scenario, items };
}
