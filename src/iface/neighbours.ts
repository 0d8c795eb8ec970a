import type { Random } from "../random.ts";
import type { Stats } from "../stats.ts";
import { DeadlineHeap, NEVER } from "../storage/deadline-heap.ts";
import { RecencyList } from "../storage/recency-list.ts";
import { copyHardwareAddress, sameHardwareAddress } from "../wire/ethernet.ts";
import { ParkedPackets } from "./parked-packets.ts";
import { QUESTION_INTERVAL_MS, RecentQuestions } from "./recent-questions.ts";

// The states of RFC 4861 7.3.2. STALE is a REACHABLE entry whose time is over, so it needs no number of its own; DELAY
// waits for hints from the transport, which there are none of here, so a STALE entry in use is probed at once.
export const FREE = 0;
/** Asked by broadcast, not answered: packets are parked. */
export const INCOMPLETE = 1;
/** Answered. */
export const REACHABLE = 2;
/** Asked again, at the address we know unless that is in doubt. It stays in use meanwhile. */
export const PROBE = 3;

/** RFC 4861 10, REACHABLE_TIME: so long an answer holds. */
const REACHABLE_MS = 30_000;
/** RFC 4861 10, MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT. */
const QUESTIONS = 3;

/** Packets that wait for answers, together and of one neighbour. */
const PARKED = 64;
const PARKED_EACH = 3;

/** Bytes from one entry's hardware address to the next one's. */
export const HARDWARE_STRIDE = 8;

/** What a timer that is due asks for: see `runTimer`. */
export const ASK = 0;
export const GIVE_UP = 1;

/**
 * The neighbour cache (RFC 1122 2.3.2, states of RFC 4861 7.3.2): IPv4 address -> hardware address, a fixed number of
 * entries allocated here, found by open addressing under a secret seed.
 *
 * It decides, and sends nothing: who uses it asks the questions that it says are to be asked. What it takes for true is
 * bounded, so that it can't be poisoned by saying so unasked:
 *
 * - Entries are made only by packets of ours that want to go somewhere, never by what others send.
 * - Only an answer to a question that is out counts; the first one does.
 * - No address is asked for twice in a second, not even when its entry was forgotten meanwhile.
 * - Whoever claims a known address for another station only makes us ask the station that we know. Should that one not
 *   answer any more, everybody is asked.
 * - Once the link was down, everybody is asked at once, by the next packet that wants to go there.
 *
 * When it is full, the entry that has not been used for longest goes. Entries without an answer have half of the places
 * at most, so that asking for many addresses that nobody has does not cost those that are in use.
 */
export class NeighbourCache {
  /** Entry `i`'s hardware address is at `i * HARDWARE_STRIDE`; valid unless it is INCOMPLETE. */
  readonly hardware: Uint8Array;
  readonly state: Uint8Array;
  /** IPv4 addresses as words. */
  readonly address: Int32Array;
  /** Until when an answer holds, in ms. */
  readonly reachableUntil: Float64Array;
  /** The link was down since the answer, and another station may be there now: everybody is asked. */
  readonly doubtful: Uint8Array;
  /** A SYN of ours has been parked: if there is no answer, connections want to know. */
  readonly connecting: Uint8Array;
  parked: ParkedPackets;
  /** Entries in use. */
  size = 0;
  /** Another number whenever what has been found before may have changed. */
  version = 0;

  private readonly stats: Stats;
  private readonly capacity: number;
  /** entry + 1, or 0: twice as many places as entries at least. */
  private readonly slots: Int32Array;
  private readonly mask: number;
  private readonly seed: number;
  private readonly factor: number;
  private readonly questions: RecentQuestions;
  /** Questions asked without an answer. */
  private readonly asked: Uint8Array;
  private readonly unused: Int32Array;
  private readonly complete: RecencyList;
  private readonly incomplete: RecencyList;
  private readonly deadlines: DeadlineHeap;

  /** @param capacity most entries; @param largestPacket bytes of the longest packet that may have to wait */
  constructor(capacity: number, largestPacket: number, random: Random, stats: Stats) {
    let slots = 16;
    while (slots < capacity * 2) slots *= 2;
    this.stats = stats;
    this.capacity = capacity;
    this.slots = new Int32Array(slots);
    this.mask = slots - 1;
    this.seed = random.next() | 0;
    this.factor = random.next() | 1;
    this.hardware = new Uint8Array(capacity * HARDWARE_STRIDE);
    this.state = new Uint8Array(capacity);
    this.address = new Int32Array(capacity);
    this.reachableUntil = new Float64Array(capacity);
    this.doubtful = new Uint8Array(capacity);
    this.connecting = new Uint8Array(capacity);
    this.questions = new RecentQuestions(random);
    this.asked = new Uint8Array(capacity);
    this.unused = new Int32Array(capacity);
    for (let i = 0; i < capacity; i++) this.unused[i] = capacity - 1 - i;
    this.complete = new RecencyList(capacity);
    this.incomplete = new RecencyList(capacity);
    this.deadlines = new DeadlineHeap(capacity);
    this.parked = new ParkedPackets(PARKED, PARKED_EACH, largestPacket);
  }

  /** When the next question is due, in ms, or `NEVER`. */
  get deadline(): number {
    return this.deadlines.earliest;
  }

  /** Entries that wait for their first answer. */
  get incompleteCount(): number {
    return this.incomplete.size;
  }

  /** The entry of this address, or -1. */
  find(address: number): number {
    return this.slots[this.locate(address)] - 1;
  }

  /** Notes that a packet goes to this entry: the ones used last stay longest. */
  use(entry: number): void {
    (this.state[entry] === INCOMPLETE ? this.incomplete : this.complete).use(entry);
  }

  /** Makes an INCOMPLETE entry for an address that has none; a question is to be asked. */
  add(address: number, now: number): number {
    this.makeRoom();
    const entry = this.unused[this.capacity - 1 - this.size];
    this.size++;
    this.slots[this.locate(address)] = entry + 1;
    this.address[entry] = address;
    this.connecting[entry] = 0;
    this.start(entry, INCOMPLETE, now);
    this.incomplete.use(entry);
    return entry;
  }

  /** Is the entry to be asked again, because its answer is old and a packet wants to go there? */
  isStale(entry: number, now: number): boolean {
    return this.state[entry] === REACHABLE && now >= this.reachableUntil[entry];
  }

  /**
   * May a question be asked that nothing but a claim of somebody's gives a reason for? Not to everybody, as whoever claims
   * could be the first to answer.
   */
  mayAsk(entry: number, now: number): boolean {
    if (this.state[entry] !== REACHABLE || this.doubtful[entry] === 1) return false;
    return now >= this.questions.mayAskFrom(this.address[entry], now);
  }

  /** A question is to be asked about a station that we know. */
  startProbe(entry: number, now: number): void {
    this.start(entry, PROBE, now);
  }

  /** May the question that is to be asked go out now? It counts as asked then; else it is due again when it may. */
  ask(entry: number, now: number): boolean {
    const address = this.address[entry];
    const from = this.questions.mayAskFrom(address, now);
    const goesOut = now >= from && this.questions.note(address, now);
    if (goesOut) this.asked[entry]++;
    this.deadlines.set(entry, now < from ? from : now + QUESTION_INTERVAL_MS);
    return goesOut;
  }

  /**
   * An answer from the station at `bytes[offset ..]`. Returns whether it was asked for, and so holds from now on. A PROBE
   * of a station that is not doubtful goes to it alone, so nobody else can answer it.
   */
  answer(entry: number, bytes: Uint8Array, offset: number, now: number): boolean {
    const at = entry * HARDWARE_STRIDE;
    const state = this.state[entry];
    if ((state !== INCOMPLETE && state !== PROBE) || this.asked[entry] === 0) return false;
    if (state === INCOMPLETE || this.doubtful[entry] === 1) {
      copyHardwareAddress(bytes, offset, this.hardware, at);
      this.doubtful[entry] = 0;
    } else if (!sameHardwareAddress(this.hardware, at, bytes, offset)) {
      return false;
    }
    this.incomplete.remove(entry);
    this.complete.use(entry);
    this.version = (this.version + 1) | 0;
    this.state[entry] = REACHABLE;
    this.connecting[entry] = 0;
    this.reachableUntil[entry] = now + REACHABLE_MS;
    this.deadlines.set(entry, NEVER);
    return true;
  }

  /** The entry whose question has been unanswered for a second, or -1. */
  due(now: number): number {
    return this.deadlines.earliest <= now ? this.deadlines.first : -1;
  }

  /**
   * What is next for an entry that is due: `ASK`, as its state then says, or `GIVE_UP`. The station that we knew is asked
   * three times, then everybody is, three times, and nothing is sent to it any more.
   */
  runTimer(entry: number, now: number): typeof ASK | typeof GIVE_UP {
    if (this.asked[entry] >= QUESTIONS) {
      if (this.state[entry] === INCOMPLETE) return GIVE_UP;
      this.complete.remove(entry);
      // Of these, too, there may not be more than half.
      this.boundIncomplete();
      this.incomplete.use(entry);
      this.start(entry, INCOMPLETE, now);
    }
    return ASK;
  }

  /** Forgets the entry and the packets that wait for it. */
  remove(entry: number): void {
    this.version = (this.version + 1) | 0;
    this.removeSlot(this.locate(this.address[entry]));
    this.complete.remove(entry);
    this.incomplete.remove(entry);
    this.deadlines.set(entry, NEVER);
    this.state[entry] = FREE;
    this.size--;
    this.unused[this.capacity - 1 - this.size] = entry;
    this.stats.neighbourPacketsDropped += this.parked.drop(entry);
  }

  /**
   * The link was down, and who knows what has been plugged in since. What has been answered stays in use, for most often it
   * holds, and everybody is asked with the next packet. Of the questions that have not been answered all but one may have
   * gone nowhere, and are asked again.
   */
  doubtAll(): void {
    this.version = (this.version + 1) | 0;
    for (let entry = 0; entry < this.capacity; entry++) {
      if (this.state[entry] === INCOMPLETE) {
        this.asked[entry] = Math.min(this.asked[entry], 1);
      } else if (this.state[entry] !== FREE) {
        this.state[entry] = REACHABLE;
        this.reachableUntil[entry] = -Infinity;
        this.doubtful[entry] = 1;
        this.deadlines.set(entry, NEVER);
      }
    }
  }

  /** What is sent to this address is not answered: it stays in use, and is asked for with the next packet. */
  suspect(address: number): void {
    const entry = this.find(address);
    if (entry === -1 || this.state[entry] !== REACHABLE) return;
    this.version = (this.version + 1) | 0;
    this.reachableUntil[entry] = -Infinity;
  }

  /** Forgets what is parked, and makes room for packets of another size. */
  resizeParking(largestPacket: number): void {
    this.stats.neighbourPacketsDropped += this.parked.size;
    this.parked = new ParkedPackets(PARKED, PARKED_EACH, largestPacket);
  }

  private start(entry: number, state: typeof INCOMPLETE | typeof PROBE, now: number): void {
    this.version = (this.version + 1) | 0;
    this.state[entry] = state;
    this.asked[entry] = 0;
    this.deadlines.set(entry, now);
  }

  private makeRoom(): void {
    this.boundIncomplete();
    if (this.size < this.capacity) return;
    const oldest = this.complete.oldest;
    this.evict(oldest === -1 ? this.incomplete.oldest : oldest);
  }

  private boundIncomplete(): void {
    if (this.incomplete.size >= Math.max(1, this.capacity >> 1)) this.evict(this.incomplete.oldest);
  }

  private evict(entry: number): void {
    this.stats.neighboursEvicted++;
    this.remove(entry);
  }

  /** The slot that holds the address, or the free one where it belongs. */
  private locate(address: number): number {
    const { slots, mask } = this;
    let slot = this.hash(address) & mask;
    while (slots[slot] !== 0 && this.address[slots[slot] - 1] !== address) slot = (slot + 1) & mask;
    return slot;
  }

  private hash(address: number): number {
    let h = Math.imul(address ^ this.seed, this.factor);
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    return h ^ (h >>> 13);
  }

  /** Frees a slot and shifts the followers back, so that there are no tombstones. */
  private removeSlot(freed: number): void {
    const { slots, mask } = this;
    let hole = freed;
    let slot = hole;
    for (;;) {
      slot = (slot + 1) & mask;
      if (slots[slot] === 0) break;
      // Move it back unless its home lies cyclically behind the hole.
      const home = this.hash(this.address[slots[slot] - 1]) & mask;
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        slots[hole] = slots[slot];
        hole = slot;
      }
    }
    slots[hole] = 0;
  }
}
