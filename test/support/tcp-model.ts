import { fault } from "../../devices/fault.ts";
import { type Capabilities, type Device, Frame } from "../../src/device.ts";
import { NEVER, Stack, type TcpListener } from "../../src/index.ts";
import { type Random, randomBelow, seededRandom } from "../../src/random.ts";
import type { TcpSettings } from "../../src/socket/tcp/settings.ts";
import { Tcb } from "../../src/socket/tcp/tcb.ts";
import { TransmissionPool } from "../../src/socket/tcp/transmissions.ts";
import { Program, pairUp } from "./tcp-program.ts";
import { checkScoreboard, leftBehind } from "./tcp-scoreboard.ts";

/**
 * Two stacks, a bad link, programs that read and write as they please, all from one seed. What must come out whatever
 * happens: every byte, in order, in both directions; an end within bounded time; and nothing left behind.
 */

interface Clock {
  now: number;
}

/** One end of a link with delay: what the other end has sent arrives when its time has come. */
class DelayedDevice implements Device {
  readonly capabilities: Capabilities;
  other: DelayedDevice | null = null;
  readonly arriving: { at: number; bytes: Uint8Array }[] = [];
  private readonly clock: Clock;
  private readonly delayMs: number;
  private readonly queueLength: number;
  private readonly lent: Frame;

  constructor(clock: Clock, mtu: number, delayMs: number, queueLength: number) {
    this.capabilities = { medium: "ip", mtu, checksumOffload: false, maxSuperSegment: 0 };
    this.clock = clock;
    this.delayMs = delayMs;
    this.queueLength = queueLength;
    this.lent = new Frame(new Uint8Array(mtu));
  }

  get nextArrival(): number {
    return this.arriving.length === 0 ? NEVER : this.arriving[0].at;
  }

  receive(frame: Frame): boolean {
    if (this.nextArrival > this.clock.now) return false;
    const { bytes } = this.arriving.shift()!;
    frame.bytes = bytes;
    frame.offset = 0;
    frame.length = bytes.length;
    frame.checksumOffloaded = false;
    return true;
  }

  transmit(length: number): Frame | null {
    if (this.other!.arriving.length >= this.queueLength) return null;
    this.lent.bytes.fill(0xa5);
    this.lent.offset = 0;
    this.lent.length = length;
    return this.lent;
  }

  commit(frame: Frame): void {
    const bytes = frame.bytes.slice(frame.offset, frame.offset + frame.length);
    this.other!.arriving.push({ at: this.clock.now + this.delayMs, bytes });
  }

  onReadable(): void {}
  onWritable(): void {}
  close(): void {}
}

export interface ModelOptions {
  /** Most bytes in each direction of a connection. */
  readonly most: number;
  readonly connections: number;
  readonly memory: number;
  readonly buffer: number;
  /** Probabilities of the link, in each direction. */
  readonly drop: number;
  readonly duplicate: number;
  readonly swap: number;
  readonly corrupt: number;
  /** Programs abort, or close while there is something to read, whenever they like: then streams may end early. */
  readonly rude?: boolean;
  /** Settings of both stacks that differ from the usual ones. */
  readonly tcp?: Partial<TcpSettings>;
  /** Records of what was sent that the connections of a stack may have beside the two that each has. */
  readonly spareRecords?: number;
}

const PORT = 80;
const MOST_STEPS = 1_000_000;
const MOST_MS = 3_600_000;
const MAX_SOCKETS = 64;

/** Runs one seed to its end; throws where something is lost, stuck or left behind. */
export function runModel(seed: number, options: ModelOptions): void {
  const random = seededRandom(seed);
  const clock = { now: 1_000 };
  const mtu = [68, 140, 576, 1_500][randomBelow(random, 4)];
  const delayMs = [0, 1, 20, 150][randomBelow(random, 4)];
  const queueLength = 1 + randomBelow(random, 100);
  const ends = [0, 1].map(() => new DelayedDevice(clock, mtu, delayMs, queueLength));
  ends[0].other = ends[1];
  ends[1].other = ends[0];
  const { drop, duplicate, swap, corrupt } = options;
  const stacks = ends.map((end, i) => {
    const tcp: Partial<TcpSettings> = {
      receiveBuffer: 1 + randomBelow(random, options.buffer),
      sendBuffer: 1 + randomBelow(random, options.buffer),
      // A minute of waiting is no more of a test than two seconds.
      maxRtoMs: 2_000,
      mslMs: 1_000,
      userTimeoutMs: options.rude ? 60_000 : NEVER,
      connectTimeoutMs: options.rude ? 60_000 : MOST_MS,
      synAckRetries: options.rude ? 5 : 1_000,
      ...options.tcp,
    };
    const stack = new Stack({ random, memory: options.memory, maxSockets: MAX_SOCKETS, tcp });
    const device = fault(end, { seed: random.next(), drop, duplicate, swap, corrupt });
    stack.addInterface({ device, addresses: [`10.0.0.${i + 1}/24`] });
    const { context } = stack.sockets;
    if (options.spareRecords !== undefined)
      Object.assign(context, { transmissions: new TransmissionPool(MAX_SOCKETS, options.spareRecords) });
    // Sequence numbers that wrap soon, more often than not.
    const { isn } = stack.sockets.context;
    const next = isn.next.bind(isn);
    Object.assign(isn, {
      next: (...parameters: Parameters<typeof next>) =>
        randomBelow(random, 3) === 0 ? next(...parameters) : -randomBelow(random, 20_000) | 0,
    });
    return stack;
  });
  const [client, server] = stacks;
  for (const stack of stacks) stack.poll(clock.now);
  const listener = server.sockets.listen({ port: PORT });
  const pairs = connectAll(client, random, options);
  const programs = pairs.flat();

  const describeAll = () => `seed ${seed}, at ${clock.now} ms\n${programs.join("\n")}`;
  for (let steps = 0; ; steps++) {
    if (steps === MOST_STEPS || clock.now > MOST_MS) throw new Error(`no end: ${describeAll()}`);
    settle(stacks, clock, describeAll);
    checkAll(stacks, describeAll);
    acceptAll(listener, pairs);
    let acted = false;
    for (const program of programs) {
      if (program.done || program.nextAct > clock.now) continue;
      program.act(clock.now);
      acted = true;
    }
    if (acted) continue;
    const running = programs.filter((program) => !program.done);
    if (running.length === 0 && stacks[0].sockets.size === 0 && server.sockets.size === 1) break;
    const next = Math.min(
      ...stacks.map((stack) => stack.nextDeadline(clock.now)),
      ...ends.map((end) => end.nextArrival),
      ...running.map((program) => program.nextAct),
    );
    if (next === NEVER) throw new Error(`nothing is left to happen: ${describeAll()}`);
    clock.now = Math.max(clock.now, next);
  }

  for (const stack of stacks) {
    const { context } = stack.sockets;
    const { flows, pool } = context;
    const left = leftBehind(context, options.spareRecords ?? pool.pageCount << 2);
    if (left !== null) throw new Error(`${left}: ${describeAll()}`);
    for (const { socket } of programs) {
      if (
        socket !== null &&
        flows.find(socket.localAddress, socket.localPort, socket.remoteAddress, socket.remotePort) !== -1
      ) {
        throw new Error(`a flow is left: ${describeAll()}`);
      }
    }
  }
}

function connectAll(client: Stack, random: Random, options: ModelOptions): [Program, Program][] {
  const pairs: [Program, Program][] = [];
  for (let i = 0; i < options.connections; i++) {
    const rude = options.rude ?? false;
    const ours = new Program(`client ${i}`, 1 + i * 40, random, options.most, rude);
    const theirs = new Program(`server ${i}`, 21 + i * 40, random, options.most, rude);
    pairUp(ours, theirs);
    const socket = client.sockets.connect({
      address: "10.0.0.2",
      port: PORT,
      noDelay: randomBelow(random, 2) === 0,
    });
    if (rude) socket.setKeepAlive(5_000, 1_000, 20);
    else if (randomBelow(random, 4) === 0) socket.setKeepAlive(50, 50, 1_000_000);
    ours.socket = socket;
    pairs.push([ours, theirs]);
  }
  return pairs;
}

function acceptAll(listener: TcpListener, pairs: [Program, Program][]): void {
  for (let socket = listener.accept(); socket !== null; socket = listener.accept()) {
    const { remotePort } = socket;
    const pair = pairs.find(([ours]) => ours.socket!.localPort === remotePort);
    pair![1].accepts(socket);
  }
}

/** What must hold of every connection at every moment. */
function checkAll(stacks: readonly Stack[], describeAll: () => string): void {
  for (const stack of stacks) {
    for (let i = 0; i < MAX_SOCKETS; i++) {
      const socket = stack.sockets.get(i);
      if (!(socket instanceof Tcb)) continue;
      try {
        checkScoreboard(socket);
      } catch (error) {
        throw new Error(`${(error as Error).message}\n${describeAll()}`);
      }
    }
  }
}

/** Polls both until neither has anything to do at this moment. */
function settle(stacks: readonly Stack[], clock: Clock, describeAll: () => string): void {
  for (let polls = 0; ; polls++) {
    if (polls === 10_000) throw new Error(`polls without end: ${describeAll()}`);
    let moved = false;
    for (const stack of stacks) {
      const before = stack.stats.framesSent + stack.stats.framesReceived;
      if (stack.poll(clock.now) || stack.nextDeadline(clock.now) <= clock.now) moved = true;
      if (stack.stats.framesSent + stack.stats.framesReceived !== before) moved = true;
    }
    if (!moved) return;
  }
}
