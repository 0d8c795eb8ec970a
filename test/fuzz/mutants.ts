import { MUTATIONS, Mutator } from "../../devices/fuzz-mutate.ts";
import { Frame } from "../../src/device.ts";
import { write16, write32 } from "../../src/wire/bytes.ts";
import { ipv4HeaderLength, PROTOCOL_TCP } from "../../src/wire/ipv4.ts";
import type { Corpus } from "./corpus.ts";
import type { Dice } from "./dice.ts";
import { PEER_WORD, type Target, VICTIM_WORD } from "./target.ts";

const LARGEST_FRAME = 65_535 + 18;
const ETHERNET_HEADER = 14;

/** Frames of the corpus, sent to the victim or to its connection, with bytes, fields, lengths, options and ends spoiled. */
export class MutantMaker {
  private readonly dice: Dice;
  private readonly target: Target;
  private readonly corpus: Corpus;
  private readonly mutator: Mutator;
  private readonly original = new Frame(new Uint8Array(0));

  constructor(dice: Dice, target: Target, corpus: Corpus) {
    this.dice = dice;
    this.target = target;
    this.corpus = corpus;
    this.mutator = new Mutator(dice, target.medium, LARGEST_FRAME);
  }

  /** Writes a frame at `offset`, and returns its length. `link` is what an Ethernet frame for the victim begins with. */
  make(bytes: Uint8Array, offset: number, link: Uint8Array): number {
    const { dice, corpus, mutator, original } = this;
    const { medium } = this.target;
    const asFrame = medium === "ethernet" && dice.chance(1, 3);
    original.bytes = dice.pick(asFrame ? corpus.frames : corpus.packets);
    original.length = original.bytes.length;
    if (medium === "ethernet" && !asFrame) {
      bytes.set(link, offset);
      bytes.set(original.bytes, offset + ETHERNET_HEADER);
      original.bytes = bytes;
      original.offset = offset;
      original.length += ETHERNET_HEADER;
    } else {
      original.offset = 0;
    }
    mutator.copy(original);
    if (dice.chance(15, 16)) this.retarget(asFrame);
    mutator.remember();
    for (let count = dice.below(4); count > 0; count--) mutator.apply(dice.pick(MUTATIONS));
    if (dice.chance(7, 8)) mutator.fixChecksums();
    const { frame } = mutator;
    bytes.set(frame.bytes.subarray(frame.offset, frame.offset + frame.length), offset);
    return frame.length;
  }

  /** To the victim, mostly from its peer, and where it is a segment, with the connection's ports. */
  private retarget(asFrame: boolean): void {
    const { dice, target } = this;
    const { bytes, offset, length } = this.mutator.frame;
    if (asFrame) bytes.set([2, 0, 0, 0, 0, 1], offset);
    const ip = offset + (target.medium === "ethernet" ? ETHERNET_HEADER : 0);
    const end = offset + length;
    if (ip + 24 > end || bytes[ip] >> 4 !== 4) return;
    write32(bytes, ip + 16, VICTIM_WORD);
    if (dice.chance(7, 8)) write32(bytes, ip + 12, PEER_WORD);
    const at = ip + ipv4HeaderLength(bytes, ip);
    if (bytes[ip + 9] !== PROTOCOL_TCP || at + 4 > end || dice.chance(1, 8)) return;
    write16(bytes, at, target.remotePort);
    write16(bytes, at + 2, target.localPort);
  }
}
