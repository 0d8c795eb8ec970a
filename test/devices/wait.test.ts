import { describe, expect, test } from "bun:test";
import { fault } from "../../devices/fault.ts";
import { memoryPair } from "../../devices/memory.ts";
import { observe } from "../../devices/observe.ts";
import { descriptorsOf, waitForAny } from "../../devices/wait.ts";
import { thrownBy } from "../support/errors.ts";
import { systemTest } from "../support/system.ts";
import { receiveAll, send } from "./frames.ts";
import { echoRequest } from "./icmp.ts";
import { openKind, recordEvents } from "./kernel-end.ts";

describe("waitForAny", () => {
  systemTest("wakes up for whichever device is readable, wrapped or not", ["tun"], async (ns) => {
    await ns.ok(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
    const plain = openKind(ns, "tun", { name: "wire1", hostAddress: "10.0.1.100/24" });
    const inner = openKind(ns, "tun", { name: "wire2", hostAddress: "10.0.2.100/24" });
    const wrapped = observe(inner, { received() {}, sending() {}, closing() {} });
    const devices = [plain, wrapped];
    try {
      // What the kernel says about interfaces that have just been made.
      await Bun.sleep(20);
      waitForAny(devices, 0);
      const start = performance.now();
      expect(waitForAny(devices, 30)).toBe(false);
      expect(performance.now() - start).toBeGreaterThan(29);
      expect(waitForAny(devices, 0)).toBe(false);
      for (let round = 0; round < 3; round++) {
        for (const [i, device] of devices.entries()) {
          send(device, echoRequest(`10.0.${i + 1}.1`, `10.0.${i + 1}.100`));
          expect(waitForAny(devices, 1000)).toBe(true);
          expect(waitForAny(devices, 1000)).toBe(true);
          expect(receiveAll(devices[1 - i])).toHaveLength(0);
          expect(receiveAll(device)).toHaveLength(1);
        }
      }
      expect(performance.now() - start).toBeLessThan(900);
    } finally {
      for (const device of devices) device.close();
    }
  });

  systemTest("brings what befalls a device, and comes back for it", ["tun"], async (ns) => {
    await ns.ok(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
    const devices = ["wire1", "wire2"].map((name) =>
      openKind(ns, "tun", { name, hostAddress: "10.0.1.100/24" }),
    );
    const events = recordEvents(devices[1]);
    try {
      ns.inside(() => Bun.spawnSync(["ip", "link", "set", "wire2", "down"]));
      const start = performance.now();
      while (events.length === 0) waitForAny(devices, 1000);
      expect(events).toEqual(["down"]);
      ns.inside(() => Bun.spawnSync(["ip", "link", "delete", "wire2"]));
      while (!events.includes("removed")) waitForAny(devices, 1000);
      expect(performance.now() - start).toBeLessThan(500);
      // The one that is gone keeps nobody from sleeping.
      const cpu = process.cpuUsage();
      expect(waitForAny(devices, 100)).toBe(false);
      expect(performance.now() - start).toBeGreaterThan(99);
      const { user, system } = process.cpuUsage(cpu);
      expect(user + system).toBeLessThan(50_000);
    } finally {
      for (const device of devices) device.close();
    }
  });

  systemTest("wakes up for what a device is to try again", ["tun"], async (ns) => {
    const device = openKind(ns, "tun", { name: "wire1" });
    const events = recordEvents(device);
    ns.inside(() => Bun.spawnSync(["ip", "link", "delete", "wire1"]));
    const holder = openKind(ns, "tun", { name: "wire1", hostAddress: "10.0.1.100/24" });
    const start = performance.now();
    const isTold = () => events.at(-1)?.startsWith("error EBUSY") === true;
    while (!isTold() && performance.now() - start < 3000) waitForAny([device], 3000);
    expect(isTold()).toBe(true);
    expect(performance.now() - start).toBeLessThan(2500);
    holder.close();
    device.close();
  });

  systemTest("wakes up for a frame that a wrapper delays", ["tun"], async (ns) => {
    await ns.ok(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
    const inner = openKind(ns, "tun", { name: "wire1", hostAddress: "10.0.1.100/24" });
    const device = observe(fault(inner, { delayMs: 30 }), { received() {}, sending() {}, closing() {} });
    try {
      // What the kernel says about an interface that has just been made.
      await Bun.sleep(20);
      receiveAll(device);
      send(inner, echoRequest("10.0.1.1", "10.0.1.100"));
      const start = performance.now();
      while (receiveAll(device).length === 0 && performance.now() - start < 3000) waitForAny([device], 1000);
      expect(performance.now() - start).toBeGreaterThan(29);
      expect(performance.now() - start).toBeLessThan(900);
    } finally {
      device.close();
    }
  });

  test("says which device it can't wait for", () => {
    const [end] = memoryPair();
    const error = thrownBy(() => waitForAny([end], 10));
    expect(error.code).toBe("ENOTSUP");
    expect(error.message).toContain("Device number 0");
    expect(descriptorsOf(fault(end, {}))).toBeUndefined();
    expect(waitForAny([], 1)).toBe(false);
  });
});
