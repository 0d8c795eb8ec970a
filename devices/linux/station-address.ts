/** The hardware address of the stack's end, as programs give it. */

import { StackError } from "../../src/errors.ts";
import { systemRandom } from "../../src/random.ts";
import {
  formatHardwareAddress,
  HARDWARE_ADDRESS_LENGTH,
  localHardwareAddress,
  parseHardwareAddress,
} from "../../src/wire/ethernet.ts";

/**
 * The six bytes of an address that is given as text or as bytes.
 *
 * @throws StackError `EINVAL` for what is no address of a single station
 */
export function stationAddress(given: string | Uint8Array): Uint8Array {
  if (typeof given === "string") return parseHardwareAddress(given);
  if (given.length !== HARDWARE_ADDRESS_LENGTH) {
    throw new StackError("EINVAL", `hardwareAddress has ${given.length} bytes; give six of them, or text.`);
  }
  // The text's check is the address's check.
  return parseHardwareAddress(formatHardwareAddress(given));
}

/** A random one that is locally administered. */
export function randomStationAddress(): Uint8Array {
  const random = systemRandom();
  return localHardwareAddress(random.next(), random.next());
}
