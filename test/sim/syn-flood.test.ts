import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import type { Device, Host } from "../../src/index.ts";
import { Network } from "../../src/sim/index.ts";
import { LONGEST_SYN, SynFlood } from "../support/syn-flood.ts";

/** A server that is flooded with forged SYNs, while others use it. */

const SERVER = "10.0.1.1";
/** SYNs a ms: 200,000 a second. */
const RATE = 200;
const MOST_HALF_OPEN = 1_022;

interface Flooded {
  readonly net: Network;
  readonly server: Host;
  readonly client: Host;
  readonly flood: SynFlood;
  /** Sends so many SYNs from now on. */
  attack(count: number): Promise<void>;
}

function flooded(synCookies: boolean): Flooded {
  const net = new Network({ seed: 4_987 });
  const server = net.host({
    interfaces: [{ addresses: ["10.0.0.1/24"], gateway: "10.0.0.2" }, { addresses: ["10.0.1.1/24"] }],
    tcp: { synCookies },
  });
  let device: Device | undefined;
  const attacker = net.stack({
    addresses: ["10.0.0.2/24"],
    memory: 1 << 20,
    maxSockets: 8,
    wrap: (inner) => {
      device = inner;
      return inner;
    },
  });
  const client = net.host({ addresses: ["10.0.1.2/24"] });
  net.link(attacker, server, { delayMs: 1 });
  net.link(client, server, { delayMs: 20 });
  const flood = new SynFlood("10.0.0.1", 80, 7, true);
  const attack = (count: number): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = flood.count + count;
    const volley = () => {
      for (let i = 0; i < RATE; i++) {
        const frame = device?.transmit(LONGEST_SYN) ?? null;
        if (frame === null) throw new Error("the attacker's device is full");
        frame.length = flood.write(frame.bytes, frame.offset);
        device?.commit(frame);
      }
      if (flood.count < end) net.after(1, volley);
      else resolve();
    };
    volley();
    return promise;
  };
  return { net, server, client, flood, attack };
}

/** Bytes that the engine holds: objects, and what they have outside of its heap. */
function memory(): number {
  Bun.gc(true);
  return heapStats().heapSize + heapStats().extraMemorySize;
}

test("1,000,000 forged SYNs leave memory flat, and whoever is real connects at once", async () => {
  const { net, server, client, flood, attack } = flooded(true);
  await net.run(async () => {
    const listener = server.listen({ port: 80 });
    net.spawn(async () => {
      for await (const connection of listener) {
        net.spawn(async () => {
          const asked = await connection.read();
          await connection.write(`you said ${new TextDecoder().decode(asked ?? undefined)}`);
          await connection.close();
        });
      }
    });
    const times: number[] = [];
    const call = async (what: string) => {
      const start = net.now;
      const connection = await client.connect({ address: SERVER, port: 80 });
      times.push(net.now - start);
      await connection.write(what);
      expect(new TextDecoder().decode((await connection.read()) ?? undefined)).toBe(`you said ${what}`);
      await connection.close();
    };
    await attack(100_000);
    // What the first ones take is taken once.
    for (let i = 0; i < 5; i++) await call(`first ${i}`);
    const before = memory();
    const attacking = attack(900_000);
    for (let i = 0; i < 20; i++) {
      await net.sleep(60);
      await call(`${i}`);
    }
    // There and back, and nothing else.
    expect(Math.max(...times)).toBeLessThan(42);
    expect(flood.count).toBeLessThan(1_000_000);
    await attacking;
    expect(flood.count).toBe(1_000_000);
    const { stats, sockets } = server.stack;
    expect(sockets.size).toBeLessThan(1 + MOST_HALF_OPEN + 25 + 1);
    expect(sockets.context.halfOpen.count).toBeLessThanOrEqual(MOST_HALF_OPEN);
    expect(stats.tcpSynCookiesSent).toBeGreaterThan(990_000);
    expect(stats.tcpSynCookiesAccepted).toBe(25);
    expect(stats.tcpSynCookiesRejected).toBe(0);
    expect(stats.tcpListenOverflow).toBe(0);
    expect(memory() - before).toBeLessThan(1 << 20);
    listener.close();
  });
}, 60_000);

test("without cookies the same flood locks everybody out: the test above can fail", async () => {
  const { net, server, client, attack } = flooded(false);
  await net.run(async () => {
    const listener = server.listen({ port: 80 });
    await attack(10_000);
    const attempt = client.connect({ address: SERVER, port: 80, timeout: 1_000 });
    const failure = await attempt.then(
      () => "none",
      (error) => error.code,
    );
    expect(failure).toBe("ETIMEDOUT");
    expect(server.stats.tcpListenOverflow).toBeGreaterThan(8_000);
    expect(server.stack.sockets.size).toBe(1 + MOST_HALF_OPEN);
    // Nobody has answered: in the end they are given up.
    await net.sleep(120_000);
    expect(server.stack.sockets.size).toBe(1);
    listener.close();
  });
});
