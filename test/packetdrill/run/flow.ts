import type { Call, Packet, TcpBody } from "../script.ts";
import type { Relative } from "../wire/describe.ts";
import { FLAG_BITS, type LivePacket, type LiveTcp } from "../wire/live.ts";

const ACK = FLAG_BITS["."];
const SYN = FLAG_BITS.S;

/** How far the connection that a script talks about has come, as far as mapping its numbers needs. */
type Stage = "new" | "listening" | "connecting" | "synSent" | "synReceived" | "synAckSent" | "open";

/**
 * The connection under test: what its ports and sequence numbers are on the wire. A script has one at a time: that of the
 * last `connect`, or of the first packet behind the last `listen`.
 */
export class Flow implements Relative {
  readonly protocol: "tcp" | "udp" | "icmp";
  /** Of the call `socket` that made it; -1 for one of a listener. */
  readonly descriptor: number;
  stage: Stage = "new";
  /** 0 as long as it is not known. */
  localPort = 0;
  remotePort = 0;
  /** ISNs on the wire; the script's numbers for the stack's side count from its ISN, which is 0. */
  localIsn = 0;
  /** The peer's, as its SYN says it: numbers of its SYN are as the script has them, all others count from it. */
  remoteIsn = 0;
  remoteScriptIsn = 0;
  /** A SYN that came when there was a connection already, and may begin another. */
  private newcomer: number | null = null;
  /** Timestamps on the wire by those of the script. */
  private readonly timestamps = new Map<number, number>();
  /** The first pair. */
  private firstTimestamp: { script: number; live: number } | null = null;

  constructor(protocol: "tcp" | "udp" | "icmp", descriptor: number) {
    this.protocol = protocol;
    this.descriptor = descriptor;
  }

  /** Takes in the script's numbers of an expected packet, before the one on the wire is known. */
  expect(body: TcpBody): void {
    const isSyn = body.flags.includes("S") && !body.flags.includes(".");
    if (isSyn && this.stage === "connecting") this.stage = "synSent";
  }

  /** Whether the stack sent this packet for the connection; learns its port and ISN from a SYN. */
  owns(packet: LivePacket, remoteAddress: number): boolean {
    const { body, ip } = packet;
    if (ip.destination !== remoteAddress || body.protocol === "other") return false;
    if (body.protocol === "icmp") return this.protocol === "icmp";
    if (body.protocol !== this.protocol) return false;
    if (this.localPort === 0 && body.destinationPort === this.remotePort) this.learn(body.sourcePort);
    if (body.sourcePort !== this.localPort || body.destinationPort !== this.remotePort) return false;
    if (body.protocol === "tcp" && (body.flags & SYN) !== 0) this.learnIsn(body);
    return true;
  }

  private learn(port: number): void {
    this.localPort = port;
  }

  private learnIsn(tcp: LiveTcp): void {
    const isAck = (tcp.flags & ACK) !== 0;
    if (!isAck && this.stage === "synSent") this.localIsn = tcp.sequence;
    if (isAck && this.stage === "synReceived") {
      this.stage = "synAckSent";
      this.localIsn = tcp.sequence;
    }
    if (isAck && this.newcomer !== null && tcp.ack === (this.newcomer + 1) >>> 0) {
      this.remoteIsn = this.newcomer;
      this.remoteScriptIsn = this.newcomer;
      this.localIsn = tcp.sequence;
      this.newcomer = null;
    }
  }

  /** Takes in a packet of the script that is about to be put on the wire. */
  receive(body: TcpBody): void {
    const isSyn = body.flags.includes("S");
    const isAck = body.flags.includes(".");
    if (isSyn && this.stage === "synSent") {
      this.remoteIsn = body.sequence ?? 0;
      this.remoteScriptIsn = this.remoteIsn;
      if (isAck) this.stage = "open";
    } else if (isSyn && !isAck && this.stage === "open") {
      this.newcomer = body.sequence ?? 0;
    } else if (isAck && this.stage === "synAckSent") {
      this.stage = "open";
    }
  }

  /** A sequence number of ours as it is on the wire. */
  localToLive(sequence: number): number {
    return (sequence + this.localIsn) >>> 0;
  }

  remoteToLive(sequence: number, isSyn: boolean): number {
    return (sequence + this.remoteIsn - (isSyn ? this.remoteScriptIsn : 0)) >>> 0;
  }

  sequence(tcp: LiveTcp): number {
    return (tcp.sequence - this.localIsn) >>> 0;
  }

  ack(tcp: LiveTcp): number {
    return this.edge(tcp, tcp.ack);
  }

  edge(tcp: LiveTcp, edge: number): number {
    return (edge - this.remoteIsn + ((tcp.flags & SYN) !== 0 ? this.remoteScriptIsn : 0)) >>> 0;
  }

  /** Binds a timestamp of the script's to that on the wire. Returns how many ticks they differ more than the first did. */
  bindTimestamp(script: number, live: number): number {
    this.timestamps.set(script, live);
    this.firstTimestamp ??= { script, live };
    return (live - this.firstTimestamp.live - (script - this.firstTimestamp.script)) | 0;
  }

  /** The timestamp on the wire that a script's echo means, or `null`. */
  echoToLive(script: number, isScaled: boolean): number | null {
    const known = this.timestamps.get(script);
    if (known !== undefined) return known;
    if (!isScaled || this.firstTimestamp === null) return null;
    return (script - this.firstTimestamp.script + this.firstTimestamp.live) >>> 0;
  }
}

/** Which connection is under test, as calls and packets of the script change it. */
export class Flows {
  current: Flow | null = null;
  private readonly bound = new Map<number, number>();
  private readonly bindPort: number;
  private readonly connectPort: number;
  private nextPort = 49_152;

  constructor(bindPort: number, connectPort: number) {
    this.bindPort = bindPort;
    this.connectPort = connectPort;
  }

  /** A call is about to be made. */
  onCall(call: Call): void {
    const descriptor = descriptorOf(call);
    if (call.name === "socket") this.onSocket(call);
    if (call.name === "bind" && descriptor !== null)
      this.bound.set(descriptor, portOf(call.args[1]) ?? this.bindPort);
    if (call.name === "listen" && descriptor !== null && !isToFail(call)) {
      const flow = new Flow("tcp", descriptor);
      flow.stage = "listening";
      flow.localPort = this.bound.get(descriptor) ?? this.bindPort;
      this.current = flow;
    }
    const isDissolving = call.name === "connect" && mentions(call, "AF_UNSPEC");
    const opens =
      (call.name === "connect" && !isDissolving) ||
      (call.name === "sendto" && mentions(call, "MSG_FASTOPEN"));
    if (opens && descriptor !== null)
      this.onConnect(descriptor, portOf(call.args[call.name === "connect" ? 1 : 4]));
  }

  private onSocket(call: Call): void {
    if (call.result.kind !== "number" || call.result.value < 0n) return;
    const protocol = mentions(call, "SOCK_DGRAM") ? (mentions(call, "IPPROTO_ICMP") ? "icmp" : "udp") : "tcp";
    this.current = new Flow(protocol, Number(call.result.value));
    this.current.remotePort = protocol === "udp" ? this.connectPort : 0;
  }

  private onConnect(descriptor: number, port: number | null): void {
    const same = this.current?.descriptor === descriptor ? this.current : null;
    if (same !== null && same.protocol === "tcp" && same.stage !== "new") return;
    const flow = new Flow(same?.protocol ?? "tcp", descriptor);
    flow.stage = "connecting";
    flow.remotePort = port ?? this.connectPort;
    flow.localPort = this.bound.get(descriptor) ?? 0;
    this.current = flow;
  }

  /** The connection that an arriving packet is for: a new one, where the last is one that has not begun. */
  forArriving(packet: Packet): Flow {
    const { body } = packet;
    const { current } = this;
    if (body.protocol === "udp" && current?.protocol === "udp") {
      if (current.localPort === 0) current.localPort = this.bound.get(current.descriptor) ?? this.bindPort;
      return current;
    }
    const hasBegun = current !== null && current.stage !== "new" && current.stage !== "listening";
    if (current !== null && (hasBegun || body.protocol === "icmp")) return current;
    const flow = new Flow(body.protocol === "udp" ? "udp" : "tcp", -1);
    flow.localPort = current?.localPort || this.bound.get(current?.descriptor ?? -1) || this.bindPort;
    flow.remotePort = packet.ports?.source ?? this.nextPort++;
    if (body.protocol === "tcp") {
      flow.stage = "synReceived";
      flow.remoteIsn = body.sequence ?? 0;
      flow.remoteScriptIsn = flow.remoteIsn;
      // What is no SYN has numbers that count from an ISN nobody has said: 0.
      if (!body.flags.includes("S")) flow.remoteIsn = flow.remoteScriptIsn = 0;
    }
    this.current = flow;
    return flow;
  }
}

function descriptorOf(call: Call): number | null {
  const [first] = call.args;
  return first?.kind === "number" ? Number(first.value) : null;
}

/** The script has it fail: it begins no connection. */
function isToFail({ result }: Call): boolean {
  return result.kind === "number" && result.value < 0n;
}

function mentions(call: Call, name: string): boolean {
  return call.args.some((arg) => arg.kind === "flags" && arg.names.includes(name));
}

/** The port of an address that is spelled out. */
function portOf(value: Call["args"][number] | undefined): number | null {
  if (value?.kind !== "structure") return null;
  const port = value.members.find(({ name }) => name === "sin_port" || name === "sin6_port")?.value;
  if (port?.kind !== "function" || port.name !== "htons") return null;
  const [number] = port.args;
  return number?.kind === "number" ? Number(number.value) : null;
}
