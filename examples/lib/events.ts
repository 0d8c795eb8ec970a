import type { Device, DeviceEvent } from "../../src/index.ts";

/** What befalls devices, in words. */

/** A sentence for standard error. */
export function describeEvent(event: DeviceEvent, name: string): string {
  switch (event.type) {
    case "up":
      return `${name} is up.`;
    case "down":
      return `${name} is down: nothing passes until it is up again.`;
    case "removed":
      return `${name} was removed: waiting for it to come back.`;
    case "mtu":
      return `${name} has an MTU of ${event.mtu} now.`;
    case "error":
      return event.error.message;
  }
}

/** Prints what befalls a host's devices, for `open`. */
export function printEvents(
  opened: readonly { readonly device: Device; readonly name: string | null }[],
): (event: DeviceEvent, device: Device) => void {
  return (event, device) => {
    const name = opened.find((each) => each.device === device)?.name ?? "The device";
    process.stderr.write(`${describeEvent(event, name)}\n`);
  };
}
