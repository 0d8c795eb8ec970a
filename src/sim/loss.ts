import type { Random } from "../random.ts";
import type { GilbertElliott } from "./line-options.ts";

/** Whether something of this probability, 0 .. 1, happens. Nothing is drawn for what never does. */
export function happens(random: Random, probability: number): boolean {
  return probability > 0 && random.next() < probability * 0x1_0000_0000;
}

/** The state of a line that loses frames: see `GilbertElliott`. */
export class Loss {
  private bad = false;

  /** Whether the next frame is lost. */
  draw(random: Random, { p, r, lossWhenBad, lossWhenGood }: Required<GilbertElliott>): boolean {
    if (happens(random, this.bad ? r : p)) this.bad = !this.bad;
    return happens(random, this.bad ? lossWhenBad : lossWhenGood);
  }
}
