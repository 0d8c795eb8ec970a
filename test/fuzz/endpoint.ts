import { END_OF_STREAM, type TcpSocket } from "../../src/index.ts";

const LARGEST_READ = 65_536;

/** In whole seconds, as system calls have it. */
export const KEEP_ALIVE_INTERVAL_MS = 1_000;
export const KEEP_ALIVE_PROBES = 30;

/** What a program does with its socket, with bytes or with an idle time in ms. */
export type LoggedCall = "write" | "read" | "shutdown" | "keepAlive";

/** One end of the connection: writes a stream whose bytes tell where they belong, and looks at those of the other's. */
export class Endpoint {
  socket: TcpSocket | null = null;
  /** Bytes written and read since the connection was opened. */
  written = 0;
  got = 0;
  /** The other end's stream has ended. */
  ended = false;
  /** Does not read while `false`. */
  reading = true;
  /** Bytes that it writes at each act, as far as there is room. */
  rate = 0;
  /** Is told of what the program does with its socket, as system calls. */
  log: ((call: LoggedCall, count: number) => void) | null = null;
  private isShut = false;
  private readonly salt: number;
  private readonly otherSalt: number;
  private readonly buffer = new Uint8Array(LARGEST_READ);

  constructor(salt: number, otherSalt: number) {
    this.salt = salt;
    this.otherSalt = otherSalt;
  }

  /** There is something to be read: text, or the end. */
  get mayRead(): boolean {
    const { socket } = this;
    return socket !== null && this.reading && !this.ended && (socket.readableBytes > 0 || socket.ended);
  }

  /** Returns how many of so many bytes were taken. */
  write(count: number): number {
    const { socket, buffer, written } = this;
    if (count === 0 || socket === null || socket.isClosed || socket.state === "SYN_SENT") return 0;
    const most = Math.min(count, buffer.length);
    for (let i = 0; i < most; i++) buffer[i] = byteAt(this.salt, written + i);
    const taken = socket.write(buffer, 0, most);
    this.written += taken;
    if (taken > 0) this.log?.("write", taken);
    return taken;
  }

  keepAlive(idleMs: number): void {
    this.log?.("keepAlive", idleMs);
    this.socket?.setKeepAlive(idleMs, KEEP_ALIVE_INTERVAL_MS, KEEP_ALIVE_PROBES);
  }

  /** Has nothing more to say. */
  shutdown(): void {
    const { socket } = this;
    if (socket === null || this.isShut) return;
    this.isShut = true;
    this.log?.("shutdown", 0);
    socket.shutdown();
  }

  /** Reads what there is; returns what is wrong with it, or `null`. */
  read(): string | null {
    const { socket, buffer } = this;
    if (socket === null) return null;
    for (;;) {
      const count = socket.read(buffer);
      if (count === END_OF_STREAM) {
        this.ended = true;
        return null;
      }
      if (count === 0) return null;
      this.log?.("read", count);
      for (let i = 0; i < count; i++) {
        if (buffer[i] !== byteAt(this.otherSalt, this.got + i))
          return `byte ${this.got + i} is not the one sent`;
      }
      this.got += count;
    }
  }
}

function byteAt(salt: number, i: number): number {
  return (i * 31 + (i >> 8) * 17 + (i >> 16) * 7 + salt) & 0xff;
}
