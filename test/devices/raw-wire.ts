import { openRaw, type RawDevice, type RawOptions } from "../../devices/raw.ts";
import { formatHardwareAddress } from "../../src/wire/ethernet.ts";
import type { Namespace } from "../support/system.ts";
import { receiveBytes } from "./frames.ts";

/** For tests of raw devices: a veth pair whose one end, `wire0`, the kernel talks at, and a device on the other. */

export const KERNEL = "192.168.69.100";
export const STACK = "192.168.69.1";
export const OURS = "02:00:00:00:00:07";

/** Makes the pair `wire0` and `wire1`; the kernel has an address on `wire0`. */
export async function wire(ns: Namespace): Promise<void> {
  await ns.veth("wire0", "wire1");
  await ns.ok(["ip", "address", "add", `${KERNEL}/24`, "dev", "wire0"]);
}

/** Makes the pair, opens a device on `wire1`, and closes it behind the body. */
export async function withRaw(
  ns: Namespace,
  options: Partial<RawOptions>,
  body: (device: RawDevice) => Promise<void> | void,
): Promise<void> {
  await wire(ns);
  const device = ns.inside(() => openRaw({ name: "wire1", hardwareAddress: OURS, ...options }));
  try {
    await body(device);
  } finally {
    device.close();
  }
}

/** The six bytes of an interface's own hardware address. */
export async function hardwareAddressOf(ns: Namespace, name: string): Promise<number[]> {
  const [{ address }] = JSON.parse(await ns.ok(["ip", "-json", "link", "show", "dev", name]));
  return bytesOf(address);
}

export function bytesOf(address: string | Uint8Array): number[] {
  const text = typeof address === "string" ? address : formatHardwareAddress(address);
  return text.split(":").map((part) => Number.parseInt(part, 16));
}

/** A frame of a type that nobody knows, numbered so that it is recognized. */
export function numbered(to: ArrayLike<number>, from: ArrayLike<number>, number: number): number[] {
  const frame = [...Array.from(to), ...Array.from(from), 0x88, 0xb5, number >> 8, number & 255];
  return [...frame, ...new Array(60 - frame.length).fill(number & 255)];
}

/** The next frame; waits for it. */
export function nextFrame(device: RawDevice): number[] {
  for (;;) {
    const frame = receiveBytes(device);
    if (frame !== null) return frame;
    if (!device.wait(1000)) throw new Error("no frame came");
  }
}
