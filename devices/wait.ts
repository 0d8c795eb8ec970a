import type { Device } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { POLLIN, PollSet } from "./linux/poll.ts";

/**
 * What a device has that can be waited for together with others. A wrapper passes its device's on: see
 * {@link descriptorsOf}.
 */
export interface Pollable {
  /** What poll(2) is to wait for before `wait(0)` is worth a call. It may be different each time. */
  readonly descriptors?: readonly number[] | undefined;
  /** When `wait(0)` is worth a call whatever they say, in ms of `performance.now()`; `Infinity` or nothing for never. */
  readonly wakeAt?: number;
}

/** The descriptors that a device waits for, or `undefined` where it has none. */
export function descriptorsOf(device: Device & Pollable): readonly number[] | undefined {
  return device.descriptors;
}

/** When a device has something to do, in ms of `performance.now()`; `Infinity` for never. */
export function wakeAtOf(device: Device & Pollable): number {
  return device.wakeAt ?? Number.POSITIVE_INFINITY;
}

let poll: PollSet | null = null;

/**
 * Blocks until one of the devices is readable, or until `timeoutMs` have passed: the `wait` of several devices, for a
 * program that polls in a loop of its own. It returns early, with `false`, when something else befell one of them, when
 * one has something to do (see `wakeAt`), and may do so for nothing. Of time that is simulated it knows nothing: what
 * a wrapper delays by a `clock` of its own, it does not wait for.
 *
 * @throws StackError `ENOTSUP` for a device that cannot be waited for, such as one end of a memory pair: its other end
 *   is in the same thread, which would be blocked
 *
 * @example
 * ```ts
 * try {
 *   waitForAny(memoryPair(), 100);
 * } catch (error) {
 *   console.log(error.code); // ENOTSUP
 * }
 * ```
 */
export function waitForAny(devices: readonly (Device & Pollable)[], timeoutMs: number): boolean {
  for (let i = 0; i < devices.length; i++) {
    if (devices[i].wait !== undefined && descriptorsOf(devices[i]) !== undefined) continue;
    throw new StackError(
      "ENOTSUP",
      `Device number ${i} of those to wait for has no descriptor to block on, as TUN, TAP and raw devices have: call back through onReadable instead.`,
    );
  }
  poll ??= new PollSet();
  poll.clear();
  for (const device of devices) {
    for (const descriptor of descriptorsOf(device) ?? []) poll.add(descriptor, POLLIN);
  }
  // Before they are asked: one that finds room for frames then has nothing more to do, and its program has.
  const wakeAt = earliest(devices);
  // A device or a wrapper may keep a frame of which no descriptor knows.
  if (poll.wait(0) === 0 && !isAnyReadable(devices)) {
    poll.wait(Math.min(timeoutMs, wakeAt - performance.now()));
  }
  return isAnyReadable(devices);
}

function earliest(devices: readonly Device[]): number {
  let at = Number.POSITIVE_INFINITY;
  for (const device of devices) at = Math.min(at, wakeAtOf(device));
  return at;
}

/** `wait(0)` is where a device looks at its own, and a wrapper at what it keeps. */
function isAnyReadable(devices: readonly Device[]): boolean {
  let any = false;
  for (const device of devices) any = device.wait?.(0) === true || any;
  return any;
}
