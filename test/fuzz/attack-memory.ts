import type { Medium } from "../../src/device.ts";
import { frameMemory } from "../../src/wire/frame-memory.ts";

/** Where a link's header and an IP header begin: the latter on a multiple of four, as every device has it. */
export const LINK_OFFSET = 2;
export const IP_OFFSET = 16;

/** Where an attacker's frames are, one at a time: what is read before the next one is made. One for all rounds. */
export const memory = frameMemory(IP_OFFSET + 65_535 + 256);

/** Where a frame begins. */
export function offsetOf(medium: Medium): number {
  return medium === "ethernet" ? LINK_OFFSET : IP_OFFSET;
}
