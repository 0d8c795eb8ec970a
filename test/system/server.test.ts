import { expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Namespace, type Running, systemTest } from "../support/system.ts";

/**
 * `examples/server.ts` against the kernel and real programs, the same on every device: which one, with or without
 * offload, and what is around it, is in the configuration file and nowhere else.
 */

const root = join(import.meta.dir, "../..");
const SERVER = "192.168.69.1";
const KERNEL = "192.168.69.100";
const MIB = 1024 * 1024;

/** A line of the example's file is added to, or one that is commented out comes to life. */
const NO_OFFLOAD = (text: string) => text.replace("# offload = false", "offload = false");
const LOSS = (text: string) =>
  `${text}\n[[middleware]]\ntype = "fault"\nseed = 7\ndrop = 0.002\nduplicate = 0.002\nswap = 0.004\n`;

interface Case {
  readonly name: string;
  readonly example: string;
  readonly change?: (text: string) => string;
  /** Bytes that are transferred each way while every frame is recorded. */
  readonly bytes: number;
  /** What the page says about the device. */
  readonly device: string;
  readonly lossy?: boolean;
}

const CASES: readonly Case[] = [
  { name: "memory", example: "memory", bytes: 32 * MIB, device: "memory, MTU 1500" },
  { name: "memory without offload", example: "memory", change: NO_OFFLOAD, bytes: 8 * MIB, device: "memory" },
  { name: "TUN", example: "tun", bytes: 32 * MIB, device: "TUN interface tun0, MTU 1500" },
  { name: "TUN without offload", example: "tun", change: NO_OFFLOAD, bytes: 8 * MIB, device: "TUN" },
  { name: "TAP", example: "tap", bytes: 32 * MIB, device: "TAP interface tap0, MTU 1500" },
  { name: "TAP without offload", example: "tap", change: NO_OFFLOAD, bytes: 8 * MIB, device: "TAP" },
  { name: "raw over veth", example: "raw", bytes: 32 * MIB, device: "raw socket on veth1, MTU 1500" },
  { name: "raw without offload", example: "raw", change: NO_OFFLOAD, bytes: 8 * MIB, device: "raw" },
  {
    name: "TUN with a fault in front",
    example: "tun",
    change: LOSS,
    bytes: 4 * MIB,
    device: "TUN",
    lossy: true,
  },
  {
    name: "TAP without offload and with a fault in front",
    example: "tap",
    change: (text) => LOSS(NO_OFFLOAD(text)),
    bytes: 2 * MIB,
    device: "TAP",
    lossy: true,
  },
];

/** The `ip` commands that the comment of raw.toml gives. */
function commandsOf(text: string): string[] {
  return [...text.matchAll(/^# {3}(ip .*)$/gm)].map(([, command]) => command);
}

/** A server that runs in the namespace; `port` is where its ports are, as this machine's programs see them. */
interface Served {
  readonly server: Running;
  readonly host: string;
  readonly capture: string;
  port(number: number): number;
}

/** In memory its ports are forwarded from these plus their own number. */
const FORWARDED = 8000;
const FORWARDS = [80, 7, 13, 19, 81].flatMap((port) => ["--forward", `${FORWARDED + port}:${port}`]);

async function serve(ns: Namespace, folder: string, { example, change }: Case): Promise<Served> {
  const text = readFileSync(join(root, `examples/config/${example}.toml`), "utf8");
  const [config, capture] = [join(folder, "config.toml"), join(folder, "frames.pcap")];
  const recorded = text.replace(/^# capture = "frames.pcap"/m, `capture = ${JSON.stringify(capture)}`);
  expect(recorded).toContain(capture);
  writeFileSync(config, change === undefined ? recorded : change(recorded));
  const commands = commandsOf(text);
  expect(commands).toHaveLength(example === "raw" ? 3 : 0);
  for (const command of commands) await ns.ok(["sh", "-ec", command]);
  const inMemory = example === "memory";
  const command = [process.execPath, "run", "examples/server.ts", "--config", config];
  const server = ns.start([...command, ...(inMemory ? FORWARDS : [])], { cwd: root });
  await server.waitFor(/^Try: /m);
  const port = (number: number) => (inMemory ? FORWARDED + number : number);
  return { server, capture, host: inMemory ? "localhost" : SERVER, port };
}

/** Down and up again; both ends must see the same bytes. */
async function transfer(ns: Namespace, folder: string, base: string, length: number): Promise<void> {
  const script = `
    curl --silent --show-error --fail --output $1 ${base}/bytes/${length} &&
    sha256sum < $1 && curl --silent --show-error --fail --upload-file $1 ${base}/upload`;
  const output = await ns.ok(["sh", "-ec", script, "sh", join(folder, "bytes")], { timeoutMs: 20_000 });
  const [hash] = output.split(" ");
  expect(hash).toMatch(/^[0-9a-f]{64}$/);
  expect(JSON.parse(output.split("\n")[1])).toEqual({ bytes: length, sha256: hash });
}

async function manyConnections(ns: Namespace, base: string): Promise<void> {
  const parallel = ["--parallel", "--parallel-immediate", "--parallel-max", "50", "--no-keepalive"];
  const each = ["--header", "Connection: close", "--output", "/dev/null", "--write-out", "%{http_code}\n"];
  const command = ["curl", "--silent", ...parallel, ...each, `${base}/bytes/[1001-1200]`];
  expect((await ns.ok(command, { timeoutMs: 15_000 })).trim().split("\n")).toEqual(Array(200).fill("200"));
}

/** Echo with half-close, daytime, and a reset in full flow of chargen. */
async function services(ns: Namespace, { host, port }: Served): Promise<void> {
  const talk = ns.start(["nc", host, `${port(7)}`]);
  await talk.write("hello\n");
  await talk.waitFor("hello\n");
  await talk.write("again\n");
  await talk.waitFor("hello\nagain\n");
  await talk.stop();
  expect(await ns.ok(["sh", "-c", `printf x | nc -N ${host} ${port(7)}`])).toBe("x");
  expect(await ns.ok(["sh", "-c", `nc -N ${host} ${port(13)} < /dev/null`])).toContain("GMT");
  expect(await ns.ok(["sh", "-c", `nc ${host} ${port(19)} < /dev/null | head -c 1000 | wc -c`])).toBe(
    "1000\n",
  );
}

/** Datagrams, where the kernel is the peer; one that is lost is sent again. */
async function datagrams(ns: Namespace): Promise<void> {
  const talk = ns.start(["nc", "-u", SERVER, "7"]);
  for (let i = 0; !talk.stdout.includes("hello\n"); i++) {
    if (i === 20) throw new Error("no datagram was answered");
    await talk.write("hello\n");
    await Bun.sleep(50);
  }
  await talk.stop();
}

/**
 * What tshark objects to in the capture: frames that are malformed, sums that are wrong, full segments that were sent
 * again. (Of many connections at once, some may wait for a busy machine until the kernel asks again.)
 */
async function checkCapture(ns: Namespace, capture: string, lossy: boolean): Promise<void> {
  // Where the sum is 0, Linux writes 0xffff into TCP as it must into UDP; the same number, but tshark objects.
  const ofKernel = `(tcp.checksum==0xffff && ip.src==${KERNEL})`;
  const sums = `ip.checksum.status==0 || udp.checksum.status==0 || (tcp.checksum.status==0 && !${ofKernel})`;
  const wrong = `_ws.malformed || ${sums}${lossy ? "" : " || (tcp.analysis.retransmission && tcp.len > 1400)"}`;
  const options = ["tcp.check_checksum:TRUE", "ip.check_checksum:TRUE", "udp.check_checksum:TRUE"];
  const checks = options.flatMap((option) => ["-o", option]);
  // What is in TCP is random bytes, on ports that may be some protocol's.
  const asData = ["-d", "tcp.port==1-65535,data"];
  const command = ["tshark", "-nr", capture, ...checks, ...asData, "-Y", wrong];
  const objections = (await ns.ok(command, { timeoutMs: 30_000 })).split("\n").filter((line) => line !== "");
  // A machine that is busy answers late, and both ends send a burst's last segment again to ask for it (RFC 8985 7).
  const isProbe = (line: string) => line.includes("[TCP Retransmission]");
  expect(objections.filter((line) => !isProbe(line))).toEqual([]);
  expect(objections.length).toBeLessThan(4);
}

for (const each of CASES) {
  const inMemory = each.example === "memory";
  const needs = [
    inMemory ? [] : ["ping"],
    each.example === "tun" || each.example === "tap" ? ["tun"] : [],
  ].flat();
  systemTest(
    `the server on ${each.name}`,
    ["curl", "nc", "sha256sum", "tshark", ...needs],
    async (ns) => {
      const folder = mkdtempSync(join(tmpdir(), "tapwire-server-"));
      try {
        const served = await serve(ns, folder, each);
        const { server, host, port, capture } = served;
        const base = `http://${host}:${port(80)}`;
        if (!inMemory) {
          const pings = await ns.ok(["ping", "-c", "100", "-i", "0.002", "-q", SERVER]);
          if (!each.lossy) expect(pings).toContain("100 packets transmitted, 100 received, 0% packet loss");
        }
        expect(await ns.ok(["curl", "--silent", "--fail", `${base}/`])).toContain(each.device);
        await transfer(ns, folder, base, each.bytes);
        await services(ns, served);
        if (!inMemory) await datagrams(ns);
        const started = performance.now();
        const refused = await ns.run(["curl", "--silent", `http://${host}:${port(81)}/`]);
        // By way of the forwarder, a refusal is a reset.
        expect(refused.exitCode).toBeOneOf(inMemory ? [7, 52, 56] : [7]);
        if (!each.lossy) expect(performance.now() - started).toBeLessThan(1_000);
        await manyConnections(ns, base);
        expect(await server.stop("SIGTERM")).toMatchObject({ exitCode: 0, stderr: "" });
        expect(Bun.file(capture).size).toBeGreaterThan(2 * each.bytes);
        await checkCapture(ns, capture, each.lossy === true || inMemory);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    60_000,
  );
}
