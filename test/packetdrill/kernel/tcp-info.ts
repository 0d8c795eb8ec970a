import { INITIAL_SSTHRESH } from "../../../src/socket/tcp/congestion/slow-start.ts";
import { isEcnAgreed } from "../../../src/socket/tcp/ecn.ts";
import { tcpInfo as infoOf } from "../../../src/socket/tcp/info.ts";
import { BY_BUFFER, BY_CONGESTION, BY_PEER, limitedMs } from "../../../src/socket/tcp/limits.ts";
import { AFTER_TIMEOUT, RECOVERY } from "../../../src/socket/tcp/loss-recovery.ts";
import { seqDiff, seqGt } from "../../../src/socket/tcp/seq.ts";
import { CLOSED, flightSize, LISTEN, type Tcb, type TcpState } from "../../../src/socket/tcp/tcb.ts";
import { IN_FLIGHT, NONE } from "../../../src/socket/tcp/transmissions.ts";
import type { TcpFile } from "./tcp-file.ts";

/** `struct tcp_info` of a connection, member by member, in its units: microseconds, segments, bytes a second. */

/** Linux's numbers of the states. */
const STATES: Readonly<Record<TcpState, number>> = {
  ESTABLISHED: 1,
  SYN_SENT: 2,
  SYN_RECEIVED: 3,
  FIN_WAIT_1: 4,
  FIN_WAIT_2: 5,
  TIME_WAIT: 6,
  CLOSED: 7,
  CLOSE_WAIT: 8,
  LAST_ACK: 9,
  LISTEN: 10,
  CLOSING: 11,
};

/** FreeBSD's, from `tcp_fsm.h`. */
const BSD_STATES: Readonly<Record<TcpState, number>> = {
  CLOSED: 0,
  LISTEN: 1,
  SYN_SENT: 2,
  SYN_RECEIVED: 3,
  ESTABLISHED: 4,
  CLOSE_WAIT: 5,
  FIN_WAIT_1: 6,
  CLOSING: 7,
  LAST_ACK: 8,
  FIN_WAIT_2: 9,
  TIME_WAIT: 10,
};

const OPT_TIMESTAMPS = 1;
const OPT_SACK = 2;
const OPT_WSCALE = 4;
const OPT_ECN = 8;

const CA_OPEN = 0;
const CA_DISORDER = 1;
const CA_CWR = 2;
const CA_RECOVERY = 3;
const CA_LOSS = 4;

/** RFC 5681 3.2: so many duplicates are taken for a loss. */
const REORDERING = 3;
const US_PER_MS = 1_000;

/** Of a listener, the state alone; of a socket that was never connected as well. */
export function tcpInfo(file: TcpFile): Record<string, number> {
  const bsd = file.machine.flavour === "freebsd";
  const states = bsd ? BSD_STATES : STATES;
  const { connection } = file;
  if (connection === null) return { tcpi_state: file.state === LISTEN ? states.LISTEN : states.CLOSED };
  const { tcb } = connection;
  const info = infoOf(tcb);
  return {
    tcpi_state: states[info.state],
    tcpi_options: optionsOf(tcb),
    tcpi_snd_wscale: info.options.sndWindShift ?? 0,
    tcpi_rcv_wscale: info.options.rcvWindShift ?? 0,
    ...times(file, tcb),
    ...windows(tcb, bsd),
    ...losses(tcb),
    ...totals(file, tcb),
    tcpi_delivery_rate: Math.round(info.deliveryRate ?? 0),
    tcpi_delivery_rate_app_limited: tcb.appLimitedUntil > 0 || tcb.deliveryRate === 0 ? 1 : 0,
    tcpi_pacing_rate: info.pacingRate === null ? UNLIMITED : Math.round(info.pacingRate),
    tcpi_max_pacing_rate: UNLIMITED,
  };
}

/** ~0 of an u64, as near as a number comes. */
const UNLIMITED = 2 ** 64;

function optionsOf(tcb: Tcb): number {
  return (
    (tcb.timestamps ? OPT_TIMESTAMPS : 0) |
    (tcb.sack ? OPT_SACK : 0) |
    (tcb.offersWindowScale ? OPT_WSCALE : 0) |
    (isEcnAgreed(tcb) ? OPT_ECN : 0)
  );
}

function times(file: TcpFile, tcb: Tcb): Record<string, number> {
  const { now } = file.machine;
  const us = (ms: number) => Math.round(ms * US_PER_MS);
  const since = (at: number) => (Number.isFinite(at) && at > 0 ? Math.round(now - at) : 0);
  const { minRttMs } = tcb.loss;
  return {
    tcpi_rto: us(tcb.rto),
    tcpi_ato: us(tcb.context.tcp.delayedAckMs),
    tcpi_rtt: tcb.srtt < 0 ? 0 : us(tcb.srtt),
    tcpi_rttvar: us(tcb.rttvar),
    tcpi_min_rtt: Number.isFinite(minRttMs) ? us(minRttMs) : 0xffffffff,
    tcpi_rcv_rtt: tcb.rcvRttMs < 0 ? 0 : us(tcb.rcvRttMs),
    tcpi_last_data_sent: since(tcb.lastSentAt),
    tcpi_last_data_recv: since(Math.max(tcb.lastTextAt, file.establishedAt)),
    tcpi_last_ack_sent: 0,
    tcpi_last_ack_recv: since(tcb.lastHeardAt),
    tcpi_busy_time: us(
      limitedMs(tcb, BY_CONGESTION, tcb.limitedByCongestionMs) +
        limitedMs(tcb, BY_PEER, tcb.limitedByPeerMs) +
        limitedMs(tcb, BY_BUFFER, tcb.limitedByBufferMs),
    ),
    tcpi_rwnd_limited: us(limitedMs(tcb, BY_PEER, tcb.limitedByPeerMs)),
    tcpi_sndbuf_limited: us(limitedMs(tcb, BY_BUFFER, tcb.limitedByBufferMs)),
  };
}

/** Windows are in segments on Linux, in bytes on FreeBSD. */
function windows(tcb: Tcb, bsd: boolean): Record<string, number> {
  const inSegments = (bytes: number) => (bsd ? bytes : Math.floor(bytes / tcb.mss));
  const threshold = tcb.ssthresh === INITIAL_SSTHRESH ? INITIAL_SSTHRESH : inSegments(tcb.ssthresh);
  const { limit, length } = tcb.receiveBuffer;
  return {
    tcpi_snd_mss: tcb.mss,
    tcpi_rcv_mss: tcb.longestText || Math.min(tcb.mss, 536),
    tcpi_advmss: tcb.rcvMss - (tcb.timestamps ? 12 : 0),
    tcpi_pmtu: tcb.rcvMss + 40,
    tcpi_snd_cwnd: inSegments(tcb.cwnd),
    tcpi_snd_ssthresh: threshold,
    tcpi_rcv_ssthresh: limit,
    tcpi_rcv_space: limit,
    tcpi_rcv_wnd: Math.max(seqDiff(tcb.rcvAdv, tcb.rcvNxt), 0),
    tcpi_snd_wnd: tcb.sndWnd,
    tcpi_snd_bwnd: 0,
    tcpi_rcv_queue: length,
    tcpi_notsent_bytes: Math.max(tcb.sendBuffer.length - flightSize(tcb), 0),
    tcpi_unacked: Math.ceil(flightSize(tcb) / tcb.mss),
  };
}

function losses(tcb: Tcb): Record<string, number> {
  const { loss } = tcb;
  const segments = (bytes: number) => Math.ceil(bytes / tcb.mss);
  const counts = countRecords(tcb);
  return {
    tcpi_ca_state: congestionState(tcb, counts.sacked > 0),
    tcpi_retransmits: tcb.backoff,
    tcpi_backoff: tcb.backoff,
    tcpi_probes: tcb.probing ? tcb.probeBackoff : tcb.keepAlivesUnanswered,
    tcpi_sacked: segments(tcb.sack ? counts.sacked : loss.duplicateAcks * tcb.mss),
    tcpi_lost: segments(counts.lost),
    tcpi_retrans: segments(counts.resent),
    tcpi_fackets: 0,
    tcpi_reordering: REORDERING,
    tcpi_reord_seen: loss.reorderingSeen ? 1 : 0,
    tcpi_rcv_ooopack: tcb.outOfOrder.count,
    tcpi_dsack_dups: Math.ceil(loss.reportedBytes / tcb.mss),
  };
}

/** Bytes of the flight that are SACKED, were found lost (and may be under way again), and are under way again. */
function countRecords(tcb: Tcb): { sacked: number; lost: number; resent: number } {
  const pool = tcb.context.transmissions;
  let resent = 0;
  let bound = tcb.sent.count;
  for (let record = tcb.sent.head; record !== NONE && bound > 0; record = pool.next[record], bound--) {
    if (pool.fate[record] === IN_FLIGHT && pool.resent[record] !== 0) resent += pool.length(record);
  }
  return { sacked: tcb.sent.sackedBytes, lost: tcb.sent.lostBytes + resent, resent };
}

function congestionState(tcb: Tcb, sacked: boolean): number {
  const { loss } = tcb;
  if (loss.phase === AFTER_TIMEOUT) return CA_LOSS;
  if (loss.phase === RECOVERY) return CA_RECOVERY;
  if (isEcnAgreed(tcb) && seqGt(loss.ecnReducedUntil, tcb.sndUna)) return CA_CWR;
  return sacked || loss.duplicateAcks > 0 ? CA_DISORDER : CA_OPEN;
}

function totals(file: TcpFile, tcb: Tcb): Record<string, number> {
  const sentText =
    tcb.bytesSent + (tcb.state === CLOSED ? 0 : Math.min(flightSize(tcb), tcb.sendBuffer.length));
  const { sack } = tcb;
  return {
    tcpi_total_retrans: tcb.retransmissions,
    tcpi_snd_rexmitpack: tcb.retransmissions,
    tcpi_bytes_acked: tcb.bytesSent,
    tcpi_bytes_received: tcb.bytesReceived,
    tcpi_bytes_sent: sentText + tcb.bytesRetransmitted,
    tcpi_bytes_retrans: tcb.bytesRetransmitted,
    tcpi_segs_out: tcb.segmentsSent,
    tcpi_segs_in: tcb.segmentsReceived,
    tcpi_data_segs_out: Math.ceil((sentText + tcb.bytesRetransmitted) / tcb.mss),
    tcpi_data_segs_in: tcb.longestText === 0 ? 0 : Math.ceil(tcb.bytesReceived / tcb.longestText),
    // The SYN counts as delivered.
    tcpi_delivered: Math.ceil((sack ? tcb.delivered : tcb.bytesSent) / tcb.mss) + (file.isConnected ? 1 : 0),
    tcpi_delivered_ce: 0,
  };
}
