import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import type { LinkListener } from "../../devices/linux/link-monitor.ts";
import { RouteSocket } from "../../devices/linux/netlink.ts";
import { openTun } from "../../devices/tun.ts";
import { type Device, Frame } from "../../src/device.ts";
import { thrownBy } from "../support/errors.ts";
import { systemTest, until } from "../support/system.ts";
import { send } from "./frames.ts";
import { echoRequest } from "./icmp.ts";
import {
  drain,
  echoClient,
  KERNEL,
  KINDS,
  openKind,
  recordEvents,
  STACK,
  withEcho,
  withKind,
} from "./kernel-end.ts";

const DEVICES = `${import.meta.dir}/../../devices/index.ts`;
const openDescriptors = () => readdirSync("/proc/self/fd").length;

for (const kind of KINDS) {
  describe(`what befalls a ${kind} device`, () => {
    systemTest("set down and up, and another MTU", ["tun"], async (ns) => {
      await withKind(ns, kind, {}, async (device) => {
        const events = recordEvents(device);
        await ns.ok(["ip", "link", "set", "wire0", "down"]);
        await until("down", () => events.length === 1);
        await ns.ok(["ip", "link", "set", "wire0", "mtu", "1400"]);
        await ns.ok(["ip", "link", "set", "wire0", "up"]);
        await until("up", () => events.length === 3);
        expect(events).toEqual(["down", "mtu 1400", "up"]);
        expect(device.capabilities.mtu).toBe(1400);
        await ns.ok(["ip", "link", "set", "wire0", "mtu", "9000"]);
        await until("the MTU", () => device.capabilities.mtu === 9000);
        expect(device.capabilities.medium).toBe(kind === "tun" ? "ip" : "ethernet");
        await ns.ok(["ip", "link", "set", "lo", "mtu", "9000"]);
        await Bun.sleep(10);
        expect(events).toEqual(["down", "mtu 1400", "up", "mtu 9000"]);
      });
    });

    systemTest("removed, and made again: it is set up as before", ["tun"], async (ns) => {
      await withKind(ns, kind, { mtu: 1300, queueLength: 77 }, async (device) => {
        drain(device);
        const events = recordEvents(device);
        for (let i = 0; i < 3; i++) {
          events.length = 0;
          await ns.ok(["ip", "link", "delete", "wire0"]);
          await until("the removal", () => events.includes("removed"));
          send(device, new Uint8Array(64));
          expect(device.counts.lastError).toBe("EBADFD");
          await ns.ok(["ip", "tuntap", "add", "dev", "wire0", "mode", kind]);
          await until("its return", () => events.includes("up"));
          expect(events).toEqual(["removed", "up"]);
          const shown = await ns.ok(["ip", "address", "show", "dev", "wire0"]);
          expect(shown).toMatch(/mtu 1300 .*qlen 77/);
          expect(shown).toContain(`${KERNEL}/24`);
        }
        const { received } = device.counts;
        await ns.run(["ping", "-c", "1", "-W", "0.2", STACK]);
        await until("a frame", () => device.counts.received > received);
      });
      expect(await ns.ok(["ip", "-o", "link"])).toContain("wire0");
    });

    systemTest(
      "removed during a transfer, which goes on afterwards",
      ["tun", "python3"],
      async (ns) => {
        await withKind(ns, kind, {}, async (device) => {
          await withEcho(device, async (events) => {
            const client = ns.start(echoClient(4 << 20, 5));
            await client.waitFor("connected");
            await Bun.sleep(50);
            await ns.ok(["ip", "link", "delete", "wire0"]);
            await until("the removal", () => events.includes("removed"));
            await ns.ok(["ip", "tuntap", "add", "dev", "wire0", "mode", kind]);
            expect((await client.end(8000)).stdout).toContain(`${4 << 20} the same`);
            expect(events).toEqual(["removed", "up"]);
          });
        });
      },
      12_000,
    );

    systemTest(
      "set down and up during a transfer, which goes on",
      ["tun", "python3"],
      async (ns) => {
        await withKind(ns, kind, {}, async (device) => {
          await withEcho(device, async (events) => {
            const client = ns.start(echoClient(4 << 20, 5));
            await client.waitFor("connected");
            for (let i = 0; i < 2; i++) {
              await Bun.sleep(40);
              await ns.ok(["ip", "link", "set", "wire0", "down"]);
              await Bun.sleep(20);
              await ns.ok(["ip", "link", "set", "wire0", "up"]);
            }
            expect((await client.end(8000)).stdout).toContain(`${4 << 20} the same`);
            expect(events).toEqual(["down", "up", "down", "up"]);
          });
        });
      },
      12_000,
    );
  });
}

describe("what befalls a TUN device", () => {
  systemTest("what the news says is also told by wait, without the event loop", ["tun"], async (ns) => {
    await withKind(ns, "tun", {}, async (device) => {
      const frame = new Frame(new Uint8Array(0));
      const events = recordEvents(device);
      await ns.ok(["ip", "link", "set", "wire0", "down"]);
      await until("the news of it", () => events.length > 0);
      // From here on the loop does not turn.
      expect(events).toEqual(["down"]);
      const inside = (...command: string[]) => ns.inside(() => Bun.spawnSync(command));
      inside("ip", "link", "set", "wire0", "up");
      const start = performance.now();
      while (!events.includes("up")) {
        while (device.receive(frame));
        device.wait(1000);
      }
      expect(performance.now() - start).toBeLessThan(500);
      inside("ip", "link", "delete", "wire0");
      while (!events.includes("removed")) device.wait(1000);
      // Nothing is left to wait for but news, and so it sleeps.
      const cpu = process.cpuUsage();
      expect(device.wait(100)).toBe(false);
      const { user, system } = process.cpuUsage(cpu);
      expect(user + system).toBeLessThan(50_000);
      inside("ip", "tuntap", "add", "dev", "wire0", "mode", "tun");
      while (events.at(-1) !== "up") device.wait(1000);
      expect(events).toEqual(["down", "up", "removed", "up"]);
      expect(performance.now() - start).toBeLessThan(2000);
    });
  });

  systemTest(
    "another kind of interface of the name is an error, and the right one works",
    ["tun"],
    async (ns) => {
      await withKind(ns, "tun", {}, async (device) => {
        const events = recordEvents(device);
        await ns.ok(["ip", "link", "delete", "wire0"]);
        await ns.ok(["ip", "tuntap", "add", "dev", "wire0", "mode", "tap"]);
        await until("the error", () => events.at(-1)?.startsWith("error") === true);
        await ns.ok(["ip", "link", "set", "wire0", "up"]);
        await Bun.sleep(20);
        expect(events).toHaveLength(2);
        expect(events[1]).toMatch(/^error EINVAL The TUN interface wire0 exists, but as another kind/);
        await ns.ok(["ip", "link", "delete", "wire0"]);
        await ns.ok(["ip", "tuntap", "add", "dev", "wire0", "mode", "tun"]);
        await until("up", () => events.at(-1) === "up");
      });
    },
  );

  systemTest(
    "an interface that its maker still holds is taken up when it is let go",
    ["tun", "python3"],
    async (ns) => {
      await withKind(ns, "tun", {}, async (device) => {
        const events = recordEvents(device);
        await ns.ok(["ip", "link", "delete", "wire0"]);
        await until("the removal", () => events.includes("removed"));
        const script = `
import fcntl, struct, time
fd = open("/dev/net/tun", "r+b", buffering=0)
fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"wire0", 0x1001))
fcntl.ioctl(fd, 0x400454cb, 1)
time.sleep(0.1)`;
        await ns.ok(["python3", "-c", script]);
        await until("its return", () => events.length > 1);
        expect(events).toEqual(["removed", "up"]);
      });
    },
  );

  systemTest(
    "an interface of the name that another program holds is an error after a second",
    ["tun"],
    async (ns) => {
      await withKind(ns, "tun", {}, async (device) => {
        const events = recordEvents(device);
        await ns.ok(["ip", "link", "delete", "wire0"]);
        await until("the removal", () => events.includes("removed"));
        const other = ns.start([
          process.execPath,
          "-e",
          `const { openTun } = await import(${JSON.stringify(DEVICES)});
         openTun({ name: "wire0" }).onReadable(() => {});
         console.log("open");`,
        ]);
        await other.waitFor("open");
        await until("the error", () => events.at(-1)?.startsWith("error") === true);
        expect(events.at(-1)).toMatch(/^error EBUSY The TUN interface wire0 is held by another program/);
        await other.stop("SIGKILL");
        await ns.ok(["ip", "tuntap", "add", "dev", "wire0", "mode", "tun"]);
        await until("up", () => events.at(-1) === "up");
      });
    },
  );

  systemTest("the right to set it up again was lost: an error says so", ["tun", "setpriv"], async (ns) => {
    // Opened by a program that gives its privileges up then: the interface is its own, the settings are not.
    const program = ns.start([
      process.execPath,
      "-e",
      `const { openTun } = await import(${JSON.stringify(DEVICES)});
       const device = openTun({ name: "wire0", hostAddress: "${KERNEL}/24" });
       device.onReadable(() => {});
       device.onEvent((event) => console.log(event.type, event.error?.message ?? ""));
       process.setgid(65534); process.setuid(65534);
       console.log("open");`,
    ]);
    await program.waitFor("open");
    await ns.ok(["ip", "link", "delete", "wire0"]);
    await program.waitFor("removed");
    await ns.ok(["ip", "tuntap", "add", "dev", "wire0", "mode", "tun", "user", "root"]);
    await program.waitFor(/error The TUN interface wire0 may not be opened.*CAP_NET_ADMIN/);
    await ns.ok(["ip", "link", "delete", "wire0"]);
    await ns.ok(["ip", "tuntap", "add", "dev", "wire0", "mode", "tun", "user", "65534"]);
    await program.waitFor(/error Could not add the address 192.168.69.100\/24 on wire0 \(EPERM\)/);
    await ns.ok(["ip", "link", "set", "wire0", "up"]);
    await program.waitFor(/^up/m);
  });

  systemTest("a renamed interface is looked for under its new name", ["tun"], async (ns) => {
    await withKind(ns, "tun", {}, async (device) => {
      const events = recordEvents(device);
      await ns.ok(["ip", "link", "set", "wire0", "down"]);
      await ns.ok(["ip", "link", "set", "wire0", "name", "wire9"]);
      await ns.ok(["ip", "link", "set", "wire9", "up"]);
      await until("up", () => events.includes("up"));
      expect(device.name).toBe("wire9");
      await ns.ok(["ip", "link", "delete", "wire9"]);
      await ns.ok(["ip", "tuntap", "add", "dev", "wire9", "mode", "tun"]);
      await until("up again", () => events.filter((event) => event === "up").length === 2);
    });
  });

  systemTest(
    "moved to another network namespace: its frames pass, and an error says the rest",
    ["tun"],
    async (ns) => {
      await withKind(ns, "tun", {}, async (device) => {
        const events = recordEvents(device);
        const script = "echo $$; read _; ip link set wire0 up; echo done; read _";
        const there = ns.start(["unshare", "--net", "sh", "-c", script]);
        const [pid] = await there.waitFor(/\d+/);
        await ns.ok(["ip", "link", "set", "wire0", "netns", pid]);
        await until("the error", () => events.some((event) => event.startsWith("error")));
        expect(events.at(-1)).toMatch(/^error ENODEV wire0 was moved to another network namespace/);
        await there.write("\n");
        await there.waitFor("done");
        send(device, echoRequest(STACK, KERNEL));
        expect(device.counts.transmitted).toBe(1);
      });
    },
  );

  systemTest(
    "a full queue loses frames, and everything works again afterwards",
    ["tun", "python3", "ping"],
    async (ns) => {
      await withKind(ns, "tun", { queueLength: 10 }, async (device) => {
        const flood = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(2000): s.sendto(b"x" * 1000, ("${STACK}", 9))`;
        await ns.ok(["python3", "-c", flood]);
        const statistics = JSON.parse(await ns.ok(["ip", "-json", "-s", "link", "show", "dev", "wire0"]));
        expect(statistics[0].stats64.tx.dropped).toBeGreaterThan(1900);
        await withEcho(device, async () => {
          expect(await ns.ok(["ping", "-c", "10", "-i", "0.01", "-q", STACK])).toContain(" 0% packet loss");
        });
        expect(device.counts.received).toBeLessThan(200);
      });
    },
  );

  systemTest("SIGKILL leaves nothing, and the name is free at once", ["tun"], async (ns) => {
    for (let i = 0; i < 3; i++) {
      const program = ns.start([
        process.execPath,
        "-e",
        `const { openTun, openTap } = await import(${JSON.stringify(DEVICES)});
         openTun({ name: "wire0" }).onReadable(() => {});
         openTap({ name: "wire1" }).onReadable(() => {});
         console.log("open");`,
      ]);
      await program.waitFor("open");
      expect(await ns.ok(["ip", "-o", "link"])).toMatch(/wire0[\s\S]*wire1/);
      await program.stop("SIGKILL");
      expect(await ns.ok(["ip", "-o", "link"])).not.toContain("wire");
      openKind(ns, "tun", { name: "wire0" }).close();
      openKind(ns, "tap", { name: "wire1" }).close();
    }
  });
});

systemTest(
  "an interface that vanishes while it is taken up is made anew, and set up",
  ["tun"],
  async (ns) => {
    await withKind(ns, "tap", { mtu: 1300 }, async (device) => {
      const events = recordEvents(device);
      const routes = ns.inside(() => new RouteSocket());
      const stale = routes.link("wire0")!;
      routes.close();
      await ns.ok(["ip", "link", "delete", "wire0"]);
      await until("the removal", () => events.includes("removed"));
      ns.inside(() => (device as Device as LinkListener & Device).linkAppeared(stale));
      expect(events).toEqual(["removed", "up"]);
      const shown = await ns.ok(["ip", "address", "show", "dev", "wire0"]);
      expect(shown).toMatch(/mtu 1300/);
      expect(shown).toContain(`${KERNEL}/24`);
      await ns.ok(["ip", "link", "set", "wire0", "mtu", "1200"]);
      await until("the MTU", () => device.capabilities.mtu === 1200);
    });
  },
);

describe("descriptors of TUN and TAP devices", () => {
  systemTest("a closed device has none to wait for", ["tun"], async (ns) => {
    const device = openKind(ns, "tun");
    expect(device.descriptors).toHaveLength(2);
    device.close();
    expect(device.descriptors).toEqual([]);
    expect(device.wait(10)).toBe(false);
  });

  systemTest("opening, closing, failing and coming back leave none behind", ["tun"], async (ns) => {
    // Whatever the first use opens for good.
    openKind(ns, "tun").close();
    const before = openDescriptors();
    for (const kind of KINDS) {
      for (let i = 0; i < 5; i++) {
        const device = openKind(ns, kind);
        drain(device);
        expect(thrownBy(() => openKind(ns, kind)).code).toBe("EBUSY");
        device.close();
        expect(thrownBy(() => openKind(ns, kind, { hostAddress: "ff02::1/64" })).message).toContain(
          "ff02::1",
        );
        expect(thrownBy(() => openKind(ns, kind, { name: "lo" })).code).toBe("EINVAL");
      }
      // Pipes of programs that other tests ran may be closed meanwhile.
      expect(openDescriptors()).toBeLessThanOrEqual(before);
      await withKind(ns, kind, {}, async (device) => {
        const events = recordEvents(device);
        const while_open = openDescriptors();
        for (let i = 1; i <= 3; i++) {
          await ns.ok(["ip", "link", "delete", "wire0"]);
          await ns.ok(["ip", "tuntap", "add", "dev", "wire0", "mode", kind]);
          await until("up", () => events.filter((event) => event === "up").length === i);
        }
        await until("the descriptors", () => openDescriptors() <= while_open);
      });
      await ns.ok(["ip", "link", "delete", "wire0"]);
      await until("the descriptors", () => openDescriptors() <= before);
    }
  });

  test("an option that can't be opens nothing", () => {
    const before = openDescriptors();
    expect(thrownBy(() => openTun({ mtu: 1 })).code).toBe("EINVAL");
    // Pipes of programs that other tests ran may be closed meanwhile.
    expect(openDescriptors()).toBeLessThanOrEqual(before);
  });
});
