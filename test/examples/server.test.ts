import { describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pattern, sha256 } from "../host/pair.ts";
import { example, run, Server } from "./program.ts";

const curl = (...flags: string[]) => run(["curl", "--silent", "--show-error", "--max-time", "8", ...flags]);

describe("examples/server.ts", () => {
  test("curl gets the page by way of localhost, on both of its addresses", async () => {
    await using server = await Server.start("--forward", "0:80");
    const port = server.portTo(80);
    expect(server.stdout).toContain(`Try: curl http://localhost:${port}/\n`);
    for (const host of ["localhost", "127.0.0.1"]) {
      const { stdout, stderr } = await curl(`http://${host}:${port}/`);
      expect(stderr).toBe("");
      expect(stdout).toContain("<h1>It works</h1>");
      expect(stdout).toContain("ESTABLISHED");
    }
  });

  test("curl fetches and uploads, and the hashes are equal", async () => {
    await using server = await Server.start("--forward", "0:80");
    const base = `http://localhost:${server.portTo(80)}`;
    const length = 3_000_000;
    const child = Bun.spawn(["curl", "--silent", `${base}/bytes/${length}`]);
    const bytes = await new Response(child.stdout).bytes();
    expect(bytes.length).toBe(length);
    const result = { bytes: length, sha256: sha256(bytes) };
    for (const flags of [
      ["-T", "-"],
      ["--data-binary", "@-"],
      ["--data-binary", "@-", "-H", "Transfer-Encoding: chunked"],
    ]) {
      const upload = await run(["curl", "--silent", ...flags, `${base}/upload`], bytes);
      expect(JSON.parse(upload.stdout)).toEqual(result);
    }
  });

  test("curl keeps a connection for several requests, and many run at once", async () => {
    await using server = await Server.start("--forward", "0:80");
    const base = `http://localhost:${server.portTo(80)}`;
    const { stdout } = await curl(
      "-w",
      "%{num_connects} ",
      "-o",
      "/dev/null",
      `${base}/`,
      "-o",
      "/dev/null",
      `${base}/`,
    );
    expect(stdout).toBe("1 0 ");
    const many = await curl(
      "-Z",
      "--parallel-immediate",
      "-w",
      "%{http_code}\n",
      "-o",
      "/dev/null",
      `${base}/bytes/[1-40]`,
    );
    expect(many.stdout.trim().split("\n")).toEqual(Array(40).fill("200"));
  });

  test("forwards several ports, half-close and resets", async () => {
    await using server = await Server.start("--forward", "0:7", "--forward", "0:13", "--forward", "0:99");
    const sent = pattern(500_000);
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    const chunks: Buffer[] = [];
    let offset = 0;
    await Bun.connect({
      hostname: "localhost",
      port: server.portTo(7),
      allowHalfOpen: true,
      socket: {
        open: (socket) => push(socket),
        drain: (socket) => push(socket),
        data: (_, chunk) => void chunks.push(Buffer.from(chunk)),
        end: (socket) => void socket.end(),
        close: () => resolve(Buffer.concat(chunks)),
      },
    });
    function push(socket: Bun.Socket): void {
      if (offset === sent.length) return;
      offset += socket.write(sent.subarray(offset));
      if (offset === sent.length) socket.shutdown();
    }
    expect(sha256(await promise)).toBe(sha256(sent));
    const daytime = await run(["curl", "--silent", `telnet://localhost:${server.portTo(13)}`]);
    expect(Date.parse(daytime.stdout)).toBeGreaterThan(0);
    // Nobody listens on port 99 of the server.
    expect((await curl(`http://localhost:${server.portTo(99)}/`)).exitCode).toBeOneOf([52, 56]);
  });

  test("a signal closes everything: exit code 0", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      await using server = await Server.start("--forward", "0:80");
      await curl(`http://localhost:${server.portTo(80)}/`);
      expect(await server.stop(signal)).toMatchObject({ exitCode: 0, stderr: "" });
    }
  });

  test("a second signal does not wait", async () => {
    await using server = await Server.start("--forward", "0:7");
    // A peer that never closes its side: closing would take a second.
    const open = Promise.withResolvers<void>();
    const socket = await Bun.connect({
      hostname: "localhost",
      port: server.portTo(7),
      allowHalfOpen: true,
      socket: { data: () => open.resolve() },
    });
    socket.write("x");
    await open.promise;
    server.signal("SIGINT");
    server.signal("SIGTERM");
    const { exitCode } = await server.end();
    expect(exitCode).toBeOneOf([143, 130]);
    socket.end();
  });

  test("records every frame where it is told to", async () => {
    const file = join(tmpdir(), `tapwire-${process.pid}.pcap`);
    await using server = await Server.start("--forward", "0:80", "--capture", file);
    await curl(`http://localhost:${server.portTo(80)}/`);
    await server.stop();
    const recorded = await Bun.file(file).bytes();
    await Bun.file(file).delete();
    expect(new DataView(recorded.buffer).getUint32(0, true)).toBe(0xa1b23c4d);
    expect(Buffer.from(recorded).includes("It works")).toBe(true);
  });

  test("--help goes to standard output, and a wrong flag is explained: exit code 2", async () => {
    const help = await example("server", "--help");
    expect(help).toMatchObject({ exitCode: 0, stderr: "" });
    expect(help.stdout).toStartWith("Usage: bun run examples/server.ts");
    const wrong: [RegExp, ...string[]][] = [
      [/--frobnicate/, "--frobnicate"],
      [/unexpected argument 'surplus'/i, "surplus"],
      [/two ports like 8080:80/, "--forward", "80"],
      [/two ports like 8080:80/, "--forward", "80:70000"],
      [/--mtu/, "--mtu", "7"],
      [/--device/, "--device", "carrier-pigeon"],
      [/only for tun, tap and raw/, "--name", "tun7"],
      [/--forward is for the memory device/, "--device", "tun", "--forward", "8080:80"],
    ];
    const results = await Promise.all(wrong.map(([, ...flags]) => example("server", ...flags)));
    for (const [i, { exitCode, stdout, stderr }] of results.entries()) {
      expect([exitCode, stdout]).toEqual([2, ""]);
      expect(stderr.split("\n")[0]).toMatch(wrong[i][0]);
      expect(stderr).toContain("Usage: ");
    }
  });

  test("what can't be done is said in one sentence: exit code 1", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const address = taken.address();
    const port = typeof address === "object" ? address?.port : 0;
    const results = await Promise.all([
      example("server", "--forward", `${port}:80`),
      example("server", "--config", "nowhere.toml"),
      example("server", "--capture", "/nowhere/at/all.pcap"),
      example("server", "--forward", "none", "--address", "10.0.0.1/32"),
    ]);
    taken.close();
    const sentences = [
      /is in use by another program/,
      /does not exist/,
      /can't be created/,
      /shorter prefix/,
    ];
    for (const [i, { exitCode, stderr }] of results.entries()) {
      expect(stderr).toMatch(sentences[i]);
      expect(stderr.trim().split("\n").length).toBe(1);
      expect(exitCode).toBe(1);
    }
  });
});
