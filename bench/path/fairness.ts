/** How flows share a bottleneck. */

import { jain } from "../../test/support/jain.ts";
import { printTable } from "../support.ts";
import { EmulatedPath } from "./emulated-path.ts";
import { type Flow, goodput, runFlows } from "./flows.ts";

export interface FairnessOptions {
  /** Mbit/s, ms. */
  readonly rate: number;
  readonly rtt: number;
  readonly cc: string;
  readonly seconds: number;
  readonly seeds: readonly number[];
  readonly buffer: number;
}

/** What two flows got; JSON for a file. */
export interface Shares {
  readonly flows: string;
  readonly seed: number;
  readonly mbits: readonly number[];
  readonly jain: number;
  /** And in each quarter. */
  readonly quarters: readonly number[];
}

const START_MS = 20_000;

/** Two flows of tapwire, one beside a kernel's CUBIC, and two of the kernel's for comparison. */
export async function fairness(options: FairnessOptions): Promise<Shares[]> {
  const { rate, rtt, cc, seconds, seeds, buffer } = options;
  const tapwire: Flow = { sender: "tapwire", receiver: "kernel", cc };
  const kernel: Flow = { sender: "kernel", receiver: "kernel", cc: "cubic" };
  const pairs: readonly (readonly [string, Flow, Flow])[] = [
    [`tapwire ${cc}, tapwire ${cc}`, tapwire, tapwire],
    [`tapwire ${cc}, kernel cubic`, tapwire, kernel],
    ["kernel cubic, kernel cubic", kernel, kernel],
  ];
  const found: Shares[] = [];
  for (const seed of seeds) {
    for (const [name, ...flows] of pairs) {
      const path = await EmulatedPath.open({ rate, rtt, loss: 0, seed });
      try {
        const timeoutMs = seconds * 1000 + START_MS;
        const results = await runFlows(path, flows, { seconds, bytes: 0, buffer, timeoutMs });
        const mbits = results.map(({ received }) => goodput(received));
        const quarter = Math.floor(results[0].received.buckets.length / 4);
        const quarters = [0, 1, 2, 3].map((i) =>
          jain(results.map(({ received }) => sum(received.buckets.slice(i * quarter, (i + 1) * quarter)))),
        );
        found.push({ flows: name, seed, mbits, jain: jain(mbits), quarters });
      } finally {
        await path.close();
      }
      process.stderr.write(`${name}, seed ${seed}: Jain's index ${found.at(-1)!.jain.toFixed(3)}\n`);
    }
  }
  return found;
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

export function printShares(found: readonly Shares[]): void {
  printTable(
    ["flows", "seed", "Mbit/s", "Jain's index", "in each quarter"],
    found.map(({ flows, seed, mbits, jain, quarters }) => [
      flows,
      `${seed}`,
      mbits.map((each) => each.toFixed(1)).join(", "),
      jain.toFixed(3),
      quarters.map((each) => each.toFixed(2)).join(", "),
    ]),
  );
}
