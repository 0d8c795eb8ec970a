import type { Stats } from "../../src/index.ts";

/** What becomes of a frame, one counter each. */
const LINK_FATES = [
  "ethernetRunts",
  "ethernetBadSource",
  "ethernetNotForUs",
  "ethernetMulticast",
  "ethernetWrongVlan",
  "arpMalformed",
  "arpBadSender",
  "arpNotForUs",
  "arpRequestsReceived",
  "arpAnswers",
  "arpUnsolicited",
  "arpConflicts",
] as const;
const FATES = [
  ...LINK_FATES,
  "unknownNetworkProtocol",
  "ipv4Malformed",
  "ipv4BadChecksum",
  "ipv4NotForUs",
  "ipv4MartianSource",
  "ipv4FragmentsDropped",
  "ipv4UnknownProtocol",
  "icmpMalformed",
  "icmpEchoRequests",
  "icmpEchoReplies",
  "icmpErrorsReceived",
  "icmpIgnored",
  "udpMalformed",
  "udpBadChecksum",
  "udpReceived",
  "udpQueueFull",
  "udpNoPort",
  "tcpMalformed",
  "tcpBadChecksum",
  "tcpSegmentsReceived",
] as const satisfies readonly (keyof Stats)[];

/**
 * What the counters of a stack that has only received single frames contradict each other about, or `null`. Each frame has one
 * fate; an error about an echo request that nobody sent, or whose socket has no room, is counted as both.
 */
export function contradiction(stats: Stats): string | null {
  const fates = FATES.reduce((sum, name) => sum + stats[name], 0);
  const twice = stats.icmpErrorsReceived + stats.icmpQueueFull;
  const once = fates + stats.icmpQueueFull;
  if (once >= stats.framesReceived && fates - twice <= stats.framesReceived) return null;
  return `${stats.framesReceived} frames were received, and ${fates} have a fate`;
}
