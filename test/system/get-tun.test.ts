import { expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pattern } from "../host/pair.ts";
import { systemTest } from "../support/system.ts";

const root = join(import.meta.dir, "../..");
const GET = [process.execPath, "run", "examples/get.ts", "--config", "examples/config/tun.toml"];
/** The kernel's address exists as soon as an interface has it: before the first one of ours does, too. */
const KERNEL = "192.168.69.100";

systemTest("a page of a kernel's server arrives byte for byte", ["tun", "python3", "cmp"], async (ns) => {
  const folder = mkdtempSync(join(tmpdir(), "tapwire-get-"));
  try {
    writeFileSync(join(folder, "page"), pattern(3_000_000));
    const server = ns.start(["python3", "-u", "-m", "http.server", "8000", "--directory", folder]);
    await server.waitFor("Serving HTTP");
    const copy = join(folder, "copy");
    const url = `http://${KERNEL}:8000`;
    await ns.ok([...GET, "-o", copy, `${url}/page`], { cwd: root });
    await ns.ok(["cmp", join(folder, "page"), copy]);
    const listing = await ns.ok([...GET, "-i", `${url}/`], { cwd: root });
    expect(listing).toMatch(/^HTTP\/1\.0 200 OK\r\n/);
    expect(listing).toContain('<a href="page">page</a>');
    const missing = await ns.run([...GET, "-v", `${url}/none`], { cwd: root });
    expect(missing.exitCode).toBe(0);
    expect(missing.stderr).toMatch(
      / Out IP 192\.168\.69\.1\.[0-9]+ > 192\.168\.69\.100\.8000: Flags \[S\], /,
    );
    expect(missing.stderr).not.toContain("Flags [R");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

systemTest("nobody there: refused at once, or timed out", ["tun"], async (ns) => {
  const [refused, silent] = await Promise.all([
    ns.run([...GET, `http://${KERNEL}:9/`], { cwd: root }),
    ns.run([...GET, "--name", "tun8", "--max-time", "0.3", "http://192.168.69.200/"], { cwd: root }),
  ]);
  expect(refused.exitCode).toBe(7);
  expect(refused.stderr).toContain("connection refused");
  expect(silent.exitCode).toBeOneOf([7, 28]);
});
