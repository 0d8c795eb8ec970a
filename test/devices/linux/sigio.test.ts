import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { openTun } from "../../../devices/tun.ts";
import { Frame } from "../../../src/device.ts";
import { type Namespace, systemTest, until } from "../../support/system.ts";
import { laterTurn, send } from "../frames.ts";
import { echoRequest } from "../icmp.ts";
import { drain, KERNEL, openKind, STACK } from "../kernel-end.ts";

const TUN_MODULE = `${import.meta.dir}/../../../devices/tun.ts`;
const FRAME_MODULE = `${import.meta.dir}/../../../src/device.ts`;
/** Bytes of an echo request and its answer. */
const ECHO_LENGTH = echoRequest(STACK, KERNEL).length;
const SIGIO_BIT = 1n << 28n;

/** What the process does at SIGIO, as the kernel has it. */
function disposition(): string {
  const status = readFileSync("/proc/self/status", "utf8");
  const has = (set: string) =>
    (BigInt(`0x${status.match(new RegExp(`${set}:\\s*(\\w+)`))?.[1]}`) & SIGIO_BIT) !== 0n;
  return has("SigCgt") ? "caught" : has("SigIgn") ? "ignored" : "default";
}

const child = (ns: Namespace, script: string, env: Record<string, string> = {}) =>
  ns.start(
    [
      process.execPath,
      "-e",
      `const { openTun } = await import(${JSON.stringify(TUN_MODULE)});
     const { Frame } = await import(${JSON.stringify(FRAME_MODULE)});
     ${script}`,
    ],
    { env },
  );

describe("the handler of SIGIO", () => {
  systemTest("comes with the first device that is watched, and goes with the last", ["tun"], async (ns) => {
    expect(process.listenerCount("SIGIO")).toBe(0);
    expect(disposition()).toBe("default");
    const one = openKind(ns, "tun", { name: "one" });
    expect(disposition()).toBe("default");
    const two = ns.inside(() => openTun({ name: "two" }));
    drain(one);
    drain(two);
    expect(process.listenerCount("SIGIO")).toBe(1);
    expect(disposition()).toBe("caught");
    one.close();
    expect(process.listenerCount("SIGIO")).toBe(1);
    expect(disposition()).toBe("caught");
    two.close();
    two.close();
    expect(process.listenerCount("SIGIO")).toBe(0);
    expect(disposition()).toBe("default");
  });

  systemTest("leaves a handler of the program's alone, whichever came first", ["tun"], async (ns) => {
    let calls = 0;
    const handler = () => void calls++;
    for (const order of ["before", "after"]) {
      if (order === "before") process.on("SIGIO", handler);
      const device = openKind(ns, "tun");
      drain(device);
      if (order === "after") process.on("SIGIO", handler);
      const { received } = device.counts;
      process.kill(process.pid, "SIGIO");
      await until("the program's handler", () => calls > 0);
      send(device, echoRequest(STACK, KERNEL));
      await until("a frame", () => device.counts.received > received);
      device.close();
      expect(process.listenerCount("SIGIO")).toBe(1);
      expect(disposition()).toBe("caught");
      calls = 0;
      process.kill(process.pid, "SIGIO");
      await until("the program's handler alone", () => calls > 0);
      process.off("SIGIO", handler);
      await laterTurn();
      expect(disposition()).toBe("default");
    }
  });

  systemTest("no signal that is late ends the process", ["tun", "ping"], async (ns) => {
    // Frames come all the time, at a rate that lets the device sleep in between, while devices open and close.
    const program = child(
      ns,
      `console.log("start");
       const end = performance.now() + 700;
       let rounds = 0, frames = 0;
       while (performance.now() < end) {
         const device = openTun({ name: "wire0", hostAddress: "${KERNEL}/24" });
         const frame = new Frame(new Uint8Array(0));
         device.onReadable(() => { while (device.receive(frame)) frames++; });
         const other = rounds % 2 === 0 ? openTun({ name: "wire1" }) : null;
         other?.onReadable(() => {});
         for (let i = rounds % 7; i > 0; i--) await new Promise((resolve) => setImmediate(resolve));
         if (rounds % 3 === 0) await Bun.sleep(1);
         device.close();
         other?.close();
         if (process.listenerCount("SIGIO") !== 0) throw new Error("a handler is left");
         rounds++;
       }
       console.log("survived", rounds, frames);`,
    );
    await program.waitFor("start");
    const noise = `
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.time() + 0.8
while time.time() < end:
    try: s.sendto(b"x", ("${STACK}", 9))
    except OSError: pass
`;
    await ns.ok(["python3", "-c", noise]);
    const { exitCode, stdout } = await program.end();
    expect(stdout).toMatch(/survived \d+ \d+/);
    const [rounds, frames] = stdout
      .match(/survived (\d+) (\d+)/)!
      .slice(1)
      .map(Number);
    expect(rounds).toBeGreaterThan(10);
    expect(frames).toBeGreaterThan(10);
    expect(exitCode).toBe(0);
  });

  systemTest("not even one that was sent and not delivered before the handler went", ["tun"], async (ns) => {
    const program = child(
      ns,
      `const { dlopen } = await import("bun:ffi");
       const { send } = await import(${JSON.stringify(`${import.meta.dir}/../frames.ts`)});
       const { echoRequest } = await import(${JSON.stringify(`${import.meta.dir}/../icmp.ts`)});
       const symbols = { pthread_sigmask: { args: ["i32", "ptr", "ptr"], returns: "i32" } };
       const c = dlopen("libc.so.6", symbols).symbols;
       const [BLOCK, UNBLOCK] = [0, 1];
       const sigio = new Uint8Array(128);
       sigio[3] = 1 << 4;
       for (let i = 0; i < 20; i++) {
         const device = openTun({ name: "wire0", hostAddress: "${KERNEL}/24" });
         const frame = new Frame(new Uint8Array(0));
         device.onReadable(() => { while (device.receive(frame)); });
         await Bun.sleep(1);
         c.pthread_sigmask(BLOCK, sigio, null);
         // The kernel answers, and so sends the signal, before this returns.
         send(device, echoRequest("${STACK}", "${KERNEL}"));
         device.close();
         c.pthread_sigmask(UNBLOCK, sigio, null);
       }
       console.log("survived");`,
      // No thread of the engine's that would take the signal instead.
      { BUN_JSC_useConcurrentJIT: "0" },
    );
    expect((await program.end()).stdout).toBe("survived\n");
  });

  systemTest("a callback that throws leaves other devices awake", ["tun"], async (ns) => {
    const program = child(
      ns,
      `process.on("uncaughtException", (error) => console.log("caught", error.message));
       const frame = new Frame(new Uint8Array(0));
       const devices = [1, 2].map((i) => openTun({ name: "wire" + i, hostAddress: "10.0." + i + ".100/24" }));
       const awake = [0, 0];
       devices.forEach((device, i) => device.onReadable(() => {
         while (device.receive(frame)) if (frame.bytes[frame.offset] === 0x45) awake[i]++;
         console.log("awake", ...awake);
         if (awake[i] > 0) throw new Error("on purpose");
       }));
       console.log("ready");`,
    );
    await program.waitFor("ready");
    const both = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in (1, 2): s.sendto(b"x", ("10.0.%d.1" % i, 9))`;
    await ns.ok(["python3", "-c", both]);
    await program.waitFor("awake 1 1");
    await program.waitFor("caught on purpose");
  });
});

describe("readiness at rest", () => {
  systemTest("an idle device, and one whose interface is gone, cost nothing", ["tun"], async (ns) => {
    await ns.ok(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
    const program = child(
      ns,
      `const frame = new Frame(new Uint8Array(0));
       const device = openTun({ name: "wire0", hostAddress: "${KERNEL}/24" });
       device.onReadable(() => { while (device.receive(frame)); });
       device.onEvent((event) => console.log(event.type));
       const measure = async (what) => {
         await Bun.sleep(100);
         const start = process.cpuUsage();
         await Bun.sleep(500);
         const { user, system } = process.cpuUsage(start);
         console.log(what, (user + system) / 500_000);
       };
       await measure("idle");
       process.stdin.once("data", () => measure("gone"));
       console.log("ready");`,
    );
    await program.waitFor("ready");
    expect(Number((await program.waitFor(/idle (\S+)\n/))[1])).toBeLessThan(0.01);
    await ns.ok(["ip", "link", "delete", "wire0"]);
    await program.waitFor("removed");
    await program.write("\n");
    expect(Number((await program.waitFor(/gone (\S+)\n/))[1])).toBeLessThan(0.01);
  });

  systemTest("what is sent right behind a read costs no signal for each answer", ["tun"], async (ns) => {
    const [rounds, burst] = [20, 50];
    let signals = 0;
    const count = () => void signals++;
    process.on("SIGIO", count);
    const device = openKind(ns, "tun");
    const frame = new Frame(new Uint8Array(0));
    let calls = 0;
    let answers = 0;
    device.onReadable(() => {
      while (device.receive(frame)) if (frame.length === ECHO_LENGTH) answers++;
      if (calls++ >= rounds) return;
      for (let i = 0; i < burst; i++) send(device, echoRequest(STACK, KERNEL));
    });
    await until("every answer", () => answers === rounds * burst);
    process.off("SIGIO", count);
    device.close();
    expect(signals).toBeLessThan(4 * rounds);
  });

  systemTest("slow traffic does not keep it awake", ["tun", "ping"], async (ns) => {
    const program = child(
      ns,
      `const frame = new Frame(new Uint8Array(0));
       const device = openTun({ name: "wire0", hostAddress: "${KERNEL}/24" });
       let frames = 0;
       device.onReadable(() => { while (device.receive(frame)) frames++; });
       console.log("ready");
       await Bun.sleep(400);
       const start = process.cpuUsage();
       frames = 0;
       await Bun.sleep(1000);
       const { user, system } = process.cpuUsage(start);
       console.log("busy", (user + system) / 1e6, frames);
       device.close();`,
    );
    await program.waitFor("ready");
    await ns.run(["ping", "-i", "0.01", "-w", "2", "-q", STACK]);
    const [, busy, frames] = await program.waitFor(/busy (\S+) (\d+)/);
    expect(Number(frames)).toBeGreaterThan(20);
    // A turn of the loop costs some tens of microseconds a frame; staying awake 50 more for each would be twice that.
    expect(Number(busy) / Number(frames)).toBeLessThan(0.0005);
  });
});

test("nothing of this file is left", () => {
  expect(process.listenerCount("SIGIO")).toBe(0);
});
