import { describe, expect, test } from "bun:test";
import { type Connection, type Host, StackError } from "../../src/index.ts";
import { Network } from "../../src/sim/index.ts";
import { failure } from "../host/pair.ts";

/** Hosts that stand in for others, and listeners that share: with all that lies between. */

async function readAll(connection: Connection): Promise<string> {
  let text = "";
  for await (const chunk of connection) text += new TextDecoder().decode(chunk);
  return text;
}

describe("a catch-all", () => {
  /** A client behind a router, whose routes lead a network to a proxy; nobody has any address of it. */
  function place(medium: "ip" | "ethernet") {
    const net = new Network({ seed: 3, medium });
    const client = net.host({ addresses: ["10.0.0.2/24"], gateway: "10.0.0.1" });
    const proxy = net.host({ addresses: ["10.0.1.2/24"], gateway: "10.0.1.1" });
    const router = net.router({
      interfaces: [
        { addresses: ["10.0.0.1/24"] },
        { addresses: ["10.0.1.1/24"], routes: [{ to: "198.51.100.0/24", via: "10.0.1.2" }] },
      ],
    });
    net.link(client, router, { delayMs: 5 });
    net.link(proxy, router, { delayMs: 5 });
    return { net, client, proxy };
  }

  for (const medium of ["ip", "ethernet"] as const) {
    test(`answers in the name of whoever was asked for, over ${medium}`, async () => {
      const { net, client, proxy } = place(medium);
      const asked: string[] = [];
      await net.run(async () => {
        const listener = proxy.listen({
          any: true,
          accept: ({ localAddress, localPort, remoteAddress }) => {
            asked.push(`${remoteAddress} > ${localAddress}:${localPort}`);
            return localPort === 81 ? false : localPort === 82 ? "drop" : localAddress.startsWith("198.51.");
          },
        });
        expect([listener.port, listener.address]).toEqual([0, "0.0.0.0"]);
        net.spawn(async () => {
          for await (const connection of listener) {
            await connection.write(`I am ${connection.localAddress}:${connection.localPort}`);
            await connection.close();
          }
        });
        const ask = (address: string, port: number) => client.connect({ address, port, timeout: 1_000 });
        for (const [address, port] of [
          ["198.51.100.7", 80],
          ["198.51.100.8", 65_535],
        ] as const) {
          const connection = await ask(address, port);
          expect(connection.remoteAddress).toBe(address);
          expect(await readAll(connection)).toBe(`I am ${address}:${port}`);
          await connection.close();
        }
        expect(await failure(ask("198.51.100.7", 81))).toBe("ECONNREFUSED");
        expect(await failure(ask("198.51.100.7", 82))).toBe("ETIMEDOUT");
        // Its own address, which its program does not want.
        expect(await failure(ask("10.0.1.2", 80))).toBe("ECONNREFUSED");
        // Nothing else is at those addresses.
        expect(await failure(client.ping("198.51.100.7", { timeout: 500 }))).toBe("ETIMEDOUT");
        listener.close();
        expect(await failure(ask("198.51.100.7", 80))).toBe("ETIMEDOUT");
        expect(await failure(listener.accept())).toBe("ECANCELED");
      });
      expect(asked.slice(0, 3)).toEqual([
        "10.0.0.2 > 198.51.100.7:80",
        "10.0.0.2 > 198.51.100.8:65535",
        "10.0.0.2 > 198.51.100.7:81",
      ]);
    });
  }

  test("tells neighbours nothing: who looks for such an address on the link finds nobody", async () => {
    const net = new Network({ seed: 3, medium: "ethernet" });
    const proxy = net.host({ addresses: ["10.0.0.1/24"] });
    const client = net.host({ addresses: ["10.0.0.2/24"] });
    net.link(client, proxy);
    await net.run(async () => {
      proxy.listen({ any: true });
      const attempt = client.connect({ address: "10.0.0.9", port: 80, timeout: 10_000 });
      expect(await failure(attempt)).toBe("EHOSTUNREACH");
      const own = await client.connect({ address: "10.0.0.1", port: 80 });
      own.abort();
    });
  });

  test("a megabyte each way, over loss", async () => {
    const net = new Network({ seed: 9 });
    const proxy = net.host({ addresses: ["10.0.0.1/24"] });
    const client = net.host({ addresses: ["10.0.0.2/24"], gateway: "10.0.0.1" });
    net.link(client, proxy, { rateMbit: 100, delayMs: 5, loss: 0.01 });
    await net.run(async () => {
      const listener = proxy.listen({ any: true });
      net.spawn(async () => {
        const connection = await listener.accept();
        await connection.readable.pipeTo(connection.writable);
      });
      const connection = await client.connect({ address: "203.0.113.1", port: 7 });
      const sent = new Uint8Array(1 << 20).map((_, i) => i * 7);
      const writing = connection.write(sent).then(() => connection.shutdown());
      const chunks: Uint8Array[] = [];
      for await (const chunk of connection) chunks.push(chunk);
      await writing;
      expect(Buffer.concat(chunks).equals(sent)).toBe(true);
    });
  });
});

describe("listeners of a host", () => {
  function pair() {
    const net = new Network({ seed: 11 });
    const server = net.host({ addresses: ["10.0.0.1/24", "10.0.0.3/24"] });
    const client = net.host({ addresses: ["10.0.0.2/24"] });
    net.link(client, server);
    return { net, server, client };
  }

  /** Connects so often, and says how many each listener got. */
  async function shares(
    net: Network,
    client: Host,
    listeners: readonly number[],
    count: number,
  ): Promise<number[]> {
    const before = [...listeners];
    const connections = await Promise.all(
      Array.from({ length: count }, () => client.connect({ address: "10.0.0.1", port: 80 })),
    );
    await net.sleep(10);
    for (const connection of connections) connection.abort();
    return listeners.map((got, i) => got - before[i]);
  }

  test("reusePort: each gets its share, and of one that closes the others have it", async () => {
    const { net, server, client } = pair();
    await net.run(async () => {
      const got = [0, 0, 0];
      const listeners = got.map(() => server.listen({ port: 80, reusePort: true }));
      for (const [i, listener] of listeners.entries()) {
        net.spawn(async () => {
          for await (const connection of listener) {
            got[i]++;
            connection.abort();
          }
        });
      }
      expect(() => server.listen({ port: 80 })).toThrow(StackError);
      for (const share of await shares(net, client, got, 90)) expect(share).toBeGreaterThan(10);
      listeners[1].close();
      const rest = await shares(net, client, got, 60);
      expect(rest[1]).toBe(0);
      expect(rest[0] + rest[2]).toBe(60);
    });
  });

  test("one address and all of them", async () => {
    const { net, server, client } = pair();
    await net.run(async () => {
      const all = server.listen({ port: 80 });
      const one = server.listen({ port: 80, address: "10.0.0.3" });
      await client.connect({ address: "10.0.0.3", port: 80 });
      await client.connect({ address: "10.0.0.1", port: 80 });
      expect((await one.accept()).localAddress).toBe("10.0.0.3");
      expect((await all.accept()).localAddress).toBe("10.0.0.1");
    });
  });

  test("maxConnections: what is beyond is refused, and counted", async () => {
    const { net, server, client } = pair();
    await net.run(async () => {
      const listener = server.listen({ port: 80, maxConnections: 2 });
      const ask = () => client.connect({ address: "10.0.0.1", port: 80, timeout: 1_000 });
      const [first] = [await ask(), await ask()];
      const far = await listener.accept();
      expect(await failure(ask())).toBe("ECONNREFUSED");
      expect([listener.connections, server.stats.tcpConnectionsRefused]).toEqual([2, 1]);
      await Promise.all([first.close(), far.close()]);
      expect(listener.connections).toBe(1);
      await ask();
      expect(await failure(ask())).toBe("ECONNREFUSED");
    });
  });
});
