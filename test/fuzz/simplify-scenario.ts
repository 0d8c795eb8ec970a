import type { Journal } from "./journal.ts";
import type { Scenario } from "./scenario.ts";

const ETHERNET_HEADER = 14;
const IPV4 = 0x0800;

/** Changes that make a scenario plainer, the ones that explain most first. */
const CHANGES: readonly Partial<Scenario>[] = [
  { flavour: "idle", loss: 0 },
  { victimOpens: false },
  { loss: 0 },
  { keepAliveMs: 0 },
  { delayMs: 5 },
  { mtu: 1_500 },
];

/** The same journal in plainer scenarios, of which none need show the same. */
export function* simplerScenarios(journal: Journal): Iterable<Journal> {
  const { scenario, items } = journal;
  for (const change of CHANGES) {
    const names = Object.keys(change) as (keyof Scenario)[];
    if (names.some((name) => scenario[name] !== change[name])) {
      yield { scenario: { ...scenario, ...change }, items };
    }
  }
  for (const i of [0, 1]) {
    for (const name of ["ecn", "sack", "timestamps"] as const) {
      if (scenario.tcp[i][name] === false) continue;
      const tcp = scenario.tcp.map((each, k) => (k === i ? { ...each, [name]: false } : each));
      yield { scenario: { ...scenario, tcp: [tcp[0], tcp[1]] }, items };
    }
  }
  const bare = withoutLink(journal);
  if (bare !== null) yield bare;
}

/** Without Ethernet, where each frame has an IP packet. */
function withoutLink({ scenario, items }: Journal): Journal | null {
  if (scenario.medium === "ip") return null;
  const stripped = items.map((item) =>
    item.kind === "wait"
      ? item
      : { ...item, frames: item.frames.filter(carriesIp).map((frame) => frame.subarray(ETHERNET_HEADER)) },
  );
  return { scenario: { ...scenario, medium: "ip" }, items: stripped };
}

function carriesIp(frame: Uint8Array): boolean {
  return frame.length > ETHERNET_HEADER && ((frame[12] << 8) | frame[13]) === IPV4;
}
