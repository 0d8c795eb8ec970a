import { afterAll, describe, expect } from "bun:test";
import { closeSync, constants, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readiness } from "../../../devices/linux/readiness.ts";
import {
  acquireSignal,
  getUp,
  goToSleep,
  releaseSignal,
  type Sleeper,
} from "../../../devices/linux/sigio.ts";
import { systemTest, until } from "../../support/system.ts";
import { laterTurn } from "../frames.ts";

const paths: string[] = [];
afterAll(() => {
  for (const path of paths) rmSync(path);
});

/** A pipe that is written and read through one descriptor. */
function openPipe(): number {
  const path = join(tmpdir(), `tapwire-pipe-${process.pid}-${paths.length}`);
  Bun.spawnSync(["mkfifo", path]);
  paths.push(path);
  return openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
}

async function withPipe(body: (fd: number, readiness: Readiness) => Promise<void>): Promise<void> {
  const fd = openPipe();
  const readiness = new Readiness(fd);
  try {
    await body(fd, readiness);
  } finally {
    readiness.close();
    closeSync(fd);
  }
}

const byte = new Uint8Array(1);
const put = (fd: number) => void writeSync(fd, "x");
const take = (fd: number) => void readSync(fd, byte);

/** A reader that answers at once, `count` times: what comes next comes in the next turn. */
async function exchange(fd: number, readiness: Readiness, count: number): Promise<void> {
  let left = count;
  readiness.watch(() => {
    if (left === 0) return;
    if (left-- < count) take(fd);
    readiness.rest();
    if (left > 0) setImmediate(() => put(fd));
  });
  await until("the exchanges", () => left === 0);
}

describe("readiness of a descriptor", () => {
  systemTest("calls back once after each rest, by a signal", [], async () => {
    await withPipe(async (fd, readiness) => {
      let calls = 0;
      readiness.watch(() => void calls++);
      await laterTurn();
      expect(calls).toBe(1);
      put(fd);
      await Bun.sleep(5);
      expect(calls).toBe(1);
      take(fd);
      readiness.rest();
      await Bun.sleep(5);
      expect(calls).toBe(1);
      put(fd);
      put(fd);
      await until("the callback", () => calls === 2);
      await Bun.sleep(5);
      expect(calls).toBe(2);
    });
  });

  systemTest("what comes between the last look and the rest is not missed", [], async () => {
    await withPipe(async (fd, readiness) => {
      let calls = 0;
      readiness.watch(() => void calls++);
      await laterTurn();
      put(fd);
      readiness.rest();
      expect(calls).toBe(1);
      await until("the callback", () => calls === 2);
    });
  });

  systemTest("stays awake where that pays, without a signal, and then sleeps", [], async () => {
    await withPipe(async (fd, readiness) => {
      let signals = 0;
      const count = () => void signals++;
      process.on("SIGIO", count);
      await exchange(fd, readiness, 50);
      expect(signals).toBeLessThan(25);
      process.off("SIGIO", count);
      // The last rest began a while of staying awake, which ends.
      await Bun.sleep(5);
      const start = process.cpuUsage();
      await Bun.sleep(300);
      const { user, system } = process.cpuUsage(start);
      expect(user + system).toBeLessThan(30_000);
      let woken = false;
      readiness.watch(() => {
        woken = true;
      });
      put(fd);
      await until("the callback", () => woken);
    });
  });

  systemTest("is silent while paused, and after close", [], async () => {
    await withPipe(async (fd, readiness) => {
      let calls = 0;
      readiness.watch(() => void calls++);
      await laterTurn();
      readiness.rest();
      readiness.pause();
      put(fd);
      await Bun.sleep(5);
      expect(calls).toBe(1);
      readiness.resume();
      await until("the callback", () => calls === 2);
      readiness.rest();
      readiness.close();
      await Bun.sleep(5);
      expect(calls).toBe(2);
      readiness.rest();
      readiness.close();
    });
    expect(process.listenerCount("SIGIO")).toBe(0);
  });

  systemTest("one signal wakes all that it may be for, and no other", [], async () => {
    const woken: number[] = [];
    const sleeper = (descriptor: number): Sleeper => ({
      descriptor,
      wake() {
        woken.push(descriptor);
        getUp(this);
      },
    });
    const sleepers = [openPipe(), openPipe(), openPipe(), openPipe()].map(sleeper);
    acquireSignal();
    try {
      for (const each of sleepers) goToSleep(each);
      put(sleepers[0].descriptor);
      put(sleepers[2].descriptor);
      process.emit("SIGIO", "SIGIO");
      expect(woken).toEqual([sleepers[0].descriptor, sleepers[2].descriptor]);
      process.emit("SIGIO", "SIGIO");
      expect(woken).toHaveLength(2);
    } finally {
      for (const each of sleepers) getUp(each);
      releaseSignal();
      for (const each of sleepers) closeSync(each.descriptor);
    }
  });
});
