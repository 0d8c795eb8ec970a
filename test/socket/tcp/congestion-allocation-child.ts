/**
 * Drives a congestion control alone, first to warm up, then between two marks on standard error. Run with
 * BUN_JSC_logGC=1, the engine writes its collections there as well, so that they can be counted between the marks.
 */
import { writeSync } from "node:fs";
import {
  AckSample,
  type CongestionControlName,
  LossSample,
} from "../../../src/socket/tcp/congestion/control.ts";
import { createCongestionControl } from "../../../src/socket/tcp/congestion/control-factory.ts";
import { seqAdd } from "../../../src/socket/tcp/seq.ts";
import { plainTcb } from "../../support/congestion.ts";

const [name, acks, garbage] = process.argv.slice(2);
const STDERR = 2;
const RTT = 50;

const tcb = plainTcb({ mss: 1_000 });
const control = createCongestionControl(name as CongestionControlName);
const ack = new AckSample();
const loss = new LossSample();
const kept: number[][] = [];
let now = 0.25;
control.start(tcb, now);

function run(count: number): void {
  for (let i = 0; i < count; i++) {
    now += 0.37;
    control.onSend(tcb, 2_000, false, now);
    tcb.sent.pipe = Math.min(tcb.cwnd, 600_000);
    tcb.sndNxt = seqAdd(tcb.sndUna, tcb.pipe);
    tcb.sndUna = seqAdd(tcb.sndUna, 2_000);
    tcb.delivered += 2_000;
    ack.acked = ack.delivered = 2_000;
    ack.lost = 0;
    ack.rttMs = RTT + (i & 15) * 0.1;
    ack.cwndLimited = true;
    ack.rateBytes = 270_000 + (i & 31);
    ack.rateMs = ack.rttMs;
    ack.priorDelivered = Math.max(0, tcb.delivered - 270_000);
    ack.txPipe = tcb.pipe;
    if (i % 1_000 === 999) {
      loss.length = ack.lost = 1_000;
      loss.txPipe = tcb.pipe;
      loss.lostSince = 1_000;
      control.onLoss(tcb, loss, now);
      control.onCongestion(tcb, i % 2_000 === 999, now);
      if (!control.controlsRecovery) tcb.cwnd = tcb.ssthresh;
      control.onRecovered(tcb, now);
      if (i % 5_000 === 4_999) control.undo(tcb, now);
    }
    control.onAck(tcb, ack, now);
    // Proof that the count can be other than zero.
    if (garbage === "garbage") kept[i & 15] = [i, now, ack.rttMs];
  }
}

run(200_000);
Bun.gc(true);
writeSync(STDERR, "\nMEASURE\n");
run(Number(acks));
writeSync(STDERR, "\nDONE\n");
