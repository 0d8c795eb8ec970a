import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capture } from "../../devices/capture.ts";
import { captureFile } from "../../devices/capture-file.ts";
import { memoryPair } from "../../devices/memory.ts";
import { withInterface } from "../../examples/lib/command.ts";
import { Dump } from "../../examples/lib/dump.ts";
import type { Device } from "../../src/device.ts";
import { send } from "../devices/frames.ts";
import { udpPacket } from "../support/packets.ts";
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

  test("a pcapng file of two media, which only pcapng can hold again", async () => {
    const [mixed, again] = [join(directory, "mixed.pcapng"), join(directory, "again.pcapng")];
    const sink = captureFile(mixed);
    const packet = udpPacket({ from: "10.0.0.1", to: "10.0.0.2" }, 7, 9, new Uint8Array(3));
    const link = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    const ends = [memoryPair()[0], memoryPair({ medium: "ethernet" })[0]].map((end) => capture(end, sink));
    for (const bytes of [packet, [...link, ...packet], packet]) send(ends[bytes === packet ? 0 : 1], bytes);
    for (const end of ends) end.close();
    const line = "IP 10.0.0.1.7 > 10.0.0.2.9: UDP, length 3";
    const lines = async (file: string, ...flags: string[]) =>
      (await dump("-r", file, ...flags)).stdout.split("\n").map((text) => text.slice(16));
    expect(await lines(mixed, "udp", "dst", "port", "9")).toEqual([line, line, line, ""]);
    expect(await dump("-r", mixed, "-w", again)).toMatchObject({ exitCode: 0 });
    expect(await lines(again)).toEqual([line, line, line, ""]);
    const refused = await dump("-r", mixed, "-w", join(directory, "mixed.pcap"));
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining("another medium")]);
  });

  test("an empty capture is one, and a wrong filter wrong all the same", async () => {
    const [empty, copy] = [join(directory, "empty.pcap"), join(directory, "copy.pcap")];
    capture(memoryPair()[0], captureFile(empty)).close();
    expect(await dump("-r", empty, "-w", copy)).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
    expect(readCapture(copy).packets).toEqual([]);
    const wrong = await dump("-r", empty, "prot", "80");
    expect([wrong.exitCode, wrong.stderr]).toEqual([1, expect.stringContaining('The filter has "prot"')]);
  });

  test("- is standard input, and standard output", async () => {
    const file = "test/fixtures/handshake.pcap";
    const self = `'${process.execPath}' run examples/tcpdump.ts`;
    const piped = await run(["sh", "-c", `${self} -w - -r ${file} | cat | ${self} -r -`]);
    expect(piped).toMatchObject({ exitCode: 0, stderr: "" });
    expect(piped.stdout).toBe((await dump("-r", file)).stdout);
    expect(piped.stdout).not.toBe("");
  });

  test("-i is understood as getopt(3) does", () => {
    const raw = ["--device", "raw"];
    for (const [argv, expected] of [
      [
        ["-i", "eth0"],
        [...raw, "--name", "eth0"],
      ],
      [["-ieth0"], [...raw, "--name", "eth0"]],
      [
        ["-ni", "eth0"],
        [...raw, "-n", "--name", "eth0"],
      ],
      [["-enieth0"], [...raw, "-en", "--name", "eth0"]],
      [
        ["-nr", "x", "--", "-i"],
        ["-nr", "x", "--", "-i"],
      ],
      [
        ["-i", "t", "--device=tun"],
        ["--name", "t", "--device=tun"],
      ],
      [["--name=eth0"], [...raw, "--name=eth0"]],
      [
        ["icmp", "-wi"],
        ["icmp", "-wi"],
      ],
    ]) {
      expect(withInterface(argv, "en")).toEqual(expected);
    }
  });

  test("a device that always has another frame leaves others their turn", async () => {
    const [device] = memoryPair();
    let received = 0;
    const busy: Device = Object.assign(device, { receive: () => ++received > 0 });
    const none = () => false;
    const filters = { ip: none, ethernet: none };
    const watch = new Dump({ filters, count: 1, linkHeaders: false, sink: null, print: () => {} });
    void watch.watch(busy);
    expect(received).toBe(64);
    await Bun.sleep(1);
    busy.receive = () => false;
    expect(watch.seen).toBeGreaterThan(64);
  });

  test("what happens to the file ends it", async () => {
    const full = await dump("-w", "/dev/full", "-c", "1");
    expect(full).toMatchObject({ exitCode: 1, stdout: "" });
    expect(full.stderr).toContain("/dev/full can't be written");
  });

  test("says what is wrong", async () => {
    const [help, filter, missing, count, none, two] = await Promise.all([
      dump("--help"),
      dump("port", "http"),
      dump("-r", "nowhere.pcap"),
      dump("-c", "many"),
      dump("-r", "README.md"),
      dump("--config", "test/examples/two-tuns.toml"),
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
    expect([two.exitCode, two.stderr.split("\n")[0]]).toEqual([
      2,
      "The configuration has 2 devices, and one is listened on: leave the others out.",
    ]);
  });
});
