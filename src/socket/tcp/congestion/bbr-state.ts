/**
 * What BBR knows of a path, under the names of draft-ietf-ccwg-bbr-06, to whose sections all of `bbr-*.ts` refers. Rates
 * are bytes per ms, volumes bytes, times ms.
 */

// 5.1: the states of the state machine.
export const STARTUP = 0;
export const DRAIN = 1;
export const PROBE_BW_DOWN = 2;
export const PROBE_BW_CRUISE = 3;
export const PROBE_BW_REFILL = 4;
export const PROBE_BW_UP = 5;
export const PROBE_RTT = 6;

/** 5.6.1: how fast it sends in each state, as a multiple of the bandwidth. */
export const PACING_GAIN = [2.77, 0.5, 0.9, 1, 1, 1.25, 1];
/** 5.6.1: how much it may have under way in each state, as a multiple of the bandwidth-delay product. */
export const CWND_GAIN = [2, 2, 2, 2, 2, 2.25, 0.5];

// 5.3.3.9: what the ACKs that come in are for.
export const ACKS_INIT = 0;
export const ACKS_REFILLING = 1;
export const ACKS_PROBE_STARTING = 2;
export const ACKS_PROBE_FEEDBACK = 3;
export const ACKS_PROBE_STOPPING = 4;

/** 5.5.11: no state to go back to. */
export const UNDO_NOTHING = -1;

/** 2.7: the loss rate of a round trip up to which what is under way is not too much. */
export const LOSS_THRESH = 0.02;
/** 2.7: how far a round trip with losses takes the model down, at most. */
export const BETA = 0.7;
/** 2.7: what is left free, of the most that was safe, for others to find. */
export const HEADROOM = 0.15;
/** 2.7: segments that may always be under way, so that a peer that acknowledges every second one does not stall it. */
export const MIN_PIPE_SEGMENTS = 4;

const UNKNOWN = Number.POSITIVE_INFINITY;

export class BbrState {
  /**
   * Loss rate of a round trip that is not taken for congestion as long as the path has no queue. 0 is the draft: any loss
   * outside of a probe makes it slower, and in a probe more than LOSS_THRESH ends it.
   */
  readonly toleratedLoss: number;

  state = STARTUP;

  // 5.5.1: round trips, counted by what was delivered when something was sent.
  nextRoundDelivered = 0;
  roundStart = false;
  roundCount = 0;

  // 5.5.2: the largest delivery rate of this cycle of ProbeBW and of the one before.
  maxBw = 0;
  cycleMaxBw = 0;
  lastCycleMaxBw = 0;
  /** The lower of `maxBw` and `bwShortterm`: what it goes by. */
  bw = 0;
  /** The delivery rate that the ACK at hand has shown; 0 where it has shown none. */
  deliveryRate = 0;

  // 5.5.7 and 5.3.4: the shortest round-trip time, and when it was found.
  minRttMs = UNKNOWN;
  /** The last round-trip time. */
  rttMs = 0;
  minRttAt = 0;
  probeRttMinMs = UNKNOWN;
  probeRttMinAt = 0;
  probeRttExpired = false;
  /** When ProbeRTT may end; 0 before the pipe has emptied. */
  probeRttDoneAt = 0;
  probeRttRoundDone = false;

  // 5.5.9: how much more than expected is acknowledged at once; the largest of this span of rounds and of the last.
  extraAckedStart = 0;
  extraAckedDelivered = 0;
  extraAcked = 0;
  lastExtraAcked = 0;
  extraAckedSince = 0;

  // 5.3.1.2: has a faster pace stopped to bring more?
  fullBw = 0;
  fullBwCount = 0;
  fullBwNow = false;
  fullBwReached = false;
  drainStartRound = 0;

  // 5.5.10: the delivery of the last round trip with a loss, and the bounds that come of it.
  lossRoundDelivered = 0;
  lossRoundStart = false;
  lossInRound = false;
  /** Bytes lost in this round, and ACKs that told of losses. */
  lostInRound = 0;
  lossEventsInRound = 0;
  bwLatest = 0;
  inflightLatest = 0;
  bwShortterm = UNKNOWN;
  inflightShortterm = UNKNOWN;
  inflightLongterm = UNKNOWN;

  // Not the draft's: for how long in all, in ms, the peer's window had held text back at the start of this round, and of the
  // one before.
  heldMs = 0;
  heldMsBefore = 0;

  // Not the draft's: bytes that came through, and that were lost, while round-trip times showed no queue.
  quietDelivered = 0;
  quietLost = 0;

  // 5.3.3: the cycle of ProbeBW.
  cycleAt = 0;
  probeWaitMs = 0;
  roundsSinceProbeUp = 0;
  probeUpRounds = 0;
  probeUpAcked = 0;
  probeUpAckedPerIncrease = UNKNOWN;
  isProbeSample = false;
  prevProbeTooHigh = false;
  prevProbePrecautionary = false;
  ackPhase = ACKS_INIT;

  idleRestart = false;
  /** Round-trip times have been measured: the pacing rate before was a guess. */
  hasSeenRtt = false;
  inRecovery = false;
  priorCwnd = 0;
  undoState = UNDO_NOTHING;
  undoBwShortterm = UNKNOWN;
  undoInflightShortterm = UNKNOWN;
  undoInflightLongterm = UNKNOWN;

  constructor(toleratedLoss: number) {
    this.toleratedLoss = toleratedLoss;
  }
}

/** 5.3.3.9. */
export function isInProbeBw(bbr: BbrState): boolean {
  return bbr.state >= PROBE_BW_DOWN && bbr.state <= PROBE_BW_UP;
}

/** 5.3.3.9: it sends to find out whether there is more. */
export function isProbingBw(bbr: BbrState): boolean {
  return bbr.state === STARTUP || bbr.state === PROBE_BW_REFILL || bbr.state === PROBE_BW_UP;
}
