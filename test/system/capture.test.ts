/** What is captured of a kernel that leaves checksums and cutting to the device, as tshark sees it. */

import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capture, captureFile, openTap, openTun } from "../../devices/index.ts";
import type { Device } from "../../src/device.ts";
import { open } from "../../src/index.ts";
import { systemTest, until } from "../support/system.ts";

const BYTES = 2_000_000;

/** tshark's view of a capture: how many packets, which are wrong, and the longest. */
async function look(path: string): Promise<{ packets: number; longest: number; wrong: string[] }> {
  const checks = ["ip", "tcp", "udp"].flatMap((name) => ["-o", `${name}.check_checksum:TRUE`]);
  const lengths = await Bun.$`tshark -n ${checks} -r ${path} -T fields -e frame.len`.quiet().text();
  const bad =
    "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0";
  const wrong = await Bun.$`tshark -n ${checks} -r ${path} -Y ${bad}`.quiet().text();
  const found = lengths.trim().split("\n").map(Number);
  return {
    packets: found.length,
    longest: Math.max(...found),
    wrong: wrong.split("\n").filter((line) => line !== ""),
  };
}

for (const [kind, needs, openDevice] of [
  ["tun", ["tun", "tshark", "nc"], () => openTun({ hostAddress: "192.168.69.100/24" })],
  ["tap", ["tun", "tshark", "nc"], () => openTap({ hostAddress: "192.168.69.100/24" })],
] as const) {
  for (const extension of ["pcap", "pcapng"]) {
    systemTest(
      `${kind}, ${extension}: nothing malformed, no bad checksum, super-segments whole`,
      needs,
      async (ns) => {
        const directory = mkdtempSync(join(tmpdir(), "tapwire-capture-"));
        const path = join(directory, `frames.${extension}`);
        const bare: Device = ns.inside(openDevice);
        const device = capture(bare, captureFile(path));
        const host = await open({ device, addresses: ["192.168.69.1/24"] });
        try {
          const listener = host.listen({ port: 7 });
          void (async () => {
            for await (const connection of listener) {
              void connection.readable.pipeTo(connection.writable).catch(() => {});
            }
          })();
          const echoed = await ns.run(
            ["sh", "-c", `head -c ${BYTES} /dev/zero | nc -N 192.168.69.1 7 | wc -c`],
            {
              timeoutMs: 10_000,
            },
          );
          expect(echoed.stdout.trim()).toBe(String(BYTES));
          await ns.run(["sh", "-c", "echo anybody | nc -u -w 1 192.168.69.1 9"]);
        } finally {
          await host.close();
          device.close();
        }
        await until("the capture to be closed", () => Bun.file(path).size > BYTES);
        const { packets, longest, wrong } = await look(path);
        rmSync(directory, { recursive: true });
        expect(wrong).toEqual([]);
        expect(packets).toBeGreaterThan(20);
        expect(longest > 10_000).toBe(bare.capabilities.maxSuperSegment > 0);
      },
      40_000,
    );
  }
}
