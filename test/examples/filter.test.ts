import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseFilter } from "../../examples/lib/filter.ts";
import { thrownBy } from "../support/errors.ts";
import { LINKTYPE_ETHERNET, LINKTYPE_RAW, readCapture } from "../support/pcap-reader.ts";

const fixtures = join(import.meta.dir, "../fixtures");
const directory = mkdtempSync(join(tmpdir(), "tapwire-filter-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** The first packets of every capture that there is, and IPv6 packets that none has. */
function packets(): Uint8Array[] {
  const names = readdirSync(fixtures).filter((name) => name.endsWith(".pcap"));
  const captures = names.map((name) => readCapture(join(fixtures, name)));
  const captured = captures
    .filter(({ linkType }) => linkType === LINKTYPE_RAW)
    .flatMap((capture) => capture.packets.slice(0, 6).map(({ bytes }) => bytes));
  const ports = [0x10, 0x05, 0x10, 0x0b, 0, 24, 0, 0];
  const ipv6 = [6, 17, 58, 44].map((next) => {
    const packet = new Uint8Array(72);
    packet.set([0x60, 0, 0, 0, 0, 32, next, 64, 0xfd, 0]);
    packet.set([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 24);
    packet.set(next === 44 ? [6, 0, 0, 0, 0, 0, 0, 1, ...ports] : ports, 40);
    return packet;
  });
  // A later fragment, whose data look like a header with these ports.
  const fragment = new Uint8Array(48);
  fragment.set([0x45, 0, 0, 48, 0, 1, 0, 5, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, ...ports]);
  return [...captured, ...ipv6, fragment];
}

function ethernet(type: number[], payload: Uint8Array): Uint8Array {
  return Uint8Array.of(2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, ...type, ...payload);
}

/** The same packets in frames, some of them tagged; and ARP requests from and to the same machines. */
function frames(): Uint8Array[] {
  const arp = Uint8Array.of(
    ...[0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2],
  );
  return packets()
    .flatMap((packet) => [
      ethernet(packet[0] >> 4 === 6 ? [0x86, 0xdd] : [8, 0], packet),
      ethernet([0x81, 0, 0, 7, 8, 0], packet),
    ])
    .concat(ethernet([8, 6], arp), ethernet([0x88, 0xb5], arp));
}

/** A capture file, with one millisecond from each packet to the next. */
function write(name: string, linkType: number, all: readonly Uint8Array[]): string {
  const path = join(directory, name);
  const header = new Uint32Array([0xa1b2c3d4, 0x00040002, 0, 0, 65_535, linkType]);
  const records = all.flatMap((bytes, i) => [
    new Uint8Array(new Uint32Array([1, i * 1000, bytes.length, bytes.length]).buffer),
    bytes,
  ]);
  writeFileSync(path, Buffer.concat([new Uint8Array(header.buffer), ...records]));
  return path;
}

const captures = [
  { medium: "ip", all: packets(), path: write("ip.pcap", LINKTYPE_RAW, packets()) },
  { medium: "ethernet", all: frames(), path: write("ethernet.pcap", LINKTYPE_ETHERNET, frames()) },
] as const;

/** The indexes of the packets that a filter takes. */
function ours({ medium, all }: (typeof captures)[number], expression: string): number[] {
  const filter = parseFilter(expression, medium);
  return all.flatMap((bytes, i) => (filter(bytes, 0, bytes.length) ? [i] : []));
}

/** What tcpdump says: the packets' times tell which they are. */
function tcpdumps({ path }: (typeof captures)[number], expression: string): number[] {
  const { stdout, stderr } = Bun.spawnSync(["tcpdump", "-nr", path, "-tt", "-q", expression], {
    stderr: "pipe",
  });
  const taken = [...stdout.toString().matchAll(/^1\.(\d{6}) /gm)].map(([, time]) => Number(time) / 1000);
  // For a filter that no packet of this medium can pass, it says that and ends.
  if (taken.length === 0) expect(stderr.toString()).toMatch(/^reading from file.*\n$|rejects all packets/);
  return taken;
}

const EXPRESSIONS = [
  "ip",
  "arp",
  "icmp",
  "tcp",
  "udp",
  "ip6",
  "icmp6",
  "host 10.0.0.1",
  "host 10.0.0.1",
  "src host 10.0.0.1",
  "src 10.0.0.2",
  "dst 10.0.0.1",
  "port 4107",
  "port 4101",
  "src port 4101 or dst port 4101",
  "tcp port 4101",
  "udp dst port 4108",
  "udp src port 4107",
  "not tcp",
  "not (tcp or udp)",
  "! icmp && ! udp",
  "tcp or udp and host 10.0.0.1",
  "tcp or (udp and host 10.0.0.1)",
  "not tcp or icmp",
  "host 10.0.0.1 or 10.0.0.2",
  "port 4101 or 4108 and not udp",
  "tcp port 4107 || icmp",
  "host fd00::1",
];

describe("a filter takes what tcpdump's takes", () => {
  test.skipIf(Bun.which("tcpdump") === null).each(EXPRESSIONS)("%s", (expression) => {
    for (const capture of captures) expect(ours(capture, expression)).toEqual(tcpdumps(capture, expression));
  });

  test("each of them takes some packets and leaves others", () => {
    const { length } = captures[1].all;
    for (const expression of EXPRESSIONS) {
      const taken = ours(captures[1], expression).length;
      expect([expression, taken > 0, taken < length]).toEqual([expression, true, true]);
    }
  });
});

test("an empty filter takes everything", () => {
  expect(parseFilter("", "ip")(new Uint8Array(0), 0, 0)).toBe(true);
});

test("nothing is read behind the end of a frame", () => {
  for (const expression of ["tcp port 4101", "host 10.0.0.1", "src port 4101 or arp or host fd00::1"]) {
    for (const { medium, all } of captures) {
      const filter = parseFilter(expression, medium);
      for (const bytes of all) {
        for (let length = 0; length < Math.min(bytes.length, 80); length++) {
          expect(filter(bytes, 0, length)).toBe(filter(bytes.slice(0, length), 0, length));
        }
      }
    }
  }
});

test("what is no filter is explained", () => {
  for (const [text, message] of [
    ["tcp and", "The filter ends too early; write for example"],
    ["host", "The filter ends too early; write an address or a port there."],
    ["(tcp", 'The filter ends too early; write ")" there.'],
    ["tcp)", 'The filter has ")"; write for example'],
    ["tcp udp", 'The filter has "udp"'],
    ["port http", 'The filter has "http"; write a port there'],
    ["port 65536", 'The filter has "65536"'],
    ["host example.com", 'The filter has "example.com"; write an address there'],
    ["frobnicate", 'The filter has "frobnicate"; write for example tcp port 80'],
    ["10.0.0.1", 'The filter has "10.0.0.1"; write for example'],
    ["not and tcp", 'The filter has "and"'],
  ]) {
    expect(thrownBy(() => parseFilter(text, "ip")).message).toContain(message);
  }
});
