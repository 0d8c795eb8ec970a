/** What memory.ts makes of its measurements: what is asked for, and the rest. */

import { atLeast, atMost, type Row, ratios } from "../goals.ts";
import { printTable, spread } from "../support.ts";

/** How much of everything. */
export interface Sizes {
  readonly mib: number;
  readonly connections: number;
  readonly idle: number;
  readonly segments: number;
}

/** What was measured of one part under a name, a number for each round. */
export type Values = (part: string, key: string) => readonly number[];

/** Connections that are opened, used and closed beside each other. */
export const AT_A_TIME = 64;
const FEW = 10;

/** Those with idle connections; few right before all: what is slow for a while is slow for both. */
export const IDLE: Record<string, { readonly count: (sizes: Sizes) => number; readonly used: boolean }> = {
  "some idle": { count: (sizes) => sizes.idle / 10, used: false },
  "some idle, used": { count: (sizes) => sizes.idle / 10, used: true },
  "few idle": { count: () => FEW, used: false },
  "all idle": { count: (sizes) => sizes.idle, used: false },
};

/** Those that count collections. */
export const WAYS = ["client to server", "server to client", "request and response"];

export function memoryRows(values: Values, { idle }: Sizes): Row[] {
  const plain = values("without checksums", "ofFloor");
  const count = idle.toLocaleString("en-US");
  return [
    {
      name: "flow",
      measure: "memory pair, one flow, 1,500-byte frames, checksums skipped, of the copy floor",
      unit: "ratio",
      values: plain,
      target: atLeast(0.4),
    },
    {
      name: "flow-checksums",
      measure: "the same with checksums computed and verified",
      unit: "ratio",
      values: values("with checksums", "ofFloor"),
      target: atLeast(0.17),
    },
    {
      name: "flow-super-segments",
      measure: "memory pair with super-segments, of the first row",
      unit: "ratio",
      values: ratios(values("super-segments", "ofFloor"), plain),
      target: atLeast(2),
    },
    {
      name: "connections",
      measure: "connections opened, 64-byte echo, closed, both ends in one thread",
      unit: "a second",
      values: values("many at a time", "rate"),
      target: atLeast(60_000),
    },
    {
      name: "idle-memory",
      measure: `${count} idle connections, RSS of each`,
      unit: "bytes",
      values: values("all idle", "memory"),
      target: atMost(1_024),
    },
    {
      name: "idle-exchange",
      measure: `exchanges at 10 KB/s beside ${count} idle connections, time of those beside ${FEW}`,
      unit: "ratio",
      values: ratios(values("all idle", "pacedUs"), values("few idle", "pacedUs")),
      target: atMost(1.3),
    },
    ...WAYS.map((way) => ({
      name: `collections-${way.replaceAll(" ", "-")}`,
      measure: `collections in a million segments, ${way}`,
      unit: "collections",
      values: values(way, "collections"),
      target: atMost(0),
    })),
  ];
}

export function printDetails(values: Values, sizes: Sizes): void {
  printTable(
    [
      `one connection, ${sizes.mib} MiB`,
      "of the copy floor",
      "Gbit/s",
      "the floor",
      "ns a segment, both ends",
    ],
    ["without checksums", "with checksums", "super-segments"].map((part) => [
      part,
      spread(values(part, "ofFloor"), 2),
      spread(values(part, "gbits"), 1),
      spread(values(part, "floorGbits"), 1),
      spread(values(part, "nsSegment"), 0),
    ]),
  );
  printTable(
    [`${sizes.connections} connections: 64 bytes there and back`, "connections a second"],
    [
      ["one at a time", spread(values("one at a time", "rate"), 0)],
      [`${AT_A_TIME} at a time`, spread(values("many at a time", "rate"), 0)],
    ],
  );
  printTable(
    ["idle connections", "opened a second", "bytes each", "us at 10 KB/s", "us one by one", "ns a poll"],
    Object.entries(IDLE).map(([part, { count, used }]) => [
      `${count(sizes).toLocaleString("en-US")}${used ? ", each used once" : ""}`,
      part === "few idle" ? "-" : spread(values(part, "openRate"), 0),
      part === "few idle" ? "-" : spread(values(part, "memory"), 0),
      spread(values(part, "pacedUs"), 1),
      spread(values(part, "exchangeUs"), 2),
      spread(values(part, "pollNs"), 0),
    ]),
  );
  printTable(
    ["memory pair alone, 1,500-byte frames", "ns a frame"],
    [
      ["one at a time", spread(values("frames, 1", "ns"), 1)],
      ["64 at a time", spread(values("frames, 64", "ns"), 1)],
    ],
  );
}
