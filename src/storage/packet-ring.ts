// What is kept of a packet: start and length of its bytes, eight address words, two ports.
const STRIDE = 12;
const START = 0;
const LENGTH = 1;
const WORDS = 2;
const PORTS = 10;

/** Address words that can be written. */
export interface MutableAddressWords {
  family: 4 | 6;
  w0: number;
  w1: number;
  w2: number;
  w3: number;
}

/**
 * Datagrams waiting in order, each with the addresses and ports of both its ends, in fixed memory. A datagram's bytes
 * are contiguous: one that does not fit behind the last one starts again at the beginning.
 */
export class PacketRing {
  /** Datagrams waiting. */
  size = 0;
  readonly bytes: Uint8Array;
  private readonly entries: Int32Array;
  private readonly capacity: number;
  private first = 0;
  /** Where the next datagram's bytes go. */
  private tail = 0;

  /** @param packets most datagrams; @param bytes most bytes of them together */
  constructor(packets: number, bytes: number) {
    this.capacity = packets;
    this.entries = new Int32Array(packets * STRIDE);
    this.bytes = new Uint8Array(bytes);
  }

  /**
   * Queues a datagram with `length` bytes and returns where in `bytes` the caller is to put them, or -1 when there is no
   * room.
   */
  push(
    length: number,
    local: Readonly<MutableAddressWords>,
    localPort: number,
    remote: Readonly<MutableAddressWords>,
    remotePort: number,
  ): number {
    if (this.size === this.capacity) return -1;
    // An empty datagram takes a byte too, so that a full ring and an empty one never look alike.
    const space = length === 0 ? 1 : length;
    const start = this.place(space);
    if (start === -1) return -1;
    const e = this.entries;
    let index = this.first + this.size;
    if (index >= this.capacity) index -= this.capacity;
    const at = index * STRIDE;
    e[at + START] = start;
    e[at + LENGTH] = length;
    e[at + WORDS] = local.w0;
    e[at + WORDS + 1] = local.w1;
    e[at + WORDS + 2] = local.w2;
    e[at + WORDS + 3] = local.w3;
    e[at + WORDS + 4] = remote.w0;
    e[at + WORDS + 5] = remote.w1;
    e[at + WORDS + 6] = remote.w2;
    e[at + WORDS + 7] = remote.w3;
    e[at + PORTS] = localPort;
    e[at + PORTS + 1] = remotePort;
    this.size++;
    this.tail = start + space;
    return start;
  }

  /** Where the first datagram's bytes start. */
  get start(): number {
    return this.entries[this.first * STRIDE + START];
  }

  /** Bytes of the first datagram. */
  get length(): number {
    return this.entries[this.first * STRIDE + LENGTH];
  }

  get localPort(): number {
    return this.entries[this.first * STRIDE + PORTS];
  }

  get remotePort(): number {
    return this.entries[this.first * STRIDE + PORTS + 1];
  }

  readLocal(into: MutableAddressWords): void {
    this.readAddress(WORDS, into);
  }

  readRemote(into: MutableAddressWords): void {
    this.readAddress(WORDS + 4, into);
  }

  /** Forgets the first datagram. */
  shift(): void {
    this.first = this.first + 1 === this.capacity ? 0 : this.first + 1;
    this.size--;
    if (this.size === 0) this.tail = 0;
  }

  private place(length: number): number {
    if (this.size === 0) return length <= this.bytes.length ? 0 : -1;
    const head = this.start;
    if (this.tail > head) {
      if (this.tail + length <= this.bytes.length) return this.tail;
      return length <= head ? 0 : -1;
    }
    return this.tail + length <= head ? this.tail : -1;
  }

  private readAddress(at: number, into: MutableAddressWords): void {
    const e = this.entries;
    const from = this.first * STRIDE + at;
    into.w0 = e[from];
    into.w1 = e[from + 1];
    into.w2 = e[from + 2];
    into.w3 = e[from + 3];
    into.family = into.w0 === 0 && into.w1 === 0 && into.w2 === 0xffff ? 4 : 6;
  }
}
