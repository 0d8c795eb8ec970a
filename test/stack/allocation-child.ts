/**
 * Moves segments between two stacks in memory, first to warm up, then between two marks on standard error. Run with
 * BUN_JSC_logGC=1, the engine writes its collections there as well, so that they can be counted between the marks.
 *
 *   allocation-child.ts WAY WARM-UP SEGMENTS GARBAGE
 */
import { writeSync } from "node:fs";
import { memoryPair } from "../../devices/memory.ts";
import type { Stack, TcpSocket } from "../../src/index.ts";
import { connected, pairOn } from "../support/transfer.ts";

const [way, ...numbers] = process.argv.slice(2);
const [warmUp, measured, garbage] = numbers.map(Number);
const STDERR = 2;
const MESSAGE = 64;

const pair = pairOn(...memoryPair(), { maxSockets: 64, memory: 4 << 20 });
const { client, server } = connected(pair);
const text = new Uint8Array(64 * 1024);
const target = new Uint8Array(64 * 1024);
const kept: Uint8Array[] = [];

function bulk(sender: TcpSocket, receiver: TcpSocket): void {
  sender.write(text);
  pair.client.poll(pair.now);
  pair.server.poll(pair.now);
  while (receiver.read(target) > 0);
}

function exchange(): void {
  client.write(text, 0, MESSAGE);
  pair.client.poll(pair.now);
  pair.server.poll(pair.now);
  server.write(target, 0, server.read(target));
  pair.server.poll(pair.now);
  pair.client.poll(pair.now);
  if (client.read(target) !== MESSAGE) throw new Error("there was no response");
}

/** What is done again and again, and at whose stack segments are counted. */
const WAYS: Record<string, readonly [() => void, Stack]> = {
  "client to server": [() => bulk(client, server), pair.server],
  "server to client": [() => bulk(server, client), pair.client],
  "request and response": [exchange, pair.server],
};

function move(segments: number): void {
  const [step, { stats }] = WAYS[way];
  const end = stats.tcpSegmentsReceived + segments;
  while (stats.tcpSegmentsReceived < end) {
    step();
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
