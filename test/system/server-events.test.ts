import { expect } from "bun:test";
import { join } from "node:path";
import { type Namespace, type Running, systemTest } from "../support/system.ts";

/** What befalls a server's interface is told on standard error, and when it is back, the server goes on. */

const root = join(import.meta.dir, "../..");
const SERVER = "192.168.69.1";

async function startServer(ns: Namespace, example: string): Promise<Running> {
  const config = `examples/config/${example}.toml`;
  const server = ns.start([process.execPath, "run", "examples/server.ts", "--config", config], { cwd: root });
  await server.waitFor(/^Try: /m);
  return server;
}

async function answers(ns: Namespace): Promise<void> {
  const page = await ns.ok([
    "curl",
    "--silent",
    "--fail",
    "--retry",
    "3",
    "--retry-all-errors",
    "--max-time",
    "3",
    `http://${SERVER}/`,
  ]);
  expect(page).toContain("It works");
}

/** The kernel's end has the same hardware address each time: as a cable that is plugged in again. */
async function makeVeth(ns: Namespace): Promise<void> {
  const address = ["address", "02:00:00:00:69:64"];
  await ns.ok(["ip", "link", "add", "veth0", ...address, "type", "veth", "peer", "name", "veth1"]);
  await ns.ok(["ip", "address", "add", "192.168.69.100/24", "dev", "veth0"]);
  await ns.ok(["sh", "-ec", "ip link set veth0 up && ip link set veth1 up"]);
}

for (const [example, name] of [
  ["tun", "tun0"],
  ["tap", "tap0"],
]) {
  systemTest(`${name} goes down and up again`, ["tun", "curl"], async (ns) => {
    const server = await startServer(ns, example);
    await answers(ns);
    await ns.ok(["ip", "link", "set", name, "down"]);
    await server.waitFor(`${name} is down: nothing passes until it is up again.\n`);
    await ns.ok(["ip", "link", "set", name, "up"]);
    await server.waitFor(`${name} is up.\n`);
    await answers(ns);
    await ns.ok(["ip", "link", "set", name, "mtu", "1400"]);
    await server.waitFor(`${name} has an MTU of 1400 now.\n`);
    expect((await server.stop()).exitCode).toBe(0);
  });

  systemTest(`${name} is removed, and comes back`, ["tun", "curl"], async (ns) => {
    const server = await startServer(ns, example);
    await ns.ok(["ip", "link", "delete", name]);
    await server.waitFor(`${name} was removed: waiting for it to come back.\n`);
    await ns.ok(["ip", "tuntap", "add", "dev", name, "mode", example]);
    // The device sets it up as it had the first one.
    await server.waitFor(`${name} is up.\n`);
    await answers(ns);
    expect((await server.stop()).exitCode).toBe(0);
  });
}

systemTest("a veth pair is removed, and made again", ["curl"], async (ns) => {
  await makeVeth(ns);
  const server = await startServer(ns, "raw");
  await answers(ns);
  await ns.ok(["ip", "link", "delete", "veth0"]);
  await server.waitFor("veth1 was removed: waiting for it to come back.\n");
  await makeVeth(ns);
  await server.waitFor("veth1 is up.\n");
  await answers(ns);
  expect((await server.stop()).exitCode).toBe(0);
});
