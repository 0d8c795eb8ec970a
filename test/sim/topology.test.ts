import { describe, expect, test } from "bun:test";
import { type Host, StackError } from "../../src/index.ts";
import { Network } from "../../src/sim/index.ts";
import { failure } from "../host/pair.ts";

/** Two networks with a router between them. */
function routed(medium: "ip" | "ethernet" = "ip") {
  const net = new Network({ medium });
  const a = net.host({ addresses: ["10.0.1.1/24"], gateway: "10.0.1.254" });
  const b = net.host({ addresses: ["10.0.2.1/24"], gateway: "10.0.2.254" });
  const router = net.router(["10.0.1.254/24", "10.0.2.254/24"]);
  // In the other order: each link finds the interface that is in the host's network.
  const right = net.link(router, b, { delayMs: 20 });
  const left = net.link(a, router, { delayMs: 5 });
  return { net, a, b, router, left, right };
}

/** Sends bytes to a port of the other host, and returns what arrived. */
async function transfer(
  net: Network,
  from: Host,
  to: Host,
  address: string,
  length: number,
): Promise<number> {
  const listener = to.listen({ port: 9 });
  net.spawn(async () => {
    const connection = await from.connect({ address, port: 9 });
    await connection.write(new Uint8Array(length));
    await connection.close();
  });
  const accepted = await listener.accept();
  let count = 0;
  for await (const chunk of accepted) count += chunk.length;
  await accepted.close();
  listener.close();
  return count;
}

describe("links", () => {
  test("a ping takes the delays of both directions, which may differ", async () => {
    const net = new Network();
    const [a, b] = [net.host("10.0.0.1/24"), net.host("10.0.0.2/24")];
    const link = net.link(a, b, { delayMs: 30 }, { delayMs: 5 });
    await net.run(async () => {
      expect((await a.ping("10.0.0.2")).ms).toBe(35);
      link.back.set({ delayMs: 10 });
      expect((await a.ping("10.0.0.2")).ms).toBe(40);
      link.set({ delayMs: 1, rateMbit: 0.672 });
      // 84 bytes are 672 bits.
      expect((await b.ping("10.0.0.1")).ms).toBeCloseTo(4, 6);
    });
  });

  test("an MTU is that of both hosts from then on", async () => {
    const net = new Network();
    const [a, b] = [net.host("10.0.0.1/24"), net.host("10.0.0.2/24")];
    net.link(a, b, { mtu: 9_000 });
    await net.run(async () => {
      const { bytes } = await a.ping("10.0.0.2", { size: 8_972 });
      expect(bytes).toBe(8_980);
      expect(await failure(a.ping("10.0.0.2", { size: 8_973 }))).toBe("EMSGSIZE");
    });
  });

  test("a cable that is unplugged loses what is sent, and hosts know", async () => {
    const events: string[] = [];
    const net = new Network();
    const onDeviceEvent = ({ type }: { type: string }) => void events.push(type);
    const a = net.host({ addresses: ["10.0.0.1/24"], onDeviceEvent });
    const b = net.host("10.0.0.2/24");
    const link = net.link(a, b);
    await net.run(async () => {
      link.down();
      expect(link.isUp).toBe(false);
      expect(await failure(a.ping("10.0.0.2", { timeout: 100 }))).toBe("ETIMEDOUT");
      link.up();
      expect((await a.ping("10.0.0.2")).ms).toBe(2);
    });
    expect(events).toEqual(["down", "up"]);
    expect(link.there.stats.down).toBe(1);
  });

  test("a host without a link sends into the void", async () => {
    const net = new Network();
    const a = net.host("10.0.0.1/24");
    await net.run(async () => {
      expect(await failure(a.ping("10.0.0.2", { timeout: 100 }))).toBe("ETIMEDOUT");
    });
  });

  test("what cannot be linked is refused in words", () => {
    const net = new Network();
    const [a, b, c] = ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"].map((address) => net.host(address));
    net.link(a, b);
    expect(() => net.link(c, c)).toThrow("a link has two ends");
    expect(() => net.link(a, c)).toThrow("10.0.0.1/24 has no interface left for another link");
    expect(() => net.link(c, new Network().host("10.0.0.4/24"))).toThrow("no node of this network");
    expect(() => net.link(c, net.host("10.0.0.5/24"), { mtu: 67 })).toThrow("mtu is 67");
    expect(() => net.switch()).toThrow('new Network({ medium: "ethernet" })');
    expect(() => net.port(c, "10.0.0.9")).toThrow("no interface with the address 10.0.0.9");
    expect(() => new Network({ seed: 1.5 })).toThrow(StackError);
    expect(() => new Network({ memory: 0 })).toThrow(StackError);
  });

  test("corrupt frames are noticed, and TCP repairs everything", async () => {
    const net = new Network({ seed: 4 });
    const [a, b] = [net.host("10.0.0.1/24"), net.host("10.0.0.2/24")];
    const faults = { corrupt: 0.02, duplicate: 0.02, reorder: 0.02, loss: 0.02 };
    const link = net.link(a, b, { ...faults, rateMbit: 100, delayMs: 5, reorderMs: 3 });
    await net.run(async () => expect(await transfer(net, a, b, "10.0.0.2", 500_000)).toBe(500_000));
    const { corrupted, lost, duplicated, reordered } = link.there.stats;
    expect(Math.min(corrupted, lost, duplicated, reordered)).toBeGreaterThan(0);
    const { tcpBadChecksum, ipv4BadChecksum, ipv4Malformed, tcpMalformed, unknownNetworkProtocol } = b.stats;
    expect(
      tcpBadChecksum + ipv4BadChecksum + ipv4Malformed + tcpMalformed + unknownNetworkProtocol,
    ).toBeGreaterThan(0);
  });

  test("with checksum offload nobody sums, and garbled frames are noticed all the same", async () => {
    const net = new Network({ seed: 4, checksumOffload: true });
    const [a, b] = [net.host("10.0.0.1/24"), net.host("10.0.0.2/24")];
    const link = net.link(a, b, { corrupt: 0.02, rateMbit: 100 });
    await net.run(async () => expect(await transfer(net, a, b, "10.0.0.2", 500_000)).toBe(500_000));
    expect(link.there.stats.corrupted).toBeGreaterThan(2);
    expect(b.stats.tcpBadChecksum).toBeGreaterThan(0);
  });
});

describe("switch", () => {
  function switched(count: number) {
    const net = new Network({ medium: "ethernet" });
    const hub = net.switch({ name: "hub" });
    const hosts = Array.from({ length: count }, (_, i) => net.host(`10.0.0.${i + 1}/24`));
    const links = hosts.map((host) => net.link(host, hub, { delayMs: 1 }));
    return { net, hub, hosts, links };
  }

  test("learns who is where, and floods only what it must", async () => {
    const { net, hub, hosts, links } = switched(4);
    await net.run(async () => {
      // Each asks for the other's address first, which goes to all, and everything else to one.
      expect((await hosts[0].ping("10.0.0.2")).ms).toBe(12);
      expect((await hosts[0].ping("10.0.0.2")).ms).toBe(4);
    });
    expect(hub.stats).toMatchObject({ flooded: 2, forwarded: 6, local: 0, malformed: 0 });
    expect(links.map(({ back }) => back.stats.delivered)).toEqual([4, 4, 2, 2]);
    expect(hub.table()).toEqual([
      ["02:00:00:00:00:01", "10.0.0.1/24"],
      ["02:00:00:00:00:02", "10.0.0.2/24"],
    ]);
    expect(net.framesInUse).toBe(0);
  });

  test("forgets whom it has not heard of for 300 s", async () => {
    const { net, hub, hosts } = switched(3);
    await net.run(async () => {
      await hosts[0].ping("10.0.0.2");
      const { flooded } = hub.stats;
      await net.sleep(299_000);
      await hosts[0].ping("10.0.0.2");
      expect(hub.stats.flooded).toBe(flooded);
      await net.sleep(301_000);
      await hosts[0].ping("10.0.0.2");
      expect(hub.stats.flooded).toBeGreaterThan(flooded);
    });
  });

  test("remembers no more stations than it may", async () => {
    const net = new Network({ medium: "ethernet" });
    const hub = net.switch({ maxStations: 2 });
    const hosts = [1, 2, 3].map((i) => net.host(`10.0.0.${i}/24`));
    for (const host of hosts) net.link(host, hub);
    await net.run(async () => {
      for (const i of [2, 3]) await hosts[0].ping(`10.0.0.${i}`);
    });
    expect(hub.table().length).toBe(2);
  });

  test("hosts probe their addresses when they are to, in virtual time", async () => {
    const net = new Network({ medium: "ethernet" });
    const hub = net.switch();
    const first = net.host("10.0.0.1/24");
    const second = net.host({ addresses: ["10.0.0.1/24"], conflictDetection: "rfc5227" });
    net.link(first, hub);
    net.link(second, hub);
    await net.run(async () => {
      expect(await failure(second.whenReady())).toBe("EADDRINUSE");
    });
    expect(net.now).toBeLessThan(10_000);
  });
});

describe("router", () => {
  for (const medium of ["ip", "ethernet"] as const) {
    test(`takes packets from one network to the other, on ${medium}`, async () => {
      const { net, a, b, router } = routed(medium);
      await net.run(async () => {
        await a.ping("10.0.2.1");
        const { ms, ttl } = await a.ping("10.0.2.1");
        expect([ms, ttl]).toEqual([50, 63]);
        expect((await b.ping("10.0.2.254")).ms).toBe(40);
        expect(await transfer(net, a, b, "10.0.2.1", 100_000)).toBe(100_000);
      });
      expect(router.stats.forwarded).toBeGreaterThan(70);
      net.runUntilIdle();
      // An interface may keep one that its stack has asked for and not used.
      expect(net.framesInUse).toBeLessThanOrEqual(4);
    });
  }

  test("RFC 792: says that a packet has lived too long", async () => {
    const { net, a, router } = routed();
    await net.run(async () => {
      const pinger = a.pinger();
      await pinger.send({ address: "10.0.2.1", ttl: 1 });
      const answer = await pinger.receive();
      expect(answer).toMatchObject({ type: "error", address: "10.0.1.254", ms: 10 });
      if (answer.type === "error") expect(answer.error.message).toContain("too many hops away");
      pinger.close();
      expect((await a.ping("10.0.2.1", { ttl: 2 })).ttl).toBe(63);
    });
    expect(router.stats.ttlExceeded).toBe(1);
  });

  test("RFC 1191: says that a packet is too large for the next link, and for which size it is not", async () => {
    const net = new Network();
    const a = net.host({ addresses: ["10.0.1.1/24"], gateway: "10.0.1.254" });
    const b = net.host({ addresses: ["10.0.2.1/24"], gateway: "10.0.2.254" });
    const router = net.router(["10.0.1.254/24", "10.0.2.254/24"]);
    net.link(a, router);
    net.link(router, b, { mtu: 1_200 });
    await net.run(async () => {
      expect((await a.ping("10.0.2.1", { size: 1_172 })).bytes).toBe(1_180);
      expect(await failure(a.ping("10.0.2.1", { size: 1_173 }))).toBe("EMSGSIZE");
    });
    expect(router.stats.tooLarge).toBe(1);
  });

  test("says that there is no way to a network", async () => {
    const { net, a, router } = routed();
    await net.run(async () => {
      expect(await failure(a.ping("10.9.9.9"))).toBe("ENETUNREACH");
    });
    expect(router.stats.noRoute).toBe(1);
  });

  test("several in a row, by routes", async () => {
    const net = new Network();
    const a = net.host({ addresses: ["10.0.1.1/24"], gateway: "10.0.1.254" });
    const b = net.host({ addresses: ["10.0.3.1/24"], gateway: "10.0.3.254" });
    const first = net.router({
      interfaces: [
        { addresses: ["10.0.1.254/24"] },
        { addresses: ["10.0.2.1/30"], routes: [{ to: "10.0.3.0/24", via: "10.0.2.2" }] },
      ],
    });
    const second = net.router({
      interfaces: [
        { addresses: ["10.0.2.2/30"], routes: [{ to: "10.0.1.0/24", via: "10.0.2.1" }] },
        { addresses: ["10.0.3.254/24"] },
      ],
    });
    net.link(a, first);
    net.link(first, second, { delayMs: 10 });
    net.link(second, b);
    await net.run(async () => {
      const { ms, ttl } = await a.ping("10.0.3.1");
      expect([ms, ttl]).toEqual([24, 62]);
    });
  });
});

describe("partition", () => {
  test("nothing passes between the parts, in any direction, until it heals", async () => {
    const net = new Network({ medium: "ethernet" });
    const hub = net.switch();
    const [a, b, c] = [1, 2, 3].map((i) => net.host(`10.0.0.${i}/24`));
    for (const host of [a, b, c]) net.link(host, hub);
    await net.run(async () => {
      for (const i of [2, 3]) await a.ping(`10.0.0.${i}`);
      net.partition([a], [b, c]);
      for (const i of [2, 3]) expect(await failure(a.ping(`10.0.0.${i}`, { timeout: 50 }))).toBe("ETIMEDOUT");
      expect(await failure(b.ping("10.0.0.1", { timeout: 50 }))).toBe("ETIMEDOUT");
      expect((await b.ping("10.0.0.3")).ms).toBeGreaterThan(0);
      net.heal();
      expect((await a.ping("10.0.0.2")).ms).toBe(4);
    });
  });

  test("what is on its way when it comes is lost; a node in no part hears all", async () => {
    const net = new Network({ medium: "ethernet" });
    const hub = net.switch();
    const [a, b, c] = [1, 2, 3].map((i) => net.host(`10.0.0.${i}/24`));
    for (const host of [a, b, c]) net.link(host, hub, { delayMs: 10 });
    await net.run(async () => {
      await a.ping("10.0.0.2");
      net.after(15, () => net.partition([a], [b]));
      expect(await failure(a.ping("10.0.0.2", { timeout: 500 }))).toBe("ETIMEDOUT");
      await c.ping("10.0.0.1");
      await c.ping("10.0.0.2");
    });
  });

  test("routers stand in its way, too", async () => {
    for (const medium of ["ip", "ethernet"] as const) {
      const { net, a, b, router } = routed(medium);
      await net.run(async () => {
        net.partition([a], [b]);
        expect(await failure(a.ping("10.0.2.1", { timeout: 500 }))).toBe("ETIMEDOUT");
        await a.ping("10.0.1.254");
        net.heal();
        await a.ping("10.0.2.1");
        net.partition([a, b], [router]);
        expect(await failure(a.ping("10.0.2.1", { timeout: 500 }))).toBe("ETIMEDOUT");
      });
      expect(router.stats.partitioned).toBe(1);
    }
  });

  test("what a router has passed on counts as its sender's", async () => {
    const { net, a, b, right } = routed();
    await net.run(async () => {
      // The router has the request after 5 ms, and the host behind it has it 20 ms later.
      net.after(10, () => net.partition([a], [b]));
      expect(await failure(a.ping("10.0.2.1", { timeout: 500 }))).toBe("ETIMEDOUT");
    });
    expect([right.there.stats.delivered, right.back.stats.delivered]).toEqual([1, 0]);
    expect(b.stats.icmpEchoRequests).toBe(0);
  });

  test("at given times, a connection lives through it", async () => {
    const net = new Network();
    const [a, b] = [net.host("10.0.0.1/24"), net.host("10.0.0.2/24")];
    net.link(a, b, { rateMbit: 1, delayMs: 10 });
    net.at(1_000, () => net.partition([a], [b]));
    net.at(6_000, () => net.heal());
    await net.run(async () => expect(await transfer(net, a, b, "10.0.0.2", 300_000)).toBe(300_000));
    expect(net.now).toBeGreaterThan(6_000);
  });

  test("no node is in two parts", () => {
    const net = new Network();
    const a = net.host("10.0.0.1/24");
    expect(() => net.partition([a], [a])).toThrow("in two parts");
  });
});
