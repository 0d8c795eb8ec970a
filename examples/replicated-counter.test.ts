/** A counter on three replicas, tested while the network falls apart. `bun test` runs it by way of test/examples. */

import { expect, test } from "bun:test";
import type { Connection, Host } from "../src/index.ts";
import { Network } from "../src/sim/index.ts";

/** What each client has counted. Of two answers the larger one is newer, so they may come late, or twice. */
type Totals = Record<string, number>;

const REPLICAS = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
const LIMIT = { timeout: 500 };

function merge(into: Totals, from: Totals): Totals {
  for (const [name, total] of Object.entries(from)) into[name] = Math.max(total, into[name] ?? 0);
  return into;
}

async function receive(connection: Connection): Promise<Totals> {
  let text = "";
  for (let chunk = await connection.read(LIMIT); chunk !== null; chunk = await connection.read(LIMIT))
    text += new TextDecoder().decode(chunk);
  return JSON.parse(text);
}

/** A replica merges what each connection brings, and answers with all it knows. */
async function serve(host: Host): Promise<void> {
  const known: Totals = {};
  for await (const connection of host.listen({ port: 1 })) {
    receive(connection)
      .then((totals) => connection.write(JSON.stringify(merge(known, totals))))
      .finally(() => connection.close())
      .catch(() => {}); // The client is gone.
  }
}

/** Tells the replicas `totals`, and returns what two of three know then; throws where fewer answer. */
async function exchange(host: Host, totals: Totals): Promise<Totals> {
  const ask = async (address: string) => {
    await using connection = await host.connect({ address, port: 1, ...LIMIT });
    await connection.write(JSON.stringify(totals));
    void connection.shutdown().catch(() => {}); // Whether it has arrived, the answer shows.
    return await receive(connection).catch((error) => connection.abort(error));
  };
  const answers = await Promise.allSettled(REPLICAS.map(ask));
  const heard = answers.map((answer) => (answer.status === "fulfilled" ? answer.value : undefined));
  if (heard.filter((each) => each !== undefined).length < 2) throw new Error("no majority");
  return heard.reduce<Totals>((all, each) => merge(all, each ?? {}), {});
}

test.each([1, 2, 3, 4, 5])(
  "whoever reads the counter sees all that was confirmed (seed %d)",
  async (seed) => {
    const net = new Network({ seed, medium: "ethernet" });
    const hub = net.switch();
    const hosts = [1, 2, 3, 4, 5].map((i) => net.host(`10.0.0.${i}/24`));
    for (const host of hosts) net.link(host, hub, { delayMs: 5, jitterMs: 5, loss: 0.02 });
    const [a, b, c, left, right] = hosts;
    net.at(5_000, () => net.partition([a, left], [b, c, right]));
    net.at(30_000, () => net.heal());

    const confirmed = { left: 0, right: 0 };
    const count = async (name: "left" | "right", host: Host) => {
      for (let total = 1; net.now < 40_000; await net.sleep(100)) {
        const before = { ...confirmed };
        try {
          const seen = await exchange(host, { [name]: total });
          expect(seen.left ?? 0).toBeGreaterThanOrEqual(before.left);
          expect(seen.right ?? 0).toBeGreaterThanOrEqual(before.right);
        } catch (error) {
          if ((error as Error).message !== "no majority") throw error;
          continue;
        }
        confirmed[name] = total++;
      }
    };
    await net.run(async () => {
      for (const host of [a, b, c]) net.spawn(() => serve(host));
      await Promise.all([count("left", left), count("right", right)]);
      expect(Math.min(confirmed.left, confirmed.right)).toBeGreaterThan(20);
    });
  },
);
