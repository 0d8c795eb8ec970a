import { describe, expect } from "bun:test";
import { openTun } from "../../devices/index.ts";
import { type Host, open } from "../../src/index.ts";
import { Namespace, systemTest, until } from "../support/system.ts";

/** Path MTU discovery through a kernel that forwards: its link to the server's namespace carries less and less. */

const US = "192.168.69.1";
const ROUTER = "192.168.69.100";
const SERVER = "10.99.0.2";
const PORT = 9_000;
const BYTES = 6_000_000;

/** Takes one connection, and prints what arrived. */
const SINK = `
import hashlib, socket
listener = socket.create_server(("${SERVER}", ${PORT}))
print("ready", flush=True)
connection, _ = listener.accept()
connection.settimeout(30)
digest = hashlib.sha256()
while chunk := connection.recv(65536):
    digest.update(chunk)
print(digest.hexdigest(), flush=True)
`;

/** Two namespaces: `ns` is the router with our TUN interface; what it says by ICMP is dropped where `silent`. */
async function routed(ns: Namespace, server: Namespace, silent: boolean): Promise<Host> {
  await ns.veth("near", "far", server);
  await ns.ok(["ip", "address", "add", "10.99.0.1/24", "dev", "near"]);
  await server.ok(["ip", "address", "add", `${SERVER}/24`, "dev", "far"]);
  await server.ok(["ip", "route", "add", "default", "via", "10.99.0.1"]);
  await ns.ok(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  const host = ns.inside(() => {
    const device = openTun({ name: "tun0", hostAddress: `${ROUTER}/24` });
    // The path takes no time: a silence is one soon.
    return open({ device, addresses: [`${US}/24`], gateway: ROUTER, tcp: { minRtoMs: 20 } });
  });
  if (silent) await ns.ok(["ip", "rule", "add", "ipproto", "icmp", "blackhole", "priority", "10"]);
  return host;
}

describe("the MTU behind a kernel router falls from 1,500 to 1,000 to 600", () => {
  for (const silent of [false, true]) {
    systemTest(
      silent ? "ICMP is filtered" : "it says so",
      ["tun", "python3"],
      async (ns) => {
        const server = await Namespace.open();
        const host = await routed(ns, server, silent);
        try {
          const sink = server.start(["python3", "-c", SINK]);
          await sink.waitFor("ready");
          const bytes = new Uint8Array(BYTES).map((_, i) => (i * 31 + (i >> 9) * 7) & 0xff);
          const connection = await host.connect({ address: SERVER, port: PORT });
          const seen = [];
          for (const [part, mtu] of [1_500, 1_000, 600].entries()) {
            await ns.ok(["ip", "link", "set", "near", "mtu", `${mtu}`]);
            await connection.write(bytes.subarray((part * BYTES) / 3, ((part + 1) * BYTES) / 3));
            const isThere = () => connection.info().notSent === 0 && connection.info().flightSize === 0;
            await until("the server has it all", isThere, 10_000);
            seen.push(connection.info().pathMtu);
          }
          await connection.shutdown();
          await sink.waitFor(new Bun.CryptoHasher("sha256").update(bytes).digest("hex"), 20_000);
          const { stats } = host;
          if (silent) {
            expect(seen[0]).toBe(1_500);
            expect(seen[1]).toBeWithin(552, 1_001);
            expect(seen[2]).toBeWithin(552, 601);
            expect(stats.tcpPathMtuDecreases).toBe(0);
          } else {
            expect(seen).toEqual([1_500, 1_000, 600]);
            expect(stats).toMatchObject({ tcpPathMtuDecreases: 2, tcpBlackHoles: 0 });
          }
        } finally {
          await host.close({ timeout: 100 });
          await server.close();
        }
      },
      30_000,
    );
  }
});
