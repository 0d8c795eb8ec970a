import type { TcpSettings } from "../../../src/socket/tcp/settings.ts";
import type { Flavour, Machine } from "./machine.ts";

/** `net.inet.tcp.recvspace`. */
const RECEIVE_SPACE = 65_536;
const USUAL_SEGMENT = 1_460;

/** What kernels have otherwise than the stack, where the scripts for them count on it. */
const PROFILES: Readonly<Record<Flavour, Partial<TcpSettings>>> = {
  linux: {
    // A connection of ours does not ask for ECN, but answers who does.
    ecn: "passive",
    // Scripts leave timestamps out of segments even where the SYNs had them.
    requireTimestamps: false,
  },
  freebsd: {
    ecn: "passive",
    requireTimestamps: true,
    timestamps: true,
    sack: true,
    windowScale: true,
    receiveBuffer: wholeSegments(RECEIVE_SPACE),
    maxReceiveBuffer: 2_097_152,
    sendBuffer: 32_768,
    maxSendBuffer: 2_097_152,
  },
};

/** What Linux does otherwise than the RFCs that the stack goes by, or in one of several ways that these leave. */
const LIKE_LINUX: Partial<TcpSettings> = {
  boundSlowStart: false,
  reduceWindow: "window",
  wideWindowScale: false,
  nagle: "minshall",
  windowProbes: "empty",
};

/** The script was written for Linux's own TCP, and not only for its calls. */
export function actLikeLinux(machine: Machine): void {
  machine.isLikeLinux = true;
  Object.assign(machine.stack.sockets.context.tcp, LIKE_LINUX);
}

/**
 * FreeBSD makes receive buffers a whole number of segments when the SYNs have said how long these are. The window in the SYN
 * is the same before and after; here the buffer is that large from the beginning, for segments as Ethernet has them.
 */
export function wholeSegments(bytes: number): number {
  return Math.ceil(bytes / USUAL_SEGMENT) * USUAL_SEGMENT;
}

/** Makes the kernel one that goes by these rules; what was set before counts no more where they say something else. */
export function setFlavour(machine: Machine, flavour: Flavour): void {
  machine.flavour = flavour;
  if (flavour === "freebsd") machine.receiveSpace = RECEIVE_SPACE;
  Object.assign(machine.stack.sockets.context.tcp, PROFILES[flavour]);
}
