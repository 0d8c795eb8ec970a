import { closeSync, openSync, readSync } from "node:fs";
import { StackError } from "../src/errors.ts";

/** Where a capture is read from, piece by piece. */
export interface ByteSource {
  /** Puts up to `length` bytes at `into[offset]`; returns how many, 0 at the end. */
  read(into: Uint8Array, offset: number, length: number): number;
  close(): void;
}

/** Bytes of a file. @throws StackError `ENOENT` or `EACCES` */
export function fileSource(path: string): ByteSource {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    const notFound = error instanceof Error && "code" in error && error.code === "ENOENT";
    throw new StackError(
      notFound ? "ENOENT" : "EACCES",
      `The capture file ${path} ${notFound ? "does not exist" : "can't be read"}; check its name.`,
      { cause: error },
    );
  }
  return {
    read: (into, offset, length) => readSync(fd, into, offset, length, null),
    close: () => closeSync(fd),
  };
}

/** Bytes that are in memory already. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  let at = 0;
  return {
    read(into, offset, length) {
      const count = Math.min(length, bytes.length - at);
      into.set(bytes.subarray(at, at + count), offset);
      at += count;
      return count;
    },
    close() {},
  };
}

/** The piece of a source that is being looked at: a fixed buffer, whatever the size of the source. */
export class CaptureWindow {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The next byte that was not taken yet. */
  at = 0;
  private end = 0;
  private readonly source: ByteSource;

  /** `capacity` is the most that `need` can be asked for. */
  constructor(source: ByteSource, capacity: number) {
    this.source = source;
    this.bytes = new Uint8Array(new ArrayBuffer(capacity));
    this.view = new DataView(this.bytes.buffer);
  }

  /** Whether the next `count` bytes are there, at `bytes[at]`; `false` at the end of the source. */
  need(count: number): boolean {
    if (this.at + count > this.bytes.length) {
      this.bytes.copyWithin(0, this.at, this.end);
      this.end -= this.at;
      this.at = 0;
    }
    while (this.end - this.at < count) {
      const got = this.source.read(this.bytes, this.end, this.bytes.length - this.end);
      if (got === 0) return false;
      this.end += got;
    }
    return true;
  }

  /** Goes past `count` bytes, however many; `false` where the source ends before. */
  skip(count: number): boolean {
    let left = count;
    for (;;) {
      const part = Math.min(left, this.end - this.at);
      this.at += part;
      left -= part;
      if (left === 0) return true;
      if (!this.need(1)) return false;
    }
  }

  /** Whether the source has ended right here. */
  get isOver(): boolean {
    return this.end === this.at && !this.need(1);
  }

  close(): void {
    this.source.close();
  }
}
