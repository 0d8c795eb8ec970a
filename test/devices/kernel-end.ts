import { openTap } from "../../devices/tap.ts";
import { openTun, type TunDevice, type TunOptions } from "../../devices/tun.ts";
import { type Device, type DeviceEvent, Frame } from "../../src/device.ts";
import { open } from "../../src/index.ts";
import type { Namespace } from "../support/system.ts";

/** For tests of devices whose other end is the kernel's. */

export type Kind = "tun" | "tap";
export const KINDS: readonly Kind[] = ["tun", "tap"];

/** The kernel's address and the stack's. */
export const KERNEL = "192.168.69.100";
export const STACK = "192.168.69.1";

export function openKind(ns: Namespace, kind: Kind, options: TunOptions = {}): TunDevice {
  const all = { name: "wire0", hostAddress: `${KERNEL}/24`, ...options };
  return ns.inside(() => (kind === "tun" ? openTun(all) : openTap(all)));
}

/** Opens a device in the namespace and closes it behind the body. */
export async function withKind(
  ns: Namespace,
  kind: Kind,
  options: TunOptions,
  body: (device: TunDevice) => Promise<void> | void,
): Promise<void> {
  const device = openKind(ns, kind, options);
  try {
    await body(device);
  } finally {
    device.close();
  }
}

/**
 * A stack on the device that answers pings, and TCP on port 7 with what it is sent. The body gets what befalls the
 * device, as `recordEvents` has it.
 */
export async function withEcho(device: Device, body: (events: string[]) => Promise<void>): Promise<void> {
  const events: string[] = [];
  const onDeviceEvent = (event: DeviceEvent) => record(events, event);
  const host = await open({ device, addresses: [`${STACK}/24`], onDeviceEvent });
  try {
    const listener = host.listen({ port: 7 });
    void (async () => {
      for await (const connection of listener) {
        connection.readable.pipeTo(connection.writable).catch(() => {});
      }
    })();
    await body(events);
  } finally {
    await host.close();
  }
}

/** The types of what befalls the device from now on; an MTU with its value, an error with its code and sentence. */
export function recordEvents(device: Device): string[] {
  const events: string[] = [];
  device.onEvent!((event) => record(events, event));
  return events;
}

function record(events: string[], event: DeviceEvent): void {
  // The kernel sets an interface down before it removes it, and whether that is heard of by itself is chance.
  if (event.type === "removed" && events.at(-1) === "down") events.pop();
  if (event.type === "mtu") events.push(`mtu ${event.mtu}`);
  else if (event.type === "error") events.push(`error ${event.error.code} ${event.error.message}`);
  else events.push(event.type);
}

/** Reads and forgets whatever comes, as a stack with no sockets would. */
export function drain(device: Device): void {
  const frame = new Frame(new Uint8Array(0));
  device.onReadable(() => {
    while (device.receive(frame));
  });
}

/** Sends `size` bytes to port 7 of the stack, in a namespace, and compares what comes back. */
export function echoClient(size: number, pauseMs = 0): string[] {
  const script = `
import socket, threading, os, hashlib, time
size, pause = ${size}, ${pauseMs} / 1000
data = os.urandom(1 << 16)
s = socket.create_connection(("${STACK}", 7), timeout=10)
print("connected", flush=True)
sent = hashlib.sha256()
def send():
    left = size
    while left > 0:
        part = data[:min(left, len(data))]
        s.sendall(part); sent.update(part); left -= len(part)
        if pause: time.sleep(pause)
    s.shutdown(socket.SHUT_WR)
thread = threading.Thread(target=send); thread.start()
got, count = hashlib.sha256(), 0
while True:
    part = s.recv(1 << 16)
    if not part: break
    got.update(part); count += len(part)
thread.join()
print(count, "the same" if got.digest() == sent.digest() else "different")
`;
  return ["python3", "-c", script];
}

/** One of the kernel's counters of /proc/net/snmp in the namespace, such as `Tcp: InCsumErrors`. */
export async function kernelCounter(ns: Namespace, group: string, name: string): Promise<number> {
  const lines = (await ns.ok(["cat", "/proc/thread-self/net/snmp"])).split("\n");
  const [names, values] = lines.filter((line) => line.startsWith(`${group}:`)).map((line) => line.split(" "));
  return Number(values[names.indexOf(name)]);
}
