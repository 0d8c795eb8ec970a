import type { Flavour } from "./scenario.ts";
import type { World } from "./world.ts";

/** How a connection is brought to where it is attacked, and how much time may pass there. */
export interface Staging {
  /** The victim's state, from when on it must not change. */
  readonly state: string;
  /** Longest wait between two bursts, and all of them together, in ms of virtual time. */
  readonly longestMs: number;
  readonly totalMs: number;
  prepare(world: World): void;
}

const HOUR_MS = 3_600_000;
/** Where the peer is out of reach: shorter than anybody's patience. */
const CUT = { longestMs: 500, totalMs: 20_000 } as const;
const OPEN = { state: "ESTABLISHED", longestMs: 120_000, totalMs: HOUR_MS } as const;
const CHUNK = 16_384;

export const STAGINGS: Readonly<Record<Flavour, Staging>> = {
  idle: { ...OPEN, prepare: establish },
  toVictim: {
    ...OPEN,
    prepare(world) {
      establish(world);
      world.theirs.rate = CHUNK;
    },
  },
  fromVictim: {
    ...OPEN,
    prepare(world) {
      establish(world);
      world.ours.rate = CHUNK;
    },
  },
  bothWays: {
    ...OPEN,
    prepare(world) {
      establish(world);
      world.ours.rate = CHUNK;
      world.theirs.rate = CHUNK;
    },
  },
  requests: {
    ...OPEN,
    prepare(world) {
      establish(world);
      world.theirs.rate = 200;
      world.ours.rate = 2_000;
    },
  },
  victimDoesNotRead: {
    ...OPEN,
    prepare(world) {
      establish(world);
      world.ours.reading = false;
      world.theirs.rate = CHUNK;
      for (let i = 0; i < 100; i++) world.pass(100);
    },
  },
  peerDoesNotRead: {
    ...OPEN,
    prepare(world) {
      establish(world);
      world.theirs.reading = false;
      world.ours.rate = CHUNK;
      for (let i = 0; i < 100; i++) world.pass(100);
    },
  },
  victimHalfClosed: {
    ...OPEN,
    state: "FIN_WAIT_2",
    prepare(world) {
      establish(world);
      world.ours.shutdown();
      settleDown(world);
      world.theirs.rate = CHUNK;
    },
  },
  peerHalfClosed: {
    ...OPEN,
    state: "CLOSE_WAIT",
    prepare(world) {
      establish(world);
      world.theirs.shutdown();
      settleDown(world);
      world.ours.rate = CHUNK;
    },
  },
  synSent: {
    ...CUT,
    state: "SYN_SENT",
    prepare(world) {
      world.connect();
      world.cut();
      world.pass(1);
      world.aim();
    },
  },
  synReceived: {
    ...CUT,
    state: "SYN_RECEIVED",
    prepare(world) {
      world.connect();
      // The SYN may be lost, and is sent again.
      for (let i = 0; i < 1_000 && world.victim.stack.stats.tcpPassiveOpens === 0; i++) {
        world.net.runFor(world.scenario.delayMs / 2);
      }
      world.cut();
      world.pass(1);
      world.aim();
    },
  },
  finWait1: {
    ...CUT,
    state: "FIN_WAIT_1",
    prepare(world) {
      establish(world);
      world.cut();
      world.ours.write(5_000);
      world.ours.shutdown();
      world.pass(1);
    },
  },
  closing: {
    ...CUT,
    state: "CLOSING",
    prepare(world) {
      establish(world);
      world.ours.shutdown();
      world.theirs.shutdown();
      world.pass(1.5 * world.scenario.delayMs);
      world.cut();
    },
  },
  lastAck: {
    ...CUT,
    state: "LAST_ACK",
    prepare(world) {
      establish(world);
      world.theirs.shutdown();
      settleDown(world);
      world.cut();
      world.ours.write(5_000);
      world.ours.shutdown();
      world.pass(1);
    },
  },
  timeWait: {
    state: "TIME_WAIT",
    longestMs: 5_000,
    totalMs: 40_000,
    prepare(world) {
      establish(world);
      world.ours.shutdown();
      settleDown(world);
      world.theirs.shutdown();
      world.pass(5 * world.scenario.delayMs);
    },
  },
};

function establish(world: World): void {
  world.connect();
  for (let i = 0; i < 100 && (world.ours.socket === null || world.theirs.socket === null); i++)
    world.pass(100);
  world.aim();
  const { keepAliveMs } = world.scenario;
  if (keepAliveMs > 0) world.ours.keepAlive(keepAliveMs);
  settleDown(world);
}

/** Long enough for what was lost to be sent again. */
function settleDown(world: World): void {
  world.pass(5_000);
}
