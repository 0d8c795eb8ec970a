import { CryptoHasher } from "bun";
import { memoryPair } from "../../devices/index.ts";
import { END_OF_STREAM, Stack, type TcpSocket } from "../../src/index.ts";

const BLOCK = 64 * 1024;
const PORT = 80;

/** Text that does not repeat: a block of random bytes, which each time says how often it was sent before. */
class Source {
  private readonly block = new Uint8Array(BLOCK);
  private readonly number: BigUint64Array;
  private readonly hasher = new CryptoHasher("sha256");
  private offset = BLOCK;
  private left: number;

  constructor(bytes: number) {
    crypto.getRandomValues(this.block);
    this.number = new BigUint64Array(this.block.buffer, 0, 1);
    this.left = bytes;
  }

  /** Writes what the socket takes; `false` when all has been written. */
  feed(socket: TcpSocket): boolean {
    while (this.left > 0 || this.offset < BLOCK) {
      if (this.offset === BLOCK) {
        this.number[0]++;
        this.offset = Math.max(BLOCK - this.left, 0);
        this.left -= BLOCK - this.offset;
        this.hasher.update(this.block.subarray(this.offset));
      }
      const taken = socket.write(this.block, this.offset);
      if (taken === 0) return true;
      this.offset += taken;
    }
    return false;
  }

  get hash(): string {
    return this.hasher.digest("hex");
  }
}

/**
 * Sends so many bytes from one stack to another in memory.
 *
 * @throws Error where what arrives is not what was sent
 */
export function transferInMemory(bytes: number): void {
  const [left, right] = memoryPair({ offload: true });
  const sender = new Stack();
  const receiver = new Stack();
  sender.addInterface({ device: left, addresses: ["10.0.0.1/24"] });
  receiver.addInterface({ device: right, addresses: ["10.0.0.2/24"] });
  const listener = receiver.sockets.listen({ port: PORT });
  const sending = sender.sockets.connect({ address: "10.0.0.2", port: PORT });
  const source = new Source(bytes);
  const arrived = new CryptoHasher("sha256");
  const target = new Uint8Array(4 * BLOCK);
  let receiving: TcpSocket | null = null;
  let received = 0;
  for (let count = 0; count !== END_OF_STREAM; ) {
    const now = performance.now();
    sender.poll(now);
    receiver.poll(now);
    if (sending.state === "ESTABLISHED" && !source.feed(sending)) sending.shutdown();
    receiving ??= listener.accept();
    count = receiving?.read(target) ?? 0;
    if (count <= 0) continue;
    arrived.update(target.subarray(0, count));
    received += count;
  }
  if (received !== bytes) throw new Error(`${received} bytes arrived of ${bytes}`);
  const hash = arrived.digest("hex");
  if (source.hash !== hash) throw new Error(`what arrived has the hash ${hash}, and another one was sent`);
}
