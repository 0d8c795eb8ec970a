import { StackError } from "../../../errors.ts";
import { Bbr } from "./bbr.ts";
import type { CongestionControl, CongestionControlName } from "./control.ts";
import { Cubic } from "./cubic.ts";
import { NewReno } from "./newreno.ts";

/** The names that `createCongestionControl` accepts. */
export const CONGESTION_CONTROLS: readonly CongestionControlName[] = ["cubic", "newreno", "bbr"];

/**
 * A new control, for one connection.
 *
 * @param toleratedLoss for BBR: the loss rate of a round trip that is not taken for congestion as long as
 *   round-trip times show no queue
 * @throws StackError EINVAL when there is none of this name
 * @example
 * ```ts
 * createCongestionControl("cubic").name; // cubic
 * ```
 */
export function createCongestionControl(name: CongestionControlName, toleratedLoss = 0): CongestionControl {
  if (name === "cubic") return new Cubic();
  if (name === "newreno") return new NewReno();
  if (name === "bbr") return new Bbr(toleratedLoss);
  throw unknownControl(name);
}

/** @throws StackError EINVAL when there is no congestion control of this name */
export function validateCongestionControl(name: string): CongestionControlName {
  const found = CONGESTION_CONTROLS.find((known) => known === name);
  if (found === undefined) throw unknownControl(name);
  return found;
}

function unknownControl(name: unknown): StackError {
  const names = CONGESTION_CONTROLS.map((known) => `"${known}"`).join(", ");
  return new StackError("EINVAL", `there is no congestion control "${name}": use one of ${names}`);
}
