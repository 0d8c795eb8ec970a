import type { Connection, WaitOptions } from "../../src/index.ts";

/** The other end closed in the middle of something. */
export class UnexpectedEnd extends Error {
  override readonly name = "UnexpectedEnd";

  constructor(message = "the connection ended in the middle of a message") {
    super(message);
  }
}

/** More bytes than a reader is willing to hold came without the mark that was looked for. */
export class TooLong extends Error {
  override readonly name = "TooLong";
}

/** What arrives on a connection, through one buffer: up to a mark, or so and so many bytes. */
export class ByteReader {
  private readonly connection: Connection;
  private readonly buffer = new Uint8Array(64 * 1024);
  private start = 0;
  private end = 0;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** Waits until there is a byte to take; `false` at the end. */
  async hasMore(options?: WaitOptions): Promise<boolean> {
    return this.start < this.end || this.fill(options);
  }

  /**
   * The text up to and with `mark`, in Latin-1.
   *
   * @param limit most bytes that it may have
   * @throws UnexpectedEnd, TooLong, and what reading throws
   */
  async through(mark: string, limit: number, options?: WaitOptions): Promise<string> {
    const wanted = Buffer.from(mark, "latin1");
    for (let searched = 0; ; ) {
      const bytes = Buffer.from(this.buffer.buffer, this.start, this.end - this.start);
      const at = bytes.indexOf(wanted, Math.max(searched - wanted.length + 1, 0));
      const length = at === -1 ? bytes.length : at + wanted.length;
      if (length > limit) throw new TooLong(`more than ${limit} bytes without an end`);
      if (at !== -1) {
        this.start += length;
        return bytes.toString("latin1", 0, length);
      }
      searched = bytes.length;
      if (!(await this.fill(options))) throw new UnexpectedEnd();
    }
  }

  /**
   * The next `count` bytes (`Infinity` for all), in pieces, each valid until the next one.
   *
   * @throws UnexpectedEnd, and what reading throws
   */
  async *take(count: number, options?: WaitOptions): AsyncGenerator<Uint8Array, void, void> {
    for (let left = count; left > 0; ) {
      if (this.start === this.end && !(await this.fill(options))) {
        if (left === Number.POSITIVE_INFINITY) return;
        throw new UnexpectedEnd(`the connection ended ${left} bytes before the end of a message`);
      }
      const from = this.start;
      this.start = Math.min(this.end, from + left);
      left -= this.start - from;
      yield this.buffer.subarray(from, this.start);
    }
  }

  private async fill(options?: WaitOptions): Promise<boolean> {
    if (this.start > 0) {
      this.buffer.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    const count = await this.connection.readInto(this.buffer.subarray(this.end), options);
    this.end += count;
    return count > 0;
  }
}
