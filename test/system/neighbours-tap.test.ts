import { describe, expect } from "bun:test";
import { openTap } from "../../devices/index.ts";
import { type Host, open } from "../../src/index.ts";
import { type Namespace, systemTest, until } from "../support/system.ts";

/** A host on a TAP interface, as the kernel and its tools see it. */

const US = "192.168.69.1";
const OUR_MAC = "02:00:00:00:69:01";
const KERNEL = "192.168.69.100";
const FORGED_MAC = "02:66:66:66:66:66";
const NEEDS = ["tun", "ping", "python3"];

/** Sends ARP packets from wire0: operation, sender's hardware and IP address, target's, to everybody or to us. */
const FORGE = `
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("wire0", 0))
mac = lambda text: bytes.fromhex(text.replace(":", ""))
for line in sys.stdin:
    to, op, sender, ip, target, target_ip = line.split()
    packet = struct.pack("!HHBBH", 1, 0x800, 6, 4, int(op)) + mac(sender) + socket.inet_aton(ip)
    packet += mac(target) + socket.inet_aton(target_ip)
    s.send(mac(to) + mac(sender) + b"\\x08\\x06" + packet)
`;

async function withHost(ns: Namespace, body: (host: Host) => Promise<void>): Promise<void> {
  const device = ns.inside(() =>
    openTap({ name: "wire0", hostAddress: `${KERNEL}/24`, hardwareAddress: OUR_MAC }),
  );
  const host = await open({ device, addresses: [`${US}/24`] });
  try {
    await until("our address", () => host.stats.arpAnnouncementsSent > 0);
    await body(host);
  } finally {
    await host.close({ timeout: 0 });
  }
}

const forge = (ns: Namespace, lines: string[]) =>
  ns.ok(["python3", "-c", FORGE], { stdin: `${lines.join("\n")}\n` });
const ping = (ns: Namespace) => ns.ok(["ping", "-c", "3", "-i", "0.05", "-W", "1", US]);

describe("on a TAP interface", () => {
  systemTest("arping, ping and ip neigh see a well-behaved host", [...NEEDS, "arping"], async (ns) => {
    await withHost(ns, async () => {
      const seen = await ns.ok(["arping", "-c", "2", "-I", "wire0", US]);
      expect(seen.match(new RegExp(`reply from ${US} \\[${OUR_MAC}\\]`, "gi"))).toHaveLength(2);
      // Duplicate address detection: somebody has it.
      expect((await ns.run(["arping", "-D", "-c", "1", "-I", "wire0", US])).exitCode).toBe(1);
      expect(await ping(ns)).toContain("3 received, 0% packet loss");
      expect(await ns.ok(["ip", "neigh", "show", US])).toMatch(
        new RegExp(`lladdr ${OUR_MAC} (REACHABLE|DELAY)`),
      );
    });
  });

  systemTest("forged ARP changes nothing", NEEDS, async (ns) => {
    await withHost(ns, async (host) => {
      await ping(ns);
      const forgeries = [
        `${OUR_MAC} 2 ${FORGED_MAC} ${KERNEL} ${OUR_MAC} ${US}`,
        `ff:ff:ff:ff:ff:ff 2 ${FORGED_MAC} ${KERNEL} ff:ff:ff:ff:ff:ff ${KERNEL}`,
        `ff:ff:ff:ff:ff:ff 1 ${FORGED_MAC} ${KERNEL} 00:00:00:00:00:00 ${KERNEL}`,
        `${OUR_MAC} 1 ${FORGED_MAC} ${KERNEL} 00:00:00:00:00:00 ${US}`,
      ];
      for (let i = 0; i < 3; i++) {
        await forge(ns, forgeries);
        expect(await ping(ns)).toContain("3 received, 0% packet loss");
      }
      expect(host.stats.arpClaims).toBe(12);
      expect(host.stats.neighboursUnreachable).toBe(0);
    });
  });

  systemTest("10,000 hosts' ARP noise is heard, and leaves nothing behind", NEEDS, async (ns) => {
    await withHost(ns, async (host) => {
      await ping(ns);
      // Other hosts each time: who remembers hosts remembers more and more of them.
      const noise = async (round: number) => {
        const heard = host.stats.arpNotForUs;
        const lines = Array.from({ length: 10_000 }, (_, i) => {
          const [ip, mac] = [
            `10.${round}.${i >> 8}.${i & 255}`,
            `02:0${round}:00:00:${hex(i >> 8)}:${hex(i & 255)}`,
          ];
          return `ff:ff:ff:ff:ff:ff 1 ${mac} ${ip} 00:00:00:00:00:00 10.1.0.1`;
        });
        await forge(ns, lines);
        await until("the noise", () => host.stats.arpNotForUs - heard > 5_000);
        Bun.gc(true);
        const { heapUsed, arrayBuffers } = process.memoryUsage();
        return heapUsed + arrayBuffers;
      };
      const before = await noise(1);
      await noise(2);
      expect((await noise(3)) - before).toBeLessThan(500_000);
      expect(host.stats.arpQuestionsSent).toBe(1);
      expect(await ping(ns)).toContain("3 received, 0% packet loss");
    });
  });

  systemTest(
    "a host that is not there: EHOSTUNREACH after three questions",
    ["tun"],
    async (ns) => {
      await withHost(ns, async (host) => {
        const start = performance.now();
        const error = await host.connect({ address: "192.168.69.77", port: 80 }).catch((reason) => reason);
        expect(error.code).toBe("EHOSTUNREACH");
        expect(performance.now() - start).toBeWithin(2_900, 3_500);
        expect(host.stats.arpQuestionsSent).toBe(3);
      });
    },
    8_000,
  );

  systemTest("somebody takes our address: it is defended", [...NEEDS], async (ns) => {
    await withHost(ns, async (host) => {
      await forge(ns, [`ff:ff:ff:ff:ff:ff 1 ${FORGED_MAC} ${US} 00:00:00:00:00:00 ${US}`]);
      await until("the conflict", () => host.stats.arpConflicts === 1);
      expect(await ping(ns)).toContain("3 received, 0% packet loss");
    });
  });
});

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
