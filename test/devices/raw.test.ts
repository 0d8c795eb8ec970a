import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { checkNotKernels, openRaw, type RawOptions } from "../../devices/raw.ts";
import { Frame } from "../../src/device.ts";
import { open } from "../../src/index.ts";
import { thrownBy } from "../support/errors.ts";
import { Namespace, systemTest } from "../support/system.ts";
import { laterTurn, send } from "./frames.ts";
import {
  bytesOf,
  hardwareAddressOf,
  KERNEL,
  nextFrame,
  numbered,
  OURS,
  STACK,
  wire,
  withRaw,
} from "./raw-wire.ts";

const RAW_MODULE = `${import.meta.dir}/../../devices/raw.ts`;
const OTHERS = bytesOf("02:00:00:00:00:99");
const EVERYONE = bytesOf("ff:ff:ff:ff:ff:ff");
const US = bytesOf(OURS);

const openError = (ns: Namespace, options: RawOptions) => thrownBy(() => ns.inside(() => openRaw(options)));

/** Whether an interface is in promiscuous mode; its flags do not tell, for sockets count by themselves. */
async function isPromiscuous(ns: Namespace, name: string): Promise<boolean> {
  const [link] = JSON.parse(await ns.ok(["ip", "-json", "-details", "link", "show", "dev", name]));
  return link.promiscuity > 0;
}

describe("openRaw", () => {
  systemTest("takes an interface as it is, with a hardware address of its own", [], async (ns) => {
    await ns.veth("wire0", "wire1");
    await ns.ok(["ip", "link", "set", "wire1", "mtu", "1400"]);
    const [a, b] = [1, 2].map(() => ns.inside(() => openRaw({ name: "wire1" })));
    expect(a.name).toBe("wire1");
    expect(a.capabilities).toMatchObject({ medium: "ethernet", mtu: 1400, checksumOffload: true });
    expect(a.capabilities.maxSuperSegment).toBeGreaterThan(65_000);
    const own = a.capabilities.hardwareAddress!;
    expect(own).toHaveLength(6);
    expect(own[0] & 3).toBe(2);
    expect(own).not.toEqual(b.capabilities.hardwareAddress!);
    expect(await isPromiscuous(ns, "wire1")).toBe(true);
    a.close();
    a.close();
    expect(await isPromiscuous(ns, "wire1")).toBe(true);
    b.close();
    expect(await isPromiscuous(ns, "wire1")).toBe(false);
    expect(a.receive(new Frame(new Uint8Array(0)))).toBe(false);
    expect(a.wait(0)).toBe(false);
    send(a, numbered(EVERYONE, US, 1));
  });

  systemTest("shares the interface's hardware address where that is asked for", [], async (ns) => {
    await ns.veth("wire0", "wire1");
    const device = ns.inside(() => openRaw({ name: "wire1", hardwareAddress: "interface" }));
    const own = await hardwareAddressOf(ns, "wire1");
    expect(Array.from(device.capabilities.hardwareAddress!)).toEqual(own);
    expect(await isPromiscuous(ns, "wire1")).toBe(false);
    const peer = ns.inside(() => openRaw({ name: "wire0" }));
    send(peer, numbered(own, OTHERS, 1));
    expect(nextFrame(device)).toEqual(numbered(own, OTHERS, 1));
    device.close();
    peer.close();
  });

  systemTest("on a macvlan it has the macvlan's address", [], async (ns) => {
    await ns.veth("wire0", "wire1");
    await ns.ok(["ip", "link", "add", "mac0", "link", "wire1", "type", "macvlan", "mode", "bridge"]);
    await ns.ok(["ip", "link", "set", "mac0", "up"]);
    const own = await hardwareAddressOf(ns, "mac0");
    const device = ns.inside(() => openRaw({ name: "mac0" }));
    expect(Array.from(device.capabilities.hardwareAddress!)).toEqual(own);
    const peer = ns.inside(() => openRaw({ name: "wire0", hardwareAddress: OURS }));
    send(peer, numbered(own, US, 1));
    expect(nextFrame(device)).toEqual(numbered(own, US, 1));
    send(device, numbered(US, own, 2));
    expect(nextFrame(peer)).toEqual(numbered(US, own, 2));
    device.close();
    peer.close();
    const error = openError(ns, { name: "mac0", hardwareAddress: OURS });
    expect(error.code).toBe("EINVAL");
    expect(error.message).toContain(`ip link set mac0 address ${OURS}`);
  });

  systemTest(
    "says what there is where the interface is not, and what is wrong with it",
    ["tun"],
    async (ns) => {
      await ns.veth("wire0", "wire1");
      const missing = openError(ns, { name: "eth7" });
      expect(missing.code).toBe("ENODEV");
      expect(missing.message).toMatch(/There is no interface eth7; there are lo, wire[01], wire[01]\./);
      expect(openError(ns, { name: "lo" }).code).toBe("ENOTSUP");
      await ns.ok(["ip", "tuntap", "add", "dev", "tun7", "mode", "tun"]);
      expect(openError(ns, { name: "tun7" }).message).toContain("tun7 has no Ethernet headers");
      await ns.ok(["ip", "link", "set", "wire1", "down"]);
      const down = openError(ns, { name: "wire1" });
      expect(down.code).toBe("ENETDOWN");
      expect(down.message).toContain("ip link set wire1 up");
    },
  );

  test("refuses options that can't be, before it touches the system", () => {
    expect(thrownBy(() => openRaw({ name: "" })).code).toBe("EINVAL");
    expect(thrownBy(() => openRaw({ name: "a name" })).message).toContain('"a name"');
    expect(thrownBy(() => openRaw({ name: "lo", bufferSize: 1 })).code).toBe("EINVAL");
    for (const hardwareAddress of ["01:00:00:00:00:00", "what", new Uint8Array(5)]) {
      expect(thrownBy(() => openRaw({ name: "lo", hardwareAddress })).code).toBe("EINVAL");
    }
    expect(thrownBy(() => openRaw({ name: "lo", addresses: ["10.0.0.256"] })).code).toBe("EINVAL");
  });

  systemTest("says what to do without privileges", ["setpriv"], async (ns) => {
    await ns.veth("wire0", "wire1");
    const script = `
      const { openRaw } = await import(${JSON.stringify(RAW_MODULE)});
      try { openRaw({ name: "wire1" }); } catch (error) { console.log(error.name, error.code, error.message); }
    `;
    const bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    expect(await ns.ok([...bare, process.execPath, "-e", script])).toMatch(/^StackError EPERM .*CAP_NET_RAW/);
  });

  systemTest("leaves no descriptor and no mapping behind, opened or not", [], async (ns) => {
    await ns.veth("wire0", "wire1");
    const descriptors = () => readdirSync("/proc/self/fd").length;
    const mappings = async () => (await Bun.file("/proc/self/maps").text()).match(/socket:/g)?.length ?? 0;
    const before = { descriptors: descriptors(), mappings: await mappings() };
    for (let i = 0; i < 20; i++) {
      const device = ns.inside(() => openRaw({ name: "wire1", ring: i % 2 === 1 }));
      device.onReadable(() => {});
      device.close();
      openError(ns, { name: "wire7" });
      openError(ns, { name: "lo" });
    }
    // Pipes of programs that other tests ran may be closed meanwhile.
    expect(descriptors()).toBeLessThanOrEqual(before.descriptors);
    expect(await mappings()).toBe(before.mappings);
  });
});

for (const ring of [false, true]) {
  describe(`frames of a raw device${ring ? " with rings" : ""}`, () => {
    systemTest("go both ways, of every length", [], async (ns) => {
      await withRaw(ns, { ring }, (device) => {
        const peer = ns.inside(() => openRaw({ name: "wire0", hardwareAddress: "02:00:00:00:00:99" }));
        for (const length of [60, 61, 62, 63, 64, 1000, 1513, 1514]) {
          const there = [...numbered(OTHERS, US, length), ...new Array(length).fill(length & 255)].slice(
            0,
            length,
          );
          const back = [...numbered(US, OTHERS, length), ...new Array(length).fill(~length & 255)].slice(
            0,
            length,
          );
          send(device, there);
          device.wait(0);
          expect(nextFrame(peer)).toEqual(there);
          send(peer, back);
          expect(nextFrame(device)).toEqual(back);
        }
        expect(device.counts).toMatchObject({
          received: 8,
          transmitted: 8,
          transmitErrors: 0,
          dropped: 0,
          lastError: "",
        });
        expect(thrownBy(() => device.transmit(70_000)).code).toBe("EMSGSIZE");
        peer.close();
      });
    });

    systemTest("a frame goes at once, whatever the program does next", [], async (ns) => {
      await withRaw(ns, { ring }, async (device) => {
        const peer = ns.inside(() => openRaw({ name: "wire0", hardwareAddress: "02:00:00:00:00:99" }));
        send(device, numbered(OTHERS, US, 1));
        await laterTurn();
        expect(peer.wait(1000)).toBe(true);
        peer.close();
      });
    });

    systemTest("IP headers lie on a multiple of four", [], async (ns) => {
      await withRaw(ns, { ring }, (device) => {
        const peer = ns.inside(() => openRaw({ name: "wire0" }));
        const frame = new Frame(new Uint8Array(0));
        const arrays = new Set<Uint8Array>();
        for (let i = 0; i < 600; i++) {
          send(peer, numbered(US, OTHERS, i));
          if (i % 7 !== 0) continue;
          for (device.wait(1000); device.receive(frame); ) {
            arrays.add(frame.bytes);
            expect((frame.offset + 14) % 4).toBe(0);
          }
          const out = device.transmit(60)!;
          expect((out.offset + 14) % 4).toBe(0);
          out.bytes.set(numbered(OTHERS, US, i), out.offset);
          device.commit(out);
        }
        expect(arrays.size).toBe(1);
        expect(device.counts.transmitted).toBe(86);
        peer.close();
      });
    });

    systemTest("nothing comes but what is for us, in the order it was sent", [], async (ns) => {
      await withRaw(ns, { ring }, async (device) => {
        const peer = ns.inside(() => openRaw({ name: "wire0" }));
        const other = ns.inside(() => openRaw({ name: "wire1", hardwareAddress: "02:00:00:00:00:98" }));
        const groups = bytesOf("33:33:00:00:00:01");
        for (let i = 0; i < 100; i++) {
          for (const to of [OTHERS, groups, EVERYONE, bytesOf("01:80:c2:00:00:00")])
            send(peer, numbered(to, OTHERS, 1));
          send(peer, numbered(US, OTHERS, i));
          // Another stack on this interface, and our own frames: outgoing, none of our business.
          send(other, numbered(US, OTHERS, 3));
          send(device, numbered(US, US, 4));
          device.wait(0);
        }
        // The kernel asks who we are, and that is for everyone.
        await ns.run(["ping", "-c", "1", "-W", "0.1", STACK]);
        const frames: number[][] = [];
        for (let frame = nextFrame(device); frame[13] !== 0x06; frame = nextFrame(device)) frames.push(frame);
        expect(frames).toEqual(Array.from({ length: 100 }, (_, i) => numbered(US, OTHERS, i)));
        peer.close();
        other.close();
      });
    });

    systemTest("groups come where they are wanted", [], async (ns) => {
      await withRaw(ns, { ring, multicast: true }, (device) => {
        const peer = ns.inside(() => openRaw({ name: "wire0" }));
        const groups = ["33:33:ff:00:00:01", "01:00:5e:00:00:fb"].map(bytesOf);
        for (const to of [...groups, OTHERS, US]) send(peer, numbered(to, OTHERS, 1));
        expect(nextFrame(device).slice(0, 6)).toEqual(groups[0]);
        expect(nextFrame(device).slice(0, 6)).toEqual(groups[1]);
        expect(nextFrame(device).slice(0, 6)).toEqual(US);
        peer.close();
      });
    });

    systemTest("the tag that the kernel takes out is in its place again", [], async (ns) => {
      await withRaw(ns, { ring }, (device) => {
        const peer = ns.inside(() => openRaw({ name: "wire0", hardwareAddress: "02:00:00:00:00:99" }));
        const frame = new Frame(new Uint8Array(0));
        for (const [type, tag] of [
          [0x8100, 0x0065],
          [0x8100, 0xefff],
          [0x88a8, 0x2001],
        ]) {
          // The kernel lets a frame be longer for an 802.1Q tag only.
          for (const length of [64, type === 0x8100 ? 1518 : 1514]) {
            const plain = [...numbered(US, OTHERS, tag), ...new Array(length).fill(6)];
            const marks = [type >> 8, type & 255, tag >> 8, tag & 255];
            const tagged = [...plain.slice(0, 12), ...marks, ...plain.slice(12)].slice(0, length);
            send(peer, tagged);
            peer.wait(0);
            expect(device.wait(1000) && device.receive(frame)).toBe(true);
            expect(Array.from(frame.bytes.subarray(frame.offset, frame.offset + frame.length))).toEqual(
              tagged,
            );
            expect((frame.offset + 18) % 4).toBe(0);
            const back = [...OTHERS, ...US, ...tagged.slice(12)];
            send(device, back);
            device.wait(0);
            expect(nextFrame(peer)).toEqual(back);
            // The place of one frame's tag is not left behind for the next one.
            send(peer, plain.slice(0, 60));
            expect(nextFrame(device)).toEqual(plain.slice(0, 60));
          }
        }
        peer.close();
      });
    });

    systemTest("no wake-up is lost", ["ping"], async (ns) => {
      await withRaw(ns, { ring }, async (device) => {
        const host = await open({ device, addresses: [`${STACK}/24`] });
        expect(await ns.ok(["ping", "-c", "200", "-i", "0.002", "-q", STACK])).toContain(" 0% packet loss");
        expect(await ns.ok(["ping", "-f", "-c", "5000", "-q", STACK])).toContain(" 0% packet loss");
        await host.close();
      });
    });
  });
}

describe("an address that the kernel has, too", () => {
  systemTest(
    "its resets meet our connections, and the check is before that",
    ["python3", "tcpdump"],
    async (ns) => {
      const far = await Namespace.open();
      try {
        await ns.veth("wire1", "wire0", far);
        await far.ok(["ip", "address", "add", `${KERNEL}/24`, "dev", "wire0"]);
        await ns.ok(["ip", "address", "add", `${STACK}/24`, "dev", "wire1"]);
        const error = openError(ns, { name: "wire1", addresses: [`${STACK}/24`] });
        expect(error.code).toBe("EADDRINUSE");
        expect(error.message).toContain(`ip address del ${STACK} dev wire1`);
        ns.inside(() => checkNotKernels([KERNEL]));

        const server = far.start(["python3", "-c", LISTEN]);
        await server.waitFor("ready");
        const sniffer = far.start(["tcpdump", "-l", "-n", "-i", "wire0", "tcp[tcpflags] & tcp-rst != 0"]);
        await sniffer.waitFor("listening on");
        const connect = async () => {
          const device = ns.inside(() => openRaw({ name: "wire1", hardwareAddress: "interface" }));
          const host = await open({ device, addresses: [`${STACK}/24`], conflictDetection: "off" });
          const connection = await host.connect({ address: KERNEL, port: 7000 });
          const result = await connection.read().then(String, (reason) => `${reason.code}`);
          await host.close();
          return result;
        };
        // The kernel gets the SYN-ACK as well, knows nothing of a connection, and says so.
        expect(await connect().catch((reason) => `${reason}`)).toBe("ECONNRESET");
        await sniffer.waitFor(new RegExp(`${STACK}\\.\\d+ > ${KERNEL}\\.7000: Flags \\[R\\]`));
        await ns.ok(["ip", "address", "del", `${STACK}/24`, "dev", "wire1"]);
        expect(await connect()).toBe("104,101,108,108,111");
      } finally {
        await far.close();
      }
    },
  );

  systemTest("is found on any interface, IPv6 as well", [], async (ns) => {
    await wire(ns);
    await ns.ok(["ip", "address", "add", "fd00::1/64", "dev", "lo"]);
    const error = thrownBy(() => ns.inside(() => checkNotKernels(["10.0.0.1", "fd00::1/64"])));
    expect(error.message).toContain("The kernel has fd00::1 itself, on lo,");
    expect(thrownBy(() => ns.inside(() => checkNotKernels([KERNEL]))).message).toContain("on wire0");
    ns.inside(() => checkNotKernels(["192.168.69.10", "fd00::2"]));
  });
});

/** Says hello to whoever connects, a moment later. */
const LISTEN = `
import socket, time
s = socket.create_server(("", 7000))
print("ready", flush=True)
while True:
    try:
        c, _ = s.accept()
        time.sleep(0.05)
        c.sendall(b"hello")
    except OSError: pass
`;
