import { parseAddress } from "../../../../src/wire/ip-address.ts";
import { IPV4_HEADER_LENGTH } from "../../../../src/wire/ipv4.ts";
import { finishTcpChecksum } from "../../../../src/wire/tcp.ts";
import { OUR_ADDRESS, PEER_ADDRESS } from "../../../support/tcp-host.ts";
import type { Place, Setting } from "./places.ts";

/** The segments of the table: their flags, and where they are aimed. */
export interface Kind extends Setting {
  /** tcpdump's letters. */
  readonly flags: string;
  /** RCV.NXT where nothing is said. */
  readonly seq?: (place: Place) => number;
  /** SND.UNA, which acknowledges nothing new, where nothing is said; `null`: there is no such number in the state. */
  readonly ack?: (place: Place) => number | null;
  readonly length?: (place: Place) => number;
  readonly win?: number;
  readonly urgent?: number;
  readonly tos?: number;
  /** By how much the timestamp is later than the last one that the peer has sent; `null`: it has none. */
  readonly later?: number | null;
  readonly options?: {
    readonly mss?: number;
    readonly wscale?: number;
    readonly ts?: readonly [number, number];
    readonly sack?: readonly (readonly [number, number])[];
  };
  /** Changes the packet before its checksum is made. */
  readonly patch?: (packet: Uint8Array) => void;
  readonly badChecksum?: boolean;
}

const HALF_THE_SPACE = 0x8000_0000;
/** Further than any window. */
const FAR = 100_000;
const CE = 3;

const nxt = (offset: number) => (p: Place) => p.rcvNxt + offset;
const edge = (offset: number) => (p: Place) => p.rcvNxt + p.rcvWnd + offset;
const irs = () => 0;
const ten = () => 10;
const everything = (p: Place) => p.sndNxt;
const beyond = (p: Place) => p.sndNxt + 1;
const tooOld = (p: Place) => p.sndUna - 65_536;

export const KINDS = {
  // 3.10.7.4, fifth: where the ACK field points.
  "ACK of nothing new": { flags: "." },
  "ACK of a part": {
    flags: ".",
    ack: (p) => (p.sndNxt - p.sndUna > 50 ? p.sndUna + 50 : null),
  },
  "ACK of all but our FIN": { flags: ".", ack: (p) => (p.finInFlight ? p.sndNxt - 1 : null) },
  "ACK of everything": { flags: ".", ack: everything },
  "ACK of everything, window 0": { flags: ".", ack: everything, win: 0 },
  "ACK of everything, another window": { flags: ".", ack: everything, win: 777 },
  "ACK beyond SND.NXT": { flags: ".", ack: beyond },
  "ACK far beyond SND.NXT": { flags: ".", ack: (p) => p.sndNxt + 0x7fff_ffff },
  "ACK older than SND.UNA": { flags: ".", ack: (p) => p.sndUna - 100, win: 5 },
  "ACK older than MAX.SND.WND": { flags: ".", ack: tooOld },
  "no flags": { flags: "" },
  "no flags, with text": { flags: "", length: ten },

  // First: where the sequence number lies.
  "ACK at RCV.NXT+1": { flags: ".", seq: nxt(1) },
  "ACK at the window's last number": { flags: ".", seq: edge(-1) },
  "ACK at the right edge": { flags: ".", seq: edge(0) },
  "ACK far right": { flags: ".", seq: edge(FAR) },
  "ACK at RCV.NXT-1": { flags: ".", seq: nxt(-1) },
  "ACK far left": { flags: ".", seq: nxt(-FAR) },
  "ACK half the space away": { flags: ".", seq: nxt(HALF_THE_SPACE) },

  // Seventh: text.
  "text in order": { flags: ".", length: ten },
  "text in order, PSH": { flags: "P.", length: ten },
  "text in order, ACK of everything": { flags: "P.", ack: everything, length: ten },
  "text without ACK": { flags: "P", length: ten },
  "text with an ACK beyond SND.NXT": { flags: "P.", ack: beyond, length: ten },
  "text with an ACK older than MAX.SND.WND": { flags: "P.", ack: tooOld, length: ten },
  "text partly left": { flags: "P.", seq: nxt(-5), length: ten },
  "text partly right": { flags: "P.", length: (p) => p.rcvWnd + 5 },
  "text wider than the window": { flags: "P.", seq: nxt(-5), length: (p) => p.rcvWnd + 10 },
  "text ahead of a gap": { flags: "P.", seq: nxt(100), length: ten },
  "text ahead of a gap, partly right": { flags: "P.", seq: edge(-5), length: ten },
  "the window's last byte": { flags: "P.", seq: edge(-1), length: () => 1 },
  "text wholly left": { flags: "P.", seq: nxt(-10), length: ten },
  "text wholly left, without ACK": { flags: "P", seq: nxt(-10), length: ten },
  "text wholly right": { flags: "P.", seq: edge(0), length: ten },
  "text far left": { flags: "P.", seq: nxt(-FAR), length: ten },
  "text far right": { flags: "P.", seq: edge(FAR), length: ten },

  // Eighth: FIN.
  "FIN in order": { flags: "F." },
  "FIN in order, ACK of everything": { flags: "F.", ack: everything },
  "FIN in order behind text": { flags: "FP.", length: ten },
  "FIN in order behind old text": { flags: "F.", seq: nxt(-5), length: () => 5 },
  "FIN without ACK": { flags: "F" },
  "FIN with an ACK beyond SND.NXT": { flags: "F.", ack: beyond },
  "FIN ahead of a gap": { flags: "F.", seq: nxt(100) },
  "FIN behind text that fills the window": { flags: "F.", length: (p) => p.rcvWnd },
  "FIN at RCV.NXT-1": { flags: "F.", seq: nxt(-1) },
  "FIN at the right edge": { flags: "F.", seq: edge(0) },
  "FIN far left": { flags: "F.", seq: nxt(-FAR) },
  "FIN far right": { flags: "F.", seq: edge(FAR) },

  // Fourth: SYN.
  "SYN at IRS": { flags: "S", seq: irs },
  "SYN at IRS, with text": { flags: "S", seq: irs, length: ten },
  "SYN at IRS, with FIN": { flags: "SF", seq: irs },
  "SYN at IRS, with FIN, PSH and URG": { flags: "SFPU", seq: irs, urgent: 7 },
  "SYN at IRS, with ECE and CWR": { flags: "SEW", seq: irs },
  "SYN at IRS, with options": { flags: "S", seq: irs, options: { mss: 1_000, wscale: 2 } },
  "SYN at RCV.NXT": { flags: "S" },
  "SYN in the window": { flags: "S", seq: nxt(1) },
  "SYN before the window, its text within": { flags: "S", seq: nxt(-5), length: ten },
  "SYN far right": { flags: "S", seq: edge(FAR) },
  "SYN far left": { flags: "S", seq: nxt(-FAR) },
  "SYN half the space away": { flags: "S", seq: nxt(HALF_THE_SPACE) },
  "SYN-ACK at IRS": { flags: "S.", seq: irs, ack: everything },
  "SYN-ACK at IRS, of nothing new": { flags: "S.", seq: irs },
  "SYN-ACK at IRS, beyond SND.NXT": { flags: "S.", seq: irs, ack: beyond },
  "SYN-ACK at IRS, with text": { flags: "SP.", seq: irs, ack: everything, length: ten },
  "SYN-ACK at IRS, with FIN": { flags: "SF.", seq: irs, ack: everything },
  "SYN-ACK in the window": { flags: "S.", seq: nxt(1), ack: everything },
  "SYN-ACK far right": { flags: "S.", seq: edge(FAR), ack: everything },

  // Second: RST.
  "RST at RCV.NXT": { flags: "R" },
  "RST at RCV.NXT, with text": { flags: "R", length: ten },
  "RST at RCV.NXT, with FIN": { flags: "FR" },
  "RST at RCV.NXT, with SYN": { flags: "SR" },
  "RST at RCV.NXT+1": { flags: "R", seq: nxt(1) },
  "RST at the window's last number": { flags: "R", seq: edge(-1) },
  "RST before the window, its text within": { flags: "R", seq: nxt(-5), length: ten },
  "RST at the right edge": { flags: "R", seq: edge(0) },
  "RST at RCV.NXT-1": { flags: "R", seq: nxt(-1) },
  "RST far left": { flags: "R", seq: nxt(-FAR) },
  "RST far right": { flags: "R", seq: edge(FAR) },
  "RST-ACK at RCV.NXT": { flags: "R.", ack: everything },
  "RST-ACK at RCV.NXT, beyond SND.NXT": { flags: "R.", ack: beyond },
  "RST-ACK at RCV.NXT, of nothing new": { flags: "R." },
  "RST-ACK in the window": { flags: "R.", seq: nxt(1), ack: everything },
  "RST-ACK far right": { flags: "R.", seq: edge(FAR), ack: everything },
  "all flags at RCV.NXT": { flags: "SFRPUEW.", ack: everything },

  // Sixth: URG, and what else a header may say.
  "URG, pointer 0": { flags: "U.", length: ten },
  "URG, pointer within the text": { flags: "U.", length: ten, urgent: 5 },
  "URG, pointer far beyond the text": { flags: "U.", length: ten, urgent: 0xffff },
  "URG without text": { flags: "U.", urgent: 3 },
  "URG without text and ACK": { flags: "U", urgent: 3 },
  "URG with FIN": { flags: "FU.", urgent: 1 },
  "URG, PSH and FIN without ACK": { flags: "FPU", urgent: 1 },
  "an urgent pointer without URG": { flags: ".", length: ten, urgent: 5 },
  "text with CE": { flags: ".", length: ten, tos: CE },
  "text with CWR and ECE": { flags: "PEW.", length: ten },
  ECE: { flags: "E." },
  "text with reserved bits": { flags: ".", length: ten, patch: (packet) => set(packet, 12, 0x0e, 0x0e) },

  // 3.1, MUST-6, MUST-7: options.
  "text with an unknown option": withOption([0xfd, 4, 1, 2]),
  "text with an option of length 0": withOption([2, 0, 1, 2]),
  "text with an option that is too long": withOption([2, 40, 1, 2]),
  "text with SYN's options": {
    flags: ".",
    length: ten,
    options: { mss: 100, wscale: 3, ts: [1, 1], sack: [[1, 2]] },
  },
  "a header length below 20": { flags: ".", length: ten, patch: (packet) => set(packet, 12, 0xf0, 0x40) },
  "a header longer than the segment": {
    flags: ".",
    length: ten,
    patch: (packet) => set(packet, 12, 0xf0, 0xf0),
  },
  "a wrong checksum": { flags: ".", length: ten, badChecksum: true },
  "RST with a wrong checksum": { flags: "R", badChecksum: true },

  // A receive window of 0.
  "window 0: ACK at RCV.NXT": { flags: ".", ack: everything, full: true },
  "window 0: ACK at RCV.NXT+1": { flags: ".", seq: nxt(1), full: true },
  "window 0: ACK at RCV.NXT-1": { flags: ".", seq: nxt(-1), full: true },
  "window 0: text at RCV.NXT": { flags: ".", length: ten, full: true },
  "window 0: text at RCV.NXT, ACK of everything": {
    flags: ".",
    ack: everything,
    length: () => 1,
    full: true,
  },
  "window 0: text at RCV.NXT+1": { flags: ".", seq: nxt(1), length: ten, full: true },
  "window 0: text partly left": { flags: ".", seq: nxt(-5), length: ten, full: true },
  "window 0: text wholly left": { flags: ".", seq: nxt(-10), length: ten, full: true },
  "window 0: FIN at RCV.NXT": { flags: "F.", full: true },
  "window 0: FIN behind text": { flags: "F.", length: ten, full: true },
  "window 0: URG at RCV.NXT": { flags: "U.", length: () => 1, urgent: 1, full: true },
  "window 0: SYN at RCV.NXT": { flags: "S", full: true },
  "window 0: RST at RCV.NXT": { flags: "R", full: true },
  "window 0: RST at RCV.NXT+1": { flags: "R", seq: nxt(1), full: true },

  // RFC 7323: timestamps.
  "timestamps: text in order": { flags: ".", length: ten, timestamps: true, later: 1 },
  "timestamps: text from the past": { flags: ".", length: ten, timestamps: true, later: -1 },
  "timestamps: text without one": { flags: ".", length: ten, timestamps: true, later: null },
  "timestamps: RST from the past": { flags: "R", timestamps: true, later: -1 },
  "timestamps: RST without one": { flags: "R", timestamps: true, later: null },
  "timestamps: later SYN far left": { flags: "S", seq: nxt(-FAR), timestamps: true, later: 1 },
  "timestamps: SYN of the same ms, far right": { flags: "S", seq: edge(FAR), timestamps: true, later: 0 },
  "timestamps: SYN of the same ms, far left": { flags: "S", seq: nxt(-FAR), timestamps: true, later: 0 },
  "timestamps: earlier SYN far right": { flags: "S", seq: edge(FAR), timestamps: true, later: -1 },
} as const satisfies Record<string, Kind>;

export type KindName = keyof typeof KINDS;

export const KIND_NAMES = Object.keys(KINDS) as KindName[];

export function kindOf(name: KindName): Kind {
  return KINDS[name];
}

/** The kinds with all of these flags, and none of those. */
export function kindsWith(flags: string, without = ""): KindName[] {
  return KIND_NAMES.filter((name) => {
    const kind: Kind = KINDS[name];
    return (
      [...flags].every((f) => kind.flags.includes(f)) && ![...without].some((f) => kind.flags.includes(f))
    );
  });
}

export function except(names: readonly KindName[], ...less: KindName[]): KindName[] {
  for (const name of less) if (!names.includes(name)) throw new Error(`${name} is not among them`);
  return names.filter((name) => !less.includes(name));
}

/** Sets the bits of `mask` in a byte of the TCP header. */
function set(packet: Uint8Array, at: number, mask: number, bits: number): void {
  packet[IPV4_HEADER_LENGTH + at] = (packet[IPV4_HEADER_LENGTH + at] & ~mask) | bits;
}

/** Text behind these four bytes of options, put where an MSS option stood. */
function withOption(bytes: readonly number[]): Kind {
  const patch = (packet: Uint8Array) => packet.set(bytes, IPV4_HEADER_LENGTH + 20);
  return { flags: ".", length: ten, options: { mss: 1_000 }, patch };
}

/** Makes the checksum of a packet that was changed. */
export function finish(packet: Uint8Array): void {
  const length = packet.length - IPV4_HEADER_LENGTH;
  const [from, to] = [parseAddress(PEER_ADDRESS), parseAddress(OUR_ADDRESS)];
  finishTcpChecksum(packet, IPV4_HEADER_LENGTH, length, from, to, true);
}
