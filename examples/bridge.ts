/** A learning switch between Ethernet devices: TAP interfaces, raw sockets on interfaces that exist, or both. */

import { parseArgs } from "node:util";
import { type Config, type OpenedDevice, openDevices } from "../devices/index.ts";
import { Bridge } from "./lib/bridge.ts";
import { DEVICE_USAGE, describeDevice, deviceFlags, numberFlag, run, UsageError } from "./lib/command.ts";
import { describeEvent } from "./lib/events.ts";

const USAGE = `\
Usage: bun run examples/bridge.ts --config FILE [flags]

Connects the devices of a configuration as a switch does: it learns behind which one a station is, and passes frames on.

  --stations COUNT       stations that are remembered (1024)
  --age SECONDS          how long, if nothing is heard of them (300)
${DEVICE_USAGE}
  -h, --help             print this

Two TAP interfaces:      sudo bun run examples/bridge.ts --config examples/config/bridge.toml
`;

function parseFlags(argv: string[]) {
  const { config, rest } = deviceFlags(argv);
  const text = { type: "string" } as const;
  const { values } = parseArgs({ args: rest, options: { stations: text, age: text } });
  if (config.devices.length < 2) {
    throw new UsageError("A bridge needs two devices: give --config a file with several [[device]] tables.");
  }
  if (
    config.devices.some(({ type, medium }) => type === "tun" || (type === "memory" && medium !== "ethernet"))
  ) {
    throw new UsageError("A bridge passes on Ethernet frames, which tun does not have: use tap and raw.");
  }
  const maxStations = numberFlag("--stations", values.stations ?? "1024", 1, 1 << 20);
  return { config, maxStations, ageSeconds: numberFlag("--age", values.age ?? "300", 1, 1e6) };
}

/** All devices; without offload where one of them lacks it, since the bridge does not cut super-segments. */
function openPorts(config: Config): OpenedDevice[] {
  const ports = openDevices(config, { promiscuous: true });
  const plain = ports.filter(({ device }) => device.capabilities.maxSuperSegment === 0);
  if (plain.length === 0 || plain.length === ports.length) return ports;
  for (const { device } of ports) device.close();
  process.stderr.write(`Offload is off on all devices, since ${describeDevice(plain[0])} has none.\n`);
  return openDevices(config, { promiscuous: true, offload: false });
}

/** Passes frames on as they come; after each batch the other ports and the rest of the program have their turn. */
function start(bridge: Bridge, { device }: OpenedDevice, port: number): void {
  const work = () => {
    if (bridge.forward(port)) setImmediate(work);
  };
  device.onReadable(work);
  work();
}

function report(bridge: Bridge, ports: readonly OpenedDevice[]): void {
  for (const [address, port] of bridge.table())
    console.log(`${address} is behind ${ports[port].name ?? port}`);
  const counts = Object.entries(bridge.counts).filter(([, count]) => count > 0);
  console.log(`Frames: ${counts.map(([name, count]) => `${count} ${name}`).join(", ") || "none"}.`);
}

await run(USAGE, async (argv) => {
  const { config, ...options } = parseFlags(argv);
  const ports = openPorts(config);
  try {
    const bridge = new Bridge(
      ports.map(({ device }) => device),
      options,
    );
    ports.forEach((port, i) => {
      start(bridge, port, i);
      port.device.onEvent?.((event) => {
        process.stderr.write(`${describeEvent(event, port.name ?? `Port ${i}`)}\n`);
        if (event.type === "down" || event.type === "removed") bridge.forget(i);
      });
    });
    console.log(`tapwire bridges ${ports.map(describeDevice).join("; ")}.`);
    await new Promise<void>((resolve) => {
      process.once("SIGINT", resolve);
      process.once("SIGTERM", resolve);
    });
    report(bridge, ports);
    return 0;
  } finally {
    for (const { device } of ports) device.close();
  }
});
