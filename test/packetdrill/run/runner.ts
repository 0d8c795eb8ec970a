import { StackError } from "../../../src/errors.ts";
import { parseAddress } from "../../../src/wire/ip-address.ts";
import { CallError, type PendingCall } from "../kernel/call.ts";
import { PYTHON_CONSTANTS } from "../python/constants.ts";
import { runPython, type Value } from "../python/evaluate.ts";
import type { Assertion, Call, Event, Packet, Place, Script, Shell } from "../script.ts";
import { describeLive, describeScript } from "../wire/describe.ts";
import type { LivePacket } from "../wire/live.ts";
import { type Addresses, arrivingPacket, PacketError } from "./arriving.ts";
import { Clock, seconds, timeMismatch, type Window } from "./clock.ts";
import { Flows } from "./flow.ts";
import { mismatch } from "./match.ts";
import { Outgoing } from "./outgoing.ts";
import type { Settings } from "./settings.ts";
import { isFreebsd, LINUX_USUAL, runShell } from "./shell.ts";
import { World } from "./world.ts";

/** What became of a script. */
export interface RunResult {
  /** `FILE:LINE: what went wrong`, with the packets that differ; `null` where all went as the script says. */
  readonly failure: string | null;
  /** Failures that `--non_fatal` lets pass. */
  readonly warnings: readonly string[];
  /** What the script asks for and the stack has nothing like, and what happened, for those who want to know. */
  readonly notes: readonly string[];
}

class Failure extends Error {}

/** How long a call may block that the script has return at once: ms. */
const PATIENCE_MS = 10_000;
/** How long a call may go on behind the end of the script, as in the original: ms. */
const LAST_CALL_MS = 1_000;

/**
 * Runs a script against a new stack, in virtual time.
 *
 * @example
 * ```ts
 * const script = parseScript("a.pkt", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3");
 * runScript(script, new Settings()).failure; // null
 * ```
 */
export function runScript(script: Script, settings: Settings): RunResult {
  const notes: string[] = [];
  const warnings: string[] = [];
  const first: Place = { file: script.file, line: 1 };
  try {
    if (settings.ipVersion !== "ipv4") {
      throw new Failure(
        at(first, `--ip_version=${settings.ipVersion} is not supported: the stack has no IPv6 yet`),
      );
    }
    new Run(script, settings, notes, warnings).run();
    return { failure: null, warnings, notes };
  } catch (error) {
    if (error instanceof Failure) return { failure: error.message, warnings, notes };
    if (error instanceof StackError) return { failure: at(first, error.message), warnings, notes };
    throw error;
  }
}

function at(place: Place, message: string): string {
  return `${place.file}:${place.line}: ${message}`;
}

interface Blocking {
  readonly event: Event;
  readonly call: Call;
  readonly pending: PendingCall;
  readonly window: Window;
}

class Run {
  private readonly script: Script;
  private readonly settings: Settings;
  private readonly notes: string[];
  private readonly warnings: string[];
  private readonly world: World;
  private readonly addresses: Addresses;
  private readonly flows: Flows;
  private readonly outgoing: Outgoing;
  private readonly clock: Clock;
  private readonly variables = new Map<string, Value>();
  private blocking: Blocking | null = null;

  constructor(script: Script, settings: Settings, notes: string[], warnings: string[]) {
    this.script = script;
    this.settings = settings;
    this.notes = notes;
    this.warnings = warnings;
    this.world = new World(settings);
    this.addresses = { local: word(settings.localIp), remote: word(settings.remoteIp) };
    this.flows = new Flows(settings.bindPort, settings.connectPort);
    this.outgoing = new Outgoing(
      this.world,
      this.flows,
      this.addresses.remote,
      settings.strictSegments,
      (text) => this.note(text),
    );
    this.clock = new Clock(settings);
    this.world.onRest = () => this.onRest();
  }

  run(): void {
    const { script } = this;
    const top: Place = { file: script.file, line: 1 };
    const commands = script.events.flatMap(({ action }) => (action.kind === "shell" ? [action.command] : []));
    const { kernel } = this.world;
    kernel.flavour = isFreebsd(commands) ? "freebsd" : "linux";
    if (kernel.flavour === "linux") for (const [name, value] of LINUX_USUAL) kernel.sysctl(name, value);
    for (const { command } of script.init) this.shell(command, top);
    for (const event of script.events) this.event(event);
    this.finish();
    for (const { command } of script.cleanup) this.shell(command, script.events.at(-1)?.place ?? top);
  }

  private get now(): number {
    return Math.round(this.world.now * 1000);
  }

  private note(text: string): void {
    this.notes.push(`${seconds(this.now)} ${text}`);
  }

  private fail(place: Place, message: string): never {
    throw new Failure(at(place, message));
  }

  private event(event: Event): void {
    const window = this.clock.next(event, this.now);
    if (typeof window === "string") this.fail(event.place, window);
    const { action, place } = event;
    if (action.kind === "packet" && action.direction === "out") {
      this.expect(event, action, window);
      return;
    }
    this.world.advanceTo(window.from / 1000);
    const late = timeMismatch(window, this.now, DESCRIPTIONS[action.kind]);
    if (late !== null) this.fail(place, late);
    if (action.kind === "packet") this.arrive(place, action);
    else if (action.kind === "call") this.call(event, action, window);
    else if (action.kind === "shell") this.shell(action.command, place);
    else this.assert(place, action);
  }

  private arrive(place: Place, packet: Packet): void {
    const flow = this.flows.forArriving(packet);
    if (packet.body.protocol === "tcp") flow.receive(packet.body);
    try {
      const bytes = arrivingPacket(packet, flow, this.addresses, this.settings.isEchoScaled);
      this.note(`inbound injected packet: ${describeScript(packet)}`);
      this.world.wire.inject(bytes);
    } catch (error) {
      if (error instanceof PacketError) this.fail(place, `error handling packet: ${error.message}`);
      throw error;
    }
    this.world.settle();
  }

  private expect(event: Event, packet: Packet, window: Window): void {
    const flow = this.flows.current;
    if (flow === null) this.fail(event.place, "error handling packet: no matching socket for script packet");
    if (packet.body.protocol === "tcp") flow.expect(packet.body);
    const found = this.outgoing.next(packet, window);
    if (found.packet === null) {
      const when = window.isAny ? "at any time" : `at ${seconds(window.from)} sec`;
      this.packetFailure(event, `expected outbound packet ${when}, but none was sent`, packet, window, null);
      return;
    }
    const wrong =
      found.wrong ??
      mismatch(packet, found.packet, flow, this.settings) ??
      timeMismatch(window, Math.round(found.packet.at * 1000), "outbound packet") ??
      timeMismatch(window, Math.round(found.lastAt * 1000), "the end of the outbound packet");
    if (wrong !== null) this.packetFailure(event, wrong, packet, window, found.packet);
    else this.note(`outbound packet: ${describeLive(found.packet, flow)}`);
  }

  private packetFailure(
    event: Event,
    wrong: string,
    packet: Packet,
    window: Window,
    actual: LivePacket | null,
  ): void {
    const severity = this.settings.nonFatalPacket ? "warning" : "error";
    const lines = [`${severity} handling packet: ${wrong}`];
    const when = window.isAny ? "        *" : seconds(window.from).padStart(9);
    lines.push(`script packet: ${when} ${describeScript(packet)}`);
    const { current } = this.flows;
    if (actual !== null && current !== null) {
      lines.push(`actual packet: ${seconds(actual.at * 1000).padStart(9)} ${describeLive(actual, current)}`);
    }
    const message = lines.join("\n");
    if (!this.settings.nonFatalPacket) this.fail(event.place, message);
    this.warnings.push(at(event.place, message));
  }

  private call(event: Event, call: Call, window: Window): void {
    if (window.until !== null) this.awaitBlocking(Number.POSITIVE_INFINITY);
    this.flows.onCall(call);
    const pending = this.start(event.place, call);
    this.world.settle();
    if (window.until !== null) {
      const end: Window = { ...window, from: window.until, to: window.until };
      this.blocking = { event, call, pending, window: end };
      this.onRest();
      return;
    }
    const limit = this.world.now + PATIENCE_MS;
    while (!pending.done && this.world.step(limit));
    if (!pending.done)
      this.fail(event.place, `runtime error in ${call.name} call: it blocks, and nothing wakes it up`);
    this.check(event.place, call, pending);
  }

  private start(place: Place, call: Call): PendingCall {
    try {
      return this.world.kernel.start(call, this.world.now);
    } catch (error) {
      if (error instanceof CallError)
        this.fail(place, `runtime error in ${call.name} call: ${error.message}`);
      throw error;
    }
  }

  private check(place: Place, call: Call, pending: PendingCall): void {
    const wrong = pending.mismatch();
    if (wrong === null) {
      this.note(`call returned: ${call.name}`);
      return;
    }
    const message = `runtime error in ${call.name} call: ${wrong}`;
    if (!this.settings.nonFatalSyscall) this.fail(place, message);
    this.warnings.push(at(place, message));
  }

  /** A blocking call may have returned. */
  private onRest(): void {
    const { blocking } = this;
    if (blocking === null || !blocking.pending.done) return;
    this.blocking = null;
    const { event, call, pending, window } = blocking;
    this.check(event.place, call, pending);
    const wrong = timeMismatch(window, this.now, "system call return");
    if (wrong !== null) this.fail(event.place, wrong);
  }

  private awaitBlocking(patience: number): void {
    const { blocking } = this;
    if (blocking === null) return;
    const limit = Math.min(this.world.now + patience, this.world.now + PATIENCE_MS);
    while (this.blocking !== null && this.world.step(limit));
    if (this.blocking !== null) {
      this.fail(blocking.event.place, `runtime error in ${blocking.call.name} call: it has not returned`);
    }
  }

  private shell(command: string, place: Place): void {
    const { world } = this;
    const wrong = runShell(command, {
      sysctl: (name, value) => world.kernel.sysctl(name, value),
      setMtu: (mtu) => world.setMtu(mtu),
      actLikeLinux: () => world.kernel.actLikeLinux(),
      makeFile: (path, length) => world.kernel.makeFile(path, length),
      sleep: (ms) => world.advanceTo(world.now + ms),
      note: (text) => this.note(text),
    });
    world.settle();
    if (wrong !== null) this.fail(place, `error executing \`${command}\` command: ${wrong}`);
  }

  private assert(place: Place, { text }: Assertion): void {
    const given = { ...PYTHON_CONSTANTS, ...this.world.kernel.tcpInfo() };
    const { failure, printed } = runPython(text, this.variables, given);
    for (const line of printed) this.note(`printed: ${line}`);
    if (failure !== null) this.fail(place, `error in code: ${failure}`);
  }

  private finish(): void {
    this.awaitBlocking(LAST_CALL_MS);
    const left = this.outgoing.leftover(this.settings.failOnLeftovers);
    const { current } = this.flows;
    if (left === null || current === null) return;
    const when = seconds(left.at * 1000);
    const place = this.script.events.at(-1)?.place ?? { file: this.script.file, line: 1 };
    this.fail(
      place,
      `a packet was sent that the script does not expect\nactual packet: ${when} ${describeLive(left, current)}`,
    );
  }
}

const DESCRIPTIONS: Record<(Packet | Call | Shell | Assertion)["kind"], string> = {
  packet: "inbound packet",
  call: "system call start",
  shell: "command",
  assertion: "data collection for code",
};

function word(address: string): number {
  return parseAddress(address).w3 >>> 0;
}
