/** Closing, as the kernel and tshark see it. */

import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capture, openTun, pcapFile } from "../../devices/index.ts";
import { type Connection, type Host, open } from "../../src/index.ts";
import { pattern, sha256 } from "../host/pair.ts";
import { runCrowd } from "../soak/closings.ts";
import { type Namespace, systemTest } from "../support/system.ts";

const US = "192.168.69.1";
const KERNEL = "192.168.69.100";

function hostIn(ns: Namespace): Promise<Host> {
  return ns.inside(() =>
    open({ device: openTun({ name: "tun0", hostAddress: `${KERNEL}/24` }), addresses: [`${US}/24`] }),
  );
}

systemTest(
  "100 connections that send and close at once, over loss: tshark sees a FIN of each end, and no RST",
  ["tshark"],
  async (ns) => {
    const folder = mkdtempSync(join(tmpdir(), "tapwire-closing-"));
    try {
      const file = join(folder, "crowd.pcap");
      const sink = pcapFile(file);
      const { delivered } = await runCrowd({
        connections: 100,
        bytes: 64 * 1_024,
        loss: 0.02,
        delayMs: 50,
        seed: 1,
        wrap: (device, clock) => capture(device, sink, { clock }),
      });
      expect(delivered).toBe(100);
      const matching = async (filter: string) => {
        const fields = ["-T", "fields", "-e", "ip.src", "-e", "tcp.port"];
        const found = await ns.ok(["tshark", "-nr", file, "-Y", filter, ...fields], { timeoutMs: 30_000 });
        return found.split("\n").filter((line) => line !== "");
      };
      expect(await matching("tcp.flags.reset == 1")).toEqual([]);
      // What is sent again is of the same end of the same connection.
      expect(new Set(await matching("tcp.flags.fin == 1")).size).toBe(200);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  60_000,
);

systemTest(
  "a host that is closed while the kernel's programs still read: each gets everything",
  ["tun", "nc", "sha256sum"],
  async (ns) => {
    const host = await hostIn(ns);
    const sent = pattern(4 << 20);
    const listener = host.listen({ port: 80 });
    const readers = Array.from({ length: 8 }, () => ns.ok(["sh", "-c", `nc -d ${US} 80 | sha256sum`]));
    for (let i = 0; i < readers.length; i++) void (await listener.accept()).write(sent);
    const result = await host.close({ timeout: 10_000 });
    expect(result).toEqual({ connections: 8, reset: 0, undelivered: 0, undeliveredBytes: 0 });
    for (const sum of await Promise.all(readers)) expect(sum).toStartWith(sha256(sent));
    expect(host.stats.tcpResetsSent + host.stats.tcpResetsReceived).toBe(0);
  },
  20_000,
);

systemTest(
  "what was not read is told to a program of the kernel's, and so are linger 0 and abort; a plain close is not",
  ["tun", "python3"],
  async (ns) => {
    const host = await hostIn(ns);
    try {
      const ways: readonly [string, (connection: Connection) => unknown, string][] = [
        ["unread", (connection) => connection.close(), "ConnectionResetError"],
        ["linger", (connection) => connection.close({ linger: 0 }), "ConnectionResetError"],
        ["abort", (connection) => connection.abort(), "ConnectionResetError"],
        ["read", (connection) => connection.read().then(() => connection.close()), "b''"],
      ];
      for (const [i, [name, end, expected]] of ways.entries()) {
        const listener = host.listen({ port: 80 + i });
        const script = [
          "import socket",
          `s = socket.create_connection(("${US}", ${80 + i}))`,
          "s.sendall(b'unread')",
          "try: print(s.recv(1))",
          "except OSError as error: print(type(error).__name__)",
        ];
        const peer = ns.ok(["python3", "-c", script.join("\n")]);
        const connection = await listener.accept();
        while (connection.info().notRead === 0) await Bun.sleep(1);
        await end(connection);
        expect([name, (await peer).trim()]).toEqual([name, expected]);
        listener.close();
      }
    } finally {
      await host.close();
    }
  },
  20_000,
);
