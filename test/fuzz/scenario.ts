import type { Medium } from "../../src/device.ts";
import type { TcpSettings } from "../../src/index.ts";
import { Dice } from "./dice.ts";

/** What the connection is at while it is attacked. */
export const FLAVOURS = [
  "idle",
  "toVictim",
  "fromVictim",
  "bothWays",
  "requests",
  "victimDoesNotRead",
  "peerDoesNotRead",
  "victimHalfClosed",
  "peerHalfClosed",
  "synSent",
  "synReceived",
  "finWait1",
  "closing",
  "lastAck",
  "timeWait",
] as const;
export type Flavour = (typeof FLAVOURS)[number];

/** Everything that a round is made of, but for the attack. */
export interface Scenario {
  readonly seed: number;
  readonly flavour: Flavour;
  readonly medium: Medium;
  readonly mtu: number;
  readonly delayMs: number;
  /** Of the path between the two; what the attacker sends arrives. */
  readonly loss: number;
  /** The victim connects to its peer, and was not connected to. */
  readonly victimOpens: boolean;
  /** Of the victim and its peer: settings, memory in bytes, and where their sequence numbers start. */
  readonly tcp: readonly [Partial<TcpSettings>, Partial<TcpSettings>];
  readonly memory: number;
  readonly iss: readonly [number, number];
  /** Idle time in ms before the victim's keep-alive probes, or 0. */
  readonly keepAliveMs: number;
}

const KIB = 1_024;
/** Enough for all that a scenario lets be buffered: where it runs short, connections that do not read are given up. */
const MEMORY = 8_192 * KIB;

/** What the seed stands for. Fifteen seeds in a row have all flavours. */
export function scenarioOf(seed: number): Scenario {
  const dice = new Dice(seed);
  const flavour = FLAVOURS[seed % FLAVOURS.length];
  // Somebody has to have sent a SYN that is not answered, or answered it.
  const victimOpens = flavour === "synSent" || (flavour !== "synReceived" && dice.chance(1, 2));
  return {
    seed,
    flavour,
    victimOpens,
    medium: dice.chance(1, 4) ? "ethernet" : "ip",
    mtu: dice.pick([576, 1_500, 1_500, 9_000]),
    delayMs: dice.pick([1, 5, 5, 50]),
    loss: isOpen(flavour) ? dice.pick([0, 0, 0, 0.02]) : 0,
    tcp: [settings(dice), settings(dice)],
    memory: MEMORY,
    iss: [initialSequence(dice), initialSequence(dice)],
    keepAliveMs: dice.pick([0, 0, 5_000]),
  };
}

/** Text goes on being exchanged while the connection is attacked. */
function isOpen(flavour: Flavour): boolean {
  return FLAVOURS.indexOf(flavour) < FLAVOURS.indexOf("victimDoesNotRead");
}

function settings(dice: Dice): Partial<TcpSettings> {
  return {
    receiveBuffer: dice.pick([4, 16, 64, 64, 256]) * KIB,
    sendBuffer: dice.pick([4, 64, 256]) * KIB,
    timestamps: dice.chance(2, 3),
    sack: dice.chance(3, 4),
    ecn: dice.chance(1, 2),
    congestionControl: dice.pick(["cubic", "cubic", "newreno", "bbr"]),
    ...(dice.chance(1, 4) ? { maxReceiveBuffer: 1_024 * KIB, maxSendBuffer: 1_024 * KIB } : {}),
  };
}

/** Anywhere, or so that numbers wrap soon, or change their sign. */
function initialSequence(dice: Dice): number {
  const kind = dice.below(4);
  if (kind < 2) return dice.word();
  return (kind === 2 ? -dice.below(70_000) : 0x7fff_ffff - dice.below(70_000)) | 0;
}
