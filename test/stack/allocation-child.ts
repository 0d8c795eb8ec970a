/**
 * Moves segments between two stacks in memory, first to warm up, then between two marks on standard error. Run with
 * BUN_JSC_logGC=1, the engine writes its collections there as well, so that they can be counted between the marks.
 */
import { writeSync } from "node:fs";
import { memoryPair } from "../../devices/memory.ts";
import { connected, pairOn } from "../support/transfer.ts";

const [warmUp, measured, garbage] = process.argv.slice(2).map(Number);
const STDERR = 2;

const pair = pairOn(...memoryPair(), { maxSockets: 64, memory: 4 << 20 });
const { client, server } = connected(pair);
const text = new Uint8Array(64 * 1024);
const target = new Uint8Array(64 * 1024);
const kept: Uint8Array[] = [];

function move(segments: number): void {
  const end = pair.server.stats.tcpSegmentsReceived + segments;
  while (pair.server.stats.tcpSegmentsReceived < end) {
    client.write(text);
    pair.client.poll(pair.now);
    pair.server.poll(pair.now);
    while (server.read(target) > 0);
    // Proof that the count can be other than zero.
    for (let i = 0; i < garbage; i++) kept[i & 15] = new Uint8Array(64);
    pair.now += 0.01;
  }
}

move(warmUp);
Bun.gc(true);
writeSync(STDERR, "\nMEASURE\n");
move(measured);
writeSync(STDERR, "\nDONE\n");
