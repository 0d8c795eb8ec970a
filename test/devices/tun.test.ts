import { describe, expect, test } from "bun:test";
import { openTun, type TunDevice, type TunOptions } from "../../devices/tun.ts";
import { Frame } from "../../src/device.ts";
import { parseCidr } from "../../src/wire/ip-address.ts";
import { thrownBy } from "../support/errors.ts";
import { type Namespace, systemTest, until } from "../support/system.ts";
import { laterTurn, receiveBytes, send } from "./frames.ts";
import { answerEchoes, echoRequest } from "./icmp.ts";

const HOST = "192.168.69.100";
const US = "192.168.69.1";
const TUN_MODULE = `${import.meta.dir}/../../devices/tun.ts`;

/** Opens a device in the namespace and closes it behind the body. */
async function withTun(
  ns: Namespace,
  options: TunOptions,
  body: (device: TunDevice) => Promise<void> | void,
): Promise<void> {
  const device = ns.inside(() => openTun({ hostAddress: `${HOST}/24`, ...options }));
  try {
    await body(device);
  } finally {
    device.close();
  }
}

/** The next IPv4 packet from the kernel; it sends some IPv6 of its own accord. */
function nextIpv4(device: TunDevice): number[] {
  for (;;) {
    const packet = receiveBytes(device);
    if (packet !== null && packet[0] >> 4 === 4) return packet;
    if (packet === null && !device.wait(1000)) throw new Error("no packet came");
  }
}

interface Link {
  ifname: string;
  mtu: number;
  txqlen: number;
  flags: string[];
}

async function links(ns: Namespace): Promise<Link[]> {
  return JSON.parse(await ns.ok(["ip", "-json", "link", "show"]));
}

/** Runs a program that opens a device, and returns how that went: the error's code and sentence, or the name. */
async function openElsewhere(ns: Namespace, wrapper: string[], options: TunOptions): Promise<string> {
  const script = `
    const { openTun } = await import(${JSON.stringify(TUN_MODULE)});
    try {
      console.log(openTun(${JSON.stringify(options)}).name);
      process.exit(0);
    } catch (error) {
      console.log(error.name, error.code, error.message);
    }
  `;
  return (await ns.ok([...wrapper, process.execPath, "-e", script])).trim();
}

const WITHOUT_PRIVILEGES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];

describe("openTun", () => {
  systemTest(
    "makes an interface with address, MTU and queue length, and brings it up",
    ["tun"],
    async (ns) => {
      await withTun(ns, { name: "wire7", mtu: 1280, queueLength: 77 }, async (device) => {
        expect(device.name).toBe("wire7");
        expect(device.capabilities).toEqual({
          medium: "ip",
          mtu: 1280,
          checksumOffload: true,
          maxSuperSegment: 65_535,
        });
        const link = (await links(ns)).find(({ ifname }) => ifname === "wire7");
        expect(link).toMatchObject({ mtu: 1280, txqlen: 77 });
        expect(link?.flags).toContain("UP");
        expect(await ns.ok(["ip", "-br", "address", "show", "dev", "wire7"])).toContain(`${HOST}/24`);
        expect(await ns.ok(["ip", "route", "get", US])).toContain("dev wire7");
      });
    },
  );

  systemTest("has room for 8,192 packets, unless somebody has chosen another length", ["tun"], async (ns) => {
    const length = async () => (await links(ns)).find(({ ifname }) => ifname === "wire7")?.txqlen;
    await withTun(ns, { name: "wire7" }, async () => expect(await length()).toBe(8192));
    await ns.ok(["ip", "tuntap", "add", "dev", "wire7", "mode", "tun"]);
    await withTun(ns, { name: "wire7" }, async () => expect(await length()).toBe(8192));
    await ns.ok(["ip", "link", "set", "wire7", "txqueuelen", "600"]);
    await withTun(ns, { name: "wire7" }, async () => expect(await length()).toBe(600));
    await withTun(ns, { name: "wire7", queueLength: 500 }, async () => expect(await length()).toBe(500));
  });

  systemTest("takes an IPv6 address, and an address that is already parsed", ["tun"], async (ns) => {
    await withTun(ns, { hostAddress: "fd00:69::100/64" }, async (device) => {
      const shown = await ns.ok(["ip", "-6", "-o", "address", "show", "dev", device.name, "scope", "global"]);
      expect(shown).toContain("fd00:69::100/64");
      expect(shown).not.toContain("tentative");
    });
    await withTun(ns, { hostAddress: parseCidr("10.1.2.3/30") }, async (device) => {
      expect(await ns.ok(["ip", "-br", "address", "show", "dev", device.name])).toContain("10.1.2.3/30");
    });
  });

  systemTest("lets the kernel number the interfaces", ["tun"], async (ns) => {
    const names: string[] = [];
    for (const name of [undefined, undefined, "w%d"]) {
      await withTun(ns, name === undefined ? {} : { name }, (device) => void names.push(device.name));
    }
    expect(names).toEqual(["tun0", "tun0", "w0"]);
  });

  systemTest("takes its interface away when it closes; closing twice is fine", ["tun"], async (ns) => {
    await withTun(ns, { name: "wire0" }, async (device) => {
      expect((await links(ns)).map(({ ifname }) => ifname)).toContain("wire0");
      device.close();
      device.close();
      expect((await links(ns)).map(({ ifname }) => ifname)).not.toContain("wire0");
      expect(device.receive(new Frame(new Uint8Array(0)))).toBe(false);
      expect(device.wait(0)).toBe(false);
      send(device, echoRequest(US, HOST));
      device.onReadable(() => {});
    });
  });

  test("refuses options that can't be, before it touches the system", () => {
    for (const name of [
      "a name",
      "much-too-long-for-it",
      "a/b",
      "a:b",
      "..",
      "tun%x",
      "tun%d%d",
      "ünterface-ünter",
    ]) {
      const error = thrownBy(() => openTun({ name }));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain(`"${name}"`);
    }
    expect(thrownBy(() => openTun({ mtu: 20 })).code).toBe("EINVAL");
    expect(thrownBy(() => openTun({ queueLength: 0 })).code).toBe("EINVAL");
    expect(thrownBy(() => openTun({ hostAddress: "192.168.69.100" })).code).toBe("EINVAL");
  });

  systemTest(
    "says that the name is taken, by a program or by another kind of interface",
    ["tun"],
    async (ns) => {
      await withTun(ns, { name: "wire0" }, () => {
        const busy = thrownBy(() => ns.inside(() => openTun({ name: "wire0" })));
        expect(busy.code).toBe("EBUSY");
        expect(busy.message).toContain("wire0 is held by another program");
      });
      const other = thrownBy(() => ns.inside(() => openTun({ name: "lo" })));
      expect(other.code).toBe("EINVAL");
      expect(other.message).toContain("another kind of interface");
    },
  );

  test("imports anywhere, and says what to do where there is no TUN", async () => {
    const script = `
      Object.defineProperty(process, "platform", { value: "darwin" });
      const { openTun } = await import(${JSON.stringify(TUN_MODULE)});
      try { openTun(); } catch (error) { console.log(error.name, error.code, error.message); }
    `;
    const child = Bun.spawn([process.execPath, "-e", script], { stderr: "inherit" });
    expect(await new Response(child.stdout).text()).toMatch(
      /^StackError ENOTSUP .*needs Linux, and this is darwin; use memoryPair/,
    );
  });

  systemTest("leaves nothing open where a later step fails", ["tun"], async (ns) => {
    const before = (await links(ns)).length;
    // A multicast address is no interface's own.
    const error = thrownBy(() => ns.inside(() => openTun({ name: "wire0", hostAddress: "ff02::1/64" })));
    expect(error.message).toContain("Could not add the address ff02::1/64 on wire0");
    expect(await links(ns)).toHaveLength(before);
    await withTun(ns, { name: "wire0" }, () => {});
  });

  systemTest("says what to do without privileges", ["tun", "setpriv"], async (ns) => {
    const answer = await openElsewhere(ns, WITHOUT_PRIVILEGES, { name: "wire0" });
    expect(answer).toMatch(/^StackError (EPERM|EACCES) .*CAP_NET_ADMIN.*memory device/);
  });

  systemTest("says what to do without a driver", ["tun", "mount"], async (ns) => {
    const wrapper = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh"];
    const answer = await openElsewhere(ns, wrapper, {});
    expect(answer).toMatch(/^StackError ENOENT .*modprobe tun.*--device \/dev\/net\/tun/);
  });

  systemTest("opens a prepared persistent interface without privileges", ["tun", "setpriv"], async (ns) => {
    await ns.ok(["ip", "tuntap", "add", "dev", "wire0", "mode", "tun", "user", "root"]);
    await ns.ok(["ip", "address", "add", `${HOST}/24`, "dev", "wire0"]);
    await ns.ok(["ip", "address", "add", "fd00:69::100/64", "dev", "wire0"]);
    await ns.ok(["ip", "link", "set", "wire0", "up"]);
    const open = (options: TunOptions): Promise<string> =>
      openElsewhere(ns, WITHOUT_PRIVILEGES, { name: "wire0", ...options });
    expect(await open({ hostAddress: `${HOST}/24` })).toBe("wire0");
    expect(await open({ hostAddress: "fd00:69::100/64" })).toBe("wire0");
    expect(await open({ hostAddress: `${HOST}/25` })).toMatch(/^StackError EPERM Could not add the address/);
    expect(await open({ hostAddress: "192.168.70.100/24" })).toMatch(
      /^StackError EPERM Could not add the address/,
    );
    expect(await open({ mtu: 1400 })).toMatch(
      /^StackError EPERM Could not set the MTU to 1400 \(it is 1500\)/,
    );
    expect((await links(ns)).map(({ ifname }) => ifname)).toContain("wire0");
  });
});

describe("frames of a TUN device", () => {
  systemTest("the kernel answers what is transmitted", ["tun"], async (ns) => {
    await withTun(ns, {}, (device) => {
      for (const length of [28, 64, 1499, 1500]) {
        const request = echoRequest(US, HOST, length);
        send(device, request);
        const reply = nextIpv4(device);
        expect(reply).toHaveLength(length);
        expect(reply[20]).toBe(0);
        expect(reply.slice(24)).toEqual(Array.from(request.subarray(24)));
      }
      expect(device.counts.transmitted).toBe(4);
      expect(device.counts.received).toBeGreaterThanOrEqual(4);
      expect(device.counts.lastError).toBe("");
    });
  });

  systemTest("a frame is shortened by what the caller sets, and sent once", ["tun"], async (ns) => {
    await withTun(ns, { offload: false }, (device) => {
      const request = echoRequest(US, HOST, 40);
      const frame = device.transmit(1500)!;
      expect(frame.length).toBe(1500);
      frame.bytes.set(request, frame.offset);
      frame.length = 40;
      device.commit(frame);
      device.commit(frame);
      expect(nextIpv4(device)).toHaveLength(40);
      expect(device.counts.transmitted).toBe(1);
      expect(thrownBy(() => device.transmit(1501)).code).toBe("EMSGSIZE");
    });
  });

  systemTest("IP headers lie on a multiple of four, always in the same array", ["tun"], async (ns) => {
    await withTun(ns, {}, (device) => {
      const frame = new Frame(new Uint8Array(0));
      const arrays = new Set<Uint8Array>();
      for (let i = 0; i < 5; i++) {
        send(device, echoRequest(US, HOST));
        while (!device.receive(frame)) device.wait(1000);
        arrays.add(frame.bytes);
        expect(frame.offset % 4).toBe(0);
        expect(device.transmit(20)!.offset % 4).toBe(0);
      }
      expect(arrays.size).toBe(1);
    });
  });

  systemTest(
    "takes packets larger than its MTU where the interface's was raised",
    ["tun", "ping"],
    async (ns) => {
      await withTun(ns, { name: "wire0" }, async (device) => {
        await ns.ok(["ip", "link", "set", "wire0", "mtu", "9000"]);
        await ns.run(["ping", "-c", "1", "-W", "0.1", "-s", "8000", US]);
        expect(nextIpv4(device)).toHaveLength(8028);
      });
    },
  );

  systemTest("a frame that the kernel does not take is counted, and nothing more", ["tun"], async (ns) => {
    await withTun(ns, { name: "wire0" }, async (device) => {
      const request = echoRequest(US, HOST);
      await ns.ok(["ip", "link", "set", "wire0", "down"]);
      send(device, request);
      expect(device.counts).toMatchObject({ transmitted: 0, transmitErrors: 1, lastError: "EIO" });
      await ns.ok(["ip", "link", "set", "wire0", "up"]);
      send(device, request);
      expect(nextIpv4(device)).toHaveLength(64);
      send(device, [0xff, 1, 2, 3]);
      expect(device.counts).toMatchObject({ transmitted: 1, transmitErrors: 2, lastError: "EINVAL" });
    });
  });

  systemTest(
    "an interface that is deleted under it gives no frames and no busy loop",
    ["tun"],
    async (ns) => {
      await withTun(ns, { name: "wire0" }, async (device) => {
        let calls = 0;
        const frame = new Frame(new Uint8Array(0));
        device.onReadable(() => {
          calls++;
          while (device.receive(frame));
        });
        await laterTurn();
        await ns.ok(["ip", "link", "delete", "wire0"]);
        const callsThen = calls;
        expect(device.receive(frame)).toBe(false);
        expect(device.receive(frame)).toBe(false);
        expect(device.counts.receiveErrors).toBeLessThan(2);
        send(device, echoRequest(US, HOST));
        expect(device.counts).toMatchObject({ transmitErrors: 1, lastError: "EBADFD" });
        const start = performance.now();
        expect(device.wait(50)).toBe(false);
        expect(performance.now() - start).toBeGreaterThan(45);
        await Bun.sleep(10);
        expect(calls - callsThen).toBeLessThan(3);
      });
    },
  );
});

describe("readiness of a TUN device", () => {
  systemTest("wait returns at once with a frame, and after its time without", ["tun"], async (ns) => {
    await ns.ok(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
    await withTun(ns, {}, (device) => {
      const start = performance.now();
      expect(device.wait(30)).toBe(false);
      expect(performance.now() - start).toBeGreaterThan(29);
      expect(device.wait(0)).toBe(false);
      send(device, echoRequest(US, HOST));
      expect(device.wait(1000)).toBe(true);
      expect(device.wait(0)).toBe(true);
      expect(performance.now() - start).toBeLessThan(900);
    });
  });

  systemTest("every ping is answered through onReadable", ["tun", "ping"], async (ns) => {
    await withTun(ns, {}, async (device) => {
      device.onReadable(() => answerEchoes(device));
      expect(await ns.ok(["ping", "-c", "100", "-i", "0.002", "-q", US])).toContain(" 0% packet loss");
    });
  });

  systemTest("no wake-up is lost in a flood", ["tun", "ping"], async (ns) => {
    await withTun(ns, {}, async (device) => {
      device.onReadable(() => answerEchoes(device));
      expect(await ns.ok(["ping", "-f", "-c", "20000", "-q", US])).toContain(" 0% packet loss");
    });
  });

  systemTest(
    "a callback comes once, however many frames do, and again after receive was false",
    ["tun"],
    async (ns) => {
      await ns.ok(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
      await withTun(ns, {}, async (device) => {
        let calls = 0;
        device.onReadable(() => calls++);
        await laterTurn();
        // The one that tells a program that has not asked yet.
        expect(calls).toBe(1);
        expect(receiveBytes(device)).toBeNull();
        for (let i = 0; i < 5; i++) send(device, echoRequest(US, HOST));
        expect(calls).toBe(1);
        await until("the callback", () => calls === 2);
        for (let i = 0; i < 5; i++) send(device, echoRequest(US, HOST));
        await Bun.sleep(5);
        expect(calls).toBe(2);
        for (let i = 0; i < 10; i++) expect(nextIpv4(device)).toHaveLength(64);
        await Bun.sleep(5);
        expect(calls).toBe(2);
        expect(receiveBytes(device)).toBeNull();
        send(device, echoRequest(US, HOST));
        await until("the callback", () => calls === 3);
      });
    },
  );

  systemTest(
    "several devices wake up for their own frames, also when one closes another",
    ["tun"],
    async (ns) => {
      await ns.ok(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
      const devices = [1, 2, 3].map((i) => ns.inside(() => openTun({ hostAddress: `10.0.${i}.100/24` })));
      const frame = new Frame(new Uint8Array(0));
      const received = [0, 0, 0];
      const calls = [0, 0, 0];
      devices.forEach((device, i) => {
        device.onReadable(() => {
          calls[i]++;
          while (device.receive(frame)) received[i]++;
          if (received[0] === 2) devices[1].close();
        });
      });
      await laterTurn();
      send(devices[2], echoRequest("10.0.3.1", "10.0.3.100"));
      await until("the third", () => received[2] === 1);
      expect(received).toEqual([0, 0, 1]);
      expect(calls).toEqual([1, 1, 2]);
      send(devices[0], echoRequest("10.0.1.1", "10.0.1.100"));
      await until("the first", () => received[0] === 1);
      send(devices[0], echoRequest("10.0.1.1", "10.0.1.100"));
      send(devices[1], echoRequest("10.0.2.1", "10.0.2.100"));
      send(devices[2], echoRequest("10.0.3.1", "10.0.3.100"));
      await until("the first and the third", () => received[0] === 2 && received[2] === 2);
      expect(received[1]).toBeLessThan(2);
      for (const device of devices) device.close();
    },
  );

  systemTest(
    "a program lives until it closes its device, and does nothing meanwhile",
    ["tun", "ping"],
    async (ns) => {
      const script = `
      const { openTun } = await import(${JSON.stringify(TUN_MODULE)});
      const { Frame } = await import(${JSON.stringify(`${import.meta.dir}/../../src/device.ts`)});
      const device = openTun({ hostAddress: "${HOST}/24" });
      const frame = new Frame(new Uint8Array(0));
      device.onReadable(() => {
        while (device.receive(frame)) {
          if (frame.bytes[frame.offset] >> 4 !== 4) continue;
          const { user, system } = process.cpuUsage(start);
          console.log("busy for", (user + system) / 1000);
          device.close();
        }
      });
      await Bun.sleep(50);
      const start = process.cpuUsage();
      console.log("ready");
    `;
      const program = ns.start([process.execPath, "-e", script]);
      program.closeInput();
      await program.waitFor("ready");
      await Bun.sleep(300);
      expect(program.stdout).not.toContain("busy");
      await ns.run(["ping", "-c", "1", "-W", "0.1", US]);
      const { exitCode, stdout } = await program.end();
      expect(exitCode).toBe(0);
      expect(Number(stdout.match(/busy for (.*)/)?.[1])).toBeLessThan(60);
    },
  );
});
