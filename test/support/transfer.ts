import type { Device } from "../../src/device.ts";
import {
  END_OF_STREAM,
  type InterfaceOptions,
  NEVER,
  Stack,
  type StackOptions,
  type TcpSocket,
} from "../../src/index.ts";
import { seededRandom } from "../../src/random.ts";

/** Two stacks on the two ends of a link, in simulated time. */
export interface Pair {
  readonly client: Stack;
  readonly server: Stack;
  /** Polls both; if no frame moved, moves the time to the next deadline. Returns false when there is none. */
  step(): boolean;
  /** Simulated ms. */
  now: number;
}

export const SERVER = "192.168.69.1";
export const CLIENT = "192.168.69.2";

export function pairOn(
  serverDevice: Device,
  clientDevice: Device,
  options: StackOptions = {},
  interfaceOptions: Partial<InterfaceOptions> = {},
): Pair {
  const server = new Stack({ random: seededRandom(1), ...options });
  const client = new Stack({ random: seededRandom(2), ...options });
  server.addInterface({ ...interfaceOptions, device: serverDevice, addresses: [`${SERVER}/24`] });
  client.addInterface({ ...interfaceOptions, device: clientDevice, addresses: [`${CLIENT}/24`] });
  const pair: Pair = {
    client,
    server,
    now: 1_000,
    step() {
      if (pollAll(pair.now, server, client)) return true;
      const deadline = Math.min(server.nextDeadline(pair.now), client.nextDeadline(pair.now));
      if (deadline === NEVER) return false;
      pair.now = deadline;
      return true;
    },
  };
  return pair;
}

/** Polls each stack once. Returns whether a frame moved, so that another one may have something to do now. */
export function pollAll(now: number, ...stacks: Stack[]): boolean {
  const frames = () => stacks.reduce((sum, { stats }) => sum + stats.framesReceived + stats.framesSent, 0);
  const before = frames();
  let more = false;
  for (const stack of stacks) more = stack.poll(now) || more;
  return more || frames() !== before;
}

/** Runs the pair until `done`, or throws when it takes more than `limit` steps or nothing is left to happen. */
export function runUntil(pair: Pair, done: () => boolean, limit = 1_000_000): void {
  for (let steps = 0; !done(); steps++) {
    if (steps === limit) throw new Error(`not done after ${limit} steps, at ${pair.now} ms`);
    if (!pair.step() && !done()) throw new Error(`nothing is left to happen at ${pair.now} ms`);
  }
}

/** A connection between the two ends, established. */
export function connected(pair: Pair, port = 80): { client: TcpSocket; server: TcpSocket } {
  const listener = pair.server.sockets.listen({ port });
  const client = pair.client.sockets.connect({ address: SERVER, port });
  let server: TcpSocket | null = null;
  runUntil(pair, () => (server ??= listener.accept()) !== null);
  if (server === null) throw new Error("not connected");
  return { client, server };
}

/** Sends `total` bytes of a fixed pattern, and hashes what it has sent. */
export class Sender {
  readonly hash = new Bun.CryptoHasher("sha256");
  private readonly pattern: Uint8Array;
  private readonly socket: TcpSocket;
  private left: number;

  constructor(socket: TcpSocket, total: number, seed: number) {
    this.socket = socket;
    this.left = total;
    const random = seededRandom(seed);
    // A prime length, so that the pattern never lies the same way in two buffers.
    this.pattern = new Uint8Array(65_521).map(() => random.next());
  }

  /** Writes what there is room for; closes behind the last byte. */
  pump(): void {
    while (this.left > 0) {
      const count = this.socket.write(this.pattern, 0, Math.min(this.left, this.pattern.length));
      if (count === 0) return;
      this.hash.update(this.pattern.subarray(0, count));
      this.left -= count;
      if (this.left === 0) this.socket.shutdown();
    }
  }
}

/** Reads to the end of the stream, and hashes what it has read. */
export class Receiver {
  readonly hash = new Bun.CryptoHasher("sha256");
  bytes = 0;
  ended = false;
  private readonly buffer = new Uint8Array(64 * 1024);
  private readonly socket: TcpSocket;

  constructor(socket: TcpSocket) {
    this.socket = socket;
  }

  pump(): void {
    while (!this.ended) {
      const count = this.socket.read(this.buffer);
      if (count === 0) return;
      if (count === END_OF_STREAM) {
        this.ended = true;
        return;
      }
      this.hash.update(this.buffer.subarray(0, count));
      this.bytes += count;
    }
  }
}
