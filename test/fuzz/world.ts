import type { TcpListener } from "../../src/index.ts";
import { Network, type SimStack } from "../../src/sim/index.ts";
import { Tcb } from "../../src/socket/tcp/tcb.ts";
import { ready } from "../../src/socket/tcp/transitions.ts";
import { AttackDevice } from "./attack-device.ts";
import { Endpoint } from "./endpoint.ts";
import type { Scenario } from "./scenario.ts";
import { ICMP_IDENTIFIER, LISTEN_PORT, PEER, Target, UDP_PORT, VICTIM } from "./target.ts";

/** Few enough that the attack uses all of them up. */
const MAX_SOCKETS = 64;
/** Where sockets run out, TIME-WAIT is cut short: more than a listener's half-open connections. */
const PLENTY_OF_SOCKETS = 2_048;
/** Sockets that are no connections: a listener, and what the noise is for. */
export const OTHER_SOCKETS = 3;
/** More polls in a row than any burst can be worth. */
const MOST_POLLS = 1_000;

/** Something did not hold. */
export class Finding extends Error {
  /** What did not, and of what: the same of both is the same finding. */
  readonly rule: string;

  constructor(rule: string, detail: string) {
    super(`${rule}: ${detail}`);
    this.rule = rule;
  }
}

/** A victim, its peer, the connection between them, and the door through which the attacker comes in. */
export class World {
  readonly scenario: Scenario;
  readonly net: Network;
  readonly victim: SimStack;
  readonly peer: SimStack;
  readonly device: AttackDevice;
  readonly ours = new Endpoint(1, 101);
  readonly theirs = new Endpoint(101, 1);
  private readonly listeners: readonly [TcpListener, TcpListener];
  private known: Target | null = null;
  /** The two cannot hear each other. */
  isCut = false;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    const { seed, flavour, medium, mtu, memory, tcp, delayMs, loss } = scenario;
    this.net = new Network({ seed, medium });
    const devices: AttackDevice[] = [];
    const wrap = (device: ConstructorParameters<typeof AttackDevice>[0]) => {
      devices.push(new AttackDevice(device));
      return devices[0];
    };
    const common = { memory, maxSockets: flavour === "timeWait" ? PLENTY_OF_SOCKETS : MAX_SOCKETS };
    this.victim = this.net.stack({
      addresses: [`${VICTIM}/24`],
      gateway: PEER,
      wrap,
      tcp: tcp[0],
      ...common,
    });
    this.peer = this.net.stack({ addresses: [`${PEER}/24`], tcp: tcp[1], ...common });
    this.device = devices[0];
    for (const [i, { stack }] of [this.victim, this.peer].entries()) {
      const { isn } = stack.sockets.context;
      const chosen = isn.next.bind(isn);
      // Of the first connection only: who knows one must not know the others.
      let first = true;
      const next: typeof isn.next = (...ends) => {
        const usual = chosen(...ends);
        const iss = first ? scenario.iss[i] : usual;
        first = false;
        return iss;
      };
      Object.assign(isn, { next });
    }
    this.net.onStep = () => this.readAll();
    this.net.link(this.victim, this.peer, { delayMs, loss, mtu });
    this.listeners = [
      this.victim.stack.sockets.listen({ port: LISTEN_PORT }),
      this.peer.stack.sockets.listen({ port: LISTEN_PORT }),
    ];
    this.victim.stack.sockets.bindUdp({ port: UDP_PORT, buffers: { datagrams: 16, bytes: 4_096 } });
    this.victim.stack.sockets.bindIcmp({ identifier: ICMP_IDENTIFIER });
  }

  get now(): number {
    return this.net.now;
  }

  /** The connection under attack. */
  get target(): Target {
    if (this.known === null) throw new Error("there is no connection yet");
    return this.known;
  }

  /** The SYN is on its way. */
  connect(): void {
    const [from, to, end] = this.scenario.victimOpens
      ? ([this.victim, PEER, this.ours] as const)
      : ([this.peer, VICTIM, this.theirs] as const);
    end.socket = from.stack.sockets.connect({ address: to, port: LISTEN_PORT });
    from.wake();
  }

  /** Takes the connection out of the listener, once it is there. */
  accept(): void {
    const [listener, end] = this.scenario.victimOpens
      ? ([this.listeners[1], this.theirs] as const)
      : ([this.listeners[0], this.ours] as const);
    end.socket ??= listener.accept();
  }

  /** The victim's connection exists from now on: it is what is attacked. */
  aim(): void {
    const { sockets } = this.victim.stack;
    for (let i = 0; i < MAX_SOCKETS; i++) {
      const socket = sockets.get(i);
      if (!(socket instanceof Tcb)) continue;
      this.known = new Target(this.scenario.medium, socket);
      this.device.ports = (socket.localPort << 16) | socket.remotePort;
      return;
    }
    throw new Error("the victim has no connection");
  }

  /** Nothing that is sent from now on arrives, nor what is under way. */
  cut(): void {
    this.isCut = true;
    this.net.partition([this.victim], [this.peer]);
  }

  heal(): void {
    this.isCut = false;
    this.net.heal();
  }

  /**
   * Has the programs write, and lets time pass in which they read.
   *
   * @throws Finding where bytes are wrong
   */
  pass(ms: number): void {
    this.ours.write(this.ours.rate);
    this.theirs.write(this.theirs.rate);
    this.victim.wake();
    this.peer.wake();
    this.readAll();
    this.net.runFor(ms);
    this.settle();
  }

  private readAll(): void {
    this.accept();
    this.read(this.ours, this.victim, "the victim");
    this.read(this.theirs, this.peer, "the peer");
  }

  private read(end: Endpoint, host: SimStack, who: string): void {
    if (!end.mayRead) return;
    if (end.socket?.errorCode) throw new Finding("ended", `${who} has been told ${end.socket.errorCode}`);
    host.wake();
    const wrong = end.read();
    if (wrong !== null) throw new Finding("bytes", `${who} has read a stream whose ${wrong}`);
  }

  /** The same, and the connection has sent all that it may: what is paced goes a little early where something else is sent. */
  rest(): void {
    this.settle();
    ready(this.target.tcb);
    this.settle();
  }

  /** Polls the victim until there is nothing left to do at this time. */
  settle(): void {
    for (let polls = 0; this.victim.stack.poll(this.net.now); polls++) {
      if (polls === MOST_POLLS) throw new Finding("restless", "the victim never comes to rest");
    }
  }
}
