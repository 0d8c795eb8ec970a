import { leftBehind } from "../support/tcp-scoreboard.ts";
import { contradiction } from "./accounts.ts";
import type { FrameSource } from "./attack-device.ts";
import { STAGINGS, type Staging } from "./flavours.ts";
import type { Scenario } from "./scenario.ts";
import { Snapshot } from "./snapshot.ts";
import { isReset, mustNotBeAnswered } from "./unanswerable.ts";
import { Finding, OTHER_SOCKETS, World } from "./world.ts";

/** A source that knows how many of its frames look like something old of the peer's. */
export interface Attack extends FrameSource {
  /** Where the frame is that was handed out last. */
  readonly offset: number;
  readonly length: number;
  readonly answered: number;
  /** Time of the burst, in ms. */
  now: number;
}

/** What happens next: time passes, or a burst comes, until the source has no more. */
export type Action =
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "burst"; readonly attack: Attack };

/** What an attacker does, and when. */
export interface Plan {
  /** Is called when the connection is where the scenario has it. */
  begin(world: World, staging: Staging): void;
  next(): Action | null;
}

/** For tests of the fuzzer itself, and for who wants to see more. */
export interface RoundOptions {
  /** Is called before the first frame is sent. */
  readonly onWorld?: (world: World) => void;
  /** Is called after each burst; throws a `Finding` where something of its own does not hold. */
  readonly check?: (world: World) => void;
}

/** What a round has come to. */
export interface Outcome {
  readonly finding: Finding | null;
  readonly virtualMs: number;
  /** Bytes that both programs have read. */
  readonly bytes: number;
  /** Frames that the victim has sent in answer: to its peer on the connection, and in all. */
  readonly answersToPeer: number;
  readonly answers: number;
}

const SECOND_MS = 1_000;
/** Something arrives within these while something is under way: without losses, and with some; in ms of virtual time. */
const DELIVERY_MS = 2_000;
const LOSSY_DELIVERY_MS = 60_000;
/** A round ends within these, an attack's half-open connections and TIME-WAIT included. */
const END_STEPS = 80;
const END_STEP_MS = 10_000;
/** ICMP errors that an interface sends at most: at once, and in a second. */
const ICMP_BURST = 50;
const ICMP_PER_SECOND = 1_000;
/** Real time that a burst may take, when the machine does something else beside. */
const SLOW_MS = 10_000;

/** Has `plan` attack the connection of `scenario`, and looks at what it should not be able to do. */
export function runRound(scenario: Scenario, plan: Plan, options: RoundOptions = {}): Outcome {
  const round = new Round(scenario, options);
  options.onWorld?.(round.world);
  const finding = round.run(plan);
  const { ours, theirs, now } = round.world;
  const { answersToPeer, answers } = round;
  return { finding, virtualMs: now, bytes: ours.got + theirs.got, answersToPeer, answers };
}

class Round {
  readonly world: World;
  answersToPeer = 0;
  answers = 0;
  private readonly staging: Staging;
  private readonly before = new Snapshot();
  private readonly limit: number;
  private readonly check: ((world: World) => void) | null;
  /** When the first answer was sent, in ms, and how many were more than the limit counts. */
  private firstAnswerAt = -1;
  private excused = 0;
  private startedAt = 0;
  /** Time in which nothing has arrived, though something was written, in ms. */
  private stalledMs = 0;

  constructor(scenario: Scenario, { check }: RoundOptions) {
    this.check = check ?? null;
    this.world = new World(scenario);
    this.staging = STAGINGS[scenario.flavour];
    this.limit = this.world.victim.stack.sockets.context.tcp.challengeAcksPerSecond;
  }

  run(plan: Plan): Finding | null {
    try {
      this.staging.prepare(this.world);
      this.expectState("begins");
      this.startedAt = this.world.now;
      plan.begin(this.world, this.staging);
      for (let action = plan.next(); action !== null; action = plan.next()) {
        if (action.kind === "wait") this.wait(action.ms);
        else this.burst(action.attack);
      }
      this.finish();
      return null;
    } catch (error) {
      if (error instanceof Finding) return error;
      const { stack } = error as Error;
      return new Finding("threw", stack ?? String(error));
    } finally {
      this.world.device.stop();
    }
  }

  private wait(ms: number): void {
    const { world } = this;
    const { ours, theirs } = world;
    const before = ours.got + theirs.got;
    world.pass(ms);
    this.expectState("is");
    const missing =
      (ours.reading ? theirs.written - ours.got : 0) + (theirs.reading ? ours.written - theirs.got : 0);
    const moves = world.isCut || missing === 0 || ours.got + theirs.got > before;
    this.stalledMs = moves ? 0 : this.stalledMs + ms;
    if (this.stalledMs < (world.scenario.loss > 0 ? LOSSY_DELIVERY_MS : DELIVERY_MS)) return;
    throw new Finding("stalled", `${missing} bytes have not moved on for ${this.stalledMs} ms`);
  }

  /** The victim is at rest when it begins, so whatever it sends is an answer. */
  private burst(attack: Attack): void {
    const { world, before } = this;
    const { device, target } = world;
    const { tcb } = target;
    world.rest();
    before.take(tcb);
    const { stats } = world.victim.stack;
    const started = performance.now();
    const { segmentsToPeer, sent } = device;
    const { answered } = attack;
    const { framesReceived, tcpResetsSent } = stats;
    attack.now = world.now;
    device.source = attack;
    world.settle();
    device.stop();
    const tookMs = performance.now() - started;
    const toPeer = device.segmentsToPeer - segmentsToPeer;
    const answers = device.sent - sent;
    const frames = stats.framesReceived - framesReceived;
    const old = attack.answered - answered;
    this.answersToPeer += toPeer;
    this.answers += answers;
    const difference = before.difference(tcb, old > 0);
    if (difference !== null) throw new Finding(`changed ${difference[0]}`, difference[1]);
    if (frames === 1 && answers > 0) this.checkOneAnswer(attack, stats.tcpResetsSent - tcpResetsSent);
    if (answers > frames) throw new Finding("answers", `${answers} answers to ${frames} frames`);
    this.countAnswers(toPeer, old);
    const seconds = (world.now - this.startedAt) / SECOND_MS;
    if (stats.icmpErrorsSent > ICMP_BURST + seconds * ICMP_PER_SECOND) {
      throw new Finding("icmp", `${stats.icmpErrorsSent} errors in ${seconds} s`);
    }
    this.check?.(world);
    if (tookMs > SLOW_MS) throw new Finding("slow", `${frames} frames took ${Math.round(tookMs)} ms`);
  }

  private checkOneAnswer(attack: Attack, resets: number): void {
    const { medium } = this.world.scenario;
    if (mustNotBeAnswered(medium, attack)) throw new Finding("answered", "what RFC 1122 forbids to answer");
    if (resets > 0 && isReset(medium, attack)) throw new Finding("answered", "a reset, by a reset");
  }

  /** RFC 5961 7: no more on the connection than the limit allows, but one for each that looks like the peer's. */
  private countAnswers(toPeer: number, old: number): void {
    if (toPeer === 0) return;
    const { now } = this.world;
    if (this.firstAnswerAt < 0) this.firstAnswerAt = now;
    this.excused += Math.min(old, toPeer);
    const seconds = Math.floor((now - this.firstAnswerAt) / SECOND_MS) + 1;
    const counted = this.answersToPeer - this.excused;
    if (counted <= seconds * this.limit) return;
    throw new Finding("challenges", `${counted} in ${seconds} s, and ${this.limit} a second are allowed`);
  }

  private expectState(verb: string): void {
    const { state } = this.staging;
    const is = this.world.target.state;
    if (is !== state) throw new Finding("state", `the connection ${verb} in ${is}, not in ${state}`);
  }

  /** The attack is over: what was written arrives, both ends close, and nothing is left. */
  private finish(): void {
    const { world } = this;
    const { ours, theirs, victim, peer } = world;
    world.heal();
    for (const end of [ours, theirs]) {
      end.reading = true;
      end.rate = 0;
    }
    const greeting = [ours, theirs];
    for (let step = 0; step < END_STEPS; step++) {
      world.pass(END_STEP_MS);
      if (ours.socket === null || theirs.socket === null) continue;
      // Who can still write says something: an attacked handshake, too, is to end in a connection.
      for (const end of greeting.splice(0)) if (mayWrite(end.socket?.state)) end.write(1_000);
      if (step === 0) continue;
      ours.shutdown();
      theirs.shutdown();
      if (ours.socket.isClosed && theirs.socket.isClosed && !this.isAnyoneLeft()) break;
    }
    for (const [end, who] of [
      [ours, "the victim"],
      [theirs, "the peer"],
    ] as const) {
      if (end.socket === null) throw new Finding("no connection", `${who} has none`);
      if (end.socket.errorCode !== null)
        throw new Finding("ended", `${who} has been told ${end.socket.errorCode}`);
    }
    if (ours.got !== theirs.written || theirs.got !== ours.written) {
      throw new Finding(
        "lost",
        `${ours.got} of ${theirs.written} and ${theirs.got} of ${ours.written} bytes have arrived`,
      );
    }
    for (const [host, others] of [
      [victim, OTHER_SOCKETS],
      [peer, 1],
    ] as const) {
      const { sockets } = host.stack;
      if (sockets.size !== others)
        throw new Finding("left behind", `${sockets.size - others} sockets are left`);
      const left = leftBehind(sockets.context, sockets.context.pool.pageCount << 2);
      if (left !== null) throw new Finding("left behind", left);
    }
    const wrong = contradiction(victim.stack.stats);
    if (wrong !== null) throw new Finding("accounts", wrong);
  }

  private isAnyoneLeft(): boolean {
    const { victim, peer } = this.world;
    return victim.stack.sockets.size > OTHER_SOCKETS || peer.stack.sockets.size > 1;
  }
}

function mayWrite(state: string | undefined): boolean {
  return state === "ESTABLISHED" || state === "CLOSE_WAIT";
}
