import type { Random } from "../random.ts";
import type { Stats } from "../stats.ts";
import type { BufferPool } from "../storage/buffer-pool.ts";
import { DeadlineHeap, NEVER } from "../storage/deadline-heap.ts";
import { FlowTable } from "../storage/flow-table.ts";
import { ReadyQueue } from "../storage/ready-queue.ts";
import { RecencyList } from "../storage/recency-list.ts";
import { ALONE, type WorkerPlace } from "../wire/worker-share.ts";
import { KnownAddresses } from "./known-addresses.ts";
import { PathMtus } from "./path-mtus.ts";
import { PortRegistry } from "./ports.ts";
import type { Routing } from "./routing.ts";
import { ChallengeBudget } from "./tcp/challenge.ts";
import { AckSample, LossSample } from "./tcp/congestion/control.ts";
import { IsnGenerator } from "./tcp/isn.ts";
import { HalfOpenCount } from "./tcp/listen-queue.ts";
import { Pressure } from "./tcp/pressure.ts";
import type { TcpSettings } from "./tcp/settings.ts";
import { SynCookies } from "./tcp/syn-cookie.ts";
import { TcbList } from "./tcp/tcb-list.ts";
import { TransmissionPool } from "./tcp/transmissions.ts";

/** What all sockets of a stack share. */
export class SocketContext {
  /** The time of the call into the stack that is under way, in ms. */
  now = 0;
  /** That call is a poll: `now` is the time. Else it is that of the last one, which may be long ago. */
  isPolling = false;
  /** What says how late it is within that call, where there is such a clock. */
  clock: (() => number) | null = null;
  readonly stats: Stats;
  readonly random: Random;
  readonly pool: BufferPool;
  readonly tcp: TcpSettings;
  readonly routing: Routing;
  /** Which one this is of several stacks with the same addresses. */
  readonly worker: WorkerPlace;
  /** Connections by their 4-tuple. */
  readonly flows: FlowTable;
  readonly addresses = new KnownAddresses();
  /** What the paths to other hosts carry, where it is less than our interface does. */
  readonly pathMtus = new PathMtus();
  readonly tcpPorts: PortRegistry;
  readonly udpPorts: PortRegistry;
  readonly isn: IsnGenerator;
  readonly cookies: SynCookies;
  /** Half-open connections of all listeners: never more than half of the sockets. */
  readonly halfOpen: HalfOpenCount;
  readonly deadlines: DeadlineHeap;
  /** What connections have sent and the peers have not acknowledged. */
  readonly transmissions: TransmissionPool;
  /** What the ACK, and the loss, tell that are being processed. */
  readonly ack = new AckSample();
  readonly loss = new LossSample();
  /** What may still be answered that is not quite right (RFC 5961 7). */
  readonly challenges: ChallengeBudget;
  /** Sockets with events that the program has not been told of. */
  readonly signalled: ReadyQueue;
  /** Connections in TIME-WAIT, oldest first: the ones to give up when there are too many, or socket numbers run out. */
  readonly timeWait: TcbList;
  /** When the oldest of them may be over, in ms: never too late, and too early where it has been recycled. */
  timeWaitAt = NEVER;
  /** Connections that the program has closed and that are not over; first those that have not got on for longest. */
  readonly orphans: TcbList;
  /** Connections that have a socket and do not rest, by number; first the one to be looked at next: see `resting.ts`. */
  readonly awake: RecencyList;
  /** Connections that wait for pages of the pool, and what is done when there are none. */
  readonly starved: ReadyQueue;
  readonly pressure: Pressure;

  constructor(
    maxSockets: number,
    stats: Stats,
    random: Random,
    pool: BufferPool,
    tcp: TcpSettings,
    routing: Routing,
    worker: WorkerPlace = ALONE,
  ) {
    this.stats = stats;
    this.random = random;
    this.pool = pool;
    this.tcp = tcp;
    this.routing = routing;
    this.worker = worker;
    this.flows = new FlowTable(maxSockets, random.next(), random.next());
    this.tcpPorts = new PortRegistry("TCP", random, true, worker);
    this.udpPorts = new PortRegistry("UDP", random, false, worker);
    this.isn = new IsnGenerator(random);
    this.cookies = new SynCookies(random);
    this.halfOpen = new HalfOpenCount(Math.min(tcp.maxHalfOpen, Math.max(1, maxSockets >> 1)));
    this.deadlines = new DeadlineHeap(maxSockets);
    // A record for every 4 KiB that may be buffered, beside those that connections have for sure.
    this.transmissions = new TransmissionPool(maxSockets, pool.pageCount << 2);
    this.challenges = new ChallengeBudget(tcp.challengeAcksPerSecondInAll, random);
    this.signalled = new ReadyQueue(maxSockets);
    this.timeWait = new TcbList(maxSockets);
    this.orphans = new TcbList(maxSockets);
    this.awake = new RecencyList(maxSockets);
    this.starved = new ReadyQueue(maxSockets);
    this.pressure = new Pressure(maxSockets);
  }
}

/** The time, as late as it is: `now` goes on within a poll where there is a clock. */
export function timeIn(context: SocketContext): number {
  if (context.clock !== null) context.now = Math.max(context.now, context.clock());
  return context.now;
}
