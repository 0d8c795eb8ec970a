import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../devices/memory.ts";
import { StackError } from "../../src/errors.ts";
import { seededRandom } from "../../src/random.ts";
import type { Path } from "../../src/socket/routing.ts";
import { type InterfaceOptions, Stack } from "../../src/stack.ts";
import { parseAddress } from "../../src/wire/ip-address.ts";
import { EthernetHost, question, ROUTER_IP } from "./ethernet-host.ts";

/** A stack with interfaces of bare IP packets, numbered as they are added. */
function stackWith(...interfaces: Omit<InterfaceOptions, "device">[]) {
  const stack = new Stack({ random: seededRandom(1), maxSockets: 8, memory: 1 << 20 });
  const paths: Path[] = interfaces.map((options) =>
    stack.addInterface({ device: memoryPair()[0], ...options }),
  );
  const { routing } = stack.sockets.context;
  /** Which interface leads there, and from which address. */
  const way = (to: string) => {
    const route = routing.route(parseAddress(to));
    return route === null ? null : `${paths.indexOf(route.path)} from ${route.source}`;
  };
  return { stack, routing, way };
}

describe("the longest prefix wins", () => {
  const { way } = stackWith(
    {
      addresses: ["10.0.0.1/24"],
      gateway: "10.0.0.254",
      routes: [
        { to: "172.16.0.0/12", via: "10.0.0.2" },
        { to: "172.16.5.0/24", via: "10.0.0.3" },
      ],
    },
    {
      addresses: ["192.168.0.1/16", "192.168.7.1/24"],
      routes: [{ to: "172.16.5.128/25", via: "192.168.7.9" }, { to: "172.31.0.0/16" }],
    },
  );

  test.each([
    ["10.0.0.9", "0 from 10.0.0.1"],
    ["192.168.1.1", "1 from 192.168.0.1"],
    ["192.168.7.200", "1 from 192.168.7.1"],
    ["172.16.0.1", "0 from 10.0.0.1"],
    ["172.16.5.1", "0 from 10.0.0.1"],
    ["172.16.5.129", "1 from 192.168.7.1"],
    ["172.31.9.9", "1 from 192.168.0.1"],
    ["172.30.9.9", "0 from 10.0.0.1"],
    ["8.8.8.8", "0 from 10.0.0.1"],
    ["255.255.255.255", "0 from 10.0.0.1"],
    ["10.0.0.255", "0 from 10.0.0.1"],
  ])("%s", (to, expected) => {
    expect(way(to)).toBe(expected);
  });
});

describe("route()", () => {
  test("hands out what it has: nothing is made for a call", () => {
    const { routing } = stackWith({ addresses: ["10.0.0.1/24"], gateway: "10.0.0.254" });
    for (const to of ["10.0.0.2", "8.8.8.8", "255.255.255.255"]) {
      expect(routing.route(parseAddress(to))).toBe(routing.route(parseAddress(to)));
    }
  });

  test("no gateway: no route, but for everybody on the first link", () => {
    const { way } = stackWith({ addresses: ["10.0.0.1/24"] }, { addresses: ["10.0.1.1/24"] });
    expect(way("8.8.8.8")).toBeNull();
    expect(way("255.255.255.255")).toBe("0 from 10.0.0.1");
    expect(stackWith().way("255.255.255.255")).toBeNull();
  });

  test("an interface without addresses leads nowhere", () => {
    expect(stackWith({ addresses: [], gateway: "10.0.0.254" }).way("8.8.8.8")).toBeNull();
  });

  test("of equal ones the first: of two gateways, of two addresses in a network", () => {
    const { way } = stackWith(
      { addresses: ["10.0.0.1/24", "10.0.0.2/24"], gateway: "10.0.0.254" },
      { addresses: ["10.0.0.3/24"], gateway: "10.0.0.254" },
    );
    expect([way("10.0.0.9"), way("8.8.8.8")]).toEqual(["0 from 10.0.0.1", "0 from 10.0.0.1"]);
  });

  test("a /32 leads to nobody else, and a /31 has no broadcast address", () => {
    const { routing, way } = stackWith({ addresses: ["10.0.0.1/32", "10.0.2.0/31"] });
    expect([way("10.0.0.2"), way("10.0.2.1")]).toEqual([null, "0 from 10.0.2.0"]);
    expect(routing.isBroadcast(parseAddress("10.0.2.1"))).toBe(false);
  });
});

describe("the next hop on Ethernet", () => {
  const asksFor = (options: Partial<InterfaceOptions>, to: string) => {
    const host = new EthernetHost(options);
    host.stack.sockets.bindUdp().send(new Uint8Array(1), parseAddress(to), 9);
    host.poll();
    return host.sent();
  };
  const options = {
    gateway: ROUTER_IP,
    routes: [{ to: "172.16.0.0/12", via: "10.0.0.7" }, { to: "192.168.9.0/24" }],
  };

  test("a neighbour itself, a route's router, the gateway, a host that is said to be a neighbour", () => {
    expect(asksFor(options, "10.0.0.9")).toEqual([question("10.0.0.9")]);
    expect(asksFor(options, "172.20.1.1")).toEqual([question("10.0.0.7")]);
    expect(asksFor(options, "8.8.8.8")).toEqual([question(ROUTER_IP)]);
    expect(asksFor(options, "192.168.9.1")).toEqual([question("192.168.9.1")]);
  });

  test("the router may be in the network of any address", () => {
    const two = { addresses: ["10.0.0.1/24", "10.7.0.1/24"], gateway: "10.7.0.254" };
    expect(asksFor(two, "8.8.8.8")).toEqual([question("10.7.0.254", { from: "10.7.0.1" })]);
  });

  test("each address answers for itself", () => {
    const host = new EthernetHost({ addresses: ["10.0.0.1/24", "10.0.0.5/24", "10.7.0.1/16"] });
    for (const { address } of host.iface.addresses) expect(host.iface.hasAddress(address)).toBe(true);
  });
});

describe("mistakes", () => {
  const mistake = (options: Partial<InterfaceOptions>) => {
    try {
      new EthernetHost(options);
    } catch (error) {
      if (error instanceof StackError) return `${error.code}: ${error.message}`;
      throw error;
    }
    return "none";
  };

  test("a router that is no neighbour", () => {
    expect(mistake({ gateway: "10.0.1.254" })).toBe(
      "EINVAL: the gateway 10.0.1.254 is in none of the interface's networks (10.0.0.1/24): give one that is, or an address whose prefix covers it",
    );
    expect(mistake({ routes: [{ to: "172.16.0.0/12", via: "10.0.1.1" }] })).toContain(
      "EINVAL: the router 10.0.1.1 of the route to 172.16.0.0/12 is in none",
    );
    expect(mistake({ addresses: [], gateway: "10.0.1.254" })).toContain("networks (none)");
  });

  test("a router that is us, or everybody", () => {
    for (const gateway of ["10.0.0.1", "10.0.0.255"])
      expect(mistake({ gateway })).toContain("EINVAL: the gateway");
  });

  test("text that is no network, IPv6", () => {
    expect(mistake({ routes: [{ to: "172.16.0.0", via: ROUTER_IP }] })).toContain("EINVAL");
    expect(mistake({ routes: [{ to: "172.16.0.0/33", via: ROUTER_IP }] })).toContain("EINVAL");
    expect(mistake({ gateway: "fe80::1" })).toContain("ENOTSUP");
    expect(mistake({ routes: [{ to: "::/0", via: ROUTER_IP }] })).toContain("ENOTSUP");
  });

  test("where there is but one other end, the gateway may be anywhere", () => {
    expect(stackWith({ addresses: ["10.0.0.1/32"], gateway: "10.9.9.9" }).way("8.8.8.8")).toBe(
      "0 from 10.0.0.1",
    );
  });
});
