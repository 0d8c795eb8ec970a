import { describe, expect, test } from "bun:test";
import { openTap } from "../../devices/tap.ts";
import { Frame } from "../../src/device.ts";
import { formatHardwareAddress, parseHardwareAddress } from "../../src/wire/ethernet.ts";
import { thrownBy } from "../support/errors.ts";
import { systemTest } from "../support/system.ts";
import { send } from "./frames.ts";
import { KERNEL, STACK, withEcho, withKind } from "./kernel-end.ts";

describe("openTap", () => {
  systemTest("makes an Ethernet interface with an address for our end", ["tun"], async (ns) => {
    const options = {
      name: "wire0",
      hostAddress: `${KERNEL}/24`,
      mtu: 1280,
      hardwareAddress: "02:00:00:00:69:01",
    };
    const device = ns.inside(() => openTap(options));
    try {
      expect(device.capabilities).toEqual({
        medium: "ethernet",
        mtu: 1280,
        checksumOffload: true,
        maxSuperSegment: 65_535,
        hardwareAddress: parseHardwareAddress("02:00:00:00:69:01"),
      });
      const [link] = JSON.parse(await ns.ok(["ip", "-json", "-d", "link", "show", "dev", "wire0"]));
      expect(link).toMatchObject({ link_type: "ether", mtu: 1280, linkinfo: { info_data: { type: "tap" } } });
      expect(link.address).not.toBe("02:00:00:00:69:01");
    } finally {
      device.close();
    }
    expect(await ns.ok(["ip", "-o", "link"])).not.toContain("wire0");
  });

  systemTest("chooses a random address, which is nobody else's", ["tun"], async (ns) => {
    const seen = new Set<string>();
    for (let i = 0; i < 5; i++) {
      await withKind(ns, "tap", {}, ({ capabilities }) => {
        const { hardwareAddress } = capabilities;
        expect(hardwareAddress).toHaveLength(6);
        expect(hardwareAddress![0] & 3).toBe(2);
        seen.add(formatHardwareAddress(hardwareAddress!));
      });
    }
    expect(seen.size).toBe(5);
  });

  systemTest("lets the kernel number the interfaces", ["tun"], async (ns) => {
    const device = ns.inside(() => openTap());
    expect(device.name).toBe("tap0");
    device.close();
  });

  systemTest("takes the largest MTU that the kernel has, and says which that is", ["tun"], async (ns) => {
    await withKind(ns, "tap", { mtu: 65_521 }, (device) => {
      expect(device.capabilities.mtu).toBe(65_521);
    });
    const error = thrownBy(() => openTap({ mtu: 65_522 }));
    expect(error.code).toBe("EINVAL");
    expect(error.message).toBe("mtu must be a whole number from 68 to 65521, not 65522");
  });

  test("refuses what is no address of one station", () => {
    for (const hardwareAddress of [
      "02:00",
      "01:00:00:00:00:01",
      "00:00:00:00:00:00",
      new Uint8Array([1, 2, 3, 4, 5, 6]),
    ]) {
      expect(thrownBy(() => openTap({ hardwareAddress })).code).toBe("EINVAL");
    }
    expect(thrownBy(() => openTap({ hardwareAddress: new Uint8Array(5) })).code).toBe("EINVAL");
  });

  systemTest("says that a TUN interface of the name is another kind", ["tun"], async (ns) => {
    await withKind(ns, "tun", { name: "wire0" }, async () => {
      const error = thrownBy(() => ns.inside(() => openTap({ name: "wire0" })));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain("The TAP interface wire0 exists, but as another kind");
    });
  });
});

describe("frames of a TAP device", () => {
  systemTest("begin with an Ethernet header, and IP on a multiple of four", ["tun", "ping"], async (ns) => {
    await withKind(ns, "tap", {}, async (device) => {
      const frame = new Frame(new Uint8Array(0));
      const ping = ns.start(["ping", "-c", "1", "-W", "1", STACK]);
      const isArp = () => frame.bytes[frame.offset + 12] === 8 && frame.bytes[frame.offset + 13] === 6;
      do {
        if (!device.receive(frame)) await Bun.sleep(1);
      } while (!isArp());
      expect(frame.offset % 4).toBe(2);
      expect(frame.length).toBe(42);
      expect(formatHardwareAddress(frame.bytes, frame.offset)).toBe("ff:ff:ff:ff:ff:ff");
      expect(device.transmit(60)!.offset % 4).toBe(2);
      await ping.stop("SIGKILL");
    });
  });

  systemTest("carry packets of the MTU, and a tag besides", ["tun"], async (ns) => {
    await withKind(ns, "tap", { offload: false, mtu: 1300 }, (device) => {
      expect(device.transmit(1318)).not.toBeNull();
      expect(thrownBy(() => device.transmit(1319)).code).toBe("EMSGSIZE");
      send(device, new Uint8Array(1318));
      expect(device.counts).toMatchObject({ transmitted: 1, transmitErrors: 0 });
      send(device, new Uint8Array(5));
      expect(device.counts).toMatchObject({ transmitted: 1, transmitErrors: 1, lastError: "EINVAL" });
    });
    await withKind(ns, "tap", {}, (device) => {
      expect(device.transmit(65_553)).not.toBeNull();
      expect(thrownBy(() => device.transmit(65_554)).code).toBe("EMSGSIZE");
    });
  });

  systemTest("let the kernel's ping find us", ["tun", "ping"], async (ns) => {
    for (const offload of [true, false]) {
      await withKind(ns, "tap", { offload }, async (device) => {
        await withEcho(device, async () => {
          expect(await ns.ok(["ping", "-c", "20", "-i", "0.01", "-q", STACK])).toContain(" 0% packet loss");
        });
      });
    }
  });
});
