import { describe, expect } from "bun:test";
import { join } from "node:path";
import { type Namespace, type Running, systemTest } from "../support/system.ts";

/** What scanners, floods and hand-made packets do to `examples/server.ts`: it tells what is open, and goes on serving. */

const root = join(import.meta.dir, "../..");
const SERVER = "192.168.69.1";

async function withServer(ns: Namespace, body: (server: Running) => Promise<void>): Promise<void> {
  const command = ["run", "examples/server.ts", "--config", "examples/config/tun.toml"];
  const server = ns.start([process.execPath, ...command], { cwd: root });
  await server.waitFor(`Try: curl http://${SERVER}/`);
  await body(server);
  await serves(ns);
  const { exitCode, stderr } = await server.stop();
  expect([exitCode, stderr]).toEqual([0, ""]);
}

/** A page, an echo and a ping at the first attempt. */
async function serves(ns: Namespace): Promise<void> {
  const page = ["curl", "--silent", "--fail", "--max-time", "3", `http://${SERVER}/`];
  expect(await ns.ok(page)).toContain("TUN interface tun0");
  expect(await ns.ok(["nc", "-N", "-w", "3", SERVER, "7"], { stdin: "still there\n" })).toBe("still there\n");
  await ns.ok(["ping", "-c", "1", "-W", "3", SERVER]);
}

const PROGRAMS = ["tun", "curl", "nc", "ping"];

describe("nmap", () => {
  const OPEN = [7, 9, 13, 19, 80];

  /** The ports from 1 to 200 that nmap says are in a state. */
  async function scan(ns: Namespace, kind: string, state: string): Promise<number[]> {
    const flags = ["-n", "-Pn", "-T5", kind, "-p", "1-200", "-oG", "-"];
    const printed = await ns.ok(["nmap", ...flags, SERVER], { timeoutMs: 10_000 });
    const found = printed.matchAll(/(\d+)\/([a-z|]+)\//g);
    return [...found].filter((match) => match[2] === state).map((match) => Number(match[1]));
  }

  systemTest(
    "port scans find what is open, and nothing else",
    [...PROGRAMS, "nmap"],
    async (ns) => {
      await withServer(ns, async () => {
        for (const kind of ["-sS", "-sT"]) expect(await scan(ns, kind, "open")).toEqual(OPEN);
        // RFC 9293 3.10.7.2: a listener has no answer to these, and what is closed has a reset.
        for (const kind of ["-sF", "-sN", "-sX"]) {
          expect(await scan(ns, kind, "open|filtered")).toEqual(OPEN);
        }
        // And a reset for any ACK, whether it listens or not.
        for (const kind of ["-sA", "-sM"]) expect(await scan(ns, kind, "open")).toEqual([]);
      });
    },
    30_000,
  );

  systemTest(
    "the detection of operating systems, protocol and UDP scans, fragments",
    [...PROGRAMS, "nmap"],
    async (ns) => {
      await withServer(ns, async () => {
        const nmap = (...flags: string[]) =>
          ns.ok(["nmap", "-n", "-Pn", "-T5", ...flags, SERVER], { timeoutMs: 15_000 });
        const system = await nmap("-O", "--max-os-tries", "1", "-p", "7,80,81");
        expect(system).toMatch(/81\/tcp +closed/);
        const protocols = await nmap("-sO", "-p", "1,6,17,50");
        for (const protocol of ["icmp", "tcp", "udp"])
          expect(protocols).toMatch(new RegExp(`open +${protocol}`));
        expect(protocols).toMatch(/50 +closed/);
        const datagrams = await nmap("-sU", "-p", "7,53");
        expect(datagrams).toMatch(/7\/udp +open/);
        expect(datagrams).toMatch(/53\/udp +closed/);
        await nmap("-sS", "-f", "-p", "7,80", "--max-retries", "0");
      });
    },
    40_000,
  );
});

systemTest(
  "hping3: floods of every kind",
  [...PROGRAMS, "hping3"],
  async (ns) => {
    await withServer(ns, async () => {
      const floods = [
        "-S",
        "-A",
        "-R",
        "-F",
        "-SA",
        "-SF",
        "-UPX",
        "--udp",
        "--icmp",
        "-S -d 1000",
        "-S -w 0 -O 3",
      ];
      for (const kind of floods) {
        const flags = ["--quiet", "--flood", "--rand-source", "-p", "80", ...kind.split(" ")];
        const flood = ns.start(["hping3", ...flags, SERVER]);
        await flood.waitFor("flood mode");
        await Bun.sleep(250);
        const { stderr } = await flood.stop("SIGINT");
        expect(Number(/^(\d+) packets transmitted/m.exec(stderr)?.[1])).toBeGreaterThan(100);
        await serves(ns);
      }
    });
  },
  60_000,
);

/** Packets that no program sends, and whether anything may answer each: the numbers of those that were answered. */
const ODDITIES = `
import logging, sys
logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.all import *
conf.verb = 0
server = sys.argv[1]
ip = IP(dst=server)
flags = ["", "FSRPAUEC", "SF", "SR", "FU", "SFRPAU"]
packets = []
for port in (80, 81):
    tcp = TCP(sport=40000, dport=port, seq=1)
    packets += [ip / TCP(sport=41000 + i, dport=port, flags=f, seq=0xffffffff, ack=0x80000000) for i, f in enumerate(flags)]
    packets += [ip / TCP(sport=42000 + i, dport=port, flags="S", options=o) for i, o in enumerate([
        [("MSS", 0)], [("MSS", 1)], [("MSS", 65535)], [("WScale", 255)], [("SAckOK", b""), ("SAckOK", b"")],
        [("Timestamp", (0, 0xffffffff))], [("SAck", (1, 2))], [(254, b"x" * 30)], [("NOP", None)] * 40])]
    packets += [ip / TCP(sport=43000 + n, dport=port, flags="S", dataofs=n) for n in range(16)]
    # An option whose length is 0, 1, and more than there is.
    packets += [ip / TCP(sport=44000 + n, dport=port, flags="S", dataofs=6) / bytes([8, n, 1, 1]) for n in (0, 1, 2, 255)]
    packets += [IP(dst=server, src=source) / TCP(sport=45000, dport=port, flags="S")
                for source in (server, "127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "192.168.69.255")]
    packets += [ip / TCP(sport=0, dport=port, flags="S"), ip / TCP(sport=46000, dport=0, flags="S")]
    packets += [ip / TCP(sport=46001, dport=port, flags="S", chksum=0x1234), ip / TCP(sport=46002, dport=port, flags="SU", urgptr=65535) / ("x" * 100)]
    packets += fragment(ip / TCP(sport=47000, dport=port, flags="S") / ("x" * 1000), fragsize=8)[:20]
packets += [IP(dst=server, **lies) / TCP(dport=80, flags="S") for lies in (
    {"ihl": 4}, {"ihl": 15}, {"version": 6}, {"len": 10}, {"len": 65535}, {"chksum": 1}, {"ttl": 0},
    {"frag": 8191}, {"flags": "MF+DF"}, {"proto": 255}, {"options": [IPOption(b"\\x83\\x03\\x10")]},
    {"options": [IPOption_RR(routers=["1.2.3.4"] * 9)]}, {"tos": 255}, {"flags": "evil"})]
packets += [ip / ICMP(type=t, code=c) / ip / TCP(sport=80, dport=t, seq=c) for t in range(0, 42, 3) for c in (0, 4, 255)]
packets += [ip / UDP(sport=7, dport=7) / "loop", ip / UDP(dport=7, len=4), ip / UDP(dport=7, len=65535), ip / UDP(dport=9, chksum=1)]
packets += [ip / fuzz(TCP(dport=80)) for _ in range(300)] + [fuzz(ip) / TCP(dport=80) for _ in range(100)]
socket = conf.L3socket()
for packet in packets:
    try:
        socket.send(packet)
    except OSError:
        pass  # The kernel does not take what is longer than it says, or has a source of nobody's.
print(len(packets), "sent")
`;

systemTest(
  "scapy: packets that no program sends",
  [...PROGRAMS, "scapy"],
  async (ns) => {
    await withServer(ns, async () => {
      // Debian's own interpreter: only that one finds Debian's package.
      const printed = await ns.ok(["/usr/bin/python3", "-", SERVER], { stdin: ODDITIES, timeoutMs: 20_000 });
      expect(Number(/^(\d+) sent/m.exec(printed)?.[1])).toBeGreaterThan(500);
    });
  },
  30_000,
);
