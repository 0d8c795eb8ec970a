/** Who is measured on which device, and how the peers are built. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ADDRESS, KERNEL, lastLine, type Server } from "./arena.ts";
import type { DeviceType } from "./floor-link.ts";

const here = import.meta.dir;
const BUILD_TIMEOUT_MS = 300_000;
const MASK = "255.255.255.0";

/** What stands in a row's name, and what ratios are taken between. */
export const FLOOR = "floor";
export const LOOP = "tapwire, loop with `wait`";
export const EVENTS = "tapwire, event loop";
/** The other way than the default, which is the faster. */
export const RINGS = "tapwire, loop, `ring = true`";
export const NO_RINGS = "tapwire, loop, `ring = false`";
export const LWIP = "lwIP, tuned";
export const GVISOR = "gVisor";
export const GVISOR_GSO = "gVisor `-gso`";

/** Tapwire and the floor on one device; `directory` is for files that they need. */
export function ours(device: DeviceType, offload: boolean, directory: string): Server[] {
  const bun = process.execPath;
  const onDevice = (name: string) => ["--device", device, "--name", name];
  // A raw socket is on an interface that has the kernel at its other end: it gives out no address.
  const kernel = device === "raw" ? [] : ["--host-address", `${KERNEL}/24`];
  const flags = (name: string) => [
    ...onDevice(name),
    ...["--address", `${ADDRESS}/24`, ...kernel, offload ? "--offload" : "--no-offload"],
  ];
  const loop = join(here, "server-loop.ts");
  // It ends by itself should nobody kill it, and not before the last round.
  const patience = ["--seconds", "14400"];
  const example = join(here, "../examples/server.ts");
  const floor = join(here, "floor.ts");
  const one = { device, offload };
  const ring = offload;
  const otherWay: Server = {
    ...one,
    name: ring ? RINGS : NO_RINGS,
    command: (name) => [bun, loop, ...patience, "--config", ringConfig(name, offload, ring, directory)],
  };
  return [
    {
      ...one,
      name: FLOOR,
      command: (name) => [bun, floor, ...onDevice(name), ...(offload ? ["--offload"] : [])],
    },
    { ...one, name: LOOP, command: (name) => [bun, loop, ...patience, ...flags(name)] },
    ...(device === "raw" ? [otherWay] : []),
    {
      ...one,
      name: EVENTS,
      command: (name) => [bun, loop, ...patience, ...flags(name), "--events"],
    },
    { ...one, name: "tapwire, examples/server.ts", command: (name) => [bun, example, ...flags(name)] },
  ];
}

/** A file in the place of flags: for rings there is none. */
function ringConfig(name: string, offload: boolean, ring: boolean, directory: string): string {
  const path = join(directory, `${name}.toml`);
  const device = ['type = "raw"', `name = "${name}"`, `ring = ${ring}`, `offload = ${offload}`];
  const lines = ["[device]", ...device, "[interface]", `addresses = ["${ADDRESS}/24"]`, ""];
  writeFileSync(path, lines.join("\n"));
  return path;
}

/** Other stacks, as far as they can be built here; each knows TUN and TAP. */
export interface Peers {
  readonly lwip: string | null;
  readonly gvisor: string | null;
}

/** Builds the peers into a directory, or takes what was built there before. */
export async function buildPeers(directory: string): Promise<Peers> {
  const gvisor = join(directory, "gvisor-peer");
  const command = ["sh", join(here, "peers/gvisor/build.sh"), gvisor];
  return {
    lwip: await buildLwip(directory),
    gvisor: (await build("gVisor", gvisor, command)) ? gvisor : null,
  };
}

/** The program, or `null` where it can't be built. */
export async function buildLwip(directory: string): Promise<string | null> {
  const lwip = join(directory, "lwip-peer");
  const command = ["sh", join(here, "peers/lwip/build.sh"), lwip, "tuned"];
  return (await build("lwIP", lwip, command)) ? lwip : null;
}

/** Builds the program that makes the kernel's sockets send and receive. */
export async function buildClient(directory: string): Promise<string> {
  return buildProgram(join(directory, "kernel-client"), join(here, "kernel-client.c"));
}

/** Builds the program of `tun.ts`, which asks for more than bulk. */
export async function buildLoad(directory: string): Promise<string> {
  return buildProgram(join(directory, "kernel-load"), join(here, "tun/kernel-load.c"));
}

async function buildProgram(program: string, source: string): Promise<string> {
  const command = ["cc", "-O2", "-pthread", "-o", program, source];
  if (!(await build("the client", program, command)))
    throw new Error("There is no benchmark without a client.");
  return program;
}

async function build(name: string, output: string, command: string[]): Promise<boolean> {
  if (await Bun.file(output).exists()) return true;
  process.stderr.write(`building ${name}\n`);
  const { exitCode, stderr } = Bun.spawnSync(command, { timeout: BUILD_TIMEOUT_MS });
  if (exitCode !== 0)
    console.log(`${name} is left out, it could not be built: ${lastLine(stderr.toString())}\n`);
  return exitCode === 0;
}

/** The peers on one device; a raw socket they do not have. */
export function theirs(device: DeviceType, offload: boolean, peers: Peers): Server[] {
  const found: Server[] = [];
  const { lwip, gvisor } = peers;
  if (device === "raw") return found;
  const one = { device, offload };
  if (lwip !== null && !offload) {
    const command = (name: string) => [lwip, `--${device}`, name, "--addr", ADDRESS, "--mask", MASK];
    found.push({ ...one, name: LWIP, command });
  }
  if (gvisor !== null) {
    const command = (name: string) => [
      ...[gvisor, `-${device}`, name, "-addr", `${ADDRESS}/24`],
      ...(offload ? ["-gso"] : []),
    ];
    found.push({ ...one, name: offload ? GVISOR_GSO : GVISOR, command });
  }
  return found;
}
