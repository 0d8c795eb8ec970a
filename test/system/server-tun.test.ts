import { expect } from "bun:test";
import { join } from "node:path";
import { type Namespace, type Running, systemTest, until } from "../support/system.ts";

const root = join(import.meta.dir, "../..");
const SERVER = "192.168.69.1";
const URL_BASE = `http://${SERVER}`;

/** `examples/server.ts` on a TUN interface of the namespace. */
async function startServer(ns: Namespace, ...flags: string[]): Promise<Running> {
  const command = [process.execPath, "run", "examples/server.ts"];
  const server = ns.start(
    [...command, ...(flags.length > 0 ? flags : ["--config", "examples/config/tun.toml"])],
    {
      cwd: root,
    },
  );
  await server.waitFor(`Try: curl ${URL_BASE}/`);
  return server;
}

/* What every device has in common is tested in server.test.ts. */

systemTest("a closed UDP port is unreachable", ["tun", "tcpdump"], async (ns) => {
  const server = await startServer(ns, "--device", "tun", "--name", "tun7");
  const dump = ns.start(["tcpdump", "--immediate-mode", "-lni", "tun7", "icmp"]);
  await dump.waitFor("listening on");
  await ns.run(["bash", "-c", `echo x > /dev/udp/${SERVER}/4242`]);
  await dump.waitFor(`${SERVER} > 192.168.69.100: ICMP ${SERVER} udp port 4242 unreachable`);
  await dump.stop();
  await server.stop();
});

systemTest("flags put it where they say; SIGTERM removes the interface", ["tun", "curl"], async (ns) => {
  const flags = ["--device", "tun", "--name", "tun7", "--address", "192.168.69.1/24"];
  const server = await startServer(ns, ...flags, "--host-address", "192.168.69.100/24");
  expect(await ns.ok(["ip", "-brief", "address", "show", "tun7"])).toContain("192.168.69.100/24");
  expect(await ns.ok(["curl", "--silent", `${URL_BASE}/`])).toContain("TUN interface tun7, MTU 1500");
  // An idle connection must not hold it up, and a busy one neither.
  const idle = ns.start(["nc", SERVER, "7"]);
  await idle.write("x\n");
  await idle.waitFor("x\n");
  const busy = ns.start(["curl", "--silent", "--output", "/dev/null", `${URL_BASE}/bytes/99999999999`]);
  const established = ["ss", "-Htn", "state", "established", "dport", "=", ":80"];
  await until("a busy connection", async () => (await ns.ok(established)) !== "");
  const { exitCode, stderr } = await server.stop("SIGTERM");
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect((await ns.run(["ip", "link", "show", "tun7"])).exitCode).not.toBe(0);
  expect((await busy.end()).exitCode).not.toBe(0);
  await idle.end();
});

systemTest("Ctrl-C does the same, and a taken name is explained", ["tun"], async (ns) => {
  const server = await startServer(ns, "--device", "tun", "--name", "tun7");
  const second = await ns.run(
    [process.execPath, "run", "examples/server.ts", "--device", "tun", "--name", "tun7"],
    {
      cwd: root,
    },
  );
  expect(second.exitCode).toBe(1);
  expect(second.stderr).toMatch(/^The TUN interface tun7 is held by another program.*\n$/);
  expect((await server.stop("SIGINT")).exitCode).toBe(0);
});
