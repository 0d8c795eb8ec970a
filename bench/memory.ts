/**
 * What the stack costs without a kernel: two of them in one thread, joined by a memory pair.
 *
 *   bun bench/memory.ts [--rounds 5] [--mib 1024] [--connections 60000]
 */

import { memoryPair } from "../devices/index.ts";
import { Frame, Stack, type StackOptions, type TcpListener, type TcpSocket } from "../src/index.ts";
import { describeMachine, flag, interleaved, median, printTable, Samples, spread } from "./support.ts";

const SERVER = "192.168.69.1";
const PORT = 80;
/** Ports to choose from for connections to one port of one address. */
const EPHEMERAL_PORTS = 16_384;
const CHUNK = new Uint8Array(64 * 1024).map((_, i) => i);
const BUFFER = new Uint8Array(64 * 1024);

class Link {
  readonly server: Stack;
  readonly client: Stack;

  constructor(options: StackOptions, checksumOffload = false) {
    const [left, right] = memoryPair({ checksumOffload });
    this.server = new Stack(options);
    this.client = new Stack(options);
    this.server.addInterface({ device: left, addresses: [`${SERVER}/24`] });
    this.client.addInterface({ device: right, addresses: ["192.168.69.2/24"] });
  }

  poll(): void {
    const now = performance.now();
    this.client.poll(now);
    this.server.poll(now);
  }

  /** A byte there and one back. */
  exchange(client: TcpSocket, server: TcpSocket): void {
    client.write(CHUNK, 0, 1);
    this.poll();
    server.write(CHUNK, 0, server.read(BUFFER));
    this.server.poll(performance.now());
    this.client.poll(performance.now());
    if (client.read(BUFFER) !== 1) throw new Error("the byte did not come back");
  }

  /** The other end of `client`, as soon as the handshake is complete. */
  accept(listener: TcpListener): TcpSocket {
    for (let polls = 0; polls < 1000; polls++) {
      const socket = listener.accept();
      if (socket !== null) return socket;
      this.poll();
    }
    throw new Error("the connection was not established");
  }
}

/** (a) ns a frame: `batch` frames of 1,500 bytes committed, then received. */
function frames(batch: number): number {
  const [left, right] = memoryPair();
  const frame = new Frame(new Uint8Array(0));
  const total = 2_000_000;
  let received = 0;
  const start = performance.now();
  for (let sent = 0; sent < total; sent += batch) {
    for (let i = 0; i < batch; i++) {
      const out = left.transmit(1500);
      if (out === null) throw new Error("the queue is full");
      left.commit(out);
    }
    while (right.receive(frame)) received += frame.length;
  }
  if (received !== total * 1500) throw new Error("frames were lost");
  return ((performance.now() - start) * 1e6) / total;
}

interface Transfer {
  /** ms */
  readonly time: number;
  /** Segments that carried text; an ACK comes back for every second one or less. */
  readonly segments: number;
}

/** (b) One connection moves `bytes`, both ends in this thread; what is written is copied in and out. */
function transfer(bytes: number, checksums: boolean): Transfer {
  const link = new Link({}, !checksums);
  const listener = link.server.sockets.listen({ port: PORT });
  const client = link.client.sockets.connect({ address: SERVER, port: PORT });
  const server = link.accept(listener);
  let written = 0;
  let read = 0;
  const start = performance.now();
  while (read < bytes) {
    for (let count = 1; count > 0 && written < bytes; written += count) {
      count = client.write(CHUNK, 0, Math.min(CHUNK.length, bytes - written));
    }
    link.poll();
    for (let count = 1; count > 0; read += count) count = server.read(BUFFER);
  }
  const time = performance.now() - start;
  if (link.client.stats.tcpRetransmissions > 0) throw new Error("segments were sent again");
  return { time, segments: Math.ceil(bytes / client.info().mss) };
}

interface Idle {
  /** ns of a poll that finds nothing to do. */
  readonly poll: number;
  /** ns of one byte there and one back on one connection among the idle ones, four polls. */
  readonly exchange: number;
  /** RSS of one idle connection, one end of it, in bytes. */
  readonly memory: number;
}

/** (c), (e) What `count` idle connections cost. */
function idle(count: number): Idle {
  const link = new Link({ maxSockets: 65_536 });
  const before = rss();
  const sockets: TcpSocket[] = [];
  for (let port = PORT; sockets.length < 2 * count; port++) {
    const listener = link.server.sockets.listen({ port });
    const until = Math.min(2 * count, sockets.length + 2 * EPHEMERAL_PORTS);
    while (sockets.length < until) {
      const client = link.client.sockets.connect({ address: SERVER, port });
      sockets.push(client, link.accept(listener));
    }
  }
  const memory = count === 0 ? 0 : (rss() - before) / sockets.length;

  const listener = link.server.sockets.listen({ port: 7 });
  const client = link.client.sockets.connect({ address: SERVER, port: 7 });
  const server = link.accept(listener);
  const exchange = nsEach(400_000, () => link.exchange(client, server));
  const now = performance.now() + 1000;
  link.server.poll(now);
  const poll = nsEach(500_000, () => link.server.poll(now));
  return { poll, exchange, memory };
}

function rss(): number {
  for (let i = 0; i < 3; i++) Bun.gc(true);
  return process.memoryUsage.rss();
}

function nsEach(count: number, body: () => void): number {
  for (let i = 0; i < count / 10; i++) body();
  const start = performance.now();
  for (let i = 0; i < count; i++) body();
  return ((performance.now() - start) * 1e6) / count;
}

/** (d) Connections a second: connect, a byte each way, close. TIME-WAIT is recycled when the sockets run out. */
function connections(count: number): number {
  const link = new Link({ maxSockets: 4096 });
  const listener = link.server.sockets.listen({ port: PORT });
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    const client = link.client.sockets.connect({ address: SERVER, port: PORT });
    const server = link.accept(listener);
    link.exchange(client, server);
    client.close();
    server.close();
    link.poll();
    link.poll();
  }
  return count / ((performance.now() - start) / 1000);
}

/** Runs one part in a process of its own, so that neither heap nor compiled code of another one is in its way. */
function apart(part: string): Record<string, number> {
  const { stdout, stderr, exitCode } = Bun.spawnSync([
    process.execPath,
    import.meta.path,
    "--part",
    part,
    ...process.argv.slice(2),
  ]);
  if (exitCode !== 0) throw new Error(`${part}: ${stderr}`);
  return JSON.parse(stdout.toString());
}

/** Once to warm up, once for the result. */
function warmed<T>(run: () => T): T {
  run();
  return run();
}

const bytes = flag("mib", 1024) * 1024 * 1024;
const connectionCount = flag("connections", 60_000);
const PARTS: Record<string, () => object> = {
  "frames 1": () => ({ ns: warmed(() => frames(1)) }),
  "frames 64": () => ({ ns: warmed(() => frames(64)) }),
  "transfer with checksums": () => warmed(() => transfer(bytes, true)),
  "transfer without": () => warmed(() => transfer(bytes, false)),
  "idle 0": () => idle(0),
  "idle 10000": () => idle(10_000),
  "idle 40000": () => idle(40_000),
  connections: () => ({ rate: warmed(() => connections(connectionCount)) }),
};

async function main(): Promise<void> {
  const rounds = flag("rounds", 5);
  const samples = new Samples();
  await interleaved(
    rounds,
    Object.keys(PARTS).map((part) => () => {
      for (const [key, value] of Object.entries(apart(part))) samples.add(`${part} ${key}`, value);
    }),
  );
  const values = (part: string, key: string) => samples.of(`${part} ${key}`);

  console.log(`${describeMachine()}; median (lowest .. highest) of ${rounds} interleaved runs\n`);
  printTable(
    ["memory pair alone, 1,500-byte frames", "ns a frame"],
    [
      ["one at a time", spread(values("frames 1", "ns"), 1)],
      ["64 at a time", spread(values("frames 64", "ns"), 1)],
    ],
  );
  printTable(
    [`two stacks, one thread, ${flag("mib", 1024)} MiB, MTU 1500`, "Gbit/s", "ns a segment, both ends"],
    ["transfer with checksums", "transfer without"].map((part) => {
      const [times, segments] = [values(part, "time"), values(part, "segments")];
      return [
        part.replace("transfer ", "").replace("without", "without checksums"),
        spread(
          times.map((ms) => (bytes * 8) / ms / 1e6),
          1,
        ),
        median(times.map((ms, i) => (ms * 1e6) / segments[i])).toFixed(0),
      ];
    }),
  );
  printTable(
    ["idle connections", "ns a poll", "us a byte there and back", "bytes of RSS an end"],
    ["idle 0", "idle 10000", "idle 40000"].map((part) => [
      part.replace("idle ", ""),
      spread(values(part, "poll"), 0),
      spread(
        values(part, "exchange").map((ns) => ns / 1000),
        2,
      ),
      part === "idle 0" ? "-" : spread(values(part, "memory"), 0),
    ]),
  );
  printTable(
    ["connect, a byte each way, close", "connections a second"],
    [["both ends in one thread", spread(values("connections", "rate"), 0)]],
  );
}

const part = process.argv.indexOf("--part");
if (part === -1) await main();
else console.log(JSON.stringify(PARTS[process.argv[part + 1]]()));
