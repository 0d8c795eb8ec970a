import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair } from "node:stream";
import * as devices from "../devices/index.ts";
import { Frame } from "../src/device.ts";
import * as tapwire from "../src/index.ts";
import * as sim from "../src/sim/index.ts";
import { TcpSegment } from "../src/wire/tcp.ts";
import { icmpPacket, tcpPacket } from "./support/packets.ts";

/**
 * Runs the examples that the documentation shows: every `@example` block of src/ and devices/, and the README's.
 *
 * In an example, `expression; // value` says what the expression is, and `console.log(expression); // text` what is
 * printed. Names that it does not declare come from the public exports, from the file it stands in, from the wire
 * layer, or from `scene()` below. A memory pair stands in for a TUN device, so no root is needed.
 */

const root = join(import.meta.dir, "..");

interface Example {
  readonly file: string;
  readonly code: string;
}

function docExamples(folder: string): Example[] {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
  return files
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => {
      const text = readFileSync(join(root, folder, file), "utf8");
      return [...text.matchAll(/@example\n((?: *\*.*\n)+)/g)].flatMap(([, comment]) => {
        const lines = comment.replace(/^ *\* ?/gm, "");
        const code = /```ts\n([\s\S]*?)```/.exec(lines)?.[1];
        return code === undefined ? [] : [{ file: join(folder, file), code }];
      });
    });
}

/** Turns what comments claim into checks. */
function withChecks(code: string): string {
  return code
    .replace(/^import .*$/gm, "")
    .replace(
      /^(\s*(?:if \(.*\) )?)console\.log\((.*)\); \/\/ (.*)$/gm,
      (_, before, value, text) => `${before}expect(String(${value})).toBe(${JSON.stringify(text)});`,
    )
    .replace(/^(\S.*);(?:\n\/\/| \/\/) (["'[\d]\S*.*|true.*|false.*|null)$/gm, (_, value, claim) => {
      // A word of explanation may follow the value behind a semicolon.
      return `expect(${value}).toEqual(${claim.replace(/;.*$/, "")});`;
    });
}

/** What the examples take for granted. */
async function scene() {
  const [ours, theirs] = devices.memoryPair();
  const host = await tapwire.open({ device: ours, addresses: ["192.168.69.1/24"] });
  const peer = await tapwire.open({ device: theirs, addresses: ["192.168.69.100/24"] });
  for (const port of [7, 80]) {
    const listener = peer.listen({ port });
    void (async () => {
      for await (const connection of listener)
        connection.readable.pipeTo(connection.writable).catch(() => {});
    })();
  }
  const [idle] = devices.memoryPair();
  const stack = new tapwire.Stack({ maxSockets: 16, memory: 1 << 20 });
  stack.addInterface({ device: idle, addresses: ["192.168.69.1/24"] });
  const openTun = () => Object.assign(devices.memoryPair()[0], { name: "tun0" });
  const openRaw = () => Object.assign(devices.memoryPair({ medium: "ethernet" })[0], { name: "veth1" });
  const openTap = () => devices.memoryPair({ medium: "ethernet" })[0];
  const net = new sim.Network();
  const [left, right] = [net.host("10.1.0.1/24"), net.host("10.1.0.2/24")];
  const syn = { sourcePort: 40_000, destinationPort: 7, seq: 1, flags: 2, window: 64_240, mss: 1_460 };
  const packet = tcpPacket({ from: "10.0.0.1", to: "10.0.0.2" }, syn);
  const bytes = new Uint8Array(256);
  const offset = 4; // As a device would have it: not 0, and a multiple of four.
  bytes.set(packet, offset);
  const frame = Object.assign(new Frame(bytes), { offset, length: packet.length });
  return {
    scope: {
      ...{
        host,
        stack,
        device: idle,
        openTun,
        openTap,
        openRaw,
        expect,
        frame,
        bytes,
        offset,
        length: packet.length,
      },
      ...{
        capabilities: idle.capabilities,
        payload: new Uint8Array(8),
        body: 8,
        segment: new TcpSegment(),
        segmentLength: 24,
      },
      ...{ source: tapwire.parseAddress("10.0.0.1"), destination: tapwire.parseAddress("10.0.0.2") },
      ...{
        duplexPair,
        echoRequest: icmpPacket({ from: "10.0.0.1", to: "10.0.0.2" }, 8, 0, 1, new Uint8Array(8)),
      },
      ...{ identifier: 7, sequence: 1, drop: (code: number) => code },
      net,
      left,
      right,
      process: { stdout: { write: () => true } },
    },
    async close() {
      await Promise.all([host.close(), peer.close()]);
    },
  };
}

/** The exports of a file, and of the whole wire layer. */
async function exportsFor(file: string): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {};
  for (const name of readdirSync(join(root, "src/wire")))
    Object.assign(all, await import(join(root, "src/wire", name)));
  return Object.assign(all, await import(join(root, "src/errors.ts")), await import(join(root, file)));
}

async function run({ file, code }: Example): Promise<void> {
  const { scope, close } = await scene();
  const names = { ...tapwire, ...devices, ...sim, ...(await exportsFor(file)), ...scope };
  const javascript = new Bun.Transpiler({
    loader: "ts",
    target: "bun",
    deadCodeElimination: false,
  }).transformSync(`(async () => {${withChecks(code)}})`);
  // An example may declare a name that it could have taken from around it, so its body is a scope of its own.
  const example = new Function(...Object.keys(names), `return ${javascript}`)(...Object.values(names));
  const running: Promise<unknown> = example();
  // Servers run until their host is closed.
  await Promise.race([running, Bun.sleep(50)]);
  await close();
  await running;
}

describe("documentation", () => {
  const examples = [...docExamples("src"), ...docExamples("devices")];

  test("there are examples, with claims to check", () => {
    expect(examples.length).toBeGreaterThan(20);
    const checks = examples.map(({ code }) => withChecks(code).split("expect(").length - 1);
    expect(checks.reduce((sum, count) => sum + count)).toBeGreaterThan(10);
  });

  test.each(examples.map((example, i) => [example.file, i] as const))("%s, example %d runs", async (_, i) => {
    await run(examples[i]);
  });
});

describe("README.md", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const programs = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code);
  const folder = join(tmpdir(), `tapwire-readme-${process.pid}`);

  beforeAll(async () => {
    const from = (name: string) => JSON.stringify(join(root, name));
    for (const [i, code] of programs.entries()) {
      const local = code
        .replace('"tapwire/devices"', from("devices/index.ts"))
        .replace('"tapwire/sim"', from("src/sim/index.ts"))
        .replace('"tapwire"', from("src/index.ts"));
      await Bun.write(join(folder, `${i}.ts`), local);
    }
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each(programs.map((code, i) => [i, code] as const))(
    "program %d prints what its comments say",
    async (i, code) => {
      const child = Bun.spawn({
        cmd: [process.execPath, join(folder, `${i}.ts`)],
        stdout: "pipe",
        stderr: "pipe",
      });
      const [printed, errors] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      expect(errors).toBe("");
      expect(await child.exited).toBe(0);
      const claims = [...code.matchAll(/^console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text]) => text);
      expect(claims.length).toBeGreaterThan(0);
      expect(printed.split("\n").slice(0, claims.length)).toEqual(claims);
    },
  );
});
