import { describe, test } from "bun:test";
import { type ModelOptions, runModel } from "../../support/tcp-model.ts";

/** Two stacks, random links and random programs: see the model. A failure names the seed; run that one alone. */

function seeds(title: string, count: number, options: ModelOptions): void {
  test(title, () => {
    for (let seed = 1; seed <= count; seed++) runModel(seed, options);
  }, 60_000);
}

const clean = { drop: 0, duplicate: 0, swap: 0, corrupt: 0 };
const bad = { drop: 0.05, duplicate: 0.03, swap: 0.1, corrupt: 0.02 };
const awful = { drop: 0.2, duplicate: 0.1, swap: 0.2, corrupt: 0.1 };
const roomy = { most: 30_000, connections: 1, memory: 1 << 20, buffer: 60_000 };

describe("both streams arrive, the connections end, nothing is left behind", () => {
  seeds("on a perfect link", 60, { ...roomy, ...clean });
  seeds("on a bad one", 80, { ...roomy, ...bad });
  seeds("on an awful one", 80, { ...roomy, most: 8_000, ...awful });
  seeds("with buffers of a few bytes", 100, { ...roomy, most: 3_000, buffer: 300, ...bad });
  seeds("several connections", 40, { ...roomy, connections: 5, most: 15_000, ...bad });
  // Here nobody is ended for the memory that others wait for: in the end everybody gets some.
  const starving = { most: 30_000, connections: 4, buffer: 70_000, tcp: { stallUnderPressureMs: 1e9 } };
  seeds("several connections that compete for eight pages", 30, { ...starving, memory: 8 * 16_384, ...bad });
  seeds("for three", 20, { ...starving, memory: 3 * 16_384, ...bad });
  seeds("for two: one to send from, one to receive into", 20, { ...starving, memory: 2 * 16_384, ...clean });
});

describe("programs that abort, or close without having read", () => {
  const rude = { most: 30_000, connections: 4, memory: 8 * 16_384, buffer: 60_000, rude: true };
  seeds("on a perfect link", 60, { ...rude, ...clean });
  seeds("on a bad one", 100, { ...rude, ...bad });
});

describe("what differs from the usual settings", () => {
  const small = { most: 20_000, connections: 1, memory: 1 << 20, buffer: 60_000 };
  const plain = { sack: false, timestamps: false };
  seeds("without SACK and timestamps, NewReno", 40, {
    ...small,
    ...bad,
    tcp: { ...plain, congestionControl: "newreno" },
  });
  seeds("with SACK, without timestamps", 40, { ...small, ...bad, tcp: { timestamps: false } });
  seeds("without SACK, with timestamps", 40, { ...small, ...awful, most: 8_000, tcp: { sack: false } });
  seeds("two records for each connection, and no more", 40, { ...small, ...bad, spareRecords: 0 });
  seeds("three records, that several connections compete for", 30, {
    ...small,
    ...awful,
    most: 5_000,
    connections: 3,
    spareRecords: 1,
  });
});
