/**
 * Every key of a configuration: what it holds, which devices have it, what holds without it, and what it is for. Files
 * are read, flags understood, usage texts and the table in CONFIG.md written by what stands here.
 */

import { MOST_WORKERS } from "../src/wire/worker-share.ts";
import {
  ADDRESS,
  BOOLEAN,
  CIDR,
  choice,
  HARDWARE_ADDRESS,
  INTERFACE_NAME,
  integer,
  type Kind,
  list,
  number,
  PATH,
  PROBABILITY,
  ROUTES,
  STATION,
} from "./config-values.ts";
import { MUTATIONS } from "./fuzz-mutate.ts";

/** One key of a table. */
export interface Key<T> {
  readonly kind: Kind<T>;
  /** What it does, in one line. */
  readonly doc: string;
  /** The value where none is given, on devices (or middleware) that have the key. */
  readonly default?: T;
  /** Without `default`: what happens where none is given. */
  readonly otherwise?: string;
  /** The types of device or of middleware, or an interface's medium, that have the key; all unless told. */
  readonly only?: readonly string[];
  readonly required?: boolean;
  /** The flag that overrides it; `--no-...` turns a boolean one off. */
  readonly flag?: string;
  /** The flag's value may be the same for several devices. */
  readonly shared?: boolean;
}

function key<T>(kind: Kind<T>, rest: NoInfer<Omit<Key<T>, "kind">>): Key<T> {
  return { kind, ...rest };
}

type Camel<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S;
type ValueOf<K> = K extends Key<infer T> ? T : never;
/** What a table of keys holds, with camelCase names. */
export type Values<Keys> = { readonly [K in keyof Keys & string as Camel<K>]?: ValueOf<Keys[K]> };

/** `host-address` is `hostAddress` in programs. */
export function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

const DEVICE_TYPES = ["memory", "tun", "tap", "raw"] as const;
const MIDDLEWARE_TYPES = ["trace", "pcap", "replay", "fault", "fuzz"] as const;
const LARGEST = Number.MAX_SAFE_INTEGER;
const SEED = integer(0, 0xffff_ffff);

/** What runs above the devices. Limits and defaults are the stack's. */
export const HOST = {
  workers: key(integer(1, MOST_WORKERS, "COUNT"), {
    doc: "threads, each with a stack of its own, that share the devices; tun, tap and raw only",
    default: 1,
    flag: "--workers",
  }),
  memory: key(integer(32_768, 2 ** 31 - 16_384, "BYTES"), {
    doc: "what all connections of a stack may buffer together, in pages of 16384 bytes that are made at the start",
    otherwise: "67108864",
  }),
  "max-sockets": key(integer(1, 2 ** 24, "COUNT"), {
    doc: "most sockets of a stack: connections, listeners, UDP and ICMP",
    otherwise: "65536",
  }),
  "max-awake": key(integer(0, 2 ** 24, "COUNT"), {
    doc: "of more TCP connections, those that are idle are kept in a third of the memory",
    otherwise: "8192",
  }),
  "receive-buffer": key(integer(1, 2 ** 30, "BYTES"), {
    doc: "most that one connection may have received and not read; it takes pages only for what is there",
    otherwise: "262144, which grows to 33554432 where the path needs it",
  }),
  "send-buffer": key(integer(1, 2 ** 30, "BYTES"), {
    doc: "most that one connection may have written and its peer not acknowledged; likewise",
    otherwise: "262144, which grows to 33554432",
  }),
} as const;

/** What carries the frames. */
export const DEVICE = {
  type: key(choice(DEVICE_TYPES, "TYPE"), {
    doc: "what carries the frames",
    default: "tun",
    flag: "--device",
  }),
  name: key(INTERFACE_NAME, {
    doc: "the interface: a new one, or for raw one that exists",
    only: ["tun", "tap", "raw"],
    otherwise: "chosen by the kernel; raw has to be told",
    flag: "--name",
  }),
  medium: key(choice(["ip", "ethernet"], "MEDIUM"), {
    doc: "what frames start with",
    only: ["memory"],
    default: "ip",
  }),
  mtu: key(integer(68, 65_535, "BYTES"), {
    doc: "the largest packet in bytes, without a link header; tap takes 65521 at most",
    only: ["memory", "tun", "tap"],
    default: 1500,
    flag: "--mtu",
    shared: true,
  }),
  "host-address": key(CIDR, {
    doc: "the kernel's own address on the interface",
    only: ["tun", "tap"],
    otherwise: "192.168.69.100/24 where the stack is in that network",
    flag: "--host-address",
  }),
  "hardware-address": key(HARDWARE_ADDRESS, {
    doc: "the stack's own hardware address",
    only: ["tap", "raw"],
    otherwise: "a random one, locally administered",
    flag: "--hardware-address",
  }),
  offload: key(BOOLEAN, {
    doc: "super-segments of up to 64 KiB and checksums left to the device",
    default: true,
    flag: "--offload",
    shared: true,
  }),
  "queue-length": key(integer(1, 65_536, "FRAMES"), {
    doc: "frames that wait to be received before more are lost",
    only: ["memory", "tun", "tap"],
    otherwise: "256 in memory, else 8192",
  }),
  ring: key(BOOLEAN, {
    doc: "frames go through rings in shared memory instead of system calls",
    only: ["raw"],
    otherwise: "`false` with offload, `true` without: the faster",
  }),
  multicast: key(BOOLEAN, {
    doc: "frames to IPv4 and IPv6 groups are received, too",
    only: ["raw"],
    default: false,
  }),
  "bypass-queue": key(BOOLEAN, {
    doc: "frames go to the driver without the interface's queue",
    only: ["raw"],
    default: false,
  }),
  "buffer-size": key(integer(4096, 1 << 30), {
    doc: "bytes that may wait in the kernel, each way",
    only: ["raw"],
    default: 4 << 20,
  }),
  capture: key(PATH, {
    doc: "record every frame that the device carries, for tcpdump and Wireshark",
    otherwise: "nothing is recorded",
    flag: "--capture",
    shared: true,
  }),
  trace: key(BOOLEAN, {
    doc: "print a line on standard error for every frame that the device carries",
    default: false,
    flag: "--trace",
    shared: true,
  }),
} as const;

/** What is put around a device, in the order written: the first is nearest to the device. */
export const MIDDLEWARE = {
  type: key(choice(MIDDLEWARE_TYPES, "TYPE"), { doc: "what is put around the device", required: true }),
  device: key(INTERFACE_NAME, {
    doc: "the name of the device that it is put around",
    otherwise: "every device",
  }),
  file: key(PATH, {
    doc: "the capture file to write, or to play",
    only: ["pcap", "replay"],
    required: true,
  }),
  "link-headers": key(BOOLEAN, {
    doc: "lines show hardware addresses and tags",
    only: ["trace"],
    default: false,
  }),
  snaplen: key(integer(1, 262_144), {
    doc: "bytes of each frame that are kept",
    only: ["pcap"],
    default: 262_144,
  }),
  "rotate-bytes": key(integer(1, LARGEST), {
    doc: "the largest file; then another one is begun",
    only: ["pcap"],
    otherwise: "one file",
  }),
  "rotate-seconds": key(number(0.001), {
    doc: "the longest time in one file",
    only: ["pcap"],
    otherwise: "one file",
  }),
  "rotate-files": key(integer(1, LARGEST), {
    doc: "the latest files that are kept of those",
    only: ["pcap"],
    otherwise: "all",
  }),
  speed: key(number(0.001), {
    doc: "how many times faster than it was captured",
    only: ["replay"],
    default: 1,
  }),
  direction: key(choice(["receive", "transmit", "both"], "DIRECTION"), {
    doc: "the frames that are meant: received or transmitted ones; for replay by who captured them",
    only: ["replay", "fault"],
    otherwise: "both for replay, receive for fault",
  }),
  destination: key(ADDRESS, {
    doc: "only packets to this address",
    only: ["replay"],
    otherwise: "all",
  }),
  "complete-checksums": key(BOOLEAN, {
    doc: "fill in TCP and UDP checksums, which a capture on the sending machine often lacks",
    only: ["replay"],
    default: false,
  }),
  "link-source": key(STATION, {
    doc: "where packets of a capture without Ethernet headers come from on an Ethernet device",
    only: ["replay"],
    otherwise: "such a capture is refused",
  }),
  "link-destination": key(STATION, {
    doc: "and where they go to",
    only: ["replay"],
    otherwise: "the stack's own hardware address",
  }),
  seed: key(SEED, { doc: "the same seed, the same faults", only: ["fault", "fuzz"], default: 1 }),
  drop: key(PROBABILITY, { doc: "a frame is lost", only: ["fault"], default: 0 }),
  duplicate: key(PROBABILITY, { doc: "it arrives twice", only: ["fault"], default: 0 }),
  swap: key(PROBABILITY, { doc: "it arrives after the next one", only: ["fault"], default: 0 }),
  reorder: key(PROBABILITY, { doc: "it is overtaken by some of the next ones", only: ["fault"], default: 0 }),
  "reorder-distance": key(integer(1, 65_536), {
    doc: "how many overtake",
    only: ["fault"],
    otherwise: "3",
  }),
  "reorder-ms": key(number(0), {
    doc: "in place of a distance, how late it arrives",
    only: ["fault"],
    otherwise: "by distance",
  }),
  corrupt: key(PROBABILITY, { doc: "one byte of it arrives changed", only: ["fault"], default: 0 }),
  "delay-ms": key(number(0), { doc: "how long every frame is on its way", only: ["fault"], default: 0 }),
  "jitter-ms": key(number(0), { doc: "and up to so much longer", only: ["fault"], default: 0 }),
  rate: key(number(0), {
    doc: "fault: bytes a second that the link carries; fuzz: the probability that a received frame is spoiled",
    only: ["fault", "fuzz"],
    otherwise: "fault: unlimited; fuzz: 0.1",
  }),
  queue: key(integer(0, LARGEST), {
    doc: "bytes that may wait for their turn on a link with a rate",
    only: ["fault"],
    otherwise: "262144",
  }),
  buffer: key(integer(1, 2 ** 30), {
    doc: "bytes of frames that are on their way, each direction",
    only: ["fault"],
    otherwise: "enough for most",
  }),
  "fix-checksums": key(PROBABILITY, {
    doc: "a spoiled frame gets right checksums",
    only: ["fuzz"],
    default: 0.75,
  }),
  beside: key(BOOLEAN, {
    doc: "a spoiled frame arrives behind the frame itself, not in its place",
    only: ["fuzz"],
    default: false,
  }),
  most: key(integer(1, 100), { doc: "mutations of one frame, at most", only: ["fuzz"], default: 3 }),
  mutations: key(list(choice(MUTATIONS, "NAME"), "list of names", '["bits", "field"]'), {
    doc: "the mutations that happen",
    only: ["fuzz"],
    default: MUTATIONS,
  }),
} as const;

/** The stack's side of a device. */
export const INTERFACE = {
  device: key(INTERFACE_NAME, {
    doc: "the name of the device beneath",
    otherwise: "the device at the same place in the file",
  }),
  addresses: key(list(CIDR, "list of addresses with prefix", '["192.168.69.1/24"]'), {
    doc: "the stack's own address",
    default: ["192.168.69.1/24"],
    flag: "--address",
  }),
  gateway: key(ADDRESS, {
    doc: "where packets to other networks go",
    otherwise: "they go nowhere",
    flag: "--gateway",
  }),
  routes: key(ROUTES, { doc: "other networks, and the neighbours that lead there", default: [] }),
  vlan: key(integer(1, 4094, "ID"), {
    doc: "the 802.1Q VLAN that the interface is on",
    only: ["ethernet"],
    otherwise: "frames without a tag",
  }),
  "conflict-detection": key(choice(["off", "fast", "rfc5227"], "MODE"), {
    doc: "ask whether an address is in use before it is used: for 200 ms, or for the seconds of RFC 5227",
    only: ["ethernet"],
    default: "fast",
  }),
  "max-neighbours": key(integer(1, 65_536), {
    doc: "neighbours whose hardware addresses are kept",
    only: ["ethernet"],
    default: 1024,
  }),
} as const;

export const TABLES = { device: DEVICE, middleware: MIDDLEWARE, interface: INTERFACE, host: HOST } as const;
export type TableName = keyof typeof TABLES;

export type DeviceType = (typeof DEVICE_TYPES)[number];
export type MiddlewareType = (typeof MIDDLEWARE_TYPES)[number];

/** The keys of a table, without their types: for whoever goes through all of them. */
export function keysOf(table: TableName): Readonly<Record<string, Key<unknown>>> {
  return TABLES[table];
}

/** Whether what is of `type` has the key. */
export function belongsTo(key: Key<unknown>, type: string): boolean {
  return key.only === undefined || key.only.includes(type);
}
