import { expect } from "bun:test";
import { join } from "node:path";
import { systemTest } from "../support/system.ts";

/** `examples/ping.ts` and `examples/tcpdump.ts` beside the programs that they are like. */

const root = join(import.meta.dir, "../..");
const example = (name: string, ...flags: string[]) => [
  process.execPath,
  "run",
  `examples/${name}.ts`,
  ...flags,
];

for (const device of ["tun", "tap"]) {
  systemTest(`ping.ts on ${device} pings the kernel`, ["tun"], async (ns) => {
    const config = ["--config", `examples/config/${device}.toml`];
    const { exitCode, stdout } = await ns.run(
      example("ping", ...config, "-c", "5", "-i", "0.02", "192.168.69.100"),
      { cwd: root },
    );
    expect(stdout).toContain("5 packets transmitted, 5 received, 0% packet loss");
    expect(stdout.match(/^64 bytes from 192\.168\.69\.100: icmp_seq=[1-5] ttl=64 time=/gm)).toHaveLength(5);
    expect(exitCode).toBe(0);
  });
}

systemTest("ping.ts on TAP says that nobody is there", ["tun"], async (ns) => {
  const config = ["--config", "examples/config/tap.toml"];
  const { exitCode, stdout } = await ns.run(
    example("ping", ...config, "-c", "2", "-i", "0.02", "-W", "0.5", "192.168.69.200"),
    { cwd: root },
  );
  expect(stdout).toContain("2 packets transmitted, 0 received");
  expect(stdout).toContain("100% packet loss");
  expect(exitCode).toBe(1);
});

systemTest("tcpdump.ts on an interface prints what tcpdump prints", ["tcpdump", "ping"], async (ns) => {
  await ns.ok(["ip", "link", "add", "near", "type", "veth", "peer", "name", "far"]);
  const other = ns.start(["unshare", "--net", "sh"]);
  await other.write("echo pid $$\n");
  const [, pid] = await other.waitFor(/pid ([0-9]+)/);
  await ns.ok(["ip", "link", "set", "far", "netns", pid]);
  await other.write("ip address add 10.9.0.2/24 dev far; ip link set far up; echo up\n");
  await ns.ok(["sh", "-ec", "ip address add 10.9.0.1/24 dev near; ip link set near up"]);
  await other.waitFor(/^up/m);
  const theirs = ns.start([
    "tcpdump",
    "-lnSei",
    "near",
    "-Q",
    "in",
    "-c",
    "6",
    "--immediate-mode",
    "arp",
    "or",
    "icmp",
  ]);
  await theirs.waitFor("listening on");
  const ours = ns.start(example("tcpdump", "-e", "-i", "near", "-c", "6", "arp or icmp"), { cwd: root });
  await ours.waitFor("listening on raw socket on near");
  await ns.ok(["ping", "-c", "7", "-i", "0.02", "-q", "10.9.0.2"]);
  const [a, b] = await Promise.all([theirs.end(), ours.end()]);
  expect([a.exitCode, b.exitCode]).toEqual([0, 0]);
  expect(b.stderr).toContain("6 packets captured");
  const withoutTime = (text: string) =>
    text
      .trim()
      .split("\n")
      .map((line) => line.replace(/^\S+ /, ""));
  expect(withoutTime(b.stdout)).toEqual(withoutTime(a.stdout));
});
