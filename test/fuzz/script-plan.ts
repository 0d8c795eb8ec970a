import type { Frame } from "../../src/device.ts";
import { memory, offsetOf } from "./attack-memory.ts";
import type { Staging } from "./flavours.ts";
import type { Item } from "./journal.ts";
import { ANSWERED, LUCKY, luckOf } from "./luck.ts";
import type { Action, Attack, Plan } from "./round.ts";
import type { Target } from "./target.ts";
import type { World } from "./world.ts";

/** An attack as a journal has it. What would hit by chance, now that something before it is missing, is left out here, too. */
export class ScriptPlan implements Plan {
  private readonly items: readonly Item[];
  private at = 0;
  private attack: Recorded | null = null;

  constructor(items: readonly Item[]) {
    this.items = items;
  }

  begin(world: World, _staging: Staging): void {
    this.attack = new Recorded(world.target);
  }

  next(): Action | null {
    if (this.at === this.items.length || this.attack === null) return null;
    const item = this.items[this.at++];
    if (item.kind === "wait") return item;
    this.attack.frames = item.frames;
    this.attack.at = 0;
    return { kind: "burst", attack: this.attack };
  }
}

class Recorded implements Attack {
  frames: readonly Uint8Array[] = [];
  at = 0;
  answered = 0;
  now = 0;
  length = 0;
  readonly offset: number;
  private readonly target: Target;

  constructor(target: Target) {
    this.target = target;
    this.offset = offsetOf(target.medium);
  }

  next(frame: Frame): boolean {
    const { offset } = this;
    while (this.at < this.frames.length) {
      const recorded = this.frames[this.at++];
      memory.set(recorded, offset);
      const luck = luckOf(this.target, memory, offset, recorded.length, this.now);
      if (luck === LUCKY) continue;
      if (luck === ANSWERED) this.answered++;
      frame.bytes = memory;
      frame.offset = offset;
      frame.length = recorded.length;
      this.length = recorded.length;
      frame.checksumOffloaded = false;
      frame.segmentSize = 0;
      return true;
    }
    return false;
  }
}
