import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../src/random.ts";
import { Stack } from "../../src/stack.ts";
import { SYN } from "../../src/wire/tcp.ts";
import { codeOf } from "../support/errors.ts";
import { lines, tcpPacket } from "../support/packets.ts";
import { TestDevice } from "../support/test-device.ts";

/** What the socket set says to programs that ask for what cannot be had: RFC 9293 3.10.1, OPEN. */

function stackWith(maxSockets = 16): Stack {
  const stack = new Stack({ random: seededRandom(1), memory: 1 << 20, maxSockets });
  stack.addInterface({ device: new TestDevice(), addresses: ["10.0.0.1/24", "10.0.1.1/24"] });
  return stack;
}

describe("listen", () => {
  test("a port is taken once for each address, and once for all", () => {
    const { sockets } = stackWith();
    sockets.listen({ port: 80, address: "10.0.0.1" });
    sockets.listen({ port: 80, address: "10.0.1.1" });
    expect(codeOf(() => sockets.listen({ port: 80, address: "10.0.0.1" }))).toBe("EADDRINUSE");
    sockets.listen({ port: 80 });
    expect(codeOf(() => sockets.listen({ port: 80, address: "0.0.0.0" }))).toBe("EADDRINUSE");
    expect(codeOf(() => sockets.listen({ port: 80, address: "10.0.0.1" }))).toBe("EADDRINUSE");
    expect(sockets.size).toBe(3);
  });

  test("who shares a port shares it with those who do, too", () => {
    const { sockets } = stackWith();
    const first = sockets.listen({ port: 80, reusePort: true });
    const second = sockets.listen({ port: 80, reusePort: true });
    expect(codeOf(() => sockets.listen({ port: 80 }))).toBe("EADDRINUSE");
    sockets.listen({ port: 81 });
    expect(codeOf(() => sockets.listen({ port: 81, reusePort: true }))).toBe("EADDRINUSE");
    first.close();
    expect(codeOf(() => sockets.listen({ port: 80 }))).toBe("EADDRINUSE");
    second.close();
    sockets.listen({ port: 80 });
  });

  test("a catch-all is one, unless it is shared, and has no port", () => {
    const { sockets } = stackWith();
    const only = sockets.listen({ any: true });
    expect([only.port, `${only.address}`]).toEqual([0, "0.0.0.0"]);
    expect(codeOf(() => sockets.listen({ any: true }))).toBe("EADDRINUSE");
    expect(codeOf(() => sockets.listen({ any: true, reusePort: true }))).toBe("EADDRINUSE");
    only.close();
    sockets.listen({ any: true, reusePort: true });
    sockets.listen({ any: true, reusePort: true });
    expect(codeOf(() => sockets.listen({ any: true, port: 80 }))).toBe("EINVAL");
    expect(codeOf(() => sockets.listen({ any: true, address: "10.0.0.1" }))).toBe("EINVAL");
    expect(codeOf(() => sockets.listen({}))).toBe("EINVAL");
    expect(sockets.size).toBe(2);
  });

  test("after close it is free", () => {
    const { sockets } = stackWith();
    sockets.listen({ port: 80 }).close();
    sockets.listen({ port: 80, address: "10.0.0.1" }).close();
    sockets.listen({ port: 80 });
    expect(sockets.size).toBe(1);
  });

  test("an address that is not ours", () => {
    const { sockets } = stackWith();
    expect(codeOf(() => sockets.listen({ port: 80, address: "10.0.0.2" }))).toBe("EADDRNOTAVAIL");
    expect(sockets.size).toBe(0);
  });

  test("what is no port, and no backlog", () => {
    const { sockets } = stackWith();
    for (const port of [0, -1, 65_536, 1.5, Number.NaN]) {
      expect(codeOf(() => sockets.listen({ port }))).toBe("EINVAL");
    }
    for (const count of [0, -1, 0.5, Number.NaN]) {
      expect(codeOf(() => sockets.listen({ port: 80, backlog: count }))).toBe("EINVAL");
      expect(codeOf(() => sockets.listen({ port: 80, maxConnections: count }))).toBe("EINVAL");
    }
    sockets.listen({ port: 65_535 });
    sockets.listen({ port: 1 });
    expect(sockets.size).toBe(2);
  });

  test("more sockets than there are numbers", () => {
    const { sockets } = stackWith(2);
    sockets.listen({ port: 1 });
    sockets.listen({ port: 2 });
    expect(codeOf(() => sockets.listen({ port: 3 }))).toBe("EMFILE");
    expect(codeOf(() => sockets.connect({ address: "10.0.0.2", port: 3 }))).toBe("EMFILE");
    // The failed attempts have taken no port.
    expect(sockets.context.tcpPorts.isBound(3)).toBe(false);
  });
});

describe("connect", () => {
  test("where no way leads", () => {
    expect(codeOf(() => stackWith().sockets.connect({ address: "192.0.2.1", port: 80 }))).toBe("ENETUNREACH");
  });

  test("MUST-46: an invalid remote address is an error: broadcast, multicast, none", () => {
    const { sockets } = stackWith();
    for (const address of ["255.255.255.255", "10.0.0.255", "10.0.1.255", "224.0.0.1", "0.0.0.0"]) {
      expect(codeOf(() => sockets.connect({ address, port: 80 }))).toBe("ENETUNREACH");
    }
    expect(sockets.size).toBe(0);
  });

  test("what is no port, and no address", () => {
    const { sockets } = stackWith();
    for (const port of [0, 65_536, -5, 0.1]) {
      expect(codeOf(() => sockets.connect({ address: "10.0.0.2", port }))).toBe("EINVAL");
    }
    expect(codeOf(() => sockets.connect({ address: "10.0.0", port: 80 }))).toBe("EINVAL");
    expect(codeOf(() => sockets.connect({ address: "10.0.0.2", port: 80, localPort: 70_000 }))).toBe(
      "EINVAL",
    );
    expect(sockets.size).toBe(0);
  });

  test("a local port that a connection to there has, or a listener", () => {
    const { sockets } = stackWith();
    sockets.connect({ address: "10.0.0.2", port: 80, localPort: 5_000 });
    expect(codeOf(() => sockets.connect({ address: "10.0.0.2", port: 80, localPort: 5_000 }))).toBe(
      "EADDRINUSE",
    );
    sockets.connect({ address: "10.0.0.2", port: 81, localPort: 5_000 });
    sockets.connect({ address: "10.0.0.3", port: 80, localPort: 5_000 });
    sockets.listen({ port: 6_000 });
    expect(codeOf(() => sockets.connect({ address: "10.0.0.2", port: 80, localPort: 6_000 }))).toBe(
      "EADDRINUSE",
    );
    expect(sockets.size).toBe(4);
  });

  test("MUST-43 and 44: from the local address that was asked for, else from the one of that network", () => {
    const { sockets } = stackWith();
    const own = (address: string, localAddress?: string) =>
      `${sockets.connect({ address, port: 80, ...(localAddress === undefined ? {} : { localAddress }) }).localAddress}`;
    expect(own("10.0.0.2")).toBe("10.0.0.1");
    expect(own("10.0.1.2")).toBe("10.0.1.1");
    expect(own("10.0.0.2", "10.0.1.1")).toBe("10.0.1.1");
    expect(own("10.0.0.2", "0.0.0.0")).toBe("10.0.0.1");
    expect(codeOf(() => own("10.0.0.2", "10.0.0.7"))).toBe("EADDRNOTAVAIL");
  });

  test("connections to one destination have different ports", () => {
    const { sockets } = stackWith(200);
    const ports = new Set<number>();
    for (let i = 0; i < 100; i++) ports.add(sockets.connect({ address: "10.0.0.2", port: 80 }).localPort);
    expect(ports.size).toBe(100);
  });
});

describe("which listener a SYN is for", () => {
  function answers(listen: readonly string[]): string[] {
    const device = new TestDevice();
    const stack = new Stack({ random: seededRandom(1), memory: 1 << 20, maxSockets: 16 });
    stack.addInterface({ device, addresses: ["10.0.0.1/24", "10.0.1.1/24"] });
    for (const address of listen) stack.sockets.listen({ port: 80, address });
    for (const to of ["10.0.0.1", "10.0.1.1"]) {
      device.inject(tcpPacket({ from: "10.0.0.2", to }, { sourcePort: 9, destinationPort: 80, flags: SYN }));
    }
    stack.poll(1);
    return lines(device.take()).map((line) => line.replace(/, .*/, ""));
  }

  test("the one bound to its address, or to all", () => {
    expect(answers(["10.0.1.1"])).toEqual([
      "IP 10.0.0.1.80 > 10.0.0.2.9: Flags [R.]",
      "IP 10.0.1.1.80 > 10.0.0.2.9: Flags [S.]",
    ]);
    expect(answers(["0.0.0.0"])).toEqual([
      "IP 10.0.0.1.80 > 10.0.0.2.9: Flags [S.]",
      "IP 10.0.1.1.80 > 10.0.0.2.9: Flags [S.]",
    ]);
    // Which of several it is tells test/socket/tcp/listeners.test.ts.
    expect(answers(["0.0.0.0", "10.0.1.1"])).toEqual(answers(["0.0.0.0"]));
  });
});
