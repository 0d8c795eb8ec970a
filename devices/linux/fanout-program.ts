/**
 * Which worker gets a frame: the program by which the kernel divides those of an interface among the packet sockets of a
 * fanout group (packet(7), PACKET_FANOUT_CBPF).
 *
 * The kernel's own ways to divide have no place for connections that are opened from here: a hash puts the answers to them
 * anywhere. This one knows that the local port or the echo identifier says whose they are, and takes a hash of the remote
 * address and both ports for what comes to ports of everybody. An ICMP error goes where the packet that it quotes came
 * from.
 */

import { ETHERTYPE_IPV4 } from "../../src/wire/ethernet.ts";
import { ICMP_ECHO_REPLY, ICMPV4_HEADER_LENGTH } from "../../src/wire/icmpv4.ts";
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../../src/wire/ipv4.ts";
import { EPHEMERAL_BITS, FIRST_EPHEMERAL, IDENTIFIER_BITS } from "../../src/wire/worker-share.ts";
import { assemble, type Step } from "./bpf.ts";

/** Offsets from the network header, wherever the frame begins for the program. */
const IP = -0x100000;
/** The EtherType, in which the kernel has taken a tag into account. */
const PROTOCOL = -0x1000;

/** Types of ICMP that quote a packet (RFC 792): unreachable, source quench, redirect, time exceeded, parameter problem. */
const QUOTING = [3, 4, 5, 11, 12];

/** Where the scratch memory has the two ports, the remote address, and the protocol of a quotation. */
const PORTS = 0;
const REMOTE = 1;
const QUOTED_PROTOCOL = 2;

/**
 * The program for `count` workers, in the order in which they join. Frames that are no IPv4 packets go to the first.
 *
 * @param key two numbers, odd and hard to guess, so that nobody outside can send all connections to one worker
 */
export function fanoutProgram(count: number, key: readonly [number, number]): Uint8Array {
  const share = (bits: number): Step[] => [
    { compute: "*", by: count },
    { compute: ">>", by: bits },
    { keep: "it" },
  ];
  return assemble([
    { load: 2, at: PROTOCOL },
    { test: "=", value: ETHERTYPE_IPV4, yes: "next", no: "first" },
    { load: 4, at: IP + 12 },
    { store: REMOTE },
    // Only the first fragment has ports, so all are divided by address.
    { load: 2, at: IP + 6 },
    { test: "&", value: 0x3fff, yes: "addresses", no: "next" },
    { headerLength: IP },
    { load: 1, at: IP + 9 },
    { test: "=", value: PROTOCOL_TCP, yes: "ports", no: "next" },
    { test: "=", value: PROTOCOL_UDP, yes: "ports", no: "next" },
    { test: "=", value: PROTOCOL_ICMP, yes: "next", no: "addresses" },

    { load: 1, at: IP, indexed: true },
    { test: "=", value: ICMP_ECHO_REPLY, yes: "identifier", no: "next" },
    ...QUOTING.map((value): Step => ({ test: "=", value, yes: "quotation", no: "next" })),
    { test: "&", value: 0, yes: "next", no: "addresses" },

    // The index moves from the ICMP message to the quoted packet, and from there behind its header.
    { label: "quotation" },
    { index: "to it" },
    { compute: "+", by: ICMPV4_HEADER_LENGTH },
    { index: "it" },
    { load: 4, at: IP + 16, indexed: true },
    { store: REMOTE },
    { load: 1, at: IP + 9, indexed: true },
    { store: QUOTED_PROTOCOL },
    { load: 1, at: IP, indexed: true },
    { compute: "&", by: 0x0f },
    { compute: "<<", by: 2 },
    { compute: "+", by: "index" },
    { index: "it" },
    { restore: QUOTED_PROTOCOL },
    { test: "=", value: PROTOCOL_ICMP, yes: "identifier", no: "next" },
    { test: "=", value: PROTOCOL_TCP, yes: "quoted ports", no: "next" },
    { test: "=", value: PROTOCOL_UDP, yes: "quoted ports", no: "addresses" },

    // We sent it, so the ports stand the other way round.
    { label: "quoted ports" },
    { load: 2, at: IP, indexed: true },
    { test: ">=", value: FIRST_EPHEMERAL, yes: "ephemeral", no: "next" },
    { store: PORTS },
    { load: 2, at: IP + 2, indexed: true },
    { compute: "<<", by: 16 },
    { restore: PORTS, to: "index" },
    { compute: "|", by: "index" },
    { store: PORTS },
    { test: "&", value: 0, yes: "next", no: "hash" },

    { label: "ports" },
    { load: 4, at: IP, indexed: true },
    { store: PORTS },
    { load: 2, at: IP + 2, indexed: true },
    { test: ">=", value: FIRST_EPHEMERAL, yes: "ephemeral", no: "hash" },

    { label: "ephemeral" },
    { compute: "-", by: FIRST_EPHEMERAL },
    ...share(EPHEMERAL_BITS),

    { label: "identifier" },
    { load: 2, at: IP + 4, indexed: true },
    ...share(IDENTIFIER_BITS),

    { label: "addresses" },
    { restore: REMOTE },
    { store: PORTS },

    { label: "hash" },
    { restore: PORTS },
    { compute: "*", by: key[0] },
    { restore: REMOTE, to: "index" },
    { compute: "^", by: "index" },
    { compute: "*", by: key[1] },
    { compute: ">>", by: 16 },
    ...share(16),

    { label: "first" },
    { keep: 0 },
  ]);
}
