/**
 * Classic BPF (the filters of packet(7) and of tcpdump): an assembler of the few instructions that are needed here,
 * and the program that lets nothing through but what is meant for the stack.
 *
 * The kernel runs the program on every frame before it queues a copy for the socket; it returns how many bytes are
 * to be kept, 0 for none. It sees frames without the outermost 802.1Q tag, which Linux has taken out by then.
 */

import { read16, read32 } from "../../src/wire/bytes.ts";
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_VLAN } from "../../src/wire/ethernet.ts";
import { PACKET_OUTGOING } from "./packet-abi.ts";

/** Class, size and mode of the instructions as `linux/bpf_common.h` adds them up. */
const LOAD_WORD = 0x20;
const LOAD_HALF = 0x28;
const LOAD_BYTE = 0x30;
/** Of a load: its place is counted from the index register. */
const INDEXED = 0x20;
/** Into the index register: the length of an IPv4 header, whose first byte lies there. */
const LOAD_HEADER_LENGTH = 0xb1;
const LOAD_SCRATCH = 0x60;
const LOAD_SCRATCH_INDEX = 0x61;
const STORE_SCRATCH = 0x02;
const COPY_TO_INDEX = 0x07;
const COPY_FROM_INDEX = 0x87;
const WITH_INDEX = 0x08;
const ARITHMETIC = {
  "+": 0x04,
  "-": 0x14,
  "*": 0x24,
  "|": 0x44,
  "&": 0x54,
  "<<": 0x64,
  ">>": 0x74,
  "^": 0xa4,
};
const RETURN_IT = 0x16;
const JUMP_AT_LEAST = 0x35;
const JUMP_EQUAL = 0x15;
const JUMP_SET = 0x45;
const RETURN = 0x06;

/** An offset where there is no frame but what the kernel knows about it: here whether it comes or goes. */
const PACKET_TYPE = -0x1000 + 4;
const EVERYTHING = 0x40000;

/**
 * A step of a program, which computes with one number and has an index beside it. Jumps name the step to go on with: a
 * label, or `"next"`.
 */
export type Step =
  | { readonly load: 1 | 2 | 4; readonly at: number; readonly indexed?: boolean }
  | { readonly test: "=" | "&" | ">="; readonly value: number; readonly yes: string; readonly no: string }
  | { readonly label: string }
  | { readonly keep: number | "it" }
  | { readonly headerLength: number }
  | { readonly index: "it" | "to it" }
  | { readonly store: number }
  | { readonly restore: number; readonly to?: "index" }
  | { readonly compute: keyof typeof ARITHMETIC; readonly by: number | "index" };

const LOADS = { 1: LOAD_BYTE, 2: LOAD_HALF, 4: LOAD_WORD };
const JUMPS = { "=": JUMP_EQUAL, "&": JUMP_SET, ">=": JUMP_AT_LEAST };

/**
 * The program as an array of `struct sock_filter`: code, where to go on if so and if not, operand.
 *
 * @throws RangeError for a label that is missing or lies behind: classic BPF jumps forward only
 */
export function assemble(steps: readonly Step[]): Uint8Array {
  const labels = new Map<string, number>();
  let size = 0;
  for (const step of steps) {
    if ("label" in step) labels.set(step.label, size);
    else size++;
  }
  const program = new DataView(new ArrayBuffer(size * 8));
  let at = 0;
  const jump = (label: string): number => {
    if (label === "next") return 0;
    const distance = (labels.get(label) ?? -1) - at - 1;
    if (distance < 0 || distance > 255) throw new RangeError(`No jump from step ${at} to "${label}".`);
    return distance;
  };
  const emit = (code: number, yes: number, no: number, operand: number): void => {
    program.setUint16(at * 8, code, true);
    program.setUint8(at * 8 + 2, yes);
    program.setUint8(at * 8 + 3, no);
    program.setUint32(at * 8 + 4, operand >>> 0, true);
    at++;
  };
  for (const step of steps) {
    if ("load" in step) emit(LOADS[step.load] + (step.indexed ? INDEXED : 0), 0, 0, step.at);
    else if ("test" in step) emit(JUMPS[step.test], jump(step.yes), jump(step.no), step.value);
    else if ("headerLength" in step) emit(LOAD_HEADER_LENGTH, 0, 0, step.headerLength);
    else if ("index" in step) emit(step.index === "it" ? COPY_TO_INDEX : COPY_FROM_INDEX, 0, 0, 0);
    else if ("store" in step) emit(STORE_SCRATCH, 0, 0, step.store);
    else if ("restore" in step)
      emit(step.to === "index" ? LOAD_SCRATCH_INDEX : LOAD_SCRATCH, 0, 0, step.restore);
    else if ("compute" in step)
      emit(
        ARITHMETIC[step.compute] + (step.by === "index" ? WITH_INDEX : 0),
        0,
        0,
        step.by === "index" ? 0 : step.by,
      );
    else if ("keep" in step)
      emit(step.keep === "it" ? RETURN_IT : RETURN, 0, 0, step.keep === "it" ? 0 : step.keep);
  }
  return new Uint8Array(program.buffer);
}

/**
 * The filter for a stack whose hardware address is `address`: frames to it, ARP and IPv4 to everyone, and with
 * `multicast` what is for IPv4 and IPv6 groups. Never what this machine sends itself: kernels before 4.20 do not know
 * PACKET_IGNORE_OUTGOING.
 */
export function frameFilter(address: Uint8Array, multicast: boolean): Uint8Array {
  return assemble([
    { load: 1, at: PACKET_TYPE },
    { test: "=", value: PACKET_OUTGOING, yes: "drop", no: "next" },
    { load: 4, at: 2 },
    { test: "=", value: read32(address, 2), yes: "next", no: "group" },
    { load: 2, at: 0 },
    { test: "=", value: read16(address, 0), yes: "keep", no: "group" },

    { label: "group" },
    { load: 4, at: 2 },
    { test: "=", value: 0xffffffff, yes: "next", no: "multicast" },
    { load: 2, at: 0 },
    { test: "=", value: 0xffff, yes: "next", no: "multicast" },
    { load: 2, at: 12 },
    { test: "=", value: ETHERTYPE_ARP, yes: "keep", no: "next" },
    { test: "=", value: ETHERTYPE_IPV4, yes: "keep", no: "next" },
    // The inner one of two tags: whose type stands four bytes further on, which the stack may look at itself.
    { test: "=", value: ETHERTYPE_VLAN, yes: "keep", no: "drop" },

    { label: "multicast" },
    ...(multicast ? MULTICAST : []),

    { label: "drop" },
    { keep: 0 },
    { label: "keep" },
    { keep: EVERYTHING },
  ]);
}

/** The filter for whoever wants every frame that comes in, but not what this machine sends itself. */
export function incomingFilter(): Uint8Array {
  return assemble([
    { load: 1, at: PACKET_TYPE },
    { test: "=", value: PACKET_OUTGOING, yes: "drop", no: "next" },
    { keep: EVERYTHING },
    { label: "drop" },
    { keep: 0 },
  ]);
}

/** 01:00:5e (RFC 1112) and 33:33 (RFC 2464 section 7). */
const MULTICAST: readonly Step[] = [
  { load: 2, at: 0 },
  { test: "=", value: 0x3333, yes: "keep", no: "next" },
  { test: "=", value: 0x0100, yes: "next", no: "drop" },
  { load: 1, at: 2 },
  { test: "=", value: 0x5e, yes: "keep", no: "drop" },
];
