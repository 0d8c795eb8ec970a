import { describe, expect, test } from "bun:test";
import { memoryPair } from "../../devices/index.ts";
import { open, type Runtime, type Timer } from "../../src/index.ts";
import { failure, turn } from "./pair.ts";

/** A clock that is moved by hand. */
class ManualRuntime implements Runtime {
  readonly timerResolutionMs = 0;
  readonly endsWithoutTimer = false;
  dues = 0;
  private time = 0;
  private readonly timers = new Map<object, { at: number; task: () => void }>();
  private deferred: (() => void)[] = [];

  now(): number {
    return this.time;
  }

  defer(task: () => void): void {
    this.deferred.push(task);
  }

  setTimer(task: () => void, delayMs: number): Timer {
    const timer = {};
    this.timers.set(timer, { at: this.time + delayMs, task });
    return timer as Timer;
  }

  clearTimer(timer: Timer | null): void {
    if (timer !== null) this.timers.delete(timer);
  }

  setRef(): void {}

  programIsDue(): void {
    this.dues++;
  }

  /** Does everything that is due until a time, in the order of the times. */
  async moveTo(time: number): Promise<void> {
    for (;;) {
      await turn();
      const tasks = this.deferred;
      this.deferred = [];
      for (const task of tasks) task();
      if (tasks.length > 0) continue;
      const next = [...this.timers].sort(([, a], [, b]) => a.at - b.at)[0];
      if (next === undefined || next[1].at > time) break;
      this.time = Math.max(this.time, next[1].at);
      this.timers.delete(next[0]);
      next[1].task();
    }
    this.time = time;
  }
}

async function pair() {
  const runtime = new ManualRuntime();
  const [left, right] = memoryPair();
  const server = await open({ device: left, addresses: ["10.0.0.1/24"], runtime });
  const client = await open({ device: right, addresses: ["10.0.0.2/24"], runtime });
  return { runtime, server, client };
}

describe("runtime", () => {
  test("a host lives by the clock and the timers that it is given", async () => {
    const { runtime, server, client } = await pair();
    server.listen({ port: 7 });
    const connecting = client.connect({ address: "10.0.0.1", port: 7 });
    await runtime.moveTo(0);
    const connection = await connecting;
    const outcomes: string[] = [];
    const note = (promise: Promise<unknown>) => void failure(promise).then((code) => outcomes.push(code));
    note(connection.read({ timeout: 500 }));
    note(client.ping("10.0.0.77", { timeout: 1_000 }));
    note(client.connect({ address: "10.0.0.77", port: 7, timeout: 2_000 }));
    await runtime.moveTo(499);
    expect(outcomes).toEqual([]);
    await runtime.moveTo(500);
    expect(outcomes).toEqual(["ETIMEDOUT"]);
    await runtime.moveTo(1_999);
    expect(outcomes.length).toBe(2);
    await runtime.moveTo(2_000);
    expect(outcomes).toEqual(["ETIMEDOUT", "ETIMEDOUT", "ETIMEDOUT"]);
    expect(runtime.dues).toBeGreaterThan(3);
  });

  test("its close waits by that clock, too, and leaves no timer behind", async () => {
    const { runtime, server, client } = await pair();
    const listener = server.listen({ port: 7 });
    const connecting = client.connect({ address: "10.0.0.1", port: 7 });
    await runtime.moveTo(0);
    await connecting;
    const accepted = await listener.accept();
    let closed = false;
    void client.close({ timeout: 3_000 }).then(() => {
      closed = true;
    });
    await runtime.moveTo(2_999);
    expect(closed).toBe(false);
    await runtime.moveTo(3_200);
    expect(closed).toBe(true);
    void accepted.close();
    void server.close({ timeout: 10 });
    await runtime.moveTo(100_000);
    expect(Reflect.get(runtime, "timers").size).toBe(0);
  });
});
