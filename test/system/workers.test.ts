import { expect } from "bun:test";
import { join } from "node:path";
import type { WorkerCounters } from "../../devices/index.ts";
import { type Namespace, type Running, systemTest, until } from "../support/system.ts";

const root = join(import.meta.dir, "../..");
const US = "192.168.69.1";
const LIMIT_MS = 60_000;

interface Line {
  readonly title: string;
  readonly needs: readonly string[];
  readonly workers: number;
  readonly flags: readonly string[];
  prepare(ns: Namespace): Promise<void>;
}

const nothing = async () => {};
const wire = async (ns: Namespace) => {
  await ns.veth("wire0", "wire1");
  await ns.ok(["ip", "address", "add", "192.168.69.100/24", "dev", "wire0"]);
};
const LINES: readonly Line[] = [
  {
    title: "tun",
    needs: ["tun"],
    workers: 2,
    flags: ["--device", "tun", "--name", "tun7"],
    prepare: nothing,
  },
  {
    title: "tap",
    needs: ["tun"],
    workers: 3,
    flags: ["--device", "tap", "--name", "tap7"],
    prepare: nothing,
  },
  { title: "raw", needs: [], workers: 2, flags: ["--device", "raw", "--name", "wire1"], prepare: wire },
  {
    title: "raw with rings",
    needs: [],
    workers: 4,
    flags: ["--device", "raw", "--name", "wire1", "--no-offload"],
    prepare: wire,
  },
];

async function start(ns: Namespace, { workers, flags, prepare }: Line): Promise<Running> {
  await prepare(ns);
  const command = [process.execPath, "run", "test/system/worker-server.ts"];
  const server = ns.start([...command, ...flags, "--workers", `${workers}`], { cwd: root });
  await server.waitFor("ready", 20_000);
  return server;
}

const counters = (text: string): WorkerCounters => JSON.parse(text) as WorkerCounters;

async function close(server: Running): Promise<WorkerCounters> {
  const { exitCode, stdout, stderr } = await server.stop("SIGTERM");
  expect([exitCode, stderr]).toEqual([0, ""]);
  return counters(stdout.match(/^closed: (.*)$/m)?.[1] ?? "");
}

/**
 * A client of the kernel's: opens connections to port 7, sends on all, sleeps, sends on all again, each time something else
 * on each, and compares what comes back.
 */
const CLIENT = `
import resource, socket, sys, time
count, pause = int(sys.argv[1]), float(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
sockets = []
for i in range(count):
    s = socket.create_connection(("${US}", 7), 10)
    s.settimeout(20)
    sockets.append(s)
for round in range(2):
    texts = [(b"%d of %d." % (i, round)) * 20 for i in range(count)]
    for s, text in zip(sockets, texts): s.sendall(text)
    for s, text in zip(sockets, texts):
        got = b""
        while len(got) < len(text):
            piece = s.recv(4096)
            if not piece: raise SystemExit("closed early")
            got += piece
        if got != text: raise SystemExit("wrong text")
    if round == 0: time.sleep(pause)
for s in sockets: s.close()
print("all", count)
`;

/** A server of the kernel's on port 9: once \`count\` connections are there it sleeps, sends a line on each, and wants it back. */
const SERVER = `
import resource, socket, sys, time
count, pause = int(sys.argv[1]), float(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
listener = socket.create_server(("192.168.69.100", 9), backlog=2048)
print("listening", flush=True)
sockets = [listener.accept()[0] for _ in range(count)]
time.sleep(pause)
for i, s in enumerate(sockets):
    s.settimeout(20)
    s.sendall(b"%8d" % i)
for i, s in enumerate(sockets):
    if s.recv(64) != b"%8d" % i: raise SystemExit("wrong text")
print("all", count)
`;

for (const line of LINES) {
  systemTest(
    `${line.title}, ${line.workers} workers: 1,000 connections each stay on their worker, and all workers have some`,
    [...line.needs, "python3", "sysctl"],
    async (ns) => {
      const server = await start(ns, line);
      // Longer than the kernel remembers where a flow was sent from.
      const client = ns.start(["python3", "-c", CLIENT, "1000", "4.5"]);
      const ended = await client.end(50_000);
      expect([ended.stderr, ended.stdout]).toEqual(["", "all 1000\n"]);
      await server.write("count\n");
      const [, text] = await server.waitFor(/^counters: (.*)$/m, 10_000);
      const { total, each } = counters(text);
      expect([total.tcpPassiveOpens, total.tcpResetsSent, total.tcpNoConnection]).toEqual([1000, 0, 0]);
      const opens = each.map((worker) => worker.tcpPassiveOpens);
      expect(opens.reduce((sum, count) => sum + count)).toBe(1000);
      expect(opens.length).toBe(line.workers);
      expect(Math.min(...opens)).toBeGreaterThan(600 / line.workers);
      expect((await close(server)).total.tcpPassiveOpens).toBe(1000);
    },
    LIMIT_MS,
  );

  systemTest(
    `${line.title}, ${line.workers} workers: what they open, ask and ping themselves is answered to them`,
    [...line.needs, "python3", "sysctl"],
    async (ns) => {
      const server = await start(ns, line);
      const { workers } = line;
      const peer = ns.start(["python3", "-c", SERVER, `${workers * 50}`, "4.5"]);
      await peer.waitFor("listening", 10_000);
      await server.write("ping\nudp\n");
      for (let i = 0; i < workers; i++) {
        await server.waitFor(`worker ${i}: pong`, 10_000);
        await server.waitFor(`worker ${i}: udp ECONNREFUSED`, 10_000);
      }
      await server.write("connect 50\n");
      for (let i = 0; i < workers; i++) {
        const [, result] = await server.waitFor(new RegExp(`worker ${i}: (?!pong|udp)(.*)\\n`), 30_000);
        expect(result).toBe("400 bytes on 50 connections");
      }
      const ended = await peer.end(10_000);
      expect([ended.stderr, ended.exitCode]).toEqual(["", 0]);
      const { total } = await close(server);
      expect([total.tcpActiveOpens, total.tcpResetsSent, total.tcpNoConnection]).toEqual([
        workers * 50,
        0,
        0,
      ]);
      expect(total.framesGiven).toBe(total.framesTaken);
      // By then the kernel has forgotten where most flows were sent from; of packet sockets a program of ours knows.
      if (line.prepare === nothing) expect(total.framesGiven).toBeGreaterThan(workers * 10);
      else expect(total.framesGiven).toBeLessThan(workers * 10);
    },
    LIMIT_MS,
  );
}

systemTest(
  "examples/server.ts runs on several workers: equal hashes both ways, and SIGTERM leaves nothing",
  ["tun", "curl"],
  async (ns) => {
    const command = [process.execPath, "run", "examples/server.ts", "--device", "tap", "--name", "tap7"];
    const server = ns.start([...command, "--workers", "2"], { cwd: root });
    await server.waitFor("Try: curl", 20_000);
    const page = await ns.ok(["curl", "-s", `http://${US}/`], { timeoutMs: 10_000 });
    expect(page).toMatch(/TAP interface tap7, MTU 1500, worker [01] of 2/);
    const script = `
      set -e
      for i in 1 2 3 4 5 6 7 8; do
        curl -s http://${US}/bytes/3000000 | sha256sum
      done | sort -u | cut -d" " -f1
      head -c 3000000 /dev/urandom > "$1"
      sha256sum < "$1" | cut -d" " -f1
      for i in 1 2 3 4; do curl -s --data-binary "@$1" http://${US}/upload; done | sort -u
      rm "$1"`;
    const file = `/tmp/tapwire-upload-${process.pid}`;
    const out = await ns.ok(["sh", "-c", script, "sh", file], { timeoutMs: 40_000 });
    const [down, up, answer, ...more] = out.trim().split("\n");
    expect([down.length, more]).toEqual([64, []]);
    expect(JSON.parse(answer)).toEqual({ bytes: 3_000_000, sha256: up });
    const { exitCode, stdout, stderr } = await server.stop("SIGTERM");
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/connections accepted: 13 \(\d+ \+ \d+\)/);
    expect((await ns.run(["ip", "link", "show", "tap7"])).exitCode).not.toBe(0);
  },
  LIMIT_MS,
);

systemTest(
  "a worker that fails ends the server, with its reason",
  ["tun"],
  async (ns) => {
    const server = await start(ns, LINES[0]);
    await server.write("throw\n");
    const { exitCode, stderr } = await server.end(10_000);
    expect(stderr).toContain("Worker 1 failed: asked to");
    expect(exitCode).toBe(1);
    expect((await ns.run(["ip", "link", "show", "tun7"])).exitCode).not.toBe(0);
  },
  LIMIT_MS,
);

systemTest(
  "what a worker can't open is said as without workers, and nothing stays open",
  ["tun"],
  async (ns) => {
    const command = [process.execPath, "run", "examples/server.ts", "--workers", "2"];
    const options = { cwd: root, timeoutMs: 10_000 };
    await ns.ok(["ip", "tuntap", "add", "dev", "tun7", "mode", "tun"]);
    const single = await ns.run([...command, "--device", "tun", "--name", "tun7"], options);
    expect(single.stderr).toMatch(/tun7 exists, but .* mode tun multi_queue"\.\n$/);
    expect(single.exitCode).toBe(1);
    await ns.ok(["ip", "link", "del", "tun7"]);
    await ns.ok(["ip", "tuntap", "add", "dev", "tun7", "mode", "tun", "multi_queue"]);
    const server = ns.start([...command, "--device", "tun", "--name", "tun7"], { cwd: root });
    await server.waitFor("Try: curl", 20_000);
    expect((await server.stop()).exitCode).toBe(0);
    await until("it to be free", async () => (await ns.run(["ip", "link", "del", "tun7"])).exitCode === 0);
    const memory = await ns.run(command, options);
    expect(memory.stderr).toMatch(/^--workers is 2, and both ends of a memory pair are in one thread/);
    expect(memory.exitCode).toBe(2);
  },
  LIMIT_MS,
);
