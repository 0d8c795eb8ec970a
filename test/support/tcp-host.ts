import type { Random } from "../../src/random.ts";
import { seededRandom } from "../../src/random.ts";
import type { TcpSettings } from "../../src/socket/tcp/settings.ts";
import { STATE_NAMES, type Tcb, type TcpState } from "../../src/socket/tcp/tcb.ts";
import { Stack } from "../../src/stack.ts";
import { NEVER } from "../../src/storage/deadline-heap.ts";
import { type IpAddress, parseAddress } from "../../src/wire/ip-address.ts";
import { decode, type Emitted } from "./tcp-segment.ts";
import { TestDevice } from "./test-device.ts";

export const OUR_ADDRESS = "10.0.0.1";
export const PEER_ADDRESS = "10.0.0.2";

export interface HostOptions {
  readonly tcp?: Partial<TcpSettings>;
  readonly memory?: number;
  readonly maxSockets?: number;
  readonly mtu?: number;
  /** The device cuts super-segments and completes checksums. */
  readonly offload?: boolean;
  readonly random?: Random;
  /** Our initial sequence number. */
  readonly iss?: number;
  /** Our timestamps are so much more than the ms since the host was made. */
  readonly timestampOffset?: number;
}

/** Where the clock of a host starts: no round number, so that whoever takes a time for a duration is found out. */
const START = 777_000;
/** Polls without end are a hang. */
const MOST_POLLS = 10_000;
const TRACED = 40;
/** What would be in every segment, and buffers that would not stay as they are; tests of it turn it on. */
const OFF = {
  timestamps: false,
  sack: false,
  ecn: false,
  congestionControl: "newreno",
  quickAcks: 0,
  receiveBuffer: 256 * 1024,
  sendBuffer: 256 * 1024,
} as const;

/** One stack on a test device, in a time that the test moves. */
export class TestHost {
  readonly stack: Stack;
  readonly device: TestDevice;
  readonly ours: IpAddress = parseAddress(OUR_ADDRESS);
  readonly peers: IpAddress = parseAddress(PEER_ADDRESS);
  /** Our next initial sequence number; the RFC's generator has tests of its own. */
  iss: number;
  /** What was sent and not yet looked at. */
  readonly outbox: Emitted[] = [];
  /** Called for every segment sent. */
  onEmitted: (emitted: Emitted) => void = () => {};
  private clock = START;
  private epoch = START;
  private readonly traced: string[] = [];

  constructor(options: HostOptions = {}) {
    const { tcp = {}, memory = 2 << 20, maxSockets = 64, mtu = 1_500, random = seededRandom(7) } = options;
    this.stack = new Stack({ memory, maxSockets, random, tcp: { ...OFF, ...tcp } });
    this.device = new TestDevice(mtu, options.offload);
    this.stack.addInterface({ device: this.device, addresses: [`${OUR_ADDRESS}/24`] });
    this.iss = options.iss ?? 0;
    const timestampOffset = () => (options.timestampOffset ?? 0) - START;
    Object.assign(this.stack.sockets.context.isn, { next: () => this.iss | 0, timestampOffset });
    this.stack.poll(this.clock);
  }

  /** ms since the scenario began. */
  get now(): number {
    return this.clock - this.epoch;
  }

  /** ms since the host was made. */
  get age(): number {
    return this.clock - START;
  }

  /** From here on the time counts from 0. */
  startClock(): void {
    this.epoch = this.clock;
    this.note("---");
  }

  sinceStart(at: number): number {
    return at - this.epoch;
  }

  inject(...packets: Uint8Array[]): void {
    this.device.inject(...packets);
    this.run();
  }

  /** Polls until nothing moves any more. */
  run(): void {
    for (let polls = 0; ; polls++) {
      if (polls === MOST_POLLS) this.fail("the stack wants to be polled again for ever");
      const more = this.stack.poll(this.clock);
      this.collect();
      if (!more && this.stack.nextDeadline(this.clock) > this.clock) return;
    }
  }

  /** Moves the time to `at` (ms since the scenario began), from deadline to deadline. */
  moveTo(at: number, stop: () => boolean = () => false): void {
    const until = this.epoch + at;
    for (let steps = 0; !stop(); steps++) {
      if (steps === MOST_POLLS) this.fail(`more than ${MOST_POLLS} deadlines until ${at} ms`);
      const next = this.stack.nextDeadline(this.clock);
      if (next > until) {
        this.clock = until;
        this.run();
        return;
      }
      this.clock = next;
      this.run();
    }
  }

  /** Moves the time on at once, past whatever is due. */
  sleep(ms: number): void {
    this.clock += ms;
    this.run();
  }

  /** The control block of a connection, or `null`. */
  findTcb(localPort: number, peerPort: number): Tcb | null {
    return this.stack.sockets.findTcb(this.ours, localPort, this.peers, peerPort);
  }

  stateOf(localPort: number, peerPort: number): TcpState {
    return STATE_NAMES[this.findTcb(localPort, peerPort)?.state ?? 0];
  }

  /** Takes pages out of the pool until so many are left, as other connections would; returns what gives them back. */
  leavePages(count: number): () => void {
    const { pool } = this.stack.sockets.context;
    const taken: number[] = [];
    while (pool.freePages > count) taken.push(pool.take());
    return () => {
      for (const page of taken.splice(0)) pool.give(page);
    };
  }

  /** Is nothing going to happen by itself? */
  get isQuiet(): boolean {
    return this.stack.nextDeadline(this.clock) === NEVER;
  }

  note(line: string): void {
    this.traced.push(`${this.now.toFixed(1).padStart(10)} ${line}`);
    if (this.traced.length > TRACED) this.traced.shift();
  }

  /** @throws Error with what has happened so far */
  fail(what: string): never {
    throw new Error(`${what}\n\nso far, in ms:\n${this.traced.join("\n")}`);
  }

  private collect(): void {
    const sizes = this.device.segmentSizes.splice(0);
    for (const [i, bytes] of this.device.take().entries()) {
      const emitted = decode(bytes, this.clock, sizes[i]);
      this.outbox.push(emitted);
      this.onEmitted(emitted);
    }
  }
}
