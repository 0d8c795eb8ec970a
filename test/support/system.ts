/**
 * For tests against the kernel and real programs: what such a test needs, and a network namespace to run it in.
 *
 * A namespace here is a network namespace plus a process namespace, held by one process that reads from a pipe of
 * ours. Whatever way the test ends, the pipe closes with it, the holder ends, the kernel kills every process inside,
 * and the interfaces go. There are no names, so runs beside each other can't collide.
 */

import { dlopen } from "bun:ffi";
import { test } from "bun:test";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import type { Subprocess } from "bun";

/**
 * What a system test needs: `"tun"` is the TUN driver, anything else is a command that must be installed. Linux, root
 * and namespaces are needed by every system test.
 */
export type Needs = readonly string[];

/** What can be found out about this machine; replaced in the tests of this file. */
export interface Machine {
  readonly platform: string;
  readonly uid: number;
  hasFile(path: string): boolean;
  hasCommand(name: string): boolean;
  /** `null`, or why no namespace can be made. */
  namespaceProblem(): string | null;
}

let namespaceProblem: string | null | undefined;

const thisMachine: Machine = {
  platform: process.platform,
  uid: process.getuid?.() ?? -1,
  hasFile: existsSync,
  hasCommand: (name) => Bun.which(name) !== null,
  namespaceProblem(): string | null {
    if (namespaceProblem === undefined) {
      const { exitCode, stderr } = Bun.spawnSync(["unshare", "--net", "--pid", "--fork", "true"]);
      namespaceProblem = exitCode === 0 ? null : stderr.toString().trim() || `unshare ended with ${exitCode}`;
    }
    return namespaceProblem;
  },
};

/** Why a test that needs all this can't run here, or `null` where it can. */
export function requirement(needs: Needs, machine: Machine = thisMachine): string | null {
  if (machine.platform !== "linux") return `needs Linux, and this is ${machine.platform}`;
  if (machine.uid !== 0) return "needs root";
  for (const command of ["unshare", "nsenter", "ip", ...needs]) {
    if (command === "tun") {
      if (!machine.hasFile("/dev/net/tun")) return "needs /dev/net/tun";
    } else if (!machine.hasCommand(command)) {
      return `needs the command ${command}`;
    }
  }
  const problem = machine.namespaceProblem();
  return problem === null ? null : `needs network and process namespaces: ${problem}`;
}

/** Where the variable CI is set, a test that can't run has failed. */
export function isCi(value: string | undefined): boolean {
  return value !== undefined && value !== "" && value !== "0" && value.toLowerCase() !== "false";
}

/**
 * A test in a fresh namespace. Where something it needs is missing it is skipped, with the reason in its title; in CI
 * it fails with that reason.
 *
 * @example
 * ```ts
 * systemTest("the kernel's ping is answered", ["tun", "ping"], async (ns) => {
 *   const server = ns.start([process.execPath, "run", "examples/server.ts"]);
 *   await server.waitFor("ready");
 *   await ns.ok(["ping", "-c", "3", "-i", "0.01", "192.168.69.1"]);
 * });
 * ```
 */
export function systemTest(
  name: string,
  needs: Needs,
  body: (ns: Namespace) => Promise<void>,
  timeoutMs = 5000,
): void {
  const reason = requirement(needs);
  if (reason !== null) {
    if (isCi(process.env.CI)) {
      test(name, () => {
        throw new Error(`This test must run in CI, but it ${reason}.`);
      });
    } else {
      test.skip(`${name} (${reason})`, () => {});
    }
    return;
  }
  test(
    name,
    async () => {
      const ns = await Namespace.open();
      try {
        await body(ns);
      } finally {
        await ns.close();
      }
    },
    timeoutMs,
  );
}

/** How a command ended, and what it printed. */
export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

export interface RunOptions extends StartOptions {
  /** What the command reads; nothing unless told. */
  readonly stdin?: string | Uint8Array;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 4000;

/** A command that runs in a namespace. */
export class Running {
  stdout = "";
  stderr = "";
  private readonly command: readonly string[];
  private readonly process: Subprocess<"pipe", "pipe", "pipe">;
  private readonly ended: Promise<Ended>;
  private over = false;
  private changed = Promise.withResolvers<void>();

  constructor(command: readonly string[], process: Subprocess<"pipe", "pipe", "pipe">) {
    this.command = command;
    this.process = process;
    const reading = Promise.all([
      this.collect(process.stdout, (text) => {
        this.stdout += text;
      }),
      this.collect(process.stderr, (text) => {
        this.stderr += text;
      }),
    ]);
    this.ended = process.exited.then(async (exitCode) => {
      // A child that the command left behind may hold the pipes open for as long as it likes.
      const limit = timeout(200);
      await Promise.race([reading, limit.promise]);
      limit.cancel();
      this.over = true;
      this.announce();
      return { exitCode, stdout: this.stdout, stderr: this.stderr };
    });
  }

  private async collect(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      add(decoder.decode(chunk, { stream: true }));
      this.announce();
    }
  }

  private announce(): void {
    this.changed.resolve();
    this.changed = Promise.withResolvers<void>();
  }

  /** Waits until standard output or standard error has `pattern` in it; returns the match. */
  async waitFor(pattern: RegExp | string, timeoutMs = TIMEOUT_MS): Promise<RegExpMatchArray> {
    const expression = typeof pattern === "string" ? new RegExp(RegExp.escape(pattern)) : pattern;
    const limit = timeout(timeoutMs);
    try {
      for (;;) {
        const { promise } = this.changed;
        const match = this.stdout.match(expression) ?? this.stderr.match(expression);
        if (match !== null) return match;
        if (this.over) throw this.failure(`ended without printing ${pattern}`);
        if ((await Promise.race([promise, limit.promise])) === TIMED_OUT) {
          throw this.failure(`did not print ${pattern} within ${timeoutMs} ms`);
        }
      }
    } finally {
      limit.cancel();
    }
  }

  /** Waits for its end. */
  async end(timeoutMs = TIMEOUT_MS): Promise<Ended> {
    const limit = timeout(timeoutMs);
    const result = await Promise.race([this.ended, limit.promise]);
    limit.cancel();
    if (result !== TIMED_OUT) return result;
    await this.stop("SIGKILL");
    throw this.failure(`did not end within ${timeoutMs} ms`);
  }

  /** Types `text` on its standard input. */
  async write(text: string | Uint8Array): Promise<void> {
    this.process.stdin.write(text);
    await this.process.stdin.flush();
  }

  /** Ends its standard input. */
  closeInput(): void {
    this.process.stdin.end();
  }

  /** Sends a signal and waits for the end; after two seconds it is killed. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Ended> {
    const limit = timeout(2000);
    for (let sent = false; !this.over; ) {
      if (!sent) sent = this.signal(signal);
      // The process that is to get the signal may not be there yet: nsenter forks before it becomes the command.
      const pause = sent ? this.changed.promise : Bun.sleep(2);
      const result = await Promise.race([this.ended, pause, limit.promise]);
      if (result === TIMED_OUT) {
        this.signal("SIGKILL");
        this.process.kill("SIGKILL");
        break;
      }
    }
    limit.cancel();
    return this.ended;
  }

  /** Sends a signal to the command; `false` where it has not started yet. */
  signal(signal: NodeJS.Signals): boolean {
    const pid = childOf(this.process.pid);
    if (pid === null) return false;
    process.kill(pid, signal);
    return true;
  }

  private failure(what: string): Error {
    return new Error(
      `${this.command.join(" ")} ${what}\n--- stdout\n${this.stdout}\n--- stderr\n${this.stderr}`,
    );
  }
}

/** A network namespace with `lo` up, and nothing else in it. */
export class Namespace {
  private readonly holder: Subprocess<"pipe", "pipe", "pipe">;
  private readonly pid: number;
  private readonly started: Running[] = [];

  private constructor(holder: Subprocess<"pipe", "pipe", "pipe">, pid: number) {
    this.holder = holder;
    this.pid = pid;
  }

  static async open(): Promise<Namespace> {
    const script = "ip link set lo up && echo ready && exec cat";
    const holder = spawn(["unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", script], {});
    const reader = holder.stdout.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    const pid = childOf(holder.pid);
    if (value === undefined || pid === null) {
      throw new Error(`No namespace could be made: ${await new Response(holder.stderr).text()}`);
    }
    return new Namespace(holder, pid);
  }

  /** Starts a command that keeps running; it is killed with the namespace at the latest. */
  start(command: readonly string[], options: StartOptions = {}): Running {
    const running = new Running(
      command,
      spawn(["nsenter", "--target", `${this.pid}`, "--net", "--pid", "--", ...command], options),
    );
    this.started.push(running);
    return running;
  }

  /** Runs a command to its end, whatever its exit code. A command that does not end in time is killed, and throws. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const running = this.start(command, options);
    if (options.stdin !== undefined) await running.write(options.stdin);
    running.closeInput();
    return running.end(options.timeoutMs);
  }

  /** Runs a command that must succeed, and returns what it printed on standard output. */
  async ok(command: readonly string[], options: RunOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(command, options);
    if (exitCode === 0) return stdout;
    throw new Error(
      `${command.join(" ")} ended with ${exitCode}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`,
    );
  }

  /**
   * Calls `open` while this thread is in the network namespace, so that the sockets and interfaces it opens are there,
   * and stay usable from here. Only for what is done when `open` returns: nothing asynchronous.
   *
   * @example
   * ```ts
   * const device = ns.inside(() => openTun({ hostAddress: "192.168.69.100/24" }));
   * ```
   */
  inside<T>(open: () => T): T {
    return insideNetwork(this.network, open);
  }

  /** The file that stands for the network namespace, for `insideNetwork` in another process. */
  get network(): string {
    return `/proc/${this.pid}/ns/net`;
  }

  /**
   * A cable: two interfaces, both up, and a frame that goes into one comes out of the other. The second one is put into
   * another namespace where one is given. Neither end says anything of its own accord: IPv6 is off on both.
   */
  async veth(here: string, there: string, other: Namespace = this): Promise<void> {
    await this.ok(["ip", "link", "add", here, "type", "veth", "peer", "name", there]);
    if (other !== this) await this.ok(["ip", "link", "set", there, "netns", other.network]);
    for (const [ns, end] of [
      [this, here],
      [other, there],
    ] as const) {
      await ns.ok(["sysctl", "-qw", `net.ipv6.conf.${end}.disable_ipv6=1`]);
      await ns.ok(["ip", "link", "set", end, "up"]);
    }
  }

  /** Kills what runs in it; its interfaces go with the last process. Closing twice is fine. */
  async close(): Promise<void> {
    this.holder.stdin.end();
    await this.holder.exited;
    await Promise.all(this.started.map((running) => running.end()));
  }
}

/** Waits until `condition` holds, looking every few milliseconds. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = TIMEOUT_MS,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`Waited ${timeoutMs} ms in vain for: ${what}`);
    await Bun.sleep(5);
  }
}

let setns: ((fd: number, type: number) => number) | undefined;

/** What {@link Namespace.inside} does, with the namespace that a file such as `/proc/1/ns/net` stands for. */
export function insideNetwork<T>(file: string, open: () => T): T {
  const home = openSync("/proc/thread-self/ns/net", "r");
  const there = openSync(file, "r");
  try {
    enterNetwork(there);
    return open();
  } finally {
    enterNetwork(home);
    closeSync(home);
    closeSync(there);
  }
}

/** setns(2), which moves the calling thread only. */
function enterNetwork(fd: number): void {
  const CLONE_NEWNET = 0x40000000;
  setns ??= dlopen("libc.so.6", { setns: { args: ["i32", "i32"], returns: "i32" } }).symbols.setns;
  if (setns(fd, CLONE_NEWNET) !== 0) throw new Error("The thread could not change its network namespace.");
}

const TIMED_OUT = Symbol("timed out");

function timeout(ms: number): { promise: Promise<typeof TIMED_OUT>; cancel: () => void } {
  const { promise, resolve } = Promise.withResolvers<typeof TIMED_OUT>();
  const timer = setTimeout(() => resolve(TIMED_OUT), ms);
  return { promise, cancel: () => clearTimeout(timer) };
}

function spawn(command: readonly string[], options: StartOptions): Subprocess<"pipe", "pipe", "pipe"> {
  return Bun.spawn([...command], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  });
}

/** The first child of a process of ours, by its number outside of the namespace. */
function childOf(pid: number): number | null {
  try {
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    return first === "" ? null : Number(first);
  } catch {
    return null;
  }
}
