import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capture, pcapFile } from "../../devices/index.ts";
import type { Device } from "../../src/index.ts";
import { Network } from "../../src/sim/index.ts";
import type { VirtualRuntime } from "../../src/sim/virtual-runtime.ts";
import { parseCapture } from "../support/pcap-reader.ts";

const folder = mkdtempSync(join(tmpdir(), "tapwire-sim-"));
afterAll(() => rmSync(folder, { recursive: true }));

const FAULTS = { loss: { p: 0.02, r: 0.4 }, duplicate: 0.01, reorder: 0.02, corrupt: 0.01, jitterMs: 2 };

/** A network with some of everything, and what two of its hosts sent and received. */
async function record(name: string, seed: number, everyStep = false): Promise<Buffer> {
  const path = join(folder, name);
  const net = new Network({ seed, medium: "ethernet" });
  const sink = pcapFile(path);
  const wrap = (device: Device) => capture(device, sink, { clock: () => net.now });
  const hub = net.switch();
  const hosts = [1, 2, 3].map((i) =>
    net.host({
      ...{ addresses: [`10.0.0.${i}/24`], gateway: "10.0.0.254", memory: 4 << 20, conflictDetection: "fast" },
      ...(i === 3 ? {} : { wrap }),
    }),
  );
  const far = net.host({ addresses: ["10.1.0.1/24"], gateway: "10.1.0.254", memory: 4 << 20 });
  const router = net.router(["10.0.0.254/24", "10.1.0.254/24"]);
  for (const node of [...hosts, router]) net.link(node, hub, { ...FAULTS, rateMbit: 20, delayMs: 3 });
  net.link(router, far, { rateMbit: 5, delayMs: 20, codel: true });
  if (everyStep) net.onStep = () => (Reflect.get(net, "runtime") as VirtualRuntime).programIsDue();
  await net.run(async () => {
    await Promise.all(hosts.map((host) => host.whenReady()));
    net.at(1_500, () => net.partition([hosts[0]], [hosts[1], far]));
    net.at(2_500, () => net.heal());
    for (const host of [hosts[0], far]) {
      net.spawn(async () => {
        for await (const connection of host.listen({ port: 7 })) {
          connection.readable.pipeTo(connection.writable).catch(() => {});
        }
      });
    }
    const echo = async (from: number, address: string) => {
      const connection = await hosts[from].connect({ address, port: 7 });
      const writing = connection.write(new Uint8Array(150_000).fill(net.random.next()));
      for (let count = 0; count < 150_000; ) count += (await connection.read())?.length ?? 0;
      await writing;
      await connection.close();
    };
    await Promise.all([echo(1, "10.0.0.1"), echo(0, "10.1.0.1"), echo(2, "10.0.0.1")]);
    await net.sleep(net.random.next() % 1_000);
    await hosts[1].ping("10.1.0.1", { timeout: 10_000 }).catch(() => {});
    await Promise.all([...hosts, far].map((host) => host.close()));
  });
  return readFileSync(path);
}

describe("replay", () => {
  test("the same seed writes the same capture file, another one another", async () => {
    const first = await record("first.pcap", 7);
    const second = await record("second.pcap", 7);
    const other = await record("other.pcap", 8);
    expect(parseCapture(first).packets.length).toBeGreaterThan(800);
    expect(second.equals(first)).toBe(true);
    expect(other.equals(first)).toBe(false);
  }, 30_000);

  // The engine's loop turns only where something has settled a promise of the program's. If one such place were missing,
  // time would move on before the program has done its part, and what it does would be sent later.
  test("a program that gets its turn at every step does the same", async () => {
    const seldom = await record("seldom.pcap", 9);
    const always = await record("always.pcap", 9, true);
    expect(always.equals(seldom)).toBe(true);
  }, 30_000);
});
