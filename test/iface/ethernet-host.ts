import type { StackError } from "../../src/errors.ts";
import type { Interface } from "../../src/iface/interface.ts";
import { seededRandom } from "../../src/random.ts";
import { type InterfaceOptions, Stack, type StackOptions } from "../../src/stack.ts";
import { NEVER } from "../../src/storage/deadline-heap.ts";
import {
  ARP_LENGTH,
  arpOperation,
  arpSenderAddress,
  arpSenderHardware,
  arpTargetAddress,
  arpTargetHardware,
  writeArp,
} from "../../src/wire/arp.ts";
import {
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ethernetHeaderLength,
  etherType,
  formatHardwareAddress,
  hasVlanTag,
  vlanId,
  writeEthernet,
} from "../../src/wire/ethernet.ts";
import { formatAddress, IpAddress, parseAddress } from "../../src/wire/ip-address.ts";
import { formatPacket } from "../../src/wire/print.ts";
import { EthernetDevice } from "../support/ethernet-device.ts";

/** A stack on an Ethernet link whose other stations are the test, in simulated time. */

export const OUR_MAC = "02:00:00:00:00:01";
export const OUR_IP = "10.0.0.1";
export const ROUTER_IP = "10.0.0.254";
export const ROUTER_MAC = "02:00:00:00:00:fe";
export const ALL = "ff:ff:ff:ff:ff:ff";
export const NONE = "00:00:00:00:00:00";

export interface Arp {
  readonly op: "request" | "reply";
  readonly from: string;
  readonly fromMac: string;
  readonly to: string;
  readonly toMac?: string;
}

export class EthernetHost {
  readonly device: EthernetDevice;
  readonly stack: Stack;
  readonly iface: Interface;
  readonly states: string[] = [];
  readonly conflicts: StackError[] = [];
  now = 1_000;

  constructor(
    options: Partial<InterfaceOptions> = {},
    stackOptions: StackOptions = {},
    mtu = 1_500,
    maxSuperSegment = 0,
  ) {
    this.device = new EthernetDevice(mac(OUR_MAC), mtu, maxSuperSegment);
    this.stack = new Stack({ random: seededRandom(7), maxSockets: 64, memory: 1 << 20, ...stackOptions });
    this.iface = this.stack.addInterface({
      device: this.device,
      addresses: [`${OUR_IP}/24`],
      conflictDetection: "off",
      ...options,
    });
    this.iface.onStateChange = () => this.states.push(`${this.iface.state} at ${this.now}`);
    this.iface.onConflict = (error) => this.conflicts.push(error);
  }

  /** Polls until nothing moves. */
  poll(): void {
    for (let rounds = 0; this.stack.poll(this.now) && rounds < 100; rounds++);
  }

  /** Lets the stack receive these frames. */
  receive(...frames: Uint8Array[]): void {
    this.device.inject(...frames);
    this.poll();
  }

  /** Lets the time pass, with a poll at each deadline; `at` says when what was sent, in ms from now. */
  pass(ms: number): { readonly at: number; readonly frame: string }[] {
    const start = this.now;
    const log: { at: number; frame: string }[] = [];
    const look = () => {
      this.poll();
      for (const frame of this.sent()) log.push({ at: Math.round(this.now - start), frame });
    };
    look();
    for (;;) {
      const next = this.stack.nextDeadline(this.now);
      if (next === NEVER || next > start + ms) break;
      this.now = Math.max(next, this.now + 0.001);
      look();
    }
    this.now = start + ms;
    look();
    return log;
  }

  /** What has been sent, a line each. */
  sent(): string[] {
    return this.device.take().map(describeFrame);
  }

  /** Makes the stack know a neighbour, by a datagram that it answers for. */
  learn(ip: string, hardware: string): void {
    const socket = this.stack.sockets.bindUdp();
    socket.send(new Uint8Array(1), parseAddress(ip), 9);
    this.poll();
    this.receive(arp({ op: "reply", from: ip, fromMac: hardware, to: OUR_IP, toMac: OUR_MAC }));
    socket.close();
    this.device.take();
  }
}

export function mac(text: string): Uint8Array {
  return Uint8Array.from(text.split(":"), (part) => Number.parseInt(part, 16));
}

/** A frame around `payload`. */
export function frameOf(
  payload: Uint8Array,
  {
    from,
    to = OUR_MAC,
    type = ETHERTYPE_IPV4,
    vlan = 0,
  }: { from: string; to?: string; type?: number; vlan?: number },
): Uint8Array {
  const frame = new Uint8Array(18 + payload.length);
  const header = writeEthernet(frame, 0, mac(to), 0, mac(from), 0, type, vlan);
  frame.set(payload, header);
  return frame.subarray(0, header + payload.length);
}

/** A frame with an ARP packet; requests go to everybody, replies to whom they are for, unless told. */
export function arp(fields: Arp, options: { to?: string; from?: string; vlan?: number } = {}): Uint8Array {
  const packet = new Uint8Array(ARP_LENGTH);
  const operation = fields.op === "request" ? 1 : 2;
  const toMac = fields.toMac ?? NONE;
  const [from, to] = [parseAddress(fields.from).w3, parseAddress(fields.to).w3];
  writeArp(packet, 0, operation, mac(fields.fromMac), from, mac(toMac), 0, to);
  const station = fields.op === "request" ? ALL : toMac;
  return frameOf(packet, { from: fields.fromMac, to: station, type: ETHERTYPE_ARP, ...options });
}

/** The frame in a line: who sends it to whom, and what. */
export function describeFrame(frame: Uint8Array): string {
  const header = ethernetHeaderLength(frame, 0);
  const tag = hasVlanTag(frame, 0) ? ` vlan ${vlanId(frame, 0)}` : "";
  return `${formatHardwareAddress(frame, 6)} > ${formatHardwareAddress(frame, 0)}${tag}: ${describePayload(frame, header)}`;
}

function describePayload(frame: Uint8Array, at: number): string {
  if (etherType(frame, 0) === ETHERTYPE_IPV4) return formatPacket(frame, at, frame.length - at);
  const ip = (word: number) => formatAddress(new IpAddress(4, 0, 0, 0xffff, word));
  const sender = `${ip(arpSenderAddress(frame, at))} (${formatHardwareAddress(frame, arpSenderHardware(at))})`;
  const target = `${ip(arpTargetAddress(frame, at))} (${formatHardwareAddress(frame, arpTargetHardware(at))})`;
  return `arp ${arpOperation(frame, at) === 1 ? "request" : "reply"} ${sender} to ${target}`;
}

/** The line of a question of ours. */
export function question(
  ip: string,
  { to = ALL, from = OUR_IP }: { to?: string; from?: string } = {},
): string {
  return `${OUR_MAC} > ${to}: arp request ${from} (${OUR_MAC}) to ${ip} (${NONE})`;
}
