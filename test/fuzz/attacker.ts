import { Frame } from "../../src/device.ts";
import { write16, write32 } from "../../src/wire/bytes.ts";
import { IP_OFFSET, LINK_OFFSET, memory } from "./attack-memory.ts";
import { corpus } from "./corpus.ts";
import type { Dice } from "./dice.ts";
import { SegmentMaker } from "./grammar.ts";
import { ANSWERED, LUCKY, luckOf } from "./luck.ts";
import { MutantMaker } from "./mutants.ts";
import { NoiseMaker } from "./noise.ts";
import type { Attack } from "./round.ts";
import { PEER_HARDWARE, PEER_WORD, type Target, VICTIM_HARDWARE, VICTIM_WORD } from "./target.ts";

export const GENERATORS = ["segments", "mutants", "noise", "arp", "repeated"] as const;
export type Generator = (typeof GENERATORS)[number];

/** Makes frames of all kinds for one connection, one at a time in the same memory. What would hit by chance is left out. */
export class Attacker implements Attack {
  /** Frames that are still to be handed out. */
  left = 0;
  /** Frames handed out, those among them that are answered each time, and those left out. */
  made = 0;
  answered = 0;
  lucky = 0;
  readonly byGenerator: Record<Generator, number> = {
    segments: 0,
    mutants: 0,
    noise: 0,
    arp: 0,
    repeated: 0,
  };
  /** The time of the burst, in ms. */
  now = 0;
  private readonly dice: Dice;
  private readonly target: Target;
  private readonly segments: SegmentMaker;
  private readonly noise: NoiseMaker;
  private readonly mutants: MutantMaker;
  private readonly link = new Uint8Array(14);
  private readonly frame = new Frame(memory);

  constructor(dice: Dice, target: Target) {
    this.dice = dice;
    this.target = target;
    this.segments = new SegmentMaker(dice, target);
    this.noise = new NoiseMaker(dice, target);
    this.mutants = new MutantMaker(dice, target, corpus());
    this.link.set(VICTIM_HARDWARE);
    this.link.set(PEER_HARDWARE, 6);
    this.link[12] = 8;
    // The last round's frames must not show in this one's.
    memory.fill(0xa5);
  }

  get offset(): number {
    return this.frame.offset;
  }

  get length(): number {
    return this.frame.length;
  }

  next(frame: Frame): boolean {
    if (this.left === 0) return false;
    this.left--;
    const own = this.frame;
    for (;;) {
      this.make();
      const luck = luckOf(this.target, own.bytes, own.offset, own.length, this.now);
      if (luck === ANSWERED) this.answered++;
      if (luck !== LUCKY) break;
      this.lucky++;
    }
    this.made++;
    frame.bytes = own.bytes;
    frame.offset = own.offset;
    frame.length = own.length;
    frame.checksumOffloaded = false;
    frame.segmentSize = 0;
    return true;
  }

  private make(): void {
    const { dice, frame, target } = this;
    const kind = dice.below(64);
    if (kind === 0 && this.made > 0) {
      this.byGenerator.repeated++;
      return;
    }
    const isEthernet = target.medium === "ethernet";
    frame.offset = isEthernet ? LINK_OFFSET : IP_OFFSET;
    if (kind < 12) {
      this.byGenerator.mutants++;
      frame.length = this.mutants.make(memory, frame.offset, this.link);
      return;
    }
    if (kind < 14 && isEthernet) {
      this.byGenerator.arp++;
      frame.length = this.arp();
      return;
    }
    const isNoise = kind < 20;
    this.byGenerator[isNoise ? "noise" : "segments"]++;
    frame.length = (isNoise ? this.noise : this.segments).make(memory, IP_OFFSET);
    if (!isEthernet) return;
    frame.length += 14;
    memory.set(this.link, LINK_OFFSET);
    if (dice.chance(1, 32)) memory[LINK_OFFSET + dice.below(14)] = dice.below(256);
  }

  /** RFC 826: requests and replies about anybody, with lengths and types that may be wrong. */
  private arp(): number {
    const { dice } = this;
    memory.set(this.link, LINK_OFFSET);
    if (dice.chance(1, 2)) memory.fill(0xff, LINK_OFFSET, LINK_OFFSET + 6);
    const at = LINK_OFFSET + 14;
    write16(memory, at - 2, 0x0806);
    write32(memory, at, 0x0001_0800);
    write32(memory, at + 4, 0x0604_0001 + dice.below(2));
    for (let i = at + 8; i < at + 28; i++) memory[i] = dice.chance(1, 2) ? 2 : dice.below(256);
    const neighbour = (PEER_WORD & ~0xff) | dice.below(256);
    write32(memory, at + 14, dice.chance(1, 4) ? dice.word() : neighbour);
    write32(memory, at + 24, dice.chance(1, 2) ? VICTIM_WORD : neighbour);
    if (dice.chance(1, 8)) memory[at + dice.below(8)] = dice.below(256);
    return dice.chance(1, 8) ? dice.below(60) : 14 + 28;
  }
}
