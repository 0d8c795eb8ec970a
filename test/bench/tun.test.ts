import { expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemTest } from "../support/system.ts";

const ROWS = [
  ...["flows-receiving", "flows-sending", "flows-receiving-no-offload", "flows-sending-no-offload"],
  ...["accept", "accept-events", "accept-lo"],
  ...["accept-server-closes", "accept-server-closes-events", "accept-server-closes-lo"],
  ...["request", "request-events", "request-lo"],
  ...["processor-user", "processor-system"],
  ...["start-tun", "start-memory", "start-empty"],
];
/** What takes a peer to measure, which the test does not build. */
const NEED_LWIP = ["processor-user", "processor-system"];

interface Result {
  readonly rows: readonly {
    readonly name: string;
    readonly median: number | null;
    readonly values: readonly number[];
    readonly subject: { readonly values: readonly number[] };
    readonly met: boolean | null;
  }[];
}

systemTest(
  "bench/tun.ts measures every row",
  ["tun", "cc", "ping", "pgrep", "sysctl"],
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "tapwire-tun-test-"));
    try {
      const json = join(directory, "rows.json");
      const program = join(import.meta.dir, "../../bench/tun.ts");
      const flags = ["--rounds", "1", "--seconds", "0.1", "--no-peers", "--json", json];
      const running = Bun.spawn([process.execPath, program, ...flags], { stdout: "pipe", stderr: "pipe" });
      const [printed, complaints, exitCode] = await Promise.all([
        new Response(running.stdout).text(),
        new Response(running.stderr).text(),
        running.exited,
      ]);
      expect({ exitCode, complaints }).toMatchObject({ exitCode: 0 });
      const { rows }: Result = JSON.parse(readFileSync(json, "utf8"));
      expect(rows.map(({ name }) => name)).toEqual(ROWS);
      for (const { name, median, values, subject } of rows) {
        const { length } = subject.values.filter((value) => value > 0);
        expect({ name, length }).toEqual({ name, length: 1 });
        if (NEED_LWIP.includes(name)) expect(values).toEqual([]);
        else expect(median).toBeGreaterThan(0);
      }
      expect(printed).toContain("| first page, TUN");
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
  90_000,
);
