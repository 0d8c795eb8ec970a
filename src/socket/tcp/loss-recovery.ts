/** What a connection is doing about losses: `LossRecovery.phase`. */
export const OPEN = 0;
/** Losses were found, and are repaired while the window comes down: fast recovery (RFC 5681 3.2, RFC 6675 5). */
export const RECOVERY = 1;
/** The retransmission timer has expired, and everything outstanding is sent again in slow start (RFC 5681 3.1). */
export const AFTER_TIMEOUT = 2;

export type Phase = typeof OPEN | typeof RECOVERY | typeof AFTER_TIMEOUT;

/** A connection's variables for finding and repairing losses, beside its records of what it has sent. */
export class LossRecovery {
  phase: Phase = OPEN;
  duplicateAcks = 0;
  firstPartialAck = false;
  /** The SACK blocks of the last ACK; made when the first comes. */
  knownBlocks: Int32Array | null = null;
  knownCount = 0;

  // RFC 8985 5: RACK.segment is the one sent last of all that have been delivered.
  rackSentAt = 0;
  rackEnd = 0;
  rackRttMs = 0;
  /** Smallest round-trip time of the last minutes, in ms, and when it was seen. */
  minRttMs = Number.POSITIVE_INFINITY;
  minRttAt = 0;
  /** RACK.fack: the highest sequence number delivered. */
  fack = 0;
  reorderingSeen = false;
  /** Duplicates that the peer reports widen the reordering window, for some recoveries. */
  reorderMultiplier = 1;
  reorderPersist = 0;
  /** The round in which the window was widened ends when this is acknowledged. */
  reorderRoundEnd = 0;
  inReorderRound = false;

  // RFC 8985 7: the tail loss probe that is out.
  probing = false;
  probeEnd = 0;
  probeIsNew = false;

  // RFC 9937.
  prrDelivered = 0;
  prrOut = 0;
  recoverFlight = 0;

  /** What of the flight of the last loss is sent again and not reported as a duplicate; with `undoMarker` (RFC 2883). */
  undoBytes = 0;
  /** Bytes that the peer has reported to have got twice, of those that were sent twice. */
  reportedBytes = 0;
  /** The losses of this phase may prove to be none: where SND.UNA was when they were found. */
  undoPossible = false;
  undoMarker = 0;
  /** Something has been sent again since. */
  resent = false;

  // Delivery rate: draft-ietf-ccwg-bbr 4.1.
  deliveredAt = 0;
  firstSentAt = 0;
  /** When, and up to which sequence number, that was sent which the sample is of. */
  sampleSentAt = 0;
  sampleEnd = 0;

  /** RFC 3168 6.1.2: the window was reduced for an echo, and is not again before this has been acknowledged. */
  ecnReducedUntil = 0;

  /** RFC 5682: see `frto.ts`. */
  frto = 0;
}
