import { END_OF_STREAM, type ErrorCode, NEVER, StackError, type TcpSocket } from "../../src/index.ts";
import { type Random, randomBelow } from "../../src/random.ts";

/** The program at one end of one connection: writes its stream, reads the other's, closes when both are through. */
export class Program {
  done = false;
  nextAct = 0;
  private readonly random: Random;
  private readonly name: string;
  private readonly salt: number;
  private readonly total: number;
  private readonly chunk: number;
  /** Mean time between two acts, in ms; 0: it acts when it is told of an event, and then does all it can. */
  private readonly paceMs: number;
  /** Closes its side when it has written all; else when the other has closed as well. */
  halfCloses: boolean;
  private readonly buffer: Uint8Array;
  private readonly rude: boolean;
  private written = 0;
  private got = 0;
  private finished = false;
  private ended = false;
  peer: Program | null = null;
  /** The network may be too bad to be used: then an error is an end, too, and this is which. */
  mayFail = false;
  failure: ErrorCode | null = null;
  private connection: TcpSocket | null = null;

  constructor(name: string, salt: number, random: Random, most: number, rude: boolean) {
    this.rude = rude;
    this.name = name;
    this.salt = salt;
    this.random = random;
    this.chunk = 1 + randomBelow(random, randomBelow(random, 3) === 0 ? 50 : 5_000);
    this.total = randomBelow(random, 5) === 0 ? 0 : randomBelow(random, Math.min(most, this.chunk * 200));
    // Who is rude is so at his own time.
    this.paceMs = !rude && randomBelow(random, 3) === 0 ? 0 : randomBelow(random, 200);
    this.halfCloses = randomBelow(random, 2) === 0;
    this.buffer = new Uint8Array(8_192);
  }

  /** Bytes that have come out at this end. */
  get readBytes(): number {
    return this.got;
  }

  get socket(): TcpSocket | null {
    return this.connection;
  }

  set socket(socket: TcpSocket | null) {
    this.connection = socket;
    if (socket === null) return;
    socket.handler = () => {
      if (this.paceMs === 0) this.nextAct = 0;
    };
  }

  /** Takes a connection from the listener: at once, or too late. */
  accepts(socket: TcpSocket): void {
    this.socket = socket;
    if (this.rude) socket.setKeepAlive(5_000, 1_000, 20);
    if (this.done) socket.abort();
  }

  /** Reads and writes a little, or nothing for a while. */
  act(now: number): void {
    this.nextAct =
      this.paceMs === 0 && !this.rude ? NEVER : now + 1 + randomBelow(this.random, 2 * this.paceMs);
    const { socket } = this;
    if (this.done) return;
    if (this.rude && randomBelow(this.random, 40) === 0) {
      this.done = true;
      if (randomBelow(this.random, 2) === 0) socket?.abort();
      else socket?.close();
      return;
    }
    if (socket === null || socket.state === "SYN_SENT" || socket.state === "SYN_RECEIVED") return;
    try {
      this.serve(socket);
    } catch (error) {
      if (!(this.rude || this.mayFail) || !(error instanceof StackError)) throw error;
      // The other one was rude, or out of reach.
      this.failure = error.code;
      this.done = true;
      socket.close();
    }
  }

  private serve(socket: TcpSocket): void {
    if (this.paceMs === 0) {
      while (this.read(socket) || this.write(socket)) {}
    } else {
      if (randomBelow(this.random, 2) === 0) this.read(socket);
      if (randomBelow(this.random, 2) === 0) this.write(socket);
    }
    if (this.written === this.total && !this.finished && (this.halfCloses || this.ended)) {
      this.finished = true;
      socket.shutdown();
    }
    // Both FINs were there before the end: what the peer may not have acknowledged by then it had received.
    if (this.finished && this.ended && (socket.isClosed || socket.unacknowledgedBytes === 0)) {
      this.done = true;
      socket.close();
    }
  }

  toString(): string {
    const { socket } = this;
    const state = socket === null ? "not connected" : JSON.stringify(socket.info());
    return `${this.name}: wrote ${this.written} of ${this.total}, read ${this.got} of ${this.peer?.total}, ${state}`;
  }

  private byteAt(i: number): number {
    return (i * 31 + (i >> 8) * 17 + this.salt) & 0xff;
  }

  private read(socket: TcpSocket): boolean {
    if (this.ended) return false;
    const count = socket.read(this.buffer, 0, 1 + randomBelow(this.random, this.buffer.length));
    if (count === END_OF_STREAM) {
      this.ended = true;
      if (this.got !== this.peer!.total && !this.rude) throw new Error(`${this}: the stream ended early`);
      return true;
    }
    for (let i = 0; i < count; i++) {
      if (this.buffer[i] !== this.peer!.byteAt(this.got + i))
        throw new Error(`${this}: byte ${this.got + i} is wrong`);
    }
    this.got += count;
    return count > 0;
  }

  private write(socket: TcpSocket): boolean {
    const count = Math.min(this.chunk, this.total - this.written);
    if (count === 0) return false;
    const bytes = new Uint8Array(count);
    for (let i = 0; i < count; i++) bytes[i] = this.byteAt(this.written + i);
    const taken = socket.write(bytes);
    this.written += taken;
    return taken > 0;
  }
}

/** Makes the two the ends of one connection. */
export function pairUp(ours: Program, theirs: Program): void {
  // One has to begin.
  if (!theirs.halfCloses) ours.halfCloses = true;
  ours.peer = theirs;
  theirs.peer = ours;
}
