import { describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "../host/pair.ts";
import { example } from "./program.ts";

const get = (...flags: string[]) => example("get", ...flags);

describe("examples/get.ts", () => {
  test("prints the page of the server at the other end", async () => {
    const { exitCode, stdout, stderr } = await get("http://192.168.69.100/");
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout).toStartWith("<!doctype html>");
    expect(stdout).toContain("192.168.69.1 port");
  });

  test("-i prints the header, too, and -H sends one", async () => {
    const { stdout } = await get("-i", "-H", "Connection: keep-alive", "192.168.69.7:8000/nothing");
    expect(stdout).toStartWith("HTTP/1.1 404 Not Found\r\nDate: ");
    expect(stdout).toContain("\r\nConnection: keep-alive\r\n\r\nThere is no such page");
  });

  test("-v prints the packets as tcpdump does", async () => {
    const { stdout, stderr } = await get("-v", "http://192.168.69.100/bytes/3");
    expect(stdout.length).toBeGreaterThan(0);
    const lines = stderr.trim().split("\n");
    expect(lines[0]).toMatch(
      /0\.000000 Out IP 192\.168\.69\.1\.[0-9]+ > 192\.168\.69\.100\.80: Flags \[SEW\], seq/,
    );
    expect(lines[1]).toMatch(/In {2}IP 192\.168\.69\.100\.80 > 192\.168\.69\.1\.[0-9]+: Flags \[S\.E\], seq/);
    expect(stderr).toMatch(/Flags \[FP?\.\]/);
    expect(stderr).not.toContain("Flags [R");
  });

  test("-o writes a file, and standard output gets the same bytes", async () => {
    const file = join(tmpdir(), `tapwire-get-${process.pid}`);
    const url = "http://192.168.69.100/bytes/2000000";
    expect(await get("-o", file, url)).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
    const saved = await Bun.file(file).bytes();
    await Bun.file(file).delete();
    expect(saved.length).toBe(2_000_000);
    const child = Bun.spawn([process.execPath, "run", "examples/get.ts", url], {
      cwd: join(import.meta.dir, "../.."),
    });
    expect(sha256(await new Response(child.stdout).bytes())).toBe(sha256(saved));
  });

  test("fails with curl's exit codes and a sentence", async () => {
    const cases: [number, RegExp, ...string[]][] = [
      [1, /only http/, "https://192.168.69.100/"],
      [3, /no URL/, "http://["],
      [6, /names are not looked up/, "http://example.com/"],
      [7, /no route/, "http://10.0.0.1/"],
      [7, /this program itself/, "http://192.168.69.1/"],
      [23, /can't be written/, "-o", "/nowhere/at/all", "http://192.168.69.100/"],
      [28, /--max-time/, "-m", "0.3", "-o", "/dev/null", "http://192.168.69.100/bytes/4000000000"],
    ];
    const results = await Promise.all(cases.map(([, , ...flags]) => get(...flags)));
    for (const [i, { exitCode, stdout, stderr }] of results.entries()) {
      expect(stderr).toMatch(cases[i][1]);
      expect(stderr.trim().split("\n").length).toBe(1);
      expect([exitCode, stdout]).toEqual([cases[i][0], ""]);
    }
  });

  test("explains how it is used", async () => {
    const [help, ...wrong] = await Promise.all([
      get("--help"),
      get(),
      get("http://192.168.69.100/", "http://192.168.69.101/"),
      get("--frobnicate", "http://192.168.69.100/"),
      get("-m", "never", "http://192.168.69.100/"),
      get("-H", "no header", "http://192.168.69.100/"),
    ]);
    expect(help).toMatchObject({ exitCode: 0, stderr: "" });
    expect(help.stdout).toStartWith("Usage: bun run examples/get.ts");
    for (const { exitCode, stdout, stderr } of wrong) {
      expect([exitCode, stdout]).toEqual([2, ""]);
      expect(stderr).toContain("Usage: ");
    }
  });
});
