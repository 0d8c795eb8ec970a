import type { Frame } from "../../src/device.ts";
import type { TcpSettings } from "../../src/index.ts";
import { read16, read32 } from "../../src/wire/bytes.ts";
import { ipv4HeaderLength, ipv4IsFragment, ipv4TotalLength } from "../../src/wire/ipv4.ts";
import { findIp, findTransport, TransportPlace, transportChecksum } from "../../src/wire/offload.ts";
import { KEEP_ALIVE_INTERVAL_MS, KEEP_ALIVE_PROBES, type LoggedCall } from "./endpoint.ts";
import { describeFrame, type Journal } from "./journal.ts";
import { type RoundOptions, runRound } from "./round.ts";
import type { Scenario } from "./scenario.ts";
import { ScriptPlan } from "./script-plan.ts";
import { PEER_WORD, VICTIM_WORD } from "./target.ts";
import type { World } from "./world.ts";

/** What is longer tells nobody anything. */
const MOST_LINES = 400;
const FLAG_LETTERS = "FSRP.UEW";
const IP_OFFSET_OF_TCP_CHECKSUM = 16;
const place = new TransportPlace();

/**
 * A journal in packetdrill's language, as the victim sees it: what its program does, what its peer and the attacker send (`<`), and
 * what it answered (`>`), up to what was found. Frames that the language has no words for are comments.
 */
export function packetdrillScript(journal: Journal, title: string, options: RoundOptions = {}): string {
  const writer = new Writer(journal.scenario);
  runRound(journal.scenario, new ScriptPlan(journal.items), {
    ...options,
    onWorld: (world) => writer.watch(world),
  });
  const { lines } = writer;
  const kept = lines.slice(0, MOST_LINES);
  if (kept.length < lines.length) kept.push(`// and ${lines.length - kept.length} lines more`);
  const head = [...title.split("\n").map((line) => `// ${line}`), ...opening(journal.scenario)];
  return `${[...head, ...kept, "// Here the fuzzer found what the first line says."].join("\n")}\n`;
}

function opening({ victimOpens, tcp, mtu }: Scenario): string[] {
  return [
    "--tolerance_usecs=100000",
    `--mtu=${mtu}`,
    ...sysctls(tcp[0]),
    "    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3",
    ...(victimOpens
      ? [
          "   +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0",
          "   +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)",
        ]
      : [
          "   +0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0",
          "   +0 bind(3, ..., ...) = 0",
          "   +0 listen(3, 1) = 0",
        ]),
  ];
}

/** The victim's settings, as far as a script can have them. */
function sysctls(tcp: Partial<TcpSettings>): string[] {
  const {
    receiveBuffer = 0,
    maxReceiveBuffer = receiveBuffer,
    sendBuffer = 0,
    maxSendBuffer = sendBuffer,
  } = tcp;
  const on = (value: TcpSettings["ecn"] | undefined) => (value ? 1 : 0);
  const values = [
    // Of `tcp_rmem` a half is for overhead.
    `tcp_timestamps=${on(tcp.timestamps)}`,
    `tcp_sack=${on(tcp.sack)}`,
    `tcp_ecn=${on(tcp.ecn)}`,
    `tcp_rmem="4096 ${2 * receiveBuffer} ${maxReceiveBuffer}"`,
    `tcp_wmem="4096 ${sendBuffer} ${maxSendBuffer}"`,
  ];
  return values.map((value) => `\`sysctl -q net.ipv4.${value}\``);
}

/** Collects the lines of a script. */
class Writer {
  readonly lines: string[] = [];
  private readonly scenario: Scenario;
  private world: World | null = null;
  private ports = 0;
  private writtenAt = 0;
  private accepted = false;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
  }

  watch(world: World): void {
    this.world = world;
    this.accepted = this.scenario.victimOpens;
    const socket = this.accepted ? 3 : 4;
    world.ours.log = (call, count) => {
      if (!this.accepted) this.line("accept(3, ..., ...) = 4");
      this.accepted = true;
      for (const line of systemCalls(call, socket, count)) this.line(line);
    };
    world.device.witness = (kind, frame) => this.frame(kind, frame);
  }

  private frame(kind: "peer" | "attack" | "sent", frame: Frame): void {
    const bytes = frame.bytes.slice(frame.offset, frame.offset + frame.length);
    const segment = this.segment(bytes, kind !== "sent");
    if (segment !== null) {
      this.line(`${kind === "sent" ? ">" : "<"} ${segment}`);
    } else if (kind === "attack") {
      this.lines.push(`// ${describeFrame(bytes, this.scenario).split("\n")[0]}`);
      this.lines.push(`// raw ${Buffer.from(bytes).toString("hex")}`);
    }
  }

  private line(text: string): void {
    const now = this.world?.now ?? 0;
    const after = (now - this.writtenAt) / 1_000;
    this.writtenAt = now;
    this.lines.push(`${`+${Number(after.toFixed(6))}`.padStart(5)} ${text}`);
  }

  /** A segment of the connection, or `null` where the language has no words for it. */
  private segment(bytes: Uint8Array, isReceived: boolean): string | null {
    const ip = findIp(bytes, 0, bytes.length, this.scenario.medium === "ethernet");
    if (ip < 0 || bytes[ip] !== 0x45 || bytes.length < ip + 40 || ipv4IsFragment(bytes, ip)) return null;
    const [from, to] = isReceived ? [PEER_WORD, VICTIM_WORD] : [VICTIM_WORD, PEER_WORD];
    if (read32(bytes, ip + 12) !== from || read32(bytes, ip + 16) !== to) return null;
    if (ipv4TotalLength(bytes, ip) > bytes.length - ip) return null;
    const at = ip + ipv4HeaderLength(bytes, ip);
    const ports = isReceived ? read32(bytes, at) : (read16(bytes, at + 2) << 16) | read16(bytes, at);
    // The first segment says which ports are the connection's.
    if (this.ports === 0) this.ports = ports;
    if (ports !== this.ports || !this.isSound(bytes)) return null;
    return this.write(bytes, at, ip + ipv4TotalLength(bytes, ip), isReceived);
  }

  private isSound(bytes: Uint8Array): boolean {
    if (!findTransport(bytes, 0, bytes.length, this.scenario.medium, place)) return false;
    const field = place.offset + IP_OFFSET_OF_TCP_CHECKSUM;
    return place.length >= 20 && transportChecksum(bytes, place, field) === read16(bytes, field);
  }

  private write(bytes: Uint8Array, at: number, end: number, isReceived: boolean): string | null {
    const text = at + ((bytes[at + 12] >> 4) << 2);
    const { iss } = this.scenario;
    const [own, other] = isReceived ? [iss[1], iss[0]] : [iss[0], iss[1]];
    const options = optionWords(bytes, at + 20, text, other);
    if (text > end || text < at + 20 || options === null) return null;
    const flags = bytes[at + 13];
    const seq = (read32(bytes, at + 4) - own) >>> 0;
    const length = end - text;
    const words = [flagLetters(flags), `${seq}:${(seq + length) >>> 0}(${length})`];
    if (flags & 0x10) words.push(`ack ${(read32(bytes, at + 8) - other) >>> 0}`);
    if (isReceived) words.push(`win ${read16(bytes, at + 14)}`);
    if (flags & 0x20) words.push(`urg ${read16(bytes, at + 18)}`);
    if (options !== "") words.push(`<${options}>`);
    return words.join(" ");
  }
}

function systemCalls(call: LoggedCall, socket: number, count: number): string[] {
  if (call === "shutdown") return [`shutdown(${socket}, SHUT_WR) = 0`];
  if (call !== "keepAlive") return [`${call}(${socket}, ..., ${count}) = ${count}`];
  const option = (level: string, name: string, value: number) =>
    `setsockopt(${socket}, ${level}, ${name}, [${value}], 4) = 0`;
  return [
    option("IPPROTO_TCP", "TCP_KEEPIDLE", count / 1_000),
    option("IPPROTO_TCP", "TCP_KEEPINTVL", KEEP_ALIVE_INTERVAL_MS / 1_000),
    option("IPPROTO_TCP", "TCP_KEEPCNT", KEEP_ALIVE_PROBES),
    option("SOL_SOCKET", "SO_KEEPALIVE", 1),
  ];
}

function flagLetters(flags: number): string {
  const letters = [...FLAG_LETTERS].filter((_, bit) => flags & (1 << bit)).join("");
  // The dot comes last.
  return letters === "" ? "-" : letters.replace(/^(.*)\.(.*)$/, "$1$2.");
}

/** `mss 1460,sackOK,...`, "" where there are none, or `null` where some are malformed or have no name. */
function optionWords(bytes: Uint8Array, from: number, end: number, acknowledged: number): string | null {
  const words: string[] = [];
  for (let at = from; at < end; ) {
    const kind = bytes[at];
    if (kind === 1) {
      words.push("nop");
      at++;
      continue;
    }
    if (kind === 0) {
      words.push("eol");
      at++;
      continue;
    }
    const size = at + 1 < end ? bytes[at + 1] : 0;
    const word = size >= 2 && at + size <= end ? optionWord(bytes, at, kind, size, acknowledged) : null;
    if (word === null) return null;
    words.push(word);
    at += size;
  }
  return words.join(",");
}

function optionWord(
  bytes: Uint8Array,
  at: number,
  kind: number,
  size: number,
  acknowledged: number,
): string | null {
  if (kind === 2 && size === 4) return `mss ${read16(bytes, at + 2)}`;
  if (kind === 3 && size === 3) return `wscale ${bytes[at + 2]}`;
  if (kind === 4 && size === 2) return "sackOK";
  if (kind === 5 && size > 2 && (size & 7) === 2) return sackWord(bytes, at + 2, at + size, acknowledged);
  if (kind === 8 && size === 10)
    return `TS val ${read32(bytes, at + 2) >>> 0} ecr ${read32(bytes, at + 6) >>> 0}`;
  return null;
}

/** The blocks count from the initial sequence number of who is told of them. */
function sackWord(bytes: Uint8Array, from: number, end: number, acknowledged: number): string {
  const blocks: string[] = [];
  for (let at = from; at < end; at += 8) {
    blocks.push(
      `${(read32(bytes, at) - acknowledged) >>> 0}:${(read32(bytes, at + 4) - acknowledged) >>> 0}`,
    );
  }
  return `sack ${blocks.join(" ")}`;
}
