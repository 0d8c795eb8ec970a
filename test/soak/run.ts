import { type ErrorCode, NEVER, type TcpListener, type TcpSocket } from "../../src/index.ts";
import { seededRandom } from "../../src/random.ts";
import { Network, type SimStack } from "../../src/sim/index.ts";
import { ESTABLISHED, Tcb } from "../../src/socket/tcp/tcb.ts";
import { Program, pairUp } from "../support/tcp-program.ts";
import { checkScoreboard, leftBehind } from "../support/tcp-scoreboard.ts";
import { type Scenario, scenarioOf } from "./scenario.ts";

/** What became of a seed. */
export interface Outcome {
  /** Bytes that both programs have read. */
  readonly bytes: number;
  /** Virtual time in ms until the last connection was gone. */
  readonly ms: number;
  readonly packets: number;
  readonly retransmissions: number;
  /** What the connection ended with, where it did not end well. */
  readonly failure: ErrorCode | null;
}

const PORT = 80;
const MAX_SOCKETS = 8;
/** Virtual time in which everything must have come to an end: a dead connection takes ten minutes, a slow one an hour. */
const MOST_MS = 6 * 3_600_000;
const MOST_STEPS = 5_000_000;

/**
 * Two programs send each other streams over a bad network, until both streams have arrived whole and in order or the stack
 * has told the programs that they could not.
 *
 * @throws Error where bytes are lost, doubled or swapped, a connection is stuck, something is left behind, or what must hold
 *   at every step does not; it names the seed
 */
export function runSeed(seed: number): Outcome {
  const scenario = scenarioOf(seed);
  const net = new Network({ seed });
  const [client, server] = [0, 1].map((i) => makeStack(net, scenario, i));
  net.link(client, server, { ...scenario.there, mtu: scenario.mtu }, scenario.back);
  for (const { atMs, forMs } of scenario.partitions) {
    net.at(atMs, () => net.partition([client], [server]));
    net.at(atMs + forMs, () => net.heal());
  }
  const programs = startPrograms(client, scenario);
  const listener = server.stack.sockets.listen({ port: PORT });
  const watches = [client, server].map((host) => new Watch(host));
  const describe = () =>
    `seed ${seed}, at ${net.now} ms\n${programs.join("\n")}\n${JSON.stringify(scenario)}`;
  const failing = (what: string) => new Error(`${what}\n${describe()}`);

  for (let steps = 0; !isOver(programs, client, server); steps++) {
    if (steps === MOST_STEPS || net.now > MOST_MS) throw failing("no end");
    try {
      if (!act(net, programs, listener, [client, server])) proceed(net, programs);
      for (const watch of watches) watch.check();
    } catch (error) {
      throw failing((error as Error).message);
    }
  }
  for (const host of [client, server]) checkNothingLeft(host, failing);
  const stats = [client, server].map(({ stack }) => stack.stats);
  return {
    bytes: programs.reduce((sum, program) => sum + program.readBytes, 0),
    ms: net.now,
    packets: stats.reduce((sum, { framesSent }) => sum + framesSent, 0),
    retransmissions: stats.reduce((sum, { tcpRetransmissions }) => sum + tcpRetransmissions, 0),
    failure: programs.find(({ failure }) => failure !== null)?.failure ?? null,
  };
}

function makeStack(net: Network, scenario: Scenario, i: number): SimStack {
  const host = net.stack({
    addresses: [`10.0.0.${i + 1}/24`],
    memory: scenario.memory[i],
    maxSockets: MAX_SOCKETS,
    tcp: scenario.tcp[i],
  });
  Object.assign(host.stack.sockets.context.isn, { next: () => scenario.iss[i] });
  return host;
}

function startPrograms(client: SimStack, scenario: Scenario): readonly [Program, Program] {
  const random = seededRandom(scenario.seed ^ 0x5bd1e995);
  const ours = new Program("client", 1, random, scenario.most, false);
  const theirs = new Program("server", 101, random, scenario.most, false);
  pairUp(ours, theirs);
  ours.mayFail = true;
  theirs.mayFail = true;
  ours.socket = client.stack.sockets.connect({ address: "10.0.0.2", port: PORT, noDelay: scenario.noDelay });
  keepAlive(ours.socket);
  client.wake();
  return [ours, theirs];
}

/** Who only waits for text would never learn that the other has given up. */
function keepAlive(socket: TcpSocket): void {
  socket.setKeepAlive(30_000, 10_000, 30);
}

/** Lets the programs do what they are to do now; returns whether there was anything. */
function act(
  net: Network,
  programs: readonly [Program, Program],
  listener: TcpListener,
  hosts: readonly SimStack[],
): boolean {
  const [ours, theirs] = programs;
  if (theirs.socket === null) {
    const accepted = listener.accept();
    if (accepted !== null) {
      theirs.accepts(accepted);
      keepAlive(accepted);
    }
    // A client that has given up is waited for by nobody.
    if (accepted === null && ours.done && hosts[1].stack.sockets.size === 1) theirs.done = true;
  }
  let acted = false;
  for (const [i, program] of programs.entries()) {
    if (program.done || program.nextAct > net.now) continue;
    program.act(net.now);
    hosts[i].wake();
    acted = true;
  }
  return acted;
}

/** What comes first: something on the network, or a program's next act. */
function proceed(net: Network, programs: readonly Program[]): void {
  const next = Math.min(...programs.map(({ done, nextAct }) => (done ? NEVER : nextAct)));
  if (next < net.nextAt) net.runFor(next - net.now);
  else if (!net.step()) throw new Error("nothing is left to happen");
}

/** The programs have done what they wanted, and no connection is left: one socket listens. */
function isOver(programs: readonly Program[], client: SimStack, server: SimStack): boolean {
  return (
    programs.every(({ done }) => done) && client.stack.sockets.size === 0 && server.stack.sockets.size === 1
  );
}

function checkNothingLeft(host: SimStack, failing: (what: string) => Error): void {
  const { context } = host.stack.sockets;
  const left = leftBehind(context, context.pool.pageCount << 2);
  if (left !== null) throw failing(left);
}

/** What must hold of a stack's connections after every step. */
class Watch {
  private readonly host: SimStack;
  private readonly before = new Map<Tcb, { una: number; rcv: number; edge: number }>();

  constructor(host: SimStack) {
    this.host = host;
  }

  check(): void {
    for (let i = 0; i < MAX_SOCKETS; i++) {
      const tcb = this.host.stack.sockets.get(i);
      if (!(tcb instanceof Tcb)) continue;
      checkScoreboard(tcb);
      // Before, the numbers of the receiver are not known.
      if (tcb.state < ESTABLISHED) continue;
      const before = this.before.get(tcb);
      const now = { una: tcb.sndUna, rcv: tcb.rcvNxt, edge: tcb.rcvAdv };
      if (before !== undefined) {
        if (((now.una - before.una) | 0) < 0) throw new Error("SND.UNA moved back");
        if (((now.rcv - before.rcv) | 0) < 0) throw new Error("RCV.NXT moved back");
        if (((now.edge - before.edge) | 0) < 0) throw new Error("the window was retracted");
      }
      this.before.set(tcb, now);
    }
  }
}
