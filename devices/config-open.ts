/** From a configuration to open devices, with everything around them that it names. */

import type { Device } from "../src/device.ts";
import { StackError } from "../src/errors.ts";
import { type CaptureSink, capture } from "./capture.ts";
import { captureFile } from "./capture-file.ts";
import type { Config, DeviceConfig, InterfaceConfig, MiddlewareConfig } from "./config-complete.ts";
import type { DeviceType } from "./config-schema.ts";
import { fault } from "./fault.ts";
import { fuzz } from "./fuzz.ts";
import { memoryPair } from "./memory.ts";
import { openRaw } from "./raw.ts";
import { type ReplayOptions, replay } from "./replay.ts";
import { openTap } from "./tap.ts";
import { trace } from "./trace.ts";
import { openTun } from "./tun.ts";
import { WorkerDevice } from "./worker-device.ts";
import { type WorkerShare, workerFile } from "./worker-share.ts";

/** A device that a configuration describes, open. */
export interface OpenedDevice {
  readonly device: Device;
  /** The other end of a memory pair; `null` for a device whose other end is the kernel or a network. */
  readonly peer: Device | null;
  readonly type: DeviceType;
  /** Largest IP packet in bytes. */
  readonly mtu: number;
  /** The interface's name as the kernel knows it; `null` for a device that has none. */
  readonly name: string | null;
}

/** What `openConfig` makes of a configuration: options for `open`, and what is known of the device. */
export interface OpenedConfig extends OpenedDevice, Omit<InterfaceConfig, "device"> {}

export interface OpenConfigOptions {
  /** Where `trace` prints its lines; standard error unless told. */
  readonly print?: (line: string) => void;
  /** `false` where super-segments and unfinished checksums are unwelcome, whatever the configuration says. */
  readonly offload?: boolean;
  /** In a worker: which it is, and what it shares with the others; `runWorker` knows. */
  readonly share?: WorkerShare;
  /** `true` for every frame on a raw device's interface, and not only what is for the stack. */
  readonly promiscuous?: boolean;
}

/**
 * Opens the device that a configuration describes, with everything around it.
 *
 * @throws StackError as {@link openTun} and {@link captureFile} do, `EINVAL` where there are several devices; nothing stays
 *   open then
 */
export function openConfig(config: Config, options: OpenConfigOptions = {}): OpenedConfig {
  if (config.devices.length > 1) {
    throw new StackError(
      "EINVAL",
      `The configuration has ${config.devices.length} devices, and this program takes one: leave the others out.`,
    );
  }
  return openInterfaces(config, options)[0];
}

/**
 * Opens every device of a configuration that has an interface on it, for a host with several: the result is the list
 * that `open` takes as `interfaces`.
 *
 * @throws StackError as {@link openConfig} does
 */
export function openInterfaces(config: Config, options: OpenConfigOptions = {}): OpenedConfig[] {
  const { devices, interfaces } = config;
  if (interfaces.length < devices.length) {
    throw new StackError(
      "EINVAL",
      `The configuration has ${devices.length} devices and ${interfaces.length} interfaces: give each device an [[interface]] with addresses.`,
    );
  }
  const opened = openDevices(config, options);
  return interfaces.map(({ device, ...others }) => ({ ...others, ...opened[device] }));
}

/**
 * Opens every device of a configuration, for a program that has no use for addresses.
 *
 * @throws StackError as {@link openConfig} does
 */
export function openDevices(config: Config, options: OpenConfigOptions = {}): OpenedDevice[] {
  const opened: OpenedDevice[] = [];
  const around = new Surroundings(config.middleware, options.print ?? printError, options.share);
  try {
    for (const [i, device] of config.devices.entries()) {
      const wanted = options.offload === undefined ? device : { ...device, offload: options.offload };
      const above = config.interfaces.find((iface) => iface.device === i);
      const bare = openBare(wanted, above?.addresses ?? [], options.promiscuous === true, i, options.share);
      // Closed with the others if what follows fails.
      opened.push(bare);
      opened[i] = { ...bare, device: around.wrap(bare.device, device, i) };
    }
    return opened;
  } catch (error) {
    for (const { device, peer } of opened) {
      device.close();
      peer?.close();
    }
    throw error;
  }
}

/** @param addresses of the stack on it: those that the kernel must not have as well */
function openBare(
  given: DeviceConfig,
  addresses: readonly string[],
  promiscuous: boolean,
  number: number,
  share: WorkerShare | undefined,
): OpenedDevice {
  const line = share?.lines[number];
  const config = { ...given, ...line?.settings };
  const { type } = config;
  if (type === "memory") {
    const [device, peer] = memoryPair(config);
    return { device, peer, type, name: null, mtu: device.capabilities.mtu };
  }
  const device =
    type === "raw"
      ? openRaw({ ...config, name: config.name ?? "", addresses, promiscuous })
      : type === "tap"
        ? openTap(config)
        : openTun(config);
  const { mtu } = device.capabilities;
  const { name } = device;
  if (line === undefined || share === undefined) return { device, peer: null, type, name, mtu };
  const own = new WorkerDevice(device, line, share.worker);
  share.opened.push(own);
  return { device: own, peer: null, type, name, mtu };
}

/** What is put around devices; one capture file serves several of them. */
class Surroundings {
  private readonly middleware: readonly MiddlewareConfig[];
  private readonly print: (line: string) => void;
  private readonly share: WorkerShare | undefined;
  private readonly files = new Map<string, CaptureSink>();

  constructor(
    middleware: readonly MiddlewareConfig[],
    print: (line: string) => void,
    share: WorkerShare | undefined,
  ) {
    this.middleware = middleware;
    this.print = print;
    this.share = share;
  }

  /** Puts around a device what its own keys ask for, and then each middleware in its order. */
  wrap(inner: Device, config: DeviceConfig, index: number): Device {
    let device = inner;
    try {
      if (config.capture !== undefined) device = this.around(device, { type: "pcap", file: config.capture });
      if (config.trace) device = this.around(device, { type: "trace" });
      for (const middleware of this.middleware) {
        if ((middleware.device ?? index) === index) device = this.around(device, middleware);
      }
      return device;
    } catch (error) {
      device.close();
      throw error;
    }
  }

  private around(device: Device, middleware: MiddlewareConfig): Device {
    const { type, file = "" } = middleware;
    switch (type) {
      case "trace":
        return trace(device, this.print, { ...middleware, clock: () => performance.now() });
      case "pcap":
        return capture(device, this.sink(file, middleware), middleware);
      case "replay":
        return replay(device, file, { ...middleware, ...linkOf(middleware) });
      case "fault":
        return fault(device, middleware);
      case "fuzz":
        return fuzz(device, middleware);
    }
  }

  private sink(path: string, options: MiddlewareConfig): CaptureSink {
    let sink = this.files.get(path);
    if (sink === undefined) {
      // Two writers of one file would overwrite each other's records.
      sink = captureFile(
        this.share === undefined ? path : workerFile(path, this.share.worker.index),
        options,
      );
      this.files.set(path, sink);
    }
    return sink;
  }
}

/** The addresses for frames that are made of IP packets. */
function linkOf({ linkSource, linkDestination }: MiddlewareConfig): Pick<ReplayOptions, "link"> {
  if (linkSource === undefined) return {};
  const destination = linkDestination === undefined ? {} : { destination: linkDestination };
  return { link: { source: linkSource, ...destination } };
}

function printError(line: string): void {
  process.stderr.write(`${line}\n`);
}
