import { expect } from "bun:test";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Namespace, type Running, systemTest } from "../support/system.ts";

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

systemTest("the kernel's ping loses nothing", ["tun", "ping"], async (ns) => {
  await startServer(ns);
  const output = await ns.ok(["ping", "-c", "100", "-i", "0.002", "-q", SERVER]);
  expect(output).toContain("100 packets transmitted, 100 received, 0% packet loss");
});

systemTest(
  "curl fetches and uploads 32 MiB with equal hashes; the capture shows a clean link",
  ["tun", "curl", "tshark", "sha256sum"],
  async (ns) => {
    const capture = join(tmpdir(), `tapwire-tun-${process.pid}.pcap`);
    const length = 32 * 1024 * 1024;
    try {
      const server = await startServer(ns, "--config", "examples/config/tun.toml", "--capture", capture);
      const script = `
        curl --silent --fail --output $1.bytes ${URL_BASE}/bytes/${length} &&
        sha256sum < $1.bytes && curl --silent --fail --upload-file $1.bytes ${URL_BASE}/upload`;
      const output = await ns.ok(["sh", "-ec", script, "sh", capture], { timeoutMs: 12_000 });
      const [hash] = output.split(" ");
      expect(hash).toMatch(/^[0-9a-f]{64}$/);
      expect(JSON.parse(output.split("\n")[1])).toEqual({ bytes: length, sha256: hash });
      expect(await server.stop()).toMatchObject({ exitCode: 0, stderr: "" });
      expect(Bun.file(capture).size).toBeGreaterThan(2 * length);
      // Where the sum is 0, Linux writes 0xffff into TCP as it must into UDP; the same number, but tshark objects.
      const ofKernel = "(tcp.checksum==0xffff && ip.src==192.168.69.100)";
      const badChecksum = `ip.checksum.status==0 || (tcp.checksum.status==0 && !${ofKernel})`;
      const wrong = `${badChecksum} || tcp.analysis.retransmission`;
      const checks = [
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
        "--disable-protocol",
        "http",
      ];
      expect(await ns.ok(["tshark", "-nr", capture, ...checks, "-Y", wrong], { timeoutMs: 25_000 })).toBe("");
    } finally {
      rmSync(capture, { force: true });
      rmSync(`${capture}.bytes`, { force: true });
    }
  },
  40_000,
);

systemTest("200 curl connections, 50 at a time", ["tun", "curl"], async (ns) => {
  await startServer(ns);
  const parallel = ["--parallel", "--parallel-immediate", "--parallel-max", "50", "--no-keepalive"];
  const each = ["--header", "Connection: close", "--output", "/dev/null", "--write-out", "%{http_code}\n"];
  const output = await ns.ok(["curl", "--silent", ...parallel, ...each, `${URL_BASE}/bytes/[1001-1200]`]);
  expect(output.trim().split("\n")).toEqual(Array(200).fill("200"));
});

systemTest("nc talks to echo, and half-close works", ["tun", "nc"], async (ns) => {
  await startServer(ns);
  const talk = ns.start(["nc", SERVER, "7"]);
  await talk.write("hello\n");
  await talk.waitFor("hello\n");
  await talk.write("again\n");
  await talk.waitFor("hello\nagain\n");
  await talk.stop();
  expect(await ns.ok(["sh", "-c", `printf x | nc -N ${SERVER} 7`])).toBe("x");
  expect(await ns.ok(["sh", "-c", `nc -N ${SERVER} 13 < /dev/null`])).toContain("GMT");
  // A kilobyte of chargen, and the connection is reset in full flow.
  expect(await ns.ok(["sh", "-c", `nc ${SERVER} 19 < /dev/null | head -c 1000 | wc -c`])).toBe("1000\n");
});

systemTest("the small services answer datagrams", ["tun", "nc"], async (ns) => {
  await startServer(ns);
  const talk = ns.start(["nc", "-u", SERVER, "7"]);
  await talk.write("hello\n");
  await talk.waitFor("hello\n");
  await talk.stop();
});

systemTest(
  "a closed TCP port refuses at once, a closed UDP port is unreachable",
  ["tun", "curl", "tcpdump"],
  async (ns) => {
    const server = await startServer(ns, "--device", "tun", "--name", "tun7");
    const started = performance.now();
    const refused = await ns.run(["curl", "--silent", "--show-error", `${URL_BASE}:81/`]);
    expect(refused.exitCode).toBe(7);
    expect(performance.now() - started).toBeLessThan(1_000);
    const dump = ns.start(["tcpdump", "--immediate-mode", "-lni", "tun7", "icmp"]);
    await dump.waitFor("listening on");
    await ns.run(["bash", "-c", `echo x > /dev/udp/${SERVER}/4242`]);
    await dump.waitFor(`${SERVER} > 192.168.69.100: ICMP ${SERVER} udp port 4242 unreachable`);
    await dump.stop();
    await server.stop();
  },
);

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
