import type { Frame } from "../../src/device.ts";
import type { Staging } from "./flavours.ts";
import type { Item } from "./journal.ts";
import type { Action, Plan } from "./round.ts";
import type { World } from "./world.ts";

/** Writes down what another plan does. */
export class Recorder implements Plan {
  readonly items: Item[] = [];
  private readonly plan: Plan;

  constructor(plan: Plan) {
    this.plan = plan;
  }

  begin(world: World, staging: Staging): void {
    this.plan.begin(world, staging);
    world.device.witness = (kind, frame) => {
      if (kind === "attack") this.keep(frame);
    };
  }

  next(): Action | null {
    const action = this.plan.next();
    if (action?.kind === "wait") this.items.push(action);
    else if (action !== null) this.items.push({ kind: "burst", frames: [] });
    return action;
  }

  private keep({ bytes, offset, length }: Frame): void {
    const item = this.items.at(-1);
    if (item?.kind === "burst") (item.frames as Uint8Array[]).push(bytes.slice(offset, offset + length));
  }
}
