export {
  type CapturedFrame,
  type CaptureInterface,
  type CaptureOptions,
  type CaptureSink,
  capture,
} from "./capture.ts";
export { type CaptureFileOptions, captureFile, pcapFile, pcapngFile } from "./capture-file.ts";
export type { ByteSource } from "./capture-source.ts";
export {
  type Config,
  type DeviceConfig,
  type DeviceType,
  type InterfaceConfig,
  loadConfig,
  type MiddlewareConfig,
  type MiddlewareType,
  type OpenConfigOptions,
  type OpenedConfig,
  type OpenedDevice,
  openConfig,
  openDevices,
  openInterfaces,
  parseConfig,
  type RouteConfig,
  type StackConfig,
} from "./config.ts";
export { CONFIG_USAGE, configFromFlags, configUsage } from "./config-flags.ts";
export { type Fate, type FaultCounts, type FaultOptions, type FaultyDevice, fault } from "./fault.ts";
export { type FuzzCounts, type FuzzingDevice, type FuzzOptions, fuzz } from "./fuzz.ts";
export type { Mutation } from "./fuzz-mutate.ts";
export { type MemoryOptions, memoryPair } from "./memory.ts";
export { type Observer, observe } from "./observe.ts";
export {
  type PacketCounts,
  type PacketDevice,
  type PacketDeviceOptions,
  packetDevice,
} from "./packet-device.ts";
export type { Framing } from "./packet-framing.ts";
export {
  overWebSocket,
  type PacketFunctions,
  type PacketSource,
  type StreamPair,
  type WebSocketLike,
} from "./packet-link.ts";
export {
  type StreamCounts,
  type StreamDevice,
  type StreamDeviceOptions,
  streamDevice,
} from "./packet-stream.ts";
export {
  checkNotKernels,
  type Fanout,
  openRaw,
  type RawCounts,
  type RawDevice,
  type RawOptions,
} from "./raw.ts";
export { type ReplayCounts, type ReplayDevice, type ReplayOptions, replay } from "./replay.ts";
export type { LinkAddresses } from "./replay-frame.ts";
export { openTap, type TapCounts, type TapDevice, type TapOptions } from "./tap.ts";
export type { Timed } from "./timing.ts";
export { type TraceOptions, trace } from "./trace.ts";
export { openTun, type TunCounts, type TunDevice, type TunOptions } from "./tun.ts";
export { descriptorsOf, type Pollable, waitForAny, wakeAtOf } from "./wait.ts";
export type { Counters, OpenedLine } from "./worker-messages.ts";
export { isWorker, runWorker, type WorkerContext, type WorkerProgram } from "./worker-program.ts";
export type { WorkerLine, WorkerShare } from "./worker-share.ts";
export { type StartWorkersOptions, startWorkers, type WorkerCounters, type Workers } from "./workers.ts";
