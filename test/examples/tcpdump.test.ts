import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCapture } from "../support/pcap-reader.ts";
import { example, run } from "./program.ts";

const dump = (...flags: string[]) => example("tcpdump", ...flags);
const directory = mkdtempSync(join(tmpdir(), "tapwire-tcpdump-"));
afterAll(() => rmSync(directory, { recursive: true }));
const hasTcpdump = Bun.which("tcpdump") !== null;

describe("examples/tcpdump.ts", () => {
  test("prints what a device receives, until there is enough", async () => {
    const { exitCode, stdout, stderr } = await dump("-c", "2", "icmp");
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^listening on memory, MTU 1500\n2 packets captured, [0-9]+ received\n$/);
    const lines = stdout.trim().split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{6} IP 192\.168\.69\.2 > 192\.168\.69\.1: ICMP echo request, id \d+, seq 1, length 64$/,
    );
  });

  test("on Ethernet there is ARP, and -e prints hardware addresses", async () => {
    const { stdout } = await dump("-e", "-c", "1", "--config", "test/examples/ethernet.toml", "arp");
    expect(stdout).toMatch(
      / 02:00:00:00:00:02 > ff:ff:ff:ff:ff:ff, ethertype ARP \(0x0806\), length \d+: Request who-has/,
    );
  });

  test.skipIf(!hasTcpdump)("prints a capture as tcpdump does", async () => {
    for (const name of ["handshake", "ping", "udp", "unreachable"]) {
      for (const filter of ["", "icmp or udp", "src host 10.0.0.2"]) {
        const file = `test/fixtures/${name}.pcap`;
        const theirs = await run(["tcpdump", "-nSr", file, ...filter.split(" ").filter(Boolean)]);
        expect(await dump("-r", file, filter)).toMatchObject({ exitCode: 0, stdout: theirs.stdout });
      }
    }
  });

  test("-w writes what the filter takes, in either format", async () => {
    const [pcap, pcapng] = [join(directory, "a.pcap"), join(directory, "a.pcapng")];
    const file = "test/fixtures/handshake.pcap";
    expect(await dump("-r", file, "-w", pcap, "-c", "3", "tcp")).toMatchObject({ exitCode: 0, stdout: "" });
    const original = readCapture(join(import.meta.dir, "../..", file));
    const written = readCapture(pcap);
    expect(written.linkType).toBe(original.linkType);
    expect(written.packets).toEqual(original.packets.slice(0, 3));
    await dump("-r", file, "-w", pcapng, "tcp");
    expect((await dump("-r", pcapng)).stdout).toBe((await dump("-r", file, "tcp")).stdout);
    const live = await dump("-w", pcap, "-c", "2", "icmp");
    expect([live.exitCode, live.stdout]).toEqual([0, ""]);
    expect(readCapture(pcap).packets).toHaveLength(2);
  });

  test("says what is wrong", async () => {
    const [help, filter, missing, count, none] = await Promise.all([
      dump("--help"),
      dump("port", "http"),
      dump("-r", "nowhere.pcap"),
      dump("-c", "many"),
      dump("-r", "README.md"),
    ]);
    expect(help).toMatchObject({ exitCode: 0, stderr: "" });
    expect(help.stdout).toContain("[tcp|udp] [src|dst] port NUMBER");
    expect(filter).toMatchObject({ exitCode: 1, stdout: "" });
    expect(filter.stderr).toContain('The filter has "http"; write a port there');
    expect(missing.stderr).toContain("nowhere.pcap does not exist");
    expect([count.exitCode, count.stderr.split("\n")[0]]).toEqual([
      2,
      '-c is "many"; write a whole number from 1 up.',
    ]);
    expect(none.stderr).toContain("is no capture");
  });
});
