import { expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pattern } from "../host/pair.ts";
import { type Namespace, type Running, systemTest } from "../support/system.ts";

const root = join(import.meta.dir, "../..");
const HERE = "10.9.0.1";
const THERE = "10.9.0.2";

/** A shell in a network namespace of its own, with its process id as this namespace sees it. */
async function otherNetwork(ns: Namespace): Promise<{ shell: Running; pid: string }> {
  const shell = ns.start(["unshare", "--net", "sh"]);
  await shell.write("echo pid $$\n");
  const [, pid] = await shell.waitFor(/pid ([0-9]+)/);
  return { shell, pid };
}

async function startBridge(ns: Namespace, config: string): Promise<Running> {
  const bridge = ns.start([process.execPath, "run", "examples/bridge.ts", "--config", config], { cwd: root });
  await bridge.waitFor("tapwire bridges");
  return bridge;
}

/** Pings, and fetches three megabytes from a server of the other network. */
async function crossTheBridge(ns: Namespace, shell: Running, there: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "tapwire-bridge-"));
  try {
    writeFileSync(join(folder, "page"), pattern(3_000_000));
    await shell.write(
      `ip link set lo up; ip address add ${THERE}/24 dev ${there}; ip link set ${there} up\n`,
    );
    await shell.write(`exec python3 -u -m http.server 80 --bind ${THERE} --directory ${folder}\n`);
    await shell.waitFor("Serving HTTP");
    const pings = await ns.ok(["ping", "-c", "20", "-i", "0.01", "-W", "1", "-q", THERE]);
    expect(pings).toContain("20 packets transmitted, 20 received, 0% packet loss");
    const copy = join(folder, "copy");
    await ns.ok(["curl", "--silent", "--fail", "--output", copy, `http://${THERE}/page`]);
    await ns.ok(["cmp", join(folder, "page"), copy]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const PROGRAMS = ["tun", "ping", "curl", "python3", "cmp"];

systemTest("two TAP interfaces: ping and curl pass the bridge", PROGRAMS, async (ns) => {
  const { shell, pid } = await otherNetwork(ns);
  const bridge = await startBridge(ns, "examples/config/bridge.toml");
  await ns.ok(["ip", "address", "add", `${HERE}/24`, "dev", "tap1"]);
  await ns.ok(["ip", "link", "add", "link", "tap2", "name", "far", "type", "macvlan", "mode", "passthru"]);
  await ns.ok(["ip", "link", "set", "far", "netns", pid]);
  await crossTheBridge(ns, shell, "far");
  const { exitCode, stdout, stderr } = await bridge.stop("SIGINT");
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/ is behind tap1\n/);
  expect(stdout).toMatch(/ is behind tap2\n/);
  expect(stdout).toMatch(/^Frames: [0-9]+ received, /m);
});

systemTest("a TAP interface and a raw socket on a veth pair", PROGRAMS, async (ns) => {
  const { shell, pid } = await otherNetwork(ns);
  const config = join(tmpdir(), `tapwire-bridge-${process.pid}.toml`);
  writeFileSync(config, '[[device]]\ntype = "tap"\nname = "tap1"\n[[device]]\ntype = "raw"\nname = "near"\n');
  try {
    await ns.ok(["ip", "link", "add", "far", "type", "veth", "peer", "name", "near"]);
    await ns.ok(["ip", "link", "set", "near", "up"]);
    await ns.ok(["ip", "link", "set", "far", "netns", pid]);
    const bridge = await startBridge(ns, config);
    await ns.ok(["ip", "address", "add", `${HERE}/24`, "dev", "tap1"]);
    await crossTheBridge(ns, shell, "far");
    await ns.ok(["ip", "link", "delete", "near"]);
    await bridge.waitFor("near was removed: waiting for it to come back.");
    expect((await bridge.stop()).exitCode).toBe(0);
  } finally {
    rmSync(config);
  }
});
