import type { SocketContext } from "../../src/socket/context.ts";
import { CLOSED, ESTABLISHED, type Tcb } from "../../src/socket/tcp/tcb.ts";
import {
  IN_FLIGHT,
  LOST,
  NONE,
  SACKED,
  type TransmissionPool,
  type Transmissions,
} from "../../src/socket/tcp/transmissions.ts";

/**
 * What must hold of a connection's records at every moment. All is reckoned anew from the records themselves; that the
 * lists are well linked, both ways, is checked on the way.
 *
 * @throws Error that says what does not hold
 */
export function checkScoreboard(tcb: Tcb): void {
  const { sent, context } = tcb;
  checkRecords(sent, context.transmissions);
  if (tcb.state === CLOSED) {
    if (sent.count !== 0) fail(sent, context.transmissions, "a closed connection keeps records");
    return;
  }
  if (tcb.state < ESTABLISHED) return;
  const flight = (tcb.sndNxt - tcb.sndUna) | 0;
  if (flight < 0) fail(sent, context.transmissions, "SND.UNA is behind SND.NXT");
  const { seq, end } = context.transmissions;
  if (flight === 0) {
    if (sent.count !== 0)
      fail(sent, context.transmissions, "nothing is outstanding, and records say otherwise");
  } else {
    if (sent.head === NONE || seq[sent.head] !== tcb.sndUna)
      fail(sent, context.transmissions, "not from SND.UNA on");
    if (end[sent.tail] !== tcb.sndNxt) fail(sent, context.transmissions, "not up to SND.NXT");
  }
  const bytes = sent.pipe + sent.lostBytes + sent.sackedBytes;
  if (bytes !== flight) fail(sent, context.transmissions, `${bytes} bytes are accounted for, of ${flight}`);
  const most = tcb.sendBuffer.length + (tcb.finSent ? 1 : 0);
  if (flight > most)
    fail(sent, context.transmissions, `${flight} bytes are outstanding, and ${most} are kept`);
  if (!(tcb.cwnd > 0) || !(tcb.ssthresh > 0))
    fail(sent, context.transmissions, `cwnd ${tcb.cwnd}, ssthresh ${tcb.ssthresh}`);
}

/** The records of one connection by themselves. */
export function checkRecords(sent: Transmissions, pool: TransmissionPool): void {
  const bytes = [0, 0, 0];
  const counts = [0, 0, 0];
  let before = NONE;
  let records = 0;
  for (let record = sent.head; record !== NONE; record = pool.next[record]) {
    if (++records > sent.count) fail(sent, pool, `more than ${sent.count} records in sequence`);
    const length = (pool.end[record] - pool.seq[record]) | 0;
    if (length <= 0) fail(sent, pool, `a record of ${length} bytes`);
    if (pool.prev[record] !== before) fail(sent, pool, "a wrong way back");
    if (before !== NONE && pool.end[before] !== pool.seq[record])
      fail(sent, pool, "a gap, or what is there twice");
    if (before !== NONE && pool.fate[before] === SACKED && pool.fate[record] === SACKED)
      fail(sent, pool, "two SACKed records touch");
    bytes[pool.fate[record]] += length;
    counts[pool.fate[record]]++;
    before = record;
  }
  if (records !== sent.count) fail(sent, pool, `${records} records in sequence, not ${sent.count}`);
  if (before !== sent.tail) fail(sent, pool, "the tail is not the last one");
  checkList(sent, pool, IN_FLIGHT, counts[IN_FLIGHT]);
  checkList(sent, pool, LOST, counts[LOST]);
  if (bytes[IN_FLIGHT] !== sent.pipe) fail(sent, pool, `pipe is ${sent.pipe}, not ${bytes[IN_FLIGHT]}`);
  if (bytes[LOST] !== sent.lostBytes) fail(sent, pool, `lostBytes is ${sent.lostBytes}, not ${bytes[LOST]}`);
  if (bytes[SACKED] !== sent.sackedBytes)
    fail(sent, pool, `sackedBytes is ${sent.sackedBytes}, not ${bytes[SACKED]}`);
}

/** In flight: by the time of sending. Lost: by sequence. */
function checkList(sent: Transmissions, pool: TransmissionPool, fate: number, count: number): void {
  const [first, last] = fate === LOST ? [sent.lowestLost, sent.highestLost] : [sent.oldest, sent.youngest];
  let before = NONE;
  let records = 0;
  for (let record = first; record !== NONE; record = pool.later[record]) {
    if (++records > count) fail(sent, pool, `more than ${count} in the list of fate ${fate}`);
    if (pool.fate[record] !== fate) fail(sent, pool, `fate ${pool.fate[record]} in the list of fate ${fate}`);
    if (pool.earlier[record] !== before) fail(sent, pool, `a wrong way back in the list of fate ${fate}`);
    if (before !== NONE) {
      const inOrder =
        fate === LOST
          ? ((pool.seq[record] - pool.seq[before]) | 0) > 0
          : pool.sentAt[record] >= pool.sentAt[before];
      if (!inOrder) fail(sent, pool, `the list of fate ${fate} is not in order`);
    }
    before = record;
  }
  if (records !== count) fail(sent, pool, `${records} in the list of fate ${fate}, not ${count}`);
  if (before !== last) fail(sent, pool, `the list of fate ${fate} ends elsewhere`);
}

function fail(sent: Transmissions, pool: TransmissionPool, what: string): never {
  const lines: string[] = [];
  let left = 60;
  for (let record = sent.head; record !== NONE && left-- > 0; record = pool.next[record]) {
    const fate = ["in flight", "lost", "SACKed"][pool.fate[record]];
    lines.push(
      `  ${record}: ${pool.seq[record]} to ${pool.end[record]}, ${fate}, sent at ${pool.sentAt[record]}`,
    );
  }
  throw new Error(`${what}\n${lines.join("\n")}`);
}

/** Records that are free, beside those that connections have for sure. */
export function spareRecords(pool: TransmissionPool): number {
  const plenty = 1 << 20;
  const taken: number[] = [];
  for (let record = pool.take(plenty); record !== NONE; record = pool.take(plenty)) taken.push(record);
  for (const record of taken) pool.give(record, plenty);
  return taken.length;
}

/**
 * What a stack without connections still has of them, or `null`.
 *
 * @param records how many it had to spare when it was made
 */
export function leftBehind(context: SocketContext, records: number): string | null {
  const { pool, deadlines, transmissions } = context;
  if (pool.freePages !== pool.pageCount) return `${pool.pageCount - pool.freePages} pages are lost`;
  if (deadlines.size !== 0) return "a deadline is left";
  if (spareRecords(transmissions) !== records) return "records are lost";
  return null;
}
