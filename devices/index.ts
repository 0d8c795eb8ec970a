export {
  type Config,
  type DeviceConfig,
  type DeviceType,
  type InterfaceConfig,
  loadConfig,
  type OpenedConfig,
  openConfig,
  parseConfig,
} from "./config.ts";
export { CONFIG_USAGE, configFromFlags } from "./config-flags.ts";
export { type Fate, type FaultCounts, type FaultOptions, type FaultyDevice, fault } from "./fault.ts";
export { type MemoryOptions, memoryPair } from "./memory.ts";
export { type Observer, observe } from "./observe.ts";
export { type CaptureOptions, type CaptureSink, capture, type PcapFileOptions, pcapFile } from "./pcap.ts";
export { type TraceOptions, trace } from "./trace.ts";
export { openTun, type TunCounts, type TunDevice, type TunOptions } from "./tun.ts";
