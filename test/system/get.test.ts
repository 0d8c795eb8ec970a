import { expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pattern } from "../host/pair.ts";
import { type Namespace, systemTest } from "../support/system.ts";

const root = join(import.meta.dir, "../..");
/** The kernel's address on every device. */
const KERNEL = "192.168.69.100";

const get = (example: string) => [
  ...[process.execPath, "run", "examples/get.ts", "--config", `examples/config/${example}.toml`],
];

/** What raw needs is there before; the others make their interfaces themselves. */
async function prepare(ns: Namespace, example: string): Promise<void> {
  if (example !== "raw") return;
  await ns.ok(["ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"]);
  await ns.ok(["ip", "address", "add", `${KERNEL}/24`, "dev", "veth0"]);
  await ns.ok(["sh", "-ec", "ip link set veth0 up && ip link set veth1 up"]);
}

for (const example of ["tun", "tap", "raw"]) {
  const driver = example === "raw" ? [] : ["tun"];

  systemTest(
    `${example}: a page of a kernel's server arrives byte for byte`,
    [...driver, "python3", "cmp"],
    async (ns) => {
      const folder = mkdtempSync(join(tmpdir(), "tapwire-get-"));
      try {
        await prepare(ns, example);
        writeFileSync(join(folder, "page"), pattern(3_000_000));
        const server = ns.start(["python3", "-u", "-m", "http.server", "8000", "--directory", folder]);
        await server.waitFor("Serving HTTP");
        const copy = join(folder, "copy");
        const url = `http://${KERNEL}:8000`;
        await ns.ok([...get(example), "-o", copy, `${url}/page`], { cwd: root });
        await ns.ok(["cmp", join(folder, "page"), copy]);
        const listing = await ns.ok([...get(example), "-i", `${url}/`], { cwd: root });
        expect(listing).toMatch(/^HTTP\/1\.0 200 OK\r\n/);
        expect(listing).toContain('<a href="page">page</a>');
        const missing = await ns.run([...get(example), "-v", `${url}/none`], { cwd: root });
        expect(missing.exitCode).toBe(0);
        expect(missing.stderr).toMatch(
          / Out IP 192\.168\.69\.1\.[0-9]+ > 192\.168\.69\.100\.8000: Flags \[SEW\], /,
        );
        expect(missing.stderr).not.toContain("Flags [R");
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    10_000,
  );

  systemTest(`${example}: nobody there: refused at once, or timed out`, driver, async (ns) => {
    await prepare(ns, example);
    const refused = await ns.run([...get(example), `http://${KERNEL}:9/`], { cwd: root });
    expect(refused.exitCode).toBe(7);
    expect(refused.stderr).toContain("connection refused");
    const silent = await ns.run([...get(example), "--max-time", "1", "http://192.168.69.200/"], {
      cwd: root,
    });
    expect(silent.exitCode).toBeOneOf([7, 28]);
  });
}
