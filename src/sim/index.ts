export type { Line, LineStats, OnFrame } from "./line.ts";
export type { CodelOptions, GilbertElliott, LineOptions } from "./line-options.ts";
export type { Link, LinkOptions } from "./link.ts";
export { Network, type NetworkOptions, type RunOptions } from "./network.ts";
export type { Port, SimNode } from "./node.ts";
export type {
  Endpoint,
  SimHostOptions,
  SimInterfaceOptions,
  SimRouterOptions,
  SimStack,
  SimStackOptions,
} from "./nodes.ts";
export type { Packet } from "./packet-pool.ts";
export type { Router, RouterStats } from "./router.ts";
export type { StationStats } from "./station.ts";
export type { Switch, SwitchOptions, SwitchStats } from "./switch.ts";
